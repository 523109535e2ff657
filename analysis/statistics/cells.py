"""Runs that differ only in their seeds, together: a cell's score, its variance, its bytes and its number of seeds."""

from __future__ import annotations

import pandas as pd

from analysis.read.results import CELL


def cells(runs: pd.DataFrame, score: str = "score_glue", size: str = "nominal_bytes") -> pd.DataFrame:
    """One row per cell, in the order of the runs.

    Args:
        runs: as in `Results.runs`.
        score: the column of scores, points; undefined ones are left out of the mean.
        size: the column of bytes.

    Returns:
        Columns `CELL`; score (mean over seeds; NaN where no run's is defined), seeds (how many the score is of),
        variance (of that mean; NaN below two seeds), bytes (mean).
    """
    grouped = runs.groupby(CELL, sort=False)
    table = grouped.agg(score=(score, "mean"), variance=(score, "var"), seeds=(score, "count"), bytes=(size, "mean"))
    table["variance"] /= table["seeds"]
    return table.reset_index()
