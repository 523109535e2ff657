"""The whole configuration of one experiment: a dataclass per Hydra group, checked before anything heavy happens."""

from __future__ import annotations

import glob
import json
import math
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from compress.config import option_files
from compress.config.resources import ResourcesConfig
from compress.data import corpus, wordnet
from compress.data.corpus import DataConfig
from compress.errors import ConfigError, nearest
from compress.methods import prune
from compress.methods.distill import DistillConfig
from compress.methods.prune import PruneConfig
from compress.methods.quantize import QuantizeConfig
from compress.model import encoder
from compress.model.encoder import ModelConfig
from compress.storage import surroundings
from compress.storage.hub import SECONDS, local_folder, looks_like_path
from compress.task.config import TaskConfig
from compress.tracking import tracking_options
from compress.tracking.tracking_options import TrackingConfig
from compress.training.loop import TrainConfig

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")


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
    "distill": DistillConfig,
    "prune": PruneConfig,
    "tracking": TrackingConfig,
    "resources": ResourcesConfig,
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
    distill: DistillConfig
    prune: PruneConfig
    tracking: TrackingConfig
    resources: ResourcesConfig
    paths: PathsConfig
    seed: int = Field(description="of new weights, order of batches, dropout", ge=0)
    device: str = Field(description="auto, cpu, cuda or cuda:N", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    force: bool = Field(description="run again what is finished")
    hub_seconds: float = Field(default=SECONDS, description="give up a hub that sends nothing for so long", gt=0)
    teacher: ModelConfig | None = Field(default=None, description="what distill.teacher names, looked up")


LARGEST = 2**64 - 1  # integer, the largest seed that torch takes
DERIVED = ("teacher",)  # fields of Config that are no keys of the command line


def conf_folder() -> Path:
    """The configuration files: beside the package in a checkout, inside it when installed from a wheel."""
    here = Path(__file__).resolve().parents[1]
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def keys() -> list[str]:
    """Every key of the configuration, dotted; those that are in no group last."""
    inside = [f"{group}.{field.name}" for group, kind in GROUPS.items() for field in fields(kind)]
    return inside + [field.name for field in fields(Config) if field.name not in (*GROUPS, *DERIVED)]


def options(conf: Path) -> dict[str, list[str]]:
    """Every group of a configuration folder with its options; those of folders in it as `folder/option`."""
    names = (name.rstrip("/") for name in glob.glob("*/", root_dir=conf))
    return {name: _options(conf / name) for name in sorted(names) if name != "hydra"}


def _options(group: Path) -> list[str]:
    files = (name for name in glob.iglob("**/*.yaml", root_dir=group, recursive=True) if (group / name).is_file())
    return sorted((name.removesuffix(".yaml") for name in files), key=lambda option: (option.count("/"), option))


def option_values(
    folders: Sequence[Path],
    group: str,
    option: str,
    read: Callable[[str], Any],
    home: str = "",
    above: tuple[Path, ...] = (),
) -> dict[str, Any]:
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
    found: dict[str, Any] = {}
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
        self._known: dict[tuple[int, ...], tuple[Any, tuple[Any, ...]]] = {}

    def __call__(self, function: Callable[..., T], *arguments: Any, by: tuple[Any, ...] | None = None) -> T:
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


def from_mapping(values: Mapping[str, Any], folders: Sequence[Path] = (), once: Once | None = None) -> Config:
    """The typed configuration of nested plain values; raises ConfigError as `from_hydra` does.

    Args:
        once: shared between configurations that have groups in common, it builds and checks these once.
    """
    once = once or Once()
    given = {key: value for key, value in values.items() if key not in DERIVED}
    groups = {name: once(_group, name, values[name]) for name in GROUPS if isinstance(values.get(name), Mapping)}
    config: Config = build(Config, {**given, **groups}, "")
    once(corpus.check, config.data, config.task)
    once(_check_methods, config.quantize, config.prune)
    once(_check_model, config.model, config.data)
    if config.distill.name == "none":
        return config
    return replace(config, teacher=once(_teacher, config.distill, config.data, values.get("teacher"), folders))


def _group(name: str, values: Mapping[str, Any]) -> Any:
    return build(GROUPS[name], values, f"{name}.")


def _check_methods(quantize: QuantizeConfig, pruned: PruneConfig) -> None:
    if pruned.name != "none":
        prune.check(pruned)
        if quantize.name != "none" and quantize.freeze < pruned.end:
            raise ConfigError(
                f"quantize.freeze={quantize.freeze:g}: must be at least prune.end={pruned.end:g}, "
                "since ranges change as long as weights go"
            )


def _check_model(checked: ModelConfig, texts: DataConfig) -> None:
    encoder.check(checked, texts.max_length, texts.builds_vocabulary)


def _teacher(
    distill: DistillConfig, texts: DataConfig, known: Mapping[str, Any] | None, folders: Sequence[Path]
) -> ModelConfig:
    """The model that `distill.teacher` names, which must fit the task as the student's must."""
    values = known or _find_teacher(distill.teacher, texts.builds_vocabulary, (*folders,) or (conf_folder(),))
    teacher: ModelConfig = build(ModelConfig, values, "teacher.")
    try:
        _check_model(teacher, texts)
    except ConfigError as error:
        raise ConfigError(f"distill.teacher={distill.teacher}: {error}") from error
    if distill.copies and (distill.wordnet is not None or not texts.has_synonyms):
        wordnet.find(distill.wordnet)
    return teacher


@cache
def _find_teacher(name: str, prefer_demo: bool, folders: tuple[Path, ...]) -> Mapping[str, Any]:
    """The values of the model option of that name (in `demo/` first, for generated data), or those of a checkpoint."""
    from omegaconf import OmegaConf

    def read(text: str) -> Any:
        return OmegaConf.to_container(OmegaConf.create(text))

    known = {option for folder in folders for option in options(folder).get("model", [])}
    for option in (f"demo/{name}", name) if prefer_demo else (name,):
        if option in known and option != "pretrained":
            return option_values(folders, "model", option, read)
    if local_folder(name) or (name.count("/") == 1 and not looks_like_path(name)):
        return option_values((conf_folder(),), "model", "pretrained", read) | {"pretrained": name}
    choices = sorted(known - {"pretrained"})
    raise ConfigError(
        f"distill.teacher={name}: no such model{nearest(name, choices)}; must be of {', '.join(choices)}, "
        "or a checkpoint's folder or hub name"
    )


def teacher_experiment(config: Config) -> Config:
    """The experiment that trains the teacher: the student's, with the teacher's model and rate and without compression.

    So it is the very same as that cell of a grid.
    """
    assert config.teacher is not None, "without distillation there is no teacher"
    return replace(
        config,
        model=config.teacher,
        train=replace(config.train, learning_rate=config.teacher.learning_rate),
        quantize=replace(config.quantize, name="none"),
        distill=replace(config.distill, name="none"),
        prune=replace(config.prune, name="none"),
        teacher=None,
        force=False,
    )


def build(kind: type[Any], values: Mapping[str, Any], prefix: str) -> Any:
    """A checked dataclass of plain values.

    Args:
        prefix: what stands before its fields' names on the command line.

    Raises:
        ConfigError: a value is missing, unknown, of the wrong type or out of range.
    """
    if strange := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{prefix}{strange[0]}: no such key; names are texts")
    try:
        built = kind(**values)
    except ValidationError as error:
        raise ConfigError(_first_mistake(kind, values, prefix, error)) from error
    for name in kind.__dataclass_fields__:
        _check_numbers(f"{prefix}{name}", getattr(built, name))
    return built


def _first_mistake(kind: type[Any], values: Mapping[str, Any], prefix: str, error: ValidationError) -> str:
    """The key, the value and what is allowed."""
    errors = error.errors()
    alike = (found for found in errors if found["loc"][:1] == errors[0]["loc"][:1])  # one for each type of a union
    first = max(alike, key=lambda found: len(_path(found["loc"], values)))
    key, names = ".".join(_path(first["loc"], values)), list(kind.__dataclass_fields__)
    if first["type"] == "unexpected_keyword_argument":
        where = f"{prefix[:-1]} has" if prefix else "there are"
        return f"{prefix}{key}: no such key{nearest(key, names)}; {where} {', '.join(names)}"
    if first["type"].startswith("missing"):
        return f"{prefix}{key}: has no value; give {prefix}{key}=…"
    allowed = first["msg"].replace("Value error, ", "").replace("a valid boolean", "a valid boolean, true or false")
    allowed = re.sub(r"^(Input|List|String|Dictionary) should", "must", allowed)
    allowed = re.sub(r"a dictionary or an instance of \w+|an instance of \w+", "keys with values", allowed)
    if first["type"] == "string_pattern_mismatch":
        allowed = f"must be {kind.__dataclass_fields__[key].default.description}"
    value = first["input"]
    choices = first.get("ctx", {}).get("expected", "").replace("'", "").replace(" or ", ", ").split(", ")
    shown = json.dumps(value) if value is None or isinstance(value, bool) else value
    return f"{prefix}{key}={shown}: {allowed}{nearest(value, choices)}"


def _path(loc: tuple[int | str, ...], values: Any) -> list[str]:
    """The keys and indices of a place in nested values, without the types of unions that pydantic puts between."""
    path: list[str] = []
    for part in loc:
        inside = range(len(values)) if isinstance(values, list) else values if isinstance(values, Mapping) else ()
        if part in inside:
            values = values[part]
        if part in inside or not path:
            path.append(str(part))
    return path


def _check_numbers(key: str, value: Any) -> None:
    """Refuse numbers that JSON and 64 bits have not."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}={value}: must be a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"{key}={value}: must be at most {LARGEST}")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _check_numbers(key, inner)
