"""Size at equal score from one model of all tasks: exact where it must be, honest where it cannot."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics import equivalent_size
from analysis.statistics.equivalent_size import COLUMNS, TWO_SIZES
from analysis.statistics.interactions import interactions
from tests.grids import PARAMETERS
from tests.pace import quiet_seconds
from tests.simulated import ALONE, Grid, as_results

METHODS = ("quantize", "distill", "prune", "shave", "coach")
NUMBERS = ["estimate", "low", "high", "learned", "arithmetic", "points"]


def table(results: Results | pd.DataFrame, options: Options | None = None) -> pd.DataFrame:
    results = results if isinstance(results, Results) else as_results(results)
    return equivalent_size.table(results, options or Options())


def means(results: Results | pd.DataFrame, options: Options | None = None) -> pd.DataFrame:
    made = table(results, options)
    return made[made["scope"] == "mean"].set_index(["contrast", "kind"])


# --- what is known exactly --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("linear", [True, False])
def test_known_effects_are_found_exactly(count: int, linear: bool) -> None:
    grid = Grid(methods=METHODS[:count], interaction=0.2, pure=-0.1, tasks=3, linear=linear)
    made = table(grid.exact())
    contrasts = interactions(grid.exact().methods)
    assert len(made) == (count + len(contrasts)) * 4  # the mean and three tasks
    for row in made.to_dict("records"):
        assert row["estimate"] == pytest.approx(row["learned"] + row["arithmetic"])
        if row["kind"] != "main":
            assert row["estimate"] == pytest.approx(grid.known(row["contrast"], row["kind"]), abs=1e-4)
            assert math.log(row["observed"]) == pytest.approx(grid.log_reduction(row["contrast"]), abs=1e-4)
            assert math.log(row["observed"] / row["expected"]) == pytest.approx(row["estimate"], abs=1e-6)


def test_main_effects_are_means_over_the_other_methods() -> None:
    """Of four pairs one has no other method, two have one, one has two: the interaction once on average."""
    own = means(Grid(interaction=0.2, tasks=3).exact()).xs("main", level="kind")["estimate"]
    assert own.to_dict() == pytest.approx({name: ALONE[name] + 0.2 for name in METHODS[:3]}, abs=1e-4)


def test_what_bytes_alone_do_is_told_from_what_is_learned() -> None:
    """With a share of embeddings that falls with size, a distilled model, being smaller, has less to prune."""
    runs = Grid(methods=("distill", "prune"), tasks=2).exact().runs
    sparsity = runs["variant"].map({"": 0.0, "prune 40 %": 0.4, "prune 60 %": 0.6}).to_numpy()
    sizes = np.log(4.0 * runs["model"].map(PARAMETERS).to_numpy(float))
    share = 0.2 + 0.1 * (sizes - sizes.min())  # of a model that may be pruned
    runs["nominal_bytes"] = np.exp(sizes) * (1 - share * sparsity)
    distilled = runs["methods"].str.contains("distill").to_numpy()
    runs["score_glue"] = 60 + 4 * (sizes + 0.7 * distilled - 0.1 * (sparsity > 0))
    own = means(runs)
    pair = own.loc[("distill+prune", "pair")]
    assert pair["learned"] == pytest.approx(0, abs=1e-6)
    assert pair["estimate"] == pytest.approx(pair["arithmetic"])

    def change(at: np.ndarray, strength: float) -> float:
        known = np.unique(sizes)
        shares = 0.2 + 0.1 * (known - known.min())
        return float(np.interp(at, known, np.log(1 - shares * strength)).mean())

    at = np.linspace(sizes.min() + 0.7, sizes.max() - 0.1, 33)
    expected = np.mean([change(at + 0.1, own) - change(at - 0.6, own) for own in (0.4, 0.6)])
    assert expected < -0.02
    assert pair["arithmetic"] == pytest.approx(expected, abs=1e-3)


def test_bytes_and_scores_are_those_that_are_asked_for() -> None:
    results = replace(Grid(linear=True, tasks=3), interaction=0.1).exact()
    runs = results.runs
    runs.loc[runs["methods"] == "quantize+prune", "artifact_bytes"] *= math.exp(0.25)
    runs.loc[runs["methods"] == "quantize+distill", "score_accuracy"] += 3.6 * 0.2  # the slope of the linear grid
    artifact, accuracy = means(results, Options(bytes="artifact")), means(results, Options(score="accuracy"))
    assert artifact.loc[("quantize+prune", "pair"), "estimate"] == pytest.approx(-0.15, abs=1e-4)
    assert artifact.loc[("quantize+prune", "pair"), "arithmetic"] == pytest.approx(-0.25, abs=1e-4)
    assert accuracy.loc[("quantize+distill", "pair"), "learned"] == pytest.approx(0.3, abs=1e-4)


def test_strengths_are_compared_with_the_same_strength() -> None:
    """Where pruning by 60 % costs much and by 40 % nothing, that is no interaction."""
    runs = Grid(methods=("quantize", "prune"), linear=True, tasks=3).exact().runs
    runs.loc[runs["variant"] == "prune 60 %", "score_glue"] -= 3
    kept = ~((runs["methods"] == "quantize+prune") & (runs["variant"] == "prune 40 %"))
    assert means(runs[kept]).loc[("quantize+prune", "pair"), "estimate"] == pytest.approx(0, abs=1e-4)


def test_points_are_of_the_same_architecture() -> None:
    runs = Grid(linear=True, tasks=3).exact().runs
    has = {name: runs["methods"].str.contains(name) for name in METHODS[:3]}
    runs["score_glue"] = 70 + np.log(runs["parameters"]) + 5.0 * has["distill"] - 2.0 * has["quantize"]
    own = means(runs)["points"]
    assert own.xs("main", level="kind").to_dict() == pytest.approx({"quantize": -2, "distill": 5, "prune": 0}, abs=1e-6)
    assert own["quantize+distill", "pair"] == pytest.approx(0, abs=1e-6)


def test_points_do_not_depend_on_which_cells_are_missing() -> None:
    """Effects differ between sizes, so that a mean over the cells that are left would be another."""
    whole = Grid(tasks=3).exact().runs
    lost = (whole["model"].isin(["tiny", "mini"])) & (whole["methods"] == "distill") & (whole["task"] == "cola")
    assert means(whole[~lost])["points"].to_numpy() == pytest.approx(means(whole)["points"].to_numpy(), abs=0.01)


# --- intervals --------------------------------------------------------------------------------------------------------


def test_intervals_cover_the_mean_over_tasks_like_these() -> None:
    """tests/benchmarks/coverage.py prints the whole table; here the means over six contrasts of forty grids."""
    grid = Grid(methods=("quantize", "distill"), tasks=6, sizes=4, interaction=0.2, differ=0.2, shared=0.5, missing=0.1)
    truth = {"quantize": ALONE["quantize"] + 0.1, "distill": ALONE["distill"] + 0.1, "quantize+distill": 0.2}
    inside, off, errors = [], [], []
    for seed in range(40):
        for row in means(grid.results(seed)).reset_index().to_dict("records"):
            known = truth[row["contrast"]]
            inside.append(row["low"] <= known <= row["high"])
            off.append(row["estimate"] - known)
            errors.append(row["error"])
    assert 0.88 <= np.mean(inside) <= 0.995
    assert abs(np.mean(off)) < 0.25 * np.mean(errors)
    assert np.std(off) == pytest.approx(np.mean(errors), rel=0.3)


def test_tasks_that_differ_widen_the_interval() -> None:
    same, differing = (means(Grid(differ=differ, noise=(0.2, 0.2)).results())["error"] for differ in (0.0, 0.3))
    assert (differing > 2 * same).mean() > 0.7


def test_one_task_has_an_interval_from_seeds_and_says_so() -> None:
    own = means(Grid(tasks=1).results())
    assert (own["basis"] == "seeds").all()
    assert own["low"].notna().all()
    alone = means(Grid(tasks=1, seeds=1).results())
    assert alone["estimate"].notna().all()
    assert alone["low"].isna().all()
    assert alone["unsure"].str.contains("one seed per cell").all()


def test_one_seed_is_enough_with_several_tasks() -> None:
    own = means(Grid(seeds=1).results())
    assert own["low"].notna().all()
    assert (own["basis"] == "tasks").all()
    assert (own["seeds_max"] == 1).all()


def test_a_tasks_own_number_lies_between_the_mean_and_what_it_shows_alone() -> None:
    results = Grid(methods=("quantize", "distill"), tasks=5, differ=0.3, noise=(1.5, 1.5)).results(2)
    made = table(results).query("contrast == 'distill'").set_index("scope")
    drawn = []
    for task in results.tasks:
        alone = table(results.runs[results.runs["task"] == task]).query("contrast == 'distill' and scope == 'mean'")
        drawn.append((made.loc[task, "estimate"] - made.loc["mean", "estimate"])
                     / (alone["estimate"].iloc[0] - made.loc["mean", "estimate"]))  # fmt: skip
    assert 0 < np.median(drawn) < 1.05
    assert made.loc[results.tasks, "weight"].sum() == pytest.approx(1)


def test_three_architectures_off_any_curve_give_no_interval_of_what_is_learned() -> None:
    own = means(Grid(sizes=3, dip=True, noise=(0.2, 0.2)).results())
    row = own.loc[("distill", "main")]
    assert math.isnan(row["low"])
    assert "the 3 architectures do not lie on a curve of sizes" in row["unsure"]
    assert row["estimate"] == pytest.approx(ALONE["distill"], abs=0.3)
    assert row["arithmetic_low"] <= row["arithmetic"] <= row["arithmetic_high"]  # bytes are known


@pytest.mark.parametrize("seed", range(4))
def test_three_architectures_off_any_curve_give_no_interval_of_what_seems_to_cancel(seed: int) -> None:
    """The pure term of three methods whose shifts go far up the curve and back is near 0, and off by 0.05."""
    own = means(Grid(sizes=3, dip=True, interaction=0.2, differ=0.15).results(seed))
    assert abs(own.loc[("quantize+distill+prune", "pure"), "learned"]) < 0.2
    assert own["low"].isna().all()
    assert own["unsure"].str.contains("the 3 architectures do not lie on a curve of sizes").all()
    assert own["points_low"].notna().all()


def test_three_architectures_on_a_curve_have_intervals_of_all() -> None:
    assert means(Grid(sizes=3, interaction=0.2, differ=0.15).results())["low"].notna().all()


def test_two_sizes_give_estimates_without_intervals() -> None:
    own = means(Grid(sizes=2, linear=True).results())
    assert own["estimate"].notna().all()
    assert own["low"].isna().all()
    assert (own["unsure"] == TWO_SIZES).all()


def test_verdicts_of_clear_grids() -> None:
    for strength, word in ((0.5, "super-multiplicative"), (0.0, "multiplicative"), (-0.5, "sub-multiplicative")):
        own = means(Grid(interaction=strength, noise=(0.1, 0.1)).results())
        assert set(own.xs("pair", level="kind")["verdict"]) == {word}


# --- odd collections --------------------------------------------------------------------------------------------------


def test_a_subset_that_was_not_run_leaves_just_its_contrasts_undefined() -> None:
    runs = Grid(linear=True, tasks=3).exact().runs
    own = means(runs[runs["methods"] != "distill+prune"])
    undefined = own[own["estimate"].isna()]
    assert set(undefined.index) == {("distill+prune", "pair"), ("quantize+distill+prune", "pure")}
    assert (undefined["reason"] == "no runs of distill+prune").all()


def test_a_subset_that_one_task_lacks_is_the_others() -> None:
    runs = Grid(linear=True, tasks=3, interaction=0.2).exact().runs
    made = table(runs[~((runs["methods"] == "distill+prune") & (runs["task"] == "cola"))])
    own = made[(made["contrast"] == "distill+prune")].set_index("scope")
    assert own.loc["mean", "estimate"] == pytest.approx(0.2, abs=1e-4)
    assert math.isnan(own.loc["cola", "estimate"])
    assert own.loc["cola", "reason"] == "not all that is compared was run"


def test_strengths_that_were_never_run_alone_are_not_compared() -> None:
    runs = Grid(methods=("quantize", "prune"), tasks=2).exact().runs
    apart = (runs["methods"] == "prune") & (runs["variant"] == "prune 60 %")
    apart |= (runs["methods"] == "quantize+prune") & (runs["variant"] == "prune 40 %")
    row = means(runs[~apart]).loc[("quantize+prune", "pair")]
    assert math.isnan(row["estimate"])
    assert row["reason"] == "no runs of the same options and strengths"


def test_one_size_has_points_but_no_sizes() -> None:
    runs = Grid(tasks=3).results().runs
    own = means(runs[runs["model"] == "base"])
    assert own["estimate"].isna().all()
    assert own["points"].notna().all()
    assert own["reason"].str.startswith("no task has two sizes").all()


def test_a_task_with_one_size_is_told() -> None:
    runs = Grid(tasks=3).results().runs
    made = table(runs[(runs["task"] != "cola") | (runs["model"] == "base")])
    assert made.query("scope == 'cola'")["reason"].eq("one size").all()
    assert made.query("scope == 'mean'")["reason"].eq("cola: one size").all()


@pytest.mark.parametrize("seed", range(12))
def test_odd_collections_give_every_row_a_number_or_a_reason(seed: int) -> None:
    random = np.random.default_rng(seed)
    grid = Grid(
        methods=METHODS[: 1 + seed % 5], tasks=1 + seed % 3, sizes=2 + seed % 4, seeds=1 + seed % 2, failing=0.3
    )
    runs = grid.simulate(random).runs
    runs = runs[random.random(len(runs)) < random.choice([0.15, 0.5, 0.9])]
    runs.loc[random.random(len(runs)) < 0.1, "score_glue"] = math.nan
    made = table(runs)
    assert tuple(made.columns) == COLUMNS
    told = made["reason"].ne("") | made["estimate"].notna()
    assert told.all()
    interval = made["low"].notna()
    assert (made.loc[interval, "low"] <= made.loc[interval, "high"]).all()
    assert (made.loc[~interval & made["estimate"].notna(), "unsure"] != "").all()
    assert np.isfinite(made[NUMBERS].to_numpy(float)[made[NUMBERS].notna().to_numpy()]).all()


def test_no_compressed_run_has_no_rows_and_no_score_no_numbers() -> None:
    runs = Grid(tasks=2).exact().runs
    assert table(runs[runs["methods"] == "none"]).empty
    nothing = table(runs.assign(score_glue=math.nan))
    assert nothing["estimate"].isna().all()
    assert nothing["reason"].ne("").all()


def test_it_is_fast_enough_to_be_repeated() -> None:
    results = Grid(seeds=5, differ=0.1).results()
    assert quiet_seconds(lambda: table(results)) < 2  # it takes 0.3; 3840 runs
