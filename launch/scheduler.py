"""What SLURM says of sweeps' jobs: which are in the queue, how those that are gone have ended; and cancelling them.

What became of an experiment is read from its sweep's folder and the queue, never from submitit's own results: a job
that is preempted without grace leaves an error there although SLURM runs it again, and a pending element of an array
that is cancelled leaves nothing.

SLURM is asked about jobs by id and by name, never by user: a colleague's sweep is as good as an own one. That it does
not answer is `Unanswered`, and never an empty queue.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from compress.errors import ConfigError, one_line
from launch import submitted
from launch.submitted import Array
from launch.sweep import SWEEPS, Outcome, Sweep, all_sweeps

PATIENCE_SECONDS = 20.0  # from a job's disappearance to its being called lost: file systems may show results late
AWAY_SECONDS = 10.0  # from a question that was not answered to the next one, while a sweep is watched
ANSWER_SECONDS = 60.0  # that a command of SLURM may take
PAUSES = (0.5, 2.0)  # before a question is asked again that was not answered
ARGUMENTS = 500  # jobs in one command line
SILENT = "nothing within"
NAMED = 5  # jobs that a line names
LINES = 60  # of the end of a job's log that are looked at
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


class Unanswered(ConfigError):  # noqa: N818 - nothing here is in error
    """SLURM does not answer: nothing is known of its queue."""


def require() -> None:
    """Refuse to go on where SLURM's commands are not to be found, or SLURM does not answer them.

    Raises:
        ConfigError: there is no sbatch, srun or squeue.
        Unanswered: squeue says nothing of the queue.
    """
    for command in ("sbatch", "srun", "squeue"):
        if shutil.which(command) is None:
            raise ConfigError(
                f"hydra/launcher=slurm: there is no {command} here; run this on a login node of a SLURM cluster, "
                "or choose hydra/launcher=local"
            )
    try:
        _squeue(["--jobs=1"], PAUSES)
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


# --- the queue --------------------------------------------------------------------------------------------------------


def queue(sweeps: Iterable[Sweep], pauses: Sequence[float] = PAUSES) -> dict[str, Job]:
    """The jobs that sweeps wait for and that have not ended, whoever submitted them, by id (`34_1`: of an array).

    Args:
        pauses: seconds before each further try, if SLURM does not answer.

    Raises:
        Unanswered: SLURM does not say.
    """
    asked = list(sweeps)
    for sweep in asked:
        find_again(sweep, pauses)
    return _in_queue({job for sweep in asked for job in sweep.open_jobs().values()}, _arrays(asked), pauses)


def _arrays(sweeps: Iterable[Sweep]) -> dict[str, Array]:
    """By id, the arrays of sweeps and of all whose jobs they have borrowed."""
    folders = {sweep.folder for sweep in sweeps}
    for sweep in sweeps:
        if submitted.borrowed(sweep.folder):
            folders |= set(sweep.folder.parent.iterdir())
    return {array.job: array for folder in folders for array in submitted.arrays(folder) if array.job}


def _in_queue(jobs: Iterable[str], arrays: Mapping[str, Array], pauses: Sequence[float] = PAUSES) -> dict[str, Job]:
    """Those of the jobs that are in the queue; one of another name than it should have is a stranger's.

    Args:
        arrays: by id, as far as they are known.
    """
    wanted, found = set(jobs), dict[str, Job]()
    for part in _parts(sorted({_array(job) for job in wanted})):
        for job_id, array, job in _squeue(["--jobs=" + ",".join(part)], pauses):
            if job_id in wanted and (array not in arrays or arrays[array].name == job.name):
                found[job_id] = job
    missing = {job: arrays[_array(job)].user for job in wanted - found.keys() if _array(job) in arrays}
    others = [job for job, user in missing.items() if user != os.getuid()]
    return found | dict.fromkeys(others, HIDDEN) if others and _hides_others() else found


def _hides_others() -> bool:
    """Whether SLURM shows a user's jobs to nobody else."""
    if os.getuid() == 0:
        return False
    shown = _answer(["scontrol", "show", "config"])
    return re.search(r"^PrivateData\s*=.*\bjobs\b", shown, re.MULTILINE) is not None


def _squeue(options: Sequence[str], pauses: Sequence[float]) -> Iterator[tuple[str, str, Job]]:
    """Id, id of the array, and job, of each that squeue lists."""
    command = ["squeue", "--noheader", "--array", "--format=%i|%F|%T|%r|%N|%j", *options]
    lines = _answer(command, pauses, ignore="Invalid job id").splitlines()
    rows = [line.split("|", 5) for line in lines if line.count("|") >= 5]
    return ((job_id.strip(), array.strip(), Job(*rest)) for job_id, array, *rest in rows)


