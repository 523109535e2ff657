"""A table of the page, before it is HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

LONG = 40  # characters
Cell = str | tuple[str, ...]  # a text, or a text and notes below it
_NUMBER = re.compile(r"([+−-]?[\d.,]+([–-][\d.,]+)?( %|×)?|–)?")


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of which names its row.

    Attributes:
        about: what it is, for screen readers.
    """

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
    return Table(
        [str(name) for name in frame.columns], [[str(cell) for cell in row] for row in frame.to_numpy()], about
    )
