"""Which methods there are: one for each module of this folder that declares one, and those of other packages.

A method is a configuration group, such as `prune`; what the group is set to is its option, such as `magnitude`. A
module declares an option as `OPTION = Option(…)`. A package of one's own declares it as an entry point:

    [project.entry-points."combining_compressions.methods"]
    magnitude = "my_package.my_module:OPTION"

All that the framework knows of methods it knows from here: groups of the configuration, identities, folders, factors.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from compress.checked import build as build_checked
from compress.errors import ConfigError, nearest
from compress.methods.base import EnlargesData, LearnsFromTeacher, Method
from compress.runs.result import Compression

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENTRY_POINTS = "combining_compressions.methods"
OFF = "none"
RESERVED = ("model", "task", "data", "train", "tracking", "resources", "paths", "experiment", "hydra", "methods")
Active = Mapping[str, Any]  # group -> the checked values of its option, of methods that are on
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to do a method.

    Attributes:
        group: configuration group, which is the method's name in overrides, folders and factors.
        name: of the option, its key `name`.
        noun: what prose calls the method.
        config: checked dataclass of the group's values; `name` among them.
        build: makes the method from these values, and from the teacher's logits if they are a `LearnsFromTeacher`.
        acts: methods act on a model in the order of this number (the study's: prune 20, quantize 30, distill 40).
        position: names stand in the order of this number (quantize 10, distill 20, prune 30), then of the alphabet.
        strength: the key that says how much is compressed.
        shrinks: whether fewer bytes are stored; else it only trains otherwise.
        step_cost: time of a training step, as a multiple of one without the method.
        weights_until: the key that says after which share of training the pattern of the weights stays as it is.
        version: counts in run ids where it is not 0; raise it when the same values come to another result.
        check: refuses values, given those of all active methods, by a ConfigError.
        conf: folder with `<group>/<name>.yaml` and `<group>/none.yaml`; None: the project's own.
    """

    group: str
    name: str
    noun: str
    config: type[Any]
    build: Callable[..., Method]
    acts: int
    position: int = 100
    strength: str | None = None
    shrinks: bool = True
    step_cost: float = 1.0
    weights_until: str | None = None
    version: int = 0
    check: Callable[[Any, Active], None] | None = None
    conf: Path | None = None

    def __post_init__(self) -> None:
        if wrong := self._mistake():
            raise ConfigError(f"{self.group}={self.name}: {wrong}")

    def _mistake(self) -> str | None:
        """What would be noticed late, or by nobody."""
        keys = [field.name for field in fields(self.config)]
        for what, key in (("strength", self.strength), ("weights_until", self.weights_until)):
            if key is not None and key not in keys:
                alike, listed = nearest(key, keys), ", ".join(keys)
                return f"{what}={key}: its configuration has no such key{alike}; it has {listed}"
        if isinstance(self.build, type) and getattr(self.build, "trace", None) is Method.trace:
            return f"{self.build.__name__} has no trace(stored), which says how the method is seen in the artifact"
        if self.group in RESERVED:
            return "the framework has a group of this name itself; choose another"
        missing = [name for name in (self.name, OFF) if self.conf and not self._file(name).is_file()]
        return f"{self._file(missing[0])}: no such file; conf is a folder with one for each option" if missing else None

    def _file(self, name: str) -> Path:
        return (self.conf or Path()) / self.group / f"{name}.yaml"


@cache
def registry() -> dict[str, dict[str, Option]]:
    """Group -> name -> option, in the order in which groups are named.

    Raises:
        ConfigError: another package's method cannot be imported, is none, or is there twice.
    """
    options: dict[str, dict[str, Option]] = {}
    for option in (*_own(), *_others()):
        same = options.setdefault(option.group, {})
        if option.name in same:
            raise ConfigError(f"{option.group}={option.name}: two modules implement it; remove one of the packages")
        same[option.name] = option
    positions = {group: (min(option.position for option in same.values()), group) for group, same in options.items()}
    return {group: options[group] for group in sorted(options, key=positions.__getitem__)}


def _own() -> list[Option]:
    package = import_module("compress.methods")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)
    modules = (import_module(f"compress.methods.{name}") for name in names if name not in ("base", "registry"))
    return [module.OPTION for module in modules if hasattr(module, "OPTION")]


def _others() -> list[Option]:
    return [_loaded(entry) for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.value)]


