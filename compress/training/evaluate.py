"""Scores of a model on a task's validation splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compress.task.metrics import named, of_splits, score

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from compress.data.tokenization import Dataset, Tokens
    from compress.task.config import TaskConfig

TOKENS = 1536  # of a batch: larger ones pad more and leave the caches


@dataclass(frozen=True)
class Scores:
    """What a model predicts for the validation splits, and what that is worth.

    Attributes:
        metrics: by name; None: undefined.
        glue: in points, as `accuracy`.
        notes: what should be known about them.
        predictions: by split, [rows]; class ids, or float32 of a regression.
        logits: by split, float32 [rows, outputs].
    """

    metrics: dict[str, float | None]
    glue: float | None
    accuracy: float | None
    notes: list[str]
    predictions: dict[str, NDArray[Any]]
    logits: Mapping[str, NDArray[np.float32]]


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


def some_batches(
    model: torch.nn.Module, tokens: Tokens, rows: NDArray[np.int64], padding: int, seed: int, count: int
) -> Iterator[Mapping[str, torch.Tensor]]:
    """What the forward pass takes of `count` of the rows, or all if there are fewer, drawn by the seed; no labels."""
    import numpy as np

    from compress.data.batches import by_length, collate
    from compress.model.first_token import added_mask
    from compress.model.structure import takes

    device, inputs, added = next(model.parameters()).device, takes(model), added_mask(model)
    drawn = np.random.default_rng(seed).permutation(rows)[:count]
    for picked in by_length(tokens.lengths[drawn], TOKENS):
        batch = collate(tokens, drawn[picked], padding, device, inputs, added_mask=added)
        del batch["labels"]
        yield batch


def evaluate(model: torch.nn.Module, dataset: Dataset, task: TaskConfig, padding: int) -> Scores:
    """Score a model on every validation split that the data has."""
    splits = [split for split in task.validation if split in dataset.splits]
    return scored({split: predict(model, dataset.splits[split], padding) for split in splits}, dataset, task)


def scored(answers: Mapping[str, NDArray[np.float32]], dataset: Dataset, task: TaskConfig) -> Scores:
    """Score logits, float32 [rows, outputs] for each validation split."""
    names, labels = task.all_metrics, {split: dataset.splits[split].labels for split in answers}
    predictions = {
        split: logits[:, 0] if task.regression else logits.argmax(axis=1) for split, logits in answers.items()
    }
    metrics = of_splits(predictions, labels, names, task.validation, answers)
    notes: list[str] = []
    for split, predicted in predictions.items():
        undefined = [name for name in names if metrics[named(name, split, task.validation)] is None]
        notes += [f"{split}: {name} is undefined (0/0)" for name in undefined]
        if (predicted == predicted[0]).all():
            notes.append(f"{split}: every prediction is {predicted[0].item():g}")
    glue, accuracy = (score(metrics, chosen) for chosen in (task.metrics, task.accuracy_metrics))
    return Scores(metrics, glue, accuracy, notes, predictions, answers)
