"""What to use for a budget: of the measured cells the best that fits, and the runner-up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from analysis.options import Options
from analysis.read.results import Results
from analysis.reference import MEGABYTE
from analysis.statistics import uncertainty as noises
from analysis.statistics.cells import cells
from analysis.statistics.contrasts import TaskFronts, fronts_of
from analysis.statistics.curves import common_tasks
from compress.errors import ConfigError, nearest

CELL = ["model", "methods", "sparsity"]


@dataclass(frozen=True)
class Choice:
    """A cell, over one task or the mean of several.

    Attributes:
        score: mean over seeds, then over tasks; points.
        low, high: its 95 % interval, not beyond 100; None with one seed.
        variance: of the score; None with one seed.
        seeds_min, seeds_max: of the tasks' cells.
        megabytes: decimal; the mean over tasks, whose classifiers differ.
        runs: the run folder of each seed, or its run_id where there are no folders.
    """

    model: str
    methods: str
    sparsity: float
    score: float
    low: float | None
    high: float | None
    variance: float | None
    seeds_min: int
    seeds_max: int
    megabytes: float
    runs: tuple[str, ...]

    @property
    def name(self) -> str:
        """What people read."""
        return f"{self.model} {self.methods}" + (f" {self.sparsity:g}" if self.sparsity else "")


@dataclass(frozen=True)
class Advice:
    """The answer.

    Attributes:
        target: what was asked for, in words.
        tasks: that scores are the mean of.
        chosen, runner_up: the best and the next that fit; None where there is none.
        apart: whether their scores' difference is beyond the noise; None where that is not known.
        nearest: where none fits, the cells that come closest.
        considered: how many cells were looked at.
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

    def document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def advise(
    results: Results,
    options: Options,
    task: str | None = None,
    max_bytes: float | None = None,
    min_score: float | None = None,
) -> Advice:
    """The best measured cell for a budget.

    With a greatest size: the highest score that fits (and is at least `min_score`); with a least score alone: the
    smallest model that reaches it. Scores are compared as measured; whether the difference to the runner-up is more
    than noise is told.

    Args:
        task: one of the collection; without it, the mean over all tasks.

    Raises:
        ConfigError: neither is given, no such task, or nothing is measured.
    """
    if max_bytes is None and min_score is None:
        raise ConfigError("advise: give a greatest size, --max-mb 10, or a least score, --min-score 80, or both")
    if task is not None and task not in results.tasks:
        raise ConfigError(f"--task {task}: must be one of {', '.join(results.tasks)}{nearest(task, results.tasks)}")
    tasks, measured, notes = _measured(results, options, task)
    choices = [_choice(row, results, tasks) for row in measured.to_dict("records")]
    if not choices:
        raise ConfigError(
            f"{results.source}: no cell has a defined {options.score} score on {', '.join(tasks) or 'any task'}"
        )
    size = math.inf if max_bytes is None else max_bytes / MEGABYTE
    least = -math.inf if min_score is None else min_score
    small = [own for own in choices if own.megabytes <= size]
    good = [own for own in choices if own.score >= least]
    fitting = sorted(
        (own for own in small if own in good),
        key=lambda own: (own.megabytes, -own.score) if max_bytes is None else (-own.score, own.megabytes),
    )
    chosen, runner_up = (*fitting, None, None)[:2]
    close = [] if chosen else _closest(choices, small, good)
    asked = {f"at most {size:g} MB": max_bytes, f"at least {least:g} points": min_score}
    target = " and ".join(words for words, value in asked.items() if value is not None)
    return Advice(
        target=f"{target} ({options.bytes} bytes, {options.score} score)",
        tasks=tuple(tasks),
        chosen=chosen,
        runner_up=runner_up,
        apart=_apart(chosen, runner_up),
        nearest=tuple(close),
        considered=len(choices),
        notes=tuple(notes),
    )


def _closest(choices: Sequence[Choice], small: Sequence[Choice], good: Sequence[Choice]) -> list[Choice]:
    """Of those that are small enough the best, of those that are good enough the smallest; each once."""
    best = max(small, key=lambda own: own.score) if small else min(choices, key=lambda own: own.megabytes)
    smallest = min(good, key=lambda own: own.megabytes) if good else max(choices, key=lambda own: own.score)
    return [best] if best is smallest else [best, smallest]


def _apart(chosen: Choice | None, runner_up: Choice | None) -> bool | None:
    """Whether two scores differ by more than noise; as if independent, which errs on the side of no."""
    if chosen is None or runner_up is None or chosen.variance is None or runner_up.variance is None:
        return None
    error = math.sqrt(chosen.variance + runner_up.variance)
    return bool(abs(chosen.score - runner_up.score) > noises.quantile(math.inf) * error)


