"""The data that the report page's script draws from, as one JSON document; labels and looks are in it too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from analysis.names import LOG_MEGABYTES, MARKERS, PARTS, SCORES, SIZES, Names, task_label
from analysis.read.folders import Document
from analysis.read.results import Results, Row
from analysis.report import measured
from analysis.statistics.breakdown import breakdown
from analysis.statistics.means import common_tasks
from analysis.subsets import Compressions, joined


def document(results: Results, score: str, size: str) -> Document:
    """Everything; NaN is null, runs are columns of indices and numbers.

    Args:
        score: `glue` or `accuracy`, shown first.
        size: `nominal` or `artifact`, shown first.
    """
    runs = results.runs
    there = set(runs["methods"])
    subsets = [name for name in results.methods.subsets if name in there]
    filters = [method for method in results.methods.methods if len(method.entries) > 1]
    compressions = sorted(set(runs["compression"]), key=results.methods.rank)
    latency, unread = measured.latencies(runs["folder"])
    return {
        "score": score,
        "size": size,
        "scores": {key: asdict(measure) for key, measure in SCORES.items()},
        "sizes": {key: asdict(measure) for key, measure in SIZES.items()},
        "unit": LOG_MEGABYTES,
        "parts": list(PARTS),
        "tasks": [{"name": task, "label": task_label(task)} for task in results.tasks],
        "models": results.models,
        "methods": [_subset(name, Names(results.methods)) for name in subsets],
        "filters": [{"name": method.name, "variants": list(map(method.variant, method.entries))} for method in filters],
        "compressions": [
            _compression(results, compression, subsets, [method.name for method in filters])
            for compression in compressions
        ],
        "chosen_tasks": common_tasks(runs[runs[f"score_{score}"].notna()]),
        "runs": _columns(results, compressions),
        **measured.trainings(runs["folder"]),
        "latency": latency,
        "breakdown": [_plain(row) for row in breakdown(results).to_dict("records")],
        "unread": unread,
    }


def _subset(name: str, names: Names) -> dict[str, object]:
    look = names.look(name)
    return {
        "name": name, "label": names.label(name), "hue": look.hue, "marker": MARKERS[look.marker],
        "filled": look.filled, "dash": look.dash,
    }  # fmt: skip


def _compression(
    results: Results, compression: Compressions, subsets: Sequence[str], filters: Iterable[str]
) -> dict[str, object]:
    """A subset of the methods in a variant; `variants` are places in those of each filter, null where it is off."""
    methods = results.methods
    entries = {entry.method: entry for entry in compression}
    subset = joined(name for name in methods.names if name in entries)
    by_name = {method.name: method for method in methods.methods}
    places = [by_name[name].entries.index(entries[name]) if name in entries else None for name in filters]
    label = Names(methods).cell(subset, methods.variant(compression))
    return {"methods": subsets.index(subset), "label": label, "variants": places}


def _columns(results: Results, compressions: Sequence[object]) -> dict[str, object]:
    runs = results.runs

    def places(column: str, names: Sequence[object]) -> list[int]:
        return [int(place) for place in runs[column].map({name: place for place, name in enumerate(names)})]

    return {
        "id": list(runs["run_id"]),
        "task": places("task", results.tasks),
        "model": places("model", results.models),
        "compression": places("compression", compressions),
        "seed": [int(seed) for seed in runs["seed"]],
        **{score: [_number(value, 4) for value in runs[f"score_{score}"]] for score in SCORES},
        **{size: [int(value) for value in runs[f"{size}_bytes"]] for size in SIZES},
        "url": [url if isinstance(url, str) else None for url in runs["url"]] if runs["url"].notna().any() else [],
    }


def _number(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def _plain(row: Row) -> dict[str, object]:
    return {key: _number(value, 1) if isinstance(value, float) else value for key, value in row.items()}
