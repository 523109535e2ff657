"""The study's own numbers: its Table 1, and its Figure 1 as read off the plot."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

SOURCE = (
    "Movva, Lei, Longpre, Gupta & DuBois, Combining Compressions for Multiplicative Size Scaling on Natural Language"
    " Tasks, COLING 2022 (arXiv 2208.09684)"
)
MEGABYTE = 1e6  # decimal, as in the study
HERE = Path(__file__).parent


def figure1() -> pd.DataFrame:
    """Mean GLUE accuracy of each architecture, subset and sparsity; scores are read off the plot, ± 0.1.

    Sizes are not read off but computed: surviving weights × 4 bytes, or × 1 when quantized.

    Returns:
        Columns model, methods, sparsity, bytes, score.
    """
    table = pd.read_csv(HERE / "figure1.csv")
    return table.assign(bytes=table.pop("megabytes") * MEGABYTE)[["model", "methods", "sparsity", "bytes", "score"]]


def table1() -> pd.DataFrame:
    """Mean over the GLUE tasks of the greatest reduction within 0.5 points of an architecture's own baseline.

    Returns:
        Index model (large to small), a column for each subset but `none`: factors.
    """
    return pd.read_csv(HERE / "table1.csv", index_col="model").drop(columns="megabytes")
