"""The whole configuration of one experiment: a dataclass per Hydra group, checked before anything heavy happens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from compress import data, model
from compress.data import DataConfig
from compress.errors import ConfigError, nearest
from compress.methods import MethodConfig, prune
from compress.methods.prune import PruneConfig
from compress.methods.quantize import QuantizeConfig
from compress.model import ModelConfig
from compress.task import TaskConfig
from compress.train import TrainConfig

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class PathsConfig:
    """Where files go; no part of an experiment's identity."""

    runs: str = Field(description="results: <task>/<model>/<methods>/<run_id>/", min_length=1)
    cache: str = Field(description="tokenized texts, shared by all runs", min_length=1)


GROUPS: dict[str, type[Any]] = {
    "model": ModelConfig,
    "task": TaskConfig,
    "data": DataConfig,
    "train": TrainConfig,
    "quantize": QuantizeConfig,
    "distill": MethodConfig,
    "prune": PruneConfig,
    "paths": PathsConfig,
}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class Config:
    """One experiment."""

    model: ModelConfig
    task: TaskConfig
    data: DataConfig
    train: TrainConfig
    quantize: QuantizeConfig
    distill: MethodConfig
    prune: PruneConfig
    paths: PathsConfig
    seed: int = Field(description="of new weights, order of batches, dropout", ge=0)
    device: str = Field(description="auto, cpu, cuda or cuda:N", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    force: bool = Field(description="run again what is finished")


def keys() -> list[str]:
    """Every key of the configuration, dotted; those that are in no group last."""
    inside = [f"{group}.{field.name}" for group, kind in GROUPS.items() for field in fields(kind)]
    return inside + [field.name for field in fields(Config) if field.name not in GROUPS]


def options(conf: Path) -> dict[str, list[str]]:
    """Every group of a configuration folder with its options; those of a subfolder as `folder/option`."""
    folders = sorted(folder for folder in conf.iterdir() if folder.is_dir() and folder.name != "hydra")
    files = {folder: sorted(folder.glob("*.yaml")) + sorted(folder.glob("*/*.yaml")) for folder in folders}
    return {
        folder.name: [str(file.relative_to(folder).with_suffix("")) for file in found]
        for folder, found in files.items()
    }


def from_hydra(composed: DictConfig) -> Config:
    """The typed configuration of what Hydra composed.

    Raises:
        ConfigError: a value is missing, unknown, of the wrong type or out of range, or values contradict each other.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "a value"
        raise ConfigError(f"{key}: has no value; give {key}=…") from error
    except OmegaConfBaseException as error:
        raise ConfigError(" ".join(str(error).split())) from error
    assert isinstance(values, dict)
    return from_mapping({str(key): value for key, value in values.items() if key != "hydra"})


def from_mapping(values: Mapping[str, Any]) -> Config:
    """The typed configuration of nested plain values; raises ConfigError as `from_hydra` does."""
    groups = {
        name: _build(kind, values[name], f"{name}.")
        for name, kind in GROUPS.items()
        if isinstance(values.get(name), Mapping)
    }
    config: Config = _build(Config, {**values, **groups}, "")
    data.check(config.data, config.task)
    if config.prune.name != "none":
        prune.check(config.prune)
        if config.quantize.name != "none" and config.quantize.freeze < config.prune.end:
            raise ConfigError(
                f"quantize.freeze={config.quantize.freeze:g}: must be at least prune.end={config.prune.end:g}, "
                "since ranges change as long as weights go"
            )
    model.check(config.model, config.data.max_length, config.data.builds_vocabulary)
    return config


def _build(kind: type[Any], values: Mapping[str, Any], prefix: str) -> Any:
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        names = list(kind.__dataclass_fields__)
        if first["type"] == "unexpected_keyword_argument":
            where = f"{prefix[:-1]} has" if prefix else "there are"
            raise ConfigError(f"{prefix}{key}: no such key{nearest(key, names)}; {where} {', '.join(names)}") from error
        if first["type"].startswith("missing"):
            raise ConfigError(f"{prefix}{key}: has no value; give {prefix}{key}=…") from error
        allowed = first["msg"].replace("Input should be", "must be").replace("Value error, ", "")
        if first["type"] == "string_pattern_mismatch":
            allowed = f"must be {kind.__dataclass_fields__[key].default.description}"
        value = first["input"]
        choices = first.get("ctx", {}).get("expected", "").replace("'", "").replace(" or ", ", ").split(", ")
        shown = json.dumps(value) if value is None or isinstance(value, bool) else value
        raise ConfigError(f"{prefix}{key}={shown}: {allowed}{nearest(value, choices)}") from error
