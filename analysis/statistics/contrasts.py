"""Sums and differences of fronts: how much smaller one subset of methods makes a model than others, at equal score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.options import Options
from analysis.statistics import uncertainty as noises
from analysis.statistics.cells import cells
from analysis.statistics.fronts import Array, Front, common_scores, fronts, isotonic, mean_inverse
from analysis.statistics.uncertainty import Interval, Noise

MOST_UNDEFINED = 0.1  # share of replicates
NO_INTERVAL = Interval()
NO_REPLICATES = "no replicates were asked for"


@dataclass(frozen=True)
class TaskFronts:
    """One task's fronts, and replicates of them.

    Attributes:
        fronts: subset -> front.
        noise: of the cells, in the order of the fronts; None with one seed.
        replicates: how many; 0 for none.
        seed: of their random numbers.
    """

    task: str
    fronts: Mapping[str, Front]
    noise: Noise | None
    replicates: int
    seed: int

    def changes(self, together: bool) -> Array | None:
        """Noise of the cells' means in each replicate, shape (R, N); None without noise or replicates."""
        if self.noise is None or not self.replicates:
            return None
        random = np.random.default_rng([self.seed, together, *self.task.encode()])  # the same with other tasks or not
        return self.noise.draw(self.replicates, random, together)

    def fitted(self, together: bool) -> dict[str, Array] | None:
        """Subset -> fitted scores in each replicate, shape (R, n); noise is added to the fitted scores, their truth."""
        if together not in self._fitted:
            changes = self.changes(together)
            scores = {name: front.scores for name, front in self.fronts.items()}
            self._fitted[together] = None if changes is None else self._fit(scores, changes)
        return self._fitted[together]

    @cached_property
    def _fitted(self) -> dict[bool, dict[str, Array] | None]:
        return {}

    def moved(self, changes: Array, names: Iterable[str]) -> dict[str, Array]:
        """Of these subsets: fitted scores if the means were changed so, shape (R, n)."""
        return self._fit({name: self.fronts[name].means for name in names}, changes)

    def _fit(self, scores: Mapping[str, Array], changes: Array) -> dict[str, Array]:
        parts = self.split(changes)
        seeds = {name: self.fronts[name].seeds.astype(float) for name in scores}
        return {name: isotonic(own + parts[name], seeds[name]) for name, own in scores.items()}

    def split(self, changes: Array) -> dict[str, Array]:
        """Subset -> its cells' part of numbers of all cells, shape (R, N)."""
        ends = np.cumsum([len(front.log_bytes) for front in self.fronts.values()])
        return dict(zip(self.fronts, np.split(changes, ends[:-1], axis=1), strict=True))


def fronts_of(runs: pd.DataFrame, options: Options) -> list[TaskFronts]:
    """Of every task: its fronts, their noise, and the replicates that are asked for."""
    score = options.score_column
    return [
        TaskFronts(task, own, noises.noise_of(runs[runs["task"] == task], own, score), options.bootstrap, options.seed)
        for task, own in fronts(cells(runs, score, options.bytes_column)).items()
    ]


def shares_teacher(weights: Mapping[str, float]) -> bool:
    """Whether a teacher's luck, the same in all distilled fronts, is left in a sum of fronts with these weights."""
    return abs(sum(weight for name, weight in weights.items() if "distill" in name)) > 1e-9


@dataclass(frozen=True)
class Estimate:
    """A number with its replicates, of one task or of the mean over several.

    Attributes:
        value: NaN if undefined.
        interval: from seeds.
        across: from differences between the tasks.
        draws: the number in each replicate; empty without them.
        parts: its variance's independent parts, for degrees of freedom.
        tasks: that define it.
        seeds: the least and the greatest number in the cells that it is of.
        scores: the least and the greatest that all fronts cover; NaN for means over tasks.
        reason: why it is undefined, or what it leaves out; empty otherwise.
    """

    value: float = math.nan
    interval: Interval = NO_INTERVAL
    across: Interval = NO_INTERVAL
    draws: Array = field(default_factory=lambda: np.empty(0))
    parts: tuple[tuple[float, int], ...] = ()
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, int] = (0, 0)
    scores: tuple[float, float] = (math.nan, math.nan)
    reason: str = ""

    @property
    def defined(self) -> bool:
        """Whether it is a number."""
        return math.isfinite(self.value)


def weighted(weights: Mapping[str, float], fitted: Mapping[str, Array], own: Mapping[str, Front]) -> Array:
    """The sum of weights times L, averaged over the scores that all the weights' fronts cover; NaN if there are none.

    Args:
        weights: subset -> weight; a weight of 0 has the front count for the scores alone.
        fitted: subset -> fitted scores, shape (…, n).
    """
    low, high = common_scores([fitted[name] for name in weights])
    means = [
        weight * mean_inverse(own[name].log_bytes, fitted[name], low, high)
        for name, weight in weights.items()
        if weight
    ]
    return np.asarray(np.sum(means, axis=0))


