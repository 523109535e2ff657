"""How far a grid is whose runs are still going on: what its folder says at one moment, nobody asked.

Besides the run folders, two kinds of files that a launcher leaves in `<runs>/.sweeps/<name>/` are read: plan.json, what
is to be run, and outcomes/<run_id>.json, how it ended there. Without them what has a folder is all that is known.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.checked import read as read_stored
from compress.errors import ConfigError
from compress.runs import result
from compress.runs.folder import PROGRESS, ExperimentLock, Progress
from compress.storage.files import signature

SILENT_SECONDS = 120.0  # after which one that tells of no progress, and whose lock is not seen, does not run any more
Signature = tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """One experiment, by what tells it from the others."""

    run_id: str
    task: str
    model: str
    methods: str
    seed: int | None = None

    @property
    def name(self) -> str:
        return f"{self.task} {self.model} {self.methods}" + ("" if self.seed is None else f" seed {self.seed}")


@dataclass(frozen=True)
class Finished:
    """What of a result is shown before there is a report."""

    cell: Cell
    scores: Mapping[str, float | None]  # points, by the names in `names.SCORES`
    parameters: int
    positions: tuple[int, ...]  # of its methods, in their order


@dataclass(frozen=True)
class Grid:
    """Where every experiment is; those that are neither finished, failed nor running have not begun, or were stopped.

    Attributes:
        running: with how far each is, if it tells.
        failed: with the cause.
        others: those that are planned, or have a folder, and are nothing of this.
        seconds_left: until all are through, if as many run as do now; None if that is not known.
        stamp: changes whenever a report over the folder would.
    """

    finished: list[Finished]
    running: list[tuple[Cell, Progress | None]]
    failed: list[tuple[Cell, str]]
    others: list[Cell]
    seconds_left: float | None
    stamp: object

    @property
    def total(self) -> int:
        return len(self.finished) + len(self.running) + len(self.failed) + len(self.others)

    @property
    def ended(self) -> bool:
        """Whether everything that is known of has ended."""
        return not self.running and not self.others


@dataclass
class _Sweep:
    """What a launcher planned, and how it ended, as far as it has been read."""

    signature: Signature
    planned: dict[str, tuple[Cell, float, bool]]  # by run_id, with the expected seconds, and whether it was added
    to_run: set[str]
    outcomes: dict[str, Mapping[str, Any]] = field(default_factory=dict)


class Follower:
    """Looks at a folder of runs again and again; what has not changed is not read again."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.results: dict[Path, tuple[Signature, Finished | None]] = {}
        self.sweeps: dict[Path, _Sweep] = {}

    def look(self) -> Grid:
        """Where everything is now."""
        sweeps = self._all_sweeps()
        folders = {folder.name: folder for folder in result.run_folders(self.runs)}
        found = {run_id: done for run_id, folder in folders.items() if (done := self._finished(folder)) is not None}
        cells = {run_id: _cell(folder) for run_id, folder in folders.items()}
        for sweep in sweeps:
            needed = sweep.to_run | found.keys()
            cells |= {run_id: cell for run_id, (cell, _, added) in sweep.planned.items()
                      if not added or run_id in needed}  # fmt: skip
        running, failed, others = list[tuple[Cell, Progress | None]](), list[tuple[Cell, str]](), list[Cell]()
        for run_id, cell in cells.items():
            if run_id in found:
                continue
            runs, progress = self._running(cell)
            if runs:
                running.append((cell, progress))
            elif (cause := self._failure(cell, sweeps)) is not None:
                failed.append((cell, cause))
            else:
                others.append(cell)
        results = {folder: read_as for folder, (read_as, _) in self.results.items()}
        stamp = (frozenset(results.items()), frozenset(failed))
        return Grid([*found.values()], running, failed, others, _seconds_left(sweeps, running, others), stamp)

    def _finished(self, folder: Path) -> Finished | None:
        """A result, or None if there is none, or none that can be shown."""
        file = folder / result.FILE
        try:
            now = signature(file)
        except OSError:
            self.results.pop(folder, None)
            return None
        if folder not in self.results or self.results[folder][0] != now:
            self.results[folder] = now, _result(folder)
        return self.results[folder][1]

    def _running(self, cell: Cell) -> tuple[bool, Progress | None]:
        """Whether an experiment runs, and how far it is."""
        progress = None
        with suppress(OSError, ValueError):
            progress = read_stored(Progress, self._folder(cell) / PROGRESS)
        with suppress(ConfigError):  # where there are no locks
            if ExperimentLock(self.runs, cell.run_id).taken():
                return True, progress
        return progress is not None and time.time() - progress.time < SILENT_SECONDS, progress

    def _folder(self, cell: Cell) -> Path:
        return self.runs / cell.task / cell.model / cell.methods / cell.run_id

    def _failure(self, cell: Cell, sweeps: list[_Sweep]) -> str | None:
        """What an experiment failed of the last time that it was to be run."""
        said = result.failure(self._folder(cell))
        last = next((sweep for sweep in reversed(sweeps) if cell.run_id in sweep.to_run), None)
        if last is None:
            return said
        outcome = last.outcomes.get(cell.run_id)
        if outcome is not None:
            return str(outcome.get("cause") or said or "unknown") if outcome.get("state") == "failed" else None
        with suppress(OSError):
            if (self._folder(cell) / result.ERROR).stat().st_mtime_ns > last.signature[1]:
                return said
        return None

    def _all_sweeps(self) -> list[_Sweep]:
        """Those that can be read, oldest first, with all that has ended."""
        there: dict[Path, _Sweep] = {}
        for file in sorted((self.runs / ".sweeps").glob("*/plan.json")):
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # not whole, or not as it is known
                now, before = signature(file), self.sweeps.get(file)
                there[file] = before if before is not None and before.signature == now else _plan(file, now)
                _read_outcomes(file.parent / "outcomes", there[file])
        self.sweeps = there
        return sorted(there.values(), key=lambda sweep: sweep.signature[1])


