"""What the bytes of a model are: its parts, and what its file holds beyond the parameters that survive."""

from __future__ import annotations

import pandas as pd

from analysis.names import PARTS, Names
from analysis.read.results import Results
from analysis.subsets import joined

REST = "rest"


def breakdown(results: Results) -> pd.DataFrame:
    """One row per model and compression that changes its size; methods that only train otherwise count as off.

    Returns:
        Columns model, name (`prune 40 %`), embeddings, encoder, head (nominal bytes), rest (the weight file's bytes
        beyond them: masks, scales, ranges, the format's header), artifact (the file's bytes) and whole
        (float32 bytes of all parameters); means over tasks and seeds.
    """
    runs, methods, names = results.runs, results.methods, Names(results.methods)
    rows = []
    for run in runs[runs["by_part"].map(lambda parts: {"embeddings", "encoder"} <= set(parts))].to_dict("records"):
        shrinking = tuple(entry for entry in run["compression"] if entry.shrinks)
        nominal = {name: float(run["by_part"].get(name, 0)) for name in PARTS if name != REST}
        rows.append({
            "model": run["model"],
            "order": methods.rank(shrinking),
            "name": names.cell(joined(entry.method for entry in shrinking), methods.variant(shrinking)),
            **nominal,
            REST: max(0.0, run["artifact_bytes"] - sum(nominal.values())),
            "artifact": float(run["artifact_bytes"]),
            "whole": 4.0 * run["parameters"],
        })  # fmt: skip
    columns = ["model", "name", *PARTS, "artifact", "whole"]
    means = pd.DataFrame(rows, columns=["order", *columns]).groupby(["model", "order", "name"]).mean().reset_index()
    return means.sort_values(["order", "model"], kind="stable")[columns].reset_index(drop=True)
