"""What run folders hold beside result.json: training curves and latencies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

CURVE_NUMBERS = 200_000  # of all training curves together, at four or five bytes each
CURVE_POINTS = (10, 60)  # fewest and most points of a training curve
LATENCY = ("run", "precision", "batch", "length", "ms", "low", "high")
WHOLE = "float32"  # the precision of what was not quantized


def trainings(folders: pd.Series) -> dict[str, Any]:
    """Of each run its training curve, thinned so that all of them together stay small.

    Returns:
        `training`, of each run `loss` (thousandths) and `grid`, a place in `steps`; or null.
    """
    least, most = CURVE_POINTS
    points = max(least, min(most, CURVE_NUMBERS // max(1, int(folders.notna().sum()))))
    curves = [None if pd.isna(folder) else training(Path(folder), points) for folder in folders]
    grids: dict[tuple[int, ...], int] = {}
    for curve in curves:
        if curve is not None:
            curve["grid"] = grids.setdefault(tuple(curve.pop("step")), len(grids))
    return {"steps": [list(grid) for grid in grids], "training": curves}


def training(folder: Path, points: int) -> dict[str, Any] | None:
    """The loss over the steps of a run, each point the mean of its neighbours; None where nothing usable was written.

    Returns:
        `step` and `loss` (thousandths).
    """
    try:
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]
        losses = [(row["global_step"], row["loss"]) for row in rows if row.get("loss") is not None]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    if not losses:
        return None
    width = -(-len(losses) // points)
    groups = [losses[start : start + width] for start in range(0, len(losses), width)]
    return {
        "step": [group[-1][0] for group in groups],
        "loss": [round(1000 * sum(loss for _, loss in group) / len(group)) for group in groups],
    }


def latencies(folders: pd.Series) -> tuple[dict[str, list[Any]], list[str]]:
    """Every latency.json, as columns: the run's place in the table, precision, batch, length, ms.

    Of a model that was measured in several precisions, those of its own: not what it takes in float32.
    Also, in sentences, which of the files cannot be read.
    """
    rows: list[tuple[Any, ...]] = []
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


def _measured(folder: Path) -> Iterator[tuple[Any, ...]]:
    measured = json.loads((folder / "latency.json").read_text(encoding="utf-8"))["cells"]
    lower = any(cell["precision"] != WHOLE for cell in measured)
    yield from [_latency(cell) for cell in measured if not lower or cell["precision"] != WHOLE]


def _latency(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    low, high = cell["quartiles_ms"]
    times = (float(f"{float(time):.4g}") for time in (cell["median_ms"], low, high))
    return str(cell["precision"]), int(cell["batch"]), int(cell["length"]), *times
