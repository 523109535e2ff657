"""What figures show of each model and compression: its mean score against its size, and what its bytes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import pandas as pd

from analysis.names import PARTS, Names, seeds
from analysis.read.results import Results
from analysis.statistics.score_size import cells
from analysis.subsets import joined

POINT = ["model", "methods", "variant"]
REST = "rest"


@dataclass(frozen=True)
class MeanScores:
    """What a figure of mean scores shows.

    Attributes:
        points: columns `POINT`, bytes (mean over tasks and seeds), score (mean over tasks of the mean over seeds),
            error (its standard error over seeds; NaN unless every task has two), seeds (the least of a task; 0 if
            unknown).
        tasks: that every mean is over.
        left_out: what (model, methods, variant) lacks some of these tasks.
        score, size: `glue` or `accuracy`; `nominal` or `artifact` bytes.
    """

    points: pd.DataFrame
    names: Names
    tasks: list[str]
    left_out: list[tuple[str, str, str]]
    score: str = "glue"
    size: str = "nominal"

    @property
    def counts(self) -> str:
        """How many tasks and seeds, in words."""
        tasks = [] if len(self.tasks) == 1 else [f"{len(self.tasks)} tasks"]
        return ", ".join([*tasks, self.seeds] if self.points["seeds"].any() else tasks)

    @property
    def seeds(self) -> str:
        """How many seeds the points have, in words."""
        return seeds(self.points["seeds"].min(), self.points["seeds"].max())


def mean_scores(
    results: Results, score: str = "glue", size: str = "nominal", tasks: Sequence[str] | None = None
) -> MeanScores:
    """Average the runs over seeds, then over tasks: without any given those that `common_tasks` finds.

    A mean over other tasks is another quantity, so every point is over the same tasks.
    """
    runs = results.runs
    scored = runs[runs[f"score_{score}"].notna()]
    chosen = common_tasks(scored) if tasks is None else list(tasks)
    table = cells(scored[scored["task"].isin(chosen)], f"score_{score}", f"{size}_bytes")
    points = table.groupby(POINT, sort=False).agg(
        bytes=("bytes", "mean"),
        score=("score", "mean"),
        error=("variance", lambda variances: variances.sum(skipna=False) ** 0.5 / len(variances)),
        seeds=("seeds", "min"),
        tasks=("task", "size"),
    )
    complete = points[points["tasks"] == len(chosen)].drop(columns="tasks")
    there = runs[POINT].drop_duplicates().itertuples(index=False, name=None)
    left_out = [point for point in there if point not in complete.index]
    return MeanScores(complete.reset_index(), Names(results.methods), chosen, left_out, score, size)


def common_tasks(runs: pd.DataFrame) -> list[str]:
    """The tasks over which the most can be compared: most (point, task) pairs with no gap, then the most tasks."""
    tasks_of = [frozenset(tasks) for _, tasks in runs.groupby(POINT)["task"]]
    candidates = {one & other for one, other in combinations_with_replacement(set(tasks_of), 2)}

    def order(tasks: frozenset[str]) -> tuple[int, int, list[str]]:
        return len(tasks) * sum(tasks <= there for there in tasks_of), len(tasks), sorted(tasks)

    best = max(candidates, key=order, default=frozenset())
    return [task for task in dict.fromkeys(runs["task"]) if task in best]


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
