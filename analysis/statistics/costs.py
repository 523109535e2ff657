"""What a model costs besides bytes: seconds to train it and what it needs, and milliseconds to answer.

Training is the time that the loop took, on the device that is named: a model's own steps, the training of its teacher,
and that of the finished model that it started from, runs of the same collection. Their time counts whole for each model
that needs them, whoever else does. Latency is `python -m compress.latency`'s median for a batch, of the model as it is
stored; times of other machines, or with other threads, are not compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.read.results import Results
from analysis.statistics.means import POINT
from compress.wording import plural

MEASURE = "python -m compress.latency RUN…"
Shape = tuple[int, int]  # batch, tokens
Point = tuple[str, ...]  # model, methods, variant


@dataclass(frozen=True)
class Training:
    """Of a model, means over seeds and then over tasks.

    Attributes:
        seconds: its own steps; None if a run does not tell.
        taught: whether it had a teacher; `teacher_seconds` is the teacher's training, None if that is not known.
        started: whether it started from a finished model; `start_seconds` is that one's training likewise.
        devices: that trained it and what it needs.
    """

    seconds: float | None
    taught: bool
    teacher_seconds: float | None
    devices: tuple[str, ...]
    started: bool = False
    start_seconds: float | None = None

    @property
    def whole(self) -> float | None:
        """Seconds with the teacher's and the start's; None if a part is not known."""
        parts = [
            self.seconds,
            self.teacher_seconds if self.taught else 0.0,
            self.start_seconds if self.started else 0.0,
        ]
        return None if None in parts else sum(part for part in parts if part is not None)


def training(runs: pd.DataFrame, results: Results) -> Training:
    """Of the runs of one model, methods and variant; what they need is found among the collection's runs."""
    everywhere = pd.concat([results.settings, results.runs]) if len(results.settings) else results.runs
    others = everywhere.drop_duplicates("run_id", keep="last").set_index("run_id")[["train_seconds", "device"]]
    named = {column: runs[column].dropna().unique() for column in ("teacher_run_id", "start_run_id")}
    took = {column: _mean(runs[column].map(others["train_seconds"]), runs["task"]) if len(named[column]) else None
            for column in named}  # fmt: skip
    needed = [device for run_ids in named.values() for device in others.reindex(run_ids)["device"]]
    return Training(
        seconds=_mean(runs["train_seconds"], runs["task"]),
        taught=bool(len(named["teacher_run_id"])),
        teacher_seconds=took["teacher_run_id"],
        devices=tuple(device for device in dict.fromkeys([*runs["device"], *needed]) if isinstance(device, str)),
        started=bool(len(named["start_run_id"])),
        start_seconds=took["start_run_id"],
    )


def _mean(seconds: pd.Series, tasks: pd.Series) -> float | None:
    """Over seeds, then over tasks; None if some are not known."""
    mean = float(seconds.astype(float).groupby(tasks).mean().mean()) if seconds.notna().all() else math.nan
    return mean if math.isfinite(mean) else None


@dataclass(frozen=True)
class Latencies:
    """Milliseconds of a batch of each model, methods and variant, as means over the runs measured, in any task.

    Attributes:
        conditions: shape and machine, in words; empty where nothing is measured.
        notes: what was left out.
    """

    milliseconds: Mapping[Point, float]
    conditions: str
    notes: tuple[str, ...]


def latencies(runs: pd.DataFrame, shape: Shape) -> Latencies:
    """Of one shape, on the machine (processor and threads) on which most runs were measured."""
    batch, length = shape
    rows = [
        (*point, measured.machine, cell.median_ms)
        for *point, measured in runs[[*POINT, "latency"]].itertuples(index=False, name=None)
        for cell in (measured.own if measured is not None else ())
        if (cell.batch, cell.length) == shape
    ]
    if not rows:
        return Latencies({}, "", ())
    table = pd.DataFrame(rows, columns=[*POINT, "machine", "ms"])
    counts = Counter(table["machine"])
    machine = min(counts, key=lambda name: (-counts[name], name))
    kept = table[table["machine"] == machine]
    milliseconds = {tuple(map(str, point)): float(ms.mean()) for point, ms in kept.groupby(POINT)["ms"]}
    others = [f"{name} ({plural(count, 'run')})" for name, count in sorted(counts.items()) if name != machine]
    notes = (f"latencies of other machines left out: {', '.join(others)}",) if others else ()
    return Latencies(milliseconds, f"{batch} × {length} tokens, {machine}", notes)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
