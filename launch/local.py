"""Run a sweep on this machine: one worker for each GPU, or one for its CPU, as jobs of submitit's LocalExecutor."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from compress.checked import checked
from compress.errors import ConfigError
from compress.storage import surroundings
from compress.wording import plural
from launch.experiments import Outcome
from launch.objective import Objective
from launch.plan import Plan, elapsed
from launch.processes import Unreachable
from launch.progress import conclude, duration, follow
from launch.sweep import Sweep

if TYPE_CHECKING:
    from submitit.core.core import Job

ROOM = 1 << 20  # bytes of a disk that is not full
CANCEL_SECONDS = 300.0  # that workers may take to write checkpoints
FOREVER_MIN = 60 * 24 * 365  # a worker ends by itself


@checked
class LocalSettings:
    """`hydra/launcher=local`."""

    devices: str | list[int | str] = Field(
        description="auto: all GPUs, or the CPU if there is none; cpu; or a list of GPUs, [0,1]"
    )
    per_device: int | None = Field(description="runs at once on each device; null: 1 on a GPU, 1 per core on the CPU",
                                   ge=1)  # fmt: skip
    threads: int | None = Field(description="CPU threads of each run; null: the cores divided among the runs", ge=1)
    timeout_min: float | None = Field(description="minutes that a run may take; null: resources.timeout_min", gt=0)
    objective: Objective = Field(
        default="score_glue", description="what a search optimises: a key of result.json, or a list of keys"
    )
    wait: bool = Field(description="false: the command returns at once; `launch status` shows the progress")


@dataclass(frozen=True)
class Share:
    """What one worker gets: a GPU (as CUDA_VISIBLE_DEVICES names it) or '' for the CPU, and how it divides it."""

    device: str
    slots: int
    threads: int


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without starting CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))]


def shares(settings: LocalSettings, *, cpu_only: bool) -> list[Share]:
    """How this machine is shared out among workers."""
    cores = len(os.sched_getaffinity(0))
    if isinstance(settings.devices, list):
        devices = [str(name) for name in settings.devices]
    else:
        devices = [] if settings.devices == "cpu" or cpu_only else gpus()
    slots = settings.per_device or (1 if devices else cores)
    threads = settings.threads or max(1, cores // (slots * max(1, len(devices))))
    return [Share(device, slots, threads) for device in devices or [""]]


def run(sweep: Sweep, settings: LocalSettings) -> int:
    """Start the workers of a planned sweep and wait for it, if the settings say so; the exit code."""
    started = time.monotonic()
    cpu_only = all(planned.config["device"] == "cpu" for planned in sweep.experiments.values())
    jobs = start(sweep, shares(settings, cpu_only=cpu_only)) if sweep.to_run else []
    if not settings.wait:
        how = f"python -m launch status {shlex.quote(str(sweep.runs))}"
        print(f"{plural(len(sweep.to_run), 'experiment')} started; follow them: {how} --watch")
        return 0
    try:
        return conclude(sweep, follow(sweep, lambda: _orphans(sweep, jobs)), time.monotonic() - started)
    except KeyboardInterrupt:
        print("interrupted: experiments are writing their checkpoints (Ctrl-C again kills them)", file=sys.stderr)
        stop(jobs)
        print(f"to continue from them: python -m launch retry {shlex.quote(str(sweep.runs))}", file=sys.stderr)
        raise


def start(sweep: Sweep, shared: Sequence[Share]) -> list[Job[None]]:
    """A worker for each share."""
    import submitit

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is this process's to pass on
    try:
        with surroundings.runs(sweep.runs).config_errors():
            executor = submitit.LocalExecutor(sweep.folder / "jobs")
            executor.update_parameters(timeout_min=FOREVER_MIN)
            return [executor.submit(work, sweep.folder, number, share) for number, share in enumerate(shared)]
    finally:
        signal.signal(signal.SIGINT, before)


def work(folder: Path, number: int, share: Share) -> None:
    """What a worker's process does."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": share.device, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    from launch.worker import Worker

    sweep = Sweep.read(folder)
    with surroundings.runs(sweep.runs).config_errors():
        sweep.sign_in(number)
    Worker(sweep, slots=share.slots, threads=share.threads).run()


def stop(jobs: Sequence[Job[None]]) -> None:
    """Have the workers stop their experiments, and wait for it; kill them if interrupted again."""
    for job in jobs:
        _signal(job, signal.SIGTERM)
    try:
        while not all(job.done() for job in jobs):
            time.sleep(0.1)
    except KeyboardInterrupt:
        for job in jobs:
            _signal(job, signal.SIGKILL)


def _signal(job: Job[None], signum: signal.Signals) -> None:
    process = getattr(job, "_process")  # noqa: B009 - of a LocalJob
    if process is not None and process.poll() is None:
        process.send_signal(signum)


def _orphans(sweep: Sweep, jobs: Sequence[Job[None]]) -> Mapping[str, Outcome]:
    """What no worker will run any more, since all are gone."""
    if not all(job.done() for job in jobs):
        return {}
    cause = "the worker ended before it could run this experiment" + _last_error(sweep, jobs)
    log = str(jobs[0].paths.stderr) if jobs else ""
    lost = {run_id: Outcome(run_id, "failed", 0.0, cause, log) for run_id in sweep.to_run}
    return lost | {run_id: Outcome(run_id, "finished", 0.0) for run_id in lost if sweep.finished(run_id)}


def _last_error(sweep: Sweep, jobs: Sequence[Job[None]]) -> str:
    """The last line of the workers' errors; if there is none, perhaps that there was no room for it."""
    if errors := next((text.strip() for job in jobs if (text := job.stderr()) and text.strip()), ""):
        return f": {errors.splitlines()[-1]}"
    try:
        surroundings.runs(sweep.runs).require_space(ROOM)
    except ConfigError as error:
        return f": {error}"
    return ""


def cancel(sweeps: Iterable[Sweep]) -> tuple[int, list[str]]:
    """Stop the experiments of sweeps' live workers, and wait for it: how many have, and why each other has not."""
    stopping: list[tuple[Sweep, int]] = []
    refused: list[str] = []
    for sweep in sweeps:
        for number, process in sweep.live_workers().items():
            if process is None:
                refused.append(f"worker {number} of {sweep.folder}: its file does not say which process it is")
                continue
            try:
                process.signal(signal.SIGTERM)  # if it has ended, its experiments are about to
                stopping.append((sweep, number))
            except Unreachable as error:
                refused.append(f"worker {number} of {sweep.folder}: {error}; cancel it there, or as that user")
    deadline = time.monotonic() + CANCEL_SECONDS
    while left := [(sweep, number) for sweep, number in stopping if number in sweep.live_workers()]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    refused += [f"worker {number} of {sweep.folder}: it still writes checkpoints" for sweep, number in left]
    return len(stopping) - len(left), refused


def describe(plan: Plan, settings: LocalSettings) -> list[str]:
    """What `plan` says of how this machine would be used."""
    cpu_only = all(planned.config["device"] == "cpu" for planned in plan.experiments)
    shared = shares(settings, cpu_only=cpu_only)
    slots = sum(share.slots for share in shared)
    where = ", ".join(f"GPU {share.device}" if share.device else "the CPU" for share in shared)
    took = sum(planned.seconds for planned in plan.to_run)
    return [
        f"where: {where}; {slots} at once, {plural(shared[0].threads, 'thread')} each",
        f"time: about {duration(elapsed(plan.to_run, slots))}; {took / 3600 / shared[0].slots:.2f} device-hours",
    ]
