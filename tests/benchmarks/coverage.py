"""How often 95 % intervals hold what is true, and how far estimates are off, over simulated grids.

    python -m tests.benchmarks.coverage [--grids 500] [--only dip] [--markdown]

Every kind of grid is hard in its own way. What is told of tasks like these (`equivalent_size`) is compared with the mean
over all tasks, from which each grid's tasks are drawn anew; what is told of the collection's own tasks (score-size curves,
Table 1) with the same statistic of the same tasks, complete and without noise. The last grids are made of the stored real
one: its cells' means are the truth, its tasks are drawn with replacement, and new seeds are random combinations of its
seeds' deviations, alike for all runs of a task and size. There what is told of tasks like these is compared
with what the stored grid itself gives.

For each statistic: the share of grids without an interval, the bias in stated standard errors, and the coverage; mean over
its contrasts, and the worst of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import reference
from analysis.options import Options
from analysis.read.results import Results, read_runs
from analysis.statistics import equivalent_size, interactions, priorities, table1
from tests.simulated import ALONE, Grid, Simulated, as_results

HARD = Grid(interaction=0.2, differ=0.15)
GRIDS: Mapping[str, Grid | None] = {
    "saturating curves": HARD,
    "logistic curves with ceilings; noise uneven and shared": replace(HARD, ceilings=True, shared=0.6, teacher=0.2),
    "tails of t3, 3 % of the runs collapsed": replace(HARD, heavy=True, collapsed=0.03),
    "15 % of cells and of runs missing at random": replace(HARD, missing=0.15),
    "15 % missing where models are worst": replace(HARD, failing=0.15),
    "three sizes": replace(HARD, sizes=3),
    "three sizes, the middle no better than the smaller": replace(HARD, sizes=3, dip=True),
    "the stored real grid's cells and seeds": None,
}
STORED = reference.HERE / "glue" / "results.jsonl.gz"
TASKS_LIKE_THESE = ("one model: interactions", "one model: main effects, size")
KEY = ["statistic", "contrast", "kind"]


@cache
def stored() -> Results:
    return read_runs(STORED)


def plasmode(random: np.random.Generator) -> Simulated:
    """The stored grid with its tasks drawn with replacement and new seeds."""
    runs, made, exact = stored().runs, [], []
    tasks = stored().tasks
    for place, task in enumerate(random.choice(tasks, len(tasks))):
        own = runs[runs["task"] == task].assign(task=f"task {place}")
        cells = own.groupby(["model", "methods", "variant"])["score_glue"]
        means = cells.transform("mean")
        exact.append(own.assign(score_glue=means, score_accuracy=means)[own["seed"] == own["seed"].min()])
        own = own.assign(score_glue=means + _new_noise(own, own["score_glue"] - means, random))
        made.append(own.assign(score_accuracy=own["score_glue"]))
    return Simulated(pd.concat(made, ignore_index=True), pd.concat(exact, ignore_index=True))


def _new_noise(runs: pd.DataFrame, deviations: pd.Series, random: np.random.Generator) -> pd.Series:
    """Of each run: its cell's deviations, combined alike for all runs of a size and new seed."""
    noise = pd.Series(0.0, index=runs.index)
    for _, of_size in runs.groupby("model"):
        by_seed = of_size.assign(off=deviations).pivot_table(index=["methods", "variant"], columns="seed", values="off")
        count = by_seed.shape[1]
        new = by_seed.to_numpy() @ random.standard_normal((count, count)) / np.sqrt(count - 1)
        drawn = pd.DataFrame(new, by_seed.index, by_seed.columns).stack()
        places = pd.MultiIndex.from_frame(of_size[["methods", "variant", "seed"]])
        noise.loc[of_size.index] = drawn.loc[places].to_numpy()
    return noise


