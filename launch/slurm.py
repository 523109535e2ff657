"""Run a sweep on a SLURM cluster: job arrays by submitit, students after their teachers, stopped jobs requeued.

What became of an experiment is read from its sweep's folder and the queue, never from submitit's own results: a job
that is preempted without grace leaves an error there although SLURM runs it again, and a pending element of an array
that is cancelled leaves nothing.
"""

from __future__ import annotations

import math
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from compress.claim import Claim
from compress.errors import ConfigError
from launch.follow import conclude, follow
from launch.sweep import Outcome, Planned, Sweep, all_sweeps

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

    from launch.plan import Plan

POLL_SECONDS = 3.0
PATIENCE_SECONDS = 20.0  # from a job's disappearance to its being called lost: file systems may show results late
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


# --- what is submitted ------------------------------------------------------------------------------------------------


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
            packed = settings if number else _unpacked(settings)
            for batch in batches(stage, packed, sweep.jobs()):
                sweep.add_jobs(_submit(sweep, batch, settings))
        return len(sweep.to_run) - len(left)
    finally:
        lock.release()


def _unpacked(settings: SlurmSettings) -> SlurmSettings:
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


def require() -> None:
    """Refuse to go on where SLURM's commands are not to be found.

    Raises:
        ConfigError: there is no sbatch or no srun.
    """
    for command in ("sbatch", "srun", "squeue"):
        if shutil.which(command) is None:
            raise ConfigError(
                f"hydra/launcher=slurm: there is no {command} here; run this on a login node of a SLURM cluster, "
                "or choose hydra/launcher=local"
            )


# --- what SLURM says --------------------------------------------------------------------------------------------------


@plain_dataclass(frozen=True)
class Job:
    """A job that is in the queue: PENDING, RUNNING, COMPLETING, …; why it waits, or where it runs."""

    state: str
    reason: str
    node: str

    @property
    def held(self) -> bool:
        """It waits for a person: someone holds it, or it could not be started (`launch_failed_requeued_held`)."""
        return self.state == "PENDING" and "held" in self.reason.lower()

    def why_pending(self, name: str) -> str:
        """What it waits for; of a held job of that name also what to do about it."""
        return f"held ({self.reason}); let it go: scontrol release {name}" if self.held else self.reason


def queue() -> dict[str, Job] | None:
    """This user's jobs that have not ended, by id (`34_1`: an element of an array); None if SLURM does not answer."""
    command = ["squeue", "--noheader", "--array", "--me", "--format=%i|%T|%r|%N"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.split("|") for line in done.stdout.splitlines() if line.count("|") == 3)
    return {row[0].strip(): Job(*row[1:]) for row in rows}


