"""What experiments predicted for each row of the dev set, and the scores that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.read import collection
from analysis.read.collection import Document
from compress.checked import build
from compress.errors import ConfigError
from compress.runs.predictions import Split
from compress.runs.result import MalformedError, Result, from_document
from compress.task.config import TaskConfig
from compress.task.metrics import of_splits, score

Rows = Mapping[str, NDArray[np.int64]]  # of each validation split some rows, which may repeat
Kind = Literal["glue", "accuracy"]
PRECISION = 1e-9  # to which correlations are the same on other machines; shares and counts are exact


@dataclass(frozen=True)
class Predictions:
    """Of an experiment's stored model, for each validation split that it was scored on.

    Attributes:
        splits: labels and predictions, int64 [rows] class ids or float32 [rows], in the order of the data.
    """

    result: Result
    task: TaskConfig
    splits: Mapping[str, Split]

    def metrics(self, rows: Rows | None = None) -> dict[str, float | None]:
        """The task's metrics, under the names in its result, over all rows or the given ones; None: undefined."""
        splits = self.splits
        if rows is not None:
            splits = {name: split.chosen(rows[name]) for name, split in splits.items()}
        predictions = {name: split.predictions for name, split in splits.items()}
        labels = {name: split.labels for name, split in splits.items()}
        logits = {name: split.logits for name, split in splits.items() if split.logits is not None}
        return of_splits(predictions, labels, self.task.all_metrics, self.task.validation, logits)

    def score(self, kind: Kind = "glue", rows: Rows | None = None) -> float | None:
        """`score_glue` or `score_accuracy` (`kind`), in points, over all rows or the given ones; None: undefined."""
        return score(self.metrics(rows), {"glue": self.task.metrics, "accuracy": self.task.accuracy_metrics}[kind])


def read_predictions(place: Path) -> dict[str, Predictions]:
    """Of every result in a folder of runs or a file of results, by its run_id; those of old versions have none.

    Raises:
        ConfigError: as `collection.gathered`; none of the results has predictions; or some that a result has are not
            those that it was scored by.
    """
    documents = collection.gathered(place).documents
    found = {document["run_id"]: of(document) for document in documents if document.get("predictions") is not None}
    if not found:
        raise ConfigError(
            f"{place}: none of its {len(documents)} results has predictions; runs of this version keep them: run those "
            "to be compared again (force=true), then collect them"
        )
    return found


def of(document: Document) -> Predictions:
    """Of one of the documents that `collection.gathered` gives, one that has `predictions`; ConfigError as above."""
    run = f"run {document.get('run_id')}"
    try:
        result = from_document(document)
        task = build(TaskConfig, dict(result.identity.get("task", {})), "task.")
    except (MalformedError, ConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"{run}: its predictions cannot be scored: {error}") from error
    found = Predictions(result, task, document["predictions"].splits())
    scored = found.metrics()
    for name in sorted(scored.keys() | result.metrics.keys()):
        ours, told = scored.get(name), result.metrics.get(name)
        if ours != told and (ours is None or told is None or not math.isclose(ours, told, abs_tol=PRECISION)):
            raise ConfigError(
                f"{run}: its predictions give {name} {ours} and its result says {told}: they are not of the same "
                "training; run it again (force=true)"
            )
    return found
