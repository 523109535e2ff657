"""An experiment of a sweep, as it was planned and as it ended."""

from __future__ import annotations

from typing import Literal

from compress.checked import stored
from compress.config.resources import Needs


@stored
class Planned:
    """One experiment of a sweep.

    Attributes:
        folder: the run folder, below the runs.
        methods: `none`, or the active ones joined with `+`.
        teacher: its run_id, of a student.
        added: whether nobody asked for it but a student needs it.
        seconds: how long it is expected to take on one device.
        resources: what it needs.
        config: the whole configuration as plain values.
    """

    run_id: str
    folder: str
    task: str
    model: str
    methods: str
    seed: int
    teacher: str | None
    added: bool
    seconds: float
    resources: Needs
    config: dict[str, object]

    @property
    def name(self) -> str:
        """What people read."""
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
    """plan.json of a sweep's folder.

    Attributes:
        time: when it was planned, in seconds of the epoch.
        directory: where it was launched.
        launcher: its settings, with its `name`.
        to_run: run_ids of those experiments that were not finished then.
    """

    version: Literal[1]
    time: float
    directory: str
    launcher: dict[str, object]
    to_run: list[str]
    experiments: list[Planned]
