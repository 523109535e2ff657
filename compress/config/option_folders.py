"""The folders of configuration of one command line: which file is meant, and where in it a mistake is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from compress.config import option_files
from compress.config.yaml_check import KINDS, display_path, parse, read
from compress.errors import ConfigError, nearest


class Folders:
    """Folders of configuration; of files of the same name the first one's counts.

    Attributes:
        paths: the first is the project's own.
        read: the files that were read so far.
    """

    def __init__(self, *paths: Path) -> None:
        self.paths = list(paths)
        self.read: list[Path] = []

    def find(self, path: str) -> Path | None:
        """The file that is meant by `group/option`."""
        return next(iter(self._all(path)), None)

    def _all(self, path: str) -> list[Path]:
        return [file for folder in self.paths if (file := folder / f"{path}.yaml").is_file()]

    def check_primary(self, name: str) -> None:
        """Refuse a primary configuration that is in none of the folders, or hidden.

        Raises:
            ConfigError: naming those that are.
        """
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
        """Refuse a file that does not count, since a folder before has another of its name.

        Args:
            path: `group/option`.

        Raises:
            ConfigError: naming both.
        """
        first, *others = self._all(path) or [Path()]
        for other in others:
            if read(other) != read(first):
                raise ConfigError(
                    f"{display_path(other)}: is hidden by {display_path(first)}; give it another name, or its folder "
                    "as --config-path in place of the other"
                )

    def check_choices(self, choices: Mapping[str, object], primary: str) -> None:
        """Refuse a file that chooses a launcher or the like, since Hydra takes what the primary configuration chooses.

        Args:
            choices: the option of every group.
            primary: the name of the primary configuration.

        Raises:
            ConfigError: with what to write instead.
        """
        for file in dict.fromkeys(self.read):
            for group, option, line in option_files.overridden(file):
                if group.startswith("hydra/") and choices.get(group) != option:
                    raise ConfigError(
                        f"{display_path(file)}, line {line}: Hydra does not heed it, since {primary}.yaml chooses "
                        f"{group}={choices.get(group)}; give {group}={option} on the command line"
                    )

    def written(self, key: str) -> str | None:
        """Where a file of somebody else's gives a key its value."""
        for file in dict.fromkeys(reversed(self.read)):
            if not file.is_relative_to(self.paths[0].resolve()) and (line := _key_line(file, key)):
                return f"{display_path(file)}, line {line}"
        return None

    def read_of(self, group: str) -> Path | None:
        """A file of a group that was read."""
        return next((file for file in reversed(self.read) if file.parent.name == group), None)

    def located(self, message: str, key: str | None) -> str:
        """A mistake that Hydra tells with a path, `In 'group/option': …`, with the file and the line instead.

        Args:
            key: what it is about, if Hydra knows.
        """
        inside = re.match(r"In '?([\w./-]+)'?: (.*)", message)
        if inside is None:
            return message
        quoted = [name.replace(" : ", ": ") for name in re.findall(r"'([^']*)'", inside[2])]
        place = next((place for name in quoted if (place := self._overridden(name))), None)
        if (file := self.find(inside[1])) is None:  # it may be what Hydra knows without a file: the methods' groups
            return f"{place}: {inside[2]}" if place else message
        if "Cannot merge" in message and (misfit := self._misfit(file)):
            return misfit
        line = _key_line(file, key) if key else None
        for name in quoted:
            line = line or option_files.line_with(file, name.rpartition("/")[2])
        place = place or display_path(file) + (f", line {line}" if line else "")
        return f"{place}: {f'{key}: ' if key else ''}{inside[2]}"

    def _overridden(self, path: str) -> str | None:
        """Where a file that was read overrides a group by this option, `group/option`."""
        for file in dict.fromkeys(self.read):
            for group, option, line in option_files.overridden(file):
                if f"{group}/{option}" == path:
                    return f"{display_path(file)}, line {line}"
        return None

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
        for names, kind, line in option_files.nodes(parse(str(file), data)):
            yield (*group, *names), kind, line

    def circle(self) -> str:
        """Why composing did not come to an end."""
        paths = [os.path.splitext(os.path.relpath(file, folder.resolve()))[0] for file in reversed(self.read)
                 for folder in self.paths if file.is_relative_to(folder.resolve())]  # fmt: skip
        for path in paths:
            if (circle := option_files.cycle(path, self._bases)) and (file := self.find(circle[0])):
                return f"{display_path(file)}: is based on itself: {' → '.join(circle)}"
        return "the configuration is nested too deeply"

    def _bases(self, path: str) -> list[str]:
        file = self.find(path)
        return list(option_files.bases(file, path)) if file else []


def _key_line(file: Path, key: str) -> int | None:
    """The line on which a file gives a key its value, written in full or, in the folder of a group, without that."""
    top, _, inner = key.partition(".")
    line = option_files.line_of(file, key.split("."))
    return line or (option_files.line_of(file, inner.split(".")) if inner and top in file.parts else None)
