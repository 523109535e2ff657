"""What to use for a budget of bytes, time and score: of the measured models the best that fits, and the runner-up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis import names
from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics import costs
from analysis.statistics.contrasts import TaskCurves, curves_by_task
from analysis.statistics.costs import MEASURE, Latencies, Shape, Training, duration
from analysis.statistics.means import POINT, common_tasks
from analysis.statistics.score_size import cells
from analysis.statistics.uncertainty import ONE_SEED, Parts, satterthwaite, t_interval
from compress.errors import ConfigError, nearest
from compress.wording import MEGABYTE

UNITS = {"megabytes": "MB", "milliseconds": "ms", "hours": "hours of training"}
UNKNOWN = {
    "milliseconds": f"latency not measured ({MEASURE})",
    "hours": "the time of their training, or of their teachers', is not known",
}


@dataclass(frozen=True)
class Choice:
    """A model with its methods in a variant, over one task or the mean of several.

    Attributes:
        score, low, high: mean over seeds, then over tasks, points; its 95 % interval up to 100, None with one seed.
        megabytes: decimal; the mean over tasks, whose classifiers differ.
        training: what it took to train it, means over seeds and tasks.
        milliseconds: of a batch of `Advice.latency`; None if not measured.
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
    training: Training
    milliseconds: float | None
    runs: tuple[str, ...]

    @property
    def hours(self) -> float | None:
        """Of training, its teacher's included; None if not known."""
        return None if self.training.whole is None else self.training.whole / 3600

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
        latency: shape and machine of all milliseconds, in words; empty if none are measured.
        notes: what was left out.
    """

    target: str
    tasks: tuple[str, ...]
    chosen: Choice | None
    runner_up: Choice | None
    apart: bool | None
    nearest: tuple[Choice, ...]
    considered: int
    latency: str
    notes: tuple[str, ...]


def advise(
    results: Results,
    options: Options,
    task: str | None = None,
    max_bytes: float | None = None,
    min_score: float | None = None,
    max_ms: float | None = None,
    max_train_hours: float | None = None,
    shape: Shape = (1, 128),
) -> Advice:
    """The best measured model for a budget.

    With a limit of size or time: the highest score that fits (and is at least `min_score`); with a least score alone:
    the smallest model that reaches it. Scores are compared as measured; whether the difference to the runner-up is more
    than seeds vary is told. What is not known of a model does not fit a limit on it.

    Args:
        task: one of the collection; without it, the mean over all tasks.
        max_ms: for a batch of this `shape`, batch and tokens.
        max_train_hours: of a device, its teacher's training included.

    Raises:
        ConfigError: nothing is asked, no such task, or nothing is measured of what is asked.
    """
    if max_bytes is max_ms is max_train_hours is min_score is None:
        raise ConfigError(
            "advise: give a limit, --max-mb 10, --max-ms 20 or --max-train-hours 2, or a least score, --min-score 80"
        )
    if task is not None and task not in results.tasks:
        raise ConfigError(f"--task {task}: must be one of {', '.join(results.tasks)}{nearest(task, results.tasks)}")
    latencies = costs.latencies(results.runs, shape)
    tasks, choices, notes = _measured(results, options, task, latencies)
    if not choices:
        raise ConfigError(
            f"{results.source}: no model has a defined {names.score_of(options.score, results.tasks).label} on"
            f" {', '.join(tasks) or 'any task'}"
        )
    limits = {
        "megabytes": None if max_bytes is None else max_bytes / MEGABYTE,
        "milliseconds": max_ms,
        "hours": max_train_hours,
    }
    if max_ms is not None and not latencies.milliseconds:
        raise ConfigError(
            f"--max-ms {max_ms:g}: no model's latency at {shape[0]} × {shape[1]} tokens is in {results.source};"
            f" {MEASURE} measures it"
        )
    notes += [*latencies.notes, *_unknown(choices, limits)]
    least = -math.inf if min_score is None else min_score
    small = [choice for choice in choices if _within(choice, limits)]
    good = [choice for choice in choices if choice.score >= least]

    def order(choice: Choice) -> tuple[float, float]:
        unlimited = all(limit is None for limit in limits.values())
        return (choice.megabytes, -choice.score) if unlimited else (-choice.score, choice.megabytes)

    fitting = sorted((choice for choice in small if choice in good), key=order)
    chosen, runner_up = (*fitting, None, None)[:2]
    asked = [f"at most {limit:g} {UNITS[name]}" for name, limit in limits.items() if limit is not None]
    asked += [] if min_score is None else [f"at least {least:g} points"]
    return Advice(
        target=f"{' and '.join(asked)} ({options.told(results.tasks)})",
        tasks=tuple(tasks),
        chosen=chosen,
        runner_up=runner_up,
        apart=_apart(chosen, runner_up),
        nearest=() if chosen else _closest(choices, small, good),
        considered=len(choices),
        latency=latencies.conditions,
        notes=tuple(notes),
    )


def _within(choice: Choice, limits: Mapping[str, float | None]) -> bool:
    """Whether what is known of a choice is within all limits."""
    values = ((getattr(choice, name), limit) for name, limit in limits.items() if limit is not None)
    return all(value is not None and value <= limit for value, limit in values)


def _unknown(choices: Sequence[Choice], limits: Mapping[str, float | None]) -> list[str]:
    """How many choices a limit leaves out for want of a number."""
    said = []
    for name, limit in limits.items():
        lacking = sum(getattr(choice, name) is None for choice in choices) if limit is not None else 0
        if lacking:
            said.append(f"{lacking} of {len(choices)} models left out: {UNKNOWN[name]}")
    return said


def _closest(choices: Sequence[Choice], small: Sequence[Choice], good: Sequence[Choice]) -> tuple[Choice, ...]:
    """Of those within the limits the best, of those that are good enough the smallest; each once."""
    best = max(small, key=lambda choice: choice.score) if small else min(choices, key=lambda choice: choice.megabytes)
    smallest = min(good, key=lambda choice: choice.megabytes) if good else max(choices, key=lambda choice: choice.score)
    return (best,) if best is smallest else (best, smallest)


def _apart(chosen: Choice | None, runner_up: Choice | None) -> bool | None:
    """Whether two scores differ by more than seeds vary; as if independent, which errs on the side of no."""
    if chosen is None or runner_up is None or chosen.low is None or runner_up.low is None:
        return None
    return abs(chosen.score - runner_up.score) > math.hypot(chosen.score - chosen.low, runner_up.score - runner_up.low)


def _measured(
    results: Results, options: Options, task: str | None, latencies: Latencies
) -> tuple[list[str], list[Choice], list[str]]:
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
    chosen = replace(results, runs=scored)
    return tasks, [_choice(rows, curves, chosen, results, latencies) for rows in whole], notes


def _choice(
    rows: pd.DataFrame, curves: Mapping[str, TaskCurves], chosen: Results, results: Results, latencies: Latencies
) -> Choice:
    """Of the cells of a model, subset and variant, a task each."""
    model, methods, variant = (str(rows[key].iloc[0]) for key in POINT)
    score = float(rows["score"].mean())
    parts = _parts(rows, curves)
    interval = t_interval(score, math.sqrt(sum(variance for variance, _ in parts)), satterthwaite(parts))
    low, high = (interval.low, min(interval.high, 100.0)) if parts else (None, None)
    runs = chosen.runs
    of = runs[(runs[POINT] == [model, methods, variant]).all(axis=1)]
    where = zip(of["folder"], of["url"], of["run_id"], strict=True)
    return Choice(
        model, methods, variant, score, low, high,
        int(rows["seeds"].min()), int(rows["seeds"].max()), float(rows["bytes"].mean()) / MEGABYTE,
        costs.training(of, results), latencies.milliseconds.get((model, methods, variant)),
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
        lines += [f"use        {_told(advice.chosen)}", f"           {_price(advice.chosen, advice.latency)}"]
        other = advice.runner_up
        lines += [f"runner-up  {_told(other)}", f"           {_price(other, advice.latency)}"] if other else []
        lines += [] if other else ["no other model fits"]
        if advice.apart is not None:
            lines.append(f"their scores {'differ' if advice.apart else 'do not differ'} by more than seeds vary")
        lines += ["", *(f"  {run}" for run in advice.chosen.runs[:8])]
        lines += [f"  … and {len(advice.chosen.runs) - 8} more runs"] if len(advice.chosen.runs) > 8 else []
    else:
        lines.append("no measured model fits; the nearest:")
        for choice in advice.nearest:
            lines += [f"  {_told(choice)}", f"    {_price(choice, advice.latency)}"]
    return lines + [f"note: {note}" for note in advice.notes]


def _told(choice: Choice) -> str:
    interval = "" if choice.low is None or choice.high is None else f" [{choice.low:.1f}, {choice.high:.1f}]"
    seeds = names.seeds(choice.seeds_min, choice.seeds_max)
    return f"{choice.name}: score {choice.score:.1f}{interval}, {choice.megabytes:.3g} MB, {seeds}"


def _price(choice: Choice, latency: str) -> str:
    """What it takes to train, on what, and to run."""
    trained = choice.training
    own = "training time not known" if trained.seconds is None else f"trained in {duration(trained.seconds)}"
    for what, needed, known in (
        ("start", trained.started, trained.start_seconds),
        ("teacher", trained.taught, trained.teacher_seconds),
    ):
        if needed:
            took = "'s training is not in the collection" if known is None else f" in {duration(known)}"
            own += f", its {what}{took}"
    where = f", on {' and '.join(trained.devices)}" if trained.devices else ""
    measured = choice.milliseconds
    answers = f"latency not measured ({MEASURE})" if measured is None else f"{measured:.3g} ms ({latency})"
    return f"{own}{where}; {answers}"
