"""What the command line prints: tables, notes, or one JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from analysis.options import Options

if TYPE_CHECKING:
    import pandas as pd

    from analysis.read.results import Results


def about(results: Results, options: Options) -> str:
    """What was read, in a line."""
    failed = f", {len(results.failures)} failed" if len(results.failures) else ""
    return f"{results.source}: {len(results.runs)} runs{failed}; {options.told}"


def table(shown: pd.DataFrame, form: str) -> int:
    """Print a table as text, csv, markdown or latex."""
    from analysis.tables import tables

    printed = {"csv": tables.csv, "markdown": tables.markdown, "latex": tables.latex, "text": tables.plain}
    print(printed[form](shown), end="")
    return 0


def notes(results: Results, more: Sequence[str]) -> None:
    """Print what was left out and why."""
    failed = [
        f"{row.task} {row.model} {row.methods} failed: {row.cause} (seed {row.seed}, {row.run_id})"
        for row in results.failures.itertuples()
    ]
    listed([*results.notes, *failed, *more])


def listed(said: Sequence[str]) -> None:
    """Print notes, if there are any."""
    print("".join(["\nnotes:\n", *(f"  {note}\n" for note in said)]) if said else "", end="")


def records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as JSON holds them: what is undefined is null."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: object) -> object:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def document(results: Results, options: Options, answers: Mapping[str, object]) -> int:
    """Print one JSON document: what was read, how, and what that says."""
    failures = results.failures.astype({"seed": object}).where(results.failures.notna(), None)
    known = {"source": results.source, "runs": len(results.runs), "options": asdict(options), "notes": results.notes}
    print(json.dumps({**known, "failures": records(failures), **answers}, allow_nan=False))
    return 0
