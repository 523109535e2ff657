"""How methods reduce size at equal score, alone and together, from one model of all tasks: learned, and arithmetic.

By `shift_model` a compressed model acts as an uncompressed one that is exp(g) times as large; what it takes in bytes is
known. What is *learned*, g, needs no bytes; the *arithmetic* is of bytes alone, at the architectures that each subset
needs for the same score: a distilled model is of a smaller one, with less to prune. Every contrast of `like_with_like`,
a method's main effect or an interaction, is the sum of these two terms.

The mean is over tasks like these, each counting by what it can tell. Its 95 % interval is for other tasks and seeds: a
task is one observation, whatever its runs have in common. The variance is the sum of the tasks' squared contributions,
each over the share of it that fitting the mean leaves (CR2), with the degrees of freedom of that sum (Bell & McCaffrey
2002, Survey Methodology 28:169; Pustejovsky & Tipton 2018, J. Bus. Econ. Stat. 36:672). To it comes what is not known
of the slopes because the architectures are few and lie off any curve. With fewer than five each stretch of the curve
is off by a factor of its own, so that shifts which go there and back leave an error even where their sum is 0
(`Fit.slope_variance`); where that is more than a quarter of the error, and 0.1 %, there is no interval. Where
one task alone tells of a number the interval is for other seeds; `basis` says which. A task's own numbers are partially
pooled: the less it can tell, the nearer the mean.

Points are of the same architecture, the mean over all that a comparison was run on; a cell that is missing in one task
counts with the score that the model fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics.interactions import UNDEFINED, verdict
from analysis.statistics.like_with_like import MAIN, Contrast, Terms, contrasts, terms
from analysis.statistics.score_size import Array, as_factor
from analysis.statistics.shift_model import FEW, Fit, TaskFit, fit
from analysis.statistics.treatments import UNCOMPRESSED, Cells, TaskCells, cells_of, subset_of
from analysis.statistics.uncertainty import (
    ONE_SEED,
    Interval,
    Parts,
    SeedVariation,
    over_tasks,
    satterthwaite,
    t_interval,
)  # fmt: skip

ALONE = 1 - 1e-6  # share of a number's variance from which on it is one task's
INESTIMABLE, LEAST_SHARE, NO_SLOPE = 1e-6, 1e-3, 1e-9
TWO_SIZES = "only two sizes: how far architectures lie off a curve of sizes is not known"
MOST_OF_SLOPES = 0.25  # share of an error above which there is no interval if the architectures are few,
LEAST_OF_SLOPES = 0.001  # unless it is no more than this, in log size
OFF = "the {} architectures do not lie on a curve of sizes: its slope has a standard error of {:.0f} %"
BEYOND = "no size has architectures for everything that is compared; bytes are those of the nearest"
COLUMNS = (
    "contrast", "kind", "scope", "estimate", "low", "high", "error", "freedom", "verdict", "learned", "learned_low",
    "learned_high", "arithmetic", "arithmetic_low", "arithmetic_high", "points", "points_low", "points_high",
    "points_error", "observed", "expected", "weight", "tasks", "seeds_min", "seeds_max", "basis", "reason", "unsure",
)  # fmt: skip


def table(results: Results, options: Options, of_tasks: bool = True) -> pd.DataFrame:
    """Every contrast, of the mean over tasks like these and, with `of_tasks`, of each task; columns `COLUMNS`.

    `estimate`, `learned` and `arithmetic` are logs of factors of size, positive where models become smaller; `points`
    are of score, higher is better. `observed` and `expected` are a combination's factors. `weight` is a task's share in
    the mean. `seeds_min` and `seeds_max` are of the cells. `reason` says why a number is undefined or what it
    leaves out, `unsure` why it has no interval.
    """
    cells = cells_of(results, options)
    model = fit(cells)
    scored = CellScores(cells, model)
    taught = students(results, cells)
    rows: list[dict[str, object]] = []
    for contrast in contrasts(results, cells.treatments):
        rows += _rows(contrast, cells, model, scored, taught, of_tasks)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def students(results: Results, cells: Cells) -> Array:
    """1 for the treatments whose runs name a teacher, shape (K,)."""
    runs = results.runs
    subsets = set(runs.loc[runs["teacher_run_id"].notna(), "methods"])
    return np.array([float(subset_of(treatment) in subsets) for treatment in cells.treatments])


@dataclass(frozen=True)
class Known:
    """What is known of a sum of mean shifts: its interval, and each task's share in it, shape (T,)."""

    interval: Interval
    shares: Array
    basis: str = ""
    freedom: float = math.inf  # without that of the slopes
    inflation: float = 1.0  # of its variance, over what the model gives


