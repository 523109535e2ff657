"""A task: its texts, its labels and the metrics that score it."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, fields
from typing import Literal

from pydantic import Field, field_validator

from compress.checked import checked, default_of
from compress.errors import ConfigError, nearest
from compress.task.metrics import METRICS, Metric
from compress.wording import plural


@checked
class TaskConfig:
    """What a task asks for; a key with a default was added later, and counts in no identity while it is that."""

    name: str = Field(description="name of the task, and of its folder or configuration in the data set", min_length=1)
    text: list[str] = Field(
        description="column of the text, or the two columns of a pair of texts", min_length=1, max_length=2
    )
    labels: list[str] | None = Field(description="class names in the order of their numbers; null: a regression")
    validation: list[str] = Field(description="splits to score on; the scores of several are averaged", min_length=1)
    metrics: list[str] = Field(description="metrics whose mean is score_glue", min_length=1)
    accuracy_metrics: list[str] = Field(description="metrics whose mean is score_accuracy", min_length=1)
    more_metrics: list[str] | None = Field(default=None, description="metrics that are reported only, such as rmse")
    label: str = Field(default="label", description="column of the labels", min_length=1)
    hub: str | None = Field(default=None, description="data set of this task on the hub, or a folder; null: data.hub")
    subset: str | None = Field(default=None, description="configuration of task.hub; null: its only one")
    revision: str | None = Field(
        default=None, description="branch, tag or commit of task.hub; null: the default branch"
    )
    held_out: float | None = Field(
        default=None, description="share of the training rows to score on, if there is no validation split", gt=0, lt=1
    )
    class_weights: Literal["balanced"] | list[float] | None = Field(
        default=None,
        description="class weights in the loss: a number for each; balanced: inverse to the classes' numbers of rows",
    )
    splits: dict[str, str] | None = Field(
        default=None, description="names of the splits in the data, such as {train: training, validation: test}"
    )

    @field_validator("labels", mode="before")
    @classmethod
    def _as_texts(cls, labels: object) -> object:
        """Have whole numbers, which name the classes of data that number them, as texts."""
        if not isinstance(labels, list):
            return labels
        return [str(name) if isinstance(name, int) and not isinstance(name, bool) else name for name in labels]

    @field_validator("metrics", "accuracy_metrics", "more_metrics")
    @classmethod
    def _check_names(cls, names: list[str] | None) -> list[str] | None:
        """Refuse a metric that nobody has written."""
        for name in names or ():
            if name not in METRICS:
                raise ConfigError(f"task.metrics={name}: must be of {', '.join(METRICS)}{nearest(name, METRICS)}")
        return names

    @property
    def all_metrics(self) -> list[str]:
        """Those that are reported, each once."""
        return list(dict.fromkeys([*self.metrics, *self.accuracy_metrics, *(self.more_metrics or ())]))

    @property
    def needs_logits(self) -> bool:
        """Whether a metric takes more than the predicted classes."""
        return any(METRICS[name].takes_logits for name in self.all_metrics)

    @property
    def regression(self) -> bool:
        """Whether the label is a number and no class."""
        return self.labels is None

    @property
    def numbered(self) -> bool:
        """Whether the classes are called by numbers, which stored numbers are then, whatever the first one is."""
        return self.labels is not None and all(re.fullmatch(r"-?\d+", name) for name in self.labels)

    @property
    def outputs(self) -> int:
        """Width of the head."""
        return 1 if self.labels is None else len(self.labels)


def stated(task: TaskConfig) -> dict[str, object]:
    """What an identity states of a task: its values, but for those that are the defaults of keys added later.

    Where its files are is the data's to say.
    """
    return {key: value for key, value in asdict(task).items() if key not in {*unstated(task), "hub", "revision"}}


def unstated(task: TaskConfig) -> dict[str, object]:
    """The values that are the defaults of keys that were added later."""
    return {field.name: value for field in fields(TaskConfig)
            if (value := getattr(task, field.name)) == default_of(field)}  # fmt: skip


def check(task: TaskConfig) -> None:
    """Refuse keys that contradict each other."""
    if task.label in task.text:
        raise ConfigError(f"task.label={task.label}: is in task.text as well; name the column of the labels")
    for key in ("subset", "revision"):
        if task.hub is None and (value := getattr(task, key)) is not None:
            fix = "give task.hub as well" + (", or data.revision" if key == "revision" else "")
            raise ConfigError(f"task.{key}={value}: is of the data set that task.hub names; {fix}")
    if twice := sorted({name for name in task.labels or () if (task.labels or []).count(name) > 1}):
        raise ConfigError(f"task.labels={task.labels}: {twice[0]} is there twice; name each class once")
    if task.held_out is not None and len(task.validation) > 1:
        cause = "one split is cut off, and task.validation has several; name one there"
        raise ConfigError(f"task.held_out={task.held_out}: {cause}")
    _check_weights(task)
    for key in ("metrics", "accuracy_metrics", "more_metrics"):
        for name in getattr(task, key) or ():
            _check_metric(f"task.{key}={name}", METRICS[name], task, in_scores=key != "more_metrics")
    for split in task.splits or ():
        if split not in ("train", *task.validation):
            known = ("train", *task.validation)
            cause = f"no split of the task{nearest(split, known)}; must be of {', '.join(known)}"
            raise ConfigError(f"task.splits.{split}: {cause}")


def _check_weights(task: TaskConfig) -> None:
    weights = task.class_weights
    if weights is None:
        return
    key = f"task.class_weights={weights}"
    if task.labels is None:
        raise ConfigError(f"{key}: a regression has no classes; leave them out")
    if isinstance(weights, list) and len(weights) != len(task.labels):
        raise ConfigError(f"{key}: must be {len(task.labels)} numbers, one for each of {', '.join(task.labels)}")
    if isinstance(weights, list) and not all(0 < weight < math.inf for weight in weights):
        raise ConfigError(f"{key}: must be numbers greater than 0; leave the rows of a class out that is not to count")


def _check_metric(what: str, metric: Metric, task: TaskConfig, *, in_scores: bool) -> None:
    """Refuse a metric that is not of the task's labels, or not fit for a score."""
    fit = ["numbers"] if task.labels is None else ["classes", "two classes"][: 2 if len(task.labels) == 2 else 1]
    if metric.of not in fit:
        theirs = "a score" if task.labels is None else plural(len(task.labels), "class", "classes")
        fitting = ", ".join(name for name, each in METRICS.items() if each.of in fit and each.in_scores >= in_scores)
        raise ConfigError(f"{what}: is of {metric.of}, and the task has {theirs}; must be of {fitting}")
    if in_scores and not metric.in_scores:
        cause = "is averaged to no score, in which more is better and 1 is best"
        raise ConfigError(f"{what}: {cause}; give it as task.more_metrics=[{what.rpartition('=')[2]}]")
