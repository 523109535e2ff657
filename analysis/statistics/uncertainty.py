"""How far a number may be off because its runs had these seeds and no others.

Runs of one task and size that share a seed share much else (weights, order of the batches, the teacher), so their
scores do not vary independently: in the demo grid those of uncompressed runs and of their quantized twins correlate by
0.8. So the cells of a size are moved together. A replicate adds to their fitted scores a random combination of the
seeds' deviations from the cells' means,

    sum over seeds s of  w[size, s] · deviation[cell, s] / sqrt(n (n − 1)),      w standard normal,

whose covariance is the unbiased estimate of the means' (a plain bootstrap with n seeds has (n − 1) / n of it: a third
too little with three), and fits the curves again. Sizes are independent of each other, but for a teacher's luck, which
the students of all sizes share. It cancels in interactions; where it does not, all sizes are moved by the same w
(`together`). A cell with one seed has the task's pooled variance. The variance of a size, or of a task together, is
known from few seeds only, so the 95 % interval is of a t distribution; its degrees of freedom are Satterthwaite's, over
tasks and sizes.

There is no interval where noise is not what this takes it for: where a run lies far from its cell's others (one that
collapsed moves a third of the replicates), and in `contrasts` where cells are missing, so that a curve is off by what
no seed tells, and for means over tasks that scores chose. `tests/benchmarks/coverage.py` measures what comes of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.statistics.score_size import Array, ScoreSizeCurve

ONE_SEED = "one seed per cell: how much seeds vary is not known"
FAR = 10.0  # standard deviations of one run from its cell's median from which on noise is not taken for normal
CURVE_CELL = ["methods", "model", "variant"]
Parts = Sequence[tuple[float, float]]  # variance and degrees of freedom of each independent part of a number


@dataclass(frozen=True)
class Interval:
    """A 95 % interval with its standard error and degrees of freedom; NaN, and why, if undefined."""

    low: float = math.nan
    high: float = math.nan
    error: float = math.nan
    freedom: float = math.nan
    reason: str = ""


def t_interval(value: float, error: float, freedom: float) -> Interval:
    reach = quantile(freedom) * error
    return Interval(value - reach, value + reach, error, freedom)


def over_tasks(values: Array) -> Interval:
    """A t interval for the mean over tasks like these, from how much the tasks' own numbers differ.

    Resampling the tasks would give a normal interval of a variance that is (T − 1) / T too small; with few tasks it
    covers too rarely.
    """
    if len(values) < 2:
        return Interval(reason="fewer than two tasks")
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    return t_interval(float(values.mean()), error, len(values) - 1)


def quantile(freedom: float) -> float:
    """Two-sided 95 % quantile of the t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975)) if math.isfinite(freedom) else 1.959964


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


