"""What lies in a run folder beside the result, how it is cleared, and the lock of who is at the experiment."""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from compress.checked import stored
from compress.errors import ConfigError
from compress.runs import predictions
from compress.runs.result import ERROR, FILE
from compress.storage import atomic, surroundings
from compress.storage.files import write_json
from compress.storage.lock import Lock

CHECKPOINT, PROGRESS = "checkpoint", "progress.json"  # of one that is not finished: how far it is, for who looks on
METRICS, LOG, TRACKING = "metrics.jsonl", "log.txt", "wandb"
WRITTEN = ("config.yaml", METRICS, PROGRESS, ERROR, predictions.FILE, FILE, "artifact")  # by who is at it


@stored
class Progress:
    """progress.json: how far an experiment is, for who looks on."""

    what: str  # is being done: the training of a model, or its teacher's answers
    unit: str  # of `done` and `total`: step or row
    done: int
    total: int
    loss: float | None
    seconds_left: float | None  # None if it is not known
    host: str
    pid: int
    time: float  # of this report, in seconds of the epoch
    rate: float | None = None  # of `unit`s a second, if it is known
    since: float | None = None  # when its process took the experiment up, in seconds of the epoch

    def left(self) -> float | None:
        """Seconds until what is being done is done, from now on; None if it is not known."""
        return None if self.seconds_left is None else max(0.0, self.seconds_left - (time.time() - self.time))

    def rest(self, expected: float) -> float:
        """Seconds until the experiment has ended: by its own speed while it trains, else of so many in all."""
        if self.unit == "step" and (left := self.left()) is not None:
            return left
        return max(0.0, expected - (time.time() - (self.since or self.time)))


class ExperimentLock(Lock):
    """The right to run one experiment, `runs/.locks/<run_id>`; of all processes that may want to, one has it."""

    def __init__(self, runs: Path, run_id: str) -> None:
        super().__init__(runs / ".locks" / run_id)
        self.place = surroundings.runs(runs)
        self.makes_runs = False  # whether their folder was not there

    def take(self, *, wait: bool = False) -> bool:
        """As `Lock.take`; ConfigError if the folder of runs cannot be written or locked."""
        with self.place.config_errors():
            self.makes_runs = self.makes_runs or not self.place.folder.exists()
            return super().take(wait=wait)

    def taken(self) -> bool:
        """As `Lock.taken`; ConfigError if it cannot be known."""
        with self.place.config_errors():
            return super().taken()

    def clean(self) -> None:
        """Remove the folder of locks if it is empty, and so that of the runs if it was not there before."""
        with suppress(OSError):
            self.file.parent.rmdir()
            if self.makes_runs:
                self.place.folder.rmdir()


def tidy(folder: Path) -> None:
    """Remove what killed processes left in a finished experiment's folder; for nobody but who holds its lock."""
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    for name in (PROGRESS, ERROR):
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    clear_scratch(folder)


def clear_scratch(folder: Path) -> None:
    """Remove what killed writers left in a run folder; for nobody but who holds the experiment's lock."""
    atomic.clear_all(folder, WRITTEN)
    atomic.clear_all(folder / TRACKING)


def tidy_alone(runs: str | Path, folder: Path) -> None:
    """Tidy a finished experiment's folder, and its lock, if there is need to, unless somebody is at it."""
    lock = ExperimentLock(Path(runs).expanduser(), folder.name)
    if lock.file.exists() or not _is_tidy(folder):
        with suppress(ConfigError, OSError):  # of another user, say: it stays as it is
            if lock.take():
                tidy(folder)
        lock.release()
        lock.clean()


def _is_tidy(folder: Path) -> bool:
    with suppress(OSError):
        names = os.listdir(folder)
        return not any(name in (CHECKPOINT, PROGRESS, ERROR) or atomic.is_scratch(name, WRITTEN) for name in names)
    return True


def cause_of(error: BaseException) -> str:
    """What an experiment failed of, in one line: a mistake of the input speaks for itself."""
    message = (str(error).splitlines() or ["without a word"])[0]
    return message if isinstance(error, ConfigError) else f"{type(error).__name__}: {message}"


def write_error(folder: Path, run_id: str, error: BaseException) -> None:
    """Leave error.json behind, if there is room for it; called while the error is handled."""
    write_failure(folder, run_id, type(error).__name__, str(error), traceback.format_exc())


def write_failure(folder: Path, run_id: str, kind: str, message: str, trace: str = "") -> None:
    """Leave error.json behind, if there is room for it."""
    failure = {"run_id": run_id, "type": kind, "message": message, "traceback": trace}
    try:
        write_json(folder / ERROR, failure)
    except OSError as lost:
        print(f"{folder}: {ERROR} cannot be written ({lost})", file=sys.stderr)
