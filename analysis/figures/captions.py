"""What a reader must know of each figure, in words that can stand under it."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.names import SCORES, SIZES, task_label
from analysis.statistics.means import MeanScores

INTERACTIONS = (
    "Log of observed over expected size reduction at equal score, mean over tasks; expected is the product of what each"
    " method reduces alone. Shaded: within a factor of 1.1. Bars: 95 % intervals from seeds, or, dashed, from the"
    " differences between tasks where seeds give none."
)
PARTS = (
    "Bytes of the weight file as a share of the uncompressed model in float32: surviving parameters at their nominal"
    " size, and what the file holds beyond them (masks, scales, activation ranges, the header)."
)


def figure1(shown: MeanScores) -> str:
    """Of the figure of means."""
    over = ", ".join(task_label(task) for task in shown.tasks)
    return (
        f"Mean over {over} of {SCORES[shown.score].meaning} against {SIZES[shown.size].meaning}; {shown.counts}."
        f" Dotted: the largest uncompressed model.{_bars(shown)}{_left_out(shown)}"
    )


def tasks(panels: Sequence[MeanScores]) -> str:
    """Of the figure that has a panel for each task."""
    first = panels[0]
    bars = next(filter(None, map(_bars, panels)), "")
    return f"Each task's score ({SCORES[first.score].meaning}) against {SIZES[first.size].meaning}.{bars}"


def _bars(shown: MeanScores) -> str:
    return " Bars: ±1 standard error over seeds." if shown.points["error"].notna().any() else ""


def _left_out(shown: MeanScores) -> str:
    """What is not drawn, by methods."""
    models: dict[str, list[str]] = {}
    for model, methods, variant in shown.left_out:
        models.setdefault(shown.names.cell(methods, variant), []).append(model)
    if not models:
        return ""
    said = "; ".join(f"{name} ({', '.join(of)})" for name, of in models.items())
    return f" Not drawn, for want of one of these tasks: {said}."
