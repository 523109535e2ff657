"""Two experiments compared row by row on the dev set they share, and how far one's score depends on these rows.

What seeds tell is how a score varies from training to training on the same dev rows; what is here is how it varies
with the dev rows, the trained models being as they are. Both experiments meet the same rows, so that what these have in
common cancels.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np

from analysis.read.predictions import Kind, Predictions
from analysis.statistics.uncertainty import Interval
from compress.errors import ConfigError

REPLICATES = 1000


@dataclass(frozen=True)
class McNemar:
    """Rows that one of two experiments alone is right on, and how likely so uneven a split is if they are as good."""

    first: int
    second: int
    p: float


def mcnemar(first: Predictions, second: Predictions) -> McNemar:
    """The exact two-sided test of equal accuracy, over the rows of all splits (McNemar 1947; exact: Mosteller 1952).

    ConfigError for a regression, or if they are not of the same rows.
    """
    from scipy.stats import binomtest

    _check_same_rows(first, second)
    if first.task.regression:
        raise ConfigError(f"{first.result.task} is a regression: no row is right or wrong; compare scores")
    right = [
        np.concatenate([split.predictions == split.labels for split in each.splits.values()])
        for each in (first, second)
    ]
    ours, theirs = (int((one & ~other).sum()) for one, other in (right, right[::-1]))
    return McNemar(ours, theirs, float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0)


def difference(
    first: Predictions, second: Predictions, kind: Kind = "glue", *, replicates: int = REPLICATES, seed: int = 0
) -> Interval:
    """95 % interval and standard error of first's score − second's, in points, as other dev rows might make it.

    The paired bootstrap (Efron & Tibshirani 1993, chapters 8 and 13; Koehn 2004): rows are drawn with replacement,
    within each split, the same for both; percentiles. ConfigError if they are not of the same rows.
    """
    _check_same_rows(first, second)
    return _bootstrap([(first, 1), (second, -1)], kind, replicates, seed)


def sampling(one: Predictions, kind: Kind = "glue", *, replicates: int = REPLICATES, seed: int = 0) -> Interval:
    """As `difference`, of one experiment's score."""
    return _bootstrap([(one, 1)], kind, replicates, seed)


def _check_same_rows(first: Predictions, second: Predictions) -> None:
    """Refuse what cannot be paired; of the same labels in the same order, no data sets have other rows by chance."""
    ours, theirs = first.splits, second.splits
    same = ours.keys() == theirs.keys() and all(np.array_equal(ours[name].labels, theirs[name].labels) for name in ours)
    if first.task != second.task or not same:
        raise ConfigError(
            f"runs {first.result.run_id} ({first.result.task}) and {second.result.run_id} ({second.result.task}) were "
            "not scored on the same rows; compare runs of one task and data"
        )


def _bootstrap(signed: list[tuple[Predictions, int]], kind: Kind, replicates: int, seed: int) -> Interval:
    from scipy.stats import DegenerateDataWarning, bootstrap

    splits = signed[0][0].splits

    def statistic(*drawn: np.ndarray) -> float:
        rows = dict(zip(splits, drawn, strict=True))
        scores = [one.score(kind, rows) for one, _ in signed]
        return math.fsum(math.nan if score is None else sign * score
                         for score, (_, sign) in zip(scores, signed, strict=True))  # fmt: skip

    samples = [np.arange(len(split.labels)) for split in splits.values()]
    if min(map(len, samples)) < 2:
        return Interval(reason="a split has fewer than two rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # of undefined scores, which are told below
        drawn = bootstrap(samples, statistic, n_resamples=replicates, vectorized=False, method="percentile", rng=seed)
    if not np.isfinite(drawn.bootstrap_distribution).all():
        return Interval(reason="the score is undefined on some draws of the dev rows")
    low, high = drawn.confidence_interval
    return Interval(float(low), float(high), float(drawn.standard_error))
