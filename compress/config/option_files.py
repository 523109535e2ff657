"""What stands where in a configuration's YAML files: values, their lines, and what a file is based on."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import yaml

from compress.config.yaml_check import KINDS, check, display_path, malformed, parse, read
from compress.errors import ConfigError


def values(file: Path, load: Callable[[str], object]) -> dict[str, object]:
    """What a file says.

    Args:
        load: makes values of YAML.

    Raises:
        ConfigError: something is wrong with the file.
    """
    data = read(file)
    check(display_path(file), data)
    try:
        content = load(data.decode("utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(malformed(display_path(file), data, error)) from error
    return dict(content) if isinstance(content, dict) else {}


def line_of(file: Path, names: Sequence[str]) -> int | None:
    """The line on which a file gives a value to these nested names, or to what they are in."""
    node: yaml.Node | None = parse(str(file), read(file))
    line = None
    for name in names:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        pair = next(((key, value) for key, value in pairs if key.value == name), None)
        if pair is None:
            return line if not isinstance(node, yaml.MappingNode) else None
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line


def nodes(node: yaml.Node | None, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """The nested names in a file, of what kind their values are, and on which lines."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        yield (*names, str(key.value)), KINDS[type(value)], key.start_mark.line + 1
        yield from nodes(value, (*names, str(key.value)))


def line_with(file: Path, text: str) -> int | None:
    """The first line of a file in which a text stands."""
    lines = read(file).decode("utf-8", errors="replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if text in line), None)


def bases(file: Path, path: str) -> Iterator[str]:
    """The paths, `group/option`, of what a file's defaults list names.

    Args:
        path: its own; relative names are meant from its folder.
    """
    root = parse(str(file), read(file))
    listed = next((value for key, value in root.value if key.value == "defaults"), None) if root else None
    for entry in listed.value if isinstance(listed, yaml.SequenceNode) else ():
        if isinstance(entry, yaml.ScalarNode):
            yield _joined(path, entry.value.partition("@")[0])
        elif isinstance(entry, yaml.MappingNode) and len(entry.value) == 1:
            ((group, option),) = entry.value
            *words, name = group.value.split(" ")
            if "override" not in words and isinstance(option, yaml.ScalarNode):
                yield posixpath.join(_joined(path, name.partition("@")[0]), option.value)


def overridden(file: Path) -> Iterator[tuple[str, str, int]]:
    """The groups, from the root, whose options a file's defaults list overrides, the options, and the lines."""
    root = parse(str(file), read(file))
    listed = next((value for key, value in root.value if key.value == "defaults"), None) if root else None
    for entry in listed.value if isinstance(listed, yaml.SequenceNode) else ():
        if isinstance(entry, yaml.MappingNode) and entry.value[0][0].value.startswith("override /"):
            group, option = entry.value[0]
            yield group.value.removeprefix("override /"), str(option.value), group.start_mark.line + 1


def _joined(path: str, name: str) -> str:
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(path), name)).lstrip("/")


def cycle(start: str, based_on: Callable[[str], Sequence[str]], path: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Options from this one on of which each is based on the next, and the last on one before it; None if none are."""
    if start in path:
        return (*path[path.index(start) :], start)
    cycles = (cycle(base, based_on, (*path, start)) for base in based_on(start))
    return next((options for options in cycles if options), None)
