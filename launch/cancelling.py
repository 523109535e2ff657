"""Cancelling the jobs of sweeps, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.wording import plural
from launch import commands, submitted
from launch.commands import Unanswered, portions
from launch.losses import listed, numbers
from launch.scheduler import HIDDEN, in_queue, queue
from launch.sweep import Sweep


@dataclass(frozen=True)
class Cancelled:
    """What came of cancelling."""

    jobs: list[str]  # that are not in the queue any more, or on their way out
    left: list[str]  # those that are in it nevertheless
    why: str  # what scancel said of them
    shared: list[str]  # those that were left alone, since other sweeps wait for experiments in them
    elsewhere: int  # how many experiments of the sweeps go on in jobs of others

    def summary(self) -> str:
        """In a line, but for what is left."""
        lines = [f"{plural(len(self.jobs), 'job')} cancelled"]
        if self.elsewhere:
            verb = "goes" if self.elsewhere == 1 else "go"
            lines.append(f"{self.elsewhere} of its experiments {verb} on in jobs of another sweep")
        if self.shared:
            lines.append(f"{listed(self.shared)} left alone: another sweep waits for experiments in it")
        return "; ".join(lines)

    def refused(self) -> list[str]:
        """What to say of those that could not be cancelled."""
        return [f"{listed(self.left)} still in the queue ({self.why})"] if self.left else []


def cancel(sweeps: Sequence[Sweep], others: Sequence[Sweep]) -> Cancelled:
    """Cancel the jobs that sweeps have submitted, but for those in which others of the same runs have experiments.

    Unanswered if SLURM does not say what is in the queue: no job was cancelled.
    """
    there = queue([*sweeps, *others])
    theirs = {job for sweep in sweeps for job in submitted.own_jobs(sweep.folder).values() if job in there}
    awaited = {job for other in others for job in other.open_jobs().values()}
    elsewhere = {
        run_id for sweep in sweeps for run_id, job in sweep.open_jobs().items() if job in there.keys() - theirs
    }
    hidden = {job for job in theirs if there[job] == HIDDEN}
    chosen, shared = sorted(theirs - awaited - hidden, key=numbers), sorted(theirs & awaited, key=numbers)
    why = _scancel(chosen) or (HIDDEN.reason if hidden else "scancel did nothing")
    left = _still_there(chosen) + sorted(hidden - awaited, key=numbers)
    return Cancelled([job for job in chosen if job not in left], left, why, shared, len(elsewhere))


def _scancel(jobs: Sequence[str]) -> str:
    """What it said of what it could not do; nothing if it did all."""
    errors = [error for portion in portions(jobs) if (error := commands.run(["scancel", *portion])[1])]
    return errors[-1] if errors else ""


def _still_there(jobs: Sequence[str]) -> list[str]:
    """Those that have not begun to end; all of them, if SLURM does not answer now."""
    try:
        there = in_queue(jobs, {})
    except Unanswered:
        return list(jobs)
    return [job for job in jobs if job in there and there[job].state != "COMPLETING"]
