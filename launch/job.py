"""`python -m launch.job SWEEP NUMBER`: what a job of SLURM does: its experiments, each in a process of its own.

It finds what it is to run in what the launcher wrote down before it called sbatch. So a job needs nothing of a launcher
that was killed since. Stopped, it is requeued and goes on.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from submitit.core.job_environment import JobEnvironment
from submitit.core.submission import process_job
from submitit.core.utils import DelayedSubmission, temporary_save_path
from submitit.slurm.slurm import SlurmJobEnvironment

from launch import commands, submitted
from launch.batches import Batch, SlurmSettings
from launch.experiments import in_common
from launch.start import settings_of
from launch.submitted import Array
from launch.sweep import Sweep

COMMENT_LENGTH = 250  # characters
KILLED_WITHIN_SECONDS = 900.0  # after a SIGTERM that is followed by SIGKILL


def main(folder: Path, number: int) -> None:
    """Run this job's element of a sweep's array; nothing of one that was withdrawn before SLURM took it."""
    (array,) = (array for array in submitted.arrays(folder) if array.number == number)
    if not array.elements:
        return
    _tell_what_runs(folder, array)
    os.environ["SUBMITIT_FOLDER"] = str(folder / "jobs")
    if shutil.which("scontrol") is None:
        setattr(SlurmJobEnvironment, "_requeue", _leave_requeueing)  # noqa: B010 - submitit calls scontrol itself
    pickle = JobEnvironment().paths.submitted_pickle
    pickle.with_suffix(".pkl.save_tmp").unlink(missing_ok=True)  # of a job that was killed while it was requeued
    if not pickle.exists():  # else it was requeued, and has its number of time limits in it
        with temporary_save_path(pickle) as scratch:
            _submission(folder, array).dump(scratch)
    process_job(folder / "jobs")


def _leave_requeueing(environment: SlurmJobEnvironment, countdown: int) -> None:
    """In a container without scontrol: have the job's script, which is outside, requeue it (`sbatch.REQUEUE`)."""
    Path(os.environ["SUBMITIT_FOLDER"], f"{os.environ['SLURM_JOB_ID']}.requeue").touch()


def _tell_what_runs(folder: Path, array: Array) -> None:
    """Have SLURM show the experiments of this job: as its comment, and of an array's in its name."""
    sweep = Sweep.read(folder)
    experiments = [sweep.experiments[run_id] for run_id in _run_ids(array)]
    changes = []
    if "comment" not in cast(dict[str, object], sweep.launcher.get("additional") or {}):  # that the user gave
        changes.append("Comment=" + "; ".join(planned.name for planned in experiments)[:COMMENT_LENGTH])
    if len(array.elements) > 1:
        with suppress(OSError):  # a launcher that was killed finds its array by that name only
            if array.job is None:
                array = submitted.confirm(folder, array, os.environ["SLURM_ARRAY_JOB_ID"])
            changes.append(f"JobName={array.name_of(in_common(experiments))}")
    commands.run(["scontrol", "update", f"JobId={os.environ['SLURM_JOB_ID']}", *changes])  # if it does not: as before


def _run_ids(array: Array) -> list[str]:
    """The experiments of this job's element."""
    return array.elements[int(os.environ["SLURM_ARRAY_TASK_ID"]) if len(array.elements) > 1 else 0]


def _submission(folder: Path, array: Array) -> DelayedSubmission:
    """What this job has to do, for submitit."""
    sweep = Sweep.read(folder)
    run_ids = _run_ids(array)
    settings = settings_of("slurm", {key: value for key, value in sweep.launcher.items() if key != "name"})
    assert isinstance(settings, SlurmSettings)
    resources = sweep.experiments[run_ids[0]].resources
    threads = settings.threads or max(1, resources.cpus // settings.per_device)
    submission = DelayedSubmission(Element(folder, run_ids, settings.per_device, threads))
    submission.set_timeout(Batch(resources, (), array.elements).minutes(settings), settings.max_requeues)
    return submission


class Element:
    """What submitit runs in a job, and again after a requeue: experiments of a sweep, so many at once."""

    def __init__(self, folder: Path, run_ids: Sequence[str], slots: int, threads: int) -> None:
        self.folder, self.run_ids, self.slots, self.threads = folder, list(run_ids), slots, threads

    def __call__(self) -> None:
        """Run them; RuntimeError if one failed: so SLURM knows, and starts none of its students."""
        from launch.worker import Worker

        requeue = signal.getsignal(signal.SIGUSR2)  # submitit's
        sweep = Sweep.read(self.folder)
        worker = Worker(sweep, only=self.run_ids, slots=self.slots, threads=self.threads, waits=False, timeout=False)
        stopped = worker.run()
        if stopped == signal.SIGUSR2:  # its time is over, or it is preempted
            assert callable(requeue)
            requeue(stopped, None)
        elif stopped is not None:  # to end by itself now would look like a failure, and keep SLURM from requeueing it
            time.sleep(KILLED_WITHIN_SECONDS)
            raise SystemExit(128 + stopped)
        outcomes = sweep.outcomes()
        ended = [(sweep.experiments[run_id], outcomes[run_id]) for run_id in self.run_ids if run_id in outcomes]
        failed = [f"{planned.name}: {outcome.cause}" for planned, outcome in ended if outcome.state == "failed"]
        if failed:
            raise RuntimeError("; ".join(failed))

    def checkpoint(self) -> DelayedSubmission:
        """What submitit runs after a requeue: the same; everything else is on disk."""
        return DelayedSubmission(self)


if __name__ == "__main__":
    from launch import job  # by its name, under which submitit finds `Element` again after a requeue

    job.main(Path(sys.argv[1]), int(sys.argv[2]))
