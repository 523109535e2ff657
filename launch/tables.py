"""What is printed for people: tables, durations, the status of a folder of runs; and the same for programs."""

from __future__ import annotations

import io
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from compress.wording import plural
from launch.status import ROOM, STATES, Status, Survey


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns under headings, folded to fit a terminal; without one, each row is one line."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100_000
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def failures(rows: Iterable[tuple[str, str, str]]) -> str:
    """Name, cause and log of each experiment that failed."""
    return table(("failed", "cause", "log"), rows)


def duration(seconds: float | None) -> str:
    """As people say it: 45 s, 12 min, 3.5 h; nothing of what is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def as_document(runs: Path, survey: Survey) -> dict[str, object]:
    """For programs."""
    return {
        "runs": str(runs),
        "unanswered": survey.unanswered,
        "counts": counts(survey.experiments),
        "experiments": [asdict(status) for status in survey.experiments],
    }


def counts(experiments: Sequence[Status]) -> dict[str, int]:
    """How many experiments are in each state."""
    counted = Counter(status.state for status in experiments)
    return {state: counted[state] for state in STATES}


def render(survey: Survey, longest: int = 15) -> str:
    """A table by size and methods, what runs (no more than `longest`), and what failed."""
    experiments, totals = survey.experiments, counts(survey.experiments)
    lines = [f"{survey.unanswered}: what hangs on it is told as unknown", ""] if survey.unanswered else []
    states = ", ".join(f"{n} {state}" for state, n in totals.items() if n)
    lines += [f"{plural(len(experiments), 'experiment')}: {states}", "", _by_size_and_methods(experiments)]
    running = sorted((status for status in experiments if status.state == "running"), key=lambda s: s.seconds_left or 0)
    if running:
        rows = [(status.name, status.detail, duration(status.seconds_left), status.job or "") for status in running]
        lines += ["", table(("running", "at", "left", "job"), rows[:longest])]
        lines += [f"… and {len(rows) - longest} more"] if len(rows) > longest else []
    for state in ("pending", "unknown"):
        reasons = Counter(status.detail for status in experiments
                          if status.state == state and (status.job or status.detail == ROOM))  # fmt: skip
        if reasons and not (state == "unknown" and survey.unanswered):
            lines += ["", f"{state}: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())]
    if failed := [status for status in experiments if status.state == "failed"]:
        lines += ["", failures([(status.name, status.detail, status.log) for status in failed])]
    return "\n".join(lines)


def _by_size_and_methods(experiments: Sequence[Status]) -> str:
    names = dict.fromkeys(status.methods for status in experiments)
    columns = sorted(names, key=lambda name: (name != "none", name.count("+")))
    cells: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for status in experiments:
        cells[status.model][status.methods][status.state] += 1
    rows = [[model, *(_cell(row[column]) for column in columns)] for model, row in cells.items()]
    return table(["finished / all", *columns], rows)


def _cell(states: Counter[str]) -> str:
    if not states:
        return ""
    rest = " ".join(f"{states[state]}{state[0]}" for state in STATES if states[state] and state != "finished")
    return f"{states['finished']}/{states.total()}" + (f"  {rest}" if rest else "")
