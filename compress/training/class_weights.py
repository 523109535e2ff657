"""How much each class counts in the loss on the labels, so that a rare one is not passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compress.errors import ConfigError

if TYPE_CHECKING:
    from compress.data.tokenization import Dataset
    from compress.task.config import TaskConfig


def of(task: TaskConfig, dataset: Dataset) -> list[float] | None:
    """The weight of each class; None where all count alike.

    `balanced`: rows / (classes · rows of the class), as scikit-learn has it, over the rows that are trained on without
    their rewritten copies, so that they are the same for a teacher and its students.
    """
    import numpy as np

    if task.labels is None or task.class_weights is None:
        return None
    if isinstance(task.class_weights, list):
        return task.class_weights
    train, rows = dataset.splits["train"], dataset.train_rows
    counts = np.bincount(train.labels[rows[train.sources[rows] == rows]], minlength=len(task.labels))
    if absent := [name for name, count in zip(task.labels, counts, strict=True) if count == 0]:
        fix = "give a number for each class, or rows of it"
        raise ConfigError(f"task.class_weights=balanced: no training row is {absent[0]}; {fix}")
    return [float(counts.sum() / (len(counts) * count)) for count in counts]


def notes(task: TaskConfig, weights: list[float] | None) -> list[str]:
    """What a result should say of them."""
    if weights is None or task.labels is None:
        return []
    told = ", ".join(f"{name} {weight:.3g}" for name, weight in zip(task.labels, weights, strict=True))
    return [f"the loss on labels weighs the classes: {told}"]
