"""The report's tables before they are HTML, and its sections that need no statistics, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.names import PARTS, task_label
from analysis.read.results import Results, Row
from compress.wording import plural

FAILED = ["task", "model", "methods", "seed", "cause", "run_id"]
LONG = 40  # characters
Cell = str | tuple[str, ...]  # a text, or a text and notes below it
_NUMBER = re.compile(r"([+−-]?[\d.,]+([–-][\d.,]+)?( %|×)?|–)?")


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of which names its row; `about` is for screen readers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    about: str

    @property
    def kinds(self) -> list[str]:
        """Of each column: `number` stands right, `words` are wrapped; else empty."""
        return [_kind([row[place] for row in self.rows]) for place in range(len(self.headings))]


def _kind(cells: Sequence[Cell]) -> str:
    if cells and all(isinstance(cell, tuple) or _NUMBER.fullmatch(cell) for cell in cells):
        return "number"
    return "words" if any(isinstance(cell, str) and len(cell) > LONG for cell in cells) else ""


def of_frame(frame: pd.DataFrame, about: str) -> Table:
    """Every cell as text."""
    return Table(list(map(str, frame.columns)), [list(map(str, row)) for row in frame.to_numpy()], about)


def summary(results: Results) -> str:
    """What the collection is, in one line."""
    runs = results.runs
    if runs.empty:
        return "No finished run."
    seeds = sorted({int(seed) for seed in runs["seed"]})
    counts = [
        plural(len(runs), "finished run"),
        plural(len(results.models), "model"),
        plural(len(results.tasks), "task"),
        plural(runs["methods"].nunique(), "combination of methods", "combinations of methods"),
        f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}",
    ]
    failed = [f"{len(results.failures)} failed"] if len(results.failures) else []
    return " · ".join(counts + failed)


def sizes(breakdown: Sequence[Row]) -> Table | None:
    """Bytes by part."""
    if not breakdown:
        return None
    rows = [[row["model"], row["name"], *(f"{row[part]:,.0f}" for part in (*PARTS, "artifact"))] for row in breakdown]
    labels = [part.label for part in PARTS.values()]
    return Table(["model", "compression", *labels, "file"], rows, "Bytes by part")


def failures(results: Results) -> Table | None:
    """What failed, with causes."""
    if results.failures.empty:
        return None
    rows = results.failures[FAILED].astype(object).where(results.failures[FAILED].notna(), "–")
    return of_frame(rows.rename(columns={"run_id": "run id"}), "Failed experiments")


def devices(runs: pd.DataFrame) -> str:
    """Where the runs ran."""
    grouped = runs.groupby(runs["device"].fillna("a device that is not known"), sort=False)
    return "; ".join(f"{device} ({_counted(of_device)})" for device, of_device in grouped)


def recipes(results: Results) -> list[tuple[str, str, str]]:
    """Of each recipe its name, how many runs have it, and its settings as JSON."""
    return [
        (str(name), _counted(runs), json.dumps(results.recipes.get(str(name), {}), indent=2, ensure_ascii=False))
        for name, runs in results.runs.groupby("recipe", sort=False)
    ]


def _counted(runs: pd.DataFrame) -> str:
    """How many, of which tasks."""
    return f"{plural(len(runs), 'run')}: {', '.join(task_label(task) for task in dict.fromkeys(runs['task']))}"
