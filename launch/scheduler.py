"""What SLURM says of a sweep's jobs: which are in the queue, how those that are gone have ended; and cancelling them.

What became of an experiment is read from its sweep's folder and the queue, never from submitit's own results: a job
that is preempted without grace leaves an error there although SLURM runs it again, and a pending element of an array
that is cancelled leaves nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from compress.errors import ConfigError
from launch.sweep import Outcome, Sweep, all_sweeps

PATIENCE_SECONDS = 20.0  # from a job's disappearance to its being called lost: file systems may show results late
ARGUMENTS = 500  # job ids in one command line


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


@dataclass(frozen=True)
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
    for start in range(0, len(jobs), ARGUMENTS):
        subprocess.run(["scancel", *jobs[start : start + ARGUMENTS]], check=False)
    return len(jobs)
