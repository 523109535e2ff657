"""How much larger or smaller a compressed model acts than it is built: one nonlinear mixed model for all tasks.

A model of architecture m with a treatment scores on a task as an uncompressed one would that is exp(g) times as large:

    y[task, m, treatment] = c + b · H(x[m] + g[treatment]) + u[m] + noise,     H'(s) = exp(k s + q s² + r s³), H(0) = 0,

where x is ln(bytes) of the uncompressed architecture, less the mean of the architectures. c, b, k, q, r, u and g are
the task's own. b is a slope in points per unit of ln(bytes); its log is cubic in size, so that curves may be straight
(k = q = r = 0), saturate (k < 0) or be sigmoid (q < 0), with their middle anywhere (r: without it sums of shifts are
off by half a percent on logistic curves). It is not negative: where scores fall with size, b is 0. u is how far an
architecture lies off the task's curve, with what the runs of a seed share; it is orthogonal to straight lines, so that
b is the trend of these architectures. Over tasks k, q, r, u and g vary normally, g around the mean γ over tasks like
these:

    g[task, treatment] = γ[treatment] + sum of w[task, part] over the treatment's parts,

its parts being the treatment itself and what is left of it without some of its methods; each part has a variance.

All is fitted together by Gauss–Newton steps, each task's linearized at its own, partially pooled g (first-order
conditional estimation; Lindstrom & Bates 1990, Biometrics 46:673). The variances of the parts are found with it by
restricted maximum likelihood (the MM steps of Zhou et al. 2019, J. Comput. Graph. Stat. 28:350), that of u by EM. A
task whose score hardly depends on size tells little of γ, but without bias, since nothing is divided by its slope: none
is left out for being flat. Linear mixed models (statsmodels' MixedLM) have no shift within a curve, which is why this
one is written out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.score_size import Array
from analysis.statistics.treatments import UNCOMPRESSED, Cells, TaskCells, parts_of

STEPS, PRECISION = 60, 1e-4  # Gauss–Newton steps; the change of γ at which they end
UNDAMPED = 15  # of them are whole; later ones are shorter, against cycles
SHAPE = np.array([0.5, 0.15, 0.03])  # standard deviations of k, q and r over tasks
U = 2 + len(SHAPE)  # place of u in a task's nuisance
FARTHEST = 1.0  # change of g and of a curve's shape in a step
FIRST_SPREAD, LEAST_OFFSETS, LEAST_VARIANCE = 0.1, 1e-3, 1e-18
LEAST_SHARE = 1e-10  # of the variance of a task's scores that its noise has at least
MOST_GROWTH = 16.0  # of a variance in a step, squared
FEW = 3  # degrees of freedom of the slopes below which each stretch of the curve has an error of its own
SINGULAR = 1e-10  # of the greatest eigenvalue
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(10)


@dataclass(frozen=True)
class TaskFit:
    """One task, linearized at its partially pooled shifts.

    Attributes:
        off_line: how its architectures can lie off a curve, `off_lines`.
        shifts: g, shape (K,).
        nuisance: c, b, the curve's shape k, q, r, and u, this by `off_line`.
        variance: of one run around the fitted curves, points².
        information: of the task's own g, everything else fitted, shape (K, K).
        score: information · the task's own g, defined where the information is not of full rank, shape (K,).
        influence: derivatives of `score` by the cells' scores, shape (K, N).
    """

    cells: TaskCells
    off_line: Array
    shifts: Array
    nuisance: Array
    variance: float
    information: Array
    score: Array
    influence: Array


@dataclass(frozen=True)
class Fit:
    """The fitted model.

    Attributes:
        origin: mean ln(bytes) of the architectures.
        mean: γ, shape (K,); meaningless where `precision` says nothing of it.
        spread: covariance of g over tasks, shape (K, K).
        tasks: the T of them with two sizes or more.
        precisions: what each task says of γ, shape (T, K, K); their sum is the inverse of its covariance.
        residuals: of each task from γ, times its precision, shape (T, K); their sum is 0.
        gains: derivatives of `precisions` · γ by `TaskFit.score`, shape (T, K, K).
        offsets: variance of u, in variances of the noise.
        converged: whether γ was at rest at the end.
        slope_error: relative standard error of all slopes, because the architectures are these and no others.
        slope_freedom: its degrees of freedom, the number of architectures less two.
    """

    cells: Cells
    origin: float
    mean: Array
    spread: Array
    tasks: tuple[TaskFit, ...]
    precisions: Array
    residuals: Array
    gains: Array
    offsets: float
    converged: bool
    slope_error: float
    slope_freedom: int

    @cached_property
    def covariance(self) -> Array:
        """Of γ, shape (K, K)."""
        return np.asarray(np.linalg.pinv(self.precisions.sum(axis=0), rcond=SINGULAR, hermitian=True))

    def slope_variance(self, by_shift: Array, shifts: Array) -> float:
        """Of a sum of shifts with these weights, shape (K,) both, because slopes are off; NaN if that is not known.

        With many architectures the mean over them makes all slopes off by one factor, and so the sum. With few each
        stretch of the curve is off by one of its own: the lengths that a sum passes over do not cancel.
        """
        if not self.slope_freedom:
            return math.nan
        off = passed_over(by_shift, shifts) if self.slope_freedom < FEW else float(by_shift @ shifts)
        return (off * self.slope_error) ** 2

    def scores(self, task: TaskFit) -> Array:
        """What the task's curve says of every architecture and treatment, uncompressed the last, shape (M, K + 1)."""
        (c, b), shape, u = task.nuisance[:2], task.nuisance[2:U], task.nuisance[U:]
        at = (self.cells.log_bytes - self.origin)[:, None] + np.append(task.shifts, 0.0)
        return np.asarray(c + b * _curve(at, shape)[0] + (task.off_line @ u)[:, None])

    def residuals_of(self, task: TaskFit) -> Array:
        """Of the cells' scores from the task's curves, points, shape (N,)."""
        return np.asarray(task.cells.scores - self.scores(task)[task.cells.models, task.cells.treatments])

    def precision(self, place: int, seeds: Array, variance: float | None = None) -> Array:
        """What a task would say of γ, shape (K, K), if its cells had so many seeds, shape (N,), and all else stayed.

        `variance` is of one run, points², if not the fitted one.
        """
        task = self.tasks[place]
        of_seeds = replace(task, cells=replace(task.cells, seeds=seeds), variance=variance or task.variance)
        information = _Step(of_seeds, self.cells.log_bytes - self.origin, self.offsets).information
        return np.asarray(np.linalg.inv(np.eye(len(self.mean)) + information @ self.spread) @ information)


