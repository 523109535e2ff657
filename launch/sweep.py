"""A sweep on disk, `<runs>/.sweeps/<name>/`: what was asked for, which jobs and workers are at it, how each one ended.

plan.json       the launcher's settings and every experiment; written once, before anything starts
outcomes/       <run_id>.json as each experiment ends, by whoever ran it
arrays/         what a scheduler was given, and borrowed.json (`launch.submitted`)
logs/           what each experiment said, <run_id>.txt; jobs/ has what the jobs and workers themselves said
worker-<n>      locked by a worker of a machine while it, or an experiment of its, lives; holds which process it is
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from compress.config.schema import Config, from_mapping
from compress.errors import ConfigError, one_line
from compress.runs import result
from compress.storage import atomic, surroundings
from compress.storage.files import write_json, write_text
from launch import submitted
from launch.processes import Process

SWEEPS = ".sweeps"
WORKER = "worker-"
VERSION = 1
MALFORMED = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)  # of a file that is damaged


@dataclass(frozen=True)
class Planned:
    """One experiment of a sweep.

    Attributes:
        folder: the run folder, below the runs.
        methods: `none`, or the active ones joined with `+`.
        teacher: its run_id, of a student.
        added: whether nobody asked for it but a student needs it.
        seconds: how long it is expected to take on one device.
        resources: what it needs (`compress.config.resources.Needs`).
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
    resources: dict[str, object]
    config: dict[str, object]

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
        launcher: Mapping[str, object],
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

    def others(self) -> list[Sweep]:
        """The other sweeps of the same runs, oldest first."""
        return [sweep for sweep in all_sweeps(self.runs) if sweep.folder != self.folder]

    def failure_of_teacher(self, teacher: str) -> str:
        """What a student fails of whose teacher has."""
        return f"its teacher {self.experiments[teacher].name} failed"

    def write(self) -> None:
        """Put plan.json in place."""
        planned = [asdict(experiment) for experiment in self.experiments.values()]
        document = {"version": VERSION, "time": time.time(), "directory": self.directory, "launcher": self.launcher}
        for name in ("outcomes", "logs", "jobs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = json.dumps({**document, "to_run": self.to_run, "experiments": planned})
        write_text(self.folder / "plan.json", text)

    @staticmethod
    def read(folder: Path) -> Sweep:
        """The sweep in a folder, as it was planned.

        Raises:
            ConfigError: there is none (yet), it is damaged, or of another version of this package.
        """
        file = folder / "plan.json"
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            if document["version"] != VERSION:
                raise ValueError(f"it is of version {document['version']}, and {VERSION} is what is read here")
            experiments = [Planned(**values) for values in document["experiments"]]
            sweep = Sweep(folder, dict(document["launcher"]), experiments, document["to_run"], document["directory"])
            if unknown := set(sweep.to_run) - set(sweep.experiments):
                raise ValueError(f"it has no experiment {min(unknown)}")
        except MALFORMED as error:
            raise ConfigError(
                f"{file}: cannot be read ({_told(error)}); remove {folder}, or use the version that wrote it"
            ) from error
        return sweep

    def run_folder(self, run_id: str) -> Path:
        """Where an experiment's files are."""
        return self.runs / self.experiments[run_id].folder

    def finished(self, run_id: str) -> bool:
        """Whether an experiment has its result; one that was to run by force, a result of since it was planned."""
        if result.read(self.run_folder(run_id), run_id) is None:
            return False
        return not self.experiments[run_id].config["force"] or run_id not in self.to_run or self._is_new(run_id)

    def _is_new(self, run_id: str) -> bool:
        if (ended := self.outcomes().get(run_id)) is not None:
            return ended.state == "finished"
        there, planned = self.run_folder(run_id) / result.FILE, self.folder / "plan.json"
        return there.stat().st_mtime_ns >= planned.stat().st_mtime_ns

    def config(self, run_id: str) -> Config:
        """An experiment's configuration, with its results in this sweep's folder of runs, wherever that is now."""
        config = from_mapping(self.experiments[run_id].config)
        return replace(config, paths=replace(config.paths, runs=str(self.runs)))

    # --- how experiments ended --------------------------------------------------------------------------------------

    def record(self, outcome: Outcome) -> None:
        """Say how an experiment ended."""
        write_json(self.folder / "outcomes" / f"{outcome.run_id}.json", asdict(outcome))

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
            if ending == "json" and run_id in self.experiments and run_id not in self._outcomes:
                self._outcomes[run_id] = self._outcome(run_id, Path(entry.path))
        return self._outcomes

    def _outcome(self, run_id: str, file: Path) -> Outcome:
        try:
            return Outcome(**json.loads(file.read_text(encoding="utf-8")))
        except MALFORMED as error:  # what became of it is known from its result, if it has one
            finished = result.read(self.run_folder(run_id), run_id) is not None
            cause = f"{file}: cannot be read ({_told(error)})"
            return Outcome(run_id, "finished", 0.0) if finished else Outcome(run_id, "failed", 0.0, cause, str(file))

    # --- who is at it -----------------------------------------------------------------------------------------------

    def jobs(self) -> dict[str, str]:
        """The scheduler's job of each experiment that was submitted, or that is left to another sweep's."""
        return {**submitted.borrowed(self.folder), **submitted.own(self.folder)}

    def open_jobs(self) -> dict[str, str]:
        """Those of experiments that have not ended: a job goes on while others that are packed into it do."""
        outcomes = self.outcomes()
        return {run_id: job for run_id, job in self.jobs().items() if run_id not in outcomes}

    def live_workers(self) -> dict[int, Process | None]:
        """The workers that are alive, by number; None of one whose file does not say which process it is.

        Raises:
            ConfigError: nobody knows, since the file system has no locks.
        """
        alive: dict[int, Process | None] = {}
        with surroundings.runs(self.runs).config_errors():
            for file in sorted(self.folder.glob(f"{WORKER}*")):
                number = file.name.removeprefix(WORKER)
                if number.isdigit() and _is_locked(file):
                    alive[int(number)] = _process_in(file)
        return alive

    def sign_in(self, number: int) -> int:
        """Have this process be seen as a live worker, until it ends or closes the descriptor that it gets."""
        with atomic.new_file(self.folder / f"{WORKER}{number}") as stream:  # there with its content, and locked
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(json.dumps(asdict(Process.current())).encode())
            return os.dup(stream.fileno())


def _is_locked(file: Path) -> bool:
    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _process_in(file: Path) -> Process | None:
    try:
        return Process(**json.loads(file.read_text(encoding="utf-8")))
    except MALFORMED:
        return None


def _told(error: Exception) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return one_line((error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__)


def all_sweeps(runs: Path, left_out: list[str] | None = None) -> list[Sweep]:
    """Every sweep of a folder of runs, oldest first; one that cannot be read is told of and left out.

    Args:
        left_out: gets why, a line for each; else that is printed, once.
    """
    found: list[tuple[int, Sweep]] = []
    for file in sorted((runs / SWEEPS).glob("*/plan.json")):
        try:
            found.append((file.stat().st_mtime_ns, Sweep.read(file.parent)))
        except FileNotFoundError:  # it was just removed
            continue
        except (ConfigError, OSError) as error:
            reason = f"a sweep is left out: {error}"
            _tell_once(reason) if left_out is None else left_out.append(reason)
    return [sweep for _, sweep in sorted(found, key=lambda pair: pair[0])]


@cache
def _tell_once(reason: str) -> None:
    """Who watches a sweep reads all of them again and again."""
    print(reason, file=sys.stderr)
