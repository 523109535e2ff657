"""A sweep on disk, `<runs>/.sweeps/<name>/`: what was asked for, which jobs and workers are at it, how each one ended.

plan.json       the launcher's settings and every experiment; written once, before anything starts
outcomes/       <run_id>.json as each experiment ends, by whoever ran it
jobs.json       run_id -> job id, where a scheduler has them
logs/           what each experiment said, <run_id>.txt; jobs/ has what the jobs and workers themselves said
worker-<n>      locked by a worker of this machine while it lives
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from compress import result
from compress.config import Config, from_mapping
from compress.errors import ConfigError

SWEEPS = ".sweeps"
VERSION = 1


@dataclass(frozen=True)
class Planned:
    """One experiment of a sweep.

    Attributes:
        folder: the run folder, below the runs.
        methods: `none`, or the active ones joined with `+`.
        teacher: its run_id, of a student.
        added: whether nobody asked for it but a student needs it.
        seconds: how long it is expected to take on one device.
        resources: what it needs (`compress.resources.Needs`).
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
    resources: dict[str, Any]
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """What people read."""
        return f"{self.task} {self.model} {self.methods} seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """How an experiment of a sweep ended; `log` is where to read more."""

    run_id: str
    state: str  # finished | failed
    seconds: float
    cause: str = ""
    log: str = ""


class Sweep:
    """A sweep's folder, and what plan.json says.

    Attributes:
        launcher: its settings, with its `name`.
        experiments: all, by run_id, in the order in which they run; teachers among them.
        to_run: those that were not finished when it was planned.
        directory: where it was launched; relative paths in configurations are meant from there.
    """

    def __init__(
        self,
        folder: Path,
        launcher: Mapping[str, Any],
        experiments: Iterable[Planned],
        to_run: Iterable[str],
        directory: str | None = None,
    ) -> None:
        self.folder, self.launcher = folder.absolute(), launcher
        self.experiments = {planned.run_id: planned for planned in experiments}
        self.to_run = list(to_run)
        self.directory = directory or os.getcwd()
        self._outcomes: dict[str, Outcome] = {}

    @property
    def teachers(self) -> set[str]:
        """The experiments that others learn from."""
        return {planned.teacher for planned in self.experiments.values() if planned.teacher is not None}

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.folder.parent.parent

    def write(self) -> None:
        """Put plan.json in place."""
        planned = [asdict(experiment) for experiment in self.experiments.values()]
        document = {"version": VERSION, "time": time.time(), "directory": self.directory, "launcher": self.launcher}
        for name in ("outcomes", "logs", "jobs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = json.dumps({**document, "to_run": self.to_run, "experiments": planned})
        result.write_text(self.folder / "plan.json", text)

    @staticmethod
    def read(folder: Path) -> Sweep:
        """The sweep in a folder, as it was planned.

        Raises:
            FileNotFoundError: there is none (yet).
        """
        document = json.loads((folder / "plan.json").read_text())
        experiments = [Planned(**values) for values in document["experiments"]]
        return Sweep(folder, document["launcher"], experiments, document["to_run"], document["directory"])

    def run_folder(self, run_id: str) -> Path:
        """Where an experiment's files are."""
        return self.runs / self.experiments[run_id].folder

    def finished(self, run_id: str) -> bool:
        """Whether an experiment has its result."""
        return result.read(self.run_folder(run_id), run_id) is not None

    def config(self, run_id: str) -> Config:
        """An experiment's configuration, with its results in this sweep's folder of runs, wherever that is now."""
        config = from_mapping(self.experiments[run_id].config)
        return replace(config, paths=replace(config.paths, runs=str(self.runs)))

    # --- how experiments ended --------------------------------------------------------------------------------------

    def record(self, outcome: Outcome) -> None:
        """Say how an experiment ended."""
        result.write_json(self.folder / "outcomes" / f"{outcome.run_id}.json", asdict(outcome))

    def outcomes(self) -> Mapping[str, Outcome]:
        """How those that ended did, by run_id.

        Raises:
            ConfigError: the folder is not there any more.
        """
        try:
            entries = os.scandir(self.folder / "outcomes")
        except FileNotFoundError:
            raise ConfigError(
                f"{self.folder}: the sweep's folder is gone; if the runs were moved, "
                "python -m launch retry DIR goes on where they are now"
            ) from None
        for entry in entries:
            run_id, _, ending = entry.name.partition(".")
            if run_id and ending == "json" and run_id not in self._outcomes:
                self._outcomes[run_id] = Outcome(**json.loads(Path(entry.path).read_text()))
        return self._outcomes

    # --- who is at it -----------------------------------------------------------------------------------------------

    def jobs(self) -> dict[str, str]:
        """The scheduler's job of each experiment that was submitted."""
        try:
            found: dict[str, str] = json.loads((self.folder / "jobs.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def open_jobs(self) -> dict[str, str]:
        """Those of experiments that have not ended: a job goes on while others that are packed into it do."""
        outcomes = self.outcomes()
        return {run_id: job for run_id, job in self.jobs().items() if run_id not in outcomes}

    def add_jobs(self, jobs: Mapping[str, str]) -> None:
        """Remember what was submitted."""
        result.write_json(self.folder / "jobs.json", {**self.jobs(), **jobs})

    def live_workers(self) -> dict[int, int]:
        """The process ids, by number, of the workers on this machine that are alive."""
        alive = {}
        for file in sorted(self.folder.glob("worker-*")):
            with file.open() as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    alive[int(file.name.removeprefix("worker-"))] = int(stream.read() or 0)
        return alive

    def sign_in(self, number: int) -> int:
        """Have this process be seen as a live worker, until it ends or closes the descriptor that it gets."""
        descriptor = os.open(self.folder / f"worker-{number}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, str(os.getpid()).encode())
        return descriptor


def all_sweeps(runs: Path) -> list[Sweep]:
    """Every sweep of a folder of runs, oldest first."""
    folders = sorted((runs / SWEEPS).glob("*/plan.json"), key=lambda file: file.stat().st_mtime_ns)
    return [Sweep.read(file.parent) for file in folders]