def passed_over(weights: Array, shifts: Array) -> float:
    """How long a stretch of the curve a weighted sum of shifts passes over, shape (K,) both: what one shift goes there
    and another back is not passed over, and what lies apart does not cancel."""
    ends = np.unique(np.append(shifts, 0.0))
    middles = (ends[:-1] + ends[1:]) / 2
    up = (middles > 0) & (middles < shifts[:, None])
    down = (middles < 0) & (middles > shifts[:, None])
    return float(np.abs(weights @ (up.astype(float) - down)) @ np.diff(ends))


def off_lines(sizes: Array, models: NDArray[np.int64]) -> Array:
    """Orthonormal ways in which a task's M' of M architectures can lie off every straight line, shape (M, M' − 2)."""
    there = np.unique(models)
    lines = np.column_stack([np.ones(len(there)), sizes[there]])
    ways = np.zeros((len(sizes), len(there) - 2))
    ways[there] = np.linalg.qr(lines, mode="complete")[0][:, 2:]
    return ways


def _curve(at: Array, shape: Array) -> tuple[Array, Array, Array]:
    """H and H', of the shape of `at`, and the derivatives of H by the curve's shape, shape (…, P)."""
    points = at[..., None] * (1 + NODES) / 2
    of_points = _powers(points, len(shape))
    slopes = np.exp(np.clip(of_points @ shape, -20, 20)) * NODE_WEIGHTS * at[..., None] / 2
    here = np.exp(np.clip(_powers(at, len(shape)) @ shape, -20, 20))
    return slopes.sum(-1), here, np.einsum("...n,...np->...p", slopes, of_points)


