"""`python -m launch cancel`: stop what runs or waits, all of it or some experiments.

Jobs of which all experiments are meant are cancelled. Of others, and of workers on this machine, the experiments that
are meant are noted as ended: who is at one of them stops it within a second, with its checkpoint, and nobody starts it.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from compress.errors import ConfigError, tell
from compress.runs.folder import ExperimentLock
from compress.wording import are, plural
from launch import local, slurm, status
from launch.commands import Unanswered
from launch.experiments import CANCELLED, Outcome
from launch.selection import Selection, agreed, can_be_asked, told
from launch.status import GOING_ON
from launch.sweep import Sweep, all_sweeps


def cancel(runs: Path, selection: Selection, *, yes: bool) -> int:
    """Stop what is meant, after a question on a terminal; 1 if not all could be."""
    left_out: list[str] = []
    sweeps = all_sweeps(runs, left_out)
    if selection:
        return _some(runs, sweeps, selection, left_out, yes=yes)
    if not yes and not _agreed_to_all(runs, sweeps):
        return 1
    stopped, refused = local.cancel(sweeps)
    refused = left_out + refused
    done = [f"{plural(stopped, 'worker')} stopped"]
    try:
        cancelled, still_there = slurm.cancel(sweeps, others=[])
        done.append(cancelled)
        refused += still_there
    except Unanswered as error:
        refused.append(str(error))
    return _concluded(runs, done, refused)


def _agreed_to_all(runs: Path, sweeps: Sequence[Sweep]) -> bool:
    """Asked on a terminal only, which takes a look at everything."""
    if not can_be_asked():
        return True
    going_on = [one for one in status.survey(runs, sweeps).experiments if one.state in GOING_ON]
    return not going_on or agreed(f"cancel {told(going_on)}", yes=False)


def _some(runs: Path, sweeps: Sequence[Sweep], selection: Selection, left_out: list[str], *, yes: bool) -> int:
    surveyed = status.survey(runs, sweeps)
    if surveyed.unanswered and any(one.state == "unknown" for one in surveyed.experiments):
        raise Unanswered(f"{surveyed.unanswered}: nothing was cancelled")
    meant = [one for one in selection.of(runs, surveyed.experiments, sweeps) if one.state in GOING_ON]
    if not meant:
        print("nothing to cancel: none of the chosen experiments runs or waits")
        return 1 if left_out else 0
    chosen = {one.run_id for one in meant}
    if not agreed(f"cancel {told(meant)}{_dependants(sweeps, surveyed.experiments, chosen)}", yes=yes):
        return 1
    cancelled, refused = slurm.cancel(sweeps, others=[], only=chosen)
    noted = _note(sweeps, chosen)
    refused += _wait(runs, noted)
    return _concluded(
        runs, [cancelled, f"{plural(len(noted), 'experiment')} taken out of workers and other jobs"], left_out + refused
    )


def _dependants(sweeps: Sequence[Sweep], experiments: Sequence[status.Status], chosen: Collection[str]) -> str:
    """How many others end with the teachers, or the models to start from, that they need."""
    planned = {run_id: planned for sweep in sweeps for run_id, planned in sweep.experiments.items()}
    waiting = [planned[one.run_id] for one in experiments
               if one.state == "waiting" and one.run_id not in chosen and one.run_id in planned]  # fmt: skip
    needed = [{each.role_of(run_id) for run_id in each.needs if run_id in chosen} for each in waiting]
    students = sum("teacher" in roles for roles in needed)
    others = sum(roles == {"start"} for roles in needed)
    with_them = f"; {are(students, 'student')} stopped with them" if students else ""
    return with_them + (f"; {are(others, 'experiment')} stopped, too, that would start from them" if others else "")


def _note(sweeps: Sequence[Sweep], chosen: Collection[str]) -> list[str]:
    """Record the end of those that some worker or job would still run, or runs."""
    noted = []
    for sweep in sweeps:
        alive, jobs = bool(sweep.live_workers()), sweep.open_jobs()
        for run_id in sweep.to_run:
            if run_id not in chosen or run_id in sweep.outcomes() or not (alive or run_id in jobs):
                continue
            if not sweep.finished(run_id):
                sweep.record(Outcome(run_id, "failed", 0.0, CANCELLED))
                noted.append(run_id)
    return noted


def _wait(runs: Path, run_ids: Sequence[str]) -> list[str]:
    """Until nobody is at them any more; what is still at them after a while."""
    deadline = time.monotonic() + local.CANCEL_SECONDS
    while left := [run_id for run_id in run_ids if ExperimentLock(runs, run_id).taken()]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return [f"{run_id}: it still writes its checkpoint" for run_id in left]


def _concluded(runs: Path, done: Sequence[str], refused: Sequence[str]) -> int:
    print(f"{', '.join(done)}; to run them later: python -m launch retry {shlex.quote(str(runs))}")
    for line in refused:
        tell(ConfigError(line))
    return 1 if refused else 0
