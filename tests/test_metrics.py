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
    nothing = {True: np.zeros((0, 2), np.float32), False: empty}
    for name, metric in metrics.METRICS.items():
        assert metric.compute(nothing[metric.takes_logits], empty) is None, name


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


# --- scikit-learn's ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_area_under_the_curve_is_scikit_learns_of_the_probabilities(seed: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, 300)
    logits = (generator.normal(0, 1, (300, classes)) + np.eye(classes)[labels]).astype(np.float32)
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = sk.roc_auc_score(labels, shares[:, 1] if classes == 2 else shares, multi_class="ovr")
    assert metrics.METRICS["auroc"].compute(logits, labels) == pytest.approx(expected, abs=1e-12)
    if classes == 2:
        found = metrics.METRICS["average_precision"].compute(logits, labels)
        assert found == pytest.approx(sk.average_precision_score(labels, shares[:, 1]), abs=1e-12)


def test_logits_that_a_probability_cannot_tell_apart_are_ranked() -> None:
    """In float32 both positives have the probability 1."""
    logits, labels = np.array([[0, 40], [0, 50], [0, 60]], np.float32), np.array([0, 1, 1])
    assert metrics.METRICS["auroc"].compute(logits, labels) == 1.0


@pytest.mark.parametrize("name", [name for name, metric in metrics.METRICS.items() if metric.of != "numbers"])
def test_a_metric_of_classes_is_1_for_what_is_right_and_in_scores_from_minus_1_to_1(name: str) -> None:
    metric, generator = metrics.METRICS[name], np.random.default_rng(1)
    labels = generator.integers(0, 2, 50)
    for predicted in (labels, 1 - labels, generator.integers(0, 2, 50)):
        answers = np.eye(2, dtype=np.float32)[predicted] if metric.takes_logits else predicted
        value = metric.compute(answers, labels)
        assert value is not None
        assert -1 <= value <= 1
        assert (value == pytest.approx(1)) == (predicted is labels)
    assert metric.in_scores


@pytest.mark.parametrize(
    ("name", "predictions", "labels"),
    [
        ("precision", [0, 0], [0, 1]),
        ("recall", [0, 1], [0, 0]),
        ("cohen_kappa", [1, 1], [1, 1]),
        ("auroc", [0, 1], [1, 1]),
        ("average_precision", [0, 1], [0, 0]),
        ("r2", [1.0, 2.0], [3.0, 3.0]),
        ("r2", [1.0], [3.0]),
    ],
)
def test_what_is_0_over_0_is_undefined(name: str, predictions: list[float], labels: list[float]) -> None:
    metric = metrics.METRICS[name]
    answers = np.eye(2, dtype=np.float32)[np.array(predictions, int)] if metric.takes_logits else np.array(predictions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric.compute(answers, np.array(labels)) is None


def test_errors_are_in_the_labels_own_unit_and_in_no_score() -> None:
    predictions, labels = np.array([1, 2, 6], np.float32), np.array([1, 4, 6], np.float32)
    assert metrics.METRICS["mae"].compute(predictions, labels) == pytest.approx(2 / 3)
    assert metrics.METRICS["rmse"].compute(predictions, labels) == pytest.approx((4 / 3) ** 0.5)
    assert not any(metrics.METRICS[name].in_scores for name in ("rmse", "mae", "r2"))
