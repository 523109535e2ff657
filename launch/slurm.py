"""Run a sweep on a SLURM cluster: submit it, wait for it, cancel it, say how the cluster would be used."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from tqdm import tqdm

from compress.errors import ConfigError, tell
from compress.wording import are, plural
from launch import commands, sbatch, submitted
from launch.batches import Batch, SlurmSettings, batches
from launch.commands import Unanswered, portions
from launch.experiments import CANCELLED, Outcome, in_common
from launch.losses import Watch, listed, numbers
from launch.plan import Plan, elapsed
from launch.progress import conclude, duration, follow
from launch.scheduler import HIDDEN, in_queue, queue
from launch.submission import Submission, kept_up
from launch.sweep import SWEEPS, Sweep

POLL_SECONDS = 3.0


def start(sweep: Sweep, settings: SlurmSettings) -> Submission:
    """Submit of a planned sweep what SLURM takes now, and tell what that is; ConfigError if it took nothing of it."""
    submission = Submission(sweep, settings)
    if sweep.to_run:
        submission.go_on()
    _refuse_if_nothing(submission)
    print(_summary(submission), flush=True)
    if submission.left and settings.wait:
        left = are(len(submission.unsubmitted), "experiment")
        print(f"SLURM takes no more jobs now ({submission.waits_for}); {left} submitted as jobs end", flush=True)
    return submission


def _refuse_if_nothing(submission: Submission) -> None:
    if submission.sweep.jobs() or not submission.sweep.to_run or submitted.unconfirmed(submission.sweep.folder):
        return
    if submission.left and not submission.settings.wait:
        raise ConfigError(f"SLURM takes no job now ({submission.waits_for}); nothing was submitted; launch again when "
                          "others have ended, or with hydra.launcher.wait=true")  # fmt: skip
    if not submission.left:
        raise ConfigError(f"{next(iter(submission.refused.values())).cause}; nothing was submitted")


def _summary(submission: Submission) -> str:
    """What was submitted, and what not and why."""
    missing = len(submission.unsubmitted) + len(submission.refused) + len(submission.elsewhere)
    experiments = plural(len(submission.sweep.to_run) - missing, "experiment")
    jobs = sum(len(array.job_ids()) for array in submitted.arrays(submission.sweep.folder))
    lines = [f"{experiments} submitted in {plural(jobs, 'job')}"]
    if submission.elsewhere:
        lines.append(f"{are(len(submission.elsewhere))} in the queue already")
    causes = Counter(outcome.cause for outcome in submission.refused.values())
    return "; ".join([*lines, *(f"{count} {cause}" for cause, count in causes.items())])


def wait(submissions: Sequence[Submission]) -> int:
    """Wait for sweeps whose settings say so, and submit what SLURM did not take before; the exit code of all."""
    with kept_up([submission for submission in submissions if submission.settings.wait]):
        return max(_wait(submission, submissions) for submission in submissions)


def _wait(submission: Submission, every: Sequence[Submission]) -> int:
    sweep, started = submission.sweep, time.monotonic()
    if not submission.settings.wait:
        return _leave(submission)
    watch = Watch(sweep)

    def look() -> Mapping[str, Outcome]:
        for other in every:
            if other.settings.wait and (more := other.keep_up()):
                tqdm.write(f"{more} more submitted, {len(other.unsubmitted)} left", file=sys.stdout)
        return {**watch(), **submission.refused}

    try:
        return conclude(sweep, follow(sweep, look, POLL_SECONDS), time.monotonic() - started)
    except KeyboardInterrupt:
        if left := len(submission.unsubmitted):
            print(f"\n{are(left, 'experiment')} not submitted; python -m launch retry submits them", file=sys.stderr)
        _ask_to_cancel(sweep)
        raise


def _leave(submission: Submission) -> int:
    """Say how to go on with a sweep that nobody waits for; the exit code."""
    runs = shlex.quote(str(submission.sweep.runs))
    if submission.left:
        left = are(len(submission.unsubmitted), "experiment")
        print(f"SLURM takes no more jobs now ({submission.waits_for}): {left} not submitted; "
              f"python -m launch retry {runs}   submits them")  # fmt: skip
    print(f"follow them: python -m launch status {runs} --watch")
    return 1 if submission.left or submission.refused else 0


def _ask_to_cancel(sweep: Sweep) -> None:
    how = f"python -m launch cancel {shlex.quote(str(sweep.runs))}"
    print(f"\nno longer waiting; the jobs go on. To cancel them: {how}", file=sys.stderr)
    if sys.stdin.isatty() and sys.stderr.isatty():
        print("cancel them now? [y/N] ", end="", file=sys.stderr, flush=True)
        try:
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            return
        try:
            cancelled, refused = cancel([sweep], sweep.others())
        except Unanswered as error:
            return tell(error)
        submitted.return_borrowed(sweep.folder)
        print(cancelled, file=sys.stderr)
        for line in refused:
            tell(ConfigError(line))


def cancel(
    sweeps: Sequence[Sweep], others: Sequence[Sweep], only: Collection[str] | None = None
) -> tuple[str, list[str]]:
    """Cancel the jobs that sweeps have submitted, but for those in which others of the same runs have experiments.

    With `only` some experiments, those jobs of which all that has not ended is among them.
    Returns in a line what was done, and what SLURM says of jobs that are still in the queue; Unanswered, and no job is
    cancelled, if it does not say what is there.
    """
    try:
        there = queue([*sweeps, *others])
    except Unanswered as error:
        raise Unanswered(f"{error}: no job was cancelled") from error
    theirs = {job for sweep in sweeps for job in submitted.own_jobs(sweep.folder).values() if job in there}
    if only is not None:
        theirs &= _jobs_of(sweeps, only)
    awaited = {job for other in others for job in other.open_jobs().values()}
    elsewhere = {
        run_id for sweep in sweeps for run_id, job in sweep.open_jobs().items()
        if only is None and job in there.keys() - theirs
    }  # fmt: skip
    hidden = {job for job in theirs if there[job] == HIDDEN}
    chosen, shared = sorted(theirs - awaited - hidden, key=numbers), sorted(theirs & awaited, key=numbers)
    why = _scancel(chosen) or (HIDDEN.reason if hidden else "scancel did nothing")
    left = _still_there(chosen) + sorted(hidden - awaited, key=numbers)
    _record(sweeps, set(chosen) - set(left))
    done = [f"{plural(len(set(chosen) - set(left)), 'job')} cancelled"]
    if elsewhere:
        verb = "goes" if len(elsewhere) == 1 else "go"
        done.append(f"{len(elsewhere)} of its experiments {verb} on in jobs of another sweep")
    if shared:
        done.append(f"{listed(shared)} left alone: another sweep waits for experiments in it")
    return "; ".join(done), [f"{listed(left)} still in the queue ({why})"] if left else []


def _jobs_of(sweeps: Sequence[Sweep], only: Collection[str]) -> set[str]:
    """The jobs that have nothing to do but some experiments."""
    meant, others = set[str](), set[str]()
    for sweep in sweeps:
        outcomes = sweep.outcomes()
        for run_id, job in submitted.own_jobs(sweep.folder).items():
            if run_id not in outcomes:
                (meant if run_id in only else others).add(job)
    return meant - others


def _record(sweeps: Sequence[Sweep], cancelled: Collection[str]) -> None:
    """Say of experiments whose jobs were cancelled that they were, as far as these users' folders can be written."""
    for sweep in sweeps:
        outcomes = sweep.outcomes()
        for run_id, job in submitted.own_jobs(sweep.folder).items():
            if job in cancelled and run_id not in outcomes and not sweep.finished(run_id):
                with suppress(OSError):
                    sweep.record(Outcome(run_id, "failed", 0.0, CANCELLED))


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