def _answer(command: Sequence[str], pauses: Sequence[float] = (), ignore: str | None = None) -> str:
    """What a command of SLURM prints.

    Args:
        ignore: an error whose text has this in it is an answer too: nothing is known of what was asked about.

    Raises:
        Unanswered: it failed, also when it was tried again.
    """
    for pause in (*pauses, None):
        out, error = _run(command)
        if error is None or (ignore and ignore in error):
            return out
        if pause is None or SILENT in error:  # who has waited as long as that need not wait again
            break
        time.sleep(pause)
    raise Unanswered(f"SLURM does not answer ({error})")


def _run(command: Sequence[str]) -> tuple[str, str | None]:
    """What a command of SLURM prints, and how it failed in its own words: `squeue: Unable to contact …`."""
    name, seconds = command[0], ANSWER_SECONDS
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        return "", f"{name}: {SILENT} {seconds:g} s"
    except OSError as error:
        return "", f"{name}: {error.strerror or error}"
    told = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    told = one_line(told.removeprefix(f"{name}: ").removeprefix("error: "))
    return done.stdout, f"{name}: {told[:300]}" if done.returncode else None


def _array(job: str) -> str:
    return job.partition("_")[0]


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), ARGUMENTS):
        yield items[start : start + ARGUMENTS]


def find_again(sweep: Sweep, pauses: Sequence[float] = PAUSES) -> list[Array]:
    """Complete what was submitted by who was killed before the job's id was written down.

    Returns:
        The arrays that SLURM knows no job of: they were not submitted (or are being so right now).

    Raises:
        Unanswered: SLURM does not say what it has in its queue.
    """
    unknown = submitted.unconfirmed(sweep.folder)
    ids: dict[str, str] = {}
    for part in _parts([array.name for array in unknown]):
        ids |= {job.name: array for _, array, job in _squeue(["--name=" + ",".join(part)], pauses)}
        if since := [array.written for array in unknown if array.name in part and array.name not in ids]:
            ids = _ended_by_name(part, min(since)) | ids
    for array in unknown:
        if array.name in ids:
            with suppress(OSError):  # another user's folder: they will
                submitted.confirm(sweep.folder, array, ids[array.name])
    return [array for array in unknown if array.name not in ids]


def _ended_by_name(names: Sequence[str], since: float) -> dict[str, str]:
    """Ids of arrays that have ended, by name, as far as SLURM's accounting has them."""
    start = datetime.fromtimestamp(since - 3600).isoformat(timespec="seconds")
    with suppress(Unanswered):
        rows = _sacct(["JobID", "JobName"], ["--name=" + ",".join(names), f"--starttime={start}"])
        return {name: _array(job) for job, name in rows}
    return {}


def ended_as(jobs: Iterable[str]) -> dict[str, str]:
    """How jobs ended, as SLURM's accounting has it (`FAILED 1:0`); what it does not know is left out.

    Raises:
        Unanswered: there is no accounting, or it does not answer.
    """
    wanted, found = set(jobs), dict[str, str]()
    for part in _parts(sorted({_array(job) for job in wanted})):
        for jobs, state, code in _sacct(["JobID", "State", "ExitCode"], ["-j", ",".join(part)]):
            found |= dict.fromkeys(wanted & set(_expanded(jobs)), f"{state} {code}")
    return found


