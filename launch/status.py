"""Where every experiment of a folder of runs is, read from the folders and the queue: nobody need be there to ask."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compress.runs import result
from compress.runs.experiment_lock import ExperimentLock
from compress.runs.folder import PROGRESS
from compress.training.checkpoint import FILE
from launch import losses, scheduler, submitted
from launch.commands import Unanswered
from launch.latest import concerned
from launch.sweep import Outcome, Planned, Sweep, all_sweeps

STATES = ("finished", "running", "waiting", "pending", "stopped", "failed", "missing", "unknown")
GOING_ON = {"running", "waiting", "pending", "unknown"}  # states that change by themselves
ROOM = "room in SLURM's queue"
AGAIN = {"failed", "stopped", "missing"}


@dataclass(frozen=True)
class Status:
    """One experiment.

    Attributes:
        state: `finished`; `running`; `waiting` for its teacher; `pending`: some worker or job will run it; `stopped`:
            nobody is at it, its checkpoint is there; `failed`; `missing`: nobody is at it and nothing is there;
            `unknown`: it was submitted, and the scheduler does not say what became of it.
        detail: of a running one how far it is, of a failed one the cause, of a pending one what it waits for.
        log: a file where to read more; or nothing.
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


@dataclass(frozen=True)
class Survey:
    """Every experiment that a sweep planned or that has a run folder; why SLURM, if it was asked, does not answer."""

    experiments: list[Status]
    unanswered: str | None = None


def survey(runs: Path, sweeps: Sequence[Sweep] | None = None) -> Survey:
    """Where all experiments of a folder of runs are.

    Args:
        sweeps: all that are there, if somebody has just read them.
    """
    look = _Look(runs, all_sweeps(runs) if sweeps is None else sweeps)
    found = [
        Status(run_id=run_id, task=planned.task, model=planned.model, methods=planned.methods, seed=planned.seed,
               job=look.jobs.get(run_id), **look.state(run_id))
        for run_id, planned in look.planned()
    ]  # fmt: skip
    alone = [_alone(folder, runs) for folder in result.run_folders(runs) if folder.name not in look.latest]
    return Survey(found + alone, look.unanswered)


def to_run_again(runs: Path, sweeps: Sequence[Sweep]) -> set[str]:
    """The experiments that nobody is at and that are not finished.

    Raises:
        Unanswered: of some it is not known, since SLURM does not answer.
    """
    found = survey(runs, sweeps)
    unknown = sum(status.state == "unknown" for status in found.experiments)
    if unknown and found.unanswered:
        raise Unanswered(f"{found.unanswered}: its queue may have {unknown} experiments; nothing was submitted")
    return {status.run_id for status in found.experiments if status.state in AGAIN}


