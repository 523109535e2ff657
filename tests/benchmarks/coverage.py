"""How often 95 % intervals hold what is true, and how far estimates are off, over simulated grids.

    python -m tests.benchmarks.coverage [--grids 500] [--only missing] [--part curves] [--each] [--keep DIR]

Every kind of grid is hard in its own way. What is told of tasks like these (`equivalent_size`) is compared with the
mean over all tasks, from which each grid's tasks are drawn anew; what is told of the collection's own tasks (score-size
curves, Table 1) with the same statistic of the same tasks, all of them, complete and without noise. The last grids are
made of the stored real one: its cells' means are the truth, its tasks are all there or drawn with replacement, and new
seeds are random combinations of its seeds' deviations, alike for all runs of a task and size. There what is told of
tasks like these is compared with what the stored grid itself gives.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import reference
from analysis.options import Options
from analysis.read.results import Results, read_runs
from analysis.statistics import equivalent_size, interactions, priorities, table1
from analysis.statistics.contrasts import curves_by_task
from analysis.statistics.equivalent_size import CellScores
from analysis.statistics.like_with_like import MAIN, contrasts
from analysis.statistics.score_size import Array
from analysis.statistics.treatments import UNCOMPRESSED, cells_of, treatment_of
from tests.simulated import ALONE, Grid, Simulated, as_results


@dataclass(frozen=True)
class Stored:
    """The stored real grid with new seeds; `drawn`: its tasks with replacement, else each once."""

    drawn: bool


HARD = Grid(interaction=0.2, differ=0.15)
GRIDS: Mapping[str, Grid | Stored] = {
    "saturating curves": HARD,
    "logistic curves with ceilings; noise uneven and shared": replace(HARD, ceilings=True, shared=0.6, teacher=0.2),
    "tails of t3, 3 % of the runs collapsed": replace(HARD, heavy=True, collapsed=0.03),
    "15 % of cells and of runs missing at random": replace(HARD, missing=0.15),
    "15 % missing where models are worst": replace(HARD, failing=0.15),
    "three sizes": replace(HARD, sizes=3),
    "three sizes, the middle no better than the smaller": replace(HARD, sizes=3, dip=True),
    "the stored real grid's cells and seeds": Stored(drawn=True),
    "the stored real grid's own tasks, each once": Stored(drawn=False),
}
STORED = reference.HERE / "glue" / "results.jsonl.gz"
POINTS = "one model: main effects, points"
MOSTLY = 0.9  # share of grids without an interval from which on a statistic has none
STEP = 20  # grids that are written at once
KEY = ["statistic", "contrast", "kind"]


@cache
def stored() -> Results:
    return read_runs(STORED)


@dataclass(frozen=True)
class StoredTask:
    """A task of the stored grid.

    Attributes:
        runs, exact: its runs; one of each cell, with the cell's mean for its score.
        means: of each run's cell.
        blocks: of each size, the runs' places by cell and seed, and their deviations from the means, shape (cells, S).
    """

    runs: pd.DataFrame
    exact: pd.DataFrame
    means: Array
    blocks: list[tuple[NDArray[np.int64], Array]]

    def scores(self, random: np.random.Generator) -> Array:
        """Of its runs with new seeds: each a combination of the seeds' deviations, alike for all runs of a size."""
        scores = self.means.copy()
        for places, off in self.blocks:
            seeds = off.shape[1]
            scores[places] += off @ random.standard_normal((seeds, seeds)) / np.sqrt(seeds - 1)
        return scores


@cache
def stored_task(task: str) -> StoredTask:
    """Of its name."""
    runs = stored().runs
    own = runs[runs["task"] == task].reset_index(drop=True)
    means = own.groupby(["model", "methods", "variant"])["score_glue"].transform("mean")
    table = own.assign(place=own.index, off=own["score_glue"] - means)
    cells = [of_size.pivot(index=["methods", "variant"], columns="seed") for _, of_size in table.groupby("model")]
    blocks = [(of_size["place"].to_numpy(np.int64), of_size["off"].to_numpy(float)) for of_size in cells]
    exact = own.assign(score_glue=means, score_accuracy=means)[own["seed"] == own["seed"].min()]
    return StoredTask(own, exact, means.to_numpy(float), blocks)


