"""What an experiment needs of a machine or a scheduler; no part of its identity."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field

from compress.checked import checked, stored
from compress.errors import ConfigError

Value = TypeVar("Value", int, float, str)
BY_MODEL = "one for all models or a table by model; {} or null: the cluster's default"


@stored
class Needs:
    """What a job of one experiment asks for; None is the scheduler's default."""

    gpus: int
    cpus: int
    memory_gb: float | None
    timeout_min: float
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None


WHERE = ("partition", "account", "qos", "constraint")  # of a scheduler; None is its own default


@checked
class ResourcesConfig:
    """Each a value for all, or values by the model's name, with `other` for names that are not listed."""

    gpus: int | dict[str, int] = Field(description="GPUs of a job")
    cpus: int | dict[str, int] = Field(description="CPU cores of a job")
    memory_gb: float | dict[str, float] | None = Field(description="memory of a job in GB; null: the cluster's default")
    timeout_min: float | dict[str, float] = Field(description="minutes that a run may take")
    partition: str | dict[str, str] | None = Field(default=None, description=f"SLURM partition, {BY_MODEL}")
    account: str | dict[str, str] | None = Field(default=None, description=f"SLURM account, {BY_MODEL}")
    qos: str | dict[str, str] | None = Field(default=None, description=f"SLURM QOS, {BY_MODEL}")
    constraint: str | dict[str, str] | None = Field(default=None, description=f"SLURM constraint, {BY_MODEL}")

    def for_model(self, model: str) -> Needs:
        """The values for one model; refuses one of which a number is not listed where there is no `other`."""
        memory = None if self.memory_gb is None else _of("memory_gb", self.memory_gb, model)
        gpus, cpus = _of("gpus", self.gpus, model), _of("cpus", self.cpus, model)
        where = {key: _listed(getattr(self, key), model) for key in WHERE}
        return Needs(gpus, cpus, memory, _of("timeout_min", self.timeout_min, model), **where)


def _listed(value: Value | dict[str, Value] | None, model: str) -> Value | None:
    return value.get(model, value.get("other")) if isinstance(value, dict) else value


def _of(key: str, value: Value | dict[str, Value], model: str) -> Value:
    if not isinstance(value, dict):
        return value
    if (number := _listed(value, model)) is None:
        fix = f"give +resources.{key}.{model}=… or one number"
        raise ConfigError(f"resources.{key}: has {', '.join(value)}, but nothing for {model}; {fix}")
    return number
