"""Interactions: exact without noise, unbiased and covered with it, undefined where nothing is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import reference
from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics import interactions, uncertainty
from analysis.statistics.contrasts import (
    Estimate,
    TaskCurves,
    curves_by_task,
    estimate,
    mean,
    mean_draws,
    weighted,
    with_interval,
)
from analysis.statistics.interactions import Interaction
from analysis.statistics.score_size import Array
from analysis.statistics.uncertainty import Interval, satterthwaite
from analysis.subsets import collected, split
from tests.grids import entry
from tests.simulated import Grid, as_results

QUICK = Options(bootstrap=200)
LINEAR = Grid(linear=True, tasks=3)


def mean_rows(results: Results, options: Options = QUICK) -> pd.DataFrame:
    table = interactions.table(results, options)
    return table[table["scope"] == "mean"].set_index(["contrast", "kind"])


# --- what is known exactly --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize(("strength", "pure"), [(0.4, 0.0), (0.0, 0.0), (-0.4, 0.0), (0.1, -0.2)])
def test_a_known_interaction_is_found_exactly_where_score_is_linear(strength: float, pure: float, count: int) -> None:
    grid = replace(LINEAR, methods=METHODS[:count], interaction=strength, pure=pure)
    table = interactions.table(grid.exact(), QUICK)
    for row in table.to_dict("records"):
        known = grid.known(row["contrast"], row["kind"])
        assert row["interaction"] == pytest.approx(known, abs=1e-6)
        assert math.log(row["observed"] / row["expected"]) == pytest.approx(known, abs=1e-6)
        assert math.log(row["observed"]) == pytest.approx(grid.log_reduction(row["contrast"]), abs=1e-6)
    pairs, larger = count * (count - 1) // 2, 2**count - 1 - count - count * (count - 1) // 2
    assert len(table) == (pairs + 2 * larger) * 4  # the mean and three tasks


METHODS = ("quantize", "distill", "prune", "shave", "coach")


@pytest.mark.parametrize("count", range(1, 6))
def test_contrasts_are_sums_of_differences(count: int) -> None:
    """Each sums to zero, over the smaller combinations of its own, and totals are the sums of all pure terms below."""
    methods = collected([tuple(map(entry, METHODS[:count]))])
    contrasts = interactions.interactions(methods)
    assert len({(own.methods, own.kind) for own in contrasts}) == len(contrasts)
    assert {own.methods for own in contrasts} == {name for name in methods.subsets if "+" in name}
    pure = {own.methods: own.weights for own in contrasts if own.kind != "total"}
    for own in contrasts:
        assert sum(own.weights.values()) == 0
        assert own.weights[own.methods] == -1
        assert all(set(split(name)) <= set(split(own.methods)) for name in own.weights)
        for method in split(own.methods):  # a method's own reduction, whatever it is, is expected
            assert sum(weight for name, weight in own.weights.items() if method in split(name)) == 0
        if own.kind == "pure":
            size = len(split(own.methods))
            assert own.weights == {name: (-1) ** (size + len(split(name)) + 1) for name in own.weights}
            assert len(own.weights) == 2**size
        below = [weights for name, weights in pure.items() if set(split(name)) <= set(split(own.methods))]
        summed = {name: sum(weights.get(name, 0) for weights in below) for weights in below for name in weights}
        if own.kind == "total":
            assert {name: weight for name, weight in summed.items() if weight} == own.weights


def test_where_score_saturates_the_error_of_interpolation_is_small() -> None:
    for strength in (0.3, 0.0, -0.3):
        found = mean_rows(Grid(interaction=strength, tasks=1).exact())["interaction"]
        assert found.to_numpy() == pytest.approx([strength] * 3 + [3 * strength, 0.0], abs=0.02)


def test_bytes_of_masks_count_where_they_are_asked_for() -> None:
    results = replace(LINEAR, interaction=0.1).exact()
    combined = results.runs["methods"] == "quantize+prune"
    results.runs.loc[combined, "artifact_bytes"] *= math.exp(0.25)
    nominal, artifact = (mean_rows(results, Options(bytes=bytes, bootstrap=0)) for bytes in ("nominal", "artifact"))
    assert nominal.loc[("quantize+prune", "pair"), "interaction"] == pytest.approx(0.1, abs=1e-6)
    assert artifact.loc[("quantize+prune", "pair"), "interaction"] == pytest.approx(-0.15, abs=1e-6)


def test_other_scores_count_where_they_are_asked_for() -> None:
    results = LINEAR.exact()
    better = results.runs["methods"] == "quantize+distill"
    results.runs.loc[better, "score_accuracy"] += 3.6 * 0.2  # the slope of the linear grid
    found = mean_rows(results, Options(score="accuracy", bootstrap=0))["interaction"]
    assert found["quantize+distill", "pair"] == pytest.approx(0.2, abs=1e-6)


# --- seeds ------------------------------------------------------------------------------------------------------------


def test_noise_has_the_unbiased_covariance_of_the_means() -> None:
    results = Grid(tasks=1, seeds=3, shared=0.7).results()
    (task,) = curves_by_task(results.runs, Options(bootstrap=40_000))
    changes = task.changes(together=False)
    assert task.variation is not None
    assert changes is not None
    own = task.variation.sizes == 0
    deviations = task.variation.deviations[own]
    expected = deviations @ deviations.T / (3 * 2)
    assert np.cov(changes[:, own].T) == pytest.approx(expected, abs=0.03 * expected.max())
    weights = np.random.default_rng(0).normal(size=len(own))
    variance = sum(part for part, _ in task.variation.parts(weights))
    assert float((changes @ weights).var()) == pytest.approx(variance, rel=0.05)
    assert [freedom for _, freedom in task.variation.parts(weights)] == [2] * 6
    together = task.changes(together=True)
    assert together is not None
    ((variance, freedom),) = task.variation.parts(weights, together=True)
    assert float((together @ weights).var()) == pytest.approx(variance, rel=0.05)
    assert freedom == 2


def test_a_cell_with_one_seed_has_the_pooled_variance() -> None:
    runs = Grid(tasks=1, seeds=3, noise=(1.0, 1.0)).results().runs
    runs = runs[(runs["seed"] == 0) | (runs["model"] != "large")]
    (task,) = curves_by_task(runs, Options(bootstrap=40_000))
    changes = task.changes(together=False)
    assert task.variation is not None
    assert changes is not None
    alone = task.variation.seeds == 1
    assert alone.sum() == 12
    assert changes[:, alone].var(axis=0) == pytest.approx(np.full(12, task.variation.variance), rel=0.05)
    pooled = runs[runs["model"] != "large"].groupby(["model", "methods", "variant"])["score_glue"].var().mean()
    assert task.variation.variance == pytest.approx(pooled)


def test_degrees_of_freedom_are_not_halved_by_few_seeds() -> None:
    random = np.random.default_rng(0)
    found = [satterthwaite([(float(own), 2) for own in random.chisquare(2, 48)]) for _ in range(300)]
    assert np.median(found) == pytest.approx(2 * 48, rel=0.15)
    assert satterthwaite([(1.0, 4)]) == 4
    assert satterthwaite([(1.0, 4), (0.0, 2)]) == 4
    assert satterthwaite([(1.0, 4), (1e-9, 2)]) == pytest.approx(4)


def test_what_seeds_share_does_not_widen_the_interval() -> None:
    errors = {shared: mean_rows(Grid(tasks=2, shared=shared, noise=(1, 1)).results())["error"] for shared in (0.0, 0.9)}
    assert (errors[0.9] < 0.5 * errors[0.0]).all()


def test_a_teachers_luck_counts_where_it_does_not_cancel() -> None:
    results = Grid(tasks=1, teacher=0.6).results()
    (task,) = curves_by_task(results.runs, QUICK)
    assert not any(task.depends_on_teacher(own.weights) for own in interactions.interactions(results.methods))
    assert not task.depends_on_teacher({"quantize": 1.0, "quantize+prune": -1.0})
    weights = {name: {"none": 1.0, name: -1.0} for name in ("distill", "quantize")}
    assert task.depends_on_teacher(weights["distill"])
    taught, alone = (estimate(task, own).interval for own in weights.values())
    assert taught.error > 1.2 * alone.error
    assert taught.freedom < alone.freedom


def test_more_seeds_make_it_narrower() -> None:
    few, many = (mean_rows(Grid(tasks=2, seeds=seeds).results())["error"] for seeds in (2, 10))
    assert many.mean() < 0.7 * few.mean()


def plain(tasks: dict[str, TaskCurves], runs: pd.DataFrame, own: Interaction, random: np.random.Generator) -> Array:
    """Percentiles of the mean over tasks where each cell's seeds are drawn with replacement."""
    fitted = {}
    for name, task in tasks.items():
        means = {subset: task.curves[subset].means for subset in own.weights}
        fitted[name] = task.refitted(means, _resampled(task, random))
    draws = [weighted(own.weights, fitted[name], task.curves) for name, task in tasks.items()]
    return np.asarray(np.nanpercentile(mean_draws(draws), [2.5, 97.5]))


