"""An experiment of a sweep, as it was planned and as it ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from compress.checked import stored
from compress.config.resources import Needs


@stored
class Planned:
    run_id: str
    folder: str  # the run folder, below the runs
    task: str
    model: str
    methods: str  # `none`, or the active ones joined with `+`
    seed: int
    teacher: str | None  # its run_id, of a student
    added: bool  # whether nobody asked for it but another needs it
    seconds: float  # how long it is expected to take on one device
    resources: Needs  # what it needs
    config: dict[str, object]  # the whole configuration as plain values
    start: str | None = None  # the run_id of the finished model that it starts from
    apart: str = ""  # what tells it from others of this task, model, methods and seed: `prune.sparsity=0.6`

    @property
    def needs(self) -> tuple[str, ...]:
        """The run_ids of the experiments that must be finished before, each once."""
        return tuple(dict.fromkeys(run_id for run_id in (self.teacher, self.start) if run_id is not None))

    def role_of(self, needed: str) -> str:
        """What one of them is to it, in a word."""
        return "teacher" if needed == self.teacher else "start"

    @property
    def name(self) -> str:
        return called(self.task, self.model, self.methods, self.apart, self.seed)


def called(task: str, model: str, methods: str, apart: str, seed: int | None) -> str:
    """An experiment's name, as commands print and take it: `rte tiny prune prune.sparsity=0.6 seed 0`."""
    words = [task, model, methods, apart, "" if seed is None else f"seed {seed}"]
    return " ".join(word for word in words if word)


CANCELLED = "cancelled"  # what an experiment failed of that somebody cancelled
NAME_LENGTH = 60  # of what a scheduler shows of experiments, at most


def in_common(experiments: Iterable[Planned]) -> str:
    """As the name of a scheduler's job: `rte-tiny-prune-s0` of one, `rte-2models-none-3seeds` of several."""
    several = list(experiments)
    facts = {
        "tasks": {planned.task for planned in several},
        "models": {planned.model for planned in several},
        "subsets": {planned.methods for planned in several},
        "seeds": {f"s{planned.seed}" for planned in several},
    }
    words = (f"{len(values)}{what}" if len(values) > 1 else next(iter(values)) for what, values in facts.items())
    return re.sub(r"[^\w.+-]+", "_", "-".join(words), flags=re.ASCII)[:NAME_LENGTH].strip("-_")


@stored
class Outcome:
    """How an experiment of a sweep ended; `log` is where to read more."""

    run_id: str
    state: Literal["finished", "failed"]
    seconds: float
    cause: str = ""
    log: str = ""


@stored
class PlanFile:
    """plan.json of a sweep's folder."""

    version: Literal[1]
    time: float  # when it was planned, in seconds of the epoch
    directory: str  # where it was launched
    launcher: dict[str, object]  # its settings, with its `name`
    to_run: list[str]  # run_ids of those experiments that were not finished then
    experiments: list[Planned]
    command: list[str] | None = None  # that asked for it
