"""Where every experiment of a folder of runs is, read from the folders and the queue: nobody need be there to ask."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from compress.checked import read
from compress.runs import result
from compress.runs.folder import PROGRESS, ExperimentLock, Progress
from compress.storage.files import signature
from compress.training.checkpoint import FILE
from compress.wording import plural
from launch import losses, scheduler, submitted
from launch.commands import Unanswered
from launch.experiments import Outcome, Planned, called
from launch.forecast import NOTHING_KNOWN, Forecast, forecast
from launch.sweep import PLAN, Sweep, all_sweeps, concerned

STATES = ("finished", "running", "waiting", "pending", "stopped", "failed", "missing", "unknown")
GOING_ON = {"running", "waiting", "pending", "unknown"}  # states that change by themselves
ROOM = "room in SLURM's queue"
AGAIN = {"failed", "stopped", "missing"}
ASK_SECONDS, SELDOM_SECONDS = 15.0, 120.0  # between questions to SLURM of who looks again and again
AGAIN_SECONDS = 3.0  # after which it is asked about what was submitted since


@dataclass(frozen=True)
class State:
    """Where an experiment is."""

    # `finished`; `running`; `waiting` for its teacher or start; `pending`: some worker or job will run it; `stopped`:
    # nobody is at it, its checkpoint is there; `failed`; `missing`: nobody is at it and nothing is there; `unknown`: it
    # was submitted, and the scheduler does not say what became of it
    state: str
    detail: str = ""  # of a running one how far it is, of a failed one the cause, of a pending one what it waits for
    log: str = ""  # a file where to read more; or nothing
    seconds_left: float | None = None  # of a running one, if it is known
    progress: Progress | None = None  # of a running one, as it last told


@dataclass(frozen=True)
class Status:
    """One experiment, and where it is (see `State`); `job` is the scheduler's."""

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
    progress: Progress | None = None
    apart: str = ""

    @property
    def name(self) -> str:
        return called(self.task, self.model, self.methods, self.apart, self.seed)

    def folder(self, runs: Path) -> Path:
        return runs / self.task / self.model / self.methods / self.run_id


@dataclass(frozen=True)
class Survey:
    """Every experiment that a sweep planned or that has a run folder; why SLURM, if it was asked, does not answer."""

    experiments: list[Status]
    unanswered: str | None = None
    forecast: Forecast = NOTHING_KNOWN


class Memory:
    """What who looks again and again need neither read nor ask again.

    SLURM is asked every `ASK_SECONDS`, more and more rarely while it answers the same, up to `SELDOM_SECONDS`; and
    soon if jobs were submitted meanwhile.
    """

    def __init__(self) -> None:
        self.sweeps: dict[Path, tuple[tuple[int, ...], Sweep]] = {}
        self.results: dict[tuple[Path, Path], tuple[int, ...]] = {}  # by sweep and run folder, of those that count
        self.queue: Queue | None = None
        self.patience = ASK_SECONDS

    def all_sweeps(self, runs: Path, left_out: list[str] | None) -> list[Sweep]:
        """As `sweep.all_sweeps`; a plan that was read before is not read again."""
        there = all_sweeps(runs, left_out, self._read_sweep)
        self.sweeps = {sweep.folder: self.sweeps[sweep.folder] for sweep in there}
        return there

    def _read_sweep(self, folder: Path) -> Sweep:
        now, folder = signature(folder / PLAN), folder.absolute()
        before, known = self.sweeps.get(folder, ((), None))
        if known is None or before != now:
            known = Sweep.read(folder)
            self.sweeps[folder] = now, known
        return known

    def just_planned(self, seconds: float) -> bool:
        """Whether some sweep was planned so short a time ago that its workers may not have begun."""
        return any(time.time() - written[1] / 1e9 < seconds for written, _ in self.sweeps.values())

    def finished(self, sweep: Path, folder: Path, look: Callable[[], bool]) -> bool:
        """Whether an experiment is finished; `look` says it where its result is not the one that was read before."""
        try:
            now = signature(folder / result.FILE)
        except OSError:
            return look()
        if self.results.get((sweep, folder)) != now and not look():
            return False
        self.results[sweep, folder] = now
        return True

    def ask(self, sweeps: Sequence[Sweep]) -> Queue:
        """SLURM's queue, as it was asked for not long ago."""
        if (last := self.queue) is not None:
            age, more = time.monotonic() - last.asked, _open_jobs(sweeps).items() - last.jobs.items()
            if age < (AGAIN_SECONDS if more else self.patience):
                return last
        now = Queue(sweeps)
        same = last is not None and (now.there, now.unanswered) == (last.there, last.unanswered)
        self.patience = min(1.5 * self.patience, SELDOM_SECONDS) if same else ASK_SECONDS
        self.queue = now
        return now