def _resampled(task: TaskCurves, random: np.random.Generator) -> Array:
    """Changes of the cells' means, shape (replicates, N)."""
    assert task.variation is not None
    changes = []
    for deviations, seeds in zip(task.variation.deviations, task.variation.seeds, strict=True):
        present = deviations[deviations != 0] if seeds > 1 else np.zeros(1)
        changes.append(present[random.integers(len(present), size=(task.options.bootstrap, len(present)))].mean(axis=1))
    return np.stack(changes, axis=1)


def study(grid: Grid, count: int, options: Options, seed: int = 0) -> Iterator[tuple[Interaction, Estimate, bool]]:
    """Of each simulated grid and interaction: what is estimated, and whether the plain interval holds the truth."""
    for number in range(count):
        random = np.random.default_rng([seed, number])
        runs = grid.runs(random)
        tasks = {task.task: task for task in curves_by_task(runs, options)}
        for own in interactions.interactions(collected(runs["compression"])):
            found = mean({name: estimate(task, own.weights) for name, task in tasks.items()})
            low, high = plain({name: tasks[name] for name in found.tasks}, runs, own, random) if found.tasks else (1, 0)
            yield own, found, bool(low <= grid.known(own.methods, own.kind) <= high)


def summary(grid: Grid, count: int, options: Options, seed: int = 0) -> pd.DataFrame:
    """A row per interaction: undefined, bias, spread, error, ours, plain."""
    rows = []
    for own, found, plainly in study(grid, count, options, seed):
        truth = grid.known(own.methods, own.kind)
        inside = found.interval.low <= truth <= found.interval.high
        rows.append(
            {"methods": f"{own.methods}, pure" if own.kind == "pure" else own.methods,
             "undefined": not np.isfinite(found.interval.error), "off": found.value - truth,
             "error": found.interval.error, "freedom": found.interval.freedom, "ours": inside, "plain": plainly}
        )  # fmt: skip
    table = pd.DataFrame(rows)
    defined = table[~table["undefined"]].groupby("methods", sort=False)
    shown = defined.agg(
        bias=("off", "mean"), spread=("off", "std"), error=("error", "mean"), freedom=("freedom", "median"),
        ours=("ours", "mean"), plain=("plain", "mean"),
    )  # fmt: skip
    shown.insert(0, "undefined", table.groupby("methods", sort=False)["undefined"].mean())
    return shown


