"""Grids of runs whose interactions are known, with noise as seeds make it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from analysis import names
from analysis.read.results import FAILURE_COLUMNS, Results
from analysis.subsets import Compressions, collected, split
from tests.grids import EMBEDDINGS, PARAMETERS, STUDY, entry

TASKS = tuple(names.TASKS)
SIZES = ("tiny", "mini", "small", "medium", "base", "large")
ALONE = {"quantize": 1.3, "distill": 0.7, "prune": 0.25, "shave": 0.4, "coach": 0.5}  # log-reduction at equal score
SPARSITIES = (0.4, 0.6)


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

    def score(self, log_bytes: float, methods: str) -> float:
        """Without noise."""
        above = log_bytes + self.log_reduction(methods) - np.log(4 * PARAMETERS["tiny"])
        return float(72 + 3.6 * above if self.linear else 92 - 20 * np.exp(-0.45 * above))

    def runs(self, random: np.random.Generator) -> pd.DataFrame:
        """A table as `Results.runs`, of the columns that statistics need."""
        noises = [float(np.mean(self.noise))] if self.tasks == 1 else np.geomspace(*self.noise, self.tasks)
        rows: list[dict[str, Any]] = []
        for task, noise in zip(TASKS[: self.tasks], noises, strict=True):
            of_size = random.standard_normal((self.sizes, self.seeds))
            of_teacher = random.standard_normal(self.seeds)
            for methods in collected([tuple(map(entry, self.methods))]).subsets:
                rows += self._curve(task, methods, float(noise), of_size, of_teacher, random)
        table = pd.DataFrame(rows)
        return table.assign(variant=table["compression"].map(collected(table["compression"]).variant))

    def _curve(
        self, task: str, methods: str, noise: float, of_size: Any, of_teacher: Any, random: np.random.Generator
    ) -> list[dict[str, Any]]:
        pruned, quantized, distilled = (name in split(methods) for name in ("prune", "quantize", "distill"))
        cells = [(size, sparsity) for size in range(self.sizes) for sparsity in (SPARSITIES if pruned else (0.0,))]
        there = random.random(len(cells)) >= self.missing
        there[random.permutation(len(cells))[:3]] = True  # a curve has at least three cells
        taught = self.teacher if distilled else 0.0
        rows: list[dict[str, Any]] = []
        for (size, sparsity), kept in zip(cells, there, strict=True):
            model = SIZES[size]
            bytes = PARAMETERS[model] * (1 - (1 - EMBEDDINGS) * sparsity) * (1 if quantized else 4)
            spread = noise * self.uneven ** (0.5 - size / (self.sizes - 1))
            own = random.standard_normal(self.seeds) * np.sqrt(1 - self.shared - taught)
            all_noise = spread * (own + np.sqrt(self.shared) * of_size[size] + np.sqrt(taught) * of_teacher)
            present = random.random(self.seeds) >= self.missing
            present[0] |= not present.any()
            truth = self.score(float(np.log(bytes)), methods)
            for seed in np.flatnonzero(present if kept else np.zeros(self.seeds, dtype=bool)):
                rows.append(
                    {"task": task, "model": model, "methods": methods, "seed": int(seed),
                     "compression": _entries(methods, sparsity), "teacher_run_id": "taught" if distilled else None,
                     "score_glue": truth + all_noise[seed], "score_accuracy": truth + all_noise[seed],
                     "nominal_bytes": bytes, "artifact_bytes": bytes, "parameters": PARAMETERS[model],
                     "folder": None, "url": None, "run_id": f"{task}-{model}-{methods}-{sparsity}-{seed}"}
                )  # fmt: skip
        return rows


def _entries(methods: str, sparsity: float) -> Compressions:
    return tuple(entry(method, sparsity if method == "prune" else None) for method in split(methods))
