"""Sums and differences of score-size curves: how much smaller one subset of methods makes a model at equal score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import pandas as pd

from analysis.options import Options
from analysis.statistics import score_size, uncertainty
from analysis.statistics.score_size import Array, ScoreSizeCurve, cells, common_scores
from analysis.statistics.uncertainty import ONE_SEED, Interval, SeedVariation, seed_variation
from analysis.subsets import NONE
from compress.wording import plural

MOST_UNDEFINED = 0.1  # share of replicates
MOST_BIAS = 0.25  # of an estimate, in its errors, that is left in it
NO_INTERVAL = Interval()
CHOSEN = "{} left out by the scores, which other seeds might not do; no interval holds for tasks chosen in this way"
Weights = Mapping[str, float]  # subset -> weight


@dataclass(frozen=True)
class TaskCurves:
    """One task's score-size curves, and replicates of them.

    Attributes:
        curves, taught: subset -> curve; subsets whose models learn from a teacher.
        variation: of the cells with seeds, in the order of the curves; None with one seed.
        options: how many replicates, and the seed of their random numbers.
        doubts: subset -> why an interval of its curve would hold too rarely.
    """

    task: str
    curves: Mapping[str, ScoreSizeCurve]
    taught: frozenset[str]
    variation: SeedVariation | None
    options: Options
    doubts: Mapping[str, str] = field(default_factory=dict)
    _fitted: dict[bool, dict[str, Array] | None] = field(default_factory=dict, init=False)
    _estimates: dict[object, Estimate] = field(default_factory=dict, init=False)

    @property
    def unknown(self) -> Interval:
        """Of a number without replicates."""
        return Interval(reason="no replicates were asked for" if self.variation else ONE_SEED)

    def depends_on_teacher(self, weights: Weights) -> bool:
        """Whether a teacher's luck, the same for all its students, is left in a sum of curves with these weights."""
        return abs(sum(weight for name, weight in weights.items() if name in self.taught)) > 1e-9

    def changes(self, together: bool) -> Array | None:
        """Changes of the cells' means in each replicate, shape (R, N); None with one seed or without replicates."""
        if self.variation is None or not self.options.bootstrap:
            return None
        random = np.random.default_rng([self.options.seed, together, *self.task.encode()])  # whatever the other tasks
        return self.variation.draw(self.options.bootstrap, random, together)

    def fitted(self, together: bool) -> dict[str, Array] | None:
        """Subset -> fitted scores in each replicate, shape (R, n); changes are added to the fitted scores."""
        if together not in self._fitted:
            changes = self.changes(together)
            scores = {name: curve.scores for name, curve in self.curves.items()}
            self._fitted[together] = None if changes is None else self.refitted(scores, changes)
        return self._fitted[together]

    def refitted(self, scores: Mapping[str, Array], changes: Array) -> dict[str, Array]:
        """Fits subsets' curves again after adding `changes`, shape (R, N), to scores of their cells; shapes (R, n)."""
        by_curve = self.split(changes)
        fit = score_size.isotonic
        return {name: fit(given + by_curve[name], self.curves[name].seeds) for name, given in scores.items()}

    def split(self, changes: Array) -> dict[str, Array]:
        """Subset -> the columns of its cells, of numbers of all cells, shape (R, N)."""
        ends = np.cumsum([len(curve.log_bytes) for curve in self.curves.values()])
        return dict(zip(self.curves, np.split(changes, ends[:-1], axis=1), strict=True))


def curves_by_task(runs: pd.DataFrame, options: Options) -> list[TaskCurves]:
    """Of every task its curves, how they vary with seeds, and the replicates that are asked for."""
    score = options.score_column
    taught = frozenset(runs.loc[runs["teacher_run_id"].notna(), "methods"])
    by_task = score_size.score_size_curves(cells(runs, score, options.bytes_column))
    made = []
    for task, curves in by_task.items():
        variation = seed_variation(runs[runs["task"] == task], curves, score)
        compressed = {model for name, curve in curves.items() if name != NONE for model in curve.models}
        doubts = {name: _doubt(name, curve, compressed) for name, curve in curves.items()}
        doubts |= variation.outliers(curves) if variation else {}
        made.append(TaskCurves(task, curves, taught, variation, options, doubts))
    return made


