"""Whether methods together reduce a model's size by more than the product of what each does alone.

With L as in `fronts` and the reduction r_S(a) = exp(L_none(a) − L_S(a)), a combination is expected to reduce by the
product of its methods' reductions. The log-interaction is the log of observed over expected,

    I_AB = L_A + L_B − L_none − L_AB,

averaged over the scores that all four fronts cover, each score counting the same, then over tasks. Positive: the
combination reduces by more than the product. Of three methods there is the total (against the product of three) and
the pure three-way term (what the three pairs do not explain, by inclusion and exclusion); over equal scores the total
is the sum of the three pairs and the pure term.

Verdicts, from the 95 % interval of the seeds (`verdict`) and from that of the differences between tasks
(`tasks_verdict`): `multiplicative` if it lies within ± ln 1.1, so that observed and expected differ by
less than a tenth; else `super-multiplicative` or `sub-multiplicative` if 0 lies outside; else `inconclusive`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from analysis.options import Options
from analysis.read.recipe import METHODS
from analysis.read.results import SUBSETS, Results
from analysis.statistics.cells import cells
from analysis.statistics.contrasts import Estimate, TaskFronts, estimate, fronts_of, scopes
from analysis.statistics.fronts import common_scores, fronts
from analysis.statistics.uncertainty import Interval

ZONE = math.log(1.1)
SUPER, EQUAL, SUB = "super-multiplicative", "multiplicative", "sub-multiplicative"
INCONCLUSIVE, UNDEFINED = "inconclusive", "undefined"
COLUMNS = (
    "contrast", "kind", "scope", "interaction", "low", "high", "error", "freedom", "tasks_low", "tasks_high",
    "observed", "expected", "tasks", "seeds_min", "seeds_max", "score_low", "score_high", "verdict", "tasks_verdict",
    "reason", "unsure",
)  # fmt: skip


@dataclass(frozen=True)
class Interaction:
    """A contrast of fronts.

    Attributes:
        methods: that are combined, joined with `+`.
        kind: `pair`, `total` or `pure`.
        weights: subset -> weight of its L.
    """

    methods: str
    kind: str
    weights: Mapping[str, float]

    @property
    def observed(self) -> dict[str, float]:
        """Weights of the log of the combination's reduction, over the same scores."""
        return dict.fromkeys(self.weights, 0.0) | {"none": 1.0, self.methods: -1.0}


def interactions() -> list[Interaction]:
    """The three pairs, then the two of all three methods."""
    pairs = ["+".join(pair) for pair in combinations(METHODS, 2)]
    every = "+".join(METHODS)
    singles = dict.fromkeys(METHODS, 1.0)
    found = [
        Interaction(pair, "pair", {"none": -1.0, **dict.fromkeys(pair.split("+"), 1.0), pair: -1.0}) for pair in pairs
    ]
    found.append(Interaction(every, "total", {"none": -2.0, **singles, every: -1.0}))
    pure = {"none": 1.0, **dict.fromkeys(METHODS, -1.0), **dict.fromkeys(pairs, 1.0), every: -1.0}
    return [*found, Interaction(every, "pure", pure)]


def table(results: Results, options: Options) -> pd.DataFrame:
    """Every interaction, of the mean over tasks and of each task; columns `COLUMNS`.

    `scope` is `mean`, `repeated` (the mean over the tasks that have several seeds, where these are not all) or a task.
    """
    tasks = fronts_of(results.runs, options)
    return pd.DataFrame([row for own in interactions() for row in _rows(own, tasks)], columns=list(COLUMNS))


def _rows(own: Interaction, tasks: Sequence[TaskFronts]) -> Iterator[dict[str, Any]]:
    found = scopes({task.task: estimate(task, own.weights) for task in tasks})
    observed = {task.task: estimate(task, own.observed).value for task in tasks}
    for scope, value in found.items():
        log_observed = float(np.mean([observed[task] for task in value.tasks])) if value.defined else math.nan
        yield {
            "contrast": own.methods,
            "kind": own.kind,
            "scope": scope,
            "interaction": value.value,
            **columns(value),
            "observed": math.exp(log_observed),
            "expected": math.exp(log_observed - value.value),
            "verdict": verdict(value.interval),
            "tasks_verdict": verdict(value.across),
        }


