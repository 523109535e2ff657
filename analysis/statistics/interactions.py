"""Whether methods together reduce a model's size by more than the product of what each does alone.

With L as in `score_size` and the reduction r_S(a) = exp(L_none(a) − L_S(a)), a combination is expected to reduce by the
product of its methods' reductions. The log-interaction is the log of observed over expected, of a pair

    I_AB = L_A + L_B − L_none − L_AB,

averaged over the scores that all four curves cover, each score counting the same, then over tasks. Positive: the
combination reduces by more than the product. Of three or more methods T there is the total, against the product of all
of them, and the pure term, what their smaller combinations do not explain, by inclusion and exclusion:

    I_T = sum over subsets S of T of  (−1)^(|T| + |S| + 1) · L_S.

Over equal scores a total is the sum of the pure terms of all subsets of T with two methods or more.

Verdicts, from the 95 % interval of the seeds (`verdict`) and from that of the differences between tasks
(`tasks_verdict`): `multiplicative` if it lies within ± ln 1.1, so that observed and expected differ by
less than a tenth; else `super-multiplicative` or `sub-multiplicative` if 0 lies outside; else `inconclusive`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import names, reference
from analysis.options import Options
from analysis.read.results import Results, Row
from analysis.statistics.contrasts import Estimate, TaskCurves, curves_by_task, estimate, with_means
from analysis.statistics.score_size import as_factor
from analysis.statistics.uncertainty import Interval
from analysis.subsets import NONE, Methods, split
from compress.wording import plural

ZONE = math.log(1.1)
MEANS, STUDY, CURVES = ("mean", "repeated"), "study", "curves"  # scopes that are no task; the last as `drawn`
NAMED = 3  # tasks that are left out
LEFT_OUT = "Left out: tasks in which a curve is missing or too few scores are in common"
SUPER, EQUAL, SUB, INCONCLUSIVE, UNDEFINED = names.SIGNS
COLUMNS = (
    "contrast", "kind", "scope", "interaction", "low", "high", "error", "freedom", "tasks_low", "tasks_high",
    "observed", "expected", "tasks", "seeds_min", "seeds_max", "score_low", "score_high", "verdict", "tasks_verdict",
    "reason", "unsure",
)  # fmt: skip


@dataclass(frozen=True)
class Interaction:
    """A contrast of a combination's score-size curves: `pair`, `total` or `pure`; subset -> weight of its L."""

    methods: str
    kind: str
    weights: Mapping[str, float]


def interactions(methods: Methods) -> list[Interaction]:
    """Of every combination of two methods or more: the pairs, then totals and pure terms of the larger ones."""
    made = []
    for combination in methods.subsets:
        singles = split(combination)
        count = len(singles)
        if count < 2:
            continue
        total = {NONE: 1.0 - count, **dict.fromkeys(singles, 1.0), combination: -1.0}
        made.append(Interaction(combination, "pair" if count == 2 else "total", total))
        if count > 2:
            subsets = [subset for subset in methods.subsets if set(split(subset)) <= set(singles)]
            pure = {subset: -((-1.0) ** (count + len(split(subset)))) for subset in subsets}
            made.append(Interaction(combination, "pure", pure))
    return made