def _doubt(name: str, curve: ScoreSizeCurve, compressed: set[str]) -> str:
    """Why no interval is given: where cells of models that were compressed are missing, the curve there is a guess."""
    missing = set(product(compressed, curve.variants)) - set(zip(curve.models, curve.variants, strict=True))
    return f"{plural(len(missing), 'cell')} of {name} missing, where its curve is a guess" if missing else ""


@dataclass(frozen=True)
class Estimate:
    """A number with its replicates, of one task or of the mean over several; NaN if undefined.

    Attributes:
        interval, across: from seeds; from the differences between tasks.
        draws: the number in each replicate; empty without them.
        parts: its variance's independent parts, for degrees of freedom.
        tasks: that define it.
        seeds: the least and the greatest number in the cells that it is of.
        scores: the least and the greatest that all curves cover; NaN for means over tasks.
        reason: why it is undefined, or what it leaves out; empty otherwise.
        by_scores: whether it is undefined because of what the scores are, so that with other seeds it might not be.
        doubtful: whether an interval would hold too rarely.
    """

    value: float = math.nan
    interval: Interval = NO_INTERVAL
    across: Interval = NO_INTERVAL
    draws: Array = field(default_factory=lambda: np.empty(0))
    parts: tuple[tuple[float, float], ...] = ()
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, int] = (0, 0)
    scores: tuple[float, float] = (math.nan, math.nan)
    reason: str = ""
    by_scores: bool = False
    doubtful: bool = False

    @property
    def defined(self) -> bool:
        return math.isfinite(self.value)


def weighted(weights: Weights, fitted: Mapping[str, Array], curves: Mapping[str, ScoreSizeCurve]) -> Array:
    """The sum of weights times L, averaged over the scores that all the weights' curves cover; NaN if there are none.

    A weight of 0 has the curve count for the scores alone; fitted scores have the shape (…, n).
    """
    low, high = common_scores([fitted[name] for name in weights])
    counted = {name: weight for name, weight in weights.items() if weight}
    means = {name: score_size.mean_inverse(curves[name].log_bytes, fitted[name], low, high) for name in counted}
    return np.asarray(sum(weight * means[name] for name, weight in counted.items()))


def estimate(task: TaskCurves, *contrasts: Weights) -> Estimate:
    """The mean of contrasts in one task, each over the scores that its curves cover; undefined if one of them is.

    Computed once for the same contrasts of the same curves.
    """
    key = tuple(tuple(weights.items()) for weights in contrasts)
    if key not in task._estimates:
        task._estimates[key] = _estimate(task, contrasts)
    return task._estimates[key]


def _estimate(task: TaskCurves, contrasts: Sequence[Weights]) -> Estimate:
    names = list(dict.fromkeys(name for weights in contrasts for name in weights))
    if absent := [name for name in names if name not in task.curves]:
        return Estimate(reason=f"no scores of {', '.join(absent)}")
    curves = {name: task.curves[name] for name in names}
    ranges = [common_scores([curves[name].scores for name in weights]) for weights in contrasts]
    if reason := next(filter(None, (_too_narrow(task, float(low), float(high)) for low, high in ranges)), ""):
        return Estimate(reason=reason, by_scores=True)

    def value(fitted: Mapping[str, Array]) -> Array:
        return np.asarray(np.mean([weighted(weights, fitted, curves) for weights in contrasts], axis=0))

    seeds = np.concatenate([curve.seeds for curve in curves.values()])
    estimated = Estimate(
        float(value({name: curve.scores for name, curve in curves.items()})),
        tasks=(task.task,),
        seeds=(int(seeds.min()), int(seeds.max())),
        scores=(float(ranges[0][0]), float(ranges[0][1])) if len(ranges) == 1 else (math.nan, math.nan),
    )
    together = any(task.depends_on_teacher(weights) for weights in contrasts)
    replicates = task.fitted(together)
    if task.variation is None or replicates is None:
        return replace(estimated, interval=task.unknown)
    if doubt := next(filter(None, (task.doubts.get(name, "") for name in names)), ""):
        return replace(estimated, interval=Interval(reason=doubt), draws=value(replicates), doubtful=True)
    means = {name: curve.means for name, curve in curves.items()}
    influence = task.variation.influence(lambda changes: value(task.refitted(means, changes)))
    return with_interval(estimated, value(replicates), tuple(task.variation.parts(influence, together)))


