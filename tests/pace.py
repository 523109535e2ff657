"""Seconds as a quiet core takes them: beside other work on the same core code takes up to twice as long."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable

STANDARD = 0.18  # seconds that `standard` takes on a quiet core
Clock = Callable[[], float]


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(own.ru_utime + own.ru_stime for own in used)


def quiet_seconds(work: Callable[[], object], clock: Clock = cpu_seconds) -> float:
    """Seconds of `work` by a clock, divided by how much slower than on a quiet core `standard` is before or after it.

    Only a clock of the wall sees what waits.
    """
    before, took, after = (_taken(each, clock) for each in (standard, work, standard))
    return took / max(1.0, before / STANDARD, after / STANDARD)


def standard() -> None:
    """Ordinary Python: objects made, sorted, written and read."""
    for _ in range(10):
        rows = [(place * 0.37 % 1, {"place": place, "name": str(place)}) for place in range(5000)]
        rows.sort(key=lambda row: row[0])
        assert len(json.loads(json.dumps(rows))) == len(rows)


def _taken(work: Callable[[], object], clock: Clock) -> float:
    began = clock()
    work()
    return clock() - began
