"""Table 1: how much smaller the smallest model is that is about as good as an uncompressed one.

The study's rule. For an architecture whose uncompressed score on a task is b, and a subset of methods: the smallest
model of *any* architecture and variant that the methods made and whose score on the task is at least b − tolerance; the
factor is the baseline's bytes over that model's (it may be below 1); then the arithmetic mean over the tasks. Where no
model reaches it the factor is undefined, and the mean is over the other tasks.

Its rule for how methods combine: a combination's factor over the product of its methods' factors, of each architecture
over the tasks where all of these are defined; then the geometric mean over architectures.

There is no interval. A pick is the smallest of many noisy scores that reach a noisy one, so that the factor is
optimistic, and it jumps from model to model: how often a resampled factor holds the one without noise depends on how
near the border models happen to lie, from 16 to 100 % in simulated grids. What seeds can tell is what a pick is worth
on a seed that did not choose it: `held_out` is its score less the baseline's there, which the rule wants to be no
less than −tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from analysis import reference
from analysis.options import Options
from analysis.read.results import CELL, Results, Row
from analysis.statistics.score_size import Array, cells
from analysis.subsets import NONE, split
from compress.wording import enumerated

FACTORS = (
    "task", "model", "methods", "baseline_score", "baseline_bytes", "factor", "picked_model", "picked_variant",
    "picked_score", "picked_bytes", "seeds", "held_out", "reason",
)  # fmt: skip
SLACK = 1e-9  # points: a score that is short by exactly the tolerance counts
COLUMNS = (
    "model", "baseline_bytes", "methods", "factor", "held_out", "least", "greatest", "tasks", "of", "seeds", "paper",
    "reason",
)  # fmt: skip
PRODUCTS = ("methods", "model", "ratio", "tasks", "of", "seeds", "reason")
OVER_PRODUCT = "over the product"  # in place of an architecture: the rows of the rule for combinations


def factors(results: Results, options: Options) -> pd.DataFrame:
    """The pick of every task, architecture and subset; columns `FACTORS`, `seeds` the fewer of baseline and pick.

    `held_out` is in points, the mean over seeds of what the pick of the other seeds scores above the baseline; NaN with
    one seed. An architecture without an uncompressed score on a task has no row there.
    """
    table = cells(results.runs, options.score_column, options.bytes_column)
    table = table[table["score"].notna()]
    scored = results.runs[results.runs[options.score_column].notna()]
    by_seed = scored.pivot_table(index=CELL, columns="seed", values=options.score_column, aggfunc="first")
    rows: list[dict[str, object]] = []
    for task, of_task in table.groupby("task", sort=False):
        ordered = of_task.sort_values("bytes", kind="stable")
        scores = by_seed.loc[pd.MultiIndex.from_frame(ordered[CELL])].to_numpy(float)
        made = {methods: (ordered["methods"] == methods).to_numpy() for methods in results.subsets}
        records = ordered.to_dict("records")
        for place in np.flatnonzero(of_task["methods"] == NONE):
            model = of_task["model"].iloc[place]
            base = int(np.flatnonzero(made[NONE] & (ordered["model"] == model).to_numpy())[0])
            for methods in _compressed(results):
                own = np.flatnonzero(made[methods])
                pick = _pick(records[base], [records[number] for number in own], options.tolerance)
                held_out = _held_out(scores[base], scores[own], options.tolerance)
                rows.append({"task": task, "model": model, "methods": methods, **pick, "held_out": held_out})
    return pd.DataFrame(rows, columns=list(FACTORS))


def _compressed(results: Results) -> list[str]:
    return [subset for subset in results.subsets if subset != NONE]


def _pick(baseline: Row, made: Sequence[Row], tolerance: float) -> dict[str, object]:
    """Of cells from small to large."""
    row = {"baseline_score": baseline["score"], "baseline_bytes": baseline["bytes"], "factor": math.nan}
    if not made:
        return row | {"seeds": 0, "reason": "no runs"}
    pick = next((cell for cell in made if cell["score"] >= baseline["score"] - tolerance - SLACK), None)
    if pick is None:
        best = max(cell["score"] for cell in made)
        return row | {"seeds": 0, "reason": f"none reaches {baseline['score'] - tolerance:.1f} (best {best:.1f})"}
    picked = {f"picked_{key}": pick[key] for key in ("model", "variant", "score", "bytes")}
    seeds = int(min(baseline["seeds"], pick["seeds"]))
    return row | picked | {"factor": baseline["bytes"] / pick["bytes"], "seeds": seeds, "reason": ""}


def _held_out(baseline: Array, made: Array, tolerance: float) -> float:
    """Of scores by seed, shape (S,), and of cells from small to large, (N, S): what picks are worth on other seeds."""
    worth = []
    for seed in np.flatnonzero(np.isfinite(baseline)):
        others = np.arange(len(baseline)) != seed
        enough = np.isfinite(made[:, others]).any(axis=1) & np.isfinite(made[:, seed])
        if not np.isfinite(baseline[others]).any() or not enough.any():
            continue
        means = np.nanmean(made[enough][:, others], axis=1)
        good = means >= np.nanmean(baseline[others]) - tolerance - SLACK
        if good.any():
            worth.append(made[enough][good.argmax(), seed] - baseline[seed])
    return float(np.mean(worth)) if worth else math.nan


def table(results: Results, options: Options) -> pd.DataFrame:
    """Table 1, a row per architecture (large to small) and subset, then `combined`; columns `COLUMNS`.

    `tasks` of `of` tasks define the mean factor; `held_out`, in points, is the mean over those with several seeds;
    `paper` is the study's factor.
    """
    picked = factors(results, options)
    published = reference.table1()
    groups = dict(iter(picked.groupby(["model", "methods"], sort=False)))
    rows = []
    for key in product(reversed(results.models), _compressed(results)):
        if key not in groups:
            continue
        model, methods = key
        picks = groups[key]
        defined, undefined = picks[picks["factor"].notna()], picks[picks["factor"].isna()]
        rows.append({
            "model": model, "baseline_bytes": picks["baseline_bytes"].mean(), "methods": methods,
            "factor": defined["factor"].mean(), "held_out": picks["held_out"].mean(),
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
            "factor": _geometric_means(defined)[methods], "held_out": math.nan,
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
