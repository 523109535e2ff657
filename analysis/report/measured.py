"""What run folders hold beside result.json: training curves and latencies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis.read.results import Row

CURVE_NUMBERS = 200_000  # of all training curves together, at four or five bytes each
CURVE_POINTS = (10, 60)  # fewest and most points of a training curve
LATENCY = ("run", "precision", "batch", "length", "ms", "low", "high")
WHOLE = "float32"  # the precision of what was not quantized


def trainings(folders: pd.Series) -> dict[str, object]:
    """Of each run its training curve, thinned so that all of them together stay small.

    Returns:
        `training`, of each run `loss` (thousandths) and `grid`, a place in `steps`; or null.
    """
    least, most = CURVE_POINTS
    points = max(least, min(most, CURVE_NUMBERS // max(1, int(folders.notna().sum()))))
    grids: dict[tuple[int, ...], int] = {}
    training: list[dict[str, object] | None] = []
    for folder in folders:
        steps, losses = ([], []) if pd.isna(folder) else thinned(Path(folder), points)
        place = grids.setdefault(tuple(steps), len(grids)) if losses else 0
        training.append({"loss": losses, "grid": place} if losses else None)
    return {"steps": [list(grid) for grid in grids], "training": training}


def thinned(folder: Path, points: int) -> tuple[list[int], list[int]]:
    """Steps of a run and losses (thousandths), means of neighbours; empty where nothing usable was written."""
    try:
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]
        losses = [(row["global_step"], row["loss"]) for row in rows if row.get("loss") is not None]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return [], []
    width = -(-len(losses) // points)
    groups = [losses[start : start + width] for start in range(0, len(losses), width or 1)]
    means = [round(1000 * sum(loss for _, loss in group) / len(group)) for group in groups]
    return [group[-1][0] for group in groups], means


def latencies(folders: pd.Series) -> tuple[dict[str, list[object]], list[str]]:
    """Every latency.json, as columns: the run's place in the table, precision, batch, length, ms.

    Of a model that was measured in several precisions, those of its own: not what it takes in float32.
    Also, in sentences, which of the files cannot be read.
    """
    rows: list[tuple[object, ...]] = []
    unread = []
    for place, folder in enumerate(folders):
        try:
            rows += [] if pd.isna(folder) else [(place, *cell) for cell in _measured(Path(folder))]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            unread.append(f"{folder}/latency.json: left out: it cannot be read ({error!r})")
    columns = zip(*rows, strict=True) if rows else [() for _ in LATENCY]
    return {key: list(column) for key, column in zip(LATENCY, columns, strict=True)}, unread


def _measured(folder: Path) -> Iterator[tuple[object, ...]]:
    measured = json.loads((folder / "latency.json").read_text(encoding="utf-8"))["cells"]
    lower = any(cell["precision"] != WHOLE for cell in measured)
    yield from [_latency(cell) for cell in measured if not lower or cell["precision"] != WHOLE]


def _latency(cell: Row) -> tuple[object, ...]:
    low, high = cell["quartiles_ms"]
    times = (float(f"{float(time):.4g}") for time in (cell["median_ms"], low, high))
    return str(cell["precision"]), int(cell["batch"]), int(cell["length"]), *times
