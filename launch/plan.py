"""From the configurations of a grid to what is to be done: what is new, what is missing, in which order, how long."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from compress.config import identity
from compress.config.memo import Memo
from compress.config.schema import Config, document, prerequisites
from compress.errors import ConfigError
from compress.model.encoder import label
from compress.runs import result
from compress.runs.result import Result
from compress.wording import are, plural
from launch.apart import told_apart
from launch.cost import Experience
from launch.experiments import Planned

UNCOMPRESSED = "uncompressed model"  # that others start from


@dataclass(frozen=True)
class Plan:
    """What a command line asks for."""

    runs: Path  # the folder of all runs
    asked: int  # how many experiments were written; some may be the same
    experiments: list[Planned]  # each once, those that others need first, then the longest first
    to_run: list[Planned]  # those among them that are not finished
    experience: int  # how many past runs the times were taken from

    @property
    def added(self) -> list[Planned]:
        """Those to run that nobody asked for: teachers, and models that others start from."""
        return [planned for planned in self.to_run if planned.added]

    @property
    def awaited(self) -> list[Planned]:
        """The first stage: those to run that others wait for."""
        needed = {run_id for planned in self.to_run for run_id in planned.needs}
        return [planned for planned in self.to_run if planned.run_id in needed]

    @property
    def teachers(self) -> list[Planned]:
        """Those to run that others learn from."""
        learned_from = {planned.teacher for planned in self.to_run}
        return [planned for planned in self.to_run if planned.run_id in learned_from]

    @property
    def unique(self) -> int:
        """How many different experiments were asked for."""
        return sum(not planned.added for planned in self.experiments)


def make(
    configs: Iterable[Config],
    past: Callable[[Path], Iterable[Result]],
    timeout_min: float | None = None,
    *,
    gpu: bool = False,
) -> Plan:
    """Plan a sweep: each experiment once, and the teachers and starts that are missing; nothing is written.

    Args:
        past: the results of past runs in a folder.
        timeout_min: of every experiment, in place of `resources.timeout_min`.
        gpu: whether they run on GPUs; it decides how long they are expected to take.

    Raises:
        ConfigError: no experiment, or several folders of runs.
    """
    cells = list(configs)
    if not cells:
        raise ConfigError("no experiment: the sweeper made none of what was asked for")
    folders = {Path(config.paths.runs).expanduser() for config in cells}
    if len(folders) != 1:
        raise ConfigError(f"paths.runs={','.join(map(str, sorted(folders)))}: a sweep has one folder of runs; give one")
    runs = folders.pop()
    wanted: dict[str, tuple[Config, Path, bool]] = {}
    needed: dict[str, dict[str, str]] = {}  # by run_id, the run_ids of its teacher and its start
    memo = Memo()
    for config in cells:
        folder = identity.run_folder(config, memo)
        wanted[folder.name] = (config, folder, False)
    for run_id, (config, _, _) in list(wanted.items()):
        needed[run_id] = {}
        for what, other in prerequisites(config, memo).items():
            folder = identity.run_folder(other, memo)
            needed[run_id][what] = folder.name
            wanted.setdefault(folder.name, (other, folder, True))
    experience = Experience(past(runs), gpu=gpu)
    every = []
    for run_id, (config, folder, added) in wanted.items():
        model, methods = label(config.model), folder.parent.name
        resources, others = config.resources.for_model(model), needed.get(run_id, {})
        every.append(
            Planned(
                run_id=run_id,
                folder=str(folder.relative_to(runs)),
                task=config.task.name,
                model=model,
                methods=methods,
                seed=config.seed,
                teacher=others.get("teacher"),
                start=others.get("start"),
                added=added,
                seconds=experience.seconds(config, model, methods),
                resources=resources if timeout_min is None else replace(resources, timeout_min=timeout_min),
                config=document(config),
            )
        )
    apart = told_apart({planned.run_id: (planned.name, planned.config) for planned in every})
    every = [replace(planned, apart=apart[planned.run_id]) if planned.run_id in apart else planned for planned in every]
    awaited = {run_id for planned in every for run_id in planned.needs}
    every.sort(key=lambda planned: (planned.run_id not in awaited, -planned.seconds))
    to_run = [each for each in every if each.config["force"] or result.read(runs / each.folder, each.run_id) is None]
    # a finished teacher is not needed again, nor is one whose students are all finished; a start likewise
    missing = {run_id for planned in to_run for run_id in planned.needs}
    to_run = [planned for planned in to_run if not planned.added or planned.run_id in missing]
    return Plan(runs, len(cells), every, to_run, experience.runs)


def elapsed(to_run: Sequence[Planned], slots: int) -> float:
    """Seconds until all have run on so many devices, each as long as expected, after those that it needs."""
    ids = {planned.run_id for planned in to_run}
    missing = {planned.run_id: ids & {*planned.needs} for planned in to_run}
    waiting: dict[str, list[Planned]] = defaultdict(list)
    for planned in to_run:
        for run_id in missing[planned.run_id]:
            waiting[run_id].append(planned)
    first, now = [planned for planned in to_run if not missing[planned.run_id]], 0.0
    running = [(planned.seconds, planned.run_id) for planned in first[:slots]]
    heapq.heapify(running)
    arrived = itertools.count()  # of equally long ones, who is ready first runs first
    ready = [(-planned.seconds, next(arrived), planned.run_id) for planned in first[slots:]]
    heapq.heapify(ready)
    while running:
        now, run_id = heapq.heappop(running)
        for planned in waiting.pop(run_id, []):
            missing[planned.run_id].remove(run_id)
            if not missing[planned.run_id]:
                heapq.heappush(ready, (-planned.seconds, next(arrived), planned.run_id))
        while ready and len(running) < slots:
            seconds, _, run_id = heapq.heappop(ready)
            heapq.heappush(running, (now - seconds, run_id))
    return now


def headline(plan: Plan) -> list[str]:
    """What there is to do, in one line or two."""
    repeated = plan.asked - plan.unique
    experiments = plural(plan.unique, "experiment")
    experiments += f" ({plan.asked} asked for, {repeated} the same as others)" if repeated else ""
    finished = plan.unique - sum(not planned.added for planned in plan.to_run)
    lines = [f"{experiments}: {len(plan.to_run) - len(plan.added)} to run, {finished} finished"]
    teachers = {planned.run_id for planned in plan.teachers}
    added = Counter("teacher" if planned.run_id in teachers else UNCOMPRESSED for planned in plan.added)
    lines += [f"{are(n, f'missing {what}')} added" for what, n in sorted(added.items())]
    return lines


def describe(plan: Plan, where: Sequence[str]) -> str:
    """What `python -m launch plan` prints; `where` is what the launcher says of its jobs and the time."""
    lines = headline(plan)
    if awaited := plan.awaited:
        tasks = ", ".join(f"{n} {task}" for task, n in Counter(planned.task for planned in awaited).items())
        first = {planned.run_id for planned in awaited}
        waiting = [(planned, run_id) for planned in plan.to_run for run_id in planned.needs if run_id in first]
        after = " or ".join(sorted({planned.role_of(run_id) for planned, run_id in waiting}, reverse=True))
        teachers, what = plan.teachers, plural(len(awaited), "teacher")
        if len(teachers) < len(awaited):
            what = f"{plural(len(awaited), UNCOMPRESSED)} that others need, {len(teachers)} as teachers"
        lines += [f"stage 1: {what} ({tasks})"]
        others, later = len(plan.to_run) - len(awaited), {planned.run_id for planned, _ in waiting}
        lines += [f"stage 2: {plural(others, 'other experiment')}, {len(later)} of which wait for their {after}"]
    lines += where
    source = "arithmetic: no run is finished"
    if plan.experience:
        source = f"{plural(plan.experience, 'finished run')} in {plan.runs}"
    return "\n".join([*lines, f"estimated from {source}", "nothing was started"])


def as_document(plan: Plan) -> dict[str, object]:
    missing = {planned.run_id for planned in plan.to_run}
    return {
        "runs": str(plan.runs),
        "asked": plan.asked,
        "experiments": len(plan.experiments),
        "to_run": len(plan.to_run),
        "finished": len(plan.experiments) - len(plan.to_run),
        "added": len(plan.added),
        "device_seconds": sum(planned.seconds for planned in plan.to_run),
        "cells": [
            {key: value for key, value in asdict(planned).items() if key != "config"}
            | {"finished": planned.run_id not in missing}
            for planned in plan.experiments
        ],
    }
