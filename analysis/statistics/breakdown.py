"""What the bytes of a model are: its parts, and what its file holds beyond the parameters that survive."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.names import label


def breakdown(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per model, precision and sparsity, distilled or not: distillation changes no size.

    Returns:
        Columns model, name (`prune 40 %`), embeddings, encoder, head (nominal bytes), rest (the weight file's bytes
        beyond them: masks, scales, ranges, the format's header), artifact (the file's bytes) and whole
        (float32 bytes of all parameters); means over tasks and seeds.
    """
    rows = [_row(run) for _, run in runs.iterrows() if {"embeddings", "encoder"} <= set(run["by_part"])]
    columns = ["model", "name", "embeddings", "encoder", "head", "rest", "artifact", "whole"]
    table = pd.DataFrame(rows, columns=["order", *columns])
    means = table.groupby(["model", "order", "name"], sort=True).mean().reset_index()
    return means.sort_values(["order", "model"], kind="stable")[columns].reset_index(drop=True)


def _row(run: pd.Series) -> dict[str, Any]:
    methods = "+".join(name for name in ("quantize", "prune") if run[name]) or "none"
    parts = {name: float(part["nominal_bytes"]) for name, part in run["by_part"].items()}
    known = {name: parts.get(name, 0.0) for name in ("embeddings", "encoder", "head")}
    return {
        "model": run["model"],
        "order": (run["quantize"] + 2 * run["prune"], run["sparsity"]),
        "name": label(methods) + (f" {100 * run['sparsity']:g} %" if run["prune"] else ""),
        **known,
        "rest": max(0.0, run["artifact_bytes"] - sum(known.values())),
        "artifact": float(run["artifact_bytes"]),
        "whole": 4.0 * run["parameters"],
    }