class Queue:
    """SLURM's queue, if there are jobs to ask for, and which jobs those were."""

    def __init__(self, sweeps: Sequence[Sweep]) -> None:
        self.jobs = _open_jobs(sweeps)  # what is submitted from here on is not in the queue that is looked at
        self.there: dict[str, scheduler.Job] | None = None  # None: SLURM does not answer
        self.unanswered: str | None = None
        self.asked = time.monotonic()
        try:
            self.there = scheduler.queue(sweeps)
        except Unanswered as error:
            self.unanswered = str(error)
        self.lost: dict[Path, Mapping[str, Outcome]] = {}  # by sweep, what became of jobs that are gone


def survey(
    runs: Path, sweeps: Sequence[Sweep] | None = None, memory: Memory | None = None, left_out: list[str] | None = None
) -> Survey:
    """Where all experiments of a folder of runs are.

    Args:
        sweeps: all of it, if they have just been read.
        memory: of who looks again and again.
        left_out: gets why sweeps could not be read; without it that is printed.
    """
    if sweeps is None:
        sweeps = all_sweeps(runs, left_out) if memory is None else memory.all_sweeps(runs, left_out)
    look = _Look(runs, sweeps, memory or Memory())
    planned = [Status(run_id, planned.task, planned.model, planned.methods, **vars(look.state(run_id)),
                      job=look.jobs.get(run_id), seed=planned.seed, apart=look.apart.get(run_id, ""))
               for run_id, planned in look.planned()]  # fmt: skip
    alone = [_alone(folder, runs, look.memory)
             for folder in result.run_folders(runs) if folder.name not in look.latest]  # fmt: skip
    return Survey(planned + alone, look.unanswered, _forecast(planned, look.latest))


def _forecast(planned: Sequence[Status], latest: Mapping[str, Sweep]) -> Forecast:
    """Of all that sweeps have not brought to an end; nothing, if it is not known where some of that is."""
    if any(status.state == "unknown" for status in planned):
        return Forecast(None, sum(status.state == "running" for status in planned))
    going = {status.run_id: latest[status.run_id] for status in planned if status.state in GOING_ON}
    return forecast(going, {status.run_id: status.progress for status in planned if status.state == "running"})


def to_run_again(runs: Path, sweeps: Sequence[Sweep]) -> list[Status]:
    """The experiments that nobody is at and that are not finished; Unanswered if that is not known of some."""
    surveyed = survey(runs, sweeps)
    unknown = sum(status.state == "unknown" for status in surveyed.experiments)
    if unknown and surveyed.unanswered:
        many = plural(unknown, "experiment")
        raise Unanswered(f"{surveyed.unanswered}: its queue may have {many}; nothing was submitted")
    return [status for status in surveyed.experiments if status.state in AGAIN]