@dataclass(frozen=True)
class SeedVariation:
    """How the scores of one task's N cells vary with seeds, in the order of its curves.

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
        """Changes of the cells' means as other seeds might make them, shape (replicates, N).

        For each there is its opposite, so that their mean is 0 and what is linear in them has no error by chance.
        """
        blocks, half = self._blocks(together), -(-replicates // 2)
        weights = random.standard_normal((half, int(blocks.max()) + 1, self.deviations.shape[1]))
        repeated = np.einsum("rns,ns->rn", weights[:, blocks], self._scaled())
        alone = random.standard_normal((half, len(self.seeds))) * math.sqrt(self.variance)
        changes = np.where(self.seeds > 1, repeated, alone)
        return np.concatenate([changes, -changes])[:replicates]

    def _blocks(self, together: bool) -> NDArray[np.int64]:
        """Which cells are moved by the same combination of seeds."""
        return np.zeros_like(self.sizes) if together else self.sizes

    def _scaled(self) -> Array:
        n = np.maximum(self.seeds, 2)
        return np.asarray(self.deviations / np.sqrt(n * (n - 1))[:, None])

    def parts(self, influence: Array, together: bool = False) -> list[tuple[float, float]]:
        """Variance and degrees of freedom of each independent part of a number whose `influence` is given."""
        parts: list[tuple[float, float]] = []
        repeated, blocks = self.seeds > 1, self._blocks(together)
        for block in np.unique(blocks[repeated]):
            inside = repeated & (blocks == block)
            by_seed = influence[inside] @ self._scaled()[inside]
            parts.append((float((by_seed**2).sum()), int(self.seeds[inside].max()) - 1))
        alone = float((influence[~repeated] ** 2).sum()) * self.variance
        return parts + ([(alone, self.freedom)] if alone else [])

    def outliers(self, curves: Mapping[str, ScoreSizeCurve]) -> dict[str, str]:
        """Subset -> which of its runs lies so far from its cell's others that seeds are no normal noise."""
        scores = np.where(self.deviations != 0, self.deviations, np.nan)
        usual = seed_scale(scores)
        varied = np.isfinite(scores).any(axis=1)
        middle = np.zeros(len(scores))
        middle[varied] = np.nanmedian(scores[varied], axis=1)
        far = (np.abs(np.nan_to_num(scores - middle[:, None])) > FAR * usual).any(axis=1) & (usual > 0)
        ends = np.cumsum([len(curve.log_bytes) for curve in curves.values()])
        told = {}
        for (name, curve), own in zip(curves.items(), np.split(far, ends[:-1]), strict=True):
            if own.any():
                told[name] = f"a run of {name} on {curve.models[int(own.argmax())]} is far from its other seeds"
        return told

    def influence(self, function: Callable[[Array], Array]) -> Array:
        """Derivative of a number by each cell's mean, shape (N,), by differences over one standard error.

        Args:
            function: from changes of the means, shape (R, N), to R numbers; undefined ones count as 0.
        """
        step = np.sqrt(self.variance / self.seeds)
        up = np.diag(step)
        change = function(np.concatenate([up, -up]))
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (change[: len(step)] - change[len(step) :]) / (2 * step)
        return np.asarray(np.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0))


def seed_scale(scores: Array) -> float:
    """Standard deviation of one run around its cell, from the median difference of two runs of a cell; 0 if unknown.

    Scores have the shape (N, S), NaN for what is not there.
    """
    pairs = [np.abs(scores[:, one] - scores[:, other]) for one, other in combinations(range(scores.shape[1]), 2)]
    differences = np.concatenate([*pairs, np.empty(0)])
    differences = differences[np.isfinite(differences)]
    return float(np.median(differences)) / (0.6745 * math.sqrt(2)) if len(differences) else 0.0


def seed_variation(runs: pd.DataFrame, curves: Mapping[str, ScoreSizeCurve], score: str) -> SeedVariation | None:
    """From the runs of one task and the curves made of them; None if no cell has two seeds."""
    scores = runs[runs[score].notna()]
    keys = [(name, *cell) for name, curve in curves.items() for cell in zip(curve.models, curve.variants, strict=True)]
    rows = {key: number for number, key in enumerate(keys)}
    columns = {seed: number for number, seed in enumerate(np.unique(scores["seed"]))}
    by_seed = np.full((len(keys), len(columns)), math.nan)
    cells = zip(*(scores[name] for name in CURVE_CELL), strict=True)
    for cell, seed, found in zip(cells, scores["seed"], scores[score], strict=True):
        place = rows[cell], columns[seed]
        by_seed[place] = found if math.isnan(by_seed[place]) else by_seed[place]
    seeds = np.isfinite(by_seed).sum(axis=1)
    deviations = np.nan_to_num(by_seed - np.nanmean(by_seed, axis=1, keepdims=True))
    freedom = int((seeds - 1).sum())
    if freedom == 0:
        return None
    models = list(dict.fromkeys(model for _, model, _ in keys))
    sizes = np.array([models.index(model) for _, model, _ in keys])
    return SeedVariation(sizes, seeds, deviations, float((deviations**2).sum() / freedom), freedom)