def known(model: Fit, value: float, by_shift: Array, taught: Array) -> Known:
    """Of `value` with these derivatives by the mean shifts, shape (K,); `taught` is 1 for students, shape (K,)."""
    nothing = np.zeros(len(model.tasks))
    if np.abs(by_shift).max(initial=0.0) < NO_SLOPE:
        return Known(Interval(value, value, 0.0, math.inf), nothing, "bytes")
    direction = model.covariance @ by_shift
    if np.abs(model.precisions.sum(axis=0) @ direction - by_shift).max() > INESTIMABLE * np.abs(by_shift).max():
        return Known(Interval(reason="no task has scores of everything that is compared"), nothing)
    by_task = model.precisions @ direction
    variances = by_task @ direction
    shares = variances / variances.sum()
    if shares.max() > ALONE:
        return Known(_from_seeds(model, int(shares.argmax()), value, direction, by_shift, taught), shares, "seeds")
    left = np.diag(variances) - by_task @ model.covariance @ by_task.T
    tells = variances > 0
    scale = np.divide(variances, np.diag(left), where=tells, out=np.zeros_like(variances))
    squares = float(scale @ (model.residuals @ direction) ** 2)
    scaled = scale[:, None] * left
    freedom = float(np.trace(scaled) ** 2 / np.trace(scaled @ scaled))
    inflation = squares / float(variances.sum())
    interval = _with_slopes(model, value, model.slope_variance(by_shift, model.mean), [(squares, freedom)])
    return Known(interval, shares, "tasks", freedom, inflation)


def _with_slopes(model: Fit, value: float, of_slopes: float, parts: Parts) -> Interval:
    """From the independent parts of a variance, and that because the slopes are off: they divide what is learned."""
    if not model.slope_freedom:
        return Interval(reason=TWO_SIZES)
    variance = of_slopes + sum(part for part, _ in parts)
    most = max(MOST_OF_SLOPES * math.sqrt(variance), LEAST_OF_SLOPES)
    if math.sqrt(of_slopes) > most and model.slope_freedom < FEW:
        return Interval(reason=OFF.format(model.slope_freedom + 2, 100 * model.slope_error))
    freedom = satterthwaite([*parts, (of_slopes, model.slope_freedom)])
    return t_interval(value, math.sqrt(variance), freedom)


def _from_seeds(model: Fit, place: int, value: float, direction: Array, by_shift: Array, taught: Array) -> Interval:
    """For other seeds of the one task that tells of it."""
    task = model.tasks[place]
    influence = direction @ model.gains[place] @ task.influence
    parts = _seed_parts(task.cells, influence, abs(float(by_shift @ taught)) > INESTIMABLE)
    if not parts:
        return Interval(reason=ONE_SEED)
    return _with_slopes(model, value, model.slope_variance(by_shift, model.mean), parts)


def _seed_parts(cells: TaskCells, influence: Array, together: bool) -> list[tuple[float, float]]:
    """Variance and degrees of freedom of each independent part of a number with these derivatives by cells' scores."""
    freedom = int((cells.seeds - 1).sum())
    if not freedom:
        return []
    variance = float((cells.deviations**2).sum() / freedom)
    variation = SeedVariation(cells.models, cells.seeds.astype(np.int64), cells.deviations, variance, freedom)
    return variation.parts(influence, together)


def of_task(model: Fit, place: int, value: float, by_shift: Array, mean: Known) -> Interval:
    """Of one task's own, partially pooled number; none where the mean has none."""
    if mean.interval.reason:
        return mean.interval
    spread, precision = model.spread, model.precisions[place]
    pooled = by_shift - precision @ spread @ by_shift
    variance = by_shift @ (spread - spread @ precision @ spread) @ by_shift + pooled @ model.covariance @ pooled
    variance = max(float(variance), 0.0) * max(mean.inflation, 1.0)
    of_slopes = model.slope_variance(by_shift, model.tasks[place].shifts)
    return _with_slopes(model, value, of_slopes, [(variance, mean.freedom)])


