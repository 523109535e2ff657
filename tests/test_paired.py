"""Experiments compared row by row: McNemar's test and the paired bootstrap."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from analysis.read.predictions import Predictions
from analysis.statistics.paired import difference, mcnemar, sampling
from compress.errors import ConfigError
from compress.runs.predictions import Split
from compress.runs.result import from_document
from compress.task.config import TaskConfig
from tests.grids import document


def predictions(
    *splits: Split, name: str = "rte", labels: list[str] | None = None, metrics=("accuracy",)
) -> Predictions:
    """An experiment's; with two splits as MNLI's."""
    names = ["validation"] if len(splits) == 1 else ["validation_matched", "validation_mismatched"]
    given = document(name, "tiny", "none", 60.0)
    task = TaskConfig(name=name, text=["sentence"], labels=labels, validation=names, metrics=list(metrics),
                      accuracy_metrics=list(metrics))  # fmt: skip
    return Predictions(from_document(given), task, dict(zip(names, splits, strict=True)))


def binary(labels: np.ndarray, right: np.ndarray) -> Predictions:
    return predictions(Split(labels, np.where(right, labels, 1 - labels)), labels=["no", "yes"])


def pair(rows: int, seed: int = 0) -> tuple[Predictions, Predictions, np.ndarray]:
    """Two experiments that are right on 80 and 75 % of the rows, mostly on the same; the differences by row."""
    random = np.random.default_rng(seed)
    labels, luck = random.integers(0, 2, rows), random.random(rows)
    first, second = luck < 0.8, np.abs(luck - 0.02) < 0.75
    second ^= random.random(rows) < 0.03
    return binary(labels, first), binary(labels, second), first.astype(float) - second


def test_mcnemar_counts_the_rows_that_one_alone_is_right_on() -> None:
    """The example on MRPC in compress/methods/README.md: 16 and 20 rows, p = 0.62."""
    labels = np.zeros(408, int)
    first, second = np.ones(408, bool), np.ones(408, bool)
    first[:100] = second[:100] = False
    second[100:116], first[200:220] = False, False
    found = mcnemar(binary(labels, first), binary(labels, second))
    assert (found.first, found.second) == (16, 20)
    assert found.p == pytest.approx(2 * sum(math.comb(36, k) for k in range(17)) / 2**36)
    assert found.p == pytest.approx(0.62, abs=0.005)
    swapped = mcnemar(binary(labels, second), binary(labels, first))
    assert (swapped.first, swapped.second) == (20, 16)
    assert swapped.p == pytest.approx(found.p)


def test_experiments_that_are_right_on_the_same_rows_do_not_differ() -> None:
    first, _, _ = pair(200)
    assert (found := mcnemar(first, first)).p == 1
    assert (found.first, found.second) == (0, 0)
    interval = difference(first, first, replicates=100)
    assert (interval.low, interval.high, interval.error) == (0, 0, 0)


def test_the_bootstrap_of_accuracies_has_the_error_that_follows_from_the_rows() -> None:
    first, second, differences = pair(872)
    exact = 100 * differences.std() / math.sqrt(len(differences))
    interval = difference(first, second, replicates=2000)
    assert interval.error == pytest.approx(exact, rel=0.06)
    assert interval.low == pytest.approx(100 * differences.mean() - 1.96 * exact, abs=0.15 * exact)
    assert interval.high == pytest.approx(100 * differences.mean() + 1.96 * exact, abs=0.15 * exact)
    one = sampling(first, replicates=2000)
    accuracy = (first.score() or 0) / 100
    assert one.error == pytest.approx(100 * math.sqrt(accuracy * (1 - accuracy) / 872), rel=0.06)
    assert one.low < 100 * accuracy < one.high
    other = sampling(second, replicates=2000)
    assert interval.error < 0.6 * math.hypot(one.error, other.error), "what the rows have in common cancels"


def test_rows_of_several_splits_are_drawn_within_each() -> None:
    """The score is the mean of the splits' accuracies, so the variances of both count for a quarter."""
    random = np.random.default_rng(3)
    splits = []
    for rows, share in ((900, 0.9), (100, 0.6)):
        labels = random.integers(0, 3, rows)
        splits.append(Split(labels, np.where(random.random(rows) < share, labels, (labels + 1) % 3)))
    both = predictions(*splits, name="mnli", labels=["a", "b", "c"])
    variances = [(split.predictions == split.labels).var() / len(split.labels) for split in splits]
    assert sampling(both, replicates=2000).error == pytest.approx(50 * math.sqrt(sum(variances)), rel=0.06)
    rights = [(split.predictions == split.labels).sum() for split in splits]
    nothing = predictions(*(Split(split.labels, (split.labels + 1) % 3) for split in splits), name="mnli",
                          labels=["a", "b", "c"])  # fmt: skip
    assert mcnemar(both, nothing).first == sum(rights)


def regression(labels: np.ndarray, noise: float, seed: int) -> Predictions:
    noisy = labels + np.random.default_rng(seed).normal(0, noise, len(labels)).astype(np.float32)
    return predictions(Split(labels, noisy.astype(np.float32)), name="stsb", metrics=("pearson", "spearman"))


def test_correlations_are_compared_by_the_bootstrap_alone() -> None:
    labels = np.random.default_rng(0).uniform(0, 5, 500).astype(np.float32)
    better, worse = regression(labels, 0.5, 1), regression(labels, 1.5, 2)
    interval = difference(better, worse, replicates=300)
    assert 0 < interval.low < (better.score() or 0) - (worse.score() or 0) < interval.high
    assert difference(better, worse, replicates=300) == interval, "the same draws each time"
    assert difference(better, worse, replicates=300, seed=1) != interval
    with pytest.raises(ConfigError, match="stsb is a regression"):
        mcnemar(better, worse)


def test_a_score_that_is_undefined_on_some_rows_has_no_interval() -> None:
    labels = np.array([0.0, 5.0, 0.0, 0.0], np.float32)  # without the second row they are constant
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sampling(regression(labels, 0.5, 1), replicates=100)
    assert math.isnan(found.low)
    assert found.reason == "the score is undefined on some draws of the dev rows"
    alone = binary(np.array([1]), np.array([True]))
    assert sampling(alone, replicates=10).reason == "a split has fewer than two rows"


def test_what_was_not_scored_on_the_same_rows_is_not_paired() -> None:
    first, second, _ = pair(200)
    (split,) = second.splits.values()
    flipped = split.labels.copy()
    flipped[7] = 1 - flipped[7]
    others = [pair(201)[1], binary(flipped, split.predictions == flipped),
              predictions(split, name="qnli", labels=["no", "yes"])]  # fmt: skip
    for other in others:
        for compare in (mcnemar, difference):
            with pytest.raises(
                ConfigError, match=r"runs \w{12} \(rte\) and \w{12} \(\w+\) were not scored on the same"
            ):
                compare(first, other)
