"""95 % intervals: of numbers with replicates, of sums of independent parts, and over tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics.score_size import Array

CONFIDENCE = 0.95
Parts = Sequence[tuple[float, int]]  # variance and degrees of freedom of each independent part of a number


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low, high: NaN if undefined.
        error: standard error; NaN if undefined.
        freedom: degrees of freedom of the t distribution.
        reason: why it is undefined; empty otherwise.
    """

    low: float = math.nan
    high: float = math.nan
    error: float = math.nan
    freedom: float = math.nan
    reason: str = ""


def around(value: float, error: float, freedom: float) -> Interval:
    """A t interval."""
    reach = quantile(freedom) * error
    return Interval(value - reach, value + reach, error, freedom)


def of_draws(value: float, draws: Array, parts: Parts) -> Interval:
    """Around a number: the replicates' standard deviation times a quantile of t.

    Args:
        draws: the number in each replicate, shape (R,); undefined ones are NaN and left out.
        parts: of the number, for the quantile.
    """
    return around(value, float(np.nanstd(draws, ddof=1)), satterthwaite(parts))


def of_parts(value: float, parts: Parts) -> Interval:
    """Around a sum of independent parts whose variances and degrees of freedom are known."""
    return around(value, math.sqrt(sum(variance for variance, _ in parts)), satterthwaite(parts))


def satterthwaite(parts: Parts) -> float:
    """Degrees of freedom of a sum of independent variance estimates.

    Satterthwaite's formula, (sum V)² / sum(V² / f), with estimates for the variances V. With few degrees of freedom f
    the square of an estimate is (f + 2) / f times too great on average, which with f = 2 would halve the result; the
    divisor f + 2, and 2 taken off at the end, make both sums unbiased. It is never less than the least part's degrees
    of freedom, nor more than all together.
    """
    if not any(variance for variance, _ in parts):
        return math.inf
    squares = sum(variance**2 / (freedom + 2) for variance, freedom in parts)
    together = sum(variance for variance, _ in parts) ** 2 / squares - 2
    each = [freedom for variance, freedom in parts if variance]
    return float(min(max(together, min(each)), sum(each)))


def quantile(freedom: float) -> float:
    """Two-sided 95 % quantile of the t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) if math.isfinite(freedom) else 1.959964


def over_tasks(values: Array) -> Interval:
    """A t interval for the mean over tasks like these, from how much the tasks' own numbers differ.

    Resampling the tasks would give a normal interval of a variance that is (T − 1) / T too small; with few tasks it
    covers too rarely.

    Args:
        values: one per task; NaN where undefined.
    """
    defined = values[np.isfinite(values)]
    if len(defined) < 2:
        return Interval(reason="fewer than two tasks")
    error = float(defined.std(ddof=1) / math.sqrt(len(defined)))
    return around(float(defined.mean()), error, len(defined) - 1)
