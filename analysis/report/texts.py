"""Numbers of a row as the report writes them: a log as a factor, with its interval in one line or below."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from analysis.names import seeds
from analysis.read.results import Row
from analysis.statistics.score_size import as_factor
from compress.wording import plural


def factor(log: float) -> str:
    """Two digits after the point; `inf` where it is too large for a number."""
    return f"{as_factor(log):.2f}"


def number(value: float) -> str:
    """Two digits after the point, a real minus sign; a dash for what is undefined."""
    return "–" if pd.isna(value) else f"{value:.2f}".replace("-", "−")


def interval(row: Row, prefix: str = "") -> str:
    """` [0.98, 1.15]`, of two logs; empty without an interval."""
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return "" if pd.isna(low) else f" [{factor(low)}, {factor(high)}]"


def stacked(row: Row, key: str, prefix: str, said: Callable[[float], str], unit: str = "") -> tuple[str, ...]:
    """A number, and below it its interval; `tasks` behind one that is from the differences between tasks."""
    if pd.isna(row[key]):
        return ("–",)
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    by = " tasks" if row.get("shown_by") == "tasks" else ""
    return (f"{said(row[key])}{unit}", *(() if pd.isna(low) else (f"[{said(low)}, {said(high)}]{by}",)))


def counts(row: Row) -> str:
    """How many tasks and seeds define a number."""
    return f"{plural(row['tasks'], 'task')}, {seeds(row['seeds_min'], row['seeds_max'])}"
