"""How long the experiments of a folder of runs will still take: what remains of each, by how fast others were."""

from __future__ import annotations

import heapq
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from compress.runs.folder import Progress
from launch.experiments import Planned
from launch.sweep import Sweep


@dataclass(frozen=True)
class Forecast:
    """What is known of the rest.

    Attributes:
        seconds_left: until the last of those that run, wait or are in line has ended; None if nothing runs yet by
            which it could be told, or some may never start.
        at_once: how many run at the same time.
    """

    seconds_left: float | None
    at_once: int


NOTHING_KNOWN = Forecast(None, 0)


def forecast(going: Mapping[str, Sweep], running: Mapping[str, Progress | None]) -> Forecast:
    """The time that is left of experiments that have not ended.

    Those of each sweep go to as many places as it has been seen to use, each after those that it needs, as in
    `launch plan`; the last sweep to be through counts.

    Args:
        going: of the experiments that have not ended, the sweep that is at them.
        running: those among them that run, and how far they are.
    """
    by_sweep: dict[int, list[str]] = defaultdict(list)
    sweeps = {id(sweep): sweep for sweep in going.values()}
    for run_id, sweep in going.items():
        by_sweep[id(sweep)].append(run_id)
    ends, every_place = list[float](), 0
    for key, run_ids in by_sweep.items():
        at_it = {run_id: running[run_id] for run_id in run_ids if run_id in running}
        places = _places(sweeps[key], at_it)
        every_place += places
        ends.append(_seconds_left(sweeps[key], run_ids, at_it, places) if places else float("inf"))
    left = max(ends, default=None)
    return Forecast(None if left == float("inf") else left, every_place)


def _seconds_left(sweep: Sweep, run_ids: Sequence[str], running: Mapping[str, Progress | None], places: int) -> float:
    from launch.plan import elapsed

    pace = Pace(sweep)
    begun, others = list[Planned](), list[Planned]()
    for run_id in run_ids:
        planned = sweep.experiments[run_id]
        seconds = pace.seconds(planned)
        if run_id in running:
            at = running[run_id]
            begun.append(replace(planned, seconds=seconds if at is None else at.rest(seconds)))
        else:
            others.append(replace(planned, seconds=seconds))
    return elapsed([*begun, *others], places)


class Pace:
    """How long experiments of a sweep take beside what was planned; the more alike those that have ended, the surer."""

    def __init__(self, sweep: Sweep) -> None:
        from launch.cost import alike

        self.alike = alike
        ratios: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for run_id, outcome in sweep.outcomes().items():
            planned = sweep.experiments[run_id]
            if outcome.state == "finished" and outcome.seconds > 0 and planned.seconds > 0:
                for key in alike(planned.task, planned.model, planned.methods):
                    ratios[key].append(outcome.seconds / planned.seconds)
        self.ratios = {key: statistics.median(values) for key, values in ratios.items()}

    def seconds(self, planned: Planned) -> float:
        """How long an experiment should take by now."""
        keys = self.alike(planned.task, planned.model, planned.methods)
        return planned.seconds * next((self.ratios[key] for key in keys if key in self.ratios), 1.0)


def _places(sweep: Sweep, running: Mapping[str, Progress | None]) -> int:
    """How many of a sweep run at once: now, or on this machine at any time, since workers keep their places."""
    if sweep.launcher["name"] != "local":
        return len(running)
    starts_ends: list[tuple[float, float]] = []
    for run_id, outcome in sweep.outcomes().items():
        with suppress(OSError):
            end = (sweep.folder / "outcomes" / f"{run_id}.json").stat().st_mtime
            starts_ends.append((end - 0.8 * outcome.seconds, end))  # one that follows another does not overlap it
    at_once, most = list[float](), 0
    for start, end in sorted(starts_ends):
        while at_once and at_once[0] <= start:
            heapq.heappop(at_once)
        heapq.heappush(at_once, end)
        most = max(most, len(at_once))
    return max(most, len(running))