@pytest.mark.parametrize(
    "grid",
    [
        Grid(tasks=2, interaction=0.3, shared=0.4),
        Grid(tasks=2, seeds=5),
        Grid(tasks=2, interaction=-0.3, pure=0.4),
    ],
    ids=["super, shared", "none, 5 seeds", "sub, pure super"],
)
def test_intervals_cover_and_estimates_are_unbiased(grid: Grid) -> None:
    """With 100 grids a coverage is known to ± 0.04; tests/benchmarks/coverage.py has harder grids, and more of them."""
    table = summary(grid, 100, Options(bootstrap=150))
    assert (table["undefined"] == 0).all()
    assert 0.9 <= table["ours"].mean() <= 0.985
    assert (table["ours"] >= 0.87).all()
    assert (table["bias"].abs() < 3 * table["spread"] / 10 + 0.01).all()
    assert (table["error"] / table["spread"]).between(0.8, 1.3).all()


def test_the_plain_bootstrap_covers_less() -> None:
    table = summary(Grid(tasks=2), 60, Options(bootstrap=150))
    assert table["plain"].mean() < table["ours"].mean() - 0.03


def test_numbers_are_repeatable_and_a_task_does_not_depend_on_others() -> None:
    results = Grid(tasks=3).results()
    table = interactions.table(results, QUICK)
    pd.testing.assert_frame_equal(table, interactions.table(results, QUICK))
    alone = interactions.table(as_results(results.runs[results.runs["task"] == "mrpc"]), QUICK)
    own = table[table["scope"] == "mrpc"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone[alone["scope"] == "mrpc"].reset_index(drop=True))
    other = interactions.table(results, replace(QUICK, seed=1))
    assert (other["interaction"] == table["interaction"]).all()
    assert (other["low"] != table["low"]).all()


