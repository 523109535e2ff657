"""GLUE's metrics (Wang et al., 2019, section 3) as pure functions of predictions and labels.

Each takes two arrays of shape [n] and returns a number, or None where its formula is 0/0 and the metric is
therefore undefined. They equal scikit-learn's and SciPy's, whose import would cost more than a small experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int], np.dtype[np.generic]]


def accuracy(predictions: Array, labels: Array) -> float | None:
    """Share of predictions that are right; undefined without any."""
    return float((predictions == labels).mean()) if len(labels) else None


def f1(predictions: Array, labels: Array) -> float | None:
    """2·TP / (2·TP + FP + FN) of class 1; undefined where class 1 is neither predicted nor present."""
    true_positives = int(((predictions == 1) & (labels == 1)).sum())
    predicted_and_present = int((predictions == 1).sum()) + int((labels == 1).sum())
    return 2 * true_positives / predicted_and_present if predicted_and_present else None


def matthews_correlation(predictions: Array, labels: Array) -> float | None:
    """Matthews' correlation of two classes (CoLA's metric).

    Undefined where the labels are all of one class. Where only the *predictions* are, the 0/0 is 0 by the convention
    of scikit-learn and of the GLUE leaderboard; a result says so in its notes.
    """
    tp = int(((predictions == 1) & (labels == 1)).sum())
    tn = int(((predictions == 0) & (labels == 0)).sum())
    fp = int(((predictions == 1) & (labels == 0)).sum())
    fn = int(((predictions == 0) & (labels == 1)).sum())
    if not (tp + fn) * (tn + fp):
        return None
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return float((tp * tn - fp * fn) / product**0.5) if product else 0.0


def pearson(predictions: Array, labels: Array) -> float | None:
    """Pearson's correlation; undefined for fewer than two values or where either side is constant."""
    import numpy as np

    if len(labels) < 2 or np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return None
    x, y = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (predictions, labels))
    return float(np.clip((x / np.linalg.norm(x)) @ (y / np.linalg.norm(y)), -1.0, 1.0))


def spearman(predictions: Array, labels: Array) -> float | None:
    """Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank."""
    return pearson(_ranks(predictions), _ranks(labels))


def _ranks(values: Array) -> Array:
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: Array = (last - (counts - 1) / 2)[inverse]
    return mean_rank


METRICS: dict[str, Callable[[Array, Array], float | None]] = {
    function.__name__: function for function in (accuracy, f1, matthews_correlation, pearson, spearman)
}


def of_splits(
    predictions: Mapping[str, Array], labels: Mapping[str, Array], names: Sequence[str], validation: Sequence[str]
) -> dict[str, float | None]:
    """The named metrics on each split that is there, as `named` calls them; `validation`: those of the task."""
    return {
        named(name, split, validation): METRICS[name](predictions[split], labels[split])
        for split in predictions
        for name in dict.fromkeys(names)
    }


def named(metric: str, split: str, validation: Sequence[str]) -> str:
    """A metric's name on a split: of a task with several it ends in what tells them apart, `accuracy_mismatched`."""
    return metric if len(validation) == 1 else metric + split.removeprefix("validation")


def score(metrics: Mapping[str, float | None], names: Sequence[str]) -> float | None:
    """Mean of the named metrics in points (×100); undefined as soon as one of them is.

    A name stands for itself and for its values on several splits (`accuracy` for `accuracy_matched` and
    `accuracy_mismatched`), so that MNLI's two become one, as on the leaderboard.
    """
    means: list[float] = []
    for name in names:
        values = [value for key, value in metrics.items() if key == name or key.startswith(f"{name}_")]
        if not values or None in values:
            return None
        means.append(sum(value for value in values if value is not None) / len(values))
    return 100 * sum(means) / len(means)
