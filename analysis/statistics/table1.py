"""Table 1: how much smaller the smallest model is that is about as good as an uncompressed one.

The study's rule. For an architecture whose uncompressed score on a task is b, and a subset of methods: the smallest
model of *any* architecture and variant that the methods made and whose score on the task is at least b − tolerance; the
factor is the baseline's bytes over that model's (it may be below 1); then the arithmetic mean over the tasks. Where no
model reaches it the factor is undefined, and the mean is over the other tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis import reference
from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics.contrasts import TaskCurves, curves_by_task, mean_draws
from analysis.statistics.score_size import Array, cells
from analysis.subsets import NONE

FACTORS = (
    "task", "model", "methods", "baseline_score", "baseline_bytes", "factor", "picked_model", "picked_variant",
    "picked_score", "picked_bytes", "seeds", "reason",
)  # fmt: skip
SLACK = 1e-9  # points: a score that is short by exactly the tolerance counts
COLUMNS = ("model", "baseline_bytes", "methods", "factor", "low", "high", "tasks", "of", "seeds", "paper", "reason")


def factors(results: Results, options: Options) -> pd.DataFrame:
    """The pick of every task, architecture and subset; columns `FACTORS`, `seeds` the fewer of baseline and pick.

    An architecture without an uncompressed score on a task has no row there.
    """
    table = cells(results.runs, options.score_column, options.bytes_column)
    table = table[table["score"].notna()]
    rows = []
    for baseline in table[table["methods"] == NONE].to_dict("records"):
        of_task = table[table["task"] == baseline["task"]].sort_values("bytes", kind="stable")
        for methods in _compressed(results):
            pick = _pick(baseline, of_task[of_task["methods"] == methods], options.tolerance)
            rows.append({"task": baseline["task"], "model": baseline["model"], "methods": methods, **pick})
    return pd.DataFrame(rows, columns=list(FACTORS))


def _compressed(results: Results) -> list[str]:
    return [subset for subset in results.subsets if subset != NONE]


def _pick(baseline: Mapping[str, float], made: pd.DataFrame, tolerance: float) -> dict[str, object]:
    row = {"baseline_score": baseline["score"], "baseline_bytes": baseline["bytes"], "factor": math.nan}
    if made.empty:
        return row | {"seeds": 0, "reason": "no runs"}
    good = made[made["score"] >= baseline["score"] - tolerance - SLACK]
    if good.empty:
        best = made["score"].max()
        return row | {"seeds": 0, "reason": f"none reaches {baseline['score'] - tolerance:.1f} (best {best:.1f})"}
    pick = good.iloc[0]
    picked = {f"picked_{key}": pick[key] for key in ("model", "variant", "score", "bytes")}
    seeds = int(min(baseline["seeds"], pick["seeds"]))
    return row | picked | {"factor": baseline["bytes"] / pick["bytes"], "seeds": seeds, "reason": ""}


def table(results: Results, options: Options) -> pd.DataFrame:
    """Table 1, a row per architecture (large to small) and subset; columns `COLUMNS`.

    `tasks` of `of` tasks define the mean. `low` and `high` are the 2.5th and 97.5th percentiles over replicates of the
    cells' mean scores, which vary as with other seeds (NaN without several seeds in all its tasks): how firm the picks
    are. `paper` is the study's number.
    """
    picked = factors(results, options)
    varied = {task.task: _varied(task, options.tolerance) for task in curves_by_task(results.runs, options)}
    published = reference.table1()
    rows = []
    for model in reversed(results.models):
        for methods in _compressed(results):
            picks = picked[(picked["model"] == model) & (picked["methods"] == methods)]
            if picks.empty:
                continue
            defined, undefined = picks[picks["factor"].notna()], picks[picks["factor"].isna()]
            draws = [varied[task].get((model, methods)) for task in defined["task"]]
            known = [draw for draw in draws if draw is not None]
            low, high = math.nan, math.nan
            if known and len(known) == len(draws):
                low, high = np.nanpercentile(mean_draws(known), [2.5, 97.5])
            rows.append({
                "model": model, "baseline_bytes": picks["baseline_bytes"].mean(), "methods": methods,
                "factor": defined["factor"].mean(), "low": low, "high": high,
                "tasks": len(defined), "of": len(picks), "seeds": int(defined["seeds"].min()) if len(defined) else 0,
                "paper": published.get(methods, {}).get(model, math.nan),
                "reason": "; ".join(f"{row.task}: {row.reason}" for row in undefined.itertuples()),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _varied(task: TaskCurves, tolerance: float) -> dict[tuple[str, str], Array]:
    """(model, methods) -> the factor in each replicate, shape (R,); NaN where unreachable. Empty without replicates."""
    if NONE not in task.curves:
        return {}
    baselines, varied = task.curves[NONE], {}
    for name, curve in task.curves.items():
        changes = task.changes(task.depends_on_teacher({name: 1.0}))
        if name == NONE or changes is None:
            continue
        by_curve = task.split(changes)
        wanted = baselines.means + by_curve[NONE] - tolerance - SLACK
        scores = curve.means + by_curve[name]
        for number, model in enumerate(baselines.models):
            good = scores >= wanted[:, number, None]
            picked = np.exp(baselines.log_bytes[number] - curve.log_bytes[good.argmax(axis=1)])
            varied[model, name] = np.where(good.any(axis=1), picked, np.nan)
    return varied
