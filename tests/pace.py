"""Processor seconds as a quiet core takes them: beside other work on the same core code takes up to twice as long."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable

STANDARD = 0.18  # seconds that `standard` takes on a quiet core


def quiet_seconds(work: Callable[[], object]) -> float:
    """Processor seconds of `work` and of the processes that it waits for, divided by how much slower than on a quiet
    core `standard` is before or after it."""
    before, took, after = _taken(standard), _taken(work), _taken(standard)
    return took / max(1.0, before / STANDARD, after / STANDARD)


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(own.ru_utime + own.ru_stime for own in used)


def standard() -> None:
    """Ordinary Python: objects made, sorted, written and read."""
    for _ in range(10):
        rows = [(place * 0.37 % 1, {"place": place, "name": str(place)}) for place in range(5000)]
        rows.sort(key=lambda row: row[0])
        assert len(json.loads(json.dumps(rows))) == len(rows)


def _taken(work: Callable[[], object]) -> float:
    began = cpu_seconds()
    work()
    return cpu_seconds() - began
