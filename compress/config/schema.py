"""The whole configuration of one experiment: a dataclass per Hydra group, checked before anything heavy happens."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import Field as DataclassField
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from compress.checked import build, checked
from compress.config.conf_files import conf_folder, conf_folders, option_values, options
from compress.config.memo import Memo
from compress.config.resources import ResourcesConfig
from compress.data import augmentation, corpus
from compress.data.corpus import DataConfig
from compress.errors import ConfigError, nearest
from compress.methods import registry
from compress.methods.base import LearnsFromTeacher
from compress.model import encoder
from compress.model.encoder import ModelConfig
from compress.storage import surroundings
from compress.storage.hub import SECONDS
from compress.storage.repositories import local_folder, looks_like_path
from compress.task.config import TaskConfig
from compress.tracking import tracking_options
from compress.tracking.tracking_options import TrackingConfig
from compress.training.loop import TrainConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from omegaconf import DictConfig


@checked
class PathsConfig:
    """Where files go; no part of an experiment's identity."""

    runs: str = Field(description="folder of all results; a run is in <task>/<model>/<methods>/<run_id>/", min_length=1)
    cache: str = Field(description="folder of tokenized texts and teachers' answers, shared by all runs", min_length=1)


GROUPS: dict[str, type[DataclassInstance]] = {
    "model": ModelConfig,
    "task": TaskConfig,
    "data": DataConfig,
    "train": TrainConfig,
    "tracking": TrackingConfig,
    "resources": ResourcesConfig,
    "paths": PathsConfig,
}


