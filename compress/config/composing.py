"""Hydra, opened for one command line: its folders of configuration, and each of its errors told in one line."""

from __future__ import annotations

import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from compress.config.arguments import Arguments
from compress.config.groups import Groups
from compress.config.option_folders import Folders
from compress.config.schema import keys
from compress.config.yaml_check import checking_sources
from compress.errors import ConfigError, first_line, nearest, one_line
from compress.methods import registry

# What composing raises for wrong input: Hydra checks little of what users write before it relies on it.
WRONG_INPUT = (HydraException, OmegaConfBaseException, ValueError, TypeError, KeyError, AttributeError, AssertionError,
               IndexError)  # fmt: skip


@contextmanager
def opened(arguments: Arguments, conf: Path) -> Iterator[Composer]:
    """Hydra, one at a time, with the folders of configuration that a command line names; by default `conf` is first."""
    main = _folder("--config-path", arguments.config_path) if arguments.config_path else conf
    further = _folder("--config-dir", arguments.config_dir) if arguments.config_dir else None
    setbase("1.3")
    before = Singleton._instances.pop(GlobalHydra, None)
    path = create_config_search_path(str(main))
    if further is not None:
        path.prepend("command-line", f"file://{further}", anchor=SearchPathQuery(provider="schema"))
    folders = Folders(main, *([further] if further else []), *registry.folders())
    try:
        with checking_sources(folders.read):
            yield Composer(Hydra.create_main_hydra2("compress", path), arguments.config_name, folders)
    finally:
        Singleton._instances.pop(GlobalHydra, None)
        if before is not None:
            Singleton._instances[GlobalHydra] = before


def _folder(flag: str, name: str) -> Path:
    folder = Path(name).absolute()
    if not folder.is_dir():
        raise ConfigError(f"{flag} {name}: no such folder")
    return folder


