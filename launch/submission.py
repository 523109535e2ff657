"""What is submitted to SLURM: job arrays by submitit, students after their teachers, stopped jobs requeued."""

from __future__ import annotations

import math
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.claim import Claim
from compress.errors import ConfigError
from launch.scheduler import queued_elsewhere
from launch.sweep import Planned, Sweep

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

KILLED_WITHIN_SECONDS = 900.0  # after a SIGTERM that is followed by SIGKILL
JOB_NAME = "compress"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class SlurmSettings:
    """`hydra/launcher=slurm`."""

    partition: str | None = Field(description="sbatch --partition")
    account: str | None = Field(description="sbatch --account")
    qos: str | None = Field(description="sbatch --qos")
    constraint: str | None = Field(description="sbatch --constraint")
    additional: dict[str, str | int | float | bool] = Field(description="other options of sbatch")
    setup: list[str] = Field(description="shell lines before each job")
    throttle: int | None = Field(description="elements of a job array at once", ge=1)
    pack: int = Field(description="experiments in one job", ge=1)
    per_device: int = Field(description="of those, how many at once", ge=1)
    threads: int | None = Field(description="of each experiment; null: resources.cpus shared out", ge=1)
    timeout_min: float | None = Field(description="of an experiment; null: resources.timeout_min", gt=0)
    signal_seconds: int = Field(description="before its time limit a job checkpoints and is requeued", ge=1)
    max_requeues: int = Field(description="after so many time limits a job is given up", ge=0)
    array_size: int = Field(description="elements of one job array at most", ge=1)
    python: str | None = Field(description="command that starts Python on the nodes; null: this one")
    wait: bool = Field(description="false: return once all is submitted")


@plain_dataclass(frozen=True)
class Batch:
    """Elements of one job array: they ask for the same and wait for the same job.

    Attributes:
        elements: the run_ids of each.
        after: the job that must succeed first.
    """

    resources: dict[str, Any]
    after: str | None
    elements: list[list[str]]


def batches(to_run: Sequence[Planned], settings: SlurmSettings, jobs: Mapping[str, str]) -> list[Batch]:
    """How experiments are put into job arrays; teachers alone, lest another's failure keep students from starting.

    Args:
        to_run: what can be submitted now: students only of teachers that are in `jobs` or finished.
        jobs: the job of each experiment that is submitted already.
    """
    groups: dict[tuple[Any, ...], list[Planned]] = defaultdict(list)
    for planned in to_run:
        groups[(*sorted(planned.resources.items()), jobs.get(planned.teacher or ""))].append(planned)
    found = []
    for (*_, after), members in groups.items():
        elements = [[planned.run_id for planned in pack] for pack in _cut(members, settings.pack)]
        for part in _cut(elements, settings.array_size):
            found.append(Batch(members[0].resources, after, list(part)))
    return found


def _cut(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def parameters(batch: Batch, settings: SlurmSettings) -> dict[str, Any]:
    """What submitit's SlurmExecutor is told for a batch."""
    resources = batch.resources
    rounds = max(math.ceil(len(element) / settings.per_device) for element in batch.elements)
    given: dict[str, Any] = {
        "job_name": JOB_NAME,
        "time": math.ceil((settings.timeout_min or resources["timeout_min"]) * rounds),
        "cpus_per_task": resources["cpus"],
        "ntasks_per_node": 1,
        "signal_delay_s": settings.signal_seconds,
        "stderr_to_stdout": True,
        "array_parallelism": settings.throttle or settings.array_size,
        "additional_parameters": {"requeue": True, **settings.additional},
    }
    if resources["gpus"]:
        given["gpus_per_node"] = resources["gpus"]
    if resources["memory_gb"] is not None:
        given["mem"] = f"{math.ceil(resources['memory_gb'] * 1024)}MB"
    if batch.after is not None:
        given["dependency"] = f"afterok:{batch.after}"
        given["additional_parameters"]["kill-on-invalid-dep"] = "yes"
    if settings.setup:
        given["setup"] = list(settings.setup)
    return given | {key: value for key in ("partition", "account", "qos", "constraint")
                    if (value := getattr(settings, key)) is not None}  # fmt: skip


class Element:
    """What one job does: its experiments, each in a process of its own; stopped, it is requeued and goes on."""

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


def submit(sweep: Sweep, settings: SlurmSettings) -> int:
    """Submit what is to run and is not in the queue already, teachers first.

    Returns:
        How many experiments another sweep has in the queue; they are left to it.

    Raises:
        ConfigError: sbatch refused.
    """
    lock = Claim(sweep.runs, "submission")
    lock.take(wait=True)  # two launches of one grid: the second sees what the first has submitted
    try:
        there = queued_elsewhere(sweep)
        sweep.add_jobs({run_id: job for run_id, job in there.items() if run_id in sweep.to_run})
        left = [sweep.experiments[run_id] for run_id in sweep.to_run if run_id not in there]
        needed = {planned.teacher for planned in left}
        stages = [[planned for planned in left if planned.run_id in needed],
                  [planned for planned in left if planned.run_id not in needed]]  # fmt: skip
        for number, stage in enumerate(stages):
            packed = settings if number else unpacked(settings)
            for batch in batches(stage, packed, sweep.jobs()):
                sweep.add_jobs(_submit(sweep, batch, settings))
        return len(sweep.to_run) - len(left)
    finally:
        lock.release()


def unpacked(settings: SlurmSettings) -> SlurmSettings:
    from dataclasses import replace

    return replace(settings, pack=1)


def _submit(sweep: Sweep, batch: Batch, settings: SlurmSettings) -> dict[str, str]:
    """Submit a batch; the job of each of its experiments."""
    import submitit
    from submitit.core.utils import FailedJobError

    executor = submitit.SlurmExecutor(
        sweep.folder / "jobs", max_num_timeout=settings.max_requeues, python=settings.python or None
    )
    executor.update_parameters(**parameters(batch, settings))
    threads = settings.threads or max(1, batch.resources["cpus"] // settings.per_device)
    try:
        with executor.batch():
            jobs = [
                executor.submit(Element(sweep.folder, element, settings.per_device, threads))
                for element in batch.elements
            ]
    except (FailedJobError, subprocess.CalledProcessError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"sbatch refused the jobs: {told[-400:]}; nothing of this array was submitted") from error
    return {run_id: job.job_id for job, element in zip(jobs, batch.elements, strict=True) for run_id in element}
