"""Cells that lie far off: a run that collapsed, perhaps, which fewer than three seeds do not tell from the others.

One such run shifts its cell's score, and the task's whole curve, by many times what seeds vary; among three or more it
hardly counts (`treatments.robust_means`). How far is far is measured by the median residual, which the few that
collapsed do not move much. A cell lies far off if its score does, off its curve, or if its two seeds differ far more
than others' two. From three seeds on it does so no longer if they agree: then it is the curve that does not fit, and
more would not help.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.inventory import Block, Inventory
from analysis.statistics.open_claims import REPEATED
from analysis.statistics.shift_model import Fit

NORMAL, MOST_SPOILED = 0.6745, 100.0  # a normal number's median size; noise with collapsed runs over noise without
FAR = 5.0  # standard deviations of one run
TELLING = 8  # degrees of freedom of a task's residuals from which on a cell is called far off


def usual_variance(model: Fit, place: int) -> float:
    """Of one run of a task, but for those that collapsed: by the median residual, if less than the fitted one."""
    task = model.tasks[place]
    count = len(task.cells.scores)
    median = float(np.median(np.abs(model.residuals_of(task)) * np.sqrt(task.cells.seeds)))
    usual = (median / NORMAL) ** 2 * count / max(_freedom(model, place), 1)
    return min(task.variance, max(usual, task.variance / MOST_SPOILED))


def _freedom(model: Fit, place: int) -> int:
    task = model.tasks[place]
    return len(task.cells.scores) - len(task.nuisance) - len(np.unique(task.cells.treatments)) + 1


def far_off(model: Fit, place: int) -> NDArray[np.bool_]:
    """Which of a task's cells lie far off, so that another seed would tell more of them, shape (N,)."""
    task = model.tasks[place]
    if _freedom(model, place) < TELLING:
        return np.zeros(len(task.cells.seeds), dtype=bool)
    usual, cells = np.sqrt(usual_variance(model, place)), task.cells
    off_curve = np.abs(model.residuals_of(task)) > FAR * usual
    spread, few = np.ptp(cells.deviations, axis=1), cells.seeds < REPEATED
    pairs = cells.seeds == 2
    between = np.median(spread[pairs]) / NORMAL / np.sqrt(2) if pairs.sum() >= TELLING else usual
    differ = spread > FAR * np.sqrt(2) * np.where(pairs, between, usual)
    return np.asarray(np.where(few, off_curve | differ, off_curve & differ))


def again(inventory: Inventory, budget: float) -> Iterator[Block]:
    """One more seed of each cell that lies far off, as far as there may be one, in so many seconds.

    The inventory then has them.
    """
    model = inventory.model
    for place, task in enumerate(model.tasks):
        for cell in np.flatnonzero(far_off(model, place)):
            block = inventory.block(place, int(task.cells.models[cell]), {int(task.cells.treatments[cell])})
            if block is not None and block.seconds <= budget:
                budget -= block.seconds
                inventory.take(block)
                yield block
