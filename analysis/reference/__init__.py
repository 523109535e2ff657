"""The study's own numbers: its Table 1, and its Figure 1 as read off the plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.subsets import Methods, collected
from compress.runs.result import Compression
from compress.wording import MEGABYTE

SOURCE = (
    "Movva, Lei, Longpre, Gupta & DuBois, Combining Compressions for Multiplicative Size Scaling on Natural Language"
    " Tasks, COLING 2022 (arXiv 2208.09684)"
)
HERE = Path(__file__).parent
INT8 = Compression(method="quantize", option="int8", noun="quantization", position=10, shrinks=True)
TAUGHT = Compression(method="distill", option="kd", noun="distillation", position=20, shrinks=False)
PRUNED = Compression(method="prune", option="magnitude", noun="pruning", position=30, shrinks=True, strength="sparsity")
SPARSITIES = (0.4, 0.6)


def _pruned(sparsity: float) -> Compression:
    return replace(PRUNED, value=sparsity)


def methods() -> Methods:
    """The study's three."""
    return collected([(INT8, TAUGHT, _pruned(sparsity)) for sparsity in SPARSITIES])


def figure1() -> pd.DataFrame:
    """Mean GLUE accuracy of each architecture, subset and sparsity; scores are read off the plot, ± 0.1.

    Sizes are not read off but computed: surviving weights × 4 bytes, or × 1 when quantized.

    Returns:
        Columns model, methods, variant, bytes, score.
    """
    table = pd.read_csv(HERE / "figure1.csv")
    variants = {0.0: ""} | {sparsity: methods().variant((_pruned(sparsity),)) for sparsity in SPARSITIES}
    table = table.assign(bytes=table.pop("megabytes") * MEGABYTE, variant=table.pop("sparsity").map(variants))
    return table[["model", "methods", "variant", "bytes", "score"]]


def table1() -> dict[str, dict[str, float]]:
    """Mean over the GLUE tasks of the greatest reduction within 0.5 points of an architecture's own baseline.

    Returns:
        subset -> model (large to small) -> factor.
    """
    table = pd.read_csv(HERE / "table1.csv", index_col="model").drop(columns="megabytes")
    return {
        str(subset): {str(model): float(value) for model, value in column.items()} for subset, column in table.items()
    }
