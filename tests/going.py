"""A grid that goes on, as a launcher and its experiments leave it on disk, without either."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compress.config.resources import Needs
from compress.runs.folder import PROGRESS, ExperimentLock, Progress
from compress.storage.files import write_json
from launch.experiments import Outcome, Planned
from launch.sweep import Sweep
from tests import crossings, grids


class GoingGrid:
    """A sweep over documents of results, none of which has been written."""

    def __init__(self, runs: Path, documents: Sequence[dict[str, Any]], name: str = "first") -> None:
        self.runs, self.documents = runs, {made["run_id"]: made for made in documents}
        planned = [
            Planned(
                made["run_id"],
                str(grids.run_folder(runs, made).relative_to(runs)),
                made["task"],
                made["model"],
                "+".join(made["methods"]) or "none",
                made["seed"],
                None,
                False,
                10.0,
                Needs(0, 1, None, 10.0),
                {"force": False},
            )
            for made in documents
        ]
        self.sweep = Sweep(runs / ".sweeps" / name, {"name": "local"}, planned, [each.run_id for each in planned])
        self.sweep.write()
        self.locks: dict[str, ExperimentLock] = {}
        self.worker = self.sweep.sign_in(0)

    def run(self, run_id: str, done: int, total: int = 200, left: float | None = 30.0) -> None:
        """Have an experiment be so far."""
        if run_id not in self.locks:
            self.locks[run_id] = ExperimentLock(self.runs, run_id)
            assert self.locks[run_id].take()
        made, now = self.documents[run_id], time.time()
        at = Progress(
            f"{made['task']} {made['model']}", "step", done, total, 0.625, left, "node7", 1, now, 2.5, now - 60
        )
        write_json(grids.run_folder(self.runs, made) / PROGRESS, asdict(at))

    def finish(self, run_id: str) -> None:
        """Have it end with its result."""
        folder = grids.run_folder(self.runs, self.documents[run_id])
        folder.mkdir(parents=True, exist_ok=True)
        crossings.write_training(folder, 20)
        write_json(folder / "result.json", self.documents[run_id])
        self._end(Outcome(run_id, "finished", 20.0))

    def fail(self, run_id: str, cause: str) -> None:
        """Have it end without."""
        grids.write_failure(self.runs, self.documents[run_id], cause)
        self._end(Outcome(run_id, "failed", 1.0, f"RuntimeError: {cause}"))

    def _end(self, outcome: Outcome) -> None:
        (grids.run_folder(self.runs, self.documents[outcome.run_id]) / PROGRESS).unlink(missing_ok=True)
        self.sweep.record(outcome)
        if (lock := self.locks.pop(outcome.run_id, None)) is not None:
            lock.release()

    def close(self) -> None:
        """Nobody is at it any more."""
        for lock in self.locks.values():
            lock.release()
        with suppress(OSError):
            os.close(self.worker)
