"""Table 1's rule, where the answer is known; the study's numbers beside it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis import reference
from analysis.options import Options
from analysis.read.results import Results, from_documents
from analysis.statistics import interactions, table1
from analysis.tables import tables
from tests.conftest import shared
from tests.grids import SUBSETS, document
from tests.simulated import Grid, as_results

MB = 1_000_000
NONE = Options(bootstrap=0)

# task -> (model, methods, sparsity) -> score, megabytes
KNOWN = {
    "sst2": {
        ("large", "none", 0.0): (90.0, 1000), ("base", "none", 0.0): (85.0, 400), ("tiny", "none", 0.0): (70.0, 10),
        ("large", "quantize", 0.0): (91.0, 250), ("base", "quantize", 0.0): (89.5, 100),
        ("tiny", "quantize", 0.0): (84.0, 3),
        ("large", "prune", 0.4): (90.5, 600), ("base", "prune", 0.4): (85.0, 300), ("base", "prune", 0.6): (84.5, 200),
        ("tiny", "prune", 0.6): (69.0, 8),
    },
    "rte": {
        ("large", "none", 0.0): (80.0, 1000), ("base", "none", 0.0): (60.0, 400), ("tiny", "none", 0.0): (50.0, 10),
        ("large", "quantize", 0.0): (79.6, 250), ("base", "quantize", 0.0): (79.49, 100),
        ("tiny", "quantize", 0.0): (61.0, 3),
        ("large", "prune", 0.4): (79.0, 600), ("base", "prune", 0.6): (59.5, 200), ("tiny", "prune", 0.6): (49.0, 8),
    },
}  # fmt: skip


def known(offsets: tuple[float, ...] = (0.0,)) -> Results:
    """With a seed for each offset to the scores."""
    documents = [
        document(task, model, methods, score + offset, sparsity=sparsity, bytes=int(size * MB), seed=seed)
        for task, cells in KNOWN.items()
        for (model, methods, sparsity), (score, size) in cells.items()
        for seed, offset in enumerate(offsets)
    ]
    return from_documents(documents, [], "a test")


def rows(options: Options = NONE, results: Results | None = None) -> pd.DataFrame:
    return table1.table(results or known(), options).set_index(["model", "methods"])


@pytest.mark.parametrize("offsets", [(0.0,), (-1.0, 0.0, 1.0)], ids=["one seed", "three seeds"])
def test_factors_are_those_of_the_smallest_model_of_any_architecture_that_is_good_enough(offsets) -> None:
    found = rows(results=known(offsets))
    expected = {
        ("large", "quantize"): (1000 / 100 + 1000 / 250) / 2,  # sst2: base is exactly 0.5 below; rte: base is not
        ("base", "quantize"): (400 / 100 + 400 / 3) / 2,  # tiny: 84.0 is not within 0.5 of 85.0; rte: 61 is
        ("tiny", "quantize"): (10 / 3 + 10 / 3) / 2,
        ("large", "prune"): 1000 / 600,  # rte: none reaches 79.5
        ("base", "prune"): (400 / 200 + 400 / 200) / 2,  # the sparser, exactly 0.5 below in both
        ("tiny", "prune"): (10 / 200 + 10 / 200) / 2,  # a larger model is needed: below 1
    }
    assert {key: found.loc[key, "factor"] for key in expected} == pytest.approx(expected)
    assert (found.loc[[("large", "quantize"), ("base", "prune")], "tasks"] == 2).all()
    assert (found["of"] == 2).all()
    assert (found.loc[list(expected), "seeds"] == len(offsets)).all()


def test_what_none_reaches_is_undefined_and_told() -> None:
    found = rows()
    row = found.loc[("large", "prune")]
    assert (row["tasks"], row["of"], row["reason"]) == (1, 2, "rte: none reaches 79.5 (best 79.0)")
    absent = found.loc[("large", "quantize+prune")]
    assert math.isnan(absent["factor"])
    assert (absent["tasks"], absent["seeds"], absent["reason"]) == (0, 0, "sst2: no runs; rte: no runs")


def test_the_smallest_counts_even_if_a_larger_one_is_just_as_good() -> None:
    cells = {("base", "none"): (80.0, 400), ("tiny", "quantize"): (90.0, 3), ("base", "quantize"): (80.0, 100)}
    documents = [document("rte", *key, score, bytes=size * MB) for key, (score, size) in cells.items()]
    found = rows(results=from_documents(documents, [], "a test"))
    assert found.loc[("base", "quantize"), "factor"] == pytest.approx(400 / 3)


def test_tolerance_decides() -> None:
    assert rows(Options(bootstrap=0, tolerance=0.0)).loc[("large", "quantize"), "factor"] == pytest.approx(1000 / 250)
    loose = rows(Options(bootstrap=0, tolerance=1.0))
    assert loose.loc[("base", "quantize"), "factor"] == pytest.approx(400 / 3)
    assert loose.loc[("large", "prune"), "tasks"] == 2


def test_picks_say_what_they_are_of() -> None:
    picks = table1.factors(known(), NONE).set_index(["task", "model", "methods"])
    pick = picks.loc[("sst2", "tiny", "prune")]
    assert (pick["picked_model"], pick["picked_variant"], pick["picked_score"]) == ("base", "prune 60 %", 84.5)
    assert (pick["baseline_score"], pick["baseline_bytes"], pick["picked_bytes"]) == (70.0, 10 * MB, 200 * MB)


def test_an_architecture_without_a_baseline_has_no_row_on_that_task() -> None:
    results = known()
    runs = results.runs
    kept = runs[~((runs["task"] == "rte") & (runs["model"] == "base") & (runs["methods"] == "none"))]
    found = rows(results=Results(kept, results.failures, [], ""))
    assert found.loc[("base", "quantize"), ["tasks", "of"]].to_list() == [1, 1]
    assert found.loc[("large", "quantize"), ["tasks", "of"]].to_list() == [2, 2]


def test_file_sizes_count_where_they_are_asked_for() -> None:
    results = known()
    results.runs.loc[results.runs["methods"] == "quantize", "artifact_bytes"] *= 2
    nominal, artifact = (rows(Options(bootstrap=0, bytes=bytes), results) for bytes in ("nominal", "artifact"))
    key = ("tiny", "quantize")
    assert artifact.loc[key, "factor"] == pytest.approx(nominal.loc[key, "factor"] / 2, rel=2e-3)


def test_what_picks_are_worth_on_other_seeds_needs_several_and_falls_short_of_what_chose_them() -> None:
    assert rows()["held_out"].isna().all()
    quiet = rows(results=known((-1.0, 0.0, 1.0)))  # seeds move all scores alike, so that picks stay the same
    assert quiet.loc[("large", "quantize"), "held_out"] == pytest.approx((89.5 - 90 + 79.6 - 80) / 2)
    assert quiet.loc[("tiny", "prune"), "held_out"] == pytest.approx((84.5 - 70 + 59.5 - 50) / 2)
    results = Grid(noise=(1.5, 1.5), sizes=6).results()
    made, picks = table1.table(results, NONE), table1.factors(results, NONE)
    margin = (picks["picked_score"] - picks["baseline_score"]).groupby([picks["model"], picks["methods"]]).mean()
    ours = made.set_index(["model", "methods"])["held_out"]
    assert (ours < margin.reindex(ours.index)).mean() > 0.7
    assert ours.mean() < margin.mean() - 0.2


def test_picks_are_optimistic() -> None:
    """Why there is no interval: the mean factor is above that of the same grid without noise."""
    optimism = []
    for seed in range(10):
        simulated = Grid(noise=(1.5, 1.5)).simulate(np.random.default_rng(seed))
        noisy, exact = (table1.table(as_results(own), NONE)["factor"] for own in (simulated.runs, simulated.exact))
        optimism.append(float(np.mean(np.log(noisy / exact))))
    assert np.mean(optimism) > 0.05


# --- the study --------------------------------------------------------------------------------------------------------


def test_the_studys_numbers_stand_beside_ours() -> None:
    found = rows()
    assert found.loc[("large", "quantize"), "paper"] == 3.6
    assert found.loc[("tiny", "prune"), "paper"] == 0.7
    shown = tables.table1(table1.table(known(), NONE))
    assert shown["model"].to_list() == ["large", "(study)", "base", "(study)", "tiny", "(study)"]
    assert shown["quantize"].to_list()[:2] == ["7.0", "3.6"]
    assert shown["prune"][0] == "1.7 (1/2)"
    assert shown["quantize+prune"].to_list()[:2] == ["undefined", "3.9"]


def test_the_studys_rule_gives_its_ratios_from_its_table() -> None:
    """Geometric means over architectures of a combination's factor over the product of its methods'."""
    ratios = table1.products_of_study()
    assert len(ratios) == 6 * 4
    large = ratios[(ratios["model"] == "large") & (ratios["methods"] == "quantize+distill")].iloc[0]
    assert large["ratio"] == pytest.approx(12.6 / (3.6 * 3.4))
    combined = {row["methods"]: row["factor"] for row in table1.combined(ratios)}
    expected = {"quantize+distill": 1.16, "quantize+prune": 0.87, "distill+prune": 1.22, "quantize+distill+prune": 1.41}
    assert combined == pytest.approx(expected, abs=0.005)


def test_the_rule_is_a_row_of_the_table_with_the_studys_below() -> None:
    cells = {"none": 400, "quantize": 100, "distill": 200, "prune": 320, "quantize+distill": 40, "quantize+prune": 100}
    made = [document("rte", "base", methods, 80.0, bytes=size * MB) for methods, size in cells.items()]
    made += [document("rte", "tiny", methods, 90.0, bytes=size * MB) for methods, size in cells.items()]
    found = table1.table(from_documents(made, [], "a test"), NONE)
    rule = found[found["model"] == table1.OVER_PRODUCT].set_index("methods")
    assert rule["factor"].to_dict() == pytest.approx({"quantize+distill": 10 / 8, "quantize+prune": 4 / 5})
    assert (rule["least"] == rule["greatest"]).all()
    shown = tables.table1(found).set_index("model")
    assert shown.loc[table1.OVER_PRODUCT, "quantize+distill"] == "1.25 (1.25 to 1.25)"
    assert shown.loc[table1.OVER_PRODUCT, ["MB", "quantize", "distill+prune"]].to_list() == ["", "", ""]
    assert shown.loc["(study)", "quantize+distill"].to_list()[-1] == "1.16"


def test_a_product_is_over_the_tasks_where_all_its_factors_are_defined() -> None:
    factors = {("sst2", "quantize"): 4.0, ("sst2", "prune"): 2.0, ("sst2", "quantize+prune"): 6.0,
               ("rte", "quantize"): 9.0, ("rte", "prune"): math.nan, ("rte", "quantize+prune"): 9.0}  # fmt: skip
    picked = pd.DataFrame([{"task": task, "model": "tiny", "methods": methods, "factor": factor, "seeds": 2}
                           for (task, methods), factor in factors.items()])  # fmt: skip
    row = table1.products(picked, ["none", "quantize", "prune", "quantize+prune"]).iloc[0]
    assert (row["ratio"], row["tasks"], row["of"], row["seeds"]) == (6 / 8, 1, 2, 2)
    gone = picked.assign(factor=picked["factor"].where(picked["methods"] != "prune"))
    ratios = table1.products(gone, ["none", "quantize", "prune", "quantize+prune"])
    assert ratios.iloc[0]["reason"] == "no task has factors of quantize+prune, quantize and prune"
    assert table1.combined(ratios) == []


def test_reference_numbers_are_complete() -> None:
    figure, table = reference.figure1(), reference.table1()
    assert len(figure) == 6 * (4 + 2 * 4)
    assert list(table) == SUBSETS[1:]
    assert all(list(column) == ["large", "base", "medium", "small", "mini", "tiny"] for column in table.values())
    baseline = figure[(figure["model"] == "base") & (figure["methods"] == "none")].iloc[0]
    assert (baseline["score"], baseline["bytes"]) == (87.4, pytest.approx(437.94 * MB))


def test_reference_numbers_are_those_that_were_read_off() -> None:
    folder = shared("paper")
    figure = pd.read_csv(folder / "figure1.csv")
    ours = reference.figure1()
    variants = figure["sparsity"].map({0.0: "", 0.4: "prune 40 %", 0.6: "prune 60 %"})
    assert ours[["model", "methods", "variant"]].equals(figure[["model", "methods"]].assign(variant=variants))
    assert ours["score"].to_numpy() == pytest.approx(figure["mean_glue_accuracy"])
    assert ours["bytes"].to_numpy() == pytest.approx(figure["nominal_mb"] * MB)
    table = pd.read_csv(folder / "table1.csv", index_col="model").drop(columns="size_mb")
    assert reference.table1() == table.to_dict()


# --- as text ----------------------------------------------------------------------------------------------------------


def test_tables_as_files(tmp_path) -> None:
    written = tables.write(tmp_path / "tables", table1=table1.table(known(), NONE))
    assert [path.name for path in written] == ["table1.csv", "table1.md", "table1.tex"]
    again = pd.read_csv(written[0])
    assert again["factor"].to_numpy() == pytest.approx(table1.table(known(), NONE)["factor"].to_numpy(), nan_ok=True)
    lines = written[1].read_text().splitlines()
    assert lines[0].startswith("| model | MB | quantize |")
    assert lines[2].startswith("| large | 1000 | 7.0 |")
    assert {line.count("|") for line in lines} == {6}
    latex = written[2].read_text()
    assert r"large & 1000 & 7.0 & 1.7 (1/2) & undefined \\" in latex
    assert latex.startswith(r"\begin{tabular}{lllll}")


def test_special_characters_are_escaped() -> None:
    table = pd.DataFrame({"a|b": ["50 %", "x_y & {z} \\"], "n": [1.0, math.nan]})
    assert "| a\\|b | n |\n| --- | ---: |\n| 50 % | 1 |\n" in tables.markdown(table)
    assert r"50 \% & 1 \\" in tables.latex(table)
    assert r"x\_y \& \{z\} \textbackslash{} & -- \\" in tables.latex(table)
    assert tables.csv(table).splitlines()[2] == "x_y & {z} \\,"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3.0, "3"), (3.14159, "3.142"), (math.nan, "–"), (None, "–"), (7, "7"), ("text", "text"), (123456.7, "123457")],
)
def test_cells_of_text(value, shown: str) -> None:
    assert tables.text(value) == shown


def test_of_more_than_three_methods_only_what_was_run_is_told() -> None:
    there = ["none", "quantize", "prune", "shave", "quantize+shave", "distill+prune"]
    made = [document("rte", model, methods, 80.0) for model in ("tiny", "mini") for methods in there]
    found = from_documents(made, [], "a test")
    assert set(table1.table(found, NONE)["methods"]) == {*there} - {"none"}
    assert set(interactions.table(found, NONE)["contrast"]) == {"quantize+shave", "distill+prune"}
    three = from_documents([own for own in made if "shave" not in own["methods"]], [], "a test")
    assert len(set(table1.table(three, NONE)["methods"])) == 7
