"""The study's own numbers: its Table 1, and its Figure 1 as read off the plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.read.results import FAILURE_COLUMNS, Results
from analysis.subsets import NONE, Compressions, Methods, collected, split
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
TASKS = 8  # that each of its numbers is a mean over
MEAN = "the mean of eight tasks"


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


def results() -> Results:
    """Figure 1 as a collection: one task, which is the mean of eight, one seed, accuracies and nominal bytes."""
    figure = figure1()
    compressions = [_compressions(*row) for row in zip(figure["methods"], figure["variant"], strict=True)]
    parameters = figure[figure["methods"] == NONE].set_index("model")["bytes"] / 4
    runs = figure.assign(
        run_id=[f"figure-{place}" for place in figure.index], task=MEAN, seed=0, compression=compressions,
        score_glue=float("nan"), score_accuracy=figure["score"], parameters=figure["model"].map(parameters),
        nominal_bytes=figure["bytes"], artifact_bytes=float("nan"), teacher_run_id=None, start_run_id=None,
        folder=None, url=None,
    )  # fmt: skip
    return Results(runs, pd.DataFrame(columns=list(FAILURE_COLUMNS)), [], SOURCE)


def _compressions(subset: str, variant: str) -> Compressions:
    strengths = {methods().variant((_pruned(sparsity),)): _pruned(sparsity) for sparsity in SPARSITIES}
    entries = {INT8.method: INT8, TAUGHT.method: TAUGHT, PRUNED.method: strengths.get(variant, PRUNED)}
    return tuple(entries[method] for method in split(subset))
