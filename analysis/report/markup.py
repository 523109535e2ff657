"""Pieces of HTML: escaped text, tables that scroll inside their box."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

LONG = 40  # characters
NBSP = "\N{NO-BREAK SPACE}"
_NUMBER = re.compile(r"[+−-]?[\d.,]+([–-][\d.,]+)?( %|×)?|–")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], about: str) -> Html:
    """A table whose first column names the rows; columns of numbers stand right.

    Args:
        about: what it is, for screen readers.
    """
    body = list(rows)
    kinds = [_kind([row[place] for row in body]) for place in range(len(headings))]
    head = "".join(f'<th scope="col"{kind}>{escape(text)}</th>' for text, kind in zip(headings, kinds, strict=True))
    lines = "".join(f"<tr>{_cells(row, kinds)}</tr>" for row in body)
    return scrolling(f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>", about)


def _kind(cells: Sequence[Any]) -> str:
    """Numbers stand right; only long texts are wrapped."""
    if cells and all(isinstance(cell, Html) or _NUMBER.fullmatch(str(cell)) for cell in cells):
        return ' class="number"'
    return ' class="words"' if any(len(str(cell)) > LONG for cell in cells) else ""


def _cells(row: Sequence[Any], kinds: Sequence[str]) -> str:
    first, *others = (cell if isinstance(cell, Html) else escape(str(cell)) for cell in row)
    rest = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(others, kinds[1:], strict=True))
    return f'<th scope="row"{kinds[0]}>{first}</th>{rest}'


def scrolling(inside: str, about: str, name: str = "") -> Html:
    """A box that what is too wide scrolls in, reachable with the keyboard."""
    identity = f' id="{name}"' if name else ""
    return Html(f'<div class="scroll"{identity} tabindex="0" role="region" aria-label="{escape(about)}">{inside}</div>')


def items(texts: Iterable[str]) -> Html:
    """A list."""
    return Html("<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>")


def folded(summary: str, inside: str) -> Html:
    """What is shown only when asked for."""
    return Html(f"<details><summary>{escape(summary)}</summary>{inside}</details>")


def lead(text: str) -> Html:
    """What a section is about, before it."""
    return Html(f'<p class="lead">{escape(text).replace(" %", NBSP + "%")}</p>')


def empty(text: str) -> Html:
    """In place of something that there is nothing for."""
    return Html(f'<p class="empty">{escape(text)}</p>')


def chart(name: str, caption: str = "") -> Html:
    """A box that the page's script draws in."""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Html(f'<figure><div id="{name}" class="chart"></div>{said}</figure>')


def legend(entries: Iterable[tuple[str, str]]) -> Html:
    """Keys and what they stand for; a key is the class of a coloured box."""
    return Html(
        '<ul class="legend">'
        + "".join(f'<li><span class="{key}"></span>{escape(text)}</li>' for key, text in entries)
        + "</ul>"
    )
