"""Table 1: how much smaller the smallest model is that is about as good as an uncompressed one.

The study's rule. For an architecture whose uncompressed score on a task is b, and a method: the smallest model of *any*
architecture and sparsity that the method made and whose score on the task is at least b − tolerance; the factor is the
baseline's bytes over that model's (it may be below 1); then the arithmetic mean over the tasks. Where no model reaches
it the factor is undefined, and the mean is over the other tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis import reference
from analysis.options import Options
from analysis.read.results import SUBSETS, Results
from analysis.statistics.cells import cells
from analysis.statistics.contrasts import TaskFronts, fronts_of, mean_draws, shares_teacher
from analysis.statistics.fronts import Array, Front

FACTORS = (
    "task", "model", "methods", "baseline_score", "baseline_bytes", "factor", "picked_model", "picked_sparsity",
    "picked_score", "picked_bytes", "seeds", "reason",
)  # fmt: skip
SLACK = 1e-9  # points: a score that is short by exactly the tolerance counts
COLUMNS = ("model", "baseline_bytes", "methods", "factor", "low", "high", "tasks", "of", "seeds", "paper", "reason")


def factors(results: Results, options: Options) -> pd.DataFrame:
    """The pick of every task, architecture and method; columns `FACTORS`, `seeds` the fewer of baseline and pick.

    An architecture without an uncompressed score on a task has no row there.
    """
    table = cells(results.runs, options.score_column, options.bytes_column)
    table = table[table["score"].notna()]
    rows = []
    for task, own in table.groupby("task", sort=False):
        baselines = own[own["methods"] == "none"]
        for baseline in baselines.to_dict("records"):
            for methods in SUBSETS[1:]:
                made = own[own["methods"] == methods].sort_values("bytes", kind="stable")
                rows.append({"task": task, "model": baseline["model"], "methods": methods,
                             **_pick(baseline, made, options.tolerance)})  # fmt: skip
    return pd.DataFrame(rows, columns=list(FACTORS))


def _pick(baseline: Mapping[str, float], made: pd.DataFrame, tolerance: float) -> dict[str, object]:
    known = {"baseline_score": baseline["score"], "baseline_bytes": baseline["bytes"], "factor": math.nan}
    if made.empty:
        return known | {"seeds": 0, "reason": "no runs"}
    good = made[made["score"] >= baseline["score"] - tolerance - SLACK]
    if good.empty:
        best = made["score"].max()
        return known | {"seeds": 0, "reason": f"none reaches {baseline['score'] - tolerance:.1f} (best {best:.1f})"}
    pick = good.iloc[0]
    return known | {
        "factor": baseline["bytes"] / pick["bytes"],
        "picked_model": pick["model"],
        "picked_sparsity": pick["sparsity"],
        "picked_score": pick["score"],
        "picked_bytes": pick["bytes"],
        "seeds": int(min(baseline["seeds"], pick["seeds"])),
        "reason": "",
    }


def table(results: Results, options: Options) -> pd.DataFrame:
    """Table 1, a row per architecture (large to small) and method; columns `COLUMNS`.

    `tasks` of `of` tasks define the mean. `low` and `high` hold 95 % of the means when the cells' mean scores vary as
    seeds make them (NaN without several seeds in all its tasks): how firm the picks are. `paper` is the study's number.
    """
    picked = factors(results, options)
    varied = {task.task: _varied(task, options.tolerance) for task in fronts_of(results.runs, options)}
    published = reference.table1()
    rows = []
    for (model, methods), own in picked.groupby(["model", "methods"], sort=False):
        defined = own[own["factor"].notna()]
        low, high = _spread([varied[task].get((model, methods)) for task in defined["task"]])
        undefined = own[own["factor"].isna()]
        rows.append(
            {
                "model": model,
                "baseline_bytes": own["baseline_bytes"].mean(),
                "methods": methods,
                "factor": defined["factor"].mean() if len(defined) else math.nan,
                "low": low,
                "high": high,
                "tasks": len(defined),
                "of": len(own),
                "seeds": int(defined["seeds"].min()) if len(defined) else 0,
                "paper": published[methods].get(model, math.nan),
                "reason": "; ".join(f"{row.task}: {row.reason}" for row in undefined.itertuples()),
            }
        )
    order = {model: -rank for rank, model in enumerate(results.models)}
    ranks = {methods: rank for rank, methods in enumerate(SUBSETS)}
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.sort_values(
        ["model", "methods"], key=lambda column: column.map(order if column.name == "model" else ranks)
    ).reset_index(drop=True)


def _varied(task: TaskFronts, tolerance: float) -> dict[tuple[str, str], Array]:
    """(model, methods) -> the factor in each replicate, shape (R,); NaN where unreachable. Empty without replicates."""
    if "none" not in task.fronts:
        return {}
    baselines, found = task.fronts["none"], {}
    for name, front in task.fronts.items():
        changes = task.changes(shares_teacher({name: 1.0}))
        if name == "none" or changes is None:
            continue
        parts = task.split(changes)
        wanted = baselines.means + parts["none"] - tolerance - SLACK
        for number, model in enumerate(baselines.models):
            factors = _factors(wanted[:, number], baselines.log_bytes[number], front.means + parts[name], front)
            found[model, name] = factors
    return found


def _factors(wanted: Array, log_bytes: float, scores: Array, front: Front) -> Array:
    good = scores >= wanted[:, None]
    picked = np.exp(log_bytes - front.log_bytes[good.argmax(axis=1)])
    return np.where(good.any(axis=1), picked, np.nan)


def _spread(draws: list[Array | None]) -> tuple[float, float]:
    known = [own for own in draws if own is not None]
    if not known or len(known) < len(draws):
        return math.nan, math.nan
    low, high = np.nanpercentile(mean_draws(known), [2.5, 97.5])
    return float(low), float(high)