def _expanded(jobs: str) -> Iterator[str]:
    """The ids that `34_[0,2-4%1]` means: elements of an array that never started share a record."""
    array, _, elements = jobs.partition("_[")
    if not elements:
        yield jobs
        return
    for part in elements.rstrip("]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        yield from (f"{array}_{number}" for number in range(int(first), int(last or first) + 1))


def _sacct(fields: Sequence[str], options: Sequence[str]) -> list[list[str]]:
    command = ["sacct", "--allusers", "--noheader", "--parsable2", "--allocations", "--format=" + ",".join(fields)]
    lines = _answer([*command, *options]).splitlines()
    return [line.split("|") for line in lines if line.count("|") == len(fields) - 1]


# --- what became of experiments ---------------------------------------------------------------------------------------


def queued_elsewhere(sweep: Sweep) -> dict[str, str]:
    """The jobs, by run_id, that other sweeps of the same runs have in the queue.

    Raises:
        Unanswered: SLURM does not say.
    """
    others = [other for other in all_sweeps(sweep.runs) if other.folder != sweep.folder]
    there = queue(others)
    return {run_id: job for other in others for run_id, job in submitted.own(other.folder).items()
            if job in there and run_id not in other.outcomes()}  # fmt: skip


def lost(sweep: Sweep, there: Mapping[str, Job], patience: float = 0.0) -> dict[str, Outcome]:
    """Experiments whose job is gone and left no outcome, and what is known of the cause.

    Args:
        there: the queue.
        patience: seconds that the job must have left its log alone for.
    """
    outcomes = sweep.outcomes()
    gone = {run_id: job for run_id, job in sweep.open_jobs().items() if job not in there}
    owners = _told_by_owners(sweep, gone) if gone.keys() & submitted.borrowed(sweep.folder).keys() else {}
    ended = Ended.of(job for run_id, job in gone.items() if not sweep.finished(run_id) and run_id not in owners)
    found: dict[str, Outcome] = {}
    for run_id, job in gone.items():
        if sweep.finished(run_id):
            found[run_id] = Outcome(run_id, "finished", 0.0)
            continue
        if (told := owners.get(run_id)) is not None:
            found[run_id] = told
            continue
        log = log_of(sweep, job)
        if patience and log is not None and time.time() - log.stat().st_mtime < patience:
            continue
        teacher = sweep.experiments[run_id].teacher
        of_teacher = outcomes.get(teacher) or found.get(teacher) if teacher else None
        if of_teacher is not None and of_teacher.state == "failed":
            cause, where = f"its teacher {sweep.experiments[teacher or ''].name} failed", of_teacher.log
        else:
            cause, where = ended.cause(job, log), "" if log is None else str(log)
        found[run_id] = Outcome(run_id, "failed", 0.0, cause, where)
    return found


def _told_by_owners(sweep: Sweep, jobs: Mapping[str, str]) -> dict[str, Outcome]:
    """What became of experiments in jobs of other sweeps, as it is told there."""
    others = [other for other in all_sweeps(sweep.runs) if other.folder != sweep.folder]
    return {run_id: other.outcomes()[run_id] for other in others for run_id, job in submitted.own(other.folder).items()
            if jobs.get(run_id) == job and run_id in other.outcomes()}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """What SLURM's accounting says of jobs that are gone: how they ended, by id; or why it says nothing."""

    states: Mapping[str, str] = field(default_factory=dict)
    silent: str = ""

    @staticmethod
    def of(jobs: Iterable[str]) -> Ended:
        """Ask it."""
        try:
            return Ended(ended_as(jobs))
        except Unanswered as error:
            return Ended(silent=str(error).replace("SLURM", "SLURM's accounting", 1))

    def cause(self, job: str, log: Path | None) -> str:
        """Why an experiment of a job has not ended."""
        started = "" if log is not None else "; it wrote no log"
        if self.silent:
            known = f"how it ended is not known, {self.silent}{started}"
        else:
            known = self.states.get(job, f"SLURM's accounting has no record of it{started}")
        return f"its job {job} is gone: {known}{_last_words(log)}"


def log_of(sweep: Sweep, job: str) -> Path | None:
    """Where a job's own words are, in the folder of the sweep that submitted it; None if it has not said any."""
    name = f"jobs/{job}_0_log.out"
    if (own := sweep.folder / name).exists():
        return own
    return next((sweep.runs / SWEEPS).glob(f"*/{name}"), None)


def _last_words(log: Path | None) -> str:
    line = telling(log.read_text(errors="replace")[-100_000:]) if log is not None else ""
    return f" ({one_line(line)[:200]})" if line else ""


STARTED = "Starting with JobEnvironment("  # submitit's first words
_CONSEQUENCE = re.compile(r"(srun|slurmstepd): error: .*: tasks? [\d,-]+: (Exited|Killed|Terminated|Segmentation)")
_CAUSE = re.compile(
    r"(srun|slurmstepd|slurmd|sbatch): (error|fatal): |[\w.]*(Error|Exception|Exit|Interrupt|Stopped)\b(: |$)"
    r"|.*\b(error|fatal)\b ?: |.*: (command not found|No such file or directory|Permission denied|not found)",
)


def telling(log: str) -> str:
    """The line of a job's log that says most about why it ended: the last error but for `Exited with exit code 1`.

    Of a job that was requeued, only what was said since it started again counts.
    """
    lines = [line.strip() for line in log.rpartition(STARTED)[2].splitlines()[-LINES:] if line.strip()]
    causes = [line for line in lines if _CAUSE.match(line) and not _CONSEQUENCE.match(line)]
    return (causes or lines or [""])[-1]


class Watch:
    """Looks at the queue for `follow`: an experiment is lost if its job was gone at two looks and some time apart."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.missed: dict[str, float] = {}
        self.told: set[tuple[str, str]] = set()
        self.asks_again: float | None = None  # when, since SLURM does not answer

    def __call__(self) -> Mapping[str, Outcome]:
        there = self._look()
        if there is None:
            return {}
        self._tell_what_waits_in_vain(there)
        gone, now = lost(self.sweep, there), time.monotonic()
        self.missed = {run_id: self.missed.get(run_id, now) for run_id in gone}
        return {run_id: outcome for run_id, outcome in gone.items()
                if outcome.state == "finished" or now - self.missed[run_id] > PATIENCE_SECONDS}  # fmt: skip

    def _look(self) -> dict[str, Job] | None:
        """The queue; None if nothing is known of it."""
        if self.asks_again is not None and time.monotonic() < self.asks_again:
            return None
        try:
            there = queue([self.sweep], pauses=())
        except Unanswered as error:
            if self.asks_again is None:
                _say(f"{error}; its jobs go on, and this goes on waiting for them")
            self.asks_again = time.monotonic() + AWAY_SECONDS
            return None
        if self.asks_again is not None:
            _say("SLURM answers again")
        self.asks_again = None
        return there

    def _tell_what_waits_in_vain(self, there: Mapping[str, Job]) -> None:
        """Once of each job and reason."""
        vain = {name: job.reason for name, job in there.items() if job.held or job.remedy or job == HIDDEN}
        groups: dict[str, list[str]] = defaultdict(list)
        for name, reason in sorted(vain.items() - self.told, key=lambda item: _numbers(item[0])):
            groups[reason].append(name)
        for names in groups.values():
            job, all_named = there[names[0]], names if len(names) <= NAMED else sorted({_array(name) for name in names})
            verb = ("is " if len(names) == 1 else "are ") if job.remedy is None else ""
            _say(f"{listed(names)} {verb}{job.why_pending(','.join(all_named))}")
        self.told = set(vain.items())


def _numbers(job: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", job)]


def listed(jobs: Sequence[str]) -> str:
    """`job 34_0`; `jobs 34_0, 34_1`; of many the first ones, and how many more."""
    named = ", ".join(jobs[:NAMED]) + (f" and {len(jobs) - NAMED} more" if len(jobs) > NAMED else "")
    return f"job {named}" if len(jobs) == 1 else f"jobs {named}"


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


# --- cancelling -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cancelled:
    """What came of cancelling.

    Attributes:
        jobs: that are not in the queue any more, or on their way out.
        left: those that are in it nevertheless.
        why: what scancel said of them.
        shared: those that were left alone, since other sweeps wait for experiments in them.
        elsewhere: how many experiments of the sweeps go on in jobs of others.
    """

    jobs: list[str]
    left: list[str]
    why: str
    shared: list[str]
    elsewhere: int

    def told(self) -> str:
        """In a line, but for what is left."""
        lines = [f"{len(self.jobs)} jobs cancelled"]
        if self.elsewhere:
            lines.append(f"{self.elsewhere} of its experiments go on in jobs of another sweep")
        if self.shared:
            lines.append(f"{listed(self.shared)} left alone: another sweep waits for experiments in it")
        return "; ".join(lines)

    def refused(self) -> list[str]:
        """What to say of those that could not be cancelled."""
        return [f"{listed(self.left)} still in the queue ({self.why})"] if self.left else []


def cancel(sweeps: Sequence[Sweep]) -> Cancelled:
    """Cancel the jobs that sweeps have submitted, but for those in which other sweeps have experiments.

    Raises:
        Unanswered: SLURM does not say what is in the queue; no job was cancelled.
    """
    folders = {sweep.folder for sweep in sweeps}
    others = [other for other in all_sweeps(sweeps[0].runs) if other.folder not in folders] if sweeps else []
    there = queue([*sweeps, *others])
    own = {job for sweep in sweeps for job in submitted.own(sweep.folder).values() if job in there}
    awaited = {job for other in others for job in other.open_jobs().values()}
    elsewhere = {run_id for sweep in sweeps for run_id, job in sweep.open_jobs().items() if job in there.keys() - own}
    hidden = {job for job in own if there[job] == HIDDEN}
    chosen, shared = sorted(own - awaited - hidden, key=_numbers), sorted(own & awaited, key=_numbers)
    why = _scancel(chosen) or (HIDDEN.reason if hidden else "scancel did nothing")
    left = _still_there(chosen) + sorted(hidden - awaited, key=_numbers)
    return Cancelled([job for job in chosen if job not in left], left, why, shared, len(elsewhere))


def _scancel(jobs: Sequence[str]) -> str:
    """What it said of what it could not do; nothing if it did all."""
    said = [error for part in _parts(jobs) if (error := _run(["scancel", *part])[1])]
    return said[-1] if said else ""


def _still_there(jobs: Sequence[str]) -> list[str]:
    """Those that have not begun to end; all of them, if SLURM does not answer now."""
    try:
        there = _in_queue(jobs, {})
    except Unanswered:
        return list(jobs)
    return [job for job in jobs if job in there and there[job].state != "COMPLETING"]
