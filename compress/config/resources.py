"""What an experiment needs of a machine or a scheduler; no part of its identity."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field

from compress.checked import checked, stored
from compress.errors import ConfigError

Number = TypeVar("Number", int, float)


@stored
class Needs:
    """What a job of one experiment asks for; memory: None is the scheduler's default."""

    gpus: int
    cpus: int
    memory_gb: float | None
    timeout_min: float


@checked
class ResourcesConfig:
    """Each a number for all, or numbers by the model's name, with `other` for names that are not listed."""

    gpus: int | dict[str, int] = Field(description="GPUs of a job")
    cpus: int | dict[str, int] = Field(description="CPU cores of a job")
    memory_gb: float | dict[str, float] | None = Field(description="memory of a job; null: the scheduler's default")
    timeout_min: float | dict[str, float] = Field(description="minutes that an experiment may take")

    def for_model(self, model: str) -> Needs:
        """The numbers for one model; refuses one that is not listed where there is no `other`."""
        memory = None if self.memory_gb is None else _of("memory_gb", self.memory_gb, model)
        gpus, cpus = _of("gpus", self.gpus, model), _of("cpus", self.cpus, model)
        return Needs(gpus, cpus, memory, _of("timeout_min", self.timeout_min, model))


def _of(key: str, value: Number | dict[str, Number], model: str) -> Number:
    if not isinstance(value, dict):
        return value
    if (number := value.get(model, value.get("other"))) is None:
        fix = f"give +resources.{key}.{model}=… or one number"
        raise ConfigError(f"resources.{key}: has {', '.join(value)}, but nothing for {model}; {fix}")
    return number
