"""The folders of configuration of one command line: which file is meant, and where in it a mistake is."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from compress.config.yaml_check import KINDS, display_path, parse, read
from compress.errors import ConfigError, nearest


class Folders:
    """Folders of configuration; of files of the same name the first one's counts."""

    def __init__(self, *paths: Path) -> None:
        self.paths = list(paths)  # the first is the project's own
        self.read: list[Path] = []  # files, so far

    def find(self, path: str) -> Path | None:
        """The file that is meant by `group/option`."""
        return next(iter(self._all(path)), None)

    def _all(self, path: str) -> list[Path]:
        return [file for folder in self.paths if (file := folder / f"{path}.yaml").is_file()]

    def check_primary(self, name: str) -> None:
        """Refuse a primary configuration that is in none of the folders, or hidden."""
        stem = name.removesuffix(".yaml")
        if Path(stem).is_absolute() or ".." in Path(stem).parts:
            folder, _, file = stem.rpartition("/")
            raise ConfigError(f"--config-name {name}: is a path; write --config-dir {folder} --config-name {file}")
        if self.find(stem) is None:
            names = sorted({file.stem for folder in self.paths for file in folder.glob("*.yaml")})
            there = f"in {', '.join(map(display_path, self.paths))} there are {', '.join(names) or 'none'}"
            missing = f"--config-name {name}: no such file{nearest(stem, names)}"
            raise ConfigError(f"{missing}; {there}; --config-dir DIR adds a folder")
        self.check_hidden(stem)

    def check_hidden(self, path: str) -> None:
        """Refuse a file, `group/option`, that does not count, since a folder before has another of its name."""
        first, *others = self._all(path) or [Path()]
        for other in others:
            if read(other) != read(first):
                fix = "give it another name, or its folder as --config-path in place of the other"
                raise ConfigError(f"{display_path(other)}: is hidden by {display_path(first)}; {fix}")

    def check_choices(self, choices: Mapping[str, object], primary: str) -> None:
        """Refuse a file that chooses another launcher or the like than these, which the primary configuration chose."""
        for group, option, place in self._overridden():
            if group.startswith("hydra/") and choices.get(group) != option:
                cause = f"Hydra does not heed it, since {primary}.yaml chooses {group}={choices.get(group)}"
                raise ConfigError(f"{place}: {cause}; give {group}={option} on the command line")

    def _overridden(self) -> Iterator[tuple[str, str, str]]:
        """The groups, from the root, whose options the files that were read override, the options, and where."""
        for file in dict.fromkeys(self.read):
            for entry in _defaults(file):
                if isinstance(entry, yaml.MappingNode) and entry.value[0][0].value.startswith("override /"):
                    group, option = entry.value[0]
                    name, line = group.value.removeprefix("override /"), group.start_mark.line + 1
                    yield name, str(option.value), f"{display_path(file)}, line {line}"

    def written(self, key: str) -> str | None:
        """Where a file of somebody else's gives a key its value."""
        for file in dict.fromkeys(reversed(self.read)):
            if not file.is_relative_to(self.paths[0].resolve()) and (line := _key_line(file, key)):
                return f"{display_path(file)}, line {line}"
        return None

    def located(self, message: str, key: str | None) -> str:
        """A mistake, perhaps of a key, that Hydra tells as `In 'group/option': …`, with its file and line instead."""
        inside = re.match(r"In '?([\w./-]+)'?: (.*)", message)
        if inside is None:
            return message
        quoted = [name.replace(" : ", ": ") for name in re.findall(r"'([^']*)'", inside[2])]
        places = {f"{group}/{option}": place for group, option, place in reversed(list(self._overridden()))}
        place = next((places[name] for name in quoted if name in places), None)
        if (file := self.find(inside[1])) is None:  # it may be what Hydra knows without a file: the methods' groups
            return f"{place}: {inside[2]}" if place else message
        if "Cannot merge" in message and (misfit := self._misfit(file)):
            return misfit
        line = _key_line(file, key) if key else None
        for name in quoted:
            line = line or _line_with(file, name.rpartition("/")[2])
        place = place or display_path(file) + (f", line {line}" if line else "")
        return f"{place}: {f'{key}: ' if key else ''}{inside[2]}"

    def _misfit(self, file: Path) -> str | None:
        """The first key to which a file gives a list, keys or a single value, where others that were read differ."""
        others = {key: kind for other in self.read if other != file for key, kind, _ in self._keys(other)}
        for key, kind, line in self._keys(file):
            if others.get(key, kind) != kind:
                return f"{display_path(file)}, line {line}: {'.'.join(key)} must be {others[key]}, not {kind}"
        return None

    def _keys(self, file: Path) -> Iterator[tuple[tuple[str, ...], str, int]]:
        data = read(file)
        at_root = b"@package _global_" in data or any(file.parent == folder.resolve() for folder in self.paths)
        group = () if at_root else (file.parent.name,)
        if group:
            yield group, KINDS[yaml.MappingNode], 1
        for names, kind, line in _nodes(parse(str(file), data)):
            yield (*group, *names), kind, line

    def circle(self) -> str:
        """Why composing did not come to an end."""
        paths = [os.path.splitext(os.path.relpath(file, folder.resolve()))[0] for file in reversed(self.read)
                 for folder in self.paths if file.is_relative_to(folder.resolve())]  # fmt: skip
        for path in paths:
            if (circle := self._cycle(path)) and (file := self.find(circle[0])):
                return f"{display_path(file)}: is based on itself: {' → '.join(circle)}"
        return "the configuration is nested too deeply"

    def _cycle(self, path: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Options from this one on of which each is based on the next, and the last on one before it; none if none."""
        if path in above:
            return (*above[above.index(path) :], path)
        cycles = (self._cycle(base, (*above, path)) for file in self._all(path)[:1] for base in _bases(file, path))
        return next((options for options in cycles if options), ())


def _key_line(file: Path, key: str) -> int | None:
    """The line on which a file gives a key its value, written in full or, in the folder of a group, without that."""
    top, _, inner = key.partition(".")
    line = _line_of(file, key.split("."))
    return line or (_line_of(file, inner.split(".")) if inner and top in file.parts else None)


def _line_of(file: Path, names: Sequence[str]) -> int | None:
    """The line on which a file gives a value to these nested names, or to what they are in."""
    places = {path: (kind, line) for path, kind, line in _nodes(parse(str(file), read(file)))}
    for length in range(len(names), 0, -1):
        kind, line = places.get((*names[:length],), (KINDS[yaml.MappingNode], 0))
        if line and (length == len(names) or kind != KINDS[yaml.MappingNode]):
            return line
    return None


def _nodes(node: yaml.Node | None, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """The nested names in a file, of what kind their values are, and on which lines."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        yield (*names, str(key.value)), KINDS[type(value)], key.start_mark.line + 1
        yield from _nodes(value, (*names, str(key.value)))


def _line_with(file: Path, text: str) -> int | None:
    """The first line of a file in which a text stands."""
    lines = read(file).decode("utf-8", errors="replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if text in line), None)


def _defaults(file: Path) -> list[yaml.Node]:
    """The entries of a file's defaults list."""
    root = parse(str(file), read(file))
    listed = next((value for key, value in root.value if key.value == "defaults"), None) if root else None
    return listed.value if isinstance(listed, yaml.SequenceNode) else []


def _bases(file: Path, path: str) -> Iterator[str]:
    """The paths, `group/option`, of what a file's defaults list names; relative ones are meant from its own folder."""
    for entry in _defaults(file):
        if isinstance(entry, yaml.ScalarNode):
            yield _joined(path, entry.value.partition("@")[0])
        elif isinstance(entry, yaml.MappingNode) and len(entry.value) == 1:
            ((group, option),) = entry.value
            *words, name = group.value.split(" ")
            if "override" not in words and isinstance(option, yaml.ScalarNode):
                yield posixpath.join(_joined(path, name.partition("@")[0]), option.value)


def _joined(path: str, name: str) -> str:
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(path), name)).lstrip("/")
