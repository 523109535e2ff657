"""A sweep on disk, `<runs>/.sweeps/<name>/`: what was asked for, which jobs and workers are at it, how each one ended.

plan.json       the launcher's settings and every experiment; written once, before anything starts
outcomes/       <run_id>.json as each experiment ends, by whoever ran it
arrays/         what a scheduler was given, and borrowed.json (`launch.submitted`)
logs/           what each experiment said, <run_id>.txt; jobs/ has what the jobs and workers themselves said
worker-<n>      locked by a worker of a machine while it, or an experiment of its, lives; holds which process it is
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from compress.checked import read
from compress.config.schema import Config, from_mapping
from compress.errors import ConfigError, one_line
from compress.runs import result
from compress.storage import atomic, surroundings
from compress.storage.files import write_json, write_text
from compress.storage.lock import Lock, locked_copy
from launch import submitted
from launch.experiments import Outcome, PlanFile, Planned
from launch.processes import Process

SWEEPS = ".sweeps"
PLAN = "plan.json"
WORKER = "worker-"


class Sweep:
    """A sweep's folder, and what plan.json says."""

    def __init__(
        self,
        folder: Path,
        launcher: Mapping[str, object],
        experiments: Iterable[Planned],
        to_run: Iterable[str],
        directory: str | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.launcher = launcher  # its settings, with its `name`
        self.experiments = {planned.run_id: planned for planned in experiments}  # in the order in which they run
        self.to_run = list(to_run)  # those that were not finished when it was planned
        self.directory = directory or os.getcwd()  # relative paths in configurations are meant from there
        self.command = None if command is None else list(command)  # that asked for it
        self._outcomes: dict[str, Outcome] = {}

    @property
    def teachers(self) -> set[str]:
        """The experiments that others learn from."""
        return {planned.teacher for planned in self.experiments.values() if planned.teacher is not None}

    @property
    def runs(self) -> Path:
        return self.folder.parent.parent

    def others(self) -> list[Sweep]:
        """The other sweeps of the same runs, oldest first."""
        return [sweep for sweep in all_sweeps(self.runs) if sweep.folder != self.folder]

    def failure_before(self, run_id: str, needed: str) -> str:
        """What an experiment fails of whose teacher, or start, has."""
        return f"its {self.experiments[run_id].role_of(needed)} {self.experiments[needed].name} failed"

    def write(self) -> None:
        """Put plan.json in place."""
        for name in ("outcomes", "logs", "jobs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        experiments = list(self.experiments.values())
        plan = PlanFile(1, time.time(), self.directory, dict(self.launcher), self.to_run, experiments, self.command)
        write_text(self.folder / PLAN, json.dumps(asdict(plan)))

    @staticmethod
    def read(folder: Path) -> Sweep:
        """The sweep in a folder, as planned; ConfigError if there is none (yet), or it cannot be read here."""
        file = folder / PLAN
        try:
            plan = read(PlanFile, file)
            sweep = Sweep(folder, plan.launcher, plan.experiments, plan.to_run, plan.directory, plan.command)
            if unknown := set(sweep.to_run) - set(sweep.experiments):
                raise ValueError(f"it has no experiment {min(unknown)}")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{file}: cannot be read ({_cause(error)}); remove {folder}, or use the version that wrote it"
            ) from error
        return sweep

    def run_folder(self, run_id: str) -> Path:
        """Where an experiment's files are."""
        return self.runs / self.experiments[run_id].folder

    def finished(self, run_id: str) -> bool:
        """Whether an experiment has its result; one that was to run by force, a result of since it was planned."""
        if result.read(self.run_folder(run_id), run_id) is None:
            return False
        if not self.experiments[run_id].config["force"] or run_id not in self.to_run:
            return True
        if (ended := self.outcomes().get(run_id)) is not None:
            return ended.state == "finished"
        there, planned = self.run_folder(run_id) / result.FILE, self.folder / PLAN
        return there.stat().st_mtime_ns >= planned.stat().st_mtime_ns

    def config(self, run_id: str) -> Config:
        """An experiment's configuration, with its results in this sweep's folder of runs, wherever that is now."""
        config = from_mapping(self.experiments[run_id].config)
        return replace(config, paths=replace(config.paths, runs=str(self.runs)))

    def record(self, outcome: Outcome) -> None:
        """Say how an experiment ended."""
        write_json(self.folder / "outcomes" / f"{outcome.run_id}.json", asdict(outcome))

    def outcomes(self) -> Mapping[str, Outcome]:
        """How those that ended did, by run_id; ConfigError if the folder is not there any more."""
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
            return read(Outcome, file)
        except (OSError, ValueError) as error:  # what became of it is known from its result, if it has one
            finished = result.read(self.run_folder(run_id), run_id) is not None
            cause = f"{file}: cannot be read ({_cause(error)})"
            return Outcome(run_id, "finished", 0.0) if finished else Outcome(run_id, "failed", 0.0, cause, str(file))

    def jobs(self) -> dict[str, str]:
        """The scheduler's job of each experiment that was submitted, or that is left to another sweep's."""
        return {**submitted.borrowed(self.folder), **submitted.own_jobs(self.folder)}

    def open_jobs(self) -> dict[str, str]:
        """Those of experiments that have not ended: a job goes on while others that are packed into it do."""
        outcomes = self.outcomes()
        return {run_id: job for run_id, job in self.jobs().items() if run_id not in outcomes}

    def live_workers(self) -> dict[int, Process | None]:
        """Live workers by number, None if which process is not known; ConfigError if the file system has no locks."""
        alive: dict[int, Process | None] = {}
        with surroundings.runs(self.runs).config_errors():
            for file in sorted(self.folder.glob(f"{WORKER}*")):
                number = file.name.removeprefix(WORKER)
                if number.isdigit() and Lock(file).taken():
                    alive[int(number)] = None
                    with suppress(OSError, ValueError):
                        alive[int(number)] = read(Process, file)
        return alive

    def sign_in(self, number: int) -> int:
        """Have this process be seen as a live worker, until it ends or closes the descriptor that it gets."""
        with atomic.new_file(self.folder / f"{WORKER}{number}") as stream:  # there with its content, and locked
            descriptor = locked_copy(stream.fileno())
            stream.write(json.dumps(asdict(Process.current())).encode())
            return descriptor


def _cause(error: OSError | ValueError) -> str:
    """What is wrong with a file, in one line."""
    return one_line((error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__)


def all_sweeps(
    runs: Path, left_out: list[str] | None = None, read_one: Callable[[Path], Sweep] = Sweep.read
) -> list[Sweep]:
    """Every readable sweep of a folder of runs, oldest first; why one is left out is told, to `left_out` if given."""
    dated: list[tuple[int, Sweep]] = []
    for file in sorted((runs / SWEEPS).glob(f"*/{PLAN}")):
        try:
            dated.append((file.stat().st_mtime_ns, read_one(file.parent)))
        except FileNotFoundError:  # it was just removed
            continue
        except (ConfigError, OSError) as error:
            reason = f"a sweep is left out: {error}"
            _print_once(reason) if left_out is None else left_out.append(reason)
    return [sweep for _, sweep in sorted(dated, key=lambda pair: pair[0])]


@cache
def _print_once(reason: str) -> None:
    """Who watches a sweep reads all of them again and again."""
    print(reason, file=sys.stderr)


def concerned(sweeps: Iterable[Sweep]) -> dict[str, Sweep]:
    """For each experiment the last sweep (they are oldest first) that has done something about it, or planned it.

    A launch that SLURM refused, or that was killed before it came to an experiment, says nothing of it: neither does it
    hide why an earlier one failed, nor are its settings those that the experiment goes by.
    """
    return _last(sweeps, _touched)


def accepted(sweeps: Iterable[Sweep]) -> dict[str, Sweep]:
    """For each experiment the last sweep that was to run it and was let: by its settings it is run again."""
    return _last(sweeps, lambda sweep: sweep.to_run if sweep.launcher["name"] == "local" else _touched(sweep))


def _last(sweeps: Iterable[Sweep], spoken_for: Callable[[Sweep], Collection[str]]) -> dict[str, Sweep]:
    planned: dict[str, Sweep] = {}
    last: dict[str, Sweep] = {}
    for sweep in sweeps:
        planned |= dict.fromkeys(sweep.experiments, sweep)
        last |= dict.fromkeys(spoken_for(sweep), sweep)
    return planned | last


def _touched(sweep: Sweep) -> Collection[str]:
    """The experiments that a sweep has started, submitted or ended, or that its workers are about to."""
    if sweep.live_workers():
        return sweep.to_run
    started = {file.stem for file in (sweep.folder / "logs").glob("*.txt")}
    return (started | submitted.own_jobs(sweep.folder).keys() | sweep.outcomes().keys()) & set(sweep.to_run)