def table(results: Results, options: Options, tasks: Sequence[TaskCurves] | None = None) -> pd.DataFrame:
    """Every interaction, of the mean over tasks and of each task; columns `COLUMNS`.

    `scope` is `mean`, `repeated` (the mean over the tasks that have several seeds, where these are not all) or a task.
    `tasks` are the results' curves, if they are there already.
    """
    tasks = curves_by_task(results.runs, options) if tasks is None else tasks
    rows = []
    for interaction in [one for one in interactions(results.methods) if one.methods in results.subsets]:
        reduction = dict.fromkeys(interaction.weights, 0.0) | {NONE: 1.0, interaction.methods: -1.0}  # same scores
        observed = {task.task: estimate(task, reduction).value for task in tasks}
        for scope, value in with_means({task.task: estimate(task, interaction.weights) for task in tasks}).items():
            log_observed = float(np.mean([observed[task] for task in value.tasks])) if value.defined else math.nan
            rows.append({
                "contrast": interaction.methods, "kind": interaction.kind, "scope": scope, "interaction": value.value,
                **columns(value),
                "observed": as_factor(log_observed), "expected": as_factor(log_observed - value.value),
                "verdict": verdict(value.interval), "tasks_verdict": verdict(value.across),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def study(methods: Methods) -> pd.DataFrame:
    """The same of the study's Figure 1 (mean accuracy, nominal bytes), for the combinations of these methods.

    `scope` is `study`; one number per cell, so without intervals.
    """
    rows = table(reference.results(), Options(score="accuracy", bootstrap=0))
    rows = rows[(rows["scope"] == "mean") & rows["contrast"].isin(methods.subsets)]
    return rows.assign(scope=STUDY, tasks=reference.TASKS, seeds_min=0, seeds_max=0).reset_index(drop=True)


def with_study(contrasts: pd.DataFrame, methods: Methods) -> pd.DataFrame:
    """The rows of `table` and, beside any that is defined, those of `study`."""
    defined = contrasts["interaction"].notna().any()
    return pd.concat([contrasts, study(methods)], ignore_index=True) if defined else contrasts


def study_sentence(contrasts: pd.DataFrame, label: Callable[[str, str], str]) -> str:
    """The ratios of the rows of `study`, a contrast's name being `label(combination, kind)`; empty without rows."""
    rows = contrasts[(contrasts["scope"] == STUDY) & contrasts["interaction"].notna()].to_dict("records")
    ratios = [f"{label(row['contrast'], row['kind'])} {as_factor(row['interaction']):.2f}" for row in rows]
    told = "The study, by the same estimate on its Figure 1 (mean accuracy, nominal bytes; one number per cell)"
    return f"{told}: {', '.join(ratios)}." if ratios else ""


def columns(estimated: Estimate) -> dict[str, object]:
    """What every number is told with."""
    interval, across = estimated.interval, estimated.across
    return {
        "low": interval.low, "high": interval.high, "error": interval.error, "freedom": interval.freedom,
        "tasks_low": across.low, "tasks_high": across.high, "tasks": len(estimated.tasks),
        "seeds_min": estimated.seeds[0], "seeds_max": estimated.seeds[1],
        "score_low": estimated.scores[0], "score_high": estimated.scores[1],
        "reason": estimated.reason, "unsure": interval.reason,
    }  # fmt: skip


def of_tasks(contrasts: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `table` that are of a single task."""
    return contrasts[~contrasts["scope"].isin([*MEANS, STUDY, CURVES])]


def by_model(contrasts: pd.DataFrame) -> bool:
    """Whether estimates are those of one model of all tasks, beside which the curves' are told (scope `CURVES`)."""
    return bool((contrasts["scope"] == CURVES).any())


def counted(alike: pd.DataFrame, tasks: int) -> list[str]:
    """Of one interaction's rows: of how many of the collection's `tasks` it is, and which are left out.

    `["5 of 8 tasks", "not CoLA, MRPC, RTE"]`; the second only where some are.
    """
    rows = of_tasks(alike)
    defined = rows["interaction"].notna()
    left_out = [names.task_label(task) for task in rows["scope"][~defined]]
    more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
    without = [f"not {', '.join(left_out[:NAMED])}{more}"] if left_out else []
    return [f"{defined.sum()} of {plural(tasks, 'task')}", *without]


def verdict(interval: Interval) -> str:
    """In one word, of a log-interaction's interval; `undefined` without one."""
    if not math.isfinite(interval.error):
        return UNDEFINED
    if interval.low > -ZONE and interval.high < ZONE:
        return EQUAL
    if interval.low > 0:
        return SUPER
    return SUB if interval.high < 0 else INCONCLUSIVE


def sentence(row: Row) -> str:
    """A row of `table` in words: what is seen, what the product would give, how sure that is, and of what."""
    if row["tasks"] == 0:
        return f"{row['contrast']}: undefined ({row['reason']})"
    against = names.against(row["contrast"], row["kind"])
    of = f"{plural(row['tasks'], 'task')}, {names.seeds(row['seeds_min'], row['seeds_max'])} per cell"
    seen = f"reduces sizes by {row['observed']:.2f} ×; {against} is {row['expected']:.2f} ×"
    ratio = f"ratio {as_factor(row['interaction']):.2f}"
    if math.isfinite(row["error"]):
        return f"{row['contrast']}: {row['verdict']}: {seen}: {ratio}{_between(row, '')}; {of}"
    if row["tasks_verdict"] != UNDEFINED:
        ratio += f"{_between(row, 'tasks_')} from the differences between tasks"
    return f"{row['contrast']}: {seen}: {ratio}; no interval from seeds ({row['unsure']}); {of}"


def _between(row: Row, prefix: str) -> str:
    return f", 95 % interval {as_factor(row[f'{prefix}low']):.2f} to {as_factor(row[f'{prefix}high']):.2f}"
