"""Fronts: isotonic, piecewise linear, never extrapolated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from analysis.read.results import from_documents
from analysis.statistics.cells import cells, missing
from analysis.statistics.fronts import common_scores, fronts, inverse, isotonic, mean_inverse
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


def random_front(size: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.maximum(RANDOM.normal(size=size), 0.0)  # half of them plateaus
    steps[-1] += 1.0
    return np.sort(RANDOM.normal(size=size)), np.cumsum(steps)


@pytest.mark.parametrize("size", [2, 5, 12])
def test_least_size_is_the_first_that_reaches_a_score(size: int) -> None:
    for _ in range(20):
        log_bytes, fitted = random_front(size)
        scores = RANDOM.uniform(fitted[0], fitted[-1], 50)
        least = inverse(log_bytes, fitted, scores)
        assert np.interp(least, log_bytes, fitted) == pytest.approx(scores)
        inside = least > log_bytes[0] + 1e-9
        assert (np.interp(least[inside] - 1e-9, log_bytes, fitted) < scores[inside]).all()


def test_a_plateau_counts_from_its_smallest_model() -> None:
    log_bytes, fitted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([70.0, 80.0, 80.0, 90.0])
    assert inverse(log_bytes, fitted, np.array([80.0, 80.0 + 1e-9, 85.0])) == pytest.approx([2.0, 3.0, 3.5])


def test_nothing_is_extrapolated() -> None:
    log_bytes, fitted = np.array([1.0, 2.0]), np.array([70.0, 80.0])
    found = inverse(log_bytes, fitted, np.array([69.9, 70.0, 80.0, 80.1]))
    assert np.isnan(found[[0, 3]]).all()
    assert found[1:3] == pytest.approx([1.0, 2.0])
    assert math.isnan(inverse(log_bytes[:1], fitted[:1], np.array(70.1)))
    assert inverse(log_bytes[:1], fitted[:1], np.array(70.0)) == 1.0


@pytest.mark.parametrize("size", [2, 6, 12])
def test_mean_over_scores_is_what_a_fine_grid_gives(size: int) -> None:
    for _ in range(10):
        log_bytes, fitted = random_front(size)
        low, high = np.sort(RANDOM.uniform(fitted[0], fitted[-1], 2))
        middles = low + (np.arange(20_000) + 0.5) / 20_000 * (high - low)
        expected = inverse(log_bytes, fitted, middles).mean()
        assert mean_inverse(log_bytes, fitted, np.array(low), np.array(high)) == pytest.approx(expected, abs=1e-3)


def test_replicates_are_computed_together_as_one_by_one() -> None:
    log_bytes = np.sort(RANDOM.normal(size=8))
    fitted = isotonic(RANDOM.normal(size=(30, 8)) + np.arange(8), np.ones(8))
    low, high = fitted[:, 0] + 0.5, fitted[:, -1] - 0.5
    together = mean_inverse(log_bytes, fitted, low, high)
    alone = [float(mean_inverse(log_bytes, *own)) for own in zip(fitted, low, high, strict=True)]
    assert together == pytest.approx(alone)


def test_scores_in_common_are_those_that_every_front_covers() -> None:
    low, high = common_scores([np.array([60.0, 70.0, 80.0]), np.array([65.0, 90.0])])
    assert (float(low), float(high)) == (65.0, 80.0)
    assert math.isnan(mean_inverse(np.array([1.0, 2.0]), np.array([60.0, 70.0]), np.array(70.0), np.array(70.0)))


# --- from runs --------------------------------------------------------------------------------------------------------


def test_cells_average_seeds_and_count_what_is_undefined() -> None:
    runs = [document("rte", "tiny", "prune", score, seed=seed) for seed, score in enumerate((60.0, 62.0, None))]
    table = cells(from_documents(runs, [], "a test").runs)
    assert table.iloc[0][["score", "seeds", "undefined"]].to_list() == [61.0, 2, 1]
    assert table["sd"][0] == pytest.approx(math.sqrt(2))
    assert table["log_bytes"][0] == pytest.approx(math.log(runs[0]["size"]["nominal_bytes"]))


def test_fronts_are_ordered_by_size_and_weigh_cells_by_their_seeds() -> None:
    scores = {("tiny", 0.4): [70.0], ("tiny", 0.6): [64.0, 68.0], ("mini", 0.6): [60.0, 61.0, 62.0], ("mini", 0.4): []}
    runs = [
        document("rte", model, "prune", score, sparsity=sparsity, seed=seed)
        for (model, sparsity), own in scores.items()
        for seed, score in enumerate(own)
    ]
    runs.append(document("rte", "mini", "prune", None, sparsity=0.4))
    front = fronts(cells(from_documents(runs, [], "a test").runs))["rte"]["prune"]
    assert list(zip(front.models, front.sparsities, strict=True)) == [("tiny", 0.6), ("tiny", 0.4), ("mini", 0.6)]
    assert front.means == pytest.approx([66.0, 70.0, 61.0])
    assert front.scores == pytest.approx([(2 * 66 + 70 + 3 * 61) / 6] * 3)
    assert list(front.seeds) == [2, 1, 3]


def test_other_bytes_and_scores_can_be_asked_for() -> None:
    run = document("cola", "tiny", "prune", 10.0, accuracy=70.0)
    table = cells(from_documents([run], [], "a test").runs, "score_accuracy", "artifact_bytes")
    assert (table["score"][0], table["bytes"][0]) == (70.0, run["size"]["artifact_bytes"])


def test_missing_cells_are_those_of_the_full_crossing() -> None:
    there = [("rte", "tiny", "none", 0.4), ("rte", "mini", "prune", 0.4), ("sst2", "tiny", "prune", 0.6)]
    runs = from_documents(
        [document(task, model, methods, 1.0, sparsity=s) for task, model, methods, s in there], [], ""
    )
    lacking = set(missing(runs.runs).itertuples(index=False, name=None))
    assert len(lacking) == 2 * 2 * 3 - 3
    assert ("rte", "mini", "none", 0.0) in lacking
    assert ("rte", "mini", "prune", 0.6) in lacking
    assert ("rte", "mini", "prune", 0.4) not in lacking
