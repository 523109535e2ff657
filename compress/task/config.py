"""A task: its texts, its labels and the metrics that score it."""

from __future__ import annotations

from pydantic import Field, field_validator

from compress.checked import checked
from compress.errors import ConfigError, nearest
from compress.task.metrics import METRICS


@checked
class TaskConfig:
    """What a GLUE task asks for."""

    name: str = Field(description="its name in the data set", min_length=1)
    text: list[str] = Field(description="columns of the sentence, or of the two", min_length=1, max_length=2)
    labels: list[str] | None = Field(description="class names in the order of their ids; null: a regression")
    validation: list[str] = Field(description="splits to score on; their scores are averaged", min_length=1)
    metrics: list[str] = Field(description="official metrics, averaged to score_glue", min_length=1)
    accuracy_metrics: list[str] = Field(description="metrics averaged to score_accuracy", min_length=1)

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
