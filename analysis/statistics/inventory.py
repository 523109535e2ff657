"""Which runs a collection has and what they take, and which further seeds could be run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np
import pandas as pd

from analysis.read.results import Results
from analysis.statistics.score_size import Array
from analysis.statistics.shift_model import Fit
from analysis.statistics.treatments import UNCOMPRESSED, Treatment, treatment_of

Key = tuple[str, str, Treatment]  # task, model, treatment


@dataclass(frozen=True)
class Run:
    """A run to make: a finished one, `like`, with another seed. `seconds` is what it takes, NaN if not known."""

    task: str
    model: str
    methods: str
    variant: str
    seed: int
    like: str
    seconds: float


@dataclass(frozen=True)
class Block:
    """One more seed of a task's and a model's cells: the runs, those that others need first, and seconds they take."""

    place: int
    cells: Array  # 1 for the task's cells that get a seed, shape (N,)
    keys: list[tuple[Key, int]]  # with seeds, those of teachers and starts too
    seconds: float


class Inventory:
    """Which runs there are and what they take; which could be made. `spent` are seconds of all that there are."""

    def __init__(self, results: Results, model: Fit, seeds: int) -> None:
        self.model, self.most = model, seeds
        runs = results.runs.assign(treatment=results.runs["compression"].map(treatment_of))
        self.like: dict[Key, dict[str, str]] = {}
        self.there: dict[Key, set[int]] = defaultdict(set)
        of_run = {}
        for row in runs.to_dict("records"):
            key = of_run[row["run_id"]] = row["task"], row["model"], row["treatment"]
            self.like.setdefault(key, {name: str(row[name]) for name in ("methods", "variant", "run_id")})
            self.there[key].add(int(row["seed"]))
        self.needed = {what: _needed(runs, f"{what}_run_id", of_run) for what in ("teacher", "start")}
        seconds = runs["wall_seconds"].astype(float)
        self.of_cell = seconds.groupby([runs["task"], runs["model"], runs["treatment"]]).mean().to_dict()
        self.of_kind = seconds.groupby([runs["model"], runs["treatment"]]).mean().to_dict()
        self.usual = float(seconds.mean()) if seconds.notna().any() else 1.0
        self.spent = float(seconds.fillna(self.usual).sum())
        failures = results.failures
        columns = (failures[name] for name in ("task", "model", "methods", "seed"))
        self.failed = set(zip(*columns, strict=True))
        used = sorted(int(seed) for seed in runs["seed"].unique())
        self.order = [*used, *(seed for seed, _ in zip(count(used[-1] + 1), range(seeds), strict=False))]
        missing = {what: sum(key is None for key in keys.values()) for what, keys in self.needed.items()}
        self.notes = [f"what the {what}s of {count} cells take is not known: their runs are not here"
                      for what, count in missing.items() if count]  # fmt: skip

    def attainable(self, place: int) -> Array:
        """How many seeds each of a task's cells may come to have, shape (N,)."""
        cells = self.model.tasks[place].cells
        free = [
            sum(self._lacks(self._key(cells.task, int(model), int(treatment)), seed) for seed in self.order)
            for model, treatment in zip(cells.models, cells.treatments, strict=True)
        ]
        return np.asarray(np.maximum(cells.seeds, np.minimum(cells.seeds + np.array(free), self.most)))

    def places(self) -> list[tuple[int, int]]:
        """Every task and model that has cells, as numbers."""
        return [(place, int(model)) for place, task in enumerate(self.model.tasks)
                for model in np.unique(task.cells.models)]  # fmt: skip

    def block(self, place: int, model: int, treatments: Collection[int]) -> Block | None:
        """The first seed that some of these cells lack and may have; None if none does."""
        cells = self.model.tasks[place].cells
        inside = (cells.models == model) & np.isin(cells.treatments, list(treatments))
        for seed in self.order:
            adds = np.zeros(len(inside))
            keys: dict[tuple[Key, int], None] = {}
            for cell in np.flatnonzero(inside):
                key = self._key(cells.task, model, int(cells.treatments[cell]))
                if not self._lacks(key, seed):
                    continue
                needed = [other for keys_of in self.needed.values() if (other := keys_of.get(key)) is not None]
                if any(self._failed(other, seed) for other in needed):
                    continue
                adds[cell] = 1.0
                keys |= dict.fromkeys((other, seed) for other in needed if seed not in self.there[other])
                keys[key, seed] = None
            if adds.any():
                return Block(place, adds, list(keys), sum(self._cost(key) for key, _ in keys))
        return None

    def _key(self, task: str, model: int, treatment: int) -> Key:
        of = () if treatment == UNCOMPRESSED else self.model.cells.treatments[treatment]
        return task, self.model.cells.models[model], of

    def _failed(self, key: Key, seed: int) -> bool:
        return (*key[:2], self.like[key]["methods"], seed) in self.failed

    def _lacks(self, key: Key, seed: int) -> bool:
        return seed not in self.there[key] and len(self.there[key]) < self.most and not self._failed(key, seed)

    def take(self, block: Block) -> None:
        """Count a block's runs as there."""
        for key, seed in block.keys:
            self.there[key].add(seed)

    def _seconds(self, key: Key) -> float:
        mean = self.of_cell.get(key, math.nan)
        return float(mean if math.isfinite(mean) else self.of_kind.get(key[1:], math.nan))

    def _cost(self, key: Key) -> float:
        seconds = self._seconds(key)
        return seconds if seconds > 0 else self.usual

    def run(self, key: Key, seed: int) -> Run:
        like = self.like[key]
        return Run(key[0], key[1], like["methods"], like["variant"], seed, like["run_id"], self._seconds(key))


def _needed(runs: pd.DataFrame, column: str, of_run: Mapping[str, Key]) -> dict[Key, Key | None]:
    """For each cell whose runs name another run in a column, the cell of that; None if it is not here."""
    named = runs[runs[column].notna()]
    rows = zip(named["task"], named["model"], named["treatment"], named[column], strict=True)
    return {(task, name, treatment): of_run.get(run_id) for task, name, treatment, run_id in rows}