def _measured(results: Results, options: Options, task: str | None) -> tuple[list[str], pd.DataFrame, list[str]]:
    """The tasks, every cell that has them all (columns `CELL`, score, interval, bytes, seeds), and what is left out."""
    scored = results.runs[results.runs[options.score_column].notna()]
    tasks = [task] if task else common_tasks(scored)
    table = cells(scored[scored["task"].isin(tasks)], options.score_column, options.bytes_column)
    known = {own.task: own for own in fronts_of(scored[scored["task"].isin(tasks)], options)}
    rows, partial = [], 0
    for key, own in table.groupby(CELL, sort=False):
        if len(own) < len(tasks):
            partial += 1
            continue
        value, parts = float(own["score"].mean()), _parts(own, known)
        interval = noises.of_parts(value, parts) if parts else noises.Interval()
        rows.append(
            dict(zip(CELL, key, strict=True))
            | {"score": value, "low": interval.low, "high": interval.high, "error": interval.error}
            | {"bytes": own["bytes"].mean(), "least": own["seeds"].min(), "most": own["seeds"].max()}
        )
    notes = [f"{partial} of {partial + len(rows)} cells left out: they lack some of the tasks"] if partial else []
    if lacking := [] if task else [name for name in results.tasks if name not in tasks]:
        notes.append(f"{', '.join(lacking)} left out: too few cells have scores there")
    if any(own.noise is None for own in known.values()):
        notes.append(
            f"no intervals: {noises.ONE_SEED} in {', '.join(t for t, own in known.items() if own.noise is None)}"
        )
    return tasks, pd.DataFrame(rows), notes


def _parts(own: pd.DataFrame, known: dict[str, TaskFronts]) -> list[tuple[float, int]]:
    """Variance of a mean over tasks and its degrees of freedom, task by task; a task's runs are taken to vary alike.

    Sizes are independent, cells of a size are not: so each size counts for its seeds once.
    """
    parts = []
    for row in own.itertuples():
        noise = known[row.task].noise
        if noise is None:
            return []
        freedom = sum(int(noise.seeds[noise.sizes == size].max()) - 1 for size in set(noise.sizes))
        parts.append((noise.variance / row.seeds / len(own) ** 2, freedom))
    return parts


def _choice(row: dict[str, Any], results: Results, tasks: Sequence[str]) -> Choice:
    runs = results.runs
    own = runs[runs["task"].isin(tasks) & (runs[CELL] == [row[key] for key in CELL]).all(axis=1)]
    where = [str(folder if folder is not None else url or run_id)
             for folder, url, run_id in zip(own["folder"], own["url"], own["run_id"], strict=True)]  # fmt: skip
    known = math.isfinite(row["error"])
    return Choice(
        row["model"], row["methods"], float(row["sparsity"]), row["score"],
        row["low"] if known else None, min(row["high"], 100.0) if known else None, row["error"] ** 2 if known else None,
        int(row["least"]), int(row["most"]), row["bytes"] / MEGABYTE, tuple(where),
    )  # fmt: skip


def sentences(advice: Advice) -> list[str]:
    """The answer in words."""
    over = f"mean over {len(advice.tasks)} tasks" if len(advice.tasks) > 1 else advice.tasks[0]
    lines = [f"{advice.target}, {over}; {advice.considered} measured cells"]
    if advice.chosen:
        lines.append(f"use        {_told(advice.chosen)}")
        lines += [f"runner-up  {_told(advice.runner_up)}"] if advice.runner_up else ["no other cell fits"]
        if advice.apart is not None:
            lines.append("their scores differ by more than noise" if advice.apart else
                         "their scores do not differ by more than noise")  # fmt: skip
        lines += ["", *(f"  {run}" for run in advice.chosen.runs[:8])]
        lines += [f"  … and {len(advice.chosen.runs) - 8} more runs"] if len(advice.chosen.runs) > 8 else []
    else:
        lines.append("no measured cell fits; the nearest:")
        lines += [f"  {_told(own)}" for own in advice.nearest]
    return lines + [f"note: {note}" for note in advice.notes]


def _told(own: Choice) -> str:
    interval = "" if own.low is None or own.high is None else f" [{own.low:.1f}, {own.high:.1f}]"
    seeds = f"{own.seeds_min}" if own.seeds_min == own.seeds_max else f"{own.seeds_min} to {own.seeds_max}"
    plural = "" if own.seeds_max == 1 else "s"
    return f"{own.name}: score {own.score:.1f}{interval}, {own.megabytes:.3g} MB, {seeds} seed{plural}"