class _Look:
    """One look at all sweeps of a folder of runs, and at the queue.

    Attributes:
        latest: the sweep that speaks for each experiment.
        jobs: the last job of each.
        open: the same of those that have not ended.
        outcomes: how experiments ended in a job, by both.
        members: the experiments of each job that have not ended, in the order in which it runs them.
        slots: how many of them a job runs at once.
        there: the queue; None if SLURM does not answer.
    """

    def __init__(self, runs: Path, sweeps: Sequence[Sweep]) -> None:
        self.runs = runs
        self.latest = concerned(sweeps)
        before = _open_jobs(sweeps)  # what is submitted from here on is not in the queue that is looked at
        self.there, self.unanswered = _queue(sweeps)
        self.open = before | {run_id: job for run_id, job in _open_jobs(sweeps).items() if job in (self.there or {})}
        self.jobs = {run_id: job for sweep in sweeps for run_id, job in sweep.jobs().items()}
        self.unclear = {run_id for sweep in sweeps for array in submitted.unconfirmed(sweep.folder)
                        for element in array.elements for run_id in element}  # fmt: skip
        self.alive = {sweep.folder for sweep in sweeps if sweep.live_workers()}
        self.members: dict[str, list[str]] = defaultdict(list)
        self.slots: dict[str, int] = {}
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        for sweep in sweeps:
            for run_id, job in submitted.own(sweep.folder).items():
                self.slots[job] = int(sweep.launcher.get("per_device") or 1)
                if (outcome := sweep.outcomes().get(run_id)) is not None:
                    self.outcomes[run_id, job] = outcome
                else:
                    self.members[job].append(run_id)
        self._finished: dict[str, bool] = {}
        self._locked: dict[str, bool] = {}
        self._lost: dict[Path, Mapping[str, Outcome]] = {}

    def planned(self) -> Iterator[tuple[str, Planned]]:
        """All that was planned, but for teachers that nobody needs any more."""
        for run_id, sweep in self.latest.items():
            experiment = sweep.experiments[run_id]
            if not experiment.added or run_id in sweep.to_run or self.finished(run_id):
                yield run_id, experiment

    def finished(self, run_id: str) -> bool:
        if run_id not in self._finished:
            self._finished[run_id] = self.latest[run_id].finished(run_id)
        return self._finished[run_id]

    def locked(self, run_id: str) -> bool:
        if run_id not in self._locked:
            self._locked[run_id] = ExperimentLock(self.runs, run_id).taken()
        return self._locked[run_id]

    def state(self, run_id: str) -> dict[str, object]:
        """State and details of an experiment that a sweep planned."""
        sweep, job = self.latest[run_id], self.open.get(run_id)
        ended = run_id in sweep.outcomes() or (run_id, job) in self.outcomes
        waits = self._waits_for_teacher(run_id)
        if self.finished(run_id):
            return {"state": "finished"}
        if self.locked(run_id):
            return {"state": "running", **_progress(sweep.run_folder(run_id))}
        if self.there is None and not ended and (job is not None or run_id in self.unclear):
            return {"state": "unknown", "detail": "SLURM does not answer"}
        if job is not None and not ended and self.there and job in self.there:
            return self._in_job(run_id, job, self.there[job], waits=waits)
        if sweep.folder in self.alive and run_id in sweep.to_run and not ended:
            where = ROOM if sweep.launcher["name"] == "slurm" else "a free device"
            return _in_line("its teacher" if waits else where, waits=waits)
        return self._ended(run_id, sweep)

    def _waits_for_teacher(self, run_id: str) -> bool:
        sweep = self.latest[run_id]
        teacher = sweep.experiments[run_id].teacher
        return teacher is not None and not self.finished(teacher)

    def _in_job(self, run_id: str, name: str, job: scheduler.Job, *, waits: bool) -> dict[str, object]:
        """Of an experiment whose job is in the queue and that holds no lock that can be seen here."""
        if job.state == "RUNNING":
            if run_id in self._running(name):
                return {"state": "running", **_progress(self.latest[run_id].run_folder(run_id))}
            return _in_line(f"behind others in job {name}")
        if job == scheduler.HIDDEN:
            return {"state": "unknown", "detail": job.reason}
        if job.reason == "Dependency":
            return _in_line("its teacher" if waits else "jobs before it", waits=waits)
        return _in_line(job.why_pending(name))

    def _running(self, job: str) -> Sequence[str]:
        """What a job runs; where the locks of its node are not seen here, or it is about to start: the first ones."""
        members = [run_id for run_id in self.members[job] if not self.finished(run_id)]
        return [run_id for run_id in members if self.locked(run_id)] or members[: self.slots[job]]

    def _ended(self, run_id: str, sweep: Sweep) -> dict[str, object]:
        """Of an experiment that nobody is at and that is not finished: what is known."""
        outcome = sweep.outcomes().get(run_id) or self.outcomes.get((run_id, self.open.get(run_id, "")))
        if outcome is None and run_id in self.open:
            outcome = self._lost_of(sweep).get(run_id)
        if outcome is not None and outcome.state == "failed":
            return {"state": "failed", "detail": outcome.cause, "log": _existing(outcome.log)}
        return _left_behind(sweep.run_folder(run_id))

    def _lost_of(self, sweep: Sweep) -> Mapping[str, Outcome]:
        if sweep.folder not in self._lost:
            self._lost[sweep.folder] = {} if self.there is None else losses.lost(sweep, self.there)
        return self._lost[sweep.folder]


