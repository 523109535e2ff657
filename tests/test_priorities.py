"""Main effects and ranks of methods; the best measured cell for a budget."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.options import Options
from analysis.read.results import Results, from_documents
from analysis.statistics import priorities
from analysis.statistics.advice import Advice, advise, sentences
from analysis.subsets import collected
from compress.errors import ConfigError
from tests.grids import document, entry
from tests.simulated import ALONE, Grid, as_results

QUICK = Options(bootstrap=200)
MB = 1_000_000


def has(runs: pd.DataFrame, method: str) -> pd.Series:
    """Whether a method is on."""
    return runs["methods"].str.split("+").map(lambda active: method in active)


# --- main effects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_without_interactions_main_effects_are_the_methods_alone(count: int) -> None:
    methods = ("quantize", "distill", "prune", "shave")[:count]
    table = priorities.main_effects(Grid(methods=methods, linear=True, tasks=2).exact(), QUICK)
    for row in table[table["measure"] == "bytes"].to_dict("records"):
        assert row["effect"] == pytest.approx(ALONE[row["method"]], abs=1e-6)
        others = [own for own in methods if ALONE[own] > ALONE[row["method"]]]
        assert row["rank"] == 1 + len(others)
        assert row["pairs"] == 2 ** (len(methods) - 1)
    assert set(table["scope"]) == {"mean", "cola", "sst2"}
    assert list(dict.fromkeys(table["method"])) == list(methods)


def test_with_interactions_they_are_means_over_the_other_methods() -> None:
    """Of the four pairs one has no other method, two have one, one has two: 0, 1, 1 and 2 times the interaction."""
    table = priorities.main_effects(Grid(linear=True, tasks=2, interaction=0.2).exact(), QUICK)
    row = table[(table["measure"] == "bytes") & (table["method"] == "quantize")].iloc[0]
    assert row["effect"] == pytest.approx(ALONE["quantize"] + 0.2 * (0 + 1 + 1 + 2) / 4, abs=1e-6)


def test_effects_on_the_score_are_of_the_same_architecture() -> None:
    results = Grid(linear=True, tasks=1).exact()
    runs = results.runs
    sparsity = runs["variant"].map({"": 0.0, "prune 40 %": 0.4, "prune 60 %": 0.6})
    runs["score_glue"] = 70.0 + 5.0 * has(runs, "distill") - 2.0 * has(runs, "quantize") - 10.0 * sparsity
    table = priorities.main_effects(results, QUICK)
    own = table[(table["measure"] == "score") & (table["scope"] == "mean")].set_index("method")["effect"]
    assert own.to_dict() == pytest.approx({"quantize": -2.0, "distill": 5.0, "prune": -5.0})  # of 0.4 and 0.6


def test_means_are_over_tasks_where_every_method_has_an_effect() -> None:
    results = Grid(linear=True, tasks=3).exact()
    runs = results.runs
    apart = (runs["task"] == "sst2") & (runs["methods"] == "prune")
    runs.loc[apart, "score_glue"] -= 60  # none and prune have no scores in common, all other pairs of curves have
    runs.loc[(runs["task"] == "sst2") & (runs["methods"] == "quantize"), "nominal_bytes"] /= 3
    table = priorities.main_effects(results, QUICK)
    means = table[(table["measure"] == "bytes") & (table["scope"] == "mean")]
    assert set(means["tasks"]) == {2}
    assert (means["reason"] == "sst2: the curves have no scores in common (for the effect of quantize)").all()
    assert means["effect"].to_list() == pytest.approx(list(ALONE.values())[:3], abs=1e-6)


def test_an_architecture_that_one_of_a_pair_lacks_does_not_count() -> None:
    results = Grid(linear=True, tasks=1).exact()
    runs = results.runs
    runs["score_glue"] = 70.0 + 5.0 * has(runs, "distill") + 20.0 * (runs["model"] == "large")
    kept = runs[~((runs["model"] == "large") & (runs["methods"] == "none"))]
    table = priorities.main_effects(as_results(kept), QUICK)
    own = table[(table["measure"] == "score") & (table["method"] == "distill") & (table["scope"] == "mean")]
    assert own["effect"].to_list() == pytest.approx([5.0])


def test_only_cells_with_the_same_variants_are_compared() -> None:
    """Pruning by 60 % costs 10 points; where quantized models lack it, that is no gain of quantization."""
    results = Grid(linear=True, tasks=1).exact()
    runs = results.runs
    runs["score_glue"] = 70.0 - 10.0 * runs["variant"].str.contains("60 %") + np.log(runs["parameters"])
    lost = has(runs, "quantize") & runs["variant"].str.contains("60 %") & (runs["model"] != "base")
    table = priorities.main_effects(as_results(runs[~lost]), QUICK).query("measure == 'score' and scope == 'mean'")
    assert table.set_index("method")["effect"]["quantize"] == pytest.approx(0)


def test_a_missing_subset_takes_its_pairs() -> None:
    results = Grid(linear=True, tasks=2).exact()
    table = priorities.main_effects(as_results(results.runs[~has(results.runs, "prune")]), QUICK)
    assert set(table["method"]) == {"quantize", "distill"}
    assert set(table["pairs"]) == {2}
    methods = collected([(entry("quantize"), entry("distill"))])
    assert priorities.pairs_of("distill", methods, set(methods.subsets)) == [
        ("none", "distill"), ("quantize", "quantize+distill"),
    ]  # fmt: skip


def test_ranks_are_as_sure_as_the_noise_lets_them_be() -> None:
    loud, quiet = (
        priorities.main_effects(Grid(tasks=2, noise=(noise, noise)).results(), QUICK).query("scope == 'mean'")
        for noise in (6.0, 0.05)
    )
    assert (quiet["rank_low"] == quiet["rank_high"]).all()
    assert set(quiet["first"]) == {0.0, 1.0}
    unsure = loud[loud["measure"] == "bytes"].set_index("method")
    assert unsure.loc["prune", "rank_low"] < unsure.loc["prune", "rank_high"] or unsure["first"].max() < 1
    assert loud.groupby("measure")["first"].sum().to_list() == pytest.approx([1.0, 1.0])


def test_one_seed_gives_ranks_without_intervals() -> None:
    table = priorities.main_effects(Grid(tasks=3, seeds=1).results(), QUICK)
    assert table["rank"].notna().all()
    assert table[["low", "rank_low", "first"]].isna().all(axis=None)
    assert table["unsure"].str.contains("one seed per cell").all()
    assert table.query("scope == 'mean'")["tasks_low"].notna().all()


def test_intervals_of_main_effects_hold_the_truth() -> None:
    """Over 60 grids, so that 0.95 is known to ± 0.06; distillation with a noise that the teacher's luck has part in."""
    inside = []
    for seed in range(60):
        grid = Grid(tasks=2, linear=True, shared=0.3, teacher=0.1)
        table = priorities.main_effects(grid.results(seed), Options(bootstrap=150))
        rows = table[(table["measure"] == "bytes") & (table["scope"] == "mean")]
        inside.append([row.low <= ALONE[row.method] <= row.high for row in rows.itertuples()])
    covered = np.mean(inside, axis=0)
    assert (covered >= 0.86).all()
    assert covered.mean() <= 0.99


