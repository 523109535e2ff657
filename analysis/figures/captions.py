"""What a reader must know of each figure, in words that can stand under it."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.names import label, task_label
from analysis.statistics.curves import Curves

SCORES = {
    "glue": "the tasks' official GLUE metrics",
    "accuracy": "accuracies (STS-B: Pearson and Spearman correlation)",
}
SIZES = {
    "nominal": "size: surviving weights at 4 bytes, at 1 byte if quantized",
    "artifact": "bytes of the weight file, masks and scales included",
}
INTERACTIONS = (
    "Log of observed over expected size reduction at equal score, mean over tasks; expected is the product of what each"
    " method reduces alone. Shaded: within a factor of 1.1. Bars: 95 % intervals from seeds, or, dashed, from the"
    " differences between tasks where seeds give none."
)
PARTS = (
    "Bytes of the weight file as a share of the uncompressed model in float32: surviving parameters at their nominal"
    " size, and what the file holds beyond them (masks, scales, activation ranges, the header)."
)


def figure1(shown: Curves) -> str:
    """Of the figure of means."""
    names = ", ".join(task_label(task) for task in shown.tasks)
    return (
        f"Mean over {names} of {SCORES[shown.score]} against {SIZES[shown.size]}; {shown.counts}. Dotted: the largest"
        f" uncompressed model.{_bars(shown)}{_left_out(shown.left_out)}"
    )


def tasks(each: Iterable[Curves]) -> str:
    """Of the figure that has a panel for each task."""
    panels = list(each)
    return f"Each task's score ({SCORES[panels[0].score]}) against {SIZES[panels[0].size]}." + (
        _bars(panels[0]) or "".join({_bars(shown) for shown in panels})
    )


def _bars(shown: Curves) -> str:
    return " Bars: ±1 standard error over seeds." if shown.points["error"].notna().any() else ""


def _left_out(cells: Iterable[tuple[str, str, float]]) -> str:
    """Which cells are not drawn, by methods."""
    models: dict[str, list[str]] = {}
    for model, methods, sparsity in cells:
        name = label(methods) + (f" {100 * sparsity:g} %" if sparsity else "")
        models.setdefault(name, []).append(model)
    if not models:
        return ""
    said = "; ".join(f"{name} ({', '.join(own)})" for name, own in models.items())
    return f" Not drawn, for want of one of these tasks: {said}."
