"""What is printed for people: tables, durations, an experiment's state in few words."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns under headings, folded to fit a terminal; without one, each row is one line."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return render(table)


def render(renderable: RenderableType) -> str:
    """What rich would print, as text without colours."""
    from rich.console import Console

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100_000
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(renderable)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def failures(rows: Iterable[tuple[str, str, str]]) -> str:
    """Name, cause and log of each experiment that failed."""
    return table(("failed", "cause", "log"), rows)


def duration(seconds: float) -> str:
    """As people say it: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
