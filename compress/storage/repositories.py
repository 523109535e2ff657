"""Repositories of models and data sets: how they are named, and which of their files are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["model", "dataset"]

COMMIT = re.compile(r"[0-9a-f]{40}")
LEVELS = 3  # of folders that are looked into
POINTER = b"version https://git-lfs"  # what Git LFS leaves in place of a file that was not fetched


class Lacking(Exception):  # noqa: N818 - whoever asked decides whether it is an error
    """A repository, or the copy of it in the cache, has not all that is needed; says what is missing."""


@dataclass(frozen=True)
class Repository:
    """Files that can be had."""

    names: Collection[str]  # of all files, with `/` between folders
    get: Callable[[str], Path]  # a file's path here, of one of these names


Choose = Callable[[Repository], list[str]]  # the names of the files that are needed; raises Lacking


@dataclass(frozen=True)
class Snapshot:
    """A folder that has all files that were asked for, each with the content that was promised."""

    folder: Path
    files: tuple[str, ...]
    commit: str | None = None  # of the repository on the hub; None for a local folder
    note: str | None = None  # what a result should say of where it comes from


def local_folder(reference: str | None) -> Path | None:
    """The folder that a reference means here, or None for a name on the hub."""
    try:
        folder = Path(reference).expanduser() if reference else None
        return folder if folder and folder.is_dir() else None
    except (OSError, RuntimeError):  # a name too long, a folder that may not be entered, nobody's home
        return None


def looks_like_path(reference: str) -> bool:
    """Whether a reference can only be meant as a path: hub names are `name` or `owner/name`."""
    return reference[:1] in (".", "/", "~") or reference.count("/") > 1


def in_folder(folder: Path) -> Repository:
    """The files of a folder, and of its subfolders that are not hidden; links among them are followed."""

    def names(below: Path, levels: int) -> Iterator[str]:
        for entry in sorted(below.iterdir()):
            if levels and entry.is_dir() and not entry.name.startswith("."):
                yield from names(entry, levels - 1)
            elif entry.is_file():
                yield entry.relative_to(folder).as_posix()

    return Repository(list(names(folder, LEVELS)), folder.joinpath)
