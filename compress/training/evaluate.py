"""Scores of a model on a task's validation splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compress.task.metrics import METRICS, score

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from compress.data.tokenization import Dataset, Tokens
    from compress.task.config import TaskConfig

TOKENS = 1536  # of a batch: larger ones pad more and leave the caches


@dataclass(frozen=True)
class Scores:
    """Metrics by name (None: undefined), the two scores in points, and what should be known about them."""

    metrics: dict[str, float | None]
    glue: float | None
    accuracy: float | None
    notes: list[str]


def predict(
    model: torch.nn.Module,
    tokens: Tokens,
    padding: int,
    rows: NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """Logits of the given rows (by default all), float32 [rows, outputs], in their order; in eval mode meanwhile.

    `progress` receives the number of rows done, and of all.
    """
    import numpy as np
    import torch

    from compress.data.batches import by_length, collate
    from compress.model.first_token import added_mask
    from compress.model.structure import takes

    device, inputs = next(model.parameters()).device, takes(model)
    added = added_mask(model)
    was_training = model.training
    model.eval()
    batches, order, done = [], [], 0
    wanted = np.arange(len(tokens)) if rows is None else rows
    with torch.inference_mode():
        for picked in by_length(tokens.lengths[wanted], TOKENS):
            batch = collate(tokens, wanted[picked], padding, device, inputs, added_mask=added)
            del batch["labels"]
            batches.append(model(**batch).logits.float().cpu().numpy())
            order.append(picked)
            done += len(picked)
            progress(done, len(wanted))
    model.train(was_training)
    sorted_logits = np.concatenate(batches)
    logits = np.empty_like(sorted_logits)
    logits[np.concatenate(order)] = sorted_logits
    return logits


def evaluate(model: torch.nn.Module, dataset: Dataset, task: TaskConfig, padding: int) -> Scores:
    """Score a model on every validation split that the data has."""
    splits = [split for split in task.validation if split in dataset.splits]
    return scored({split: predict(model, dataset.splits[split], padding) for split in splits}, dataset, task)


def scored(answers: Mapping[str, NDArray[np.float32]], dataset: Dataset, task: TaskConfig) -> Scores:
    """Score logits, float32 [rows, outputs] for each validation split.

    With several splits a metric's name ends in what tells them apart: `accuracy_matched`, `accuracy_mismatched`.
    """
    metrics: dict[str, float | None] = {}
    notes: list[str] = []
    for split, logits in answers.items():
        labels = dataset.splits[split].labels
        predictions = logits[:, 0] if task.regression else logits.argmax(axis=1)
        suffix = "" if len(task.validation) == 1 else split.removeprefix("validation")
        for name in dict.fromkeys(task.metrics + task.accuracy_metrics):
            metrics[name + suffix] = METRICS[name](predictions, labels)
            if metrics[name + suffix] is None:
                notes.append(f"{split}: {name} is undefined (0/0)")
        if (predictions == predictions[0]).all():
            notes.append(f"{split}: every prediction is {predictions[0].item():g}")
    return Scores(metrics, score(metrics, task.metrics), score(metrics, task.accuracy_metrics), notes)
