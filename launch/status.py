"""Where every experiment of a folder of runs is, read from the folders and the queue: nobody need be there to ask."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compress import result
from compress.checkpoint import FILE
from compress.claim import Claim
from compress.reporting import PROGRESS
from launch import scheduler
from launch.sweep import Sweep, all_sweeps

STATES = ("finished", "running", "waiting", "pending", "stopped", "failed", "missing")


@dataclass(frozen=True)
class Status:
    """One experiment.

    Attributes:
        state: `finished`; `running`; `waiting` for its teacher; `pending`: some worker or job will run it; `stopped`:
            nobody is at it, its checkpoint is there; `failed`; `missing`: nobody is at it and nothing is there.
        detail: of a running one how far it is, of a failed one the cause, of a pending one what it waits for.
        log: where to read more.
        job: the scheduler's.
        seconds_left: of a running one, if it is known.
    """

    run_id: str
    task: str
    model: str
    methods: str
    state: str
    detail: str = ""
    log: str = ""
    job: str | None = None
    seconds_left: float | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """What people read."""
        return f"{self.task} {self.model} {self.methods}" + ("" if self.seed is None else f" seed {self.seed}")

    def folder(self, runs: Path) -> Path:
        """Its run folder."""
        return runs / self.task / self.model / self.methods / self.run_id


def survey(runs: Path) -> list[Status]:
    """Every experiment that a sweep planned or that has a run folder."""
    sweeps = all_sweeps(runs)
    jobs = {run_id: job for sweep in sweeps for run_id, job in sweep.jobs().items()}
    waiting = {run_id: job for sweep in sweeps for run_id, job in sweep.open_jobs().items()}
    there = (scheduler.queue() or {}) if jobs else {}
    latest: dict[str, Sweep] = {run_id: sweep for sweep in sweeps for run_id in sweep.experiments}
    alive = {sweep.folder for sweep in sweeps if sweep.live_workers()}
    gone = {sweep.folder: scheduler.lost(sweep, there) for sweep in sweeps if sweep.jobs()}
    finished: dict[str, bool] = {}
    found = []
    for run_id, sweep in latest.items():
        planned, folder = sweep.experiments[run_id], sweep.run_folder(run_id)
        finished[run_id] = sweep.finished(run_id)
        if planned.added and not finished[run_id] and run_id not in sweep.to_run:
            continue  # a teacher that nobody needs any more
        if finished[run_id]:
            state: dict[str, Any] = {"state": "finished"}
        elif Claim(runs, run_id).taken() or _job(there, waiting, run_id) == "RUNNING":
            state = {"state": "running", **_progress(folder)}
        elif (job := waiting.get(run_id)) in there:
            state = _in_line(there[job].reason == "Dependency", there[job].why_pending(job))
        elif sweep.folder in alive and run_id in sweep.to_run and run_id not in sweep.outcomes():
            state = _in_line(planned.teacher is not None and not sweep.finished(planned.teacher), "a free device")
        else:
            state = _ended(sweep, run_id, folder, gone.get(sweep.folder, {}))
        what = {key: getattr(planned, key) for key in ("task", "model", "methods", "seed")}
        found.append(Status(run_id=run_id, **what, job=jobs.get(run_id), **state))
    return found + [_alone(folder, runs) for folder in sorted(runs.glob("*/*/*/*/")) if folder.name not in latest]


def _in_line(for_teacher: bool, otherwise: str) -> dict[str, Any]:
    """Of an experiment that will run: whether it waits for its teacher, or for what else."""
    if for_teacher:
        return {"state": "waiting", "detail": "its teacher"}
    return {"state": "pending", "detail": otherwise}


def _job(there: Mapping[str, scheduler.Job], jobs: Mapping[str, str], run_id: str) -> str | None:
    job = there.get(jobs.get(run_id, ""))
    return job.state if job else None


def _progress(folder: Path) -> dict[str, Any]:
    try:
        at = json.loads((folder / PROGRESS).read_text())
    except (FileNotFoundError, ValueError):
        return {"detail": "starting"}
    left = at["seconds_left"]
    if left is not None:
        left = max(0.0, left - (time.time() - at["time"]))
    detail = f"{at['unit']} {at['done']}/{at['total']}"
    return {"detail": detail if at["unit"] == "step" else f"{at['what']}: {detail}", "seconds_left": left}


def _ended(sweep: Sweep, run_id: str, folder: Path, gone: Mapping[str, Any]) -> dict[str, Any]:
    """Of an experiment that nobody is at and that is not finished: what is known."""
    outcome = sweep.outcomes().get(run_id) or gone.get(run_id)
    if outcome is not None and outcome.state == "failed":
        return {"state": "failed", "detail": outcome.cause, "log": outcome.log}
    return _left_behind(folder)


def _left_behind(folder: Path) -> dict[str, Any]:
    if (cause := result.failure(folder)) is not None:
        return {"state": "failed", "detail": cause, "log": str(folder / "log.txt")}
    stopped = (folder / "checkpoint" / FILE).is_file()
    return {"state": "stopped", "detail": "goes on from its checkpoint"} if stopped else {"state": "missing"}


def _alone(folder: Path, runs: Path) -> Status:
    """An experiment that was run without a sweep."""
    task, model, methods, run_id = folder.relative_to(runs).parts
    if result.read(folder, run_id) is not None:
        state: dict[str, Any] = {"state": "finished"}
    elif Claim(runs, run_id).taken():
        state = {"state": "running", **_progress(folder)}
    else:
        state = _left_behind(folder)
    return Status(run_id=run_id, task=task, model=model, methods=methods, **state)


# --- shown ------------------------------------------------------------------------------------------------------------


def as_document(runs: Path, found: Sequence[Status]) -> dict[str, Any]:
    """For programs."""
    return {"runs": str(runs), "counts": counts(found), "experiments": [asdict(status) for status in found]}


def counts(found: Sequence[Status]) -> dict[str, int]:
    """How many experiments are in each state."""
    counted = Counter(status.state for status in found)
    return {state: counted[state] for state in STATES}


def render(found: Sequence[Status], longest: int = 15) -> str:
    """A table by size and methods, what runs, and what failed.

    Args:
        longest: how many running ones are listed.
    """
    from launch.tables import failures, table

    totals = counts(found)
    lines = [f"{len(found)} experiments: " + ", ".join(f"{n} {state}" for state, n in totals.items() if n)]
    columns = sorted(
        dict.fromkeys(status.methods for status in found), key=lambda name: (name != "none", name.count("+"))
    )
    cells: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for status in found:
        cells[status.model][status.methods][status.state] += 1
    rows = [[model, *(_cell(row[column]) for column in columns)] for model, row in cells.items()]
    lines += ["", table(["finished / all", *columns], rows)]
    running = sorted((status for status in found if status.state == "running"), key=lambda s: s.seconds_left or 0)
    if running:
        shown = [(status.name, status.detail, _left(status.seconds_left), status.job or "") for status in running]
        lines += ["", table(("running", "at", "left", "job"), shown[:longest])]
        lines += [f"… and {len(shown) - longest} more"] if len(shown) > longest else []
    if waiting := [status for status in found if status.state == "pending" and status.job]:
        reasons = Counter(status.detail for status in waiting)
        lines += ["", "pending: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())]
    if failed := [status for status in found if status.state == "failed"]:
        lines += ["", failures([(status.name, status.detail, status.log) for status in failed])]
    return "\n".join(lines)


def _left(seconds: float | None) -> str:
    from launch.tables import duration

    return "" if seconds is None else duration(seconds)


def _cell(states: Counter[str]) -> str:
    if not states:
        return ""
    letters = {"running": "r", "waiting": "w", "pending": "p", "stopped": "s", "failed": "f", "missing": "m"}
    rest = " ".join(f"{states[state]}{letter}" for state, letter in letters.items() if states[state])
    return f"{states['finished']}/{states.total()}" + (f"  {rest}" if rest else "")
