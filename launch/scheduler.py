"""What SLURM says of sweeps' jobs: which are in the queue, how those that are gone have ended.

SLURM is asked about jobs by id and by name, never by user: a colleague's sweep counts too. That it does
not answer is `Unanswered`, and never an empty queue.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from compress.errors import ConfigError
from launch import submitted
from launch.commands import PAUSES, Unanswered, answer, portions, setting
from launch.submitted import Array
from launch.sweep import Sweep

LESS_TIME = "cancel, and retry with a smaller hydra.launcher.timeout_min"
LESS = "cancel, and retry with smaller resources.* or another hydra.launcher.partition, qos or constraint"
ACCOUNT = "cancel, and retry with another hydra.launcher.account or hydra.launcher.qos"

# Reasons for which a job is pending that waiting does not mend, and what does
# (https://slurm.schedmd.com/job_reason_codes.html)
NEVER: Mapping[str, str] = {
    r"PartitionTimeLimit|QOSTimeLimit|\w*MaxWallDurationPerJob\w*": LESS_TIME,
    r"PartitionConfig|PartitionNodeLimit|BadConstraints|\w*Max\w+Per(Job|Node)\w*|MaxMemPerLimit": LESS,
    r"AccountNotAllowed|QOSNotAllowed|InvalidAccount|InvalidQOS|InvalidWCKey": ACCOUNT,
    r"QOSMin\w*": "cancel, and retry with another hydra.launcher.qos: this one is for larger jobs",
    r"ReservationDeleted": "cancel, and retry without the reservation of hydra.launcher.additional: it is gone",
    r"DependencyNeverSatisfied": "cancel, and retry: the job that it waits for failed",
}


def require() -> None:
    """Refuse, by ConfigError, where SLURM's commands are not to be found, or SLURM does not answer them."""
    for command in ("sbatch", "srun", "squeue"):
        if shutil.which(command) is None:
            raise ConfigError(
                f"hydra/launcher=slurm: there is no {command} here; run this on a login node of a SLURM cluster, "
                "or choose hydra/launcher=local"
            )
    try:
        squeue(["--jobs=1"], PAUSES)
    except Unanswered as error:
        raise Unanswered(f"{error}: nothing was submitted") from error


@dataclass(frozen=True)
class Job:
    """A job that is in the queue: PENDING, RUNNING, COMPLETING, …; why it waits, or where it runs; its name."""

    state: str
    reason: str
    node: str
    name: str = ""

    @property
    def held(self) -> bool:
        """It waits for a person: someone holds it, or it could not be started (`launch_failed_requeued_held`)."""
        return self.state == "PENDING" and re.search("held|^jobhold", self.reason.lower()) is not None

    @property
    def remedy(self) -> str | None:
        """Of a job that no waiting will start: what would help."""
        if self.state != "PENDING":
            return None
        return next((what for reasons, what in NEVER.items() if re.fullmatch(reasons, self.reason)), None)

    def why_pending(self, name: str) -> str:
        """What it waits for; of a job of that name which waits in vain also what to do about it."""
        if self.held:
            return f"held ({self.reason}); let it go: scontrol release {name}"
        if self.remedy is not None:
            return f"will not start ({self.reason}); {self.remedy}"
        return self.reason if self.state in ("PENDING", HIDDEN.state) else self.state.lower()


HIDDEN = Job("HIDDEN", "not shown: SLURM hides the jobs of other users (PrivateData); their owner sees more", "")


def queue(sweeps: Iterable[Sweep], pauses: Sequence[float] = PAUSES) -> dict[str, Job]:
    """The jobs, by id, that sweeps wait for, whoever submitted them; Unanswered if SLURM is silent after `pauses`."""
    every = list(sweeps)
    for sweep in every:
        confirm_submitted(sweep, pauses)
    return in_queue({job for sweep in every for job in sweep.open_jobs().values()}, _arrays(every), pauses)


def _arrays(sweeps: Iterable[Sweep]) -> dict[str, Array]:
    """By id, the arrays of sweeps and of all whose jobs they have borrowed."""
    folders = {sweep.folder for sweep in sweeps}
    for sweep in sweeps:
        if submitted.borrowed(sweep.folder):
            folders |= set(sweep.folder.parent.iterdir())
    return {array.job: array for folder in folders for array in submitted.arrays(folder) if array.job}


