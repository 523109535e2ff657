"""Hydra, opened for one command line: its folders of configuration, and each of its errors told in one line."""

from __future__ import annotations

import os
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from compress.config import option_files
from compress.config.option_folders import Folders
from compress.errors import ConfigError, nearest, one_line
from compress.methods import registry

if TYPE_CHECKING:
    from compress.config.arguments import Arguments

# What composing raises for wrong input: Hydra checks little of what users write before it relies on it.
WRONG_INPUT = (HydraException, OmegaConfBaseException, ValueError, TypeError, KeyError, AttributeError, AssertionError,
               IndexError)  # fmt: skip


@contextmanager
def opened(arguments: Arguments, conf: Path) -> Iterator[Composer]:
    """Hydra with the folders of configuration that a command line names; one at a time.

    Args:
        conf: the first folder, unless the command line names another in its place.

    Raises:
        ConfigError: there is no such folder, or no such primary configuration in it.
    """
    main = _folder("--config-path", arguments.config_path) if arguments.config_path else conf
    further = _folder("--config-dir", arguments.config_dir) if arguments.config_dir else None
    setbase("1.3")
    before = Singleton._instances.get(GlobalHydra)
    Singleton._instances.pop(GlobalHydra, None)
    path = create_config_search_path(str(main))
    if further is not None:
        path.prepend("command-line", f"file://{further}", anchor=SearchPathQuery(provider="schema"))
    folders = Folders(main, *([further] if further else []), *registry.folders())
    try:
        with _checking_sources(folders.read):
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


@contextmanager
def _checking_sources(files: list[Path]) -> Iterator[None]:
    """Have Hydra read files of configuration only after `option_files.check`, and note which it reads."""

    checked: set[bytes] = set()

    def check(place: str, data: bytes) -> None:
        if data not in checked:
            option_files.check(place, data)
            checked.add(data)

    class CheckedFiles(FileConfigSource):
        def load_config(self, config_path: str) -> ConfigResult:
            file = Path(os.path.realpath(Path(self.path) / self._normalize_file_name(config_path)))
            files.append(file)
            check(option_files.shown(file), data := option_files.read(file))
            with _named(option_files.shown(file), data):
                return super().load_config(config_path)

    class CheckedPackages(ImportlibResourcesConfigSource):
        def load_config(self, config_path: str) -> ConfigResult:
            file = resources.files(self.path).joinpath(self._normalize_file_name(config_path))
            check(str(file), data := file.read_bytes())
            with _named(str(file), data):
                return super().load_config(config_path)

    types = SourcesRegistry.instance().types
    before = dict(types)
    types |= {"file": CheckedFiles, "pkg": CheckedPackages}
    try:
        yield
    finally:
        types |= before


@contextmanager
def _named(place: str, data: bytes) -> Iterator[None]:
    """Have what is wrong with a file be told with its name."""
    try:
        yield
    except yaml.YAMLError as error:
        raise ConfigError(option_files.malformed(place, data, error)) from error
    except (OmegaConfBaseException, ValueError) as error:  # an interpolation, the line `# @package …`
        raise ConfigError(f"{place}{_line_of_error(data, error)}: {_first_line(error)}") from error


def _line_of_error(data: bytes, error: Exception) -> str:
    """Where what an error quotes stands in a file."""
    quoted = re.search(r"'(.+)'", _first_line(error))
    lines = data.decode("utf-8").splitlines()
    return next((f", line {number}" for number, line in enumerate(lines, 1) if quoted and quoted[1] in line), "")


class Groups:
    """The groups of options in all folders of configuration.

    Args:
        name: of the primary configuration.
        overrides: the one of `hydra.searchpath`, if there is one, and any others.

    Attributes:
        names: of the groups beside each other, Hydra's own left out.
    """

    def __init__(self, loader: ConfigLoader, name: str, overrides: Sequence[str]) -> None:
        overrides = [word for word in overrides if word.startswith("hydra.searchpath=")]
        _, self._repository = cast(ConfigLoaderImpl, loader)._parse_overrides_and_create_caching_repo(name, overrides)
        self._known: dict[str, list[str]] = {}
        self.names = sorted(set(self._repository.get_group_options("", ObjectType.GROUP)) - {"hydra"})

    def options(self, group: str) -> list[str]:
        """The options of a group, those in folders of their own as `folder/option`; none: no group."""
        if group not in self._known:
            self._known[group] = sorted(self._list(group))
        return self._known[group]

    def _list(self, group: str, inside: str = "") -> Iterator[str]:
        place = f"{group}/{inside}".rstrip("/")
        for option in self._repository.get_group_options(place, ObjectType.CONFIG):
            yield f"{inside}{option}"
        for folder in self._repository.get_group_options(place, ObjectType.GROUP):
            yield from self._list(group, f"{inside}{folder}/")


