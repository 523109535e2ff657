"""What the terminal says of a report: its files, what it shows, where to read it, and which command comes next."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compress.wording import plural

if TYPE_CHECKING:
    from analysis.read.results import Results
    from analysis.report.report import Written

WIDTH = 110  # of a line of sentences


def lines(results: Results, written: Written, runs: Path | None) -> list[str]:
    """Some lines; `runs` is the folder of runs, or the file of results, that the report is of."""
    files = [*map(str, written.pages), *_folder(written.figures), *_folder(written.tables)]
    said = [line for sentence in [*written.opening, *_generated(results)] for line in textwrap.wrap(sentence, WIDTH)]
    page = f"The report: {written.pages[0].resolve().as_uri()}"
    return [*files, "", *said, *([""] if said else []), page, *_next(runs)]


def _folder(files: Sequence[Path]) -> list[str]:
    return [f"{files[0].parent}: {plural(len(files), 'file')}"] if files else []


def _generated(results: Results) -> list[str]:
    """What to think of runs on the demo's data."""
    data = [recipe.get("data") for recipe in results.recipes.values()]
    if not data or not all(isinstance(each, dict) and each.get("source") == "demo" for each in data):
        return []
    seeds = plural(results.runs["seed"].nunique(), "seed")
    return [f"These are generated texts and toy models, with {seeds}: the numbers show the tool, not a finding."]


def _next(runs: Path | None) -> list[str]:
    """The commands that lead on from runs, or a file of results, on this machine."""
    if runs is None:
        return []
    place = shlex.quote(str(runs))
    told = {f"python -m analysis next {place}": "the cheapest further seeds that would settle what is open"}
    if runs.is_dir():
        told = {f"python -m launch status {place}": "how many runs have finished, and why others failed", **told}
    width = max(map(len, told))
    return ["Next:", *(f"  {command:<{width}}   {what}" for command, what in told.items())]
