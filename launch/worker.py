"""A worker: takes the next experiment of a sweep that can run, again and again, each in a forked child of its own.

Heavy libraries are imported once, here; a child that crashes, is killed or hangs is one experiment that failed. Workers
do not talk to each other: an experiment is whose lock it is, and what became of it is on disk.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType

from compress import experiment
from compress.errors import ConfigError
from compress.runs import folder as run_folders
from compress.runs.folder import ExperimentLock
from launch.child import STOPPING, Child, cause_of_exit, run_in_child
from launch.experiments import CANCELLED, Outcome, Planned
from launch.sweep import Sweep

POLL_SECONDS = 0.02  # between looks at the children
IDLE_SECONDS = 0.2  # between looks at what others finish
CANCELLED_SECONDS = 1.0  # between looks for experiments that were cancelled
GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL for a child that took too long
LAST_SECONDS = 10.0  # in which a worker that is through tries to write what it could not write before
KILLED_TOGETHER_SECONDS = 1.0  # within which a scheduler's SIGKILL reaches all processes of a job


class Worker:
    """Runs experiments of a sweep on one device: all that are to run, or `only` some; `slots` at once.

    Args:
        threads: of each experiment.
        waits: whether experiments wait for what they need and others train; else they find or train it themselves.
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
        self.ready: set[str] = set()  # teachers and starts that are finished
        self.unwritten: dict[str, Outcome] = {}  # of experiments that have ended; on a full disk, say
        self.stopping: int | None = None  # the signal that asked to stop
        self.looks_again = 0.0  # when, for experiments that were cancelled

    def run(self) -> int | None:
        """Run what there is to run; the signal that asked to stop, if one did, once all children have checkpoints."""
        for signum in STOPPING:
            signal.signal(signum, self._ask_to_stop)
        os.chdir(self.sweep.directory)
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # a library that looks for GPUs must not start CUDA: it forks
        if self.pending:
            try:
                experiment.warm_up(self.sweep.config(self.pending[0].run_id))
            except Exception:  # whatever is wrong with that experiment, it says so itself
                traceback.print_exc()
        passed_on = False
        while self.children or (self.pending and self.stopping is None):
            self._reap()
            self._stop_cancelled()
            if self.stopping is not None:
                if not passed_on:
                    for pid in self.children:
                        os.kill(pid, self.stopping)
                passed_on = True
            elif len(self.children) < self.slots and self._start_next():
                continue
            time.sleep(POLL_SECONDS if self.children else IDLE_SECONDS)
        deadline = time.monotonic() + LAST_SECONDS
        while self.unwritten and time.monotonic() < deadline:
            time.sleep(IDLE_SECONDS)
            self._write()
        return self.stopping

    def _ask_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = signum

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
        awaited = [run_id for run_id in planned.needs if self.waits and not self._is_ready(run_id, outcomes)]
        for ended in (outcomes[run_id] for run_id in awaited if run_id in outcomes):
            if ended.state == "failed":
                cause = self.sweep.failure_before(planned.run_id, ended.run_id)
                self._record(Outcome(planned.run_id, "failed", 0.0, cause, ended.log))
                return True
        if awaited:
            return False
        lock = ExperimentLock(self.sweep.runs, planned.run_id)
        if not lock.take():
            return False  # another worker, or another sweep, is at it
        try:
            return self._start(planned, lock)
        finally:
            if all(child.lock is not lock for child in self.children.values()):
                lock.release()

    def _is_ready(self, needed: str, outcomes: Mapping[str, Outcome]) -> bool:
        if needed not in self.ready:
            ended = outcomes.get(needed)
            if ended.state == "finished" if ended else needed not in self.sweep.to_run or self._finished(needed):
                self.ready.add(needed)
        return needed in self.ready

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
            limit = planned.resources.timeout_min * 60 if self.timeout else math.inf
            self.children[pid] = Child(planned, lock, now, now + limit)
        self.pending.remove(planned)
        return True

    def _fork(self, planned: Planned) -> int | None:
        """A process of its own for an experiment; None if there can be no more beside those that there are."""
        sys.stdout.flush()
        sys.stderr.flush()
        config, log = self.sweep.config(planned.run_id), self.log(planned.run_id)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # none is lost between the parent's handlers and the child's
        try:
            parent, pid = os.getpid(), os.fork()
            if pid == 0:
                run_in_child(self.sweep, planned, config, log, self.threads, parent)
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
                self._record_exit(child, os.waitstatus_to_exitcode(status))
                child.lock.release()
            elif time.monotonic() > child.deadline:
                os.kill(pid, signal.SIGKILL if child.timed_out else signal.SIGTERM)
                child.timed_out, child.deadline = True, time.monotonic() + GRACE_SECONDS

    def _stop_cancelled(self) -> None:
        """Have experiments that somebody cancelled meanwhile write their checkpoints and end."""
        if not self.children or time.monotonic() < self.looks_again:
            return
        self.looks_again = time.monotonic() + CANCELLED_SECONDS
        outcomes = self.sweep.outcomes()
        for pid, child in self.children.items():
            ended = outcomes.get(child.planned.run_id)
            if ended is not None and ended.cause == CANCELLED and not child.cancelled:
                child.cancelled = True
                os.kill(pid, signal.SIGTERM)

    def _record_exit(self, child: Child, code: int) -> None:
        """Record how a child ended that could not record it itself."""
        run_id, seconds = child.planned.run_id, time.monotonic() - child.started
        if code < 0 and not child.timed_out and self.stopping is None:
            time.sleep(KILLED_TOGETHER_SECONDS)  # if all of a job is being killed, this process is next
        if run_id in self._outcomes():
            return
        finished = False
        with suppress(ConfigError, OSError):
            finished = self.sweep.finished(run_id)
        if finished:  # it was killed, or could not say it, after all was done
            run_folders.tidy(self.sweep.run_folder(run_id))
            self._record(Outcome(run_id, "finished", seconds))
        elif self.stopping is None or child.timed_out:
            kind, cause = cause_of_exit(child, code, self.log(run_id))
            self._fail(child.planned, kind, cause, seconds=seconds)

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