def _loaded(entry: Any) -> Option:
    """What an entry point of another package declares."""
    where = f"the method {entry.name} of the package {entry.dist.name if entry.dist else 'unknown'} ({entry.value})"
    try:
        option = entry.load()
    except Exception as error:  # whatever another's module raises
        raise ConfigError(
            f"{where} cannot be imported ({type(error).__name__}: {error}); mend or remove the package"
        ) from error
    if not isinstance(option, Option):
        raise ConfigError(f"{where} is a {type(option).__name__}, not a compress.methods.registry.Option")
    return option


def folders() -> list[Path]:
    """The folders of configuration that other packages' methods bring."""
    every = (option.conf for same in registry().values() for option in same.values())
    return list(dict.fromkeys(folder for folder in every if folder is not None))


def keys(group: str) -> dict[str, Any]:
    """The keys of a group, of all its options, with their dataclass fields."""
    return {field.name: field for option in reversed(registry()[group].values()) for field in fields(option.config)}


def read(group: str, values: Mapping[str, Any]) -> Any:
    """The checked values of a group; None if it is off.

    Raises:
        ConfigError: no module implements the option, or a value is wrong.
    """
    same, name = registry()[group], values.get("name", OFF)
    if name == OFF:
        fitting = (option for option in same.values() if {field.name for field in fields(option.config)} >= {*values})
        option = next(fitting, next(iter(same.values())))
        if len(values) > 1:  # what stands there unused must still be right
            build_checked(option.config, {**values, "name": option.name}, f"{group}.")
        return None
    if name not in same:
        choices = [OFF, *same]
        alike, listed = nearest(str(name), choices), ", ".join(choices)
        raise ConfigError(f"{group}.name={name}: no module implements it{alike}; must be of {listed}")
    return build_checked(same[name].config, values, f"{group}.")


def read_all(values: Mapping[str, Any]) -> dict[str, Any]:
    """The active methods among the groups of a configuration; raises ConfigError as `read` does."""
    groups = {group: read(group, values[group]) for group in registry() if isinstance(values.get(group), Mapping)}
    return {group: config for group, config in groups.items() if config is not None}


def option_of(group: str, config: Any) -> Option:
    """The option that checked values are of."""
    return registry()[group][config.name]


def options_of(methods: Active) -> dict[str, Option]:
    """Group -> option of the active methods, in the order in which they act on a model."""
    options = {group: option_of(group, config) for group, config in methods.items()}
    return dict(sorted(options.items(), key=lambda entry: (entry[1].acts, entry[0])))


def check(methods: Active) -> None:
    """Refuse methods that contradict themselves or each other.

    Raises:
        ConfigError: naming the keys.
    """
    for kind, what in ((LearnsFromTeacher, "learn from a teacher"), (EnlargesData, "enlarge the training set")):
        if len(groups := [group for group, config in methods.items() if isinstance(config, kind)]) > 1:
            raise ConfigError(f"{' and '.join(groups)}: both {what}, which one method does; turn one of them off")
    for group, option in options_of(methods).items():
        if option.check is not None:
            option.check(methods[group], methods)


def the_one(methods: Active, kind: type[T]) -> T | None:
    """The values of the active method that are of a kind, `LearnsFromTeacher` say; None if there is none."""
    return next((config for config in methods.values() if isinstance(config, kind)), None)


def group_of(methods: Active, config: object) -> str:
    """The group that the values of an active method are of."""
    return next(group for group, values in methods.items() if values is config)


def build(methods: Active, answers: NDArray[np.float32] | None = None) -> list[Method]:
    """The active methods, in the order in which they act on a model.

    Args:
        answers: the teacher's logits of the rows that are trained on, float32 [rows, outputs], if one of them learns
            from a teacher.
    """
    made = []
    for group, option in options_of(methods).items():
        learns = isinstance(methods[group], LearnsFromTeacher)
        assert answers is not None or not learns, f"{group} needs a teacher's logits"
        made.append(option.build(methods[group], answers) if learns else option.build(methods[group]))
    return made


def strength_of(option: Option, config: Any) -> float | None:
    """How much a method compresses, in its own unit; None if it has no such number."""
    value: float | None = None if option.strength is None else getattr(config, option.strength)
    return value


def describe(methods: Active) -> list[Compression]:
    """What a result says of its methods, in the order in which they are named."""
    return [
        Compression(
            method=group,
            option=option.name,
            noun=option.noun,
            position=option.position,
            shrinks=option.shrinks,
            strength=option.strength,
            value=strength_of(option, methods[group]),
        )
        for group in registry()
        if group in methods
        for option in [option_of(group, methods[group])]
    ]
