"""An experiment of a sweep, as it was planned and as it ended."""

from __future__ import annotations

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
    added: bool  # whether nobody asked for it but a student needs it
    seconds: float  # how long it is expected to take on one device
    resources: Needs  # what it needs
    config: dict[str, object]  # the whole configuration as plain values

    @property
    def name(self) -> str:
        return f"{self.task} {self.model} {self.methods} seed {self.seed}"


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