def describe(plan: Plan, settings: SlurmSettings) -> list[str]:
    """What `plan` says of how the cluster would be used."""
    by_class: dict[str, list[Batch]] = defaultdict(list)
    for batch in _batches(plan, settings):
        by_class[_asked_of(batch, settings)].append(batch)
    lines = [
        f"{plural(sum(len(batch.elements) for batch in arrays), 'job')} in {plural(len(arrays), 'array')}: {needs}"
        for needs, arrays in by_class.items()
    ]
    if settings.throttle is not None:
        lines.append(f"at most {settings.throttle} jobs at once")
    seconds = sum(planned.seconds for planned in plan.to_run) / settings.per_device
    last = duration(wall_seconds(plan, settings))
    return [*lines, f"time: about {last} from the first job's start, if none waits for a free place; "
                    f"{seconds / 3600:.2f} device-hours"]  # fmt: skip


def wall_seconds(plan: Plan, settings: SlurmSettings) -> float:
    """How long all takes once jobs start, if SLURM has places for as many as the throttle lets run."""
    experiments = {planned.run_id: planned for planned in plan.to_run}
    jobs = [
        replace(
            experiments[element[0]],
            seconds=_longest_place([experiments[run_id].seconds for run_id in element], settings.per_device),
        )
        for batch in _batches(plan, settings)
        for element in batch.elements
    ]
    return elapsed(jobs, settings.throttle or max(1, len(jobs)))


