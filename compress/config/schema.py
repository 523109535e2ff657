"""The whole configuration of one experiment: a dataclass per Hydra group, checked before anything heavy happens."""

from __future__ import annotations

import glob
import posixpath
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field as DataclassField
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from compress.checked import build, checked
from compress.config import option_files
from compress.config.resources import ResourcesConfig
from compress.data import corpus, wordnet
from compress.data.corpus import DataConfig
from compress.errors import ConfigError, nearest
from compress.methods import registry
from compress.methods.base import EnlargesData, LearnsFromTeacher
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
    from omegaconf import DictConfig

T = TypeVar("T")


@checked
class PathsConfig:
    """Where files go; no part of an experiment's identity."""

    runs: str = Field(description="results: <task>/<model>/<methods>/<run_id>/", min_length=1)
    cache: str = Field(description="tokenized texts, shared by all runs", min_length=1)


GROUPS: dict[str, type[object]] = {
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
    """One experiment.

    Attributes:
        methods: group -> checked values, of the methods that are on, in the order in which they are named.
        teacher: the model of the teacher that one of them learns from, looked up.
    """

    model: ModelConfig
    task: TaskConfig
    data: DataConfig
    train: TrainConfig
    methods: dict[str, object] = Field(default_factory=dict)
    tracking: TrackingConfig
    resources: ResourcesConfig
    paths: PathsConfig
    seed: int = Field(description="of new weights, order of batches, dropout", ge=0)
    device: str = Field(description="auto, cpu, cuda or cuda:N", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    force: bool = Field(description="run again what is finished")
    hub_seconds: float = Field(default=SECONDS, description="give up a hub that sends nothing for so long", gt=0)
    teacher: ModelConfig | None = None


DERIVED = ("methods", "teacher")  # fields of Config that are no keys of the command line


def groups() -> list[str]:
    """The groups of the configuration, those of the methods among them."""
    names = list(GROUPS)
    after = names.index("train") + 1
    return [*names[:after], *registry.registry(), *names[after:]]


def keys_of(group: str) -> dict[str, DataclassField[Any]]:
    """The keys of a group, with their fields; of a method those of all its options."""
    return {field.name: field for field in fields(GROUPS[group])} if group in GROUPS else registry.keys(group)


def type_of(key: str) -> object:
    """What a dotted key may be, as an annotation; None if there is no such key."""
    group, _, name = key.rpartition(".")
    kinds = [option.config for option in registry.registry().get(group, {}).values()] or [GROUPS.get(group, Config)]
    hints = [hint for kind in kinds if (hint := typing.get_type_hints(kind).get(name)) is not None]
    return hints[0] if hints else None


def conf_folder() -> Path:
    """The configuration files: beside the package in a checkout, inside it when installed from a wheel."""
    here = Path(__file__).resolve().parents[1]
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def conf_folders() -> tuple[Path, ...]:
    """The project's configuration files, and those of other packages' methods."""
    return (conf_folder(), *registry.folders())


@cache
def keys() -> list[str]:
    """Every key of the configuration, dotted; those that are in no group last."""
    inside = [f"{group}.{name}" for group in groups() for name in keys_of(group)]
    return inside + [field.name for field in fields(Config) if field.name not in (*GROUPS, *DERIVED)]


def document(config: Config) -> dict[str, object]:
    """The configuration as nested plain values, as `from_mapping` takes them: a key for each group that is on."""
    values = asdict(config)
    methods = values.pop("methods")
    order = ("model", "task", "data", "train", *methods)
    return {key: (values | methods)[key] for key in (*order, *(key for key in values if key not in order))}


def options(*folders: Path) -> dict[str, list[str]]:
    """Every group of configuration folders with its options; those of folders in it as `folder/option`."""
    names = {name.rstrip("/") for folder in folders for name in glob.glob("*/", root_dir=folder)} - {"hydra"}
    return {name: list(dict.fromkeys(option for folder in folders for option in _options(folder / name)))
            for name in sorted(names)}  # fmt: skip


def _options(group: Path) -> list[str]:
    files = (name for name in glob.iglob("**/*.yaml", root_dir=group, recursive=True) if (group / name).is_file())
    return sorted((name.removesuffix(".yaml") for name in files), key=lambda option: (option.count("/"), option))


def option_values(
    folders: Sequence[Path],
    group: str,
    option: str,
    read: Callable[[str], object],
    home: str = "",
    above: tuple[Path, ...] = (),
) -> dict[str, object]:
    """The values of an option, on top of those of the options that it is based on.

    Args:
        folders: of configuration; as for Hydra, the first that has the option counts.
        read: parses YAML; PyYAML takes `2e-5` for a text, OmegaConf for a number.
        home: folder of the group in which it finds what it is based on: for Hydra that of an option which another is
            based on, and the group's own for one that is chosen by name.
        above: files of the options that are based on this one.

    Raises:
        ConfigError: no folder has the option, or what it is based on; a file is malformed, or based on itself.
    """
    file = next((file for folder in folders if (file := folder / group / f"{option}.yaml").is_file()), None)
    if file is None:
        raise ConfigError(f"{group}={option}: no such option; looked for in {', '.join(map(str, folders))}")
    if file in above:
        raise ConfigError(f"{option_files.shown(file)}: is based on itself")
    values = option_files.values(file, read)
    found: dict[str, object] = {}
    for named in values.pop("defaults", []):
        if named != "_self_":
            base = posixpath.join(f"/{group}", home, str(named).partition("@")[0]).removeprefix(f"/{group}/")
            found |= option_values(folders, group, base, read, posixpath.dirname(base), (*above, file))
    return found | values


class Once:
    """Calls functions, and for the very same arguments again answers what they did the first time.

    Arguments are told apart by identity: whatever is shared is recognised, and nothing need be hashable. What functions
    read besides their arguments, files say, counts as it was the first time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], tuple[Any, tuple[object, ...]]] = {}

    def __call__(self, function: Callable[..., T], *arguments: object, by: tuple[object, ...] | None = None) -> T:
        """The function's answer.

        Args:
            by: what the answer depends on, where that is less than the arguments.
        """
        asked = (function, *(arguments if by is None else by))
        key = tuple(map(id, asked))
        if key not in self._known:
            self._known[key] = function(*arguments), asked  # which keeps them alive, lest others get their ids
        answer: T = self._known[key][0]
        return answer


def from_hydra(composed: DictConfig, folders: Sequence[Path] = ()) -> Config:
    """The typed configuration of what Hydra composed.

    Args:
        folders: configuration folders in which a teacher is looked up; by default the project's own.

    Raises:
        ConfigError: a value is missing, unknown, of the wrong type or out of range, or values contradict each other.
    """
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
        key, told = getattr(error, "full_key", None), str(error).partition("\n")[0]
        raise ConfigError(f"{key}: {told}" if key else told) from error
    assert isinstance(values, dict)
    config = from_mapping({str(key): value for key, value in values.items() if key != "hydra"}, folders)
    check_paths(config.paths)
    tracking_options.check(config.tracking)
    return config


def check_paths(paths: PathsConfig) -> None:
    """Refuse folders that are none and cannot become any; nothing is touched.

    For what a user asks for now: a stored configuration may be of another machine.

    Raises:
        ConfigError: with the key, its value and the fix.
    """
    surroundings.runs(paths.runs).check()
    surroundings.cache(paths.cache).check()


def from_mapping(values: Mapping[str, object], folders: Sequence[Path] = (), once: Once | None = None) -> Config:
    """The typed configuration of nested plain values; raises ConfigError as `from_hydra` does.

    Args:
        once: shared between configurations that have groups in common, it builds and checks these once.
    """
    once = once or Once()
    known = registry.registry()
    given = {key: value for key, value in values.items() if key not in (*DERIVED, *known)}
    built = {name: once(_group, name, values[name]) for name in GROUPS if isinstance(values.get(name), Mapping)}
    read = {name: once(_method, name, values[name]) for name in known if values.get(name) is not None}
    methods = {name: config for name, config in read.items() if config is not None}
    config = build(Config, {**given, **built, "methods": methods}, "")
    once(corpus.check, config.data, config.task)
    once(_check_methods, methods, by=tuple(methods.values()))
    once(_check_model, config.model, config.data)
    if (learns := registry.the_one(methods, LearnsFromTeacher)) is None:
        return config
    _check_synonyms(methods, config.data)
    key = f"{registry.group_of(methods, learns)}.teacher={learns.teacher}"
    teacher = once(_teacher, key, learns, config.data, values.get("teacher"), folders, by=(learns, config.data))
    return replace(config, teacher=teacher)


def _group(name: str, values: Mapping[str, object]) -> object:
    return build(GROUPS[name], values, f"{name}.")


def _method(name: str, values: object) -> object:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name}={values}: must be keys with values, or an option of the group")
    return registry.read(name, values)


def _check_methods(methods: registry.Active) -> None:
    registry.check(methods)


def _check_model(checked: ModelConfig, texts: DataConfig) -> None:
    encoder.check(checked, texts.max_length, texts.builds_vocabulary)


def _teacher(
    what: str,
    learns: LearnsFromTeacher,
    texts: DataConfig,
    known: Mapping[str, object] | None,
    folders: Sequence[Path],
) -> ModelConfig:
    """The model that a method's `teacher` names, which must fit the task as the student's must.

    Args:
        what: the key and value that messages begin with.
    """
    values = known or _find_teacher(what, learns.teacher, texts.builds_vocabulary, (*folders,) or conf_folders())
    teacher = build(ModelConfig, values, "teacher.")
    try:
        _check_model(teacher, texts)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error
    return teacher


def _check_synonyms(methods: registry.Active, texts: DataConfig) -> None:
    enlarges = registry.the_one(methods, EnlargesData)
    if enlarges and enlarges.copies and (enlarges.wordnet is not None or not texts.has_synonyms):
        wordnet.find(enlarges.wordnet)


@cache
def _find_teacher(what: str, name: str, prefer_demo: bool, folders: tuple[Path, ...]) -> Mapping[str, object]:
    """The values of the model option of that name (in `demo/` first, for generated data), or those of a checkpoint."""
    from omegaconf import OmegaConf

    def read(text: str) -> object:
        return OmegaConf.to_container(OmegaConf.create(text))

    known = {option for folder in folders for option in options(folder).get("model", [])}
    for option in (f"demo/{name}", name) if prefer_demo else (name,):
        if option in known and option != "pretrained":
            return option_values(folders, "model", option, read)
    if local_folder(name) or (name.count("/") == 1 and not looks_like_path(name)):
        return option_values((conf_folder(),), "model", "pretrained", read) | {"pretrained": name}
    choices = sorted(known - {"pretrained"})
    raise ConfigError(
        f"{what}: no such model{nearest(name, choices)}; must be of {', '.join(choices)}, "
        "or a checkpoint's folder or hub name"
    )


def teacher_experiment(config: Config) -> Config:
    """The experiment that trains the teacher: the student's, with the teacher's model and rate and without compression.

    So it is the very same as that cell of a grid.
    """
    assert config.teacher is not None, "no method of it learns from a teacher"
    return replace(
        config,
        model=config.teacher,
        train=replace(config.train, learning_rate=config.teacher.learning_rate),
        methods={},
        teacher=None,
        force=False,
    )