# --- advice -----------------------------------------------------------------------------------------------------------

HALF = "quantize+prune (prune 60 %)"
CELLS = {  # model, methods, sparsity -> megabytes, score on sst2, on rte
    ("large", "none", 0.0): (1300, 93.0, 75.0),
    ("base", "quantize", 0.0): (110, 91.0, 70.0),
    ("base", "quantize+prune", 0.6): (60, 90.0, 66.0),
    ("large", "prune", 0.4): (800, 70.0, 50.0),
    ("tiny", "none", 0.0): (18, 83.0, 58.0),
    ("tiny", "quantize", 0.0): (4, 82.0, 60.0),
}


def collection(offsets: tuple[float, ...] = (0.0,)) -> Results:
    documents = [
        document(task, model, methods, score + offset, sparsity=sparsity, bytes=size * MB, seed=seed)
        for (model, methods, sparsity), (size, *scores) in CELLS.items()
        for task, score in zip(("sst2", "rte"), scores, strict=True)
        for seed, offset in enumerate(offsets)
    ]
    return from_documents(documents, [], "a test")


def names(advice: Advice) -> tuple[str | None, str | None]:
    chosen, runner_up = advice.chosen, advice.runner_up
    return chosen.name if chosen else None, runner_up.name if runner_up else None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"max_bytes": 60 * MB, "task": "sst2"}, (f"base {HALF}", "tiny none")),
        ({"max_bytes": 20 * MB, "task": "sst2"}, ("tiny none", "tiny quantize")),
        ({"max_bytes": 20 * MB, "task": "rte"}, ("tiny quantize", "tiny none")),
        ({"max_bytes": 20 * MB}, ("tiny quantize", "tiny none")),  # means 71.0 and 70.5
        ({"min_score": 83.0, "task": "sst2"}, ("tiny none", f"base {HALF}")),
        ({"min_score": 80.0}, ("base quantize", "large none")),
        ({"min_score": 90.0, "max_bytes": 200 * MB, "task": "sst2"}, ("base quantize", f"base {HALF}")),
        ({"min_score": 92.0, "task": "sst2"}, ("large none", None)),
    ],
)
def test_the_best_cell_that_fits_and_the_runner_up(asked, expected) -> None:
    found = advise(collection(), QUICK, **asked)
    assert names(found) == expected
    assert found.nearest == ()
    assert found.considered == 6