class CellScores:
    """Scores of every architecture and treatment in a task; those missing filled with the model's."""

    def __init__(self, cells: Cells, model: Fit | None) -> None:
        self.cells = cells
        fits = {fitted.cells.task: fitted for fitted in model.tasks} if model else {}
        self.scores = {task.task: _filled(cells, task, model, fits.get(task.task)) for task in cells.tasks}

    def weights(self, contrast: Contrast) -> Array:
        """Of each score, shape (M, K + 1): the mean over the architectures that all of a comparison were run on, NaN
        without such."""
        weights = np.zeros((len(self.cells.models), len(self.cells.treatments) + 1))
        for like in contrast.comparisons:
            numbers = list(like.weights)
            models = np.isfinite(self.cells.changes[:, numbers]).all(axis=1)
            if not models.any():
                return np.full_like(weights, math.nan)
            share = like.share / models.sum()
            weights[np.ix_(np.flatnonzero(models), np.array(numbers))] += share * np.array(list(like.weights.values()))
            weights[models, UNCOMPRESSED] -= share * sum(like.weights.values())
        return weights

    def points(self, weights: Array, task: TaskCells) -> float:
        """A task's sum with these weights, shape (M, K + 1)."""
        return float((weights * self.scores[task.task])[weights != 0].sum())

    def interval(self, weights: Array, task: TaskCells, together: bool) -> Interval:
        """Of `points`, from seeds."""
        if np.isnan(weights).any():
            return Interval(reason="no architecture was run with everything that is compared")
        parts = _seed_parts(task, weights[task.models, task.treatments], together)
        if not parts:
            return Interval(reason=ONE_SEED)
        error = math.sqrt(sum(variance for variance, _ in parts))
        return t_interval(self.points(weights, task), error, satterthwaite(parts))


def _filled(cells: Cells, task: TaskCells, model: Fit | None, fitted: TaskFit | None) -> Array:
    """Shape (M, K + 1), the uncompressed last; NaN for what is missing and not fitted."""
    scores = np.full((len(cells.models), len(cells.treatments) + 1), math.nan)
    scores[task.models, task.treatments] = task.scores  # UNCOMPRESSED is the last
    return np.where(np.isnan(scores), model.scores(fitted), scores) if model and fitted else scores


