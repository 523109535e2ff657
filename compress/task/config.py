"""A task: its texts, its labels and the metrics that score it."""

from __future__ import annotations

from dataclasses import asdict, fields

from pydantic import Field, field_validator

from compress.checked import checked, default_of
from compress.errors import ConfigError, nearest
from compress.task.metrics import METRICS


@checked
class TaskConfig:
    """What a task asks for; a key with a default was added later, and counts in no identity while it is that."""

    name: str = Field(description="its name in the data set", min_length=1)
    text: list[str] = Field(description="columns of the sentence, or of the two", min_length=1, max_length=2)
    labels: list[str] | None = Field(description="class names in the order of their ids; null: a regression")
    validation: list[str] = Field(description="splits to score on; their scores are averaged", min_length=1)
    metrics: list[str] = Field(description="official metrics, averaged to score_glue", min_length=1)
    accuracy_metrics: list[str] = Field(description="metrics averaged to score_accuracy", min_length=1)
    label: str = Field(default="label", description="column of the labels", min_length=1)
    hub: str | None = Field(default=None, description="its own data set on the hub, or a folder, in place of data.hub")
    subset: str | None = Field(default=None, description="which configuration of that data set; null: its only one")
    revision: str | None = Field(default=None, description="of that data set on the hub")
    splits: dict[str, str] | None = Field(
        default=None, description="what splits are called in the data, such as {train: training, validation: test}"
    )

    @field_validator("metrics", "accuracy_metrics")
    @classmethod
    def _check_names(cls, names: list[str]) -> list[str]:
        """Refuse a metric that nobody has written."""
        for name in names:
            if name not in METRICS:
                raise ConfigError(f"task.metrics={name}: must be of {', '.join(METRICS)}{nearest(name, METRICS)}")
        return names

    @property
    def regression(self) -> bool:
        """Whether the label is a number and no class."""
        return self.labels is None

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
    for split in task.splits or ():
        if split not in ("train", *task.validation):
            known = ("train", *task.validation)
            cause = f"no split of the task{nearest(split, known)}; must be of {', '.join(known)}"
            raise ConfigError(f"task.splits.{split}: {cause}")
