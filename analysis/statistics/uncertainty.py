"""How far a number may be off because its runs had these seeds and no others: standard errors and intervals.

Runs of one task and size that share a seed share much else (weights, order of the batches, the teacher), so their
noise is not independent: in the demo grid the scores of uncompressed runs and of their quantized twins correlate by
0.8. So the cells of a size are moved together. A replicate adds to their fitted scores a random combination of the
seeds' deviations from the cells' means,

    sum over seeds s of  w[size, s] · deviation[cell, s] / sqrt(n (n − 1)),      w standard normal,

whose covariance is the unbiased estimate of the means' (a plain bootstrap with n seeds has (n − 1) / n of it: a third
too little with three), and fits the fronts again. Sizes are independent of each other, but for a teacher's luck, which
the distilled models of all sizes share. It cancels in interactions; where it does not, all sizes are moved by the same
w (`together`). A cell with one seed has the task's pooled variance. The variance of a size, or of a task together, is
known from few seeds only, so the interval is of a t distribution; its degrees of freedom are Satterthwaite's, over
tasks and sizes. `tests/benchmarks/coverage.py` measures what comes of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.statistics.fronts import Array, Front

ONE_SEED = "one seed per cell: nothing is known of the noise"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Noise:
    """What is known of the noise of one task's N cells, in the order of its fronts.

    Attributes:
        sizes: number of each cell's model, shape (N,).
        seeds: how many each cell's mean is of, shape (N,).
        deviations: of each seed's score from its cell's mean, shape (N, S); 0 where a cell lacks the seed.
        variance: of one run, pooled over all cells.
        freedom: degrees of freedom of the pooled variance.
    """

    sizes: NDArray[np.int64]
    seeds: NDArray[np.int64]
    deviations: Array
    variance: float
    freedom: int

    def draw(self, replicates: int, random: np.random.Generator, together: bool = False) -> Array:
        """Noise of the cells' means, shape (replicates, N).

        Args:
            together: move all sizes by the same combination of seeds.
        """
        blocks = self._blocks(together)
        weights = random.standard_normal((replicates, int(blocks.max()) + 1, self.deviations.shape[1]))
        repeated = np.einsum("rns,ns->rn", weights[:, blocks], self._scaled())
        alone = random.standard_normal((replicates, len(self.seeds))) * math.sqrt(self.variance)
        return np.where(self.seeds > 1, repeated, alone)

    def _blocks(self, together: bool) -> NDArray[np.int64]:
        return np.zeros_like(self.sizes) if together else self.sizes

    def _scaled(self) -> Array:
        n = np.maximum(self.seeds, 2)
        return np.asarray(self.deviations / np.sqrt(n * (n - 1))[:, None])

    def parts(self, influence: Array, together: bool = False) -> list[tuple[float, int]]:
        """Variance and degrees of freedom of each independent part of sum(influence · mean), to first order.

        Args:
            influence: derivative of a number with respect to each cell's mean, shape (N,).
            together: as for `draw`.
        """
        found = []
        repeated, blocks = self.seeds > 1, self._blocks(together)
        for block in np.unique(blocks[repeated]):
            own = repeated & (blocks == block)
            by_seed = influence[own] @ self._scaled()[own]
            found.append((float((by_seed**2).sum()), int(self.seeds[own].max()) - 1))
        alone = float((influence[~repeated] ** 2).sum()) * self.variance
        return found + ([(alone, self.freedom)] if alone else [])


def noise_of(runs: pd.DataFrame, fronts: Mapping[str, Front], score: str) -> Noise | None:
    """From the runs of one task; None if no cell has two seeds.

    Args:
        fronts: of that task, as `fronts.fronts` makes them of the same runs.
        score: the column of scores.
    """
    defined = runs[runs[score].notna()]
    scores = defined.pivot_table(index=["methods", "model", "sparsity"], columns="seed", values=score, aggfunc="first")
    keys = [key for front in fronts.values() for key in cell_keys(front)]
    by_seed = scores.loc[keys].to_numpy(float)
    seeds = np.isfinite(by_seed).sum(axis=1)
    deviations = np.nan_to_num(by_seed - np.nanmean(by_seed, axis=1, keepdims=True))
    freedom = int((seeds - 1).sum())
    if freedom == 0:
        return None
    models = {model: number for number, model in enumerate(dict.fromkeys(key[1] for key in keys))}
    return Noise(
        sizes=np.array([models[key[1]] for key in keys]),
        seeds=seeds,
        deviations=deviations,
        variance=float((deviations**2).sum() / freedom),
        freedom=freedom,
    )


def cell_keys(front: Front) -> list[tuple[str, str, float]]:
    """Methods, model and sparsity of each cell, by size."""
    return [(front.methods, *cell) for cell in zip(front.models, front.sparsities, strict=True)]


def influence_of(function: Callable[[Array], Array], noise: Noise) -> Array:
    """Derivative of a function of the cells' means, by differences over one standard error; 0 where undefined.

    Args:
        function: from changes of the means, shape (R, N), to R numbers.

    Returns:
        Shape (N,).
    """
    step = np.sqrt(noise.variance / noise.seeds)
    up = np.diag(step)
    change = function(np.concatenate([up, -up]))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (change[: len(step)] - change[len(step) :]) / (2 * step)
    return np.asarray(np.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0))


# --- intervals --------------------------------------------------------------------------------------------------------


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


def interval(value: float, draws: Array, parts: Sequence[tuple[float, int]]) -> Interval:
    """Around a number: the replicates' standard deviation times a quantile of t.

    Args:
        draws: the number in each replicate, shape (R,); undefined ones are NaN and left out.
        parts: variance and degrees of freedom of its independent parts, for the quantile.
    """
    error = float(np.nanstd(draws, ddof=1))
    freedom = satterthwaite(parts)
    reach = quantile(freedom) * error
    return Interval(value - reach, value + reach, error, freedom)


def of_parts(value: float, parts: Sequence[tuple[float, int]]) -> Interval:
    """Around a sum of independent parts whose variances and degrees of freedom are known."""
    error, freedom = math.sqrt(sum(variance for variance, _ in parts)), satterthwaite(parts)
    reach = quantile(freedom) * error
    return Interval(value - reach, value + reach, error, freedom)


def satterthwaite(parts: Sequence[tuple[float, int]]) -> float:
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
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return Interval(reason="fewer than two tasks")
    error = float(known.std(ddof=1) / math.sqrt(len(known)))
    reach = quantile(len(known) - 1) * error
    return Interval(float(known.mean() - reach), float(known.mean() + reach), error, len(known) - 1)
