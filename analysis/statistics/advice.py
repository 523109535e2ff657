"""What to use for a budget: of the measured models the best that fits, and the runner-up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import names
from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics.contrasts import TaskCurves, curves_by_task
from analysis.statistics.means import POINT, common_tasks
from analysis.statistics.score_size import cells
from analysis.statistics.uncertainty import ONE_SEED, Parts, satterthwaite, t_interval
from compress.errors import ConfigError, nearest
from compress.wording import MEGABYTE


@dataclass(frozen=True)
class Choice:
    """A model with its methods in a variant, over one task or the mean of several.

    Attributes:
        score, low, high: mean over seeds, then over tasks, points; its 95 % interval up to 100, None with one seed.
        megabytes: decimal; the mean over tasks, whose classifiers differ.
        runs: the run folder of each seed, or its run_id where there are no folders.
    """

    model: str
    methods: str
    variant: str
    score: float
    low: float | None
    high: float | None
    seeds_min: int
    seeds_max: int
    megabytes: float
    runs: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.model} {self.methods}" + (f" ({self.variant})" if self.variant else "")


@dataclass(frozen=True)
class Advice:
    """The answer to `target`, of as many models as were `considered`; scores are means over the tasks.

    Attributes:
        chosen, runner_up: the best and the next that fit; None where there is none.
        apart: whether their scores differ by more than seeds vary; None where that is not known.
        nearest: where none fits, those that come closest.
        notes: what was left out.
    """

    target: str
    tasks: tuple[str, ...]
    chosen: Choice | None
    runner_up: Choice | None
    apart: bool | None
    nearest: tuple[Choice, ...]
    considered: int
    notes: tuple[str, ...]


def advise(
    results: Results,
    options: Options,
    task: str | None = None,
    max_bytes: float | None = None,
    min_score: float | None = None,
) -> Advice:
    """The best measured model for a budget.

    With a greatest size: the highest score that fits (and is at least `min_score`); with a least score alone: the
    smallest model that reaches it. Scores are compared as measured; whether the difference to the runner-up is more
    than seeds vary is told.

    Args:
        task: one of the collection; without it, the mean over all tasks.

    Raises:
        ConfigError: neither is given, no such task, or nothing is measured.
    """
    if max_bytes is None and min_score is None:
        raise ConfigError("advise: give a greatest size, --max-mb 10, or a least score, --min-score 80, or both")
    if task is not None and task not in results.tasks:
        raise ConfigError(f"--task {task}: must be one of {', '.join(results.tasks)}{nearest(task, results.tasks)}")
    tasks, choices, notes = _measured(results, options, task)
    if not choices:
        raise ConfigError(
            f"{results.source}: no model has a defined {names.SCORES[options.score].label} on"
            f" {', '.join(tasks) or 'any task'}"
        )
    size = math.inf if max_bytes is None else max_bytes / MEGABYTE
    least = -math.inf if min_score is None else min_score
    small = [choice for choice in choices if choice.megabytes <= size]
    good = [choice for choice in choices if choice.score >= least]

    def order(choice: Choice) -> tuple[float, float]:
        return (choice.megabytes, -choice.score) if max_bytes is None else (-choice.score, choice.megabytes)

    fitting = sorted((choice for choice in small if choice in good), key=order)
    chosen, runner_up = (*fitting, None, None)[:2]
    asked = [] if max_bytes is None else [f"at most {size:g} MB"]
    asked += [] if min_score is None else [f"at least {least:g} points"]
    return Advice(
        target=f"{' and '.join(asked)} ({options.told})",
        tasks=tuple(tasks),
        chosen=chosen,
        runner_up=runner_up,
        apart=_apart(chosen, runner_up),
        nearest=() if chosen else _closest(choices, small, good),
        considered=len(choices),
        notes=tuple(notes),
    )


def _closest(choices: Sequence[Choice], small: Sequence[Choice], good: Sequence[Choice]) -> tuple[Choice, ...]:
    """Of those that are small enough the best, of those that are good enough the smallest; each once."""
    best = max(small, key=lambda choice: choice.score) if small else min(choices, key=lambda choice: choice.megabytes)
    smallest = min(good, key=lambda choice: choice.megabytes) if good else max(choices, key=lambda choice: choice.score)
    return (best,) if best is smallest else (best, smallest)


def _apart(chosen: Choice | None, runner_up: Choice | None) -> bool | None:
    """Whether two scores differ by more than seeds vary; as if independent, which errs on the side of no."""
    if chosen is None or runner_up is None or chosen.low is None or runner_up.low is None:
        return None
    return abs(chosen.score - runner_up.score) > math.hypot(chosen.score - chosen.low, runner_up.score - runner_up.low)


def _measured(results: Results, options: Options, task: str | None) -> tuple[list[str], list[Choice], list[str]]:
    """The tasks, what is measured on all of them, and what is left out."""
    scored = results.runs[results.runs[options.score_column].notna()]
    tasks = [task] if task else common_tasks(scored)
    scored = scored[scored["task"].isin(tasks)]
    curves = {of_task.task: of_task for of_task in curves_by_task(scored, options)}
    table = cells(scored, options.score_column, options.bytes_column)
    grouped = [rows for _, rows in table.groupby(POINT, sort=False)]
    whole = [rows for rows in grouped if len(rows) == len(tasks)]
    notes = []
    if partial := len(grouped) - len(whole):
        notes.append(f"{partial} of {len(grouped)} models left out: they lack some of the tasks")
    if lacking := [] if task else [name for name in results.tasks if name not in tasks]:
        notes.append(f"{', '.join(lacking)} left out: too few models have scores there")
    if alone := [name for name, of_task in curves.items() if of_task.variation is None]:
        notes.append(f"no intervals: {ONE_SEED} in {', '.join(alone)}")
    return tasks, [_choice(rows, curves, scored) for rows in whole], notes


def _choice(rows: pd.DataFrame, curves: Mapping[str, TaskCurves], runs: pd.DataFrame) -> Choice:
    """Of the cells of a model, subset and variant, a task each."""
    model, methods, variant = (str(rows[key].iloc[0]) for key in POINT)
    score = float(rows["score"].mean())
    parts = _parts(rows, curves)
    interval = t_interval(score, math.sqrt(sum(variance for variance, _ in parts)), satterthwaite(parts))
    low, high = (interval.low, min(interval.high, 100.0)) if parts else (None, None)
    of = runs[(runs[POINT] == [model, methods, variant]).all(axis=1)]
    where = zip(of["folder"], of["url"], of["run_id"], strict=True)
    return Choice(
        model, methods, variant, score, low, high,
        int(rows["seeds"].min()), int(rows["seeds"].max()), float(rows["bytes"].mean()) / MEGABYTE,
        tuple(str(folder if folder is not None else url or run_id) for folder, url, run_id in where),
    )  # fmt: skip


def _parts(rows: pd.DataFrame, curves: Mapping[str, TaskCurves]) -> Parts:
    """Of a mean over tasks, task by task, whose runs are taken to vary alike; none if that is not known of each.

    Sizes are independent, cells of a size are not: so each size counts for its seeds once.
    """
    parts = []
    for row in rows.itertuples():
        variation = curves[row.task].variation
        if variation is None:
            return []
        freedom = sum(int(variation.seeds[variation.sizes == size].max()) - 1 for size in set(variation.sizes))
        parts.append((variation.variance / row.seeds / len(rows) ** 2, freedom))
    return parts


def sentences(advice: Advice) -> list[str]:
    over = f"mean over {len(advice.tasks)} tasks" if len(advice.tasks) > 1 else advice.tasks[0]
    lines = [f"{advice.target}, {over}; {advice.considered} measured models"]
    if advice.chosen:
        lines.append(f"use        {_told(advice.chosen)}")
        lines.append(f"runner-up  {_told(advice.runner_up)}" if advice.runner_up else "no other model fits")
        if advice.apart is not None:
            lines.append(f"their scores {'differ' if advice.apart else 'do not differ'} by more than seeds vary")
        lines += ["", *(f"  {run}" for run in advice.chosen.runs[:8])]
        lines += [f"  … and {len(advice.chosen.runs) - 8} more runs"] if len(advice.chosen.runs) > 8 else []
    else:
        lines.append("no measured model fits; the nearest:")
        lines += [f"  {_told(choice)}" for choice in advice.nearest]
    return lines + [f"note: {note}" for note in advice.notes]


def _told(choice: Choice) -> str:
    interval = "" if choice.low is None or choice.high is None else f" [{choice.low:.1f}, {choice.high:.1f}]"
    seeds = names.seeds(choice.seeds_min, choice.seeds_max)
    return f"{choice.name}: score {choice.score:.1f}{interval}, {choice.megabytes:.3g} MB, {seeds}"
