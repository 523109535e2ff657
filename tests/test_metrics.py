"""GLUE's metrics equal scikit-learn's and SciPy's, and say so where they are undefined."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from compress.task import metrics

SEEDS = range(20)


def random_classes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    size, bias = int(generator.integers(2, 400)), generator.random()
    labels = (generator.random(size) < bias).astype(int)
    labels[:2] = 0, 1
    return (generator.random(size) < 0.5).astype(int), labels


def random_scores(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 26, 200) / 5  # many ties, as in STS-B
    return (labels + generator.normal(0, 2, 200)).astype(np.float32), labels.astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_class_metrics_equal_scikit_learn(seed: int) -> None:
    predictions, labels = random_classes(seed)
    assert metrics.accuracy(predictions, labels) == pytest.approx(sk.accuracy_score(labels, predictions), abs=1e-9)
    assert metrics.f1(predictions, labels) == pytest.approx(sk.f1_score(labels, predictions), abs=1e-9)
    expected = sk.matthews_corrcoef(labels, predictions)
    assert metrics.matthews_correlation(predictions, labels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_correlations_equal_scipy(seed: int) -> None:
    predictions, labels = random_scores(seed)
    exact = predictions.astype(np.float64), labels.astype(np.float64)
    assert metrics.pearson(predictions, labels) == pytest.approx(stats.pearsonr(*exact).statistic, abs=1e-9)
    assert metrics.spearman(predictions, labels) == pytest.approx(stats.spearmanr(*exact).statistic, abs=1e-9)


@pytest.mark.parametrize(("predicted", "actual"), [(0, 0), (1, 1), (0, 1), (1, 0)])
def test_f1_of_a_single_class_is_scikit_learns_or_undefined_where_that_is_0_over_0(predicted: int, actual: int) -> None:
    predictions, labels = np.full(9, predicted), np.full(9, actual)
    expected = sk.f1_score(labels, predictions, zero_division=np.nan)
    found = metrics.f1(predictions, labels)
    assert found is None if np.isnan(expected) else found == pytest.approx(expected, abs=1e-9)


def test_matthews_of_constant_predictions_is_0_by_convention_and_undefined_for_constant_labels() -> None:
    mixed, constant = np.array([0, 1, 1, 0]), np.ones(4, int)
    assert metrics.matthews_correlation(constant, mixed) == sk.matthews_corrcoef(mixed, constant) == 0.0
    assert metrics.matthews_correlation(mixed, constant) is None


@pytest.mark.parametrize("function", [metrics.pearson, metrics.spearman])
def test_a_correlation_with_a_constant_is_undefined_as_in_scipy(function: Callable) -> None:
    varied, constant = np.linspace(0, 5, 7), np.full(7, 2.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(stats.pearsonr(constant, varied).statistic)
    assert function(constant, varied) is None
    assert function(varied, constant) is None
    assert function(np.array([1.0]), np.array([2.0])) is None


def test_perfect_and_inverse_correlations_stay_within_their_bounds() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert metrics.pearson(values, 3 * values + 1) == pytest.approx(1.0, abs=1e-6)
    assert metrics.pearson(values, -values) == pytest.approx(-1.0, abs=1e-6)
    assert all(abs(metrics.pearson(values, k * values) or 9) <= 1 for k in (-7, -0.3, 1.1))


def test_nothing_to_score_is_undefined() -> None:
    empty = np.array([], int)
    assert all(function(empty, empty) is None for function in metrics.METRICS.values())


def test_the_score_is_the_mean_of_the_tasks_metrics_in_points() -> None:
    assert metrics.score({"f1": 0.9, "accuracy": 0.8}, ["f1", "accuracy"]) == pytest.approx(85)
    assert metrics.score({"f1": 0.9, "accuracy": 0.8}, ["accuracy"]) == pytest.approx(80)
    assert metrics.score({"matthews_correlation": -0.1}, ["matthews_correlation"]) == pytest.approx(-10)


def test_mnlis_two_accuracies_count_as_one_metric() -> None:
    both = {"accuracy_matched": 0.8, "accuracy_mismatched": 0.7}
    assert metrics.score(both, ["accuracy"]) == pytest.approx(75)
    assert metrics.score({"accuracy_matched": 0.8}, ["accuracy"]) == pytest.approx(80)


def test_one_undefined_metric_leaves_the_score_undefined() -> None:
    assert metrics.score({"pearson": None, "spearman": 0.4}, ["pearson", "spearman"]) is None
    assert metrics.score({}, ["accuracy"]) is None