def test_what_noise_adds_on_average_is_taken_off_where_it_is_much() -> None:
    noise = np.random.default_rng(0).normal(size=500)
    noise = np.concatenate([noise, -noise])
    spread, bias = noise.std(ddof=1), float((noise**2).mean())
    little, much = (
        with_interval(Estimate(1.0), 1.0 + noise + curvature * noise**2, ((1.0, 2.0),)) for curvature in (0.2, 0.4)
    )
    assert little.value == 1.0
    assert little.interval.error == pytest.approx(math.hypot(spread, 0.2 * (noise**2).std()), rel=0.01)
    assert much.value == pytest.approx(1.0 - 0.4 * bias)
    assert float(much.draws.mean()) == pytest.approx(much.value)
    of_draws = math.hypot(spread, 0.4 * (noise**2).std())
    assert much.interval.error == pytest.approx(math.hypot(of_draws, 0.4 * bias), rel=0.01)
    assert (much.interval.low + much.interval.high) / 2 == pytest.approx(much.value)


# --- the study --------------------------------------------------------------------------------------------------------


def test_our_estimate_on_the_studys_figure() -> None:
    rows = interactions.study(reference.methods()).set_index(["contrast", "kind"])
    expected = {("quantize+distill", "pair"): 1.11, ("quantize+prune", "pair"): 0.96, ("distill+prune", "pair"): 1.09,
                ("quantize+distill+prune", "total"): 1.22}  # fmt: skip
    assert {key: math.exp(rows.loc[key, "interaction"]) for key in expected} == pytest.approx(expected, abs=0.005)
    assert rows["low"].isna().all()
    pure = rows.loc[("quantize+distill+prune", "pure"), "interaction"]
    assert math.exp(pure) == pytest.approx(1.05, abs=0.005)


def test_the_study_stands_beside_its_own_methods_where_anything_is_defined() -> None:
    results = LINEAR.exact()
    beside = interactions.with_study(interactions.table(results, QUICK), results.methods)
    assert (beside["scope"] == "study").sum() == 5
    other = replace(LINEAR, methods=("quantize", "shave")).exact()
    assert "study" not in set(interactions.with_study(interactions.table(other, QUICK), other.methods)["scope"])
    nothing = as_results(results.runs[results.runs["methods"] != "none"])
    assert "study" not in set(interactions.with_study(interactions.table(nothing, QUICK), nothing.methods)["scope"])


# --- what is not known ------------------------------------------------------------------------------------------------