def _longest_place(seconds: Sequence[float], at_once: int) -> float:
    """When all places of a job are through, if the next experiment goes where there is room first."""
    ends = [0.0] * at_once
    for each in seconds:
        ends[ends.index(min(ends))] += each
    return max(ends)


def _batches(plan: Plan, settings: SlurmSettings) -> list[Batch]:
    return batches(plan.to_run, settings, {planned.run_id for planned in plan.awaited})


def texts(plan: Plan, settings: SlurmSettings) -> str:
    """What sbatch would be given; of arrays that differ in their jobs, their name or what they wait for the longest.

    SWEEP and JOB stand for what is known only when it is submitted.
    """
    experiments = {planned.run_id: planned for planned in plan.to_run}
    alike: dict[tuple[object, ...], list[Batch]] = defaultdict(list)
    for batch in _batches(plan, settings):
        alike[batch.resources, batch.minutes(settings), len(batch.after), batch.lane is None].append(batch)
    jobs, said = plan.runs.absolute() / SWEEPS / "SWEEP" / "jobs", []
    for group in alike.values():
        batch = max(group, key=lambda batch: len(batch.elements))
        after = ["afterok:JOB" for _ in batch.after]
        after += ["afterany:JOB"] if batch.lane is not None and len(group) > 1 else []
        name = f"{in_common(experiments[run_id] for run_id in batch.run_ids())}-SWEEP-NUMBER"
        command = f"-u -m launch.job {shlex.quote(str(jobs.parent))} NUMBER"
        many = plural(sum(len(batch.elements) for batch in group), "job")
        said += [f"# {many} in {plural(len(group), 'array')} like this",
                 sbatch.script(jobs, name, batch, settings, command, after)]  # fmt: skip
    return "\n".join(said)


def _asked_of(batch: Batch, settings: SlurmSettings) -> str:
    """What a job of a batch asks SLURM for."""
    needs, minutes = batch.resources, batch.minutes(settings)
    memory = "" if needs.memory_gb is None else f", {needs.memory_gb:g} GB"
    each = settings.timeout_min or needs.timeout_min
    longest = max(map(len, batch.elements))
    packed = "" if longest == 1 else f" each ({longest} experiments of {each:g} min, {settings.per_device} at once)"
    where = "".join(f", {key} {value}" for key, value in batch.where(settings).items())
    return f"{needs.gpus} GPUs, {needs.cpus} CPUs{memory}, {minutes} min{packed}{where}"
