"""Check what was written on the command line: names first, then the values of every experiment it asks for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from compress.config import GROUPS, Config, from_hydra, keys, options
from compress.errors import ConfigError, nearest


def check_words(words: Sequence[str], conf: Path) -> None:
    """Refuse the command line's first mistake, before Hydra or anything heavy sees it.

    Raises:
        ConfigError: naming the key, the value, what is allowed and the nearest name.
    """
    from hydra._internal.utils import get_args_parser

    arguments = get_args_parser().parse_args(list(words))
    if arguments.hydra_help or arguments.info or arguments.experimental_rerun or arguments.config_path:
        return
    if arguments.config_dir and not Path(arguments.config_dir).is_dir():
        raise ConfigError(f"--config-dir {arguments.config_dir}: no such folder")
    folders = [conf] + ([Path(arguments.config_dir)] if arguments.config_dir else [])
    overrides = parse(arguments.overrides)
    for override in overrides:
        check_name(override, folders, known_elsewhere=any(o.key_or_group == "hydra.searchpath" for o in overrides))
    extra = [f"hydra.searchpath=[file://{folder.absolute()}]" for folder in folders[1:]]
    name = arguments.config_name or "config"
    for _ in compositions([*arguments.overrides, *extra], conf, multirun=arguments.multirun, name=name):
        pass


def parse(words: Iterable[str]) -> list[Override]:
    """Hydra's reading of the overrides."""
    found = []
    for word in words:
        try:
            found.extend(OverridesParser.create().parse_overrides([word]))
        except HydraException as error:
            raise ConfigError(f"{word}: not understood as key=value; write for example train.epochs=4") from error
    return found


def check_name(override: Override, folders: Sequence[Path], known_elsewhere: bool = False) -> None:
    """Refuse an unknown key, group or option of a group."""
    key, values = override.key_or_group, _values(override)
    groups: dict[str, list[str]] = {}
    for folder in folders:
        for group, found in options(folder).items():
            groups[group] = groups.get(group, []) + found
    if key in groups:
        for value in () if known_elsewhere or override.is_delete() else values:
            if value not in groups[key]:
                allowed = ", ".join(sorted(groups[key]))
                raise ConfigError(f"{key}={value}: no such option{nearest(value, groups[key])}; must be of {allowed}")
    elif key.split(".")[0].split("/")[0] != "hydra" and key not in keys():
        written = f"{key}={','.join(values)}" if values else key
        group = key.split(".")[0]
        if group in GROUPS:
            allowed = f"{group} has {', '.join(field.name for field in fields(GROUPS[group]))}"
        else:
            top = {*groups, *GROUPS, *(name for name in keys() if "." not in name)}
            allowed = f"there are {', '.join(sorted(top))}"
        raise ConfigError(f"{written}: no such key{nearest(key, [*keys(), *groups])}; {allowed}")


def _values(override: Override) -> list[str]:
    """What an override may set its key to: several values if it sweeps."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [] if override.value() is None and override.is_delete() else [override.get_value_element_as_str()]


def compositions(words: Sequence[str], conf: Path, *, multirun: bool, name: str = "config") -> Iterator[Config]:
    """The checked configuration of every experiment that a command line asks for.

    Raises:
        ConfigError: at the first that is wrong.
    """
    from hydra import compose, initialize_config_dir
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    axes = sweeps(words)
    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            first = compose(name, overrides=[values[0] for values in axes.values()], return_hydra_config=True)
            if multirun or first.hydra.mode == RunMode.MULTIRUN:
                params = first.hydra.sweeper.get("params") or {}
                axes = sweeps(f"{key}={value}" for key, value in params.items()) | axes
            for key, values in axes.items():
                if len(values) > 1 and not multirun and first.hydra.mode != RunMode.MULTIRUN:
                    raise ConfigError(f"{key}: {len(values)} values are a sweep; add -m to run each of them")
            found = (str(place).removeprefix("file://") for place in first.hydra.searchpath or ())
            folders = [conf, *map(Path, found)]

            def composed(overrides: Sequence[str]) -> dict[str, Any]:
                tree = OmegaConf.to_container(compose(name, overrides=list(overrides)), resolve=False)
                return cast(dict[str, Any], tree)

            for tree in product(axes, composed):
                yield from_hydra(OmegaConf.create(tree), folders)
        except (HydraException, OmegaConfBaseException) as error:
            told = " ".join(f"{error} {error.__cause__ or ''}".split())
            raise ConfigError(told.split(" Config search path:")[0].split(" full_key:")[0]) from error


def product(
    axes: Mapping[str, Sequence[str]], composed: Callable[[Sequence[str]], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What `composed` gives for every combination of the axes' overrides, in few compositions: each takes Hydra 60 ms.

    An axis changes one group as a rule: `model=…` the group model, `prune.sparsity=…` the group prune. So each group is
    composed once for every combination of its own axes, and the groups are put together. Where an axis turns out to
    change another group too, everything is composed.

    Args:
        axes: overrides by key, as `sweeps` gives them.
        composed: the configuration that overrides make, its interpolations unresolved.
    """
    keys = list(axes)
    groups: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        if len(axes[key]) > 1:
            groups.setdefault(key.lstrip("+~").split(".")[0].split("@")[0], []).append(index)
    first = [values[0] for values in axes.values()]
    base = composed(first)
    variants: dict[str, dict[tuple[str, ...], Any]] = {}
    independent = True
    for group, members in groups.items():
        variants[group] = {}
        for choice in itertools.product(*(axes[keys[index]] for index in members)) if independent else ():
            words = list(first)
            for index, word in zip(members, choice, strict=True):
                words[index] = word
            tree = composed(words)
            independent &= {**tree, group: None} == {**base, group: None}
            variants[group][choice] = tree.get(group)
    for combination in itertools.product(*axes.values()):
        if not independent:
            yield composed(combination)
            continue
        chosen = {group: variants[group][tuple(combination[i] for i in members)] for group, members in groups.items()}
        yield {**base, **chosen}


def sweeps(words: Iterable[str]) -> dict[str, list[str]]:
    """The overrides by key, each as the list of the single overrides that it stands for; of a repeated key the last.

    Their product is what Hydra's own sweeper runs; what an `+experiment=…` file sweeps (`hydra.sweeper.params`) comes
    before the command line.
    """
    axes: dict[str, list[str]] = {}
    for override in parse(words):
        key, written = override.get_key_element(), override.input_line
        assert written is not None
        axes.pop(key, None)
        axes[key] = (
            [f"{key}={value}" for value in override.sweep_string_iterator()]
            if override.is_sweep_override()
            else [written]
        )
    return axes
