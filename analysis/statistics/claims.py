"""What is claimed of a collection, by an estimator: a verdict on each contrast and main effect, and methods' places.

An estimator is a function from `Results` and `Options` to a frame with a row per claim (`CLAIMS`). There are two: the
model of all tasks (`equivalent_size`), and score-size curves (`interactions`, `priorities`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis import names
from analysis.options import Options
from analysis.read.results import Results, Row
from analysis.statistics import equivalent_size, interactions, priorities
from analysis.statistics.contrasts import TaskCurves, curves_by_task
from analysis.statistics.interactions import INCONCLUSIVE, UNDEFINED
from analysis.statistics.like_with_like import MAIN
from analysis.statistics.uncertainty import quantile

SMALLER, LARGER, BETTER, WORSE = names.EFFECT_SIGNS
MODEL, CURVES = names.ESTIMATORS  # the names of the estimators
NOTHING = (INCONCLUSIVE, UNDEFINED)  # verdicts that claim nothing
CLAIM = ("claim", "kind")  # what a claim is of: a combination or a method; a key of `names.KINDS`
CLAIMS = (*CLAIM, "family", "estimate", "low", "high", "error", "freedom", "verdict")
Estimator = Callable[[Results, Options], pd.DataFrame]


def estimators() -> dict[str, Estimator]:
    """By their names."""
    return {MODEL: by_model, CURVES: Curves()}


def by_model(results: Results, options: Options) -> pd.DataFrame:
    """Claims from `equivalent_size.table`."""
    return model_claims(equivalent_size.table(results, options))


def model_claims(table: pd.DataFrame) -> pd.DataFrame:
    """Of the mean over tasks. A place is claimed where a method's interval has no number in common with another's."""
    means, tasks = table[table["scope"] == "mean"], table[table["scope"] != "mean"]
    contrasts = [
        {"claim": row["contrast"], "kind": row["kind"], "family": "contrast", "verdict": row["verdict"],
         **{key: row[key] for key in ("estimate", "low", "high", "error", "freedom")}}
        for row in means[means["kind"] != MAIN].to_dict("records")
    ]  # fmt: skip
    main = means[means["kind"] == MAIN].to_dict("records")
    sizes = [
        _effect(row["contrast"], "bytes", {key: row[key] for key in ("estimate", "low", "high", "error", "freedom")})
        for row in main
    ]
    told = tasks[(tasks["kind"] == MAIN) & tasks["points"].notna()].groupby("contrast").size()
    points = [_effect(row["contrast"], "score", _points(row, int(told.get(row["contrast"], 0)))) for row in main]
    rows = [*contrasts, *sizes, *points, *_places(sizes), *_places(points)]
    return pd.DataFrame(rows, columns=list(CLAIMS))


def _points(row: Row, tasks: int) -> dict[str, float]:
    """An effect on points, whose interval is from the differences between so many tasks; of one, of unknown freedom."""
    low, high, freedom = row["points_low"], row["points_high"], tasks - 1
    known = freedom > 0 and math.isfinite(low)
    error = (high - low) / 2 / quantile(freedom) if known else math.nan
    return {"estimate": row["points"], "low": low, "high": high, "error": error,
            "freedom": freedom if known else math.nan}  # fmt: skip


def _effect(method: str, measure: str, numbers: dict[str, float]) -> dict[str, object]:
    words = (SMALLER, LARGER) if measure == "bytes" else (BETTER, WORSE)
    return {"claim": method, "kind": measure, "family": "effect", **numbers, "verdict": _direction(numbers, *words)}


def _places(effects: Sequence[Row]) -> list[dict[str, object]]:
    """The places of methods by one measure, the greatest effect first, as their intervals bound them."""
    rows: list[dict[str, object]] = []
    for row in effects:
        others = [other for other in effects if other is not row]
        numbers = dict.fromkeys(("estimate", "low", "high", "error", "freedom"), math.nan)
        if all(math.isfinite(own["low"]) for own in effects):
            numbers["estimate"] = 1.0 + sum(other["estimate"] > row["estimate"] for other in others)
            numbers["low"] = 1.0 + sum(other["low"] > row["high"] for other in others)
            numbers["high"] = 1.0 + sum(other["high"] >= row["low"] for other in others)
        place = {"claim": row["claim"], "kind": f"rank {row['kind']}", "family": "place"}
        rows.append({**place, **numbers, "verdict": _place(numbers)})
    return rows


@dataclass
class Curves:
    """Claims from score-size curves: `interactions.table` and `priorities.main_effects` of the mean over tasks.

    A task's curves are made once for all collections that have its same runs.
    """

    _tasks: dict[object, list[TaskCurves]] = field(default_factory=dict)

    def __call__(self, results: Results, options: Options) -> pd.DataFrame:
        tasks = [curves for _, runs in results.runs.groupby("task", sort=False) for curves in self._of(runs, options)]
        return curve_claims(
            interactions.table(results, options, tasks), priorities.main_effects(results, options, tasks)
        )

    def _of(self, runs: pd.DataFrame, options: Options) -> list[TaskCurves]:
        key = options, tuple(runs["run_id"])
        if key not in self._tasks:
            self._tasks[key] = curves_by_task(runs, options)
        return self._tasks[key]


def curve_claims(contrasts: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """The claims of `interactions.table` and `priorities.main_effects`; from tasks where seeds give no interval."""
    rows: list[dict[str, object]] = []
    for row in contrasts[contrasts["scope"] == "mean"].to_dict("records"):
        verdict = row["verdict"] if row["verdict"] != UNDEFINED else row["tasks_verdict"]
        numbers = {"estimate": row["interaction"], **_interval(row)}
        rows.append(
            {"claim": row["contrast"], "kind": row["kind"], "family": "contrast", **numbers, "verdict": verdict}
        )
    for row in effects[effects["scope"] == "mean"].to_dict("records"):
        rows.append(_effect(row["method"], row["measure"], {"estimate": row["effect"], **_interval(row)}))
    for row in effects[effects["scope"] == "mean"].to_dict("records"):
        numbers = {"estimate": row["rank"], "low": row["rank_low"], "high": row["rank_high"]}
        numbers |= {"error": math.nan, "freedom": math.nan}
        place = {"claim": row["method"], "kind": f"rank {row['measure']}", "family": "place"}
        rows.append({**place, **numbers, "verdict": _place(numbers)})
    return pd.DataFrame(rows, columns=list(CLAIMS))


def _interval(row: Row) -> dict[str, float]:
    """From seeds; without one from the differences between tasks."""
    if math.isfinite(row["low"]):
        return {key: row[key] for key in ("low", "high", "error", "freedom")}
    low, high, freedom = row["tasks_low"], row["tasks_high"], row["tasks"] - 1
    error = (high - low) / 2 / quantile(freedom) if math.isfinite(low) else math.nan
    return {"low": low, "high": high, "error": error, "freedom": freedom if math.isfinite(low) else math.nan}


def _direction(numbers: dict[str, float], more: str, less: str) -> str:
    """The word for a number that is more than 0, or less; `inconclusive` if its interval holds 0."""
    if not math.isfinite(numbers["low"]):
        return UNDEFINED
    return more if numbers["low"] > 0 else less if numbers["high"] < 0 else INCONCLUSIVE


def _place(numbers: dict[str, float]) -> str:
    """`place 1`, if 95 % of the replicates put it there."""
    if not math.isfinite(numbers["low"]):
        return UNDEFINED
    return f"place {numbers['estimate']:.0f}" if numbers["low"] == numbers["high"] else INCONCLUSIVE
