"""A collection's cells as a model of all tasks takes them: what was done to which architecture, its score, its bytes.

A *treatment* is methods with their options and strengths, whatever they were applied to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics.score_size import Array
from analysis.statistics.uncertainty import seed_scale
from analysis.subsets import joined
from compress.runs.result import Compression

HUBER = 2.0  # standard deviations from its cell's score from which on a run counts less
UNCOMPRESSED = -1  # the treatment's number
TREATMENT = ["methods", "variant"]
Treatment = tuple[tuple[str, str, float | None], ...]  # (method, option, value of its strength) of what is on


def treatment_of(compressions: Iterable[Compression]) -> Treatment:
    return tuple((entry.method, entry.option, entry.value) for entry in compressions)


def subset_of(treatment: Treatment) -> str:
    return joined(method for method, _, _ in treatment)


@dataclass(frozen=True)
class TaskCells:
    """The N cells of one task that have a score.

    Attributes:
        task: its name.
        models, treatments: numbers of each cell's architecture and treatment, shape (N,).
        scores: their means over seeds (`robust_means`), points, shape (N,).
        seeds: how many each is of, shape (N,).
        deviations: of each seed's score from the cell's mean, shape (N, S); 0 where a cell lacks the seed.
        squares: sum of the squared deviations, each at most `HUBER` standard deviations.
    """

    task: str
    models: NDArray[np.int64]
    treatments: NDArray[np.int64]
    scores: Array
    seeds: Array
    deviations: Array
    squares: float


@dataclass(frozen=True)
class Cells:
    """A collection's cells.

    Attributes:
        models: the M architectures that were run both uncompressed and compressed, from small to large.
        log_bytes: of the uncompressed models, the mean over tasks, shape (M,).
        treatments: the K that are not nothing; the numbers in `TaskCells` are places here.
        changes: what a treatment adds to ln(bytes), shape (M, K); NaN where it was not run.
        tasks: those with a score.
        left_out: models, and why.
    """

    models: tuple[str, ...]
    log_bytes: Array
    treatments: tuple[Treatment, ...]
    changes: Array
    tasks: tuple[TaskCells, ...]
    left_out: tuple[str, ...]


def cells_of(results: Results, options: Options) -> Cells:
    """All cells of a collection, of the score and the bytes that are asked for."""
    runs = results.runs
    entries = runs.drop_duplicates(TREATMENT).set_index(TREATMENT)["compression"].map(treatment_of)
    log_bytes = np.log(runs[options.bytes_column].astype(float))
    sizes = log_bytes.groupby([runs["model"], runs["methods"], runs["variant"]]).mean().unstack(TREATMENT)
    compressed = [key for key in entries.index if entries[key]]
    bare = [key for key in entries.index if not entries[key]]
    base = sizes[bare[0]] if bare else pd.Series(math.nan, index=sizes.index)
    treated = sizes[compressed].notna().any(axis=1)
    models = tuple(model for model in results.models if math.isfinite(base[model]) and treated[model])
    why = {True: "run uncompressed only", False: "not run uncompressed"}
    left_out = [f"{model}: {why[math.isfinite(base[model])]}" for model in results.models if model not in models]
    known = sizes.loc[list(models), compressed].notna().any()
    compressed = [key for key, there in zip(compressed, known, strict=True) if there]
    kept = runs[runs[options.score_column].notna() & runs["model"].isin(models)]
    numbers = {key: number for number, key in enumerate(compressed)} | dict.fromkeys(bare, UNCOMPRESSED)
    frame = pd.DataFrame({
        "task": kept["task"], "seed": kept["seed"], "score": kept[options.score_column].astype(float),
        "model": kept["model"].map({model: number for number, model in enumerate(models)}),
        "treatment": [numbers[key] for key in zip(kept["methods"], kept["variant"], strict=True)],
    })  # fmt: skip
    log_bytes_of = base.loc[list(models)].to_numpy(float)
    return Cells(
        models=models,
        log_bytes=log_bytes_of,
        treatments=tuple(entries[key] for key in compressed),
        changes=sizes.loc[list(models), compressed].to_numpy(float) - log_bytes_of[:, None],
        tasks=tuple(_task_cells(str(task), rows) for task, rows in frame.groupby("task", sort=False)),
        left_out=tuple(left_out),
    )


def _task_cells(task: str, rows: pd.DataFrame) -> TaskCells:
    cells, places = np.unique(rows[["model", "treatment"]].to_numpy(np.int64), axis=0, return_inverse=True)
    _, seeds = np.unique(rows["seed"].to_numpy(), return_inverse=True)
    scores = np.full((len(cells), int(seeds.max()) + 1), math.nan)
    scores[places.ravel(), seeds] = rows["score"].to_numpy(float)
    scale = seed_scale(scores)
    means = robust_means(scores, scale)
    deviations = np.nan_to_num(scores - means[:, None])
    return TaskCells(
        task=task,
        models=cells[:, 0],
        treatments=cells[:, 1],
        scores=means,
        seeds=np.isfinite(scores).sum(axis=1).astype(float),
        deviations=deviations,
        squares=float((np.clip(deviations, -HUBER * scale, HUBER * scale) ** 2).sum()),
    )


def robust_means(scores: Array, scale: float) -> Array:
    """Huber's mean of each row: what is more than `HUBER` scales away counts less.

    So one collapsed run of three does not decide. Of normal scores it is the mean, but for 1 % of its efficiency.
    """
    if not scale:
        return np.asarray(np.nanmean(scores, axis=1))
    means, there = np.nanmedian(scores, axis=1), np.isfinite(scores)
    for _ in range(20):
        off = np.nan_to_num(np.abs(scores - means[:, None])) / scale
        weights = there / np.maximum(off / HUBER, 1.0)
        means = (weights * np.nan_to_num(scores)).sum(axis=1) / weights.sum(axis=1)
    return np.asarray(means)


def parts_of(treatments: Sequence[Treatment]) -> Array:
    """Which parts a treatment has, shape (K, parts): every non-empty choice of its methods, as they are in it."""
    of = [[part for size in range(1, len(name) + 1) for part in combinations(name, size)] for name in treatments]
    numbers = {part: number for number, part in enumerate(dict.fromkeys(part for own in of for part in own))}
    design = np.zeros((len(treatments), len(numbers)))
    for row, own in enumerate(of):
        design[row, [numbers[part] for part in own]] = 1.0
    return design
