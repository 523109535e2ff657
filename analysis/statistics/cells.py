"""Runs that differ only in their seeds, together: a cell's score, its spread, its bytes and its number of seeds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from analysis.read.results import SUBSETS, models_by_size
from analysis.read.selection import CELL


def cells(runs: pd.DataFrame, score: str = "score_glue", size: str = "nominal_bytes") -> pd.DataFrame:
    """One row per cell, in the order of the runs.

    Args:
        runs: as in `Results.runs`.
        score: the column of scores, points; undefined ones are left out of the mean, and counted.
        size: the column of bytes.

    Returns:
        Columns task, model, methods, sparsity; score (mean over seeds; NaN where no run's is defined), sd (NaN below
        two seeds), seeds (how many the score is of), undefined (runs without a score), bytes (mean), log_bytes.
    """
    grouped = runs.groupby(list(CELL), sort=False)
    table = grouped.agg(
        score=(score, "mean"), sd=(score, "std"), seeds=(score, "count"), runs=("run_id", "size"), bytes=(size, "mean")
    ).reset_index()
    table["undefined"] = table.pop("runs") - table["seeds"]
    table["log_bytes"] = np.log(table["bytes"])
    return table


def missing(runs: pd.DataFrame) -> pd.DataFrame:
    """Cells (columns task, model, methods, sparsity) that a full crossing of what the collection holds would have."""
    there = set(runs[list(CELL)].itertuples(index=False, name=None))
    tasks = list(dict.fromkeys(runs["task"]))
    subsets = [name for name in SUBSETS if name in set(runs["methods"])]
    sparsities = sorted(set(runs.loc[runs["prune"], "sparsity"]))
    wanted = [
        (task, model, methods, sparsity)
        for task, model, methods in product(tasks, models_by_size(runs), subsets)
        for sparsity in (sparsities if "prune" in methods else (0.0,))
    ]
    return pd.DataFrame([cell for cell in wanted if cell not in there], columns=list(CELL))
