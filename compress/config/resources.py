"""What an experiment needs of a machine or a scheduler; no part of its identity."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import Field

from compress.checked import checked
from compress.errors import ConfigError

Number = TypeVar("Number", int, float)


@checked
class ResourcesConfig:
    """Each a number for all, or numbers by the model's name, with `other` for names that are not listed."""

    gpus: int | dict[str, int] = Field(description="GPUs of a job")
    cpus: int | dict[str, int] = Field(description="CPU cores of a job")
    memory_gb: float | dict[str, float] | None = Field(description="memory of a job; null: the scheduler's default")
    timeout_min: float | dict[str, float] = Field(description="minutes that an experiment may take")

    def for_model(self, model: str) -> dict[str, object]:
        """The numbers for one model.

        Raises:
            ConfigError: its name is not listed and there is no `other`.
        """
        return {key: _of(f"resources.{key}", getattr(self, key), model) for key in self.__dataclass_fields__}


def _of(key: str, value: Number | dict[str, Number] | None, model: str) -> Number | None:
    if not isinstance(value, dict):
        return value
    if model not in value and "other" not in value:
        raise ConfigError(
            f"{key}: has {', '.join(value)}, but nothing for {model}; give +{key}.{model}=… or one number"
        )
    return value.get(model, value.get("other"))
