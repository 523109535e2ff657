"""The data that the report page's script draws from, as one JSON document; labels and looks are in it too."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from analysis.names import LOG_MEGABYTES, MARKERS, PARTS, SCORES, SIZES, Names, score_of, task_label
from analysis.read.collection import Document
from analysis.read.results import Results
from analysis.statistics.means import breakdown, common_tasks
from analysis.statistics.uncertainty import quantile
from analysis.subsets import Compressions, joined

CURVE_NUMBERS = 200_000  # of all training curves together, at four or five bytes each
CURVE_POINTS = (10, 60)  # fewest and most points of a training curve
FREEDOMS = (*(1 + quarter / 4 for quarter in range(61)), math.inf)  # whose t quantiles the page interpolates
LATENCY = ("run", "precision", "batch", "length", "ms", "low", "high")


def document(results: Results, score: str, size: str) -> Document:
    """Everything, a score and a size shown first; NaN is null, runs are columns of indices and numbers."""
    runs, methods, names = results.runs, results.methods, Names(results.methods)
    tasks, models, there = results.tasks, results.models, set(runs["methods"])
    subsets = [name for name in methods.subsets if name in there]
    filters = [method for method in methods.methods if len(method.entries) > 1]
    compressions = sorted(set(runs["compression"]), key=methods.rank)
    drawn = [
        {"name": name, "label": names.label(name), "hue": look.hue, "marker": MARKERS[look.marker],
         "filled": look.filled, "dash": look.dash}
        for name, look in ((name, names.look(name)) for name in subsets)
    ]  # fmt: skip
    return {
        "score": score,
        "size": size,
        "scores": {key: asdict(score_of(key, results.tasks)) for key in SCORES},
        "sizes": {key: asdict(measure) for key, measure in SIZES.items()},
        "unit": LOG_MEGABYTES,
        "parts": list(PARTS),
        "tasks": [{"name": task, "label": task_label(task)} for task in tasks],
        "models": models,
        "methods": drawn,
        "sizes_of_markers": [{"label": variant, "scale": names.scale(variant)} for variant in names.variants],
        "quantiles": [round(quantile(freedom), 4) for freedom in FREEDOMS],
        "filters": [{"name": method.name, "variants": list(map(method.variant, method.entries))} for method in filters],
        "compressions": [_compression(results, compression, subsets) for compression in compressions],
        "chosen_tasks": common_tasks(runs[runs[f"score_{score}"].notna()]),
        "runs": {
            "id": list(runs["run_id"]),
            "task": list(map(tasks.index, runs["task"])),
            "model": list(map(models.index, runs["model"])),
            "compression": list(map(compressions.index, runs["compression"])),
            "seed": [int(seed) for seed in runs["seed"]],
            **{score: [_number(value, 4) for value in runs[f"score_{score}"]] for score in SCORES},
            **{size: [int(value) for value in runs[f"{size}_bytes"]] for size in SIZES},
            "url": [url if isinstance(url, str) else None for url in runs["url"]] if runs["url"].notna().any() else [],
        },
        **trainings(runs["folder"]),
        "latency": latencies(runs["latency"]),
        "breakdown": [
            {key: _number(value, 1) if isinstance(value, float) else value for key, value in row.items()}
            for row in breakdown(results).to_dict("records")
        ],
    }


def _compression(results: Results, compression: Compressions, subsets: Sequence[str]) -> dict[str, object]:
    """A subset of the methods in a variant; `variants` are places in those of each filter, null where it is off."""
    methods = results.methods
    entries = {entry.method: entry for entry in compression}
    subset = joined(name for name in methods.names if name in entries)
    places = [
        method.entries.index(entries[method.name]) if method.name in entries else None
        for method in methods.methods
        if len(method.entries) > 1
    ]
    names, variant = Names(methods), methods.variant(compression)
    scale = round(names.scale(variant), 3)
    return {"methods": subsets.index(subset), "label": names.cell(subset, variant), "variants": places, "scale": scale}


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def trainings(folders: pd.Series) -> dict[str, object]:
    """Of each run its training curve, thinned to stay small: `loss` (thousandths) and `grid`, a place in `steps`."""
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
        lines = (folder / "metrics.jsonl").read_bytes().splitlines()
        rows = json.loads(b"[" + b",".join(lines) + b"]")  # at once: three times as fast as line by line
        losses = [(row["global_step"], row["loss"]) for row in rows if row.get("loss") is not None]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return [], []
    width = -(-len(losses) // points)
    groups = [losses[start : start + width] for start in range(0, len(losses), width or 1)]
    means = [round(1000 * sum(loss for _, loss in group) / len(group)) for group in groups]
    return [group[-1][0] for group in groups], means


def latencies(measured: pd.Series) -> dict[str, list[object]]:
    """What was measured of each run, in the precision that it is stored in, as columns `LATENCY` (`run`: its place)."""
    rows = [
        (place, cell.precision, cell.batch, cell.length, *map(_four_digits, (cell.median_ms, *cell.quartiles_ms)))
        for place, of_run in enumerate(measured)
        if of_run is not None
        for cell in of_run.own
    ]
    return {name: [row[place] for row in rows] for place, name in enumerate(LATENCY)}


def _four_digits(time: float) -> float:
    return float(f"{time:.4g}")