def plasmode(random: np.random.Generator, drawn: bool = True) -> Simulated:
    """The stored grid with new seeds, its tasks with replacement if they are `drawn`."""
    runs, exact = [], []
    tasks = stored().tasks
    for number, task in enumerate(random.choice(tasks, len(tasks)) if drawn else tasks):
        own, scores = stored_task(task), stored_task(task).scores(random)
        runs.append(own.runs.assign(task=f"task {number}", score_glue=scores, score_accuracy=scores))
        exact.append(own.exact.assign(task=f"task {number}"))
    return Simulated(pd.concat(runs, ignore_index=True), pd.concat(exact, ignore_index=True))


def told_of_tasks_like_these(runs: Results, options: Options) -> pd.DataFrame:
    """What the one model says, with its intervals; columns `KEY`, value, low, high, error."""
    sizes = equivalent_size.table(runs, options, of_tasks=False)
    main, combined = sizes[sizes["kind"] == "main"], sizes[sizes["kind"] != "main"]
    points = {"value": main["points"], "low": main["points_low"], "high": main["points_high"]}
    frames = [
        combined.assign(statistic="one model: interactions", value=combined["estimate"]),
        main.assign(statistic="one model: main effects, size", value=main["estimate"]),
        main.assign(statistic=POINTS, error=main["points_error"], **points),
    ]
    return pd.concat(frames)[[*KEY, "value", "low", "high", "error"]]


def weights_of_points(exact: pd.DataFrame) -> dict[str, Array]:
    """Contrast -> the weight of each row of a complete grid of one seed in the main effect on the score."""
    cells = cells_of(as_results(exact), Options())
    scores = CellScores(cells, None)
    models = [cells.models.index(model) if model in cells.models else None for model in exact["model"]]
    numbers = {treatment: number for number, treatment in enumerate(cells.treatments)} | {(): UNCOMPRESSED}
    treatments = [numbers[treatment_of(entries)] for entries in exact["compression"]]
    made = {}
    for contrast in (contrast for contrast in contrasts(as_results(exact), cells.treatments) if contrast.kind == MAIN):
        by_cell = scores.weights(contrast) / len(cells.tasks)
        rows = zip(models, treatments, strict=True)
        made[contrast.methods] = np.array([0.0 if model is None else by_cell[model, own] for model, own in rows])
    return made


def told_of_own_tasks(runs: Results, options: Options) -> pd.DataFrame:
    """What score-size curves say; columns `KEY`, value, low, high, error."""
    tasks = curves_by_task(runs.runs, options)
    curves = interactions.table(runs, options, tasks).query("scope == 'mean'")
    effects = priorities.main_effects(runs, options, tasks).query("scope == 'mean'")
    measure = effects["measure"].map({"bytes": "size", "score": "points"})
    frames = [
        curves.assign(statistic="curves: interactions", value=curves["interaction"]),
        effects.assign(
            statistic="curves: main effects, " + measure, contrast=effects["method"], kind=MAIN,
            value=effects["effect"],
        ),
    ]  # fmt: skip
    return pd.concat(frames)[[*KEY, "value", "low", "high", "error"]]


def told_of_picks(runs: Results, options: Options) -> pd.DataFrame:
    """What Table 1 says, without intervals; columns `KEY`, value, low, high, error."""
    reduced = table1.table(runs, options)
    reduced = reduced.assign(statistic="Table 1", contrast=reduced["methods"], kind=reduced["model"])
    reduced = reduced.assign(value=np.log(reduced["factor"]), low=np.nan, high=np.nan, error=np.nan)
    return reduced[[*KEY, "value", "low", "high", "error"]]


PARTS: Mapping[str, Callable[[Results, Options], pd.DataFrame]] = {
    "model": told_of_tasks_like_these,
    "curves": told_of_own_tasks,
    "table1": told_of_picks,
}


