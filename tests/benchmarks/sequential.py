"""What running only what `python -m analysis next` proposes saves, and how sure its verdicts are, on simulated grids.

    python -m tests.benchmarks.sequential [--grids 50] [--start 1 2] [--only missing] [--out rows.csv]

Of every kind of grid in `coverage`, with five seeds (the stored grid's too, its tasks drawn with replacement, with new
seeds): a collection begins with its first seeds, grows by what is
proposed, round after round until nothing is, and is compared with the whole grid. Runs take what arithmetic says of
their model's parameters, their task's rows and their methods; students wait for the largest model's uncompressed run
of their seed. Told are, over all grids: device-hours as a share of the whole grid's; rounds; over all grids and claims:
how often the verdict is the whole grid's, how often the two contradict each other, how often each makes one, and how
often the intervals hold what is true: the whole grid's of 95 %, and the repeated ones with which the collection ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.options import Options
from analysis.read.results import FAILURE_COLUMNS, Results
from analysis.statistics import equivalent_size
from analysis.statistics.next_runs import SEEDS, next_runs
from analysis.statistics.open_claims import Claim
from launch.cost import GPU, ROWS, TOKENS
from tests.benchmarks.coverage import GRIDS, Stored, stored, stored_task
from tests.simulated import Grid

CELL = ["task", "model", "methods", "variant"]
KEY = [*CELL, "seed"]


def with_costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with what they take, and with their teachers."""
    tokens = 3 * runs["task"].map(ROWS) * runs["task"].map(TOKENS) * (1.0 + runs["methods"].str.contains("distill"))
    slower = 1.0 + 0.2 * runs["methods"].str.contains("quantize")
    wall = GPU.seconds_otherwise + 6 * runs["parameters"] * tokens * slower / GPU.operations_per_second
    largest = runs.loc[runs["parameters"].idxmax(), "model"]
    bare = runs[(runs["model"] == largest) & (runs["methods"] == "none")]
    of_seed = bare.set_index(["task", "seed"])["run_id"].to_dict()
    taught = [of_seed.get((row.task, row.seed)) if pd.notna(row.teacher_run_id) else None for row in runs.itertuples()]
    return runs.assign(wall_seconds=wall, teacher_run_id=pd.Series(taught, index=runs.index, dtype=object))


def grown(whole: pd.DataFrame, start: int) -> tuple[list[Claim], float, int]:
    """The claims with which a collection ends that begins with the first seeds; seconds that it takes; rounds."""
    there = whole["seed"] < start
    failures = pd.DataFrame(columns=list(FAILURE_COLUMNS))
    keys = pd.MultiIndex.from_frame(whole[KEY])
    looks: list[object] = []
    rounds = 0
    while True:
        said = next_runs(Results(whole[there], failures, [], "a simulation"), Options(), looks)  # type: ignore[arg-type]
        if not said.runs:
            return said.claims, float(whole.loc[there, "wall_seconds"].sum()), rounds
        asked = pd.MultiIndex.from_frame(pd.DataFrame([vars(run) for run in said.runs])[KEY])
        there |= keys.isin(asked)
        failed = pd.DataFrame([vars(run) for run in said.runs])[~asked.isin(keys)]
        failures = pd.concat([failures, failed.reindex(columns=list(FAILURE_COLUMNS))])
        looks, rounds = list(said.looks), rounds + 1


def of_stored(random: np.random.Generator) -> pd.DataFrame:
    """The stored grid's cells with five new seeds, as `coverage.plasmode` makes as many as it has."""
    made = []
    for place, task in enumerate(random.choice(stored().tasks, len(stored().tasks))):
        own = stored_task(task).runs.assign(task=f"task {place}")
        for first in range(0, SEEDS, own["seed"].nunique()):
            scores = stored_task(task).scores(random)
            names = {name: f"{place}-{first}-" + own[name] for name in ("run_id", "teacher_run_id")}
            made.append(own.assign(seed=own["seed"] + first, score_glue=scores, score_accuracy=scores, **names))
    runs = pd.concat(made, ignore_index=True)
    return runs[runs["seed"] < SEEDS].reset_index(drop=True)


@cache
def truth_of_stored() -> dict[tuple[str, str], float]:
    """What the stored grid itself says, by methods and kind."""
    table = equivalent_size.table(stored(), Options()).query("scope == 'mean'")
    return table.set_index(["contrast", "kind"])["estimate"].to_dict()


def study(grid: Grid | Stored, number: int, starts: Iterable[int]) -> list[dict[str, object]]:
    """A row for each start and claim of one grid."""
    random = np.random.default_rng([1, number])
    whole = of_stored(random) if isinstance(grid, Stored) else with_costs(replace(grid, seeds=SEEDS).runs(random))
    every = next_runs(Results(whole, pd.DataFrame(columns=list(FAILURE_COLUMNS)), [], "a simulation"), Options())
    rows: list[dict[str, object]] = []
    for start in starts:
        claims, seconds, rounds = grown(whole, start)
        for full, own in zip(every.claims, claims, strict=True):
            if isinstance(grid, Stored):
                truth = truth_of_stored()[own.methods, own.kind]
            else:
                truth = grid.known(own.methods, own.kind)
            rows.append({
                "start": start, "grid": number, "claim": own.name, "rounds": rounds,
                "hours": seconds / whole["wall_seconds"].sum(), "same": own.verdict == full.verdict,
                "contradict": own.settled and full.settled and own.verdict != full.verdict,
                "made": own.settled, "made by all": full.settled, "all hold": _holds(full, truth),
                "hold": _holds(own, truth), "lacks": own.lacks,
            })  # fmt: skip
    return rows


def _holds(claim: Claim, truth: float) -> float:
    """1 or 0, NaN without an interval."""
    return float(claim.low <= truth <= claim.high) if np.isfinite(claim.low) else np.nan


def summary(table: pd.DataFrame) -> dict[str, float]:
    of_grid = table.groupby("grid")[["hours", "rounds"]].first()
    of_claims = table[["same", "contradict", "made", "made by all", "hold", "all hold"]].mean()
    return {"hours": of_grid["hours"].mean(), "most": of_grid["hours"].max(), "rounds": of_grid["rounds"].mean(),
            **of_claims.to_dict()}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, default=50)
    parser.add_argument("--start", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("--out", type=Path, help="a row for each grid, start and claim, written after each grid")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for number in range(options.grids):
        for kind, grid in GRIDS.items():
            if options.only in kind and not (isinstance(grid, Stored) and not grid.drawn):
                rows += [{"kind": kind, **row} for row in study(grid, number, options.start)]
        if options.out:
            pd.DataFrame(rows).to_csv(options.out, index=False)
    for (kind, start), table in pd.DataFrame(rows).groupby(["kind", "start"], sort=False):
        print(f"{kind}, from {start}: " + "  ".join(f"{key} {value:.3f}" for key, value in summary(table).items()))


if __name__ == "__main__":
    main()
