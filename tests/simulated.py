"""Grids of runs whose interactions are known, with noise as seeds make it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from analysis import names
from analysis.read.results import FAILURE_COLUMNS, Results
from analysis.subsets import Compressions, collected, joined, split
from tests.grids import EMBEDDINGS, PARAMETERS, STUDY, entry

TASKS = tuple(names.TASKS)
SIZES = ("tiny", "mini", "small", "medium", "base", "large")
ALONE = {"quantize": 1.3, "distill": 0.7, "prune": 0.25, "shave": 0.4, "coach": 0.5}  # log-reduction at equal score
SPARSITIES = (0.4, 0.6)
FLOOR = 50.0  # a constant answer's score
CURVES = ((0.5, 88.0), (2.0, 84.0), (-0.5, 92.0), (1.0, 86.0), (0.0, 91.0), (2.5, 85.0), (1.5, 87.0), (-1.0, 93.0))


@dataclass(frozen=True)
class Simulated:
    """Tables as `Results.runs`: what was run, and the whole grid without noise, one seed."""

    runs: pd.DataFrame
    exact: pd.DataFrame


def as_results(runs: pd.DataFrame) -> Results:
    """Of a table of runs and nothing else."""
    return Results(runs, pd.DataFrame(columns=list(FAILURE_COLUMNS)), [], "a simulation")


@dataclass(frozen=True)
class Grid:
    """What is simulated.

    Attributes:
        methods: of which all subsets are run.
        interaction: log-interaction of every pair of methods.
        pure: the three-way term of every three methods.
        noise: standard deviation of one run in points; least and greatest over the tasks.
        shared: share of the noise's variance that runs of a task, size and seed have in common.
        teacher: share of it that distilled runs of a task and seed have in common.
        uneven: ratio of the noise of the smallest and the largest size.
        missing: share of the cells that are not there; as many of the other runs too.
        linear: whether score is linear in ln(bytes); else it saturates.
        ceilings: whether it is a logistic curve of ln(bytes), other in each task; above most sizes in some, at its
            ceiling in others; runs near floor or ceiling are the less noisy.
        differ: standard deviation over tasks of what each method reduces alone; half of it, of each pair's interaction.
            If it is not 0, the logistic curves are drawn too, with replacement.
        heavy: whether noise has the tails of Student's t with three degrees of freedom.
        collapsed: share of the runs that end at a constant answer's score.
        failing: share of the cells that are not there, of them most where models are worst; as many of the other runs.
        dip: whether the middle size acts as the one below it.
    """

    methods: tuple[str, ...] = STUDY
    interaction: float = 0.0
    pure: float = 0.0
    tasks: int = 8
    sizes: int = 6
    seeds: int = 3
    noise: tuple[float, float] = (0.3, 1.5)
    shared: float = 0.0
    teacher: float = 0.0
    uneven: float = 1.0
    missing: float = 0.0
    linear: bool = False
    ceilings: bool = False
    differ: float = 0.0
    heavy: bool = False
    collapsed: float = 0.0
    failing: float = 0.0
    dip: bool = False

    def exact(self) -> Results:
        """Without noise: one seed."""
        return as_results(replace(self, noise=(1e-12, 1e-12), seeds=1).runs(np.random.default_rng(0)))

    def results(self, seed: int = 0) -> Results:
        """A simulated collection."""
        return as_results(self.runs(np.random.default_rng(seed)))

    def known(self, combination: str, kind: str) -> float:
        """A combination's log-interaction, or what its smaller combinations leave of that (`pure`)."""
        count = len(split(combination))
        if kind == "pure":
            return self.pure if count == 3 else 0.0
        return comb(count, 2) * self.interaction + comb(count, 3) * self.pure

    def log_reduction(self, methods: str) -> float:
        """Of a subset, at equal score."""
        return sum(ALONE[method] for method in split(methods)) + self.known(methods, "total")

    def score(self, log_bytes: float, methods: str, curve: int = 0, more: float = 0.0) -> float:
        """Without noise, in a task with such a curve where the subset reduces by exp(more) more than in the mean."""
        above = log_bytes + self.log_reduction(methods) + more - np.log(4 * PARAMETERS["tiny"])
        if self.ceilings:
            middle, ceiling = CURVES[curve]
            return float(FLOOR + (ceiling - FLOOR) / (1 + np.exp(middle - above)))
        return float(72 + 3.6 * above if self.linear else 92 - 20 * np.exp(-0.45 * above))

    def runs(self, random: np.random.Generator) -> pd.DataFrame:
        """A table as `Results.runs`, of the columns that statistics need."""
        return self.simulate(random).runs

    def simulate(self, random: np.random.Generator) -> Simulated:
        """Runs, and what they would be without noise."""
        noises = [float(np.mean(self.noise))] if self.tasks == 1 else np.geomspace(*self.noise, self.tasks)
        cells: list[dict[str, Any]] = []
        subsets = _subsets(self.methods)
        for number, noise in enumerate(noises):
            of_size = random.standard_normal((self.sizes, self.seeds))
            of_teacher = random.standard_normal(self.seeds)
            curve = int(random.integers(len(CURVES))) if self.ceilings and self.differ else number
            more = self._differences(random) if self.differ else dict.fromkeys(subsets, 0.0)
            for methods in subsets:
                cells += self._curve(number, curve, methods, more[methods], float(noise), of_size, of_teacher, random)
        whole = self._runs_of(cells)
        kept = whole["kept"] & ~self._failed(whole, random) if self.failing else whole["kept"]
        exact = whole[whole["seed"] == 0]
        exact = exact.assign(score_glue=exact["truth"], score_accuracy=exact["truth"])
        runs, exact = (table.drop(columns=["kept", "truth"]).reset_index(drop=True) for table in (whole[kept], exact))
        return Simulated(runs, exact)

    def _runs_of(self, cells: list[dict[str, Any]]) -> pd.DataFrame:
        """A row per seed of each cell."""
        scores, kept = (np.concatenate([cell.pop(name) for cell in cells]) for name in ("scores", "kept"))
        seeds = np.tile(np.arange(self.seeds), len(cells))
        names = np.repeat([cell.pop("name") for cell in cells], self.seeds)
        of_cells = pd.DataFrame(cells)
        whole = of_cells.loc[of_cells.index.repeat(self.seeds)].reset_index(drop=True)
        run_ids = [f"{name}-{seed}" for name, seed in zip(names, seeds, strict=True)]
        return whole.assign(seed=seeds, score_glue=scores, score_accuracy=scores, kept=kept, run_id=run_ids)

    def _differences(self, random: np.random.Generator) -> dict[str, float]:
        """By how much a task's log-reductions differ from the mean over all tasks."""
        alone = {name: random.normal(0, self.differ) for name in self.methods}
        pairs = {pair: random.normal(0, self.differ / 2) for pair in combinations(self.methods, 2)}
        return {
            subset: sum(alone[name] for name in split(subset))
            + sum(more for pair, more in pairs.items() if set(pair) <= set(split(subset)))
            for subset in _subsets(self.methods)
        }

    def _failed(self, whole: pd.DataFrame, random: np.random.Generator) -> pd.Series:
        """Cells and runs that failed, the more often the lower the task's models score; none of a task's first seed at
        the largest size."""
        cell = ["task", "model", "methods", "variant"]
        place = whole.groupby("task")["truth"].rank(pct=True)
        odds = 3 * self.failing * (1 - place) ** 2
        lots = whole[cell].drop_duplicates().assign(lot=lambda cells: random.random(len(cells)))
        of_cell = whole[cell].merge(lots, on=cell)["lot"].to_numpy()
        return (of_cell < odds) | (random.random(len(whole)) < odds)

    def _curve(
        self, task: int, curve: int, methods: str, more: float, noise: float, of_size: Any, of_teacher: Any,
        random: np.random.Generator,
    ) -> list[dict[str, Any]]:  # fmt: skip
        pruned, quantized, distilled = (name in split(methods) for name in ("prune", "quantize", "distill"))
        cells = [(size, sparsity) for size in range(self.sizes) for sparsity in (SPARSITIES if pruned else (0.0,))]
        there = random.random(len(cells)) >= self.missing
        there[random.permutation(len(cells))[:3]] = True  # a curve has at least three cells
        taught = self.teacher if distilled else 0.0
        of_cells: list[dict[str, Any]] = []
        for (size, sparsity), kept in zip(cells, there, strict=True):
            model = SIZES[size]
            bytes = PARAMETERS[model] * (1 - (1 - EMBEDDINGS) * sparsity) * (1 if quantized else 4)
            spread = noise * self.uneven ** (0.5 - size / (self.sizes - 1))
            own = random.standard_normal(self.seeds)
            if self.heavy:
                own = random.standard_t(3, self.seeds) / np.sqrt(3)
            own *= np.sqrt(1 - self.shared - taught)
            all_noise = spread * (own + np.sqrt(self.shared) * of_size[size] + np.sqrt(taught) * of_teacher)
            present = random.random(self.seeds) >= self.missing
            present[0] |= not present.any()
            acts = SIZES[size - 1] if self.dip and size == self.sizes // 2 else model
            truth = self.score(float(np.log(bytes * PARAMETERS[acts] / PARAMETERS[model])), methods, curve, more)
            if self.ceilings:
                share = (truth - FLOOR) / (CURVES[curve][1] - FLOOR)
                all_noise = all_noise * 2 * np.sqrt(share * (1 - share))
            scores = truth + all_noise
            if self.collapsed:
                scores = np.where(random.random(self.seeds) < self.collapsed, FLOOR, scores)
            compression, variant = _cell(self.methods, methods, sparsity)
            of_cells.append(
                {"task": TASKS[task], "model": model, "methods": methods, "variant": variant,
                 "compression": compression, "teacher_run_id": "taught" if distilled else None,
                 "start_run_id": None, "nominal_bytes": bytes, "artifact_bytes": bytes, "parameters": PARAMETERS[model],
                 "folder": None, "url": None, "name": f"{TASKS[task]}-{model}-{methods}-{sparsity}",
                 "scores": scores, "kept": kept & present, "truth": truth}
            )  # fmt: skip
        return of_cells


@cache
def _subsets(methods: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(collected([tuple(map(entry, methods))]).subsets)


@cache
def _cell(every: tuple[str, ...], methods: str, sparsity: float) -> tuple[Compressions, str]:
    """What a subset of `every` method does to a model, and its variant where several sparsities are run."""
    grid = collected([_entries(joined(every), sparsity) for sparsity in SPARSITIES])
    entries = _entries(methods, sparsity)
    return entries, grid.variant(entries)


def _entries(methods: str, sparsity: float) -> Compressions:
    return tuple(entry(method, sparsity if method == "prune" else None) for method in split(methods))
