"""Score-size curves: the score that models of one subset of methods reach, as a function of their size.

A cell is all runs that differ only in their seeds. Of one task and one subset the curve is a nondecreasing function of
ln(bytes), fitted to the cells' mean scores by isotonic regression (weights: their numbers of seeds) and linear between
them. `L(a)` is the least ln(bytes) at which it reaches the score a. Nothing is extrapolated: above a curve's highest
score L is undefined, and below its lowest too, since a smaller model than any measured might reach that. Where several
curves are compared, it is over the scores that all of them cover, each score counting the same.

The functions take many replicates of the scores at once, in leading dimensions.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.read.results import CELL

Array = NDArray[np.float64]
LARGEST = math.log(sys.float_info.max)  # log of a factor that a float holds


def as_factor(log: float) -> float:
    """The factor of a log; infinite where a float cannot hold it, as where scores do not depend on size."""
    return math.inf if log > LARGEST else math.exp(log)


def cells(runs: pd.DataFrame, score: str = "score_glue", size: str = "nominal_bytes") -> pd.DataFrame:
    """One row per cell, in the order of the runs, of a column of scores (points) and one of bytes.

    Returns:
        Columns `CELL`; score (mean over seeds; NaN where no run's is defined), seeds (how many the score is of),
        variance (of that mean; NaN below two seeds), bytes (mean).
    """
    grouped = runs.groupby(CELL, sort=False)
    table = grouped.agg(score=(score, "mean"), variance=(score, "var"), seeds=(score, "count"), bytes=(size, "mean"))
    table["variance"] /= table["seeds"]
    return table.reset_index()


@dataclass(frozen=True)
class ScoreSizeCurve:
    """The cells of one task and subset, by size.

    Attributes:
        models, variants: of each cell.
        log_bytes: ascending, shape (n,).
        means, seeds: the cells' mean scores, and of how many seeds each is, shape (n,).
        scores: what isotonic regression makes of the means, shape (n,).
    """

    models: tuple[str, ...]
    variants: tuple[str, ...]
    log_bytes: Array
    means: Array
    seeds: Array
    scores: Array


def score_size_curves(table: pd.DataFrame) -> dict[str, dict[str, ScoreSizeCurve]]:
    """Task -> subset -> curve, of the `cells` with a defined score."""
    defined = table[table["score"].notna()]
    curves: dict[str, dict[str, ScoreSizeCurve]] = {}
    for (task, methods), rows in defined.groupby(["task", "methods"], sort=False):
        ordered = rows.sort_values("bytes", kind="stable")
        means, seeds = ordered["score"].to_numpy(float), ordered["seeds"].to_numpy(float)
        curves.setdefault(task, {})[methods] = ScoreSizeCurve(
            models=tuple(ordered["model"]),
            variants=tuple(ordered["variant"]),
            log_bytes=np.log(ordered["bytes"].to_numpy(float)),
            means=means,
            seeds=seeds,
            scores=isotonic(means, seeds),
        )
    return curves


def isotonic(values: Array, weights: Array) -> Array:
    """The nearest nondecreasing sequence in weighted least squares, along the last dimension.

    By the max-min formula (Robertson, Wright & Dykstra 1988, theorem 1.4.4): the greatest over starts j ≤ i of the
    least over ends k ≥ i of the mean over j…k. For a dozen cells, and for all replicates at once, faster than pooling.
    Values have the shape (…, n), positive weights (n,).
    """
    sums = np.cumsum(values * weights, axis=-1)
    totals = np.cumsum(weights)
    fitted = np.full(np.shape(values), -np.inf)
    for start in range(len(weights)):
        before = sums[..., start - 1 : start] if start else 0.0
        means = (sums[..., start:] - before) / (totals[start:] - (totals[start - 1] if start else 0.0))
        least = np.minimum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
        np.maximum(fitted[..., start:], least, out=fitted[..., start:])
    return fitted


def mean_inverse(log_bytes: Array, fitted: Array, low: Array, high: Array) -> Array:
    """The mean of L over the scores from `low` to `high`, each counting the same; exact, no grid.

    Args:
        log_bytes: ascending, shape (n,).
        fitted: nondecreasing, shape (…, n).
        low, high: shape (…), as the mean; within the curve's scores. NaN where not low < high.
    """
    left, right = fitted[..., :-1], fitted[..., 1:]
    bottom, top = np.clip(left, low[..., None], high[..., None]), np.clip(right, low[..., None], high[..., None])
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(right > left, np.diff(log_bytes) / (right - left), 0.0)
        middle = log_bytes[:-1] + ((bottom + top) / 2 - left) * slope
        mean = np.asarray(((top - bottom) * middle).sum(axis=-1) / (high - low))
    return np.where(high > low, mean, np.nan)


def common_scores(fitted: Sequence[Array]) -> tuple[Array, Array]:
    """The least and the greatest score that all curves cover, of fitted scores of shape (…, n of each curve)."""
    low = np.max([scores[..., 0] for scores in fitted], axis=0)
    return low, np.min([scores[..., -1] for scores in fitted], axis=0)