def _cell(folder: Path) -> Cell:
    task, model, methods, run_id = folder.parts[-4:]
    return Cell(run_id, task, model, methods)


def _plan(file: Path, read_as: Signature) -> _Sweep:
    plan = json.loads(file.read_bytes())
    planned = {
        each["run_id"]: (
            Cell(each["run_id"], each["task"], each["model"], each["methods"], each["seed"]),
            float(each["seconds"]),
            bool(each["added"]),
        )
        for each in plan["experiments"]
    }
    return _Sweep(read_as, planned, set(plan["to_run"]))


def _read_outcomes(folder: Path, sweep: _Sweep) -> None:
    for file in folder.glob("*.json"):
        if file.stem not in sweep.outcomes:
            with suppress(OSError, ValueError):
                outcome = json.loads(file.read_bytes())
                if isinstance(outcome, dict):
                    sweep.outcomes[file.stem] = outcome


def _result(folder: Path) -> Finished | None:
    with suppress(ConfigError):
        done = result.read(folder, folder.name)
        if done is not None:
            cell = Cell(done.run_id, done.task, done.model, done.subset, done.seed)
            positions = tuple(sorted(entry.position for entry in done.compression))
            scores = {"glue": done.score_glue, "accuracy": done.score_accuracy}
            return Finished(cell, scores, done.size.parameters, positions)
    return None


def _seconds_left(
    sweeps: list[_Sweep], running: list[tuple[Cell, Progress | None]], others: list[Cell]
) -> float | None:
    """What remains, in the seconds that were planned for it, by the speed of what has ended, over what runs now."""
    if not running:
        return None
    planned: dict[str, float] = {}
    ratios: dict[str, list[float]] = defaultdict(list)
    for sweep in sweeps:
        for run_id, (cell, seconds, _) in sweep.planned.items():
            planned[run_id] = seconds
            took = sweep.outcomes.get(run_id, {})
            if took.get("state") == "finished" and seconds > 0 and float(took.get("seconds") or 0) > 0:
                for key in (cell.model, ""):
                    ratios[key].append(float(took["seconds"]) / seconds)

    def expected(cell: Cell) -> float:
        """In all; infinite where it was not planned."""
        said = ratios.get(cell.model) or ratios.get("") or [1.0]
        return planned.get(cell.run_id, math.inf) * statistics.median(said)

    rest = [expected(cell) if at is None else at.rest(expected(cell)) for cell, at in running]
    whole = sum(rest) + sum(expected(cell) for cell in others)
    left = max(max(rest), whole / len(running))
    return left if math.isfinite(left) else None