def study(name: str, count: int, options: Options, part: str = "model", kept: Path | None = None) -> pd.DataFrame:
    """What a part (`PARTS`) tells of each of `count` grids of a kind, and what is true, in the column truth.

    `kept` is a folder in which every `STEP` grids are written, and from which they are read if they are there, whatever
    the code was then.
    """
    tables = []
    for first in range(0, count, STEP):
        file = kept / f"{part}-{list(GRIDS).index(name)}-{first}.pkl" if kept else None
        if file and file.exists():
            tables.append(pd.read_pickle(file))
            continue
        tables.append(told_of_grids(name, range(first, min(first + STEP, count)), options, part))
        if file and first + STEP <= count:
            tables[-1].to_pickle(file)
    return with_truth(name, pd.concat(tables, ignore_index=True), options, part)


def told_of_grids(name: str, numbers: Iterable[int], options: Options, part: str) -> pd.DataFrame:
    """What is told of grids of these numbers, and what is true of each, in the column truth."""
    grid, told = GRIDS[name], PARTS[part]
    made: list[pd.DataFrame] = []
    weights: dict[str, Array] = {}
    for number in numbers:
        random = np.random.default_rng([0, number])
        simulated = plasmode(random, grid.drawn) if isinstance(grid, Stored) else grid.simulate(random)
        table = told(as_results(simulated.runs), options).set_index(KEY)
        if part == "model":
            weights = weights or weights_of_points(simulated.exact)  # all grids of a kind have the same cells
            scores = simulated.exact["score_glue"].to_numpy(float)
            true = pd.Series({(POINTS, method, MAIN): own @ scores for method, own in weights.items()})
        else:
            true = told(as_results(simulated.exact), replace(options, bootstrap=0)).set_index(KEY)["value"]
        made.append(table.assign(truth=true.reindex(table.index)).reset_index())
    return pd.concat(made, ignore_index=True)


def with_truth(name: str, table: pd.DataFrame, options: Options, part: str) -> pd.DataFrame:
    """What is true of all tasks in place of what is true of each grid's, where tasks like these are told of."""
    if part != "model":
        return table
    grid, table = GRIDS[name], table.copy()
    points = table["statistic"] == POINTS
    table.loc[points, "truth"] = table[points].groupby(KEY)["truth"].transform("mean")
    keys = list(table.loc[~points, KEY].itertuples(index=False, name=None))
    if isinstance(grid, Stored):
        whole = told_of_tasks_like_these(stored(), options).set_index(KEY)["value"].to_dict()
        table.loc[~points, "truth"] = [whole[key] for key in keys]
    else:
        table.loc[~points, "truth"] = [_known(grid, *key) for key in keys]
    return table


def _known(grid: Grid, statistic: str, contrast: str, kind: str) -> float:
    """What went into a grid, of the mean over all tasks."""
    if kind != "main":
        return grid.known(contrast, kind)
    return ALONE[contrast] + grid.interaction * (len(grid.methods) - 1) / 2


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per contrast: the share without an interval; then of the grids with one, or of all if none has: bias,
    spread, mean stated error, coverage, mean length."""
    table = table[table["truth"].notna()]
    known, inside = table["low"].notna(), (table["low"] <= table["truth"]) & (table["truth"] <= table["high"])
    table = table.assign(
        off=table["value"] - table["truth"], known=known, held=inside.astype(float).where(known),
        length=table["high"] - table["low"],
    )  # fmt: skip
    undefined = 1 - table.groupby(KEY, sort=False)["known"].mean()
    told = table[table["known"] | ~table.groupby(KEY)["known"].transform("any")].groupby(KEY, sort=False)
    return pd.DataFrame({
        "undefined": undefined, "bias": told["off"].mean(), "spread": told["off"].std(), "error": told["error"].mean(),
        "held": told["held"].mean(), "length": told["length"].mean(),
    }).reindex(undefined.index)  # fmt: skip


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
    parser.add_argument("--bootstrap", type=int, default=Options().bootstrap)
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("--part", choices=PARTS, default="model", help="the one model, score-size curves, or Table 1")
    parser.add_argument("--keep", type=Path, help="a folder of what was computed; given again, it goes on from there")
    parser.add_argument("--each", action="store_true", help="every contrast")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    for name in [name for name in GRIDS if options.only in name]:
        began = time.perf_counter()
        told = study(name, options.grids, Options(bootstrap=options.bootstrap), options.part, options.keep)
        made = summary(told)
        print(f"\n{name} ({(time.perf_counter() - began) / options.grids:.2f} s each)")
        print((made if options.each else in_short(made)).round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
