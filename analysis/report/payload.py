"""The data that the report page carries: runs, training curves, latencies, as one JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.names import label, look, task_label
from analysis.read.results import SUBSETS, Results
from analysis.statistics.breakdown import breakdown
from analysis.statistics.curves import common_tasks

CURVE_NUMBERS = 200_000  # of all training curves together, at four or five bytes each
LATENCY = ("run", "precision", "batch", "length", "ms", "low", "high")
CURVE_POINTS = (10, 60)  # fewest and most points of a training curve


def document(results: Results, score: str, size: str) -> dict[str, Any]:
    """What the page's script draws from; NaN is null, runs are columns of indices and numbers.

    Args:
        score: `glue` or `accuracy`, shown first.
        size: `nominal` or `artifact`, shown first.
    """
    runs = results.runs
    methods = [name for name in SUBSETS if (runs["methods"] == name).any()]
    latency, unread = _latencies(runs["folder"])
    scored = runs[runs[f"score_{score}"].notna()]
    return {
        "score": score,
        "size": size,
        "tasks": [{"name": task, "label": task_label(task)} for task in results.tasks],
        "models": results.models,
        "methods": [{"name": name, "label": label(name), "marker": look(name).marker,
                     "distilled": look(name).distilled} for name in methods],
        "chosen_tasks": common_tasks(scored),
        "runs": _columns(runs, results.tasks, results.models, methods),
        **_trainings(runs["folder"]),
        "latency": latency,
        "sizes": [_plain(row) for row in breakdown(runs).to_dict("records")],
        "unread": unread,
    }  # fmt: skip


def _columns(runs: pd.DataFrame, tasks: Sequence[str], models: Sequence[str], methods: Sequence[str]) -> dict[str, Any]:
    def places(column: str, names: Sequence[str]) -> list[int]:
        return [int(place) for place in runs[column].map({name: place for place, name in enumerate(names)})]

    return {
        "id": list(runs["run_id"]),
        "task": places("task", tasks),
        "model": places("model", models),
        "methods": places("methods", methods),
        "sparsity": [_number(value, 4) for value in runs["sparsity"]],
        "seed": [int(seed) for seed in runs["seed"]],
        "glue": [_number(value, 4) for value in runs["score_glue"]],
        "accuracy": [_number(value, 4) for value in runs["score_accuracy"]],
        "nominal": [int(value) for value in runs["nominal_bytes"]],
        "artifact": [int(value) for value in runs["artifact_bytes"]],
        "url": [url if isinstance(url, str) else None for url in runs["url"]] if runs["url"].notna().any() else [],
    }


def _number(value: Any, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _number(value, 1) if isinstance(value, float) else value for key, value in row.items()}


# --- beside result.json -----------------------------------------------------------------------------------------------


def _trainings(folders: pd.Series) -> dict[str, Any]:
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


def _latencies(folders: pd.Series) -> tuple[dict[str, list[Any]], list[str]]:
    """Every cell of every latency.json, as columns: the run's place in the table, precision, batch, length, ms.

    Also, in sentences, which of the files cannot be read.
    """
    columns: dict[str, list[Any]] = {key: [] for key in LATENCY}
    unread = []
    for place, folder in enumerate(folders):
        if pd.isna(folder):
            continue
        try:
            measured = json.loads((Path(folder) / "latency.json").read_text(encoding="utf-8"))
            cells = [(place, *_latency(cell)) for cell in measured["cells"]]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            unread.append(f"{folder}/latency.json: left out: it cannot be read ({error!r})")
            continue
        for cell in cells:
            for column, value in zip(columns.values(), cell, strict=True):
                column.append(value)
    return columns, unread


def _latency(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    low, high = cell["quartiles_ms"]
    times = (float(f"{float(time):.4g}") for time in (cell["median_ms"], low, high))
    return str(cell["precision"]), int(cell["batch"]), int(cell["length"]), *times


def embedded(document: Mapping[str, Any]) -> str:
    """JSON that cannot end the element `<script type="application/json">` which it stands in."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