def estimate(task: TaskFronts, *contrasts: Mapping[str, float]) -> Estimate:
    """The mean of contrasts in one task, each over the scores that its own fronts cover, with its interval.

    Args:
        contrasts: subset -> weight, as for `weighted`. The result is undefined if one of them is.
    """
    names = list(dict.fromkeys(name for weights in contrasts for name in weights))
    if absent := [name for name in names if name not in task.fronts]:
        return Estimate(reason=f"no scores of {', '.join(absent)}")
    own = {name: task.fronts[name] for name in names}
    ranges = [common_scores([own[name].scores for name in weights]) for weights in contrasts]
    if reason := next(filter(None, (_too_narrow(task, float(low), float(high)) for low, high in ranges)), ""):
        return Estimate(reason=reason)

    def value(fitted: Mapping[str, Array]) -> Array:
        return np.asarray(np.mean([weighted(weights, fitted, own) for weights in contrasts], axis=0))

    found = float(value({name: front.scores for name, front in own.items()}))
    draws, interval = np.empty(0), Interval(reason=NO_REPLICATES if task.noise else noises.ONE_SEED)
    parts: tuple[tuple[float, int], ...] = ()
    together = any(shares_teacher(weights) for weights in contrasts)
    if task.noise is not None and (replicates := task.fitted(together)) is not None:
        draws = value(replicates)
        influence = noises.influence_of(lambda changes: value(task.moved(changes, names)), task.noise)
        parts = tuple(task.noise.parts(influence, together))
        interval = interval_of(found, draws, parts)
    seeds = np.concatenate([front.seeds for front in own.values()])
    counts = int(seeds.min()), int(seeds.max())
    scores = (float(ranges[0][0]), float(ranges[0][1])) if len(ranges) == 1 else (math.nan, math.nan)
    return Estimate(found, interval, NO_INTERVAL, draws, parts, (task.task,), counts, scores)


def _too_narrow(task: TaskFronts, low: float, high: float) -> str:
    """Why fronts that have the scores from `low` to `high` in common cannot be compared; empty if they can.

    Over a range that is within the noise the average of L is mostly noise.
    """
    if not low < high:
        return "the fronts have no scores in common"
    if task.noise is None:
        return ""
    least = math.sqrt(2 * task.noise.variance / float(np.median(task.noise.seeds)))
    if high - low > least:
        return ""
    limit = f"less than the standard error of a difference ({least:.1f})"
    return f"the fronts have only scores {low:.1f} to {high:.1f} in common, {limit}"


def interval_of(value: float, draws: Array, parts: Sequence[tuple[float, int]]) -> Interval:
    """The noise's interval, unless too many of the replicates are undefined."""
    undefined = float(np.isnan(draws).mean())
    if undefined > MOST_UNDEFINED:
        return Interval(reason=f"undefined in {100 * undefined:.0f} % of the replicates")
    return noises.interval(value, draws, parts)


def mean(estimates: Mapping[str, Estimate]) -> Estimate:
    """Over tasks, each counting the same: those that are defined.

    Args:
        estimates: by task.
    """
    defined = {task: found for task, found in estimates.items() if found.defined}
    left_out = _reasons({task: found.reason for task, found in estimates.items() if not found.defined})
    if not defined:
        return Estimate(reason=left_out or "no tasks")
    values = np.array([found.value for found in defined.values()])
    value = float(values.mean())
    seeds = [found.seeds for found in defined.values()]
    known = Estimate(
        value,
        across=noises.over_tasks(values),
        tasks=tuple(defined),
        seeds=(min(least for least, _ in seeds), max(most for _, most in seeds)),
        reason=left_out,
    )
    if unknown := {task: found.interval.reason for task, found in defined.items() if not len(found.draws)}:
        return replace(known, interval=Interval(reason=_reasons(unknown)))
    draws = mean_draws([found.draws for found in defined.values()])
    parts = tuple((variance / len(values) ** 2, free) for found in defined.values() for variance, free in found.parts)
    return replace(known, interval=interval_of(value, draws, parts), draws=draws, parts=parts)


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
    return "; ".join(f"{', '.join(own)}: {reason}" for reason, own in tasks.items())


def scopes(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The mean over tasks, that over the tasks with several seeds (`repeated`) where these are fewer, and each task.

    Args:
        estimates: by task.
    """
    defined = [found for found in estimates.values() if found.defined]
    repeated = {task: found for task, found in estimates.items() if found.defined and found.seeds[1] > 1}
    found = {"mean": mean(estimates)}
    if 0 < len(repeated) < len(defined):
        found["repeated"] = mean(repeated)
    return found | dict(estimates)
