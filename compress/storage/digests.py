"""Digests of files: by content, whatever folder they are in; each file is read again only if it may have changed."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from compress.errors import ConfigError


def digest_files(files: list[Path]) -> str:
    """SHA-256 over the names and contents of files; refuses one that cannot be read."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        try:
            total.update(f"{file.name}:{digest(file)}\n".encode(errors="surrogateescape"))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror}); let this user read it") from error
    return total.hexdigest()


def digest(file: Path, *, git: bool = False) -> str:
    """SHA-256 of a file's content, or the SHA-1 by which Git names it."""
    stat = file.stat()  # of which inode or change time tell a file that is put in another's place
    return _digest(str(file), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, git)


@lru_cache(maxsize=1024)
def _digest(file: str, device: int, inode: int, size: int, modified: int, changed: int, git: bool) -> str:
    start = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if git else hashlib.sha256()
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, lambda: start).hexdigest()
