"""Every statistic that a report tells, computed once, for nominal bytes and for the file on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from analysis.names import SIZES
from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics import interactions, priorities, table1


@dataclass(frozen=True)
class Findings:
    """One DataFrame per statistic: `interactions.table` and `priorities.main_effects` `both_ways`, `table1.table`."""

    interactions: pd.DataFrame
    effects: pd.DataFrame
    table1: pd.DataFrame


def findings(results: Results, options: Options) -> Findings:
    """Everything, with the options' score, replicates and tolerance."""
    ways = [replace(options, bytes=size) for size in SIZES]
    contrasts = {way.bytes: interactions.table(results, way) for way in ways}
    effects = {way.bytes: priorities.main_effects(results, way) for way in ways}
    return Findings(both_ways(contrasts), both_ways(effects), table1.table(results, options))


def both_ways(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One frame of both ways of counting bytes (`nominal`, `artifact`), named in the column `bytes`.

    Adds `shown_low` and `shown_high`, the interval from seeds (low, high) or without one that from the differences
    between tasks (tasks_low, tasks_high); and `shown_by`, which of them: `seeds`, `tasks` or empty.
    """
    table = pd.concat([counted.assign(bytes=size) for size, counted in tables.items()], ignore_index=True)
    seeds, tasks = table["low"].notna(), table["tasks_low"].notna()
    for end in ("low", "high"):
        table[f"shown_{end}"] = table[end].where(seeds, table[f"tasks_{end}"])
    table["shown_by"] = seeds.map({True: "seeds", False: ""}).mask(~seeds & tasks, "tasks")
    return table