def _powers(of: Array, count: int) -> Array:
    """From the first to that of `count`, in a last dimension."""
    return np.asarray(np.cumprod(np.broadcast_to(of[..., None], (*of.shape, count)), axis=-1), dtype=float)


def fit(cells: Cells) -> Fit | None:
    """The whole model; None without a treatment or a task that has two sizes."""
    tasks = [task for task in cells.tasks if len(np.unique(task.models)) > 1]
    if not tasks or not cells.treatments:
        return None
    sizes = cells.log_bytes - cells.log_bytes.mean()
    design = parts_of(cells.treatments)
    variances, offsets, mean, converged = np.full(design.shape[1], FIRST_SPREAD**2), 1.0, np.zeros(len(design)), False
    fits = [_first(task, sizes, len(design)) for task in tasks]
    for number in range(STEPS):
        damping = min(1.0, UNDAMPED / (number + 1))
        steps = [_Step(of_task, sizes, offsets) for of_task in fits]
        information, score = np.array([step.information for step in steps]), np.array([step.score for step in steps])
        spread = design * variances @ design.T
        gains = np.linalg.inv(np.eye(len(design)) + information @ spread)
        precisions = gains @ information
        inverse = np.linalg.pinv(precisions.sum(axis=0), rcond=SINGULAR, hermitian=True)
        before, mean = mean, inverse @ np.einsum("tkl,tl->k", gains, score)
        residuals = np.einsum("tkl,tl->tk", gains, score - information @ mean)
        fits = [step.moved(mean + spread @ residual, damping) for step, residual in zip(steps, residuals, strict=True)]
        unknown = precisions - precisions @ inverse @ precisions
        expected = np.einsum("kp,tkl,lp->p", design, unknown, design)
        squares = ((residuals @ design) ** 2).sum(axis=0)
        known = expected > max(SINGULAR * np.einsum("kp,tkl,lp->p", design, precisions, design).max(), LEAST_VARIANCE)
        ratios = np.divide(squares, expected, where=known, out=np.zeros_like(squares))
        variances = variances * np.sqrt(np.minimum(ratios, MOST_GROWTH))
        offsets = max(float(np.concatenate([[offsets], *(step.offsets for step in steps)]).mean()), LEAST_OFFSETS)
        if converged := bool(np.abs(mean - before).max() < PRECISION):
            break
    origin = float(cells.log_bytes.mean())
    error, freedom = _slope_error(fits, sizes)
    return Fit(
        cells, origin, mean, spread, tuple(fits), precisions, residuals, gains, offsets, converged, error, freedom
    )


def _slope_error(fits: Sequence[TaskFit], sizes: Array) -> tuple[float, int]:
    """How far the architectures lie off all tasks' curves alike, as an error of the slope of a line through them.

    In units of ln(bytes) an architecture's common offset is sum(b u / σ²) / sum(b² / σ²) over the tasks.
    """
    off = np.array([own.off_line @ own.nuisance[U:] for own in fits])
    there = np.array([np.isin(np.arange(len(sizes)), own.cells.models) for own in fits])
    slopes, variances = np.array([own.nuisance[1] for own in fits]), np.array([own.variance for own in fits])
    known = there.any(axis=0)
    weights = (slopes**2 / variances) @ there[:, known]
    common = np.divide((slopes / variances) @ off[:, known], weights, where=weights > 0, out=np.zeros(known.sum()))
    freedom = int(known.sum()) - 2
    if freedom < 1:
        return math.nan, 0
    spread = ((sizes[known] - sizes[known].mean()) ** 2).sum()
    off_line = off_lines(sizes[known], np.arange(freedom + 2)).T @ common
    return math.sqrt(float(off_line @ off_line) / freedom / spread), freedom


