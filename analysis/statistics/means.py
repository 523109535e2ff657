"""The points of Figure 1: mean score over tasks against size, of each model, subset of methods and sparsity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import pandas as pd

from analysis import reference
from analysis.names import plural, task_label
from analysis.read.results import TASKS

CELL = ["model", "methods", "sparsity"]


@dataclass(frozen=True)
class Curves:
    """What a figure of mean scores shows.

    Attributes:
        points: columns model, methods, sparsity, bytes (mean over tasks and seeds), score (mean over tasks of the mean
            over seeds), error (its standard error over seeds; NaN unless every task has two), seeds (the least of a
            task; 0 if unknown).
        tasks: that every mean is over.
        left_out: cells (model, methods, sparsity) without some of these tasks.
        score: `glue` or `accuracy`.
        size: `nominal` or `artifact` bytes.
    """

    points: pd.DataFrame
    tasks: list[str]
    left_out: list[tuple[str, str, float]]
    score: str = "glue"
    size: str = "nominal"

    @property
    def subject(self) -> str:
        """Whose score the points are: `Mean`, or the task's."""
        return task_label(self.tasks[0]) if len(self.tasks) == 1 else "Mean"

    @property
    def counts(self) -> str:
        """How many tasks and seeds, in words."""
        tasks = [] if len(self.tasks) == 1 else [f"{len(self.tasks)} tasks"]
        return ", ".join([*tasks, self.seeds] if self.points["seeds"].any() else tasks)

    @property
    def seeds(self) -> str:
        """How many seeds the points have, in words: `1 seed`, `1–3 seeds`."""
        least, most = self.points["seeds"].min(), self.points["seeds"].max()
        return plural(most, "seed") if least == most else f"{least}–{most} seeds"


def curves(
    runs: pd.DataFrame, score: str = "glue", size: str = "nominal", tasks: Sequence[str] | None = None
) -> Curves:
    """Average the runs (columns of `Results.runs`) over seeds, then over tasks.

    A mean over other tasks is another quantity, so every point is over the same tasks; see `common_tasks`.

    Args:
        tasks: to average over; without them, those that `common_tasks` finds.
    """
    scored = runs[runs[f"score_{score}"].notna()]
    chosen = common_tasks(scored) if tasks is None else list(tasks)
    scored = scored[scored["task"].isin(chosen)]
    grouped = scored.groupby([*CELL, "task"], sort=False)
    cells = grouped.agg(
        score=(f"score_{score}", "mean"),
        variance=(f"score_{score}", "var"),
        bytes=(f"{size}_bytes", "mean"),
        seeds=("seed", "nunique"),
    ).reset_index()
    cells["variance"] /= cells["seeds"]
    points = cells.groupby(CELL, sort=False).agg(
        bytes=("bytes", "mean"),
        score=("score", "mean"),
        error=("variance", lambda variances: variances.sum(skipna=False) ** 0.5 / len(variances)),
        seeds=("seeds", "min"),
        tasks=("task", "size"),
    )
    complete = points["tasks"] == len(chosen)
    there = runs[CELL].drop_duplicates().itertuples(index=False, name=None)
    left_out = [cell for cell in there if cell not in points.index or not complete[cell]]
    return Curves(points[complete].drop(columns="tasks").reset_index(), chosen, left_out, score, size)


def published() -> Curves:
    """The paper's own Figure 1; how many seeds its points have is not known."""
    points = reference.figure1().assign(error=math.nan, seeds=0)
    return Curves(points, list(TASKS), [], "accuracy")


def common_tasks(runs: pd.DataFrame) -> list[str]:
    """The tasks over which the most can be compared: most (cell, task) pairs with no gap, then the most tasks."""
    by_cell = [frozenset(tasks) for _, tasks in runs.groupby(CELL)["task"]]
    distinct = set(by_cell)
    candidates = {one & other for one, other in combinations_with_replacement(distinct, 2)} - {frozenset[str]()}
    if not candidates:
        return []

    def compared(tasks: frozenset[str]) -> tuple[int, int, list[str]]:
        return len(tasks) * sum(tasks <= own for own in by_cell), len(tasks), sorted(tasks)

    best = max(candidates, key=compared)
    return [task for task in dict.fromkeys(runs["task"]) if task in best]
