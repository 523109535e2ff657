"""Metrics by name: pure functions of predictions and labels.

Each takes two arrays of shape [n] and returns a number, or None where its formula is 0/0 and the metric is
therefore undefined. GLUE's (Wang et al., 2019, section 3) are written here: they equal scikit-learn's and SciPy's,
whose import would cost more than a small experiment. All others are scikit-learn's, imported when they are asked for.

Only what is better the larger it is, and lies between −1 and 1, is averaged into a score. Errors (RMSE, MAE), whose
scale is that of the labels, and R², which has no lower bound, are reported beside it (`task.more_metrics`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

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


def sklearn(name: str, **settings: object) -> Callable[[Array, Array], float | None]:
    """The metric of this name in `sklearn.metrics`, with settings; undefined where that is NaN or refused."""

    def compute(predictions: Array, labels: Array) -> float | None:
        from sklearn import metrics

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is undefined, which is told in notes
            try:
                value = float(getattr(metrics, name)(labels, predictions, **settings))
            except ValueError:
                return None
        return value if math.isfinite(value) else None

    return compute


def auroc(logits: Any, labels: Array) -> float | None:
    """Area under the ROC curve; of several classes the mean of each against the rest. Undefined if one is absent.

    Logits are float32 [n, classes]. Of two classes their difference ranks the rows, without the ties of probabilities.
    """
    import numpy as np

    classes = logits.shape[1]
    if len(np.unique(labels)) < classes:
        return None
    if classes == 2:
        return sklearn("roc_auc_score")(_margin(logits), labels)
    return sklearn("roc_auc_score", multi_class="ovr", average="macro")(_probabilities(logits), labels)


def average_precision(logits: Any, labels: Array) -> float | None:
    """Area under the curve of precision by recall of class 1 (average precision); undefined where it is absent."""
    return sklearn("average_precision_score")(_margin(logits), labels) if (labels == 1).any() else None


def _margin(logits: Any) -> Array:
    import numpy as np

    margin: Array = logits[:, 1].astype(np.float64) - logits[:, 0]
    return margin


def _probabilities(logits: Any) -> Array:
    import numpy as np

    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


Kind = Literal["two classes", "classes", "numbers"]


@dataclass(frozen=True)
class Metric:
    """What a metric is of.

    Attributes:
        of: the labels that it takes.
        takes_logits: float32 [n, classes], in place of predicted classes.
        in_scores: whether it may be averaged into a score.
    """

    compute: Callable[[Array, Array], float | None]
    of: Kind
    takes_logits: bool = False
    in_scores: bool = True


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, "classes"),
    "f1": Metric(f1, "two classes"),
    "matthews_correlation": Metric(matthews_correlation, "two classes"),
    "pearson": Metric(pearson, "numbers"),
    "spearman": Metric(spearman, "numbers"),
    "macro_f1": Metric(sklearn("f1_score", average="macro", zero_division=0), "classes"),
    "weighted_f1": Metric(sklearn("f1_score", average="weighted", zero_division=0), "classes"),
    "precision": Metric(sklearn("precision_score", zero_division=math.nan), "two classes"),
    "recall": Metric(sklearn("recall_score", zero_division=math.nan), "two classes"),
    "balanced_accuracy": Metric(sklearn("balanced_accuracy_score"), "classes"),
    "cohen_kappa": Metric(sklearn("cohen_kappa_score"), "classes"),
    "quadratic_kappa": Metric(sklearn("cohen_kappa_score", weights="quadratic"), "classes"),
    "auroc": Metric(auroc, "classes", takes_logits=True),
    "average_precision": Metric(average_precision, "two classes", takes_logits=True),
    "rmse": Metric(sklearn("root_mean_squared_error"), "numbers", in_scores=False),
    "mae": Metric(sklearn("mean_absolute_error"), "numbers", in_scores=False),
    "r2": Metric(sklearn("r2_score", force_finite=False), "numbers", in_scores=False),
}


def of_splits(
    predictions: Mapping[str, Array],
    labels: Mapping[str, Array],
    names: Sequence[str],
    validation: Sequence[str],
    logits: Mapping[str, Array] | None = None,
) -> dict[str, float | None]:
    """The named metrics on each split that is there, as `named` calls them; `validation`: those of the task.

    Args:
        logits: float32 [rows, classes] of each split, for metrics that take them.
    """
    return {
        named(name, split, validation): METRICS[name].compute(
            (logits or {})[split] if METRICS[name].takes_logits else predictions[split], labels[split]
        )
        for split in predictions
        for name in dict.fromkeys(names)
    }


def named(metric: str, split: str, validation: Sequence[str]) -> str:
    """A metric's name on a split: of a task with several it ends in what tells them apart, `accuracy_mismatched`."""
    if len(validation) == 1 or split == "validation":
        return metric
    return f"{metric}_{split.removeprefix('validation_')}"


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
