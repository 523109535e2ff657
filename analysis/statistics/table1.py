"""Table 1: how much smaller the smallest model is that is about as good as an uncompressed one.

The study's rule. For an architecture whose uncompressed score on a task is b, and a subset of methods: the smallest
model of *any* architecture and variant that the methods made and whose score on the task is at least b − tolerance; the
factor is the baseline's bytes over that model's (it may be below 1); then the arithmetic mean over the tasks. Where no
model reaches it the factor is undefined, and the mean is over the other tasks.

Its rule for how methods combine: a combination's factor over the product of its methods' factors, of each architecture
over the tasks where all of these are defined; then the geometric mean over architectures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis import reference
from analysis.names import enumerated
from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics.contrasts import TaskCurves, curves_by_task, mean_draws
from analysis.statistics.score_size import Array, cells
from analysis.subsets import NONE, split

FACTORS = (
    "task", "model", "methods", "baseline_score", "baseline_bytes", "factor", "picked_model", "picked_variant",
    "picked_score", "picked_bytes", "seeds", "reason",
)  # fmt: skip
SLACK = 1e-9  # points: a score that is short by exactly the tolerance counts
COLUMNS = (
    "model", "baseline_bytes", "methods", "factor", "low", "high", "least", "greatest", "tasks", "of", "seeds", "paper",
    "reason",
)  # fmt: skip
PRODUCTS = ("methods", "model", "ratio", "tasks", "of", "seeds", "reason")
OVER_PRODUCT = "over the product"  # in place of an architecture: the rows of the rule for combinations


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
    """Table 1, a row per architecture (large to small) and subset, then `combined`; columns `COLUMNS`.

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
    return pd.DataFrame(rows + combined(products(picked, results.subsets)), columns=list(COLUMNS))


def products(picked: pd.DataFrame, subsets: Sequence[str]) -> pd.DataFrame:
    """How many times the product of its methods' factors each combination's is, of every architecture.

    Args:
        picked: columns task, model, methods, factor and seeds, as `factors`.
        subsets: of which those of two methods or more are told, where all their methods are among `subsets`.

    Returns:
        Columns `PRODUCTS`: means over `tasks` of `of` tasks, those in which all these factors are defined; NaN and a
        reason if there are none.
    """
    rows: list[dict[str, object]] = []
    several = [name for name in subsets if len(split(name)) > 1 and set(split(name)) <= set(subsets)]
    for model, of_model in picked.groupby("model", sort=False):
        by_task = of_model.pivot(index="task", columns="methods", values="factor").reindex(columns=list(subsets))
        for name in several:
            wanted = [name, *split(name)]
            defined = by_task[wanted].dropna()
            seeds = of_model[of_model["task"].isin(defined.index) & of_model["methods"].isin(wanted)]["seeds"]
            row = {"methods": name, "model": model, "tasks": len(defined), "of": len(by_task)}
            if defined.empty:
                why = f"no task has factors of {enumerated(wanted)}"
                rows.append({**row, "ratio": math.nan, "seeds": 0, "reason": why})
                continue
            means = defined.mean()
            ratio = float(means[name] / means[split(name)].prod())
            rows.append({**row, "ratio": ratio, "seeds": int(seeds.min()), "reason": ""})
    return pd.DataFrame(rows, columns=list(PRODUCTS))


def combined(ratios: pd.DataFrame) -> list[dict[str, object]]:
    """`products` over all architectures: rows of `COLUMNS` whose model is `OVER_PRODUCT`, none where all are undefined.

    `factor` is the geometric mean, `least` and `greatest` are of an architecture, `paper` is the same of the study's
    table; `tasks` is the fewest that an architecture's ratio is a mean over.
    """
    published = _geometric_means(products_of_study())
    rows: list[dict[str, object]] = []
    for methods, of_methods in ratios.groupby("methods", sort=False):
        defined, undefined = of_methods[of_methods["ratio"].notna()], of_methods[of_methods["ratio"].isna()]
        if defined.empty:
            continue
        rows.append({
            "model": OVER_PRODUCT, "baseline_bytes": math.nan, "methods": methods,
            "factor": _geometric_means(defined)[methods], "low": math.nan, "high": math.nan,
            "least": defined["ratio"].min(), "greatest": defined["ratio"].max(),
            "tasks": defined["tasks"].min(), "of": of_methods["of"].max(), "seeds": defined["seeds"].min(),
            "paper": published.get(methods, math.nan),
            "reason": "; ".join(f"{row.model}: {row.reason}" for row in undefined.itertuples()),
        })  # fmt: skip
    return rows


def products_of_study() -> pd.DataFrame:
    """`products` of the study's Table 1, whose means over tasks stand for one task."""
    factors = [
        {"task": reference.MEAN, "model": model, "methods": methods, "factor": factor, "seeds": 0}
        for methods, by_model in reference.table1().items()
        for model, factor in by_model.items()
    ]
    return products(pd.DataFrame(factors), list(reference.table1()))


def _geometric_means(ratios: pd.DataFrame) -> dict[str, float]:
    """Subset -> the geometric mean over architectures."""
    return {
        str(methods): float(np.exp(np.log(values).mean())) for methods, values in ratios.groupby("methods")["ratio"]
    }


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