class Composer:
    """Composes configurations from the folders of one command line.

    Attributes:
        name: of the primary configuration.
        folders: as far as they are known: those that the primary configuration adds are not among them.
    """

    def __init__(self, hydra: Hydra, name: str, folders: Folders) -> None:
        self.hydra, self.name, self.folders = hydra, name, folders
        self._searchpath: list[str] = []
        self._warned: set[str] = set()

    def search(self, word: str, places: object) -> None:
        """Look for options in further places, those that an override of `hydra.searchpath` names.

        Raises:
            ConfigError: they are no list, or one of them is not there.
        """
        if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
            raise ConfigError(f"{word}: must be a list of places, hydra.searchpath=[file://DIR]")
        for place in places:
            _check_place(place)
        self._searchpath = [word]
        self.folders.paths += [_path(place) for place in places if "pkg://" not in place]

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def basing(self) -> str:
        """How a primary configuration has all groups."""
        return f"begin {self.name.removesuffix('.yaml')}.yaml with defaults: [config, _self_]"

    @cached_property
    def groups(self) -> Groups:
        """The groups of all folders, of those that the primary configuration adds too."""
        with self.told():
            return Groups(self.hydra.config_loader, self.name, self._searchpath)

    # --- composing ----------------------------------------------------------------------------------------------------

    def compose(self, overrides: Sequence[str], mode: RunMode = RunMode.RUN) -> DictConfig:
        """What Hydra composes of its files and some overrides, with its own settings under `hydra`.

        Args:
            mode: MULTIRUN leaves those out that sweep.

        Raises:
            ConfigError: something is wrong with them.
        """
        with self.told(overrides):
            return self.hydra.compose_config(self.name, list(overrides), mode, from_shell=False)

    @contextmanager
    def told(self, overrides: Sequence[str] = ()) -> Iterator[None]:
        """Have what Hydra raises for wrong input be a ConfigError, and what it warns of a line."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
            for warning in caught:
                self._warn(str(warning.message))
        except RecursionError as error:
            raise ConfigError(self.folders.circle()) from error
        except WRONG_INPUT as error:
            key = re.match(r"Could not override '([\w.]+)'\.\n", str(error))
            inner = re.search(r"Key '(\w+)' is not in struct", str(error.__cause__))
            told = self._no_such_key(key[1], inner[1] if inner else "", overrides) if key else None
            if isinstance(error, KeyError) and any("hydra.job.env_copy" in word for word in overrides):
                told = f"hydra.job.env_copy: {error} is not in the environment"
            raise ConfigError(told or self._explained(error)) from error

    def _warn(self, text: str) -> None:
        if missing := re.match(r"provider=hydra.searchpath.*path=(.*) is not available", text):
            raise ConfigError(f"hydra.searchpath: {missing[1]}: no such folder")
        if text not in self._warned:
            self._warned.add(text)
            print(f"warning: {one_line(text)}", file=sys.stderr)

    def _no_such_key(self, key: str, inner: str, overrides: Sequence[str]) -> str | None:
        """What there is instead of a key that cannot be overridden; None if it is there, or nothing is.

        Args:
            inner: the name that is not there, of the key itself or of what it is given.
        """
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
        return f"{written}: no such key{nearest(name, names)}; {whole} has {', '.join(names)}{added}"

    def _explained(self, error: Exception) -> str:
        """An error of Hydra's, with the file and the line that it is about where that can be told."""
        raw = f"{error} {_first_line(error.__cause__) if error.__cause__ else ''}"
        told = " ".join(raw.split()).split(" Config search path:")[0].split(" full_key:")[0]
        if not isinstance(error, HydraException | OmegaConfBaseException):
            told = f"Hydra cannot compose this: {type(error).__name__}: {told}"
        if twice := re.match(r"(\S+) appears more than once in the final defaults list", told):
            told += f"; a file writes override /{twice[1]}: OPTION, a command line {twice[1]}=OPTION without +"
        if "No match in the defaults list" in told and self.name != "config":
            told += f" (or {self.basing})"
        key = re.search(r"full_key: ([\w.]+)", raw)
        return self.folders.located(told, key[1] if key else None)

    def check_plugins(self, composed: DictConfig) -> None:
        """Refuse a launcher or sweeper that is none.

        Raises:
            ConfigError: with those that are.
        """
        for name, kind in (("launcher", Launcher), ("sweeper", Sweeper)):
            known = [f"{found.__module__}.{found.__name__}" for found in Plugins.instance().discover(kind)]
            target = OmegaConf.select(composed, f"hydra.{name}._target_")
            if target not in known:
                names = ", ".join(self.groups.options(f"hydra/{name}"))
                raise ConfigError(f"hydra.{name}._target_={target}: is no {name}; must be hydra/{name} of {names}")

    # --- showing ------------------------------------------------------------------------------------------------------

    def show(self, overrides: Sequence[str], what: str, package: str | None, resolve: bool) -> str:
        """The composed configuration as YAML, as Hydra's `--cfg` shows it.

        Args:
            what: job, hydra or all.
            package: a part of it, dotted.
            resolve: whether interpolations are.

        Raises:
            ConfigError: there is no such part, or an interpolation cannot be resolved.
        """
        from hydra.core.hydra_config import HydraConfig

        composed = self.compose(overrides)
        HydraConfig.instance().set_config(composed)
        OmegaConf.set_readonly(composed.hydra, None)
        with self.told():
            if resolve:
                OmegaConf.resolve(composed)
            chosen: object = self.hydra.get_sanitized_cfg(composed, what)
            part = None if package in (None, "_global_") else package
            if part is not None and (chosen := OmegaConf.select(chosen, part)) is None:
                raise ConfigError(f"--package {part}: there is no such part; --cfg {what} alone shows all")
        if not OmegaConf.is_config(chosen):
            return str(chosen)
        return (f"# @package {part}\n" if part is not None else "") + OmegaConf.to_yaml(chosen).rstrip("\n")

    def inform(self, what: str, overrides: Sequence[str]) -> None:
        """Print what Hydra's `--info` does: its folders, plugins and defaults list."""
        with self.told():
            self.hydra.show_info(what, config_name=self.name, overrides=list(overrides))

    def explain(self) -> None:
        """Print what Hydra's `--hydra-help` does."""
        with self.told():
            self.hydra.hydra_help(None, get_args_parser(), Namespace(overrides=[]))

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, overrides: Sequence[str], job: Callable[[DictConfig], None], *, multirun: bool) -> None:
        """Have Hydra run one experiment, or a sweep by the launcher and the sweeper that are configured.

        Raises:
            ConfigError: Hydra cannot make them, or what else its settings name.
        """
        run = self.hydra.multirun if multirun else self.hydra.run
        try:
            run(config_name=self.name, task_function=job, overrides=list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(self._explained(error)) from error


def tree(composed: DictConfig) -> dict[str, object]:
    """What Hydra composed, as plain values, interpolations unresolved, without its own settings."""
    values = cast(dict[str, object], OmegaConf.to_container(composed, resolve=False))
    return {key: value for key, value in values.items() if key != "hydra"}


def _path(place: str) -> Path:
    return Path(place.removeprefix("file://")).absolute()


def _check_place(place: str) -> None:
    scheme, found, name = place.rpartition("://")
    if found and scheme not in ("file", "pkg"):
        raise ConfigError(f"hydra.searchpath: {place}: must be file://DIR or pkg://PACKAGE")
    if scheme == "pkg" and not _is_package(name.replace("/", ".")):
        raise ConfigError(f"hydra.searchpath: {place}: no such package")
    if scheme != "pkg" and not _path(place).is_dir():
        raise ConfigError(f"hydra.searchpath: {place}: no such folder")


def _is_package(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
