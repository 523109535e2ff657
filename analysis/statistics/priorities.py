"""Which method to reach for first: main effects of the 2³ design, and their ranks.

A method's main effect is the mean, over the pairs of subsets that differ in this method alone, of what it changes: of
ln(bytes) at equal score (`bytes`; over the scores that both fronts of a pair cover, see `fronts`), and of the score of
the same architecture (`score`; a pruned architecture is the mean over its sparsities). With all eight subsets there are
four pairs; where the collection lacks a subset, the pairs that are left count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.options import Options
from analysis.read.recipe import METHODS
from analysis.read.results import SUBSETS, Results
from analysis.statistics import uncertainty as noises
from analysis.statistics.contrasts import (
    NO_REPLICATES,
    Estimate,
    TaskFronts,
    estimate,
    fronts_of,
    scopes,
    shares_teacher,
)
from analysis.statistics.fronts import Array
from analysis.statistics.interactions import columns

COLUMNS = (
    "method", "measure", "scope", "effect", "low", "high", "error", "freedom", "tasks_low", "tasks_high", "rank",
    "rank_low", "rank_high", "first", "pairs", "tasks", "seeds_min", "seeds_max", "score_low", "score_high", "reason",
    "unsure",
)  # fmt: skip


def main_effects(results: Results, options: Options) -> pd.DataFrame:
    """Every method's main effects, of the mean over tasks and of each task; columns `COLUMNS`.

    `effect` is a log of a factor of size (`bytes`; positive: smaller) or points (`score`; positive: better). Means are
    over the tasks where it is defined for every method. `rank` is among the methods, 1 the greatest effect; `rank_low`
    and `rank_high` hold it in 95 % of the replicates, and `first` is the share of them in which it is 1 (NaN without).
    `pairs` of 4 define it.
    """
    tasks = fronts_of(results.runs, options)
    there = [name for name in SUBSETS if any(name in task.fronts for task in tasks)]
    pairs = {method: own for method in METHODS if (own := pairs_of(method, there))}
    rows: list[dict[str, Any]] = []
    for measure, of_task in (("bytes", _on_bytes), ("score", _on_score)):
        of_tasks = {method: {task.task: of_task(task, own) for task in tasks} for method, own in pairs.items()}
        found = {method: scopes(own) | of_tasks[method] for method, own in _comparable(of_tasks).items()}
        for scope in dict.fromkeys(scope for own in found.values() for scope in own):
            here = {method: own.get(scope, own["mean"]) for method, own in found.items()}
            ranks = _ranks(here)
            rows += [
                {"method": method, "measure": measure, "scope": scope, "effect": own.value, "pairs": len(pairs[method]),
                 **columns(own), **ranks.get(method, {})}
                for method, own in here.items()
            ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _comparable(of_tasks: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, Estimate]]:
    """The same, undefined in every task where it is undefined for some method: other means could not be ranked."""
    undefined: dict[str, Estimate] = {}
    for method, own in of_tasks.items():
        for task, found in own.items():
            if not found.defined:
                undefined.setdefault(task, Estimate(reason=f"{found.reason} (for the effect of {method})"))
    return {method: dict(own) | undefined for method, own in of_tasks.items()}


def _ranks(found: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Of the defined ones: the rank, and where replicates put it.

    Replicates are stretched to the interval that is stated, so that both say the same.
    """
    defined = {method: own for method, own in found.items() if own.defined}
    values = np.array([own.value for own in defined.values()])
    ranks = {method: {"rank": 1.0 + float((values > own.value).sum())} for method, own in defined.items()}
    if not all(len(own.draws) for own in defined.values()):
        return ranks
    draws = np.array([_stretched(own) for own in defined.values()])
    draws = draws[:, np.isfinite(draws).all(axis=0)]
    drawn = 1 + (draws[None] > draws[:, None]).sum(axis=1)
    for number, method in enumerate(defined):
        low, high = np.percentile(drawn[number], [2.5, 97.5], method="nearest")
        ranks[method] |= {"rank_low": low, "rank_high": high, "first": float((drawn[number] == 1).mean())}
    return ranks


def _stretched(own: Estimate) -> Array:
    return own.value + (own.draws - own.value) * noises.quantile(own.interval.freedom) / noises.quantile(math.inf)


def pairs_of(method: str, subsets: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of subsets, both there, that differ in `method` alone: without it, with it."""
    pairs = []
    for name in subsets:
        active = [] if name == "none" else name.split("+")
        if method not in active:
            more = "+".join(own for own in METHODS if own in (*active, method))
            pairs += [(name, more)] if more in subsets else []
    return pairs


def _on_bytes(task: TaskFronts, pairs: Sequence[tuple[str, str]]) -> Estimate:
    return estimate(task, *({without: 1.0, with_it: -1.0} for without, with_it in pairs))


def _on_score(task: TaskFronts, pairs: Sequence[tuple[str, str]]) -> Estimate:
    weights = _score_weights(task, pairs)
    if weights is None:
        return Estimate(reason="a pair of subsets has no architecture in common")
    means = np.concatenate([front.means for front in task.fronts.values()])
    counts = np.concatenate([front.seeds for front in task.fronts.values()])[weights != 0]
    value = float(weights @ means)
    found = Estimate(value, tasks=(task.task,), seeds=(int(counts.min()), int(counts.max())))
    together = any(shares_teacher({without: -1.0, with_it: 1.0}) for without, with_it in pairs)
    changes = task.changes(together)
    if task.noise is None or changes is None:
        return replace(found, interval=noises.Interval(reason=NO_REPLICATES if task.noise else noises.ONE_SEED))
    draws, parts = value + changes @ weights, tuple(task.noise.parts(weights, together))
    return replace(found, interval=noises.interval(value, draws, parts), draws=draws, parts=parts)


def _score_weights(task: TaskFronts, pairs: Sequence[tuple[str, str]]) -> Array | None:
    """Of each cell's mean, in the order of the fronts; over the architectures that both subsets of a pair have."""
    models = {name: np.array(front.models) for name, front in task.fronts.items()}
    weights = {name: np.zeros(len(own)) for name, own in models.items()}
    for pair in pairs:
        common = set.intersection(*(set(models.get(name, ())) for name in pair))
        if not common:
            return None
        for name, sign in zip(pair, (-1.0, 1.0), strict=True):
            for model in common:
                cells = models[name] == model
                weights[name][cells] += sign / cells.sum() / len(common) / len(pairs)
    return np.concatenate(list(weights.values()))