def _rows(
    contrast: Contrast, cells: Cells, model: Fit | None, scored: CellScores, taught: Array, of_tasks: bool
) -> list[dict[str, object]]:
    """Of the mean over tasks like these, then of each task."""
    together = abs(float(contrast.weights(len(taught)) @ taught)) > INESTIMABLE
    weights = scored.weights(contrast)
    points = {task.task: scored.points(weights, task) for task in cells.tasks}

    def of_seeds(task: TaskCells) -> dict[str, object]:
        return _points(points[task.task], scored.interval(weights, task, together))

    whole = {"contrast": contrast.methods, "kind": contrast.kind, "scope": "mean"}
    defined = [task for task in cells.tasks if math.isfinite(points[task.task])]
    if len(defined) == 1:
        of_mean = of_seeds(defined[0])
    else:
        values = np.array([points[task.task] for task in defined])
        of_mean = _points(float(values.mean()), over_tasks(values)) if defined else {}
    rows = [whole | of_mean | _counts(contrast, cells.tasks)]
    rows += [
        whole | {"scope": task.task} | of_seeds(task) | _counts(contrast, [task])
        for task in (cells.tasks if of_tasks else ())
    ]
    if not contrast.comparisons or model is None:
        reason = contrast.reason or "no task has two sizes, so that how its scores depend on size is not known"
        return [_EMPTY | {"reason": reason} | row for row in rows]
    at_mean = terms(contrast, cells, model.mean)
    sizes = known(model, at_mean.learned + at_mean.arithmetic, at_mean.by_learned + at_mean.by_arithmetic, taught)
    learned = known(model, at_mean.learned, at_mean.by_learned, taught)
    bytes = known(model, at_mean.arithmetic, at_mean.by_arithmetic, taught)
    if sizes.interval.reason and not sizes.shares.any():
        return [_EMPTY | {"reason": sizes.interval.reason} | row for row in rows]
    fitted = {own.cells.task: place for place, own in enumerate(model.tasks)}
    notes = [*cells.left_out, *(f"{task.task}: one size" for task in cells.tasks if task.task not in fitted)]
    notes += [f"{own.cells.task}: scores do not rise with size" for own in model.tasks if not own.nuisance[1]]
    notes += [BEYOND] if at_mean.beyond else []
    notes += [] if model.converged else ["the fit did not converge"]
    rows[0] |= _numbers(contrast, at_mean, sizes.interval, learned.interval, bytes.interval)
    rows[0] |= {"tasks": int((sizes.shares > LEAST_SHARE).sum()), "basis": sizes.basis, "reason": "; ".join(notes)}
    for row in rows[1:]:
        place = fitted.get(str(row["scope"]))
        if place is None or not set(contrast.treatments) <= set(model.tasks[place].cells.treatments):
            row["reason"] = "one size" if place is None else "not all that is compared was run"
            continue
        own = terms(contrast, cells, model.tasks[place].shifts)
        intervals = [
            of_task(model, place, value, by, mean)
            for value, by, mean in (
                (own.learned + own.arithmetic, own.by_learned + own.by_arithmetic, sizes),
                (own.learned, own.by_learned, learned),
                (own.arithmetic, own.by_arithmetic, bytes),
            )
        ]
        row |= _numbers(contrast, own, *intervals)
        row |= {"weight": float(sizes.shares[place]), "basis": "pooled"}
    return [_EMPTY | row for row in rows]


_EMPTY: dict[str, object] = {
    **dict.fromkeys(COLUMNS, math.nan), **dict.fromkeys(("reason", "unsure", "basis"), ""),
    "verdict": UNDEFINED, "tasks": 0, "seeds_min": 0, "seeds_max": 0,
}  # fmt: skip


def _numbers(
    contrast: Contrast, own: Terms, sizes: Interval, learned: Interval, arithmetic: Interval
) -> dict[str, object]:
    estimate, combined = own.learned + own.arithmetic, contrast.kind != MAIN
    return {
        "estimate": estimate, "low": sizes.low, "high": sizes.high, "error": sizes.error, "freedom": sizes.freedom,
        "verdict": verdict(sizes) if combined else "",
        "learned": own.learned, "learned_low": learned.low, "learned_high": learned.high,
        "arithmetic": own.arithmetic, "arithmetic_low": arithmetic.low, "arithmetic_high": arithmetic.high,
        "observed": as_factor(own.observed) if combined else math.nan,
        "expected": as_factor(own.observed - estimate) if combined else math.nan,
        "unsure": sizes.reason,
    }  # fmt: skip


def _points(value: float, interval: Interval) -> dict[str, object]:
    return {"points": value, "points_low": interval.low, "points_high": interval.high, "points_error": interval.error}


def _counts(contrast: Contrast, tasks: Sequence[TaskCells]) -> dict[str, object]:
    """The least and the greatest number of seeds of the cells compared."""
    numbers = [UNCOMPRESSED, *contrast.treatments]
    seeds = np.concatenate([np.empty(0), *(task.seeds[np.isin(task.treatments, numbers)] for task in tasks)])
    return {"seeds_min": int(seeds.min()), "seeds_max": int(seeds.max())} if len(seeds) else {}


def reasons(sizes: pd.DataFrame) -> list[str]:
    """What rows of `table` leave out or lack: each reason once, after the rows that have it."""
    told: dict[str, list[str]] = {}
    for row in sizes.to_dict("records"):
        for why in filter(None, [row["reason"], row["unsure"] and f"no interval: {row['unsure']}"]):
            name = f"{row['contrast']} ({row['kind']})"
            told.setdefault(why, []).extend([] if name in told.get(why, []) else [name])
    every = len({(row["contrast"], row["kind"]) for row in sizes.to_dict("records")})
    return [f"{', '.join(of) if len(of) < every else 'all'}: {why}" for why, of in told.items()]