def test_with_one_seed_only_the_differences_between_tasks_tell_anything() -> None:
    rows = mean_rows(Grid(seeds=1).results())
    assert rows["low"].isna().all()
    assert rows["unsure"].str.contains("one seed per cell").all()
    assert (rows["verdict"] == "undefined").all()
    assert rows["tasks_low"].notna().all()
    assert (rows["tasks_verdict"] != "undefined").all()
    assert ((rows["seeds_min"] == 1) & (rows["seeds_max"] == 1)).all()
    alone = mean_rows(Grid(seeds=1, tasks=1).results())
    assert alone["tasks_low"].isna().all()


def test_tasks_with_several_seeds_have_a_mean_of_their_own() -> None:
    runs = Grid(tasks=4).results().runs
    runs = runs[(runs["seed"] == 0) | runs["task"].isin(["cola", "sst2"])]
    table = interactions.table(as_results(runs), QUICK)
    rows = table[table["kind"] == "total"].set_index("scope")
    assert rows.loc["mean", "tasks"] == 4
    assert math.isnan(rows.loc["mean", "low"])
    assert rows.loc["mean", "unsure"].startswith("mrpc, stsb: one seed per cell")
    assert rows.loc["repeated", "tasks"] == 2
    assert rows.loc["repeated", "interaction"] == pytest.approx(rows.loc[["cola", "sst2"], "interaction"].mean())
    assert math.isfinite(rows.loc["repeated", "low"])


def test_curves_without_common_scores_leave_the_task_undefined_and_told() -> None:
    results = replace(LINEAR, interaction=0.2).exact()
    runs = results.runs
    runs.loc[(runs["task"] == "sst2") & (runs["methods"] == "quantize+distill"), "score_glue"] -= 50
    table = interactions.table(results, QUICK)
    own = table[table["contrast"] == "quantize+distill"].set_index("scope")
    assert math.isnan(own.loc["sst2", "interaction"])
    assert own.loc["sst2", "reason"] == "the curves have no scores in common"
    assert own.loc["sst2", ["tasks", "seeds_max", "verdict"]].to_list() == [0, 0, "undefined"]
    assert own.loc["mean", "tasks"] == 2
    assert own.loc["mean", "reason"] == "sst2: the curves have no scores in common"
    assert own.loc["mean", "interaction"] == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(("overlap", "defined"), [(0.2, False), (2.0, True)])
def test_common_scores_within_the_noise_do_not_count(overlap: float, defined: bool) -> None:
    results = Grid(tasks=1, noise=(0.5, 0.5)).results()
    runs = results.runs
    (task,) = curves_by_task(runs, QUICK)
    lowest = task.curves["quantize+distill"].scores[0]
    for methods in ("none", "quantize", "distill"):
        runs.loc[runs["methods"] == methods, "score_glue"] += lowest - task.curves[methods].scores[-1] + overlap
    row = mean_rows(results).loc[("quantize+distill", "pair")]
    assert math.isfinite(row["interaction"]) == defined
    assert ("less than the standard error of a difference" in row["reason"]) != defined


def test_a_missing_subset_leaves_just_its_contrasts_undefined() -> None:
    results = LINEAR.exact()
    kept = results.runs[results.runs["methods"] != "distill+prune"]
    rows = mean_rows(as_results(kept))
    assert rows["tasks"].to_dict() == {
        ("quantize+distill", "pair"): 3, ("quantize+prune", "pair"): 3, ("distill+prune", "pair"): 0,
        ("quantize+distill+prune", "total"): 3, ("quantize+distill+prune", "pure"): 0,
    }  # fmt: skip
    assert "no scores of distill+prune" in rows.loc[("distill+prune", "pair"), "reason"]