def ended_as(jobs: Iterable[str]) -> dict[str, str]:
    """How jobs ended, as SLURM's accounting has it (`FAILED 1:0`); what it does not know is left out."""
    wanted = sorted(set(jobs))
    if not wanted:
        return {}
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,ExitCode", "-j"]
    try:
        done = subprocess.run([*command, ",".join(wanted)], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = (line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2)
    return {job: f"{state} {code}" for job, state, code in rows}


def queued_elsewhere(sweep: Sweep) -> dict[str, str]:
    """The jobs, by run_id, that other sweeps of the same runs have in the queue."""
    there = queue() or {}
    found: dict[str, str] = {}
    for other in all_sweeps(sweep.runs):
        if other.folder != sweep.folder:
            found |= {run_id: job for run_id, job in other.open_jobs().items() if job in there}
    return found


def lost(sweep: Sweep, there: Mapping[str, Job], patience: float = 0.0) -> dict[str, Outcome]:
    """Experiments whose job is gone and left no outcome, and what is known of the cause.

    Args:
        there: the queue.
        patience: seconds that the job must have left its log alone for.
    """
    outcomes = sweep.outcomes()
    gone = {run_id: job for run_id, job in sweep.open_jobs().items() if job not in there}
    states = ended_as(gone.values()) if gone else {}
    found: dict[str, Outcome] = {}
    for run_id, job in gone.items():
        if sweep.finished(run_id):
            found[run_id] = Outcome(run_id, "finished", 0.0)
            continue
        log = sweep.folder / "jobs" / f"{job}_0_log.out"
        if patience and log.exists() and time.time() - log.stat().st_mtime < patience:
            continue
        teacher = sweep.experiments[run_id].teacher
        ended = outcomes.get(teacher) or found.get(teacher) if teacher else None
        if ended is not None and ended.state == "failed":
            cause, where = f"its teacher {sweep.experiments[teacher or ''].name} failed", ended.log
        else:
            state = states.get(job, "no trace of it (cancelled while it was pending?)")
            cause, where = f"its job {job} is gone: {state}{_last_words(log)}", str(log)
        found[run_id] = Outcome(run_id, "failed", 0.0, cause, where)
    return found


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return f" ({lines[-1][:200]})" if lines else ""


# --- a whole sweep ----------------------------------------------------------------------------------------------------


def run(sweep: Sweep, settings: SlurmSettings) -> int:
    """Submit a planned sweep and wait for it, if the settings say so.

    Returns:
        The exit code.
    """
    started = time.monotonic()
    elsewhere = submit(sweep, settings) if sweep.to_run else 0
    jobs = set(sweep.jobs().values())
    told = f"{len(sweep.to_run) - elsewhere} experiments submitted in {len(jobs)} jobs"
    print(told + (f"; {elsewhere} are in the queue already" if elsewhere else ""), flush=True)
    if not settings.wait:
        runs = shlex.quote(str(sweep.runs))
        print(f"python -m launch status {runs}   shows how they go on; cancel, retry likewise")
        return 0
    try:
        return conclude(sweep, follow(sweep, Watch(sweep), POLL_SECONDS), time.monotonic() - started)
    except KeyboardInterrupt:
        _ask_to_cancel(sweep)
        raise


class Watch:
    """Looks at the queue for `follow`: an experiment is lost if its job was gone at two looks and some time apart."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.missed: dict[str, float] = {}
        self.jobs = set(sweep.jobs().values())
        self.held: set[str] = set()

    def __call__(self) -> Mapping[str, Outcome]:
        there = queue()
        if there is None:  # SLURM is away: nothing is known
            return {}
        held = {name for name, job in there.items() if job.held and name in self.jobs}
        for name in sorted(held - self.held):
            tqdm.write(f"job {name} is {there[name].why_pending(name)}", file=sys.stdout)
        self.held = held
        gone, now = lost(self.sweep, there), time.monotonic()
        self.missed = {run_id: self.missed.get(run_id, now) for run_id in gone}
        return {run_id: outcome for run_id, outcome in gone.items()
                if outcome.state == "finished" or now - self.missed[run_id] > PATIENCE_SECONDS}  # fmt: skip


def cancel(sweeps: Iterable[Sweep]) -> int:
    """Cancel all jobs of sweeps that are in the queue; how many those were."""
    there = queue() or {}
    jobs = sorted({job for sweep in sweeps for job in sweep.jobs().values() if job in there})
    for part in _cut(jobs, 500):
        subprocess.run(["scancel", *part], check=False)
    return len(jobs)


def _ask_to_cancel(sweep: Sweep) -> None:
    how = f"python -m launch cancel {shlex.quote(str(sweep.runs))}"
    print(f"\nno longer waiting; the jobs go on. To cancel them: {how}", file=sys.stderr)
    if sys.stdin.isatty() and sys.stderr.isatty():
        print("cancel them now? [y/N] ", end="", file=sys.stderr, flush=True)
        try:
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            answer = ""
        if answer.strip().lower() in ("y", "yes"):
            print(f"{cancel([sweep])} jobs cancelled", file=sys.stderr)


def describe(plan: Plan, settings: SlurmSettings) -> list[str]:
    """What `plan` says of how the cluster would be used."""
    jobs = {planned.run_id: planned.run_id for planned in plan.teachers}
    rest = [planned for planned in plan.to_run if planned.run_id not in jobs]
    arrays = batches(plan.teachers, _unpacked(settings), {}) + batches(rest, settings, jobs)
    by_class: dict[str, list[Batch]] = defaultdict(list)
    for batch in arrays:
        needs = batch.resources
        memory = "" if needs["memory_gb"] is None else f", {needs['memory_gb']:g} GB"
        by_class[f"{needs['gpus']} GPUs, {needs['cpus']} CPUs{memory}, {needs['timeout_min']:g} min"].append(batch)
    seconds = sum(planned.seconds for planned in plan.to_run) / settings.per_device
    lines = [
        f"{sum(len(batch.elements) for batch in found)} jobs in {len(found)} arrays: {named}"
        for named, found in by_class.items()
    ]
    return [*lines, f"time: {seconds / 3600:.2f} device-hours"]
