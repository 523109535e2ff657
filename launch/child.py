"""A child of a worker: the process of one experiment, what it does, and what it ended with."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from compress import experiment
from compress.config.schema import Config
from compress.runs import folder as run_folders
from compress.runs.folder import ExperimentLock
from compress.storage import surroundings
from compress.training import devices
from compress.training.checkpoint import Stopped
from launch.experiments import Outcome, Planned
from launch.sweep import Sweep

STOPPING = (signal.SIGTERM, signal.SIGUSR2)
LONGEST = 600  # characters of a log's last line; of a longer one its middle is left out: the fix stands at the end
PR_SET_PDEATHSIG = 1  # from linux/prctl.h


@dataclass
class Child:
    """An experiment that is being run."""

    planned: Planned
    lock: ExperimentLock
    started: float
    deadline: float
    timed_out: bool = False
    cancelled: bool = False


def cause_of_exit(child: Child, code: int, log: Path) -> tuple[str, str]:
    """The kind and the cause of a failure that a child could not record itself: by its exit code, and its log."""
    if child.timed_out:
        minutes = child.planned.resources.timeout_min
        return "TimedOut", f"took longer than {minutes:g} minutes; raise resources.timeout_min"
    if was_stopped(code):
        return "Stopped", "stopped from outside; run it again, and it continues from its checkpoint"
    if code < 0:
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        return "Killed", f"killed by {signal.Signals(-code).name}{memory}"
    with suppress(OSError):
        if lines := log.read_text(errors="replace").strip().splitlines():
            return "Died", f"its process ended with exit code {code}: {_shortened(lines[-1])}"
    return "Died", f"its process ended with exit code {code}"


def _shortened(line: str) -> str:
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]} … {line[-half:]}"


def was_stopped(code: int) -> bool:
    """Whether a process ended because it was asked to stop, while training or at another time."""
    return code in (*(128 + signum for signum in STOPPING), *(-signum for signum in STOPPING))


def run_in_child(sweep: Sweep, planned: Planned, config: Config, log: Path, threads: int, parent: int) -> NoReturn:
    """In a process forked from `parent`: run one experiment, say how it ended, and end."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # not to go on alone
        if os.getppid() != parent:
            raise SystemExit("the worker has just ended")
        for signum in (*STOPPING, signal.SIGCONT):
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        with suppress(OSError):  # where that cannot be, its output goes where the worker's goes
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        faulthandler.enable(sys.stderr)
        devices.use_threads(threads)
        with surroundings.runs(sweep.runs).config_errors():  # of who could not record it
            code = run_and_record(sweep, planned, config, log)
    except BaseException:  # SystemExit too: a fork must not go on as its parent; the worker records the exit code
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run_and_record(sweep: Sweep, planned: Planned, config: Config, log: Path) -> int:
    """Run an experiment whose lock is held and record how it ended; the exit code that says so too."""
    started = time.monotonic()
    try:
        experiment.run(config, locked=True, teaches=planned.run_id in sweep.teachers, command=sweep.command)
    except Stopped as stopped:
        return 128 + stopped.signum
    except Exception as error:  # whatever it is, it is this experiment's
        folder, where = sweep.run_folder(planned.run_id), log
        reason: BaseException = error
        if isinstance(error, experiment.ExperimentError) and error.__cause__ is not None:
            reason, where = error.__cause__, folder / "log.txt"
        else:
            traceback.print_exc()
            run_folders.write_error(folder, planned.run_id, error)
        log_file, seconds = str(where if os.path.isfile(where) else log), time.monotonic() - started
        sweep.record(Outcome(planned.run_id, "failed", seconds, run_folders.cause_of(reason), log_file))
        return 1
    sweep.record(Outcome(planned.run_id, "finished", time.monotonic() - started))
    return 0
