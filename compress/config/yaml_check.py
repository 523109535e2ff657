"""YAML files of a configuration: every mistake in one is told with its file, its line and its cause."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import yaml

from compress.errors import ConfigError, first_line

if TYPE_CHECKING:
    from hydra.plugins.config_source import ConfigResult

KINDS = {yaml.MappingNode: "keys with values", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}
TEXT, EMPTY, MERGE = (f"tag:yaml.org,2002:{tag}" for tag in ("str", "null", "merge"))


@lru_cache(maxsize=256)
def check(place: str, data: bytes) -> None:
    """Refuse a file, of which errors name the place and the line, that is no mapping, or whose defaults are no list."""
    root = parse(place, data)
    if root is not None:
        _check_keys(place, root, set())
        for value in (value for key, value in root.value if key.value == "defaults"):
            _check_defaults(place, value)


def parse(place: str, data: bytes) -> yaml.MappingNode | None:
    """The tree of a file, with the line of every node; None if the file says nothing."""
    try:
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{place}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x})") from error
    except yaml.YAMLError as error:
        raise ConfigError(malformed(place, data, error)) from error
    except RecursionError as error:
        raise ConfigError(f"{place}: nested too deeply") from error
    if root is not None and not isinstance(root, yaml.MappingNode):
        _refuse(place, root, f"must be keys with values, not {KINDS[type(root)]}")
    return root


def malformed(place: str, data: bytes, error: Exception) -> str:
    """What is wrong with a file that is no YAML, in one line."""
    if isinstance(error, yaml.MarkedYAMLError):
        at_end = "<stream end>" in str(error.problem)
        mark = error.context_mark if at_end and error.context_mark else error.problem_mark
        cause = ": ".join(text for text in (error.context, error.problem) if text)
        hint = "; indent with blanks" if "\\t" in str(error.problem) else ""
        return f"{place}, line {mark.line + 1}: {cause}{hint}" if mark else f"{place}: {cause}{hint}"
    if isinstance(error, yaml.reader.ReaderError):
        line = data.decode("utf-8", errors="replace")[: error.position].count("\n") + 1
        return f"{place}, line {line}: {error.reason}"
    return f"{place}: {' '.join(str(error).split())}"


def _refuse(place: str, node: yaml.Node, why: str) -> NoReturn:
    raise ConfigError(f"{place}, line {node.start_mark.line + 1}: {why}")


def _check_keys(place: str, node: yaml.Node, seen: set[int]) -> None:
    """Names are texts, and none is there twice."""
    if id(node) in seen:  # of an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            if key.tag != MERGE:
                _check_text(place, key, "a name")
                if key.value in names:
                    _refuse(place, key, f"{key.value} is there twice")
                names.add(key.value)
            _check_keys(place, value, seen)
    for value in node.value if isinstance(node, yaml.SequenceNode) else ():
        _check_keys(place, value, seen)


def _check_text(place: str, node: yaml.Node, what: str) -> None:
    if not isinstance(node, yaml.ScalarNode):
        _refuse(place, node, f"{what} must be a text, not {KINDS[type(node)]}")
    if node.tag != TEXT:
        kind, value = node.tag.rpartition(":")[2], node.value
        _refuse(place, node, f"{what} must be a text; {value or 'nothing'} is read as {kind}, '{value}' is not")


def _check_defaults(place: str, node: yaml.Node) -> None:
    if not isinstance(node, yaml.SequenceNode):
        _refuse(place, node, "defaults must be a list: - OPTION, or - GROUP: OPTION, a line each")
    for entry in node.value:
        if not isinstance(entry, yaml.MappingNode):
            _check_text(place, entry, "an entry of defaults")
            continue
        if len(entry.value) != 1:
            _refuse(place, entry, "an entry of defaults must be one OPTION or one GROUP: OPTION")
        ((_, option),) = entry.value
        chosen = option.value if isinstance(option, yaml.SequenceNode) else [option]
        for value in chosen:
            if value.tag != EMPTY or value is not option:
                _check_text(place, value, "an option in defaults")


def display_path(file: Path) -> str:
    """A file's path, from here if it is below."""
    absolute = Path(os.path.abspath(file))
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)


def read(file: Path) -> bytes:
    """A file's bytes."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{display_path(file)}: cannot be read: {error.strerror}") from error


@contextmanager
def checking_sources(files: list[Path]) -> Iterator[None]:
    """Have Hydra read files of configuration only after `check`, and note which it reads."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
    from hydra._internal.sources_registry import SourcesRegistry

    class CheckedFiles(FileConfigSource):
        def load_config(self, config_path: str) -> ConfigResult:
            file = Path(os.path.realpath(Path(self.path) / self._normalize_file_name(config_path)))
            files.append(file)
            with _checked(display_path(file), read(file)):
                return super().load_config(config_path)

    class CheckedPackages(ImportlibResourcesConfigSource):
        def load_config(self, config_path: str) -> ConfigResult:
            file = resources.files(self.path).joinpath(self._normalize_file_name(config_path))
            with _checked(str(file), file.read_bytes()):
                return super().load_config(config_path)

    types = SourcesRegistry.instance().types
    before = dict(types)
    types |= {"file": CheckedFiles, "pkg": CheckedPackages}
    try:
        yield
    finally:
        types |= before


@contextmanager
def _checked(place: str, data: bytes) -> Iterator[None]:
    """Have what is wrong with a file be told with its name."""
    from omegaconf.errors import OmegaConfBaseException

    check(place, data)
    try:
        yield
    except yaml.YAMLError as error:
        raise ConfigError(malformed(place, data, error)) from error
    except (OmegaConfBaseException, ValueError) as error:  # an interpolation, the line `# @package …`
        quoted = re.search(r"'(.+)'", first_line(error))
        lines = enumerate(data.decode("utf-8").splitlines(), 1)
        where = next((f", line {number}" for number, line in lines if quoted and quoted[1] in line), "")
        raise ConfigError(f"{place}{where}: {first_line(error)}") from error