def test_if_nothing_fits_the_nearest_are_told() -> None:
    found = advise(collection(), QUICK, task="sst2", max_bytes=50 * MB, min_score=90.0)
    assert names(found) == (None, None)
    assert [own.name for own in found.nearest] == ["tiny none", f"base {HALF}"]
    assert [own.name for own in advise(collection(), QUICK, max_bytes=1 * MB).nearest] == ["tiny quantize"]
    assert [own.name for own in advise(collection(), QUICK, min_score=99.0).nearest] == ["large none"]
    assert "no measured model fits; the nearest:" in sentences(found)


def test_intervals_are_of_the_seeds_and_tell_whether_two_cells_differ() -> None:
    quiet = advise(collection((-0.1, 0.0, 0.1)), QUICK, task="sst2", max_bytes=20 * MB)
    assert quiet.chosen is not None
    assert quiet.chosen.low is not None
    assert quiet.chosen.high is not None
    # standard deviation 0.1, three seeds; 2 sizes with two degrees of freedom each would be 6
    assert quiet.chosen.high - quiet.chosen.low == pytest.approx(2 * 2.447 * 0.1 / math.sqrt(3), rel=1e-3)
    assert quiet.chosen.seeds_min == 3
    assert quiet.apart is True
    loud = advise(collection((-3.0, 0.0, 3.0)), QUICK, task="sst2", max_bytes=20 * MB)
    assert loud.apart is False
    assert "their scores do not differ by more than seeds vary" in sentences(loud)


def test_with_one_seed_there_is_no_interval_and_it_says_so() -> None:
    found = advise(collection(), QUICK, max_bytes=20 * MB)
    assert found.chosen is not None
    assert found.chosen.low is None
    assert found.apart is None
    assert any("one seed per cell" in note for note in found.notes)


def test_a_mean_is_over_the_same_tasks_for_all() -> None:
    results = collection()
    runs = results.runs
    kept = runs[~((runs["task"] == "rte") & (runs["methods"] == "quantize+prune"))]
    found = advise(replace(results, runs=kept), QUICK, max_bytes=200 * MB)
    assert found.tasks == ("sst2", "rte")
    assert found.considered == 5
    assert found.notes[0] == "1 of 6 models left out: they lack some of the tasks"
    alone = advise(replace(results, runs=kept), QUICK, max_bytes=100 * MB, task="sst2")
    assert alone.chosen is not None
    assert alone.chosen.name == f"base {HALF}"


def test_file_sizes_and_accuracies_count_where_they_are_asked_for() -> None:
    results = collection()
    results.runs.loc[results.runs["model"] == "tiny", "artifact_bytes"] = 30 * MB
    assert advise(results, Options(bytes="artifact"), max_bytes=20 * MB).chosen is None
    results.runs["score_accuracy"] = -results.runs["score_glue"]
    assert names(advise(results, Options(score="accuracy"), max_bytes=20 * MB, task="sst2"))[0] == "tiny quantize"


def test_what_it_says() -> None:
    lines = sentences(advise(collection((-0.1, 0.0, 0.1)), QUICK, task="sst2", max_bytes=20 * MB))
    assert lines[0] == "at most 20 MB (GLUE score, nominal bytes), sst2; 6 measured models"
    assert lines[1] == "use        tiny none: score 83.0 [82.9, 83.1], 18 MB, 3 seeds"
    assert lines[2] == "           trained in 1 s, on cpu; latency not measured (python -m compress.latency RUN…)"
    assert lines[3].startswith("runner-up  tiny quantize: score 82.0 [")


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(ConfigError, match="--max-train-hours 2, or a least score"):
        advise(collection(), QUICK)
    with pytest.raises(ConfigError, match=r"--task sst: must be one of sst2, rte \(did you mean sst2\?\)"):
        advise(collection(), QUICK, task="sst", max_bytes=1.0)
