"""Grids of runs whose interactions are known, with noise as seeds make it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.results import FAILURE_COLUMNS, SUBSETS, TASKS, Results
from tests.grids import EMBEDDINGS, PARAMETERS

SIZES = ("tiny", "mini", "small", "medium", "base", "large")
ALONE = {"quantize": 1.3, "distill": 0.7, "prune": 0.25}  # log-reduction at equal score


def as_results(runs: pd.DataFrame) -> Results:
    """Of a table of runs and nothing else."""
    return Results(runs, pd.DataFrame(columns=list(FAILURE_COLUMNS)), [], "a simulation", runs.iloc[:0])


@dataclass(frozen=True)
class Grid:
    """What is simulated.

    Attributes:
        interaction: log-interaction of every pair of methods; all three together have three times as much.
        pure: the three-way term, which all three together have on top.
        noise: standard deviation of one run in points; least and greatest over the tasks.
        shared: share of the noise's variance that runs of a task, size and seed have in common.
        teacher: share of it that distilled runs of a task and seed have in common.
        uneven: ratio of the noise of the smallest and the largest size.
        missing: share of the cells that are not there; as many of the other runs too.
        linear: whether score is linear in ln(bytes); else it saturates.
    """

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

    def known(self, kind: str) -> float:
        """The log-interaction of a pair, of all three methods (`total`), or what the pairs leave of that (`pure`)."""
        return {"pair": self.interaction, "total": 3 * self.interaction + self.pure, "pure": self.pure}[kind]

    def log_reduction(self, methods: str) -> float:
        """Of a subset, at equal score."""
        active = [method for method in ALONE if method in methods.split("+")]
        together = {2: self.known("pair"), 3: self.known("total")}
        return sum(ALONE[method] for method in active) + together.get(len(active), 0.0)

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
            for methods in SUBSETS:
                rows += self._front(task, methods, float(noise), of_size, of_teacher, random)
        return pd.DataFrame(rows)

    def _front(
        self, task: str, methods: str, noise: float, of_size: Any, of_teacher: Any, random: np.random.Generator
    ) -> list[dict[str, Any]]:
        pruned, quantized, distilled = (name in methods for name in ("prune", "quantize", "distill"))
        cells = [(size, sparsity) for size in range(self.sizes) for sparsity in ((0.4, 0.6) if pruned else (0.0,))]
        there = random.random(len(cells)) >= self.missing
        there[random.permutation(len(cells))[:3]] = True  # a front has at least three cells
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
                    {"task": task, "model": model, "methods": methods, "sparsity": sparsity, "seed": int(seed),
                     "prune": pruned, "quantize": quantized, "distill": distilled,
                     "score_glue": truth + all_noise[seed], "score_accuracy": truth + all_noise[seed],
                     "nominal_bytes": bytes, "artifact_bytes": bytes, "parameters": PARAMETERS[model],
                     "folder": None, "url": None, "run_id": f"{task}-{model}-{methods}-{sparsity}-{seed}"}
                )  # fmt: skip
        return rows