def told(runs: Results, options: Options) -> pd.DataFrame:
    """Every mean over tasks that is told, with its interval; columns `KEY`, value, low, high, error."""
    sizes = equivalent_size.table(runs, options).query("scope == 'mean'")
    effects = priorities.main_effects(runs, options).query("scope == 'mean'")
    curves = interactions.table(runs, options).query("scope == 'mean'")
    main = sizes[sizes["kind"] == "main"]
    reduced = table1.table(runs, options)
    frames = [
        sizes[sizes["kind"] != "main"].assign(statistic="one model: interactions", value=sizes["estimate"]),
        main.assign(statistic="one model: main effects, size", value=main["estimate"]),
        main.assign(statistic="one model: main effects, points", value=main["points"], low=main["points_low"],
                    high=main["points_high"], error=main["points_error"]),
        curves.assign(statistic="curves: interactions", value=curves["interaction"]),
        effects.assign(statistic="curves: main effects, " + effects["measure"].map({"bytes": "size", "score": "points"}),
                       contrast=effects["method"], kind="main", value=effects["effect"]),
        reduced.assign(statistic="Table 1", contrast=reduced["methods"], kind=reduced["model"], value=reduced["factor"], error=np.nan),
    ]  # fmt: skip
    return pd.concat(frames)[[*KEY, "value", "low", "high", "error"]]


def study(name: str, count: int, options: Options) -> pd.DataFrame:
    """What is told of each of `count` grids of a kind, and what is true; columns `KEY`, value, low, high, error, truth."""
    grid = GRIDS[name]
    whole = {} if grid else told(stored(), options).set_index(KEY)["value"].to_dict()
    made = []
    for number in range(count):
        random = np.random.default_rng([0, number])
        simulated = grid.simulate(random) if grid else plasmode(random)
        own = told(as_results(simulated.exact), replace(options, bootstrap=0)).set_index(KEY)["value"]
        table = told(as_results(simulated.runs), options).set_index(KEY)
        made.append(table.assign(truth=own.reindex(table.index)).reset_index())
    table = pd.concat(made)
    points = table["statistic"] == "one model: main effects, points"
    table.loc[points, "truth"] = table[points].groupby(KEY)["truth"].transform("mean")
    pooled = table["statistic"].isin(TASKS_LIKE_THESE)
    keys = table.loc[pooled, KEY].itertuples(index=False, name=None)
    table.loc[pooled, "truth"] = [_known(grid, *key) if grid else whole[key] for key in keys]
    return table


def _known(grid: Grid, statistic: str, contrast: str, kind: str) -> float:
    """What went into a grid, of the mean over all tasks."""
    if kind != "main":
        return grid.known(contrast, kind)
    return ALONE[contrast] + grid.interaction * (len(grid.methods) - 1) / 2


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per statistic: undefined, bias (in stated errors; worst), coverage (mean, worst), length (mean)."""
    table = table[table["truth"].notna()]
    table = table.assign(
        off=table["value"] - table["truth"], held=(table["low"] <= table["truth"]) & (table["truth"] <= table["high"]),
        known=table["low"].notna(),
    )  # fmt: skip
    by_contrast = table.groupby(KEY, sort=False).agg(off=("off", "mean"), undefined=("known", lambda known: 1 - known.mean()))
    known = table[table["known"]].groupby(KEY, sort=False)
    by_contrast = by_contrast.assign(
        bias=known["off"].mean() / known["error"].mean(), spread=known["off"].std(), error=known["error"].mean(),
        held=known["held"].mean(), length=known["high"].mean() - known["low"].mean(),
    )  # fmt: skip
    return by_contrast


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, default=500)
    parser.add_argument("--bootstrap", type=int, default=300)
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    options = parser.parse_args()
    for name in [name for name in GRIDS if options.only in name]:
        began = time.perf_counter()
        made = summary(study(name, options.grids, Options(bootstrap=options.bootstrap)))
        print(f"\n## {name}  ({(time.perf_counter() - began) / options.grids:.2f} s each)")
        print(made.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