@checked
class Config:
    """One experiment."""

    model: ModelConfig
    task: TaskConfig
    data: DataConfig
    train: TrainConfig
    methods: dict[str, object] = Field(default_factory=dict)  # those that are on, by their groups, in order
    tracking: TrackingConfig
    resources: ResourcesConfig
    paths: PathsConfig
    seed: int = Field(description="seed of new weights, the order of batches, dropout and rewritten copies", ge=0)
    device: str = Field(description="auto, cpu, cuda or cuda:N", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    force: bool = Field(description="run again even if the result is there")
    hub_seconds: float = Field(
        default=SECONDS, description="seconds without progress after which a download from the hub is stopped", gt=0
    )
    teacher: ModelConfig | None = None  # that a method learns from, looked up


DERIVED = ("methods", "teacher")  # fields of Config that are no keys of the command line


def groups() -> list[str]:
    """The groups of the configuration, those of the methods among them."""
    names = list(GROUPS)
    after = names.index("train") + 1
    return [*names[:after], *registry.registry(), *names[after:]]


def keys_of(group: str) -> dict[str, DataclassField[object]]:
    """The keys of a group, with their fields; of a method those of all its options."""
    return {field.name: field for field in fields(GROUPS[group])} if group in GROUPS else registry.keys(group)


def type_of(key: str) -> object:
    """What a dotted key may be, as an annotation; None if there is no such key."""
    group, _, name = key.rpartition(".")
    kinds = [option.config for option in registry.registry().get(group, {}).values()] or [GROUPS.get(group, Config)]
    hints = [hint for kind in kinds if (hint := typing.get_type_hints(kind).get(name)) is not None]
    return hints[0] if hints else None


@cache
def keys() -> list[str]:
    """Every key of the configuration, dotted; those that are in no group last."""
    inside = [f"{group}.{name}" for group in groups() for name in keys_of(group)]
    return inside + [field.name for field in fields(Config) if field.name not in (*GROUPS, *DERIVED)]


def document(config: Config) -> dict[str, object]:
    """The configuration as nested plain values, as `from_mapping` takes them: a key for each group that is on."""
    values = asdict(config)
    methods = values.pop("methods")
    first = ("model", "task", "data", "train", *methods)
    return {key: (values | methods)[key] for key in (*first, *(key for key in values if key not in first))}


def flat(document: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested values by their dotted keys."""
    values: dict[str, object] = {}
    for key, value in document.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return values


def from_hydra(composed: DictConfig, folders: Sequence[Path] = ()) -> Config:
    """The checked configuration of what Hydra composed; teachers are looked up in these or the project's folders."""
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    if missing := [name for name in GROUPS if name not in composed]:
        raise ConfigError(f"{missing[0]}: has no value; give {missing[0]}=…")
    try:
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "a value"
        raise ConfigError(f"{key}: has no value; give {key}=…") from error
    except OmegaConfBaseException as error:
        key, cause = getattr(error, "full_key", None), str(error).partition("\n")[0]
        raise ConfigError(f"{key}: {cause}" if key else cause) from error
    assert isinstance(values, dict)
    config = from_mapping({str(key): value for key, value in values.items() if key != "hydra"}, folders)
    check_paths(config.paths)
    tracking_options.check(config.tracking)
    return config


def check_paths(paths: PathsConfig) -> None:
    """Refuse folders that cannot be made, where a user asks for them now: stored ones may be of another machine."""
    surroundings.runs(paths.runs).check()
    surroundings.cache(paths.cache).check()


def from_mapping(values: Mapping[str, object], folders: Sequence[Path] = (), memo: Memo | None = None) -> Config:
    """The checked configuration of nested plain values; groups that a shared memo knows are not checked again."""
    memo = memo or Memo()
    config = typed(values, memo)
    if config.train.tuned is not None:
        config = replace(config, train=memo(_tuned, config, by=(config.train, config.task, config.model)))
        if config.train.tuned and config.seed in config.train.tuned["seeds"]:
            raise ConfigError(
                f"seed={config.seed}: learning rates and epochs were chosen by runs with it (train.tuned.seeds); "
                "give another, or choose train=paper"
            )
    if not config.methods:  # the uncompressed model is what others start from
        config = replace(config, model=memo(encoder.from_checkpoint, config.model))
    memo(corpus.check, config.data, config.task)
    memo(registry.check, config.methods, by=tuple(config.methods.values()))
    memo(encoder.check, config.model, config.data.max_length, config.data.generated, by=(config.model, config.data))
    if (learns := registry.the_one(config.methods, LearnsFromTeacher)) is None:
        return config
    augmentation.of(config.methods, config.data, config.seed, config.paths.cache)  # refuses to do without synonyms
    key = f"{registry.group_of(config.methods, learns)}.teacher={learns.teacher}"
    stored = values.get("teacher")
    model = memo(_teacher_model, key, learns, config.data, stored, folders, by=(learns, config.data))
    return replace(config, teacher=model)


def typed(values: Mapping[str, object], memo: Memo | None = None) -> Config:
    """The configuration of nested plain values, each of which is checked alone: no file is looked at, no teacher."""
    memo = memo or Memo()
    groups, methods = {name: group for name, group in values.items() if name not in DERIVED}, dict[str, object]()
    for name, kind in GROUPS.items():
        if isinstance(group := values.get(name), Mapping):
            groups[name] = memo(build, kind, group, f"{name}.", by=(kind, group))
    for name in registry.registry():
        if (group := groups.pop(name, None)) is not None and (method := memo(_method, name, group)) is not None:
            methods[name] = method
    known = {field.name for field in fields(Config)}
    for name, group in groups.items():
        if name not in known and isinstance(group, Mapping) and "name" in group:  # of a method, in what was stored
            raise ConfigError(f"{name}: no method of this name is installed here; install the package that brings it")
    return build(Config, {**groups, "methods": methods}, "")


def _tuned(config: Config) -> TrainConfig:
    return config.train.for_cell(config.task.name, encoder.label(config.model), config.train.learning_rate)


def _method(name: str, values: object) -> object:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name}={values}: must be keys with values, or an option of the group")
    return registry.read(name, values)


def _teacher_model(
    what: str, learns: LearnsFromTeacher, texts: DataConfig, stored: object, folders: Sequence[Path]
) -> ModelConfig:
    """The model that a method's `teacher` (messages begin with `what`) names, or a file holds; it must fit the task."""
    if not isinstance(stored, Mapping):
        stored = _find_teacher(what, learns.teacher, texts.generated, (*folders,) or conf_folders())
    model = build(ModelConfig, stored, "teacher.")
    try:
        encoder.check(model, texts.max_length, texts.generated)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error
    return encoder.from_checkpoint(model)


@cache
def _find_teacher(what: str, name: str, prefer_demo: bool, folders: tuple[Path, ...]) -> Mapping[str, object]:
    """The values of the model option of that name (in `demo/` first, for generated data), or those of a checkpoint."""
    models = {option for folder in folders for option in options(folder).get("model", [])}
    for option in (f"demo/{name}", name) if prefer_demo else (name,):
        if option in models and option != "pretrained":
            return option_values(folders, "model", option)
    if local_folder(name) or (name.count("/") == 1 and not looks_like_path(name)):
        return option_values((conf_folder(),), "model", "pretrained") | {"pretrained": name}
    choices = sorted(models - {"pretrained"})
    allowed = f"must be of {', '.join(choices)}, or a checkpoint's folder or hub name"
    raise ConfigError(f"{what}: no such model{nearest(name, choices)}; {allowed}")


def teacher_experiment(config: Config) -> Config:
    """The experiment that trains the teacher, a cell of the grid: with its model and rate, and without compression."""
    assert config.teacher is not None, "no method of it learns from a teacher"
    return replace(
        config,
        model=config.teacher,
        train=config.train.for_cell(config.task.name, encoder.label(config.teacher), config.teacher.learning_rate),
        methods={},
        teacher=None,
        force=False,
    )


def start_experiment(config: Config, memo: Memo | None = None) -> Config:
    """The experiment whose finished model this one starts from: the same cell of the grid without compression."""
    assert config.model.start == "finished", "it starts from its checkpoint"
    memo = memo or Memo()
    return replace(config, model=memo(encoder.from_checkpoint, config.model), methods={}, teacher=None, force=False)


def prerequisites(config: Config, memo: Memo | None = None) -> dict[str, Config]:
    """The experiments that must be finished before this one, by what they are to it: `teacher`, `start`."""
    needed = {} if config.teacher is None else {"teacher": teacher_experiment(config)}
    return needed | ({"start": start_experiment(config, memo)} if config.model.start == "finished" else {})


def own_training(config: Config) -> TrainConfig:
    """How the experiment itself trains, which takes fewer passes over what is fine-tuned already."""
    return config.train if config.model.start == "pretrained" else config.train.further()
