"""What the bytes of a model are: its parts, and what its file holds beyond the parameters that survive."""

from __future__ import annotations

import pandas as pd

from analysis.names import PARTS, Names
from analysis.read.results import Results
from analysis.subsets import joined

REST = "rest"
STORED = [name for name in PARTS if name != REST]


def breakdown(results: Results) -> pd.DataFrame:
    """One row per model and compression that changes its size; methods that only train otherwise count as off.

    Returns:
        Columns model, name (`prune 40 %`), embeddings, encoder, head (nominal bytes), rest (the weight file's bytes
        beyond them: masks, scales, ranges, the format's header), artifact (the file's bytes) and whole
        (float32 bytes of all parameters); means over tasks and seeds.
    """
    runs = results.runs
    there = runs[runs["by_part"].map(lambda parts: {"embeddings", "encoder"} <= set(parts))]
    columns = ["model", "name", *PARTS, "artifact", "whole"]
    table = pd.DataFrame([_row(results, run) for _, run in there.iterrows()], columns=["order", *columns])
    means = table.groupby(["model", "order", "name"], sort=True).mean().reset_index()
    return means.sort_values(["order", "model"], kind="stable")[columns].reset_index(drop=True)


def _row(results: Results, run: pd.Series) -> dict[str, object]:
    methods = results.methods
    shrinking = tuple(entry for entry in run["compression"] if entry.shrinks)
    nominal = {name: float(run["by_part"].get(name, 0)) for name in STORED}
    return {
        "model": run["model"],
        "order": methods.rank(shrinking),
        "name": Names(methods).cell(joined(entry.method for entry in shrinking), methods.variant(shrinking)),
        **nominal,
        REST: max(0.0, run["artifact_bytes"] - sum(nominal.values())),
        "artifact": float(run["artifact_bytes"]),
        "whole": 4.0 * run["parameters"],
    }