def in_queue(jobs: Iterable[str], arrays: Mapping[str, Array], pauses: Sequence[float] = PAUSES) -> dict[str, Job]:
    """Those jobs that are in the queue; one that has another name than in `arrays`, if it is there, is a stranger's."""
    wanted, queued = set(jobs), dict[str, Job]()
    for portion in portions(sorted({array_of(job) for job in wanted})):
        for job_id, array, job in squeue(["--jobs=" + ",".join(portion)], pauses):
            if job_id in wanted and (array not in arrays or arrays[array].is_named(job.name)):
                queued[job_id] = job
    missing = {job: arrays[array_of(job)].user for job in wanted - queued.keys() if array_of(job) in arrays}
    others = [job for job, user in missing.items() if user != os.getuid()]
    return queued | dict.fromkeys(others, HIDDEN) if others and _hides_others() else queued


def _hides_others() -> bool:
    """Whether SLURM shows a user's jobs to nobody else."""
    return os.getuid() != 0 and re.search(r"\bjobs\b", setting("PrivateData")) is not None


def squeue(options: Sequence[str], pauses: Sequence[float] = ()) -> Iterator[tuple[str, str, Job]]:
    """Id, id of the array, and job, of each that squeue lists."""
    command = ["squeue", "--noheader", "--array", "--format=%i|%F|%T|%r|%N|%j", *options]
    lines = answer(command, pauses, ignore="Invalid job id").splitlines()
    rows = [line.split("|", 5) for line in lines if line.count("|") >= 5]
    return ((job_id.strip(), array.strip(), Job(*rest)) for job_id, array, *rest in rows)


def array_of(job: str) -> str:
    """The id of the array that a job is an element of."""
    return job.partition("_")[0]


def confirm_submitted(sweep: Sweep, pauses: Sequence[float] = PAUSES) -> list[Array]:
    """Complete what was submitted by who was killed before the job's id was written down.

    Returns the arrays that SLURM knows no job of (yet); Unanswered if it does not say what it has in its queue.
    """
    unknown = submitted.unconfirmed(sweep.folder)
    ids: dict[str, str] = {}
    for portion in portions([array.name for array in unknown]):
        ids |= {job.name: array for _, array, job in squeue(["--name=" + ",".join(portion)], pauses)}
        if since := [array.written for array in unknown if array.name in portion and array.name not in ids]:
            ids = _ended_by_name(portion, min(since)) | ids
    for array in unknown:
        if array.name in ids:
            with suppress(OSError):  # another user's folder: they will
                submitted.confirm(sweep.folder, array, ids[array.name])
    confirmed = {array.number for array in submitted.arrays(sweep.folder) if array.job is not None}  # by the job itself
    return [array for array in unknown if array.name not in ids and array.number not in confirmed]


def _ended_by_name(names: Sequence[str], since: float) -> dict[str, str]:
    """Ids of arrays that have ended, by name, as far as SLURM's accounting has them."""
    start = datetime.fromtimestamp(since - 3600).isoformat(timespec="seconds")
    with suppress(Unanswered):
        rows = _sacct(["JobID", "JobName"], ["--name=" + ",".join(names), f"--starttime={start}"])
        return {name: array_of(job) for job, name in rows}
    return {}


def ended_as(jobs: Iterable[str]) -> dict[str, str]:
    """How jobs ended, `FAILED 1:0`, as far as the accounting knows; Unanswered if there is none, or it is silent."""
    wanted, states = set(jobs), dict[str, str]()
    for portion in portions(sorted({array_of(job) for job in wanted})):
        for jobs, state, code in _sacct(["JobID", "State", "ExitCode"], ["-j", ",".join(portion)]):
            states |= dict.fromkeys(wanted & set(_expanded(jobs)), f"{state} {code}")
    return states


def _expanded(jobs: str) -> Iterator[str]:
    """The ids that `34_[0,2-4%1]` means: elements of an array that never started share a record."""
    array, _, elements = jobs.partition("_[")
    if not elements:
        yield jobs
        return
    for span in elements.rstrip("]").partition("%")[0].split(","):
        first, _, last = span.partition("-")
        yield from (f"{array}_{number}" for number in range(int(first), int(last or first) + 1))


def _sacct(fields: Sequence[str], options: Sequence[str]) -> list[list[str]]:
    command = ["sacct", "--allusers", "--noheader", "--parsable2", "--allocations", "--format=" + ",".join(fields)]
    lines = answer([*command, *options]).splitlines()
    return [line.split("|") for line in lines if line.count("|") == len(fields) - 1]


def queued_elsewhere(sweep: Sweep) -> dict[str, str]:
    """The jobs, by run_id, that other sweeps of the same runs have in the queue; Unanswered if SLURM does not say."""
    others = sweep.others()
    there = queue(others)
    return {run_id: job for other in others for run_id, job in submitted.own_jobs(other.folder).items()
            if job in there and run_id not in other.outcomes()}  # fmt: skip
