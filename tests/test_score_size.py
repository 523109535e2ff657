"""Score-size curves: isotonic, piecewise linear, never extrapolated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from analysis.read.results import from_documents
from analysis.statistics.score_size import cells, common_scores, isotonic, mean_inverse, score_size_curves
from tests.grids import document

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 12])
def test_isotonic_is_the_weighted_least_squares_fit(size: int) -> None:
    values, weights = RANDOM.normal(size=(40, size)).round(1), RANDOM.integers(1, 6, size).astype(float)
    fitted = isotonic(values, weights)
    for own, expected in zip(fitted, values, strict=True):
        reference = IsotonicRegression().fit(np.arange(size), expected, sample_weight=weights)
        assert own == pytest.approx(reference.predict(np.arange(size)))
    assert (np.diff(fitted) >= 0).all()
    assert isotonic(fitted, weights) == pytest.approx(fitted)


def random_curve(size: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.maximum(RANDOM.normal(size=size), 0.0)  # half of them plateaus
    steps[-1] += 1.0
    return np.sort(RANDOM.normal(size=size)), np.cumsum(steps)


def least_log_bytes(log_bytes: np.ndarray, fitted: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """L, by looking at every piece: the first that reaches a score, and where it does."""
    first = np.array([np.flatnonzero(fitted >= score)[0] for score in scores])
    left, right = np.maximum(first - 1, 0), first
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(first > 0, (scores - fitted[left]) / (fitted[right] - fitted[left]), 0.0)
    return log_bytes[left] + share * (log_bytes[right] - log_bytes[left])


@pytest.mark.parametrize("size", [2, 6, 12])
def test_mean_over_scores_is_what_a_fine_grid_gives(size: int) -> None:
    for _ in range(10):
        log_bytes, fitted = random_curve(size)
        low, high = np.sort(RANDOM.uniform(fitted[0], fitted[-1], 2))
        middles = low + (np.arange(20_000) + 0.5) / 20_000 * (high - low)
        expected = least_log_bytes(log_bytes, fitted, middles).mean()
        assert mean_inverse(log_bytes, fitted, np.array(low), np.array(high)) == pytest.approx(expected, abs=1e-3)


def test_replicates_are_computed_together_as_one_by_one() -> None:
    log_bytes = np.sort(RANDOM.normal(size=8))
    fitted = isotonic(RANDOM.normal(size=(30, 8)) + np.arange(8), np.ones(8))
    low, high = fitted[:, 0] + 0.5, fitted[:, -1] - 0.5
    together = mean_inverse(log_bytes, fitted, low, high)
    alone = [float(mean_inverse(log_bytes, *own)) for own in zip(fitted, low, high, strict=True)]
    assert together == pytest.approx(alone)


def test_scores_in_common_are_those_that_every_curve_covers() -> None:
    low, high = common_scores([np.array([60.0, 70.0, 80.0]), np.array([65.0, 90.0])])
    assert (float(low), float(high)) == (65.0, 80.0)
    assert math.isnan(mean_inverse(np.array([1.0, 2.0]), np.array([60.0, 70.0]), np.array(70.0), np.array(70.0)))


# --- from runs --------------------------------------------------------------------------------------------------------


def test_cells_average_the_seeds_that_are_defined() -> None:
    runs = [document("rte", "tiny", "prune", score, seed=seed) for seed, score in enumerate((60.0, 62.0, None))]
    table = cells(from_documents(runs, [], "a test").runs)
    assert table.iloc[0][["score", "seeds"]].to_list() == [61.0, 2]
    assert table["variance"][0] == pytest.approx(2 / 2)
    assert table["bytes"][0] == runs[0]["size"]["nominal_bytes"]


def test_curves_are_ordered_by_size_and_weigh_cells_by_their_seeds() -> None:
    scores = {("tiny", 0.4): [70.0], ("tiny", 0.6): [64.0, 68.0], ("mini", 0.6): [60.0, 61.0, 62.0], ("mini", 0.4): []}
    runs = [
        document("rte", model, "prune", score, sparsity=sparsity, seed=seed)
        for (model, sparsity), own in scores.items()
        for seed, score in enumerate(own)
    ]
    runs.append(document("rte", "mini", "prune", None, sparsity=0.4))
    curve = score_size_curves(cells(from_documents(runs, [], "a test").runs))["rte"]["prune"]
    assert list(zip(curve.models, curve.variants, strict=True)) == [
        ("tiny", "prune 60 %"), ("tiny", "prune 40 %"), ("mini", "prune 60 %"),
    ]  # fmt: skip
    assert curve.means == pytest.approx([66.0, 70.0, 61.0])
    assert curve.scores == pytest.approx([(2 * 66 + 70 + 3 * 61) / 6] * 3)
    assert list(curve.seeds) == [2, 1, 3]


def test_other_bytes_and_scores_can_be_asked_for() -> None:
    run = document("cola", "tiny", "prune", 10.0, accuracy=70.0)
    table = cells(from_documents([run], [], "a test").runs, "score_accuracy", "artifact_bytes")
    assert (table["score"][0], table["bytes"][0]) == (70.0, run["size"]["artifact_bytes"])
