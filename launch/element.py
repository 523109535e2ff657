"""What one job of SLURM does: its experiments, each in a process of its own; stopped, it is requeued and goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from launch.sweep import Sweep

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

KILLED_WITHIN_SECONDS = 900.0  # after a SIGTERM that is followed by SIGKILL


class Element:
    """What submitit runs in a job, and again after a requeue.

    Args:
        folder: the sweep's.
        slots: how many experiments at once.
        threads: of each.
    """

    def __init__(self, folder: Path, run_ids: Sequence[str], slots: int, threads: int) -> None:
        self.folder, self.run_ids, self.slots, self.threads = folder, list(run_ids), slots, threads

    def __call__(self) -> None:
        """Runs in the job.

        Raises:
            RuntimeError: an experiment failed; so SLURM knows, and starts none of its students.
        """
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
        failed = [run_id for run_id in self.run_ids if run_id in outcomes and outcomes[run_id].state == "failed"]
        if failed:
            raise RuntimeError("; ".join(f"{sweep.experiments[run_id].name}: {outcomes[run_id].cause}"
                                         for run_id in failed))  # fmt: skip

    def checkpoint(self) -> DelayedSubmission:
        """What submitit runs after a requeue: the same; everything else is on disk."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)
