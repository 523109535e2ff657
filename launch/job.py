"""`python -m launch.job SWEEP NUMBER`: what a job of SLURM starts with.

It finds what it is to run in what the launcher wrote down before it called sbatch. So a job needs nothing of a launcher
that was killed since.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from submitit.core.job_environment import JobEnvironment
from submitit.core.submission import process_job
from submitit.core.utils import DelayedSubmission, temporary_save_path

from launch import submitted
from launch.batches import Batch, SlurmSettings
from launch.element import Element
from launch.start import settings_of
from launch.submitted import Array
from launch.sweep import Sweep


def main(folder: Path, number: int) -> None:
    """Run this job's element of a sweep's array; nothing of one that was withdrawn before SLURM took it."""
    (array,) = (array for array in submitted.arrays(folder) if array.number == number)
    if not array.elements:
        return
    os.environ["SUBMITIT_FOLDER"] = str(folder / "jobs")
    pickle = JobEnvironment().paths.submitted_pickle
    pickle.with_suffix(".pkl.save_tmp").unlink(missing_ok=True)  # of a job that was killed while it was requeued
    if not pickle.exists():  # else it was requeued, and has its number of time limits in it
        with temporary_save_path(pickle) as scratch:
            _submission(folder, array).dump(scratch)
    process_job(folder / "jobs")


def _submission(folder: Path, array: Array) -> DelayedSubmission:
    """What this job has to do, for submitit."""
    sweep = Sweep.read(folder)
    run_ids = array.elements[int(os.environ["SLURM_ARRAY_TASK_ID"]) if len(array.elements) > 1 else 0]
    settings = settings_of("slurm", {key: value for key, value in sweep.launcher.items() if key != "name"})
    assert isinstance(settings, SlurmSettings)
    resources = sweep.experiments[run_ids[0]].resources
    threads = settings.threads or max(1, resources.cpus // settings.per_device)
    submission = DelayedSubmission(Element(folder, run_ids, settings.per_device, threads))
    submission.set_timeout(Batch(resources, None, array.elements).minutes(settings), settings.max_requeues)
    return submission


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
