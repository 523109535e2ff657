"""A worker: takes the next experiment of a sweep that can run, again and again, each in a forked child of its own.

Heavy libraries are imported once, here; a child that crashes, is killed or hangs is one experiment that failed. Workers
do not talk to each other: an experiment is whose lock it is, and what became of it is on disk.
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
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from compress import experiment
from compress.config.schema import Config
from compress.errors import ConfigError
from compress.runs import folder as run_folders
from compress.runs.experiment_lock import ExperimentLock
from compress.storage import surroundings
from compress.training import devices
from compress.training.checkpoint import Stopped
from launch.sweep import Outcome, Planned, Sweep

POLL_SECONDS = 0.02  # between looks at the children
IDLE_SECONDS = 0.2  # between looks at what others finish
GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL for a child that took too long
LAST_SECONDS = 10.0  # in which a worker that is through tries to write what it could not write before
KILLED_TOGETHER_SECONDS = 1.0  # within which a scheduler's SIGKILL reaches all processes of a job
STOPPING = (signal.SIGTERM, signal.SIGUSR2)
LONGEST = 300  # characters of a log's last line
PR_SET_PDEATHSIG = 1  # from linux/prctl.h


@dataclass
class Child:
    """An experiment that is being run."""

    planned: Planned
    lock: ExperimentLock
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
        self.unwritten: dict[str, Outcome] = {}  # of experiments that have ended; on a full disk, say
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
        self._warm_up()
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
        self._write_the_last()
        return self.stopping

    def _warm_up(self) -> None:
        if self.pending:
            try:
                experiment.warm_up(self.sweep.config(self.pending[0].run_id))
            except Exception:  # whatever is wrong with that experiment, it says so itself
                traceback.print_exc()

    def _ask_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = signum

    # --- what comes next ----------------------------------------------------------------------------------------------

    def _start_next(self) -> bool:
        """Start the first experiment that can run; whether there was one, or one could be ruled out."""
        outcomes = self._outcomes()
        self.pending = [planned for planned in self.pending if planned.run_id not in outcomes]
        for planned in self.pending:
            try:
                if self._start_or_rule_out(planned, outcomes):
                    return True
            except Exception as error:  # whatever it is, it is this experiment's
                self._fail(planned, type(error).__name__, run_folders.cause_of(error), traceback.format_exc())
                return True
        return False

    def _start_or_rule_out(self, planned: Planned, outcomes: Mapping[str, Outcome]) -> bool:
        """Start an experiment if it can run, or say why it never will; False if neither is known yet."""
        if self.waits and planned.teacher is not None and not self._teacher_is_ready(planned.teacher, outcomes):
            ended = outcomes.get(planned.teacher)
            if ended is None or ended.state != "failed":
                return False
            cause = self.sweep.failure_of_teacher(planned.teacher)
            self._record(Outcome(planned.run_id, "failed", 0.0, cause, ended.log))
            return True
        lock = ExperimentLock(self.sweep.runs, planned.run_id)
        if not lock.take():
            return False  # another worker, or another sweep, is at it
        try:
            return self._start(planned, lock)
        finally:
            if all(child.lock is not lock for child in self.children.values()):
                lock.release()

    def _teacher_is_ready(self, teacher: str, outcomes: Mapping[str, Outcome]) -> bool:
        if teacher not in self.ready:
            ended = outcomes.get(teacher)
            if ended.state == "finished" if ended else teacher not in self.sweep.to_run or self._finished(teacher):
                self.ready.add(teacher)
        return teacher in self.ready

    def _finished(self, run_id: str) -> bool:
        return not self.sweep.experiments[run_id].config["force"] and self.sweep.finished(run_id)

    def _start(self, planned: Planned, lock: ExperimentLock) -> bool:
        """Start an experiment that nobody else is at; False if the machine has no room for its process now."""
        if planned.run_id in self._outcomes():
            pass  # another worker was at it until now
        elif self._finished(planned.run_id):  # by another sweep
            run_folders.tidy(self.sweep.run_folder(planned.run_id))
            self._record(Outcome(planned.run_id, "finished", 0.0))
        else:
            pid = self._fork(planned)
            if pid is None:
                return False
            now = time.monotonic()
            limit = planned.resources["timeout_min"] * 60 if self.timeout else math.inf
            self.children[pid] = Child(planned, lock, now, now + limit)
        self.pending.remove(planned)
        return True

    # --- children -----------------------------------------------------------------------------------------------------

    def _fork(self, planned: Planned) -> int | None:
        """A process of its own for an experiment; None if there can be no more beside those that there are."""
        sys.stdout.flush()
        sys.stderr.flush()
        config, log = self.sweep.config(planned.run_id), self.log(planned.run_id)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # none is lost between the parent's handlers and the child's
        try:
            parent, pid = os.getpid(), os.fork()
            if pid == 0:
                be_the_child(self.sweep, planned, config, log, self.threads, parent)
            return pid
        except BlockingIOError:
            if not self.children:
                raise
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def log(self, run_id: str) -> Path:
        """What an experiment's process says goes here."""
        return self.sweep.folder / "logs" / f"{run_id}.txt"

    def _reap(self) -> None:
        for pid, child in list(self.children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.children[pid]
                self._bury(child, os.waitstatus_to_exitcode(status))
                child.lock.release()
            elif time.monotonic() > child.deadline:
                os.kill(pid, signal.SIGKILL if child.timed_out else signal.SIGTERM)
                child.timed_out, child.deadline = True, time.monotonic() + GRACE_SECONDS

    def _bury(self, child: Child, code: int) -> None:
        """Say what a child died of that could not say it itself."""
        run_id, seconds = child.planned.run_id, time.monotonic() - child.started
        if code < 0 and not child.timed_out and self.stopping is None:
            time.sleep(KILLED_TOGETHER_SECONDS)  # if all of a job is being killed, this process is next
        if run_id in self._outcomes():
            return
        if self._has_result(run_id):  # it was killed, or could not say it, after all was done
            run_folders.tidy(self.sweep.run_folder(run_id))
            self._record(Outcome(run_id, "finished", seconds))
        elif self.stopping is None or child.timed_out:
            kind, cause = _died_of(child, code, self.log(run_id))
            self._fail(child.planned, kind, cause, seconds=seconds)

    def _has_result(self, run_id: str) -> bool:
        try:
            return self.sweep.finished(run_id)
        except (ConfigError, OSError):
            return False

    # --- what became of them ------------------------------------------------------------------------------------------

    def _fail(self, planned: Planned, kind: str, cause: str, trace: str = "", seconds: float = 0.0) -> None:
        """Record that an experiment failed, and leave error.json behind, as far as that can be written."""
        log = self.log(planned.run_id)
        run_folders.write_failure(self.sweep.run_folder(planned.run_id), planned.run_id, kind, cause, trace)
        self._record(Outcome(planned.run_id, "failed", seconds, cause, str(log) if log.exists() else ""))

    def _outcomes(self) -> Mapping[str, Outcome]:
        return {**self.unwritten, **self.sweep.outcomes()}

    def _record(self, outcome: Outcome) -> None:
        self.unwritten[outcome.run_id] = outcome
        self._write()

    def _write(self) -> None:
        """Write how experiments ended; what cannot be written now is tried again at the next."""
        for run_id, outcome in list(self.unwritten.items()):
            try:
                self.sweep.record(outcome)
                del self.unwritten[run_id]
            except OSError as error:
                print(f"{self.sweep.folder}: how {run_id} ended cannot be written ({error})", file=sys.stderr)

    def _write_the_last(self) -> None:
        deadline = time.monotonic() + LAST_SECONDS
        while self.unwritten and time.monotonic() < deadline:
            time.sleep(IDLE_SECONDS)
            self._write()


def _died_of(child: Child, code: int, log: Path) -> tuple[str, str]:
    """The kind and the cause of a failure that a child could not tell, but perhaps in its log."""
    if child.timed_out:
        minutes = child.planned.resources["timeout_min"]
        return "TimedOut", f"took longer than {minutes:g} minutes; raise resources.timeout_min"
    if _stopped(code):
        return "Stopped", "stopped from outside; run again, it goes on from its checkpoint"
    if code < 0:
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        return "Killed", f"killed by {signal.Signals(-code).name}{memory}"
    with suppress(OSError):
        if said := log.read_text(errors="replace").strip().splitlines():
            return "Died", f"its process ended with exit code {code}: {said[-1][:LONGEST]}"
    return "Died", f"its process ended with exit code {code}"


def _stopped(code: int) -> bool:
    """Whether a process ended because it was asked to stop, while training or at another time."""
    return code in (*(128 + signum for signum in STOPPING), *(-signum for signum in STOPPING))


def be_the_child(sweep: Sweep, planned: Planned, config: Config, log: Path, threads: int, parent: int) -> NoReturn:
    """In a process forked from `parent`: run one experiment, say how it ended, and end."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # not to go on alone
        if os.getppid() != parent:
            raise SystemExit("the worker has just ended")
        for signum in (*STOPPING, signal.SIGCONT):
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        with suppress(OSError):  # where that cannot be, what it says goes where the worker's words go
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
        experiment.run(config, locked=True, teaches=planned.run_id in sweep.teachers)
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
        log_file = str(where if os.path.isfile(where) else log)
        sweep.record(Outcome(planned.run_id, "failed", time.monotonic() - started, run_folders.cause_of(reason), log_file))
        return 1
    sweep.record(Outcome(planned.run_id, "finished", time.monotonic() - started))
    return 0
