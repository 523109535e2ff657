"""Files and folders that are put in place whole, or not at all; their modes follow the umask."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_DIGITS = 8  # of the random ending of a scratch's name
_SCRATCH = re.compile(rf"\.(.+)-[0-9a-f]{{{_DIGITS}}}")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path`, on disk, when the context ends well; else nothing changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _beside(path)
    try:
        with scratch.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """As `new_file`, an empty folder to fill; for who holds the lock on it: what killed writers left is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clear(path)
    scratch = _beside(path)
    try:
        scratch.mkdir()
        yield scratch
        old = _beside(path)
        with suppress(FileNotFoundError):
            os.rename(path, old)
        os.replace(scratch, path)
        _remove(old)
    finally:
        _remove(scratch)


def is_scratch(name: str, of: Container[str] | None = None) -> bool:
    """Whether a name is that of what an unfinished writer fills, to get one of these names, or any."""
    scratch = _SCRATCH.fullmatch(name)
    return scratch is not None and (of is None or scratch[1] in of)


def clear_all(folder: Path, of: Container[str] | None = None) -> None:
    """Remove what killed writers of these names left in a folder; for nobody but who holds the lock on them."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_scratch(entry.name, of):
                _remove(Path(entry.path))


def clear(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; for nobody but who holds the lock on it."""
    clear_all(path.parent, (path.name,))


class HashingStream:
    """A stream to write to another one and, on the way, to a SHA-256."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self._digest = stream, hashlib.sha256()
        self.failed: OSError | None = None  # by writing the other; libraries hide it behind errors of their own

    def write(self, content: bytes | memoryview) -> int:
        """Write bytes; how many they were."""
        self._digest.update(content)
        try:
            return self.stream.write(content)
        except OSError as error:
            self.failed = error
            raise

    def flush(self) -> None:
        """Have the other stream write what it holds back."""
        self.stream.flush()

    def hexdigest(self) -> str:
        """Of all that was written so far."""
        return self._digest.hexdigest()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}-{os.urandom(_DIGITS // 2).hex()}")


def _remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, as far as that is possible; nobody looks for it any more."""
    if path.is_symlink() or not path.is_dir():
        with suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
