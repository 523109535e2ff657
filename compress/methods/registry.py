"""Which methods there are: one for each module of this folder that declares one, and those of other packages.

A method is a configuration group, such as `prune`; what the group is set to is its option, such as `magnitude`. All
that the framework knows of methods it knows from here: groups of the configuration, identities, folders, factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from compress.artifact.kinds import declared
from compress.checked import build as build_checked
from compress.errors import ConfigError, nearest
from compress.methods.base import EnlargesData, LearnsFromTeacher, Method
from compress.runs.result import Compression

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OFF = "none"
RESERVED = ("model", "task", "data", "train", "tracking", "resources", "paths", "experiment", "hydra", "methods",
            "start")  # fmt: skip
Active = Mapping[str, Any]  # group -> the checked values of its option, of methods that are on
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to do a method."""

    group: str  # of the configuration: the method's name in overrides, folders and factors
    name: str  # of the option, its key `name`
    noun: str  # what prose calls the method
    config: type[Any]  # checked dataclass of the group's values; `name` among them
    build: Callable[..., Method]  # of these values, and of the teacher's logits if they are a `LearnsFromTeacher`
    acts: int  # methods act on a model in the order of this number (the study's: prune 20, quantize 30, distill 40)
    position: int = 100  # names stand in this order (quantize 10, distill 20, prune 30), then in the alphabet's
    strength: str | None = None  # the key that says how much is compressed
    shrinks: bool = True  # whether fewer bytes are stored; else it only trains otherwise
    step_cost: float = 1.0  # time of a training step, as a multiple of one without the method
    weights_until: str | None = None  # the key: after which share of training the pattern of the weights stays
    cuts: bool = False  # whether it takes columns out of matrices in `finalize`
    by_columns: bool = False  # whether what a weight is stored as depends on the columns beside it; not with `cuts`
    version: int = 0  # part of run ids where it is not 0; raise it when the same values come to another result
    check: Callable[[Any, Active], None] | None = None  # refuses values, given those of all active methods
    conf: Path | None = None  # folder with `<group>/<name>.yaml` and `<group>/none.yaml`; None: the project's own

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
        files = [self.conf / self.group / f"{name}.yaml" for name in (self.name, OFF)] if self.conf else []
        missing = [file for file in files if not file.is_file()]
        return f"{missing[0]}: no such file; conf is a folder with one for each option" if missing else None


@cache
def registry() -> dict[str, dict[str, Option]]:
    """Group -> name -> option, in the order in which groups are named."""
    options: dict[str, dict[str, Option]] = {}
    told = "the method {name} of the package {package} ({value})"
    for option in declared(Option, "compress.methods", "OPTION", "combining_compressions.methods", told):
        same = options.setdefault(option.group, {})
        if option.name in same:
            raise ConfigError(f"{option.group}={option.name}: two modules implement it; remove one of the packages")
        same[option.name] = option
    positions = {group: (min(option.position for option in same.values()), group) for group, same in options.items()}
    return {group: options[group] for group in sorted(options, key=positions.__getitem__)}


def folders() -> list[Path]:
    """The folders of configuration that other packages' methods bring."""
    every = (option.conf for same in registry().values() for option in same.values())
    return list(dict.fromkeys(folder for folder in every if folder is not None))


def keys(group: str, name: str | None = None) -> dict[str, Any]:
    """The keys of a group, of all its options or of one, with their dataclass fields."""
    options = [option for option in reversed(registry()[group].values()) if name in (None, option.name)]
    return {field.name: field for option in options for field in fields(option.config)}


def read(group: str, values: Mapping[str, Any]) -> Any:
    """The checked values of a group; None if it is off."""
    same, name = registry()[group], values.get("name", OFF)
    if name == OFF:
        _check_unused(group, values)
        return None
    if name not in same:
        choices = [OFF, *same]
        alike, listed = nearest(str(name), choices), ", ".join(choices)
        raise ConfigError(f"{group}.name={name}: no module implements it{alike}; must be of {listed}")
    return build_checked(same[name].config, values, f"{group}.")


def _check_unused(group: str, values: Mapping[str, Any]) -> None:
    """Refuse wrong values in a group that is off: those of its first option, and keys that only later ones have."""
    unused, options = {key: value for key, value in values.items() if key != "name"}, list(registry()[group].values())
    names = {option.name: keys(group, option.name).keys() - {"name"} for option in options}
    whole = [option for option in options if names[option.name] <= unused.keys()]
    checked = set[str]()
    for option in whole or options[:1]:
        if unused and not names[option.name] <= checked:
            own = {key: value for key, value in unused.items() if key in names[option.name] or key not in keys(group)}
            build_checked(option.config, {**own, "name": option.name}, f"{group}.")
            checked |= names[option.name]


def read_all(values: Mapping[str, Any]) -> dict[str, Any]:
    """The active methods among the groups of a configuration."""
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
    """Refuse methods that contradict themselves or each other."""
    for kind, what in ((LearnsFromTeacher, "learn from a teacher"), (EnlargesData, "enlarge the training set")):
        if len(groups := [group for group, config in methods.items() if isinstance(config, kind)]) > 1:
            raise ConfigError(f"{' and '.join(groups)}: both {what}, which one method does; turn one of them off")
    options = options_of(methods)
    beside = next((option for option in options.values() if option.by_columns), None)
    cutting = next((option for option in options.values() if option.cuts), None)
    if beside is not None and cutting is not None:
        raise ConfigError(
            f"{beside.group}={beside.name}: rounds neighbouring columns together, of which {cutting.group}="
            f"{cutting.name} cuts some out when training has ended; choose another option of one of them"
        )
    for group, option in options.items():
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

    If one learns from a teacher, `answers` are its logits of the rows that are trained on, float32 [rows, outputs].
    """
    made = []
    for group, option in options_of(methods).items():
        learns = isinstance(methods[group], LearnsFromTeacher)
        assert answers is not None or not learns, f"{group} needs a teacher's logits"
        made.append(option.build(methods[group], answers) if learns else option.build(methods[group]))
    return made


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
            value=getattr(methods[group], option.strength) if option.strength else None,
        )
        for group in registry()
        if group in methods
        for option in [option_of(group, methods[group])]
    ]
