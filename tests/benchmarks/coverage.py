"""How often 95 % intervals hold what is true, and how far estimates are off, over simulated grids.

    python -m tests.benchmarks.coverage [--grids 500] [--only missing] [--curves] [--each]

Every kind of grid is hard in its own way. What is told of tasks like these (`equivalent_size`) is compared with the
mean over all tasks, from which each grid's tasks are drawn anew; what is told of the collection's own tasks (score-size
curves, Table 1) with the same statistic of the same tasks, all of them, complete and without noise. The last grids are
made of the stored real one: its cells' means are the truth, its tasks are drawn with replacement, and new seeds are
random combinations of its seeds' deviations, alike for all runs of a task and size. There what is told of tasks like
these is compared with what the stored grid itself gives.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from analysis import reference
from analysis.options import Options
from analysis.read.results import Results, read_runs
from analysis.statistics import equivalent_size, interactions, priorities, table1
from analysis.statistics.equivalent_size import CellScores
from analysis.statistics.like_with_like import MAIN, contrasts
from analysis.statistics.treatments import cells_of
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
SIZES = ("one model: interactions", "one model: main effects, size")
POINTS = "one model: main effects, points"
MOSTLY = 0.9  # share of grids without an interval from which on a statistic has none
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


def told_of_tasks_like_these(runs: Results, options: Options) -> pd.DataFrame:
    """What the one model says, with its intervals; columns `KEY`, value, low, high, error."""
    sizes = equivalent_size.table(runs, options).query("scope == 'mean'")
    main, combined = sizes[sizes["kind"] == "main"], sizes[sizes["kind"] != "main"]
    points = {"value": main["points"], "low": main["points_low"], "high": main["points_high"]}
    frames = [
        combined.assign(statistic="one model: interactions", value=combined["estimate"]),
        main.assign(statistic="one model: main effects, size", value=main["estimate"]),
        main.assign(statistic=POINTS, error=main["points_error"], **points),
    ]
    return pd.concat(frames)[[*KEY, "value", "low", "high", "error"]]


def exact_points(exact: Results) -> pd.Series:
    """Main effects on the score of a complete grid without noise, by `KEY`."""
    cells = cells_of(exact, Options())
    scores = CellScores(cells, None)
    values = {}
    for contrast in (contrast for contrast in contrasts(exact, cells.treatments) if contrast.kind == MAIN):
        of_tasks = [scores.points(contrast, task, False)[0] for task in cells.tasks]
        values[POINTS, contrast.methods, MAIN] = float(np.mean(of_tasks))
    return pd.Series(values)


def told_of_own_tasks(runs: Results, options: Options) -> pd.DataFrame:
    """What score-size curves and Table 1 say; columns `KEY`, value, low, high, error."""
    curves = interactions.table(runs, options).query("scope == 'mean'")
    effects = priorities.main_effects(runs, options).query("scope == 'mean'")
    measure = effects["measure"].map({"bytes": "size", "score": "points"})
    reduced = table1.table(runs, options)
    frames = [
        curves.assign(statistic="curves: interactions", value=curves["interaction"]),
        effects.assign(
            statistic="curves: main effects, " + measure, contrast=effects["method"], kind=MAIN,
            value=effects["effect"],
        ),
        reduced.assign(
            statistic="Table 1", contrast=reduced["methods"], kind=reduced["model"], value=np.log(reduced["factor"]),
            low=np.nan, high=np.nan, error=np.nan,
        ),
    ]  # fmt: skip
    return pd.concat(frames)[[*KEY, "value", "low", "high", "error"]]


def study(name: str, count: int, options: Options, curves: bool) -> pd.DataFrame:
    """What is told of each of `count` grids of a kind, and what is true, in the column truth."""
    grid = GRIDS[name]
    made = []
    for number in range(count):
        random = np.random.default_rng([0, number])
        simulated = grid.simulate(random) if grid else plasmode(random)
        exact, runs = as_results(simulated.exact), as_results(simulated.runs)
        if curves:
            true = told_of_own_tasks(exact, replace(options, bootstrap=0)).set_index(KEY)["value"]
            table = told_of_own_tasks(runs, options).set_index(KEY)
        else:
            true, table = exact_points(exact), told_of_tasks_like_these(runs, options).set_index(KEY)
        made.append(table.assign(truth=true.reindex(table.index)).reset_index())
    table = pd.concat(made, ignore_index=True)
    points = table["statistic"] == POINTS
    table.loc[points, "truth"] = table[points].groupby(KEY)["truth"].transform("mean")
    pooled = table["statistic"].isin(SIZES)
    whole = {} if grid else told_of_tasks_like_these(stored(), options).set_index(KEY)["value"].to_dict()
    keys = table.loc[pooled, KEY].itertuples(index=False, name=None)
    table.loc[pooled, "truth"] = [_known(grid, *key) if grid else whole[key] for key in keys]
    return table


def _known(grid: Grid, statistic: str, contrast: str, kind: str) -> float:
    """What went into a grid, of the mean over all tasks."""
    if kind != "main":
        return grid.known(contrast, kind)
    return ALONE[contrast] + grid.interaction * (len(grid.methods) - 1) / 2


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per contrast: the share without an interval, bias, spread, mean stated error, coverage, mean length."""
    table = table[table["truth"].notna()]
    inside = (table["low"] <= table["truth"]) & (table["truth"] <= table["high"])
    table = table.assign(off=table["value"] - table["truth"], known=table["low"].notna(), held=inside)
    every, known = table.groupby(KEY, sort=False), table[table["known"]].groupby(KEY, sort=False)
    made = pd.DataFrame(
        {"undefined": 1 - every["known"].mean(), "bias": every["off"].mean(), "spread": every["off"].std()}
    )
    shown = {
        "error": known["error"].mean(),
        "held": known["held"].mean(),
        "length": (known["high"].mean() - known["low"].mean()),
    }
    return made.assign(**shown)


def in_short(made: pd.DataFrame) -> pd.DataFrame:
    """A row per statistic: coverage over its contrasts, mean and least; the greatest bias in stated errors."""
    few = made["undefined"] > MOSTLY
    made = made.assign(relative=(made["bias"] / made["error"]).abs()).where(~few)
    by = made.groupby("statistic", sort=False)
    return pd.DataFrame({
        "without": few.groupby("statistic", sort=False).mean(), "coverage": by["held"].mean(),
        "least": by["held"].min(), "most": by["held"].max(), "bias": by["relative"].max(), "error": by["error"].mean(),
    })  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, default=500)
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("--curves", action="store_true", help="score-size curves and Table 1, not the one model")
    parser.add_argument("--each", action="store_true", help="every contrast")
    options = parser.parse_args()
    for name in [name for name in GRIDS if options.only in name]:
        began = time.perf_counter()
        made = summary(study(name, options.grids, Options(bootstrap=options.bootstrap), options.curves))
        print(f"\n{name} ({(time.perf_counter() - began) / options.grids:.2f} s each)")
        print((made if options.each else in_short(made)).round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