def _open_jobs(sweeps: Iterable[Sweep]) -> dict[str, str]:
    return {run_id: job for sweep in sweeps for run_id, job in sweep.open_jobs().items()}


def _queue(sweeps: Sequence[Sweep]) -> tuple[dict[str, scheduler.Job] | None, str | None]:
    try:
        return scheduler.queue(sweeps), None
    except Unanswered as error:
        return None, str(error)


def _in_line(what_for: str, *, waits: bool = False) -> dict[str, object]:
    """Of an experiment that will run: whether it waits for its teacher, and for what else."""
    return {"state": "waiting" if waits else "pending", "detail": what_for}


def _progress(folder: Path) -> dict[str, object]:
    try:
        at = json.loads((folder / PROGRESS).read_text())
        left = at["seconds_left"]
        if left is not None:
            left = max(0.0, left - (time.time() - at["time"]))
        detail = f"{at['unit']} {at['done']}/{at['total']}"
        return {"detail": detail if at["unit"] == "step" else f"{at['what']}: {detail}", "seconds_left": left}
    except (OSError, ValueError, KeyError, TypeError):  # not there yet, not to be read, or damaged
        return {"detail": "starting"}


def _existing(log: str | Path) -> str:
    return str(log) if str(log) and Path(log).is_file() else ""


def _left_behind(folder: Path) -> dict[str, object]:
    if (cause := result.failure(folder)) is not None:
        return {"state": "failed", "detail": cause, "log": _existing(folder / "log.txt")}
    stopped = (folder / "checkpoint" / FILE).is_file()
    return {"state": "stopped", "detail": "goes on from its checkpoint"} if stopped else {"state": "missing"}


def _alone(folder: Path, runs: Path) -> Status:
    """An experiment that was run without a sweep."""
    task, model, methods, run_id = folder.relative_to(runs).parts
    if result.read(folder, run_id) is not None:
        state: dict[str, object] = {"state": "finished"}
    elif ExperimentLock(runs, run_id).taken():
        state = {"state": "running", **_progress(folder)}
    else:
        state = _left_behind(folder)
    return Status(run_id=run_id, task=task, model=model, methods=methods, **state)


# --- shown ------------------------------------------------------------------------------------------------------------


def as_document(runs: Path, found: Survey) -> dict[str, object]:
    """For programs."""
    return {
        "runs": str(runs),
        "unanswered": found.unanswered,
        "counts": counts(found.experiments),
        "experiments": [asdict(status) for status in found.experiments],
    }


def counts(found: Sequence[Status]) -> dict[str, int]:
    """How many experiments are in each state."""
    counted = Counter(status.state for status in found)
    return {state: counted[state] for state in STATES}


def render(looked: Survey, longest: int = 15) -> str:
    """A table by size and methods, what runs, and what failed.

    Args:
        longest: how many running ones are listed.
    """
    from launch.tables import failures, table

    found, totals = looked.experiments, counts(looked.experiments)
    lines = [f"{looked.unanswered}: what hangs on it is told as unknown", ""] if looked.unanswered else []
    lines += [f"{len(found)} experiments: " + ", ".join(f"{n} {state}" for state, n in totals.items() if n)]
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
    for state in ("pending", "unknown"):
        told = [status.detail for status in found if status.state == state and (status.job or status.detail == ROOM)]
        reasons = Counter(told)
        if reasons and not (state == "unknown" and looked.unanswered):
            lines += ["", f"{state}: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())]
    if failed := [status for status in found if status.state == "failed"]:
        lines += ["", failures([(status.name, status.detail, status.log) for status in failed])]
    return "\n".join(lines)


def _left(seconds: float | None) -> str:
    from launch.tables import duration

    return "" if seconds is None else duration(seconds)


def _cell(states: Counter[str]) -> str:
    if not states:
        return ""
    rest = " ".join(f"{states[state]}{state[0]}" for state in STATES if states[state] and state != "finished")
    return f"{states['finished']}/{states.total()}" + (f"  {rest}" if rest else "")