class Composer:
    """Composes configurations from the folders of one command line, with a primary configuration of this name."""

    def __init__(self, hydra: Hydra, name: str, folders: Folders) -> None:
        self.hydra, self.name, self.folders = hydra, name, folders  # but for what the primary configuration adds
        self._searchpath: list[str] = []
        self._warned: set[str] = set()

    def search(self, word: str, places: object) -> None:
        """Look for options in further places, those that an override of `hydra.searchpath` names."""
        if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
            raise ConfigError(f"{word}: must be a list of places, hydra.searchpath=[file://DIR]")
        self._searchpath = [word]
        self.folders.paths += [folder for place in places for folder in _searched(place)]

    @property
    def basing(self) -> str:
        """How a primary configuration has all groups."""
        return f"begin {self.name.removesuffix('.yaml')}.yaml with defaults: [config, _self_]"

    @cached_property
    def groups(self) -> Groups:
        """The groups of all folders, of those that the primary configuration adds too."""
        with self.config_errors():
            return Groups(self.hydra.config_loader, self.name, self._searchpath)

    def compose(self, overrides: Sequence[str], mode: RunMode = RunMode.RUN) -> DictConfig:
        """What Hydra composes of its files and some overrides (MULTIRUN: none that sweep), with its own as `hydra`."""
        with self.config_errors(overrides):
            return self.hydra.compose_config(self.name, list(overrides), mode, from_shell=False)

    @contextmanager
    def config_errors(self, overrides: Sequence[str] = ()) -> Iterator[None]:
        """Have what Hydra raises for wrong input be a ConfigError, and what it warns of a line."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
            for text in (str(warning.message) for warning in caught):
                if missing := re.match(r"provider=hydra.searchpath.*path=(.*) is not available", text):
                    raise ConfigError(f"hydra.searchpath: {missing[1]}: no such folder")
                if text not in self._warned:
                    self._warned.add(text)
                    print(f"warning: {one_line(text)}", file=sys.stderr)
        except RecursionError as error:
            raise ConfigError(self.folders.circle()) from error
        except WRONG_INPUT as error:
            key = re.match(r"Could not override '([\w.]+)'\.\n", str(error))
            inner = re.search(r"Key '(\w+)' is not in struct", str(error.__cause__))
            mistake = self._no_such_key(key[1], inner[1] if inner else "", overrides) if key else None
            if isinstance(error, KeyError) and any("hydra.job.env_copy" in word for word in overrides):
                mistake = f"hydra.job.env_copy: {error} is not in the environment"
            raise ConfigError(mistake or self._explained(error)) from error

    def _no_such_key(self, key: str, inner: str, overrides: Sequence[str]) -> str | None:
        """What there is instead of a key, or of a name in what it is given; None if it is there, or nothing is."""
        whole, _, name = key.rpartition(".") if not inner or key.endswith(f".{inner}") else (key, "", inner)
        groups = [word for word in overrides if "." not in word.partition("=")[0] and "{" not in word]
        inside = OmegaConf.select(self.hydra.compose_config(self.name, groups, RunMode.RUN, from_shell=False), whole)
        written = next((word for word in overrides if word.lstrip("+").startswith(key)), key)
        if inside is not None and not isinstance(inside, DictConfig):
            place = self.folders.written(whole)
            is_set = f"{whole}={inside}: must be keys with values ({place})"
            return is_set if place else f"{written}: no such key; {whole} is {inside}, not keys with values"
        names = [str(key) for key in inside] if isinstance(inside, DictConfig) else []
        if name in names or not names:
            return None
        added = f"; +{written} adds one" if whole.partition(".")[0] == "resources" else ""
        takes = [option for option in registry.registry().get(whole, {}) if name in registry.keys(whole, option)]
        chosen = inside.get("name") if inside is not None else None
        if takes and chosen not in (*takes, registry.OFF):
            others = f"{whole}={','.join(takes)}"
            return f"{written}: {whole}={chosen} has no such key, {others} has; leave it out or choose that"
        if key in keys():  # which the chosen option's file leaves out
            return f"{written}: the chosen {whole} does not set it; +{written} adds it, or write it into that file"
        return f"{written}: no such key{nearest(name, names)}; {whole} has {', '.join(names)}{added}"

    def _explained(self, error: Exception) -> str:
        """An error of Hydra's, with the file and the line that it is about where that can be told."""
        raw = f"{error} {first_line(error.__cause__) if error.__cause__ else ''}"
        message = " ".join(raw.split()).split(" Config search path:")[0].split(" full_key:")[0]
        if not isinstance(error, HydraException | OmegaConfBaseException):
            message = f"Hydra cannot compose this: {type(error).__name__}: {message}"
        if twice := re.match(r"(\S+) appears more than once in the final defaults list", message):
            message += f"; a file writes override /{twice[1]}: OPTION, a command line {twice[1]}=OPTION without +"
        if "No match in the defaults list" in message and self.name != "config":
            message += f" (or {self.basing})"
        key = re.search(r"full_key: ([\w.]+)", raw)
        return self.folders.located(message, key[1] if key else None)

    def check_plugins(self, composed: DictConfig) -> None:
        """Refuse a launcher or sweeper that is none."""
        for name, kind in (("launcher", Launcher), ("sweeper", Sweeper)):
            targets = [f"{plugin.__module__}.{plugin.__name__}" for plugin in Plugins.instance().discover(kind)]
            target = OmegaConf.select(composed, f"hydra.{name}._target_")
            if target not in targets:
                names = ", ".join(self.groups.options(f"hydra/{name}"))
                raise ConfigError(f"hydra.{name}._target_={target}: is no {name}; must be hydra/{name} of {names}")

    def show(self, overrides: Sequence[str], what: str, package: str | None, resolve: bool) -> str:
        """The composed job, hydra or all as YAML, or the part of it at a dotted key, as Hydra's `--cfg` shows it."""
        from hydra.core.hydra_config import HydraConfig

        composed = self.compose(overrides)
        HydraConfig.instance().set_config(composed)
        OmegaConf.set_readonly(composed.hydra, None)
        with self.config_errors():
            if resolve:
                OmegaConf.resolve(composed)
            chosen = self.hydra.get_sanitized_cfg(composed, what)
            if package in (None, "_global_"):
                return OmegaConf.to_yaml(chosen).rstrip("\n")
            below: object = OmegaConf.select(chosen, str(package))
            if below is None:
                raise ConfigError(f"--package {package}: there is no such part; --cfg {what} alone shows all")
        if not OmegaConf.is_config(below):
            return str(below)
        return f"# @package {package}\n" + OmegaConf.to_yaml(below).rstrip("\n")

    def inform(self, what: str, overrides: Sequence[str]) -> None:
        """Print what Hydra's `--info` does: its folders, plugins and defaults list."""
        with self.config_errors():
            self.hydra.show_info(what, config_name=self.name, overrides=list(overrides))

    def explain(self) -> None:
        """Print what Hydra's `--hydra-help` does."""
        with self.config_errors():
            self.hydra.hydra_help(None, get_args_parser(), Namespace(overrides=[]))

    def run(self, overrides: Sequence[str], job: Callable[[DictConfig], None], *, multirun: bool) -> None:
        """Have Hydra run one experiment, or a sweep by the launcher and the sweeper that are configured."""
        run = self.hydra.multirun if multirun else self.hydra.run
        try:
            run(config_name=self.name, task_function=job, overrides=list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(self._explained(error)) from error


def tree(composed: DictConfig) -> dict[str, object]:
    """What Hydra composed, as plain values, interpolations unresolved, without its own settings."""
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}


def _searched(place: str) -> list[Path]:
    """The folder that a place of `hydra.searchpath` means; none for a package."""
    scheme, colon, name = place.rpartition("://")
    if colon and scheme not in ("file", "pkg"):
        raise ConfigError(f"hydra.searchpath: {place}: must be file://DIR or pkg://PACKAGE")
    if scheme == "pkg":
        with suppress(ImportError, ValueError):
            if find_spec(name.replace("/", ".")) is not None:
                return []
        raise ConfigError(f"hydra.searchpath: {place}: no such package")
    folder = Path(name).absolute()
    if not folder.is_dir():
        raise ConfigError(f"hydra.searchpath: {place}: no such folder")
    return [folder]
