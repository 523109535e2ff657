"""A worker: takes the next experiment of a sweep that can run, again and again, each in a forked child of its own.

Heavy libraries are imported once, here; a child that crashes, is killed or hangs is one experiment that failed. Workers
do not talk to each other: an experiment is whose claim it is, and what became of it is on disk.
"""

from __future__ import annotations

import ctypes
import faulthandler
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from compress import experiment, result
from compress.checkpoint import Stopped
from compress.claim import Claim
from compress.config import Config
from compress.errors import ConfigError
from launch.sweep import Outcome, Planned, Sweep

POLL_SECONDS = 0.02  # between looks at the children
IDLE_SECONDS = 0.2  # between looks at what others finish
GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL for a child that took too long
KILLED_TOGETHER_SECONDS = 1.0  # within which a scheduler's SIGKILL reaches all processes of a job
STOPPING = (signal.SIGTERM, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1  # from linux/prctl.h


@dataclass
class Child:
    """An experiment that is being run."""

    planned: Planned
    claim: Claim
    started: float
    deadline: float
    timed_out: bool = False


class Worker:
    """Runs experiments of a sweep on one device.

    Args:
        only: run_ids that it may take; by default all that are to run.
        slots: how many it runs at once.
        threads: of each experiment.
        waits: whether students wait for teachers that others train; else they find or train their own.
        timeout: whether an experiment that takes longer than its `resources.timeout_min` is killed.
    """

    def __init__(
        self,
        sweep: Sweep,
        *,
        only: Iterable[str] | None = None,
        slots: int = 1,
        threads: int = 1,
        waits: bool = True,
        timeout: bool = True,
    ) -> None:
        self.sweep, self.slots, self.threads, self.waits, self.timeout = sweep, slots, threads, waits, timeout
        self.pending = [sweep.experiments[run_id] for run_id in (sweep.to_run if only is None else only)]
        self.children: dict[int, Child] = {}
        self.ready: set[str] = set()  # teachers that are finished
        self.stopping: int | None = None  # the signal that asked to stop

    def run(self) -> int | None:
        """Run what there is to run.

        Returns:
            None when all of it has ended; the signal that asked to stop, once the children have stopped (with a
            checkpoint, if they were training).
        """
        for signum in STOPPING:
            signal.signal(signum, self._ask_to_stop)
        os.chdir(self.sweep.directory)
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # a library that looks for GPUs must not start CUDA: it forks
        if self.pending:
            experiment.warm_up(self.sweep.config(self.pending[0].run_id))
        told = False
        while self.children or (self.pending and self.stopping is None):
            self._reap()
            if self.stopping is not None:
                if not told:
                    for pid in self.children:
                        os.kill(pid, self.stopping)
                told = True
            elif len(self.children) < self.slots and self._start_next():
                continue
            time.sleep(POLL_SECONDS if self.children else IDLE_SECONDS)
        return self.stopping

    def _ask_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = signum

    # --- what comes next ----------------------------------------------------------------------------------------------

    def _start_next(self) -> bool:
        """Start the first experiment that can run; whether there was one, or one could be ruled out."""
        outcomes = self.sweep.outcomes()
        self.pending = [planned for planned in self.pending if planned.run_id not in outcomes]
        for planned in self.pending:
            if self.waits and planned.teacher is not None and not self._teacher_is_ready(planned.teacher):
                ended = outcomes.get(planned.teacher)
                if ended is not None and ended.state == "failed":
                    teacher = self.sweep.experiments[planned.teacher]
                    cause = f"its teacher {teacher.name} failed"
                    self.sweep.record(Outcome(planned.run_id, "failed", 0.0, cause, ended.log))
                    return True
                continue
            claim = Claim(self.sweep.runs, planned.run_id)
            if not claim.take():
                continue  # another worker, or another sweep, is at it
            self._start(planned, claim)
            return True
        return False

    def _teacher_is_ready(self, teacher: str) -> bool:
        if teacher not in self.ready:
            planned = teacher in self.sweep.to_run
            ended = self.sweep.outcomes().get(teacher)
            if ended.state == "finished" if ended else not planned or self._finished(teacher):
                self.ready.add(teacher)
        return teacher in self.ready

    def _finished(self, run_id: str) -> bool:
        return not self.sweep.experiments[run_id].config["force"] and self.sweep.finished(run_id)

    def _start(self, planned: Planned, claim: Claim) -> None:
        self.pending.remove(planned)
        if planned.run_id in self.sweep.outcomes():
            claim.release()
        elif self._finished(planned.run_id):  # by another sweep
            self.sweep.record(Outcome(planned.run_id, "finished", 0.0))
            claim.release()
        else:
            now = time.monotonic()
            limit = planned.resources["timeout_min"] * 60 if self.timeout else math.inf
            self.children[self._fork(planned)] = Child(planned, claim, now, now + limit)

    # --- children -----------------------------------------------------------------------------------------------------

    def _fork(self, planned: Planned) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        config, log = self.sweep.config(planned.run_id), self.log(planned.run_id)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # none is lost between the parent's handlers and the child's
        pid = os.fork()
        if pid == 0:
            be_the_child(self.sweep, planned, config, log, self.threads)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return pid

    def log(self, run_id: str) -> Path:
        """What an experiment's process says goes here."""
        return self.sweep.folder / "logs" / f"{run_id}.txt"

    def _reap(self) -> None:
        for pid, child in list(self.children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.children[pid]
                self._bury(child, os.waitstatus_to_exitcode(status))
                child.claim.release()
            elif time.monotonic() > child.deadline:
                os.kill(pid, signal.SIGKILL if child.timed_out else signal.SIGTERM)
                child.timed_out, child.deadline = True, time.monotonic() + GRACE_SECONDS

    def _bury(self, child: Child, code: int) -> None:
        """Say what a child died of that could not say it itself."""
        run_id, seconds = child.planned.run_id, time.monotonic() - child.started
        if code < 0 and not child.timed_out and self.stopping is None:
            time.sleep(KILLED_TOGETHER_SECONDS)  # if all of a job is being killed, this process is next
        if run_id in self.sweep.outcomes() or (self.stopping is not None and not child.timed_out):
            return
        kind, cause = "Died", f"its process ended with exit code {code}"
        if child.timed_out:
            kind = "TimedOut"
            cause = f"took longer than {child.planned.resources['timeout_min']:g} minutes; raise resources.timeout_min"
        elif _stopped(code):
            kind, cause = "Stopped", "stopped from outside; run again, it goes on from its checkpoint"
        elif code < 0:
            kind, cause = "Killed", f"killed by {signal.Signals(-code).name}"
            cause += " (out of memory?)" if code == -signal.SIGKILL else ""
        log, folder = self.log(run_id), self.sweep.run_folder(run_id)
        result.write_json(folder / "error.json", {"run_id": run_id, "type": kind, "message": cause, "traceback": ""})
        self.sweep.record(Outcome(run_id, "failed", seconds, cause, str(log)))


def _stopped(code: int) -> bool:
    """Whether a process ended because it was asked to stop, while training or at another time."""
    return code in (*(128 + signum for signum in STOPPING), *(-signum for signum in STOPPING))


def be_the_child(sweep: Sweep, planned: Planned, config: Config, log: Path, threads: int) -> NoReturn:
    """In a forked process: run one experiment, say how it ended, and end."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # not to go on alone
        for signum in (*STOPPING, signal.SIGCONT):
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        faulthandler.enable(sys.stderr)
        experiment.use_threads(threads)
        code = run_and_record(sweep, planned, config, log)
    except BaseException:  # SystemExit too: a fork must not go on as its parent; the worker records the exit code
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run_and_record(sweep: Sweep, planned: Planned, config: Config, log: Path) -> int:
    """Run an experiment whose claim is held and record how it ended; the exit code that says so too."""
    started = time.monotonic()
    try:
        experiment.run(config, claimed=True, teaches=planned.run_id in sweep.teachers)
    except Stopped as stopped:
        return 128 + stopped.signum
    except Exception as error:  # whatever it is, it is this experiment's
        own, where = sweep.run_folder(planned.run_id) / "log.txt", log
        reason: BaseException = error
        if isinstance(error, experiment.ExperimentError) and error.__cause__ is not None:
            reason, where = error.__cause__, own if own.exists() else log
        else:
            traceback.print_exc()
            experiment.write_error(own.parent, planned.run_id, error)
        told = (str(reason) or "without a word").splitlines()[0]
        cause = told if isinstance(reason, ConfigError) else f"{type(reason).__name__}: {told}"
        sweep.record(Outcome(planned.run_id, "failed", time.monotonic() - started, cause, str(where)))
        return 1
    sweep.record(Outcome(planned.run_id, "finished", time.monotonic() - started))
    return 0
