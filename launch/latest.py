"""Which sweep speaks for an experiment, of several that have planned it.

A launch that SLURM refused, or that was killed before it came to an experiment, says nothing of it: neither does it
hide why an earlier one failed, nor are its settings those that the experiment goes by.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from launch import submitted
from launch.sweep import Sweep


def concerned(sweeps: Iterable[Sweep]) -> dict[str, Sweep]:
    """For each experiment the last sweep (they are oldest first) that has done something about it, or planned it."""
    return _last(sweeps, _touched)


def accepted(sweeps: Iterable[Sweep]) -> dict[str, Sweep]:
    """For each experiment the last sweep that was to run it and was let: by its settings it is run again."""
    return _last(sweeps, lambda sweep: sweep.to_run if sweep.launcher["name"] == "local" else _touched(sweep))


def _last(sweeps: Iterable[Sweep], spoken_for: Callable[[Sweep], Collection[str]]) -> dict[str, Sweep]:
    planned: dict[str, Sweep] = {}
    last: dict[str, Sweep] = {}
    for sweep in sweeps:
        planned |= dict.fromkeys(sweep.experiments, sweep)
        last |= dict.fromkeys(spoken_for(sweep), sweep)
    return planned | last


def _touched(sweep: Sweep) -> Collection[str]:
    """The experiments that a sweep has started, submitted or ended, or that its workers are about to."""
    if sweep.live_workers():
        return sweep.to_run
    started = {file.stem for file in (sweep.folder / "logs").glob("*.txt")}
    return (started | submitted.own_jobs(sweep.folder).keys() | sweep.outcomes().keys()) & set(sweep.to_run)