def test_tasks_that_scores_choose_have_a_mean_without_an_interval() -> None:
    """Leaving out what is narrow by chance is what biases it; with all tasks there is an interval."""
    results = Grid(tasks=3, noise=(0.3, 0.3)).results()
    runs = results.runs
    assert mean_rows(results)["low"].notna().all()
    flat = (runs["task"] == "sst2") & (runs["methods"] == "quantize+distill")
    runs.loc[flat, "score_glue"] = runs.loc[flat, "score_glue"].mean()
    row = mean_rows(results).loc[("quantize+distill", "pair")]
    assert row["tasks"] == 2
    assert math.isfinite(row["interaction"])
    assert math.isnan(row["low"])
    assert math.isnan(row["tasks_low"])
    assert row["unsure"].startswith("sst2 left out by the scores")


def test_missing_cells_leave_no_interval() -> None:
    runs = Grid(tasks=3).results().runs
    lost = (runs["task"] == "cola") & (runs["methods"] == "prune") & (runs["model"] == "small")
    table = interactions.table(as_results(runs[~lost]), QUICK)
    own = table[table["contrast"] == "distill+prune"].set_index("scope")
    assert own.loc["cola", "unsure"] == "2 cells of prune missing, where its curve is a guess"
    assert own.loc["mean", "unsure"] == "cola: 2 cells of prune missing, where its curve is a guess"
    assert own.loc[["cola", "mean"], ["low", "tasks_low"]].isna().all(axis=None)
    assert math.isfinite(own.loc["sst2", "low"])
    assert table[table["contrast"] == "quantize+distill"]["low"].notna().all()


def test_a_collapsed_run_leaves_no_interval() -> None:
    runs = Grid(tasks=2).results().runs
    place = runs.index[(runs["task"] == "sst2") & (runs["methods"] == "distill") & (runs["model"] == "base")][0]
    runs.loc[place, "score_glue"] = 50
    rows = mean_rows(as_results(runs))
    assert rows.loc[("quantize+prune", "pair"), "low"] < math.inf
    row = rows.loc[("quantize+distill", "pair")]
    assert math.isnan(row["low"])
    assert row["unsure"] == "sst2: a run of distill on base is far from its other seeds"


def test_no_replicates_no_interval() -> None:
    rows = mean_rows(Grid(tasks=2).results(), Options(bootstrap=0))
    assert rows["low"].isna().all()
    assert rows["unsure"].str.contains("no replicates were asked for").all()
    assert rows["interaction"].notna().all()


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.05, 0.5, "super-multiplicative"),
        (-0.5, -0.05, "sub-multiplicative"),
        (-0.05, 0.05, "multiplicative"),
        (0.02, 0.08, "multiplicative"),
        (-0.05, 0.2, "inconclusive"),
        (-0.2, 0.2, "inconclusive"),
    ],
)
def test_verdicts(low: float, high: float, word: str) -> None:
    assert interactions.verdict(Interval(low, high, 0.1, 10)) == word


def test_no_interval_no_verdict() -> None:
    assert interactions.verdict(Interval(reason=uncertainty.ONE_SEED)) == "undefined"


def test_verdicts_of_clear_grids() -> None:
    for strength, word in ((0.5, "super-multiplicative"), (0.0, "multiplicative"), (-0.5, "sub-multiplicative")):
        rows = mean_rows(Grid(interaction=strength, noise=(0.1, 0.1)).results())
        assert set(rows["verdict"][rows.index.get_level_values("kind") == "pair"]) == {word}


def test_sentences_tell_the_verdict_the_factors_and_the_counts() -> None:
    table = interactions.table(Grid(interaction=0.5, noise=(0.1, 0.1), tasks=2).results(), QUICK)
    said = interactions.sentence(table.iloc[0].to_dict())
    assert said.startswith("quantize+distill: super-multiplicative: reduces sizes by ")
    assert said.endswith("; 2 tasks, 3 seeds per cell")
    alone = interactions.sentence(interactions.table(Grid(seeds=1).results(), QUICK).iloc[0].to_dict())
    assert "from the differences between tasks; no interval from seeds (" in alone
    assert alone.endswith("8 tasks, 1 seed per cell")
