"""Run a sweep on a SLURM cluster: submit it, wait for it, say how the cluster would be used."""

from __future__ import annotations

import shlex
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from launch.follow import conclude, follow
from launch.scheduler import Watch, cancel
from launch.submission import Batch, SlurmSettings, batches, submit, unpacked

if TYPE_CHECKING:
    from launch.plan import Plan
    from launch.sweep import Sweep

POLL_SECONDS = 3.0


def run(sweep: Sweep, settings: SlurmSettings) -> int:
    """Submit a planned sweep and wait for it, if the settings say so.

    Returns:
        The exit code.
    """
    started = time.monotonic()
    elsewhere = submit(sweep, settings) if sweep.to_run else 0
    jobs = set(sweep.jobs().values())
    told = f"{len(sweep.to_run) - elsewhere} experiments submitted in {len(jobs)} jobs"
    print(told + (f"; {elsewhere} are in the queue already" if elsewhere else ""), flush=True)
    if not settings.wait:
        runs = shlex.quote(str(sweep.runs))
        print(f"python -m launch status {runs}   shows how they go on; cancel, retry likewise")
        return 0
    try:
        return conclude(sweep, follow(sweep, Watch(sweep), POLL_SECONDS), time.monotonic() - started)
    except KeyboardInterrupt:
        _ask_to_cancel(sweep)
        raise


def _ask_to_cancel(sweep: Sweep) -> None:
    how = f"python -m launch cancel {shlex.quote(str(sweep.runs))}"
    print(f"\nno longer waiting; the jobs go on. To cancel them: {how}", file=sys.stderr)
    if sys.stdin.isatty() and sys.stderr.isatty():
        print("cancel them now? [y/N] ", end="", file=sys.stderr, flush=True)
        try:
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            answer = ""
        if answer.strip().lower() in ("y", "yes"):
            print(f"{cancel([sweep])} jobs cancelled", file=sys.stderr)


def describe(plan: Plan, settings: SlurmSettings) -> list[str]:
    """What `plan` says of how the cluster would be used."""
    jobs = {planned.run_id: planned.run_id for planned in plan.teachers}
    rest = [planned for planned in plan.to_run if planned.run_id not in jobs]
    arrays = batches(plan.teachers, unpacked(settings), {}) + batches(rest, settings, jobs)
    by_class: dict[str, list[Batch]] = defaultdict(list)
    for batch in arrays:
        needs = batch.resources
        memory = "" if needs["memory_gb"] is None else f", {needs['memory_gb']:g} GB"
        by_class[f"{needs['gpus']} GPUs, {needs['cpus']} CPUs{memory}, {needs['timeout_min']:g} min"].append(batch)
    seconds = sum(planned.seconds for planned in plan.to_run) / settings.per_device
    lines = [
        f"{sum(len(batch.elements) for batch in found)} jobs in {len(found)} arrays: {named}"
        for named, found in by_class.items()
    ]
    return [*lines, f"time: {seconds / 3600:.2f} device-hours"]
