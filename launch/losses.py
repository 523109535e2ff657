"""Experiments whose jobs are gone, and what is known of the cause; watching the queue for them.

What became of an experiment is read from its sweep's folder and the queue, never from submitit's own results: a job
that is preempted without grace leaves an error there although SLURM runs it again, and a pending element of an array
that is cancelled leaves nothing.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from compress.errors import one_line
from launch import submitted
from launch.commands import Unanswered, pause
from launch.experiments import Outcome
from launch.scheduler import HIDDEN, Job, array_of, ended_as, queue
from launch.sweep import SWEEPS, Sweep

PATIENCE_SECONDS = 20.0  # from a job's disappearance to its being called lost: file systems may show results late
AWAY_SECONDS = 10.0  # from a question that was not answered to the next one, while a sweep is watched
NAMED = 5  # jobs that a line names
LINES = 60  # of the end of a job's log that are looked at


def lost(sweep: Sweep, there: Mapping[str, Job]) -> dict[str, Outcome]:
    """Experiments whose job is gone from the queue and left no outcome, and what is known of the cause."""
    outcomes = sweep.outcomes()
    gone = {run_id: job for run_id, job in sweep.open_jobs().items() if job not in there}
    owners = _outcomes_elsewhere(sweep, gone) if gone.keys() & submitted.borrowed(sweep.folder).keys() else {}
    lost_jobs = [job for run_id, job in gone.items() if not sweep.finished(run_id) and run_id not in owners]
    states, unknown = _accounted(lost_jobs)
    ends: dict[str, Outcome] = {}
    for run_id, job in gone.items():
        before = (outcomes.get(needed) or ends.get(needed) for needed in sweep.experiments[run_id].needs)
        failed = next((outcome for outcome in before if outcome is not None and outcome.state == "failed"), None)
        if sweep.finished(run_id):
            ends[run_id] = Outcome(run_id, "finished", 0.0)
        elif run_id in owners:
            ends[run_id] = owners[run_id]
        elif failed is not None:
            ends[run_id] = Outcome(run_id, "failed", 0.0, sweep.failure_before(run_id, failed.run_id), failed.log)
        else:
            log = log_of(sweep, job)
            end = states.get(job) or unknown + ("; it wrote no log" if log is None else "")
            cause = f"its job {job} is gone: {end}{_last_error(log)}"
            ends[run_id] = Outcome(run_id, "failed", 0.0, cause, str(log or ""))
    return ends


def _outcomes_elsewhere(sweep: Sweep, jobs: Mapping[str, str]) -> dict[str, Outcome]:
    """What became of experiments in jobs of other sweeps, as it is recorded there."""
    outcomes: dict[str, Outcome] = {}
    for other in sweep.others():
        borrowed = {run_id for run_id, job in submitted.own_jobs(other.folder).items() if jobs.get(run_id) == job}
        outcomes |= {run_id: outcome for run_id, outcome in other.outcomes().items() if run_id in borrowed}
    return outcomes


def _accounted(jobs: Iterable[str]) -> tuple[dict[str, str], str]:
    """How jobs ended, by id, as SLURM's accounting says; and what is to be said of those that it does not know."""
    try:
        return ended_as(jobs), "SLURM's accounting has no record of it"
    except Unanswered as error:
        silent = str(error).replace("SLURM", "SLURM's accounting", 1)
        return {}, f"how it ended is not known, {silent}"


def log_of(sweep: Sweep, job: str) -> Path | None:
    """A job's log, in the folder of the sweep that submitted it; None if it has not written any."""
    name = f"jobs/{job}_0_log.out"
    if (log := sweep.folder / name).exists():
        return log
    return next((sweep.runs / SWEEPS).glob(f"*/{name}"), None)


def _last_error(log: Path | None) -> str:
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
        self.started = time.monotonic()
        self.asks_again = 0.0  # when
        self.away = False  # whether SLURM did not answer

    def __call__(self) -> Mapping[str, Outcome]:
        there = self._look()
        if there is None:
            return {}
        self._tell_what_waits_in_vain(there)
        gone, now = lost(self.sweep, there), time.monotonic()
        if gone.keys() - self.missed.keys():
            self.asks_again = min(self.asks_again, now + PATIENCE_SECONDS + 1.0)
        self.missed = {run_id: self.missed.get(run_id, now) for run_id in gone}
        return {run_id: outcome for run_id, outcome in gone.items()
                if outcome.state == "finished" or now - self.missed[run_id] > PATIENCE_SECONDS}  # fmt: skip

    def _look(self) -> dict[str, Job] | None:
        """The queue; None if nothing is known of it, or it is too early to ask again."""
        if (now := time.monotonic()) < self.asks_again:
            return None
        until_next = pause(now - self.started)
        try:
            there = queue([self.sweep], pauses=())
        except Unanswered as error:
            if not self.away:
                _say(f"{error}; its jobs go on, and this goes on waiting for them")
            self.away, self.asks_again = True, now + max(AWAY_SECONDS, until_next)
            return None
        if self.away:
            _say("SLURM answers again")
        self.away, self.asks_again = False, now + until_next
        return there

    def _tell_what_waits_in_vain(self, there: Mapping[str, Job]) -> None:
        """Once of each job and reason."""
        vain = {name: job.reason for name, job in there.items() if job.held or job.remedy or job == HIDDEN}
        groups: dict[str, list[str]] = defaultdict(list)
        for name, reason in sorted(vain.items() - self.told, key=lambda item: numbers(item[0])):
            groups[reason].append(name)
        for names in groups.values():
            job = there[names[0]]
            all_named = names if len(names) <= NAMED else sorted({array_of(name) for name in names})
            verb = ("is " if len(names) == 1 else "are ") if job.remedy is None else ""
            _say(f"{listed(names)} {verb}{job.why_pending(','.join(all_named))}")
        self.told = set(vain.items())


def numbers(job: str) -> list[int]:
    """What ids of jobs are sorted by."""
    return [int(number) for number in re.findall(r"\d+", job)]


def listed(jobs: Sequence[str]) -> str:
    """`job 34_0`; `jobs 34_0, 34_1`; of many the first ones, and how many more."""
    named = ", ".join(jobs[:NAMED]) + (f" and {len(jobs) - NAMED} more" if len(jobs) > NAMED else "")
    return f"job {named}" if len(jobs) == 1 else f"jobs {named}"


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()