def _first(task: TaskCells, sizes: Array, count: int) -> TaskFit:
    """A straight line, the same for all treatments but for its height."""
    at, scores = sizes[task.models].copy(), task.scores.copy()
    for treatment in np.unique(task.treatments):
        own = task.treatments == treatment
        at[own] -= at[own].mean()
        scores[own] -= scores[own].mean()
    slope = max(float(at @ scores / (at @ at)), 0.0) if at.any() else 0.0
    off_line = off_lines(sizes, task.models)
    nuisance = np.zeros(U + off_line.shape[1])
    nuisance[:2] = (task.scores - slope * sizes[task.models]).mean(), slope
    nothing = np.zeros((count, count))
    return TaskFit(
        task, off_line, np.zeros(count), nuisance, 1.0, nothing, np.zeros(count), np.zeros((count, len(scores)))
    )


class _Step:
    """A task's Gauss–Newton step from where it was last fitted, `before`.

    Attributes:
        information, score, influence: as in `TaskFit`.
        offsets: mean square of the architectures' u, in variances of the noise.
    """

    def __init__(self, before: TaskFit, sizes: Array, offsets: float) -> None:
        cells, (c, b), u = before.cells, before.nuisance[:2], before.nuisance[U:]
        off_line = before.off_line
        treated = cells.treatments != UNCOMPRESSED
        at = sizes[cells.models] + np.where(treated, before.shifts[cells.treatments], 0.0)
        value, slope, by_shape = _curve(at, before.nuisance[2:U])
        self.before = before
        self.by_nuisance = np.column_stack([np.ones(len(at)), value, b * by_shape, off_line[cells.models]])
        self.by_shift = (b * slope * treated)[:, None] * (cells.treatments[:, None] == np.arange(len(before.shifts)))
        self.residuals = cells.scores - c - b * value - off_line[cells.models] @ u
        weights = cells.seeds / before.variance
        penalties = np.concatenate([[0.0, 0.0], SHAPE**-2, np.full(len(u), 1 / (offsets * before.variance))])
        gram = self.by_nuisance.T @ (weights[:, None] * self.by_nuisance)
        covariance = np.linalg.pinv(gram + np.diag(penalties), hermitian=True)
        self.projected = covariance @ self.by_nuisance.T * weights
        self.pull = covariance @ (penalties * before.nuisance)
        self.influence = (self.by_shift - self.by_nuisance @ (self.projected @ self.by_shift)).T * weights
        self.information = self.influence @ self.by_shift
        pulled = self.by_shift.T * weights @ (self.by_nuisance @ self.pull)
        self.score = self.influence @ self.residuals + pulled + self.information @ before.shifts
        self.offsets = (u**2 + np.diag(covariance)[U:]) / before.variance
        fitted = float(np.trace(covariance @ gram)) + len(np.unique(cells.treatments[treated]))
        self.freedom = float(cells.seeds.sum()) - fitted

    def moved(self, shifts: Array, damping: float) -> TaskFit:
        """The task at other shifts and what these make of the rest, both at most `FARTHEST` away."""
        before = self.before
        change = damping * np.clip(shifts - before.shifts, -FARTHEST, FARTHEST)
        left = self.residuals - self.by_shift @ change
        nuisance = self.projected @ left - self.pull
        nuisance[1] = max(nuisance[1], -before.nuisance[1])
        nuisance[2:U] = np.clip(nuisance[2:U], -FARTHEST, FARTHEST)
        left = left - self.by_nuisance @ nuisance
        squares = before.cells.seeds @ left**2 + before.cells.squares
        least = max(LEAST_SHARE * float(before.cells.scores.var()), LEAST_VARIANCE)
        variance = max(squares / max(self.freedom, 1.0), least)
        return TaskFit(
            before.cells, before.off_line, before.shifts + change, before.nuisance + nuisance, variance,
            self.information, self.score, self.influence,
        )  # fmt: skip