def columns(found: Estimate) -> dict[str, Any]:
    """What every number is told with."""
    interval, across = found.interval, found.across
    return {
        "low": interval.low, "high": interval.high, "error": interval.error, "freedom": interval.freedom,
        "tasks_low": across.low, "tasks_high": across.high, "tasks": len(found.tasks),
        "seeds_min": found.seeds[0], "seeds_max": found.seeds[1],
        "score_low": found.scores[0], "score_high": found.scores[1],
        "reason": found.reason, "unsure": interval.reason,
    }  # fmt: skip


def reductions(results: Results, options: Options) -> pd.DataFrame:
    """How much smaller each subset makes a model at equal score, of the mean over tasks and of each task.

    Returns:
        Columns methods, scope (as in `table`), reduction, low, high (factors), and those of `columns` that are left.
    """
    tasks = fronts_of(results.runs, options)
    rows = []
    for methods in SUBSETS[1:]:
        found = scopes({task.task: estimate(task, {"none": 1.0, methods: -1.0}) for task in tasks})
        for scope, value in found.items():
            told = columns(value)
            factors = {key: math.exp(told.pop(key)) for key in ("low", "high", "tasks_low", "tasks_high")}
            rows.append({"methods": methods, "scope": scope, "reduction": math.exp(value.value), **factors, **told})
    return pd.DataFrame(rows)


def curve(results: Results, options: Options, methods: str, points: int = 61) -> pd.DataFrame:
    """What a combination reduces sizes by and what is expected of it, over each task's common scores.

    Args:
        methods: the combination; its expectation is the product of its methods' reductions.

    Returns:
        Columns task, score, observed, expected (factors); tasks without common scores are not there.
    """
    singles = methods.split("+")
    rows = []
    for task, own in fronts(cells(results.runs, options.score_column, options.bytes_column)).items():
        needed = ["none", *singles, methods]
        if not all(name in own for name in needed):
            continue
        low, high = common_scores([own[name].scores for name in needed])
        if low < high:
            scores = np.linspace(low, high, points)
            least = {name: own[name].least_log_bytes(scores) for name in needed}
            observed = np.exp(least["none"] - least[methods])
            expected = np.exp(sum((least["none"] - least[name] for name in singles), np.zeros(points)))
            rows.append(pd.DataFrame({"task": task, "score": scores, "observed": observed, "expected": expected}))
    return (
        pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["task", "score", "observed", "expected"])
    )


def verdict(interval: Interval) -> str:
    """In one word, of a log-interaction's interval; `undefined` without one."""
    if not math.isfinite(interval.error):
        return UNDEFINED
    if interval.low > -ZONE and interval.high < ZONE:
        return EQUAL
    if interval.low > 0:
        return SUPER
    return SUB if interval.high < 0 else INCONCLUSIVE


def sentence(row: Mapping[str, Any]) -> str:
    """A row of `table` in words: what is seen, what the product would give, how sure that is, and of what."""
    if row["tasks"] == 0:
        return f"{row['contrast']}: undefined ({row['reason']})"
    against = {"pair": "the product of its methods", "total": "the product of the three methods",
               "pure": "what its pairs explain"}[str(row["kind"])]  # fmt: skip
    least, most = row["seeds_min"], row["seeds_max"]
    seeds = "1 seed" if most == 1 else f"{most} seeds" if least == most else f"{least} to {most} seeds"
    of = f"{row['tasks']} task{'s' if row['tasks'] > 1 else ''}, {seeds} per cell"
    seen = f"reduces sizes by {row['observed']:.2f} ×; {against} is {row['expected']:.2f} ×"
    ratio = f"ratio {math.exp(row['interaction']):.2f}"
    if math.isfinite(row["error"]):
        return f"{row['contrast']}: {row['verdict']}: {seen}: {ratio}{_between(row, '')}; {of}"
    across = (
        "" if row["tasks_verdict"] == UNDEFINED else f"{_between(row, 'tasks_')} from the differences between tasks"
    )
    return f"{row['contrast']}: {seen}: {ratio}{across}; no interval from seeds ({row['unsure']}); {of}"


def _between(row: Mapping[str, Any], prefix: str) -> str:
    return f", 95 % interval {math.exp(row[f'{prefix}low']):.2f} to {math.exp(row[f'{prefix}high']):.2f}"
