"""Submit a sweep to SLURM: job arrays, each after those that it needs, as much at a time as SLURM takes."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from compress.runs.folder import ExperimentLock
from compress.storage.files import write_text
from launch import sbatch, scheduler, submitted
from launch.batches import Batch, SlurmSettings, batches
from launch.commands import Unanswered
from launch.experiments import Outcome, in_common
from launch.sweep import Sweep

ROOM_SECONDS = 60.0  # between tries to submit more, if none of the sweep's jobs has ended meanwhile


class Submission:
    """What of a sweep is submitted, what SLURM does not take yet, and what it refuses."""

    def __init__(self, sweep: Sweep, settings: SlurmSettings) -> None:
        self.sweep, self.settings = sweep, settings
        self.left: list[Batch] | None = None  # what is still to be submitted, in that order
        self.refused: dict[str, Outcome] = {}  # experiments that will not be submitted, and why
        self.elsewhere: set[str] = set()  # those that are in the queue already, by another sweep
        self.waits_for = ""  # why there is something left: the limit that is reached, or that SLURM does not answer
        self.lanes: dict[int, int] = {}  # of each array, by its number
        self.most = self.size = min(settings.array_size, sbatch.largest_array())
        self.tried, self.ended = 0.0, 0
        self.signed_in: int | None = None
        self.stopped = False  # whether nothing more is to be submitted

    @property
    def unsubmitted(self) -> list[str]:
        """The experiments that are still to be submitted."""
        return [run_id for batch in self.left or () for run_id in batch.run_ids()]

    def keep_up(self) -> int:
        """Submit more if there may be room: a job has ended, or a minute is over. How many experiments were."""
        if self.stopped and self.left:
            self._refuse(self.unsubmitted, "not submitted: the sweep was cancelled before SLURM had room for it")
            self.left = []
        before = len(self.unsubmitted)
        if self.left and (len(self.sweep.outcomes()) != self.ended or time.monotonic() - self.tried > ROOM_SECONDS):
            try:
                self.go_on()
            except Unanswered as error:
                self.waits_for = str(error)
        if not self.left:
            self.sign_out()
        return before - len(self.unsubmitted)

    def sign_in(self) -> None:
        """Be seen as a live worker of the sweep while something is left."""
        if self.left:
            self.signed_in = self.sweep.sign_in(0)

    def sign_out(self) -> None:
        """Be it no more."""
        if self.signed_in is not None:
            os.close(self.signed_in)
        self.signed_in = None

    def go_on(self) -> None:
        """Submit what SLURM takes now; Unanswered, and nothing submitted, if it does not say what its queue has."""
        self.tried, self.ended = time.monotonic(), len(self.sweep.outcomes())
        with ExperimentLock(self.sweep.runs, "submission").held():  # the second launch sees what the first submitted
            self._leave_to_others()
            self.waits_for = ""
            while self.left and not self.waits_for and not self.stopped:
                self._submit_first()

    def _leave_to_others(self) -> None:
        """Take out of what is left what is in the queue by now: of other sweeps, or after an unclear answer."""
        for array in scheduler.confirm_submitted(self.sweep):
            submitted.withdraw(self.sweep.folder, array, late=True)
        there = scheduler.queued_elsewhere(self.sweep)
        if self.left is None:
            to_run = [self.sweep.experiments[run_id] for run_id in self.sweep.to_run]
            needed = {run_id for planned in to_run for run_id in planned.needs}
            awaited = {run_id for run_id in needed if not self.sweep.finished(run_id)}
            new = [planned for planned in to_run if planned.run_id not in there]
            self.left = batches(new, replace(self.settings, array_size=self.most), awaited)
            self.elsewhere = {planned.run_id for planned in to_run} & there.keys()
        else:
            self.elsewhere |= set(self.unsubmitted) & there.keys()
            self._take_out(there.keys() | submitted.own_jobs(self.sweep.folder).keys() | self.sweep.outcomes().keys())
        submitted.borrow(self.sweep.folder, {run_id: there[run_id] for run_id in self.elsewhere & there.keys()})

    def _take_out(self, gone: Collection[str]) -> None:
        pruned = []
        for batch in self.left or ():
            elements = [[run_id for run_id in element if run_id not in gone] for element in batch.elements]
            pruned.append(replace(batch, elements=[element for element in elements if element]))
        self.left = [batch for batch in pruned if batch.elements]

    def _submit_first(self) -> None:
        """Submit the first array that is left, or as much of it as SLURM takes; or say what it waits for."""
        assert self.left
        batch = self.left[0]
        if cause := self._failed_before(batch):
            self._refuse(batch.run_ids(), cause)
            del self.left[0]
            return
        part = replace(batch, elements=batch.elements[: self.size])
        try:
            self._submit(part)
        except (sbatch.NoRoom, sbatch.TooLarge) as error:
            if len(part.elements) == 1:
                self.waits_for = str(error)
            self.size = max(1, len(part.elements) // 2)
        except (Unanswered, sbatch.Unclear) as error:
            self.waits_for = str(error)
        except sbatch.Refused as error:
            self._refuse(batch.run_ids(), f"not submitted, sbatch refused it: {error}")
            del self.left[0]
        else:
            self.size = min(self.most, 2 * self.size)
            rest = batch.elements[len(part.elements) :]
            self.left[:1] = [replace(batch, elements=rest)] if rest else []

    def _submit(self, batch: Batch) -> None:
        """Call sbatch for a batch, noted before and after; Refused, or Unanswered if nobody knows what came of it."""
        folder = self.sweep.folder
        after = list(self._dependencies(batch))
        experiments = [self.sweep.experiments[run_id] for run_id in batch.run_ids()]
        array = submitted.intend(folder, batch.elements, in_common(experiments))
        if batch.lane is not None:
            self.lanes[array.number] = batch.lane
        command = f"-u -m launch.job {shlex.quote(str(folder))} {array.number}"
        file = folder / "jobs" / f"{array.name}.sh"
        write_text(file, sbatch.script(folder / "jobs", array.name, batch, self.settings, command, after))
        try:
            submitted.confirm(folder, array, sbatch.submit(file))
        except sbatch.Refused as error:
            unknown = isinstance(error, sbatch.Unclear)
            if not unknown or array.number in {missing.number for missing in scheduler.confirm_submitted(self.sweep)}:
                submitted.withdraw(folder, array, late=unknown)
                file.unlink(missing_ok=True)
                raise

    def _dependencies(self, batch: Batch) -> Iterator[str]:
        jobs = self.sweep.jobs()
        yield from (f"afterok:{jobs[run_id]}" for run_id in batch.after
                    if run_id in jobs and not self.sweep.finished(run_id))  # fmt: skip
        lane = [array.job for array in submitted.arrays(self.sweep.folder)
                if array.job is not None and self.lanes.get(array.number, -1) == batch.lane]  # fmt: skip
        if lane:
            yield f"afterany:{lane[-1]}"

    def _failed_before(self, batch: Batch) -> str:
        """Why a batch is not submitted: what became of those it needs; nothing if all may still succeed."""
        for run_id in batch.after:
            ended = self.refused.get(run_id) or self.sweep.outcomes().get(run_id)
            if ended is not None and ended.state == "failed":
                return self.sweep.failure_before(batch.elements[0][0], run_id)
        return ""

    def _refuse(self, run_ids: Collection[str], cause: str) -> None:
        self.refused |= {run_id: Outcome(run_id, "failed", 0.0, cause) for run_id in run_ids}


@contextmanager
def kept_up(submissions: Collection[Submission]) -> Iterator[None]:
    """While something is left, be seen as a worker of its sweep: `cancel` then keeps it from being submitted."""
    for submission in submissions:
        submission.sign_in()

    def stop(signum: int, frame: object) -> None:
        submitting = [submission for submission in submissions if submission.signed_in is not None]
        for submission in submitting:
            submission.stopped = True
        if not submitting:
            raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        for submission in submissions:
            submission.sign_out()
