"""Full crossings of a grid with scores from a simple law, and what run folders hold beside result.json."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from analysis import names
from analysis.subsets import collected
from tests import grids
from tests.grids import SUBSETS

TASKS = tuple(names.TASKS)
MODELS = ("tiny", "mini", "small", "medium", "base", "large")
SHAPES = ((1, 32), (32, 128))


def run(
    task: str, model: str, methods: str, seed: int = 0, sparsity: float = 0.4, share: float = 0.5
) -> dict[str, Any]:
    """One result: its score grows with ln(parameters) and with teachers; what makes it smaller costs little."""
    active = methods.split("+")
    lost = 0.3 * ("quantize" in active) + 2 * sparsity**2 * ("prune" in active) + 0.8 * share * ("shave" in active)
    gained = 2 * ("distill" in active) + 0.7 * ("coach" in active)
    noise = random.Random(f"{task} {model} {methods} {seed} {sparsity}").gauss(0, 0.3)
    score = 40 + 2.5 * math.log(grids.PARAMETERS[model]) + gained - lost + noise
    values = {"shave": share}
    made = grids.document(task, model, methods, score, seed=seed, sparsity=sparsity, values=values, accuracy=score + 1)
    made["size"]["by_part"] = _parts(made["size"])
    return made


def _parts(size: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Pruning spares the embeddings; the head is a hundredth."""
    width = round(size["nominal_bytes"] / size["nonzero"])
    embeddings, head = round(grids.EMBEDDINGS * size["parameters"]), round(size["parameters"] / 100)
    kept = {"embeddings": embeddings, "encoder": size["nonzero"] - embeddings - head, "head": head}
    return {
        name: {"parameters": count, "nonzero": count, "nominal_bytes": width * count} for name, count in kept.items()
    }


def crossing(
    tasks: Sequence[str] = TASKS,
    models: Sequence[str] = MODELS,
    subsets: Sequence[str] = SUBSETS,
    seeds: Sequence[int] = (0,),
    sparsities: Sequence[float] = (0.4,),
    shares: Sequence[float] = (0.5,),
) -> Iterator[dict[str, Any]]:
    """Every combination; a method that is off once for all its strengths."""
    for task, model, methods, seed in itertools.product(tasks, models, subsets, seeds):
        pruned, shave = ("prune" in methods, "shave" in methods)
        for sparsity in sparsities if pruned else sparsities[:1]:
            for share in shares if shave else shares[:1]:
                yield run(task, model, methods, seed, sparsity, share)


def subsets_of(*methods: str) -> list[str]:
    """All subsets of some methods."""
    return collected([tuple(map(grids.entry, methods))]).subsets


def write_training(folder: Path, rows: int = 100) -> None:
    """A metrics.jsonl whose loss falls from 2, zigzagging by 0.1."""
    lines = [
        {"global_step": 3 * row, "epoch": row / rows, "loss": 2 * math.exp(-2 * row / rows) + 0.1 * (-1) ** row}
        for row in range(1, rows + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_latency(folder: Path, made: dict[str, Any]) -> None:
    """A latency.json in which int8 is twice as fast."""
    cells = []
    for batch, length in SHAPES:
        whole = made["size"]["parameters"] ** 0.7 * batch * length / 1e6
        for precision in ("float32", "int8") if "quantize" in made["methods"] else ("float32",):
            ms = whole / (2 if precision == "int8" else 1)
            cells.append({"precision": precision, "batch": batch, "length": length, "median_ms": ms,
                          "quartiles_ms": [0.9 * ms, 1.2 * ms], "rounds": 9})  # fmt: skip
    document = {"schema": 1, "run_id": made["run_id"], "threads": 1, "cores": [0], "cells": cells, "environment": {}}
    (folder / "latency.json").write_text(json.dumps(document))
