"""What figures show of each model and compression: its mean score against its size, and what its bytes are.

Runs of a model that share a seed share much of their luck, so a point's own standard error says too little or too much
of whether two points differ. What a compression changes is told by differences within seeds: `gain` is the mean over
tasks of the mean over seeds s of

    score[compressed, s] − score[uncompressed, s]       (the same task and model),

and its 95 % interval gain ± `reach` is of a t distribution, the variance being that of the differences. (Intervals that
are pooled over all cells of a model, as Loftus & Masson's, 1994, or Cousineau & Morey's, 2008, take all differences to
vary alike. Those between models with and without a teacher vary more, since its luck counts for the former alone.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import pandas as pd

from analysis.names import PARTS, Names, seeds
from analysis.read.results import CELL, Results
from analysis.statistics.score_size import ScoreSizeCurve, cells, common_scores, score_size_curves
from analysis.statistics.uncertainty import quantile, satterthwaite
from analysis.subsets import NONE, joined

POINT = ["model", "methods", "variant"]
REST = "rest"


@dataclass(frozen=True)
class MeanScores:
    """What a figure of mean scores shows.

    Attributes:
        points: columns `POINT`, bytes (mean over tasks and seeds), score (mean over tasks of the mean over seeds),
            error (its standard error over seeds; NaN unless every task has two), seeds (the least of a task; 0 if
            unknown), gain and reach (as above, in points; NaN for what is uncompressed, and where a task lacks the
            uncompressed model with one seed of the point's, or two for the reach).
        tasks: that every mean is over.
        left_out: what (model, methods, variant) lacks some of these tasks.
        score, size: `glue` or `accuracy`; `nominal` or `artifact` bytes.
        without: the collection's other tasks, which not all of these points have.
    """

    points: pd.DataFrame
    names: Names
    tasks: list[str]
    left_out: list[tuple[str, str, str]]
    score: str = "glue"
    size: str = "nominal"
    without: tuple[str, ...] = ()

    @property
    def counts(self) -> str:
        """How many tasks (`7 of 8 tasks`) and seeds, in words."""
        of = f" of {len(self.tasks) + len(self.without)}" if self.without else ""
        tasks = [] if len(self.tasks) == 1 and not of else [f"{len(self.tasks)}{of} tasks"]
        return ", ".join([*tasks, self.seeds] if self.points["seeds"].any() else tasks)

    def cell(self, point: pd.Series) -> str:
        """What a point is: `BASE`, `BASE, prune 40 %`."""
        compressed = "" if point["methods"] == NONE else f", {self.names.cell(point['methods'], point['variant'])}"
        return f"{point['model'].upper()}{compressed}"

    @cached_property
    def curves(self) -> Mapping[str, ScoreSizeCurve]:
        """Subset -> nondecreasing curve through its points; of a single task that which the statistics compare."""
        weighted = self.points.assign(task="", seeds=self.points["seeds"].clip(lower=1))
        by_task = score_size_curves(weighted)
        return {subset: by_task[""][subset] for subset in self.names.methods.subsets if subset in by_task.get("", {})}

    @property
    def outliers(self) -> pd.DataFrame:
        """The points whose scores are not `inside`, the largest first."""
        if self.points.empty:
            return self.points
        beyond = ~self.points["score"].between(*inside(self.points["score"]))
        return self.points[beyond].sort_values("bytes", ascending=False, kind="stable")

    @property
    def common(self) -> tuple[float, float] | None:
        """The least and the greatest score that all curves reach; None if there are none, or one curve alone."""
        if len(self.curves) < 2:
            return None
        low, high = map(float, common_scores([curve.scores for curve in self.curves.values()]))
        return (low, high) if low < high else None

    @property
    def seeds(self) -> str:
        """How many seeds the points have, in words."""
        return seeds(self.points["seeds"].min(), self.points["seeds"].max())


def inside(scores: Sequence[float] | pd.Series) -> tuple[float, float]:
    """The least and the greatest score that is no outlier.

    Outliers are up to three scores at one end, a sixth of all at most, that lie farther from the others than these are
    spread: with them the axis would be more than twice as long.
    """
    ordered = sorted(scores)
    for count in range(1, min(3, len(ordered) // 6) + 1):
        low, high = ordered[0], ordered[-count - 1]
        if ordered[-count] - high > high - low > 0:
            return low, high
        low, high = ordered[count], ordered[-1]
        if low - ordered[count - 1] > high - low > 0:
            return low, high
    return ordered[0], ordered[-1]


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
    complete = complete.join(gains(scored[scored["task"].isin(chosen)], f"score_{score}"))
    there = runs[POINT].drop_duplicates().itertuples(index=False, name=None)
    left_out = [point for point in there if point not in complete.index]
    without = () if tasks else tuple(task for task in results.tasks if task not in chosen)
    return MeanScores(complete.reset_index(), Names(results.methods), chosen, left_out, score, size, without)


def gains(runs: pd.DataFrame, score: str) -> pd.DataFrame:
    """How much every point gains over the uncompressed model, within seeds, over all tasks of the runs.

    Returns:
        Columns gain and reach, in points, by `POINT`.
    """
    plain = runs[runs["methods"] == NONE].set_index(["task", "model", "seed"])[score].rename("plain")
    paired = runs[runs["methods"] != NONE].join(plain, on=["task", "model", "seed"], how="inner")
    differences = (paired[score] - paired["plain"]).groupby([paired[key] for key in CELL], sort=False)
    table = differences.agg(["mean", "var", "count"]).reset_index()
    tasks = runs["task"].nunique()
    rows = {point: _gain(cells) for point, cells in table.groupby(POINT, sort=False) if len(cells) == tasks}
    index = pd.MultiIndex.from_tuples(list(rows), names=POINT)
    return pd.DataFrame(list(rows.values()), index, columns=["gain", "reach"], dtype=float)


def _gain(tasks: pd.DataFrame) -> tuple[float, float]:
    """The mean over tasks of the differences' means, and half the length of its interval; NaN with a single seed."""
    means, spread, counts = (tasks[key].to_numpy() for key in ("mean", "var", "count"))
    gain = float(means.mean())
    if counts.min() < 2:
        return gain, math.nan
    parts = list(zip((spread / counts).tolist(), (counts - 1).tolist(), strict=True))
    error = math.sqrt(sum(variance for variance, _ in parts)) / len(parts)
    return gain, quantile(satterthwaite(parts)) * error


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
