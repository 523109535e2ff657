"""The nonlinear mixed model behind sizes at equal score: what it finds exactly, and what must not move it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.options import Options
from analysis.statistics.shift_model import Fit, fit, off_lines, passed_over
from analysis.statistics.treatments import Cells, cells_of, parts_of, robust_means, subset_of
from analysis.statistics.uncertainty import seed_scale
from tests.simulated import Grid, as_results

METHODS = ("quantize", "distill", "prune", "shave", "coach")


def fitted(runs: pd.DataFrame) -> Fit:
    model = fit(cells_of(as_results(runs), Options()))
    assert model is not None
    return model


def reductions(model: Fit) -> np.ndarray:
    """The mean log-reduction of each treatment at the smallest architecture, learned and arithmetic."""
    return model.mean - model.cells.changes[0]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "grid", [Grid(linear=True), Grid(), Grid(ceilings=True)], ids=["straight", "saturating", "logistic"]
)
def test_shifts_are_found_without_noise_whatever_the_curve(grid: Grid, count: int) -> None:
    """A logistic curve is not exactly of the family; it is off by less than a thousandth."""
    grid = replace(grid, methods=METHODS[:count], interaction=0.2, tasks=4)
    model = fitted(grid.simulate(np.random.default_rng(0)).exact)
    known = [grid.log_reduction(subset_of(treatment)) for treatment in model.cells.treatments]
    assert model.converged
    assert reductions(model) == pytest.approx(known, abs=1e-3 if grid.ceilings else 1e-4)


def test_a_flat_task_does_not_move_the_mean() -> None:
    runs = Grid(tasks=4, differ=0.2).results(3).runs
    flat = runs["task"] == "stsb"
    alone = fitted(runs[~flat])
    noise = np.random.default_rng(0).normal(0, 0.5, int(flat.sum()))
    runs.loc[flat, "score_glue"] = 60 + noise
    assert fitted(runs).mean == pytest.approx(alone.mean, abs=0.02)


def test_a_task_whose_scores_fall_with_size_tells_nothing() -> None:
    runs = Grid(tasks=3).results(1).runs
    falling = runs["task"] == "sst2"
    runs.loc[falling, "score_glue"] = 150 - runs.loc[falling, "score_glue"]
    model = fitted(runs)
    place = [task.cells.task for task in model.tasks].index("sst2")
    assert model.tasks[place].nuisance[1] == 0
    assert not model.precisions[place].any()


def test_units_of_score_do_not_matter() -> None:
    runs = Grid(tasks=3, differ=0.1).results().runs
    scaled = runs.assign(score_glue=runs["score_glue"] * 0.01 + 5)
    assert fitted(scaled).mean == pytest.approx(fitted(runs).mean, abs=1e-3)


def test_tasks_that_differ_have_shifts_of_their_own() -> None:
    """Between the mean and what the task shows alone, here almost that."""
    grid = Grid(tasks=6, differ=0.3, noise=(0.05, 0.05), methods=("quantize", "distill"))
    simulated = grid.simulate(np.random.default_rng(5))
    model = fitted(simulated.runs)
    exact = fitted(simulated.exact)
    assert np.std([task.shifts for task in model.tasks], axis=0).max() > 0.1
    for own, without_noise in zip(model.tasks, exact.tasks, strict=True):
        assert own.shifts == pytest.approx(without_noise.shifts, abs=0.05)


def test_architectures_off_the_curve_make_slopes_unsure() -> None:
    smooth, dipped = (fitted(Grid(sizes=3, dip=dip, noise=(0.1, 0.1)).results().runs) for dip in (False, True))
    assert smooth.slope_error < 0.05
    assert dipped.slope_error > 0.2
    assert smooth.slope_freedom == 1


def test_stretches_of_the_curve_cancel_only_where_they_are_the_same() -> None:
    up, both, apart = np.array([1.0, 0.0]), np.array([1.0, -1.0]), np.array([1.0, 1.0])
    assert passed_over(up, np.array([0.7, 0.3])) == pytest.approx(0.7)
    assert passed_over(up, np.array([-0.7, 0.3])) == pytest.approx(0.7)
    assert passed_over(both, np.array([0.7, 0.7])) == pytest.approx(0)
    assert passed_over(both, np.array([0.7, 0.3])) == pytest.approx(0.4)  # the same as their difference
    assert passed_over(apart, np.array([0.7, -0.7])) == pytest.approx(1.4)  # though their sum is 0


def test_errors_of_slopes_cancel_with_many_architectures_only() -> None:
    weights = np.array([1.0, 1.0, *np.zeros(9)])
    for sizes, lengths in ((3, 1.4), (4, 1.4), (5, 0.0), (6, 0.0)):
        model = fitted(Grid(sizes=sizes, tasks=3).results().runs)
        shifts = np.array([0.7, -0.7, *np.zeros(9)])
        error = math.sqrt(model.slope_variance(weights, shifts))
        assert error == pytest.approx(lengths * model.slope_error)
        assert model.slope_variance(weights, abs(shifts)) == pytest.approx((1.4 * model.slope_error) ** 2)
    assert math.isnan(fitted(Grid(sizes=2, tasks=3).results().runs).slope_variance(weights, weights))


@pytest.mark.parametrize("there", [[0, 1], [0, 2, 3], [0, 1, 2, 3]])
def test_offsets_lie_off_every_straight_line(there: list[int]) -> None:
    sizes = np.array([-2.0, -0.5, 0.5, 2.0])
    ways = off_lines(sizes, np.array(there))
    assert ways.shape == (4, len(there) - 2)
    assert ways.T @ ways == pytest.approx(np.eye(len(there) - 2))
    assert np.ones(4) @ ways == pytest.approx(0)
    assert sizes @ ways == pytest.approx(0)


# --- cells ------------------------------------------------------------------------------------------------------------


def cells(runs: pd.DataFrame) -> Cells:
    return cells_of(as_results(runs), Options())


def test_bytes_are_those_of_the_uncompressed_architectures_and_changes() -> None:
    runs = Grid(tasks=2).exact().runs
    made = cells(runs)
    for row in runs.to_dict("records"):
        model = made.models.index(row["model"])
        change = 0.0
        if row["compression"]:
            key = tuple((entry.method, entry.option, entry.value) for entry in row["compression"])
            change = made.changes[model, made.treatments.index(key)]
        assert made.log_bytes[model] + change == pytest.approx(math.log(row["nominal_bytes"]))


def test_architectures_run_only_uncompressed_or_only_compressed_are_left_out_and_told() -> None:
    runs = Grid(tasks=2).exact().runs
    bare = (runs["model"] == "large") & (runs["methods"] != "none")
    made = cells(runs[~bare & ~((runs["model"] == "tiny") & (runs["methods"] == "none"))])
    assert made.models == ("mini", "small", "medium", "base")
    assert made.left_out == ("tiny: not run uncompressed", "large: run uncompressed only")


def test_a_robust_mean_is_the_mean_of_what_is_normal_and_not_moved_far_by_one_collapsed_run() -> None:
    scores = np.random.default_rng(0).normal(80, 1, (200, 5))
    scores[0, 0] = np.nan
    scale = seed_scale(scores)
    assert scale == pytest.approx(1, rel=0.1)
    assert np.std(robust_means(scores, scale) - np.nanmean(scores, axis=1)) < 0.1
    collapsed = scores.copy()
    collapsed[:, 4] = 50
    assert np.abs(robust_means(collapsed, scale) - np.nanmean(scores[:, :4], axis=1)).max() < 1.5


def test_one_seed_is_its_own_mean() -> None:
    scores = np.array([[80.0], [70.0]])
    assert seed_scale(scores) == 0
    assert robust_means(scores, 0.0).tolist() == [80, 70]


def test_parts_are_all_choices_of_a_treatments_methods() -> None:
    treatments = tuple(cells(Grid(tasks=1).exact().runs).treatments)
    design = parts_of(treatments)
    assert design.sum(axis=1).tolist() == [2 ** len(treatment) - 1 for treatment in treatments]
    assert np.linalg.matrix_rank(design) == len(treatments)