def with_interval(estimated: Estimate, draws: Array, parts: tuple[tuple[float, float], ...]) -> Estimate:
    """An estimate with the interval of its replicates, unless too many of these are undefined.

    Replicates are as far from an estimate on average as that is from the truth. A bias of more than a quarter of the
    error is taken off and counted in the error; less is not, since taking it off would add more than it removes (Efron
    & Tibshirani 1993, An Introduction to the Bootstrap, sections 10.2 and 10.6). On saturating curves noise makes
    distillation's effect on size too small, by two thirds of its error in the mean over eight tasks.
    """
    undefined = float(np.isnan(draws).mean())
    if undefined > MOST_UNDEFINED:
        interval = Interval(reason=f"undefined in {100 * undefined:.0f} % of the replicates")
        return replace(estimated, interval=interval, draws=draws, parts=parts)
    error, bias = float(np.nanstd(draws, ddof=1)), float(np.nanmean(draws)) - estimated.value
    if abs(bias) > MOST_BIAS * error:
        estimated, draws = replace(estimated, value=estimated.value - bias), draws - 2 * bias
        error = math.hypot(error, bias)
    interval = uncertainty.t_interval(estimated.value, error, uncertainty.satterthwaite(parts))
    return replace(estimated, interval=interval, draws=draws, parts=parts)


def _too_narrow(task: TaskCurves, low: float, high: float) -> str:
    """Why curves that have the scores from `low` to `high` in common cannot be compared; empty if they can.

    Over a range no wider than seeds vary, the average of L says little but how they do.
    """
    if not low < high:
        return "the curves have no scores in common"
    if task.variation is None:
        return ""
    least = math.sqrt(2 * task.variation.variance / float(np.median(task.variation.seeds)))
    if high - low > least:
        return ""
    return (
        f"the curves have only scores {low:.1f} to {high:.1f} in common,"
        f" less than the standard error of a difference ({least:.1f})"
    )


def mean(estimates: Mapping[str, Estimate]) -> Estimate:
    """Over the tasks that define it, each counting the same."""
    defined = {task: of_task for task, of_task in estimates.items() if of_task.defined}
    left_out = _reasons({task: of_task.reason for task, of_task in estimates.items() if not of_task.defined})
    if not defined:
        return Estimate(reason=left_out or "no tasks")
    values = np.array([of_task.value for of_task in defined.values()])
    seeds = [of_task.seeds for of_task in defined.values()]
    estimated = Estimate(
        float(values.mean()),
        across=uncertainty.over_tasks(values),
        tasks=tuple(defined),
        seeds=(min(least for least, _ in seeds), max(most for _, most in seeds)),
        reason=left_out,
    )
    if chosen := [task for task, of_task in estimates.items() if of_task.by_scores]:
        undecided = Interval(reason=CHOSEN.format(", ".join(chosen)))
        return replace(estimated, interval=undecided, across=undecided)
    if doubts := {task: of_task.interval.reason for task, of_task in defined.items() if of_task.doubtful}:
        doubt = Interval(reason=_reasons(doubts))
        return replace(estimated, interval=doubt, across=doubt)
    if unknown := {task: of_task.interval.reason for task, of_task in defined.items() if not len(of_task.draws)}:
        return replace(estimated, interval=Interval(reason=_reasons(unknown)))
    draws = mean_draws([of_task.draws for of_task in defined.values()])
    parts = ((variance / len(values) ** 2, free) for of_task in defined.values() for variance, free in of_task.parts)
    return with_interval(estimated, draws, tuple(parts))


def mean_draws(draws: Sequence[Array]) -> Array:
    """Over tasks, in each replicate; of the tasks that are defined in it."""
    stacked = np.asarray(draws)
    defined = np.isfinite(stacked)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, stacked, 0.0).sum(axis=0) / defined.sum(axis=0))


def _reasons(reasons: Mapping[str, str]) -> str:
    """Each reason once, after the tasks that have it."""
    tasks: dict[str, list[str]] = {}
    for task, reason in reasons.items():
        tasks.setdefault(reason, []).append(task)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in tasks.items())


def with_means(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The mean over tasks, that over the tasks with several seeds (`repeated`) where these are fewer, and each task."""
    defined = {task: of_task for task, of_task in estimates.items() if of_task.defined}
    repeated = {task: of_task for task, of_task in defined.items() if of_task.seeds[1] > 1}
    means = {"mean": mean(estimates)}
    if 0 < len(repeated) < len(defined):
        means["repeated"] = mean(repeated)
    return means | dict(estimates)