class _Look:
    """One look at all sweeps of a folder of runs, and at the queue."""

    def __init__(self, runs: Path, sweeps: Sequence[Sweep], memory: Memory) -> None:
        self.memory = memory
        self.latest = concerned(sweeps)  # the sweep that speaks for each experiment
        self.apart = {run_id: planned.apart for sweep in sweeps  # a retry of one alone knows no others
                      for run_id, planned in sweep.experiments.items() if planned.apart}  # fmt: skip
        self.finished = cache(self._finished)
        self.locked = cache(lambda run_id: ExperimentLock(runs, run_id).taken())
        before = memory.queue
        self.queue = memory.ask(sweeps)
        self.there, self.unanswered = self.queue.there, self.queue.unanswered
        # the last job of each experiment that has not ended, then of each
        now = _open_jobs(sweeps)
        self.open = self.queue.jobs | {run_id: job for run_id, job in now.items() if job in (self.there or {})}
        self.just_submitted = now.items() - self.open.items() if self.queue is before else set()
        self.jobs = {run_id: job for sweep in sweeps for run_id, job in sweep.jobs().items()}
        self.unclear = {run_id for sweep in sweeps for array in submitted.unconfirmed(sweep.folder)
                        for element in array.elements for run_id in element}  # fmt: skip
        self.alive = {sweep.folder for sweep in sweeps if sweep.live_workers()}
        self.members: dict[str, list[str]] = defaultdict(list)  # what has not ended of each job, in its order
        self.slots: dict[str, int] = {}  # how many of them a job runs at once
        self.outcomes: dict[tuple[str, str], Outcome] = {}  # how experiments ended in a job, by both
        for sweep in sweeps:
            for run_id, job in submitted.own_jobs(sweep.folder).items():
                self.slots[job] = int(str(sweep.launcher.get("per_device") or 1))
                if (outcome := sweep.outcomes().get(run_id)) is not None:
                    self.outcomes[run_id, job] = outcome
                else:
                    self.members[job].append(run_id)

    def _finished(self, run_id: str) -> bool:
        sweep = self.latest[run_id]
        return self.memory.finished(sweep.folder, sweep.run_folder(run_id), lambda: sweep.finished(run_id))

    def lost(self, sweep: Sweep) -> Mapping[str, Outcome]:
        """What became of experiments whose jobs are gone; asked once for each look at the queue."""
        if self.there is None:
            return {}
        if sweep.folder not in self.queue.lost:
            self.queue.lost[sweep.folder] = losses.lost(sweep, self.there)
        return self.queue.lost[sweep.folder]

    def planned(self) -> Iterator[tuple[str, Planned]]:
        """All that was planned, but for what nobody needs any more."""
        for run_id, sweep in self.latest.items():
            experiment = sweep.experiments[run_id]
            if not experiment.added or run_id in sweep.to_run or self.finished(run_id):
                yield run_id, experiment

    def state(self, run_id: str) -> State:
        """State and details of an experiment that a sweep planned."""
        sweep, job = self.latest[run_id], self.open.get(run_id)
        ended = run_id in sweep.outcomes() or (run_id, job) in self.outcomes
        planned = sweep.experiments[run_id]
        waits = next((planned.role_of(needed) for needed in planned.needs if not self.finished(needed)), None)
        if self.finished(run_id):
            return State("finished")
        if self.locked(run_id):
            return _running(sweep.run_folder(run_id))
        if not ended and (run_id, self.jobs.get(run_id)) in self.just_submitted:
            return _in_line("just submitted", waits=waits)
        if self.there is None and not ended and (job is not None or run_id in self.unclear):
            return State("unknown", "SLURM does not answer")
        if job is not None and not ended and self.there and job in self.there:
            return self._in_job(run_id, job, self.there[job], waits)
        if sweep.folder in self.alive and run_id in sweep.to_run and not ended:
            where = ROOM if sweep.launcher["name"] == "slurm" else "a free device"
            return _in_line(where, waits)
        return self._ended(run_id, sweep)

    def _in_job(self, run_id: str, name: str, job: scheduler.Job, waits: str | None) -> State:
        """Of an experiment whose job is in the queue and that holds no lock that can be seen here."""
        if job.state == "RUNNING":
            if run_id in self._running(name):
                return _running(self.latest[run_id].run_folder(run_id))
            return _in_line(f"behind others in job {name}")
        if job == scheduler.HIDDEN:
            return State("unknown", job.reason)
        if job.reason == "Dependency":
            return _in_line("jobs before it", waits)
        return _in_line(job.why_pending(name))

    def _running(self, job: str) -> Sequence[str]:
        """What a job runs; where the locks of its node are not seen here, or it is about to start: the first ones."""
        members = [run_id for run_id in self.members[job] if not self.finished(run_id)]
        return [run_id for run_id in members if self.locked(run_id)] or members[: self.slots[job]]

    def _ended(self, run_id: str, sweep: Sweep) -> State:
        """Of an experiment that nobody is at and that is not finished: what is known."""
        outcome = sweep.outcomes().get(run_id) or self.outcomes.get((run_id, self.open.get(run_id, "")))
        if outcome is None and run_id in self.open:
            outcome = self.lost(sweep).get(run_id)
        if outcome is not None and outcome.state == "failed":
            return State("failed", outcome.cause, _existing(outcome.log))
        return _left_behind(sweep.run_folder(run_id))


def _open_jobs(sweeps: Iterable[Sweep]) -> dict[str, str]:
    return {run_id: job for sweep in sweeps for run_id, job in sweep.open_jobs().items()}


def _in_line(what_for: str, waits: str | None = None) -> State:
    """Of an experiment that will run: whether it waits for its `teacher` or `start`, and for what else."""
    return State("waiting", f"its {waits}") if waits else State("pending", what_for)


def _running(folder: Path) -> State:
    try:
        at = read(Progress, folder / PROGRESS)
    except (OSError, ValueError):  # not there yet, not to be read, or damaged
        return State("running", "starting")
    detail = f"{at.unit} {at.done}/{at.total}"
    detail = detail if at.unit == "step" else f"{at.what}: {detail}"
    return State("running", detail, seconds_left=at.left(), progress=at)


def _existing(log: str | Path) -> str:
    return str(log) if str(log) and Path(log).is_file() else ""


def _left_behind(folder: Path) -> State:
    if (cause := result.failure(folder)) is not None:
        return State("failed", cause, _existing(folder / "log.txt"))
    stopped = (folder / "checkpoint" / FILE).is_file()
    return State("stopped", "goes on from its checkpoint") if stopped else State("missing")


def _alone(folder: Path, runs: Path, memory: Memory) -> Status:
    """An experiment that was run without a sweep."""
    task, model, methods, run_id = folder.relative_to(runs).parts
    if memory.finished(runs, folder, lambda: result.read(folder, run_id) is not None):
        state = State("finished")
    elif ExperimentLock(runs, run_id).taken():
        state = _running(folder)
    else:
        state = _left_behind(folder)
    return Status(run_id, task, model, methods, **vars(state))
