"""Which method to reach for first: main effects of the 2^k design, and their ranks.

A method's main effect is the mean, over the pairs of subsets that differ in this method alone, of what it changes: of
ln(bytes) at equal score (`bytes`; over the scores that both curves of a pair cover, see `score_size`), and of the score
of the same architecture and the same variants of the other methods (`score`; the mean over the architectures that both
have). With all 2^k subsets there are 2^(k−1) pairs; where the collection lacks a subset, the pairs that are left count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics import contrasts
from analysis.statistics.contrasts import Estimate, TaskCurves
from analysis.statistics.interactions import columns
from analysis.statistics.score_size import Array
from analysis.statistics.uncertainty import Interval, quantile
from analysis.subsets import Methods, joined, split, variant_of

COLUMNS = (
    "method", "measure", "scope", "effect", "low", "high", "error", "freedom", "tasks_low", "tasks_high", "rank",
    "rank_low", "rank_high", "first", "pairs", "tasks", "seeds_min", "seeds_max", "score_low", "score_high", "reason",
    "unsure",
)  # fmt: skip
Pairs = Sequence[tuple[str, str]]  # subsets without the method and with it


def main_effects(results: Results, options: Options, tasks: Sequence[TaskCurves] | None = None) -> pd.DataFrame:
    """Every method's main effects, of the mean over tasks and of each task; columns `COLUMNS`.

    `effect` is a log of a factor of size (`bytes`; positive: smaller) or points (`score`; positive: better). Means are
    over the tasks where it is defined for every method. `rank` is among the methods, 1 the greatest effect; `rank_low`
    and `rank_high` hold it in 95 % of the replicates, and `first` is the share of them in which it is 1 (NaN without).
    `pairs` of 2^(k−1) define it. `tasks` are the results' curves, if they are there already.
    """
    tasks = contrasts.curves_by_task(results.runs, options) if tasks is None else tasks
    there = {name for task in tasks for name in task.curves}
    pairs = {method: pairs_of(method, results.methods, there) for method in results.methods.names}
    pairs = {method: subsets for method, subsets in pairs.items() if subsets}
    rows: list[dict[str, object]] = []
    for measure, of_task in (("bytes", _on_bytes), ("score", _on_score)):
        effects = {method: {task.task: of_task(task, subsets) for task in tasks} for method, subsets in pairs.items()}
        comparable = _comparable(effects)
        scopes = {method: contrasts.with_means(comparable[method]) | effects[method] for method in effects}
        for scope in dict.fromkeys(scope for by_scope in scopes.values() for scope in by_scope):
            here = {method: by_scope.get(scope, by_scope["mean"]) for method, by_scope in scopes.items()}
            ranks = _ranks(here)
            for method, effect in here.items():
                row = {"method": method, "measure": measure, "scope": scope, "effect": effect.value}
                rows.append({**row, "pairs": len(pairs[method]), **columns(effect), **ranks.get(method, {})})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _comparable(effects: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, Estimate]]:
    """Drops a task for every method if any method is undefined there, so that ranks compare equal tasks."""
    undefined = {
        task: Estimate(reason=f"{effect.reason} (for the effect of {method})", by_scores=effect.by_scores)
        for method, by_task in reversed(list(effects.items()))
        for task, effect in by_task.items()
        if not effect.defined
    }
    return {method: dict(by_task) | undefined for method, by_task in effects.items()}


def _ranks(effects: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Of the defined ones: the rank, and where replicates put it, stretched to the interval that is stated."""
    defined = {method: effect for method, effect in effects.items() if effect.defined}
    values = np.array([effect.value for effect in defined.values()])
    ranks = {method: {"rank": 1.0 + float((values > effect.value).sum())} for method, effect in defined.items()}
    if not all(len(effect.draws) and math.isfinite(effect.interval.error) for effect in defined.values()):
        return ranks
    stretched = [
        effect.value + (effect.draws - effect.value) * quantile(effect.interval.freedom) / quantile(np.inf)
        for effect in defined.values()
    ]
    draws = np.array(stretched)
    draws = draws[:, np.isfinite(draws).all(axis=0)]
    drawn = 1 + (draws[None] > draws[:, None]).sum(axis=1)
    for number, method in enumerate(defined):
        low, high = np.percentile(drawn[number], [2.5, 97.5], method="nearest")
        ranks[method] |= {"rank_low": low, "rank_high": high, "first": float((drawn[number] == 1).mean())}
    return ranks


def pairs_of(method: str, methods: Methods, there: set[str]) -> Pairs:
    """The pairs of subsets, both there, that differ in `method` alone: without it, with it."""
    pairs = []
    for subset in methods.subsets:
        more = joined(name for name in methods.names if name in (*split(subset), method))
        if more != subset and {subset, more} <= there:
            pairs.append((subset, more))
    return pairs


def _on_bytes(task: TaskCurves, pairs: Pairs) -> Estimate:
    return contrasts.estimate(task, *({without: 1.0, with_it: -1.0} for without, with_it in pairs))


def _on_score(task: TaskCurves, pairs: Pairs) -> Estimate:
    weights = _score_weights(task, pairs)
    if weights is None:
        return Estimate(reason="a pair of subsets has no cells in common")
    means = np.concatenate([curve.means for curve in task.curves.values()])
    counts = np.concatenate([curve.seeds for curve in task.curves.values()])[weights != 0]
    effect = Estimate(float(weights @ means), tasks=(task.task,), seeds=(int(counts.min()), int(counts.max())))
    together = any(task.depends_on_teacher({without: -1.0, with_it: 1.0}) for without, with_it in pairs)
    changes = task.changes(together)
    if task.variation is None or changes is None:
        return replace(effect, interval=task.unknown)
    draws = effect.value + changes @ weights
    if doubt := next(filter(None, (task.doubts.get(name, "") for pair in pairs for name in pair)), ""):
        return replace(effect, interval=Interval(reason=doubt), draws=draws, doubtful=True)
    return contrasts.with_interval(effect, draws, tuple(task.variation.parts(weights, together)))


def _score_weights(task: TaskCurves, pairs: Pairs) -> Array | None:
    """Of each cell's mean, in the order of the curves: every cell with the method less that without it, of the same
    architecture and other methods' variants; architectures count the same."""
    cells = {name: list(zip(curve.models, curve.variants, strict=True)) for name, curve in task.curves.items()}
    places = {name: {cell: place for place, cell in enumerate(of_curve)} for name, of_curve in cells.items()}
    weights = {name: np.zeros(len(of_curve)) for name, of_curve in cells.items()}
    for without, with_it in pairs:
        alike: dict[str, list[tuple[int, int]]] = {}
        for place, (model, variant) in enumerate(cells.get(with_it, ())):
            other = places.get(without, {}).get((model, variant_of(without, variant)))
            if other is not None:
                alike.setdefault(model, []).append((other, place))
        if not alike:
            return None
        for of_model in alike.values():
            for other, place in of_model:
                share = 1 / len(of_model) / len(alike) / len(pairs)
                weights[without][other] -= share
                weights[with_it][place] += share
    return np.concatenate(list(weights.values()))
