"""What a machine must give: folders that can be named, made, entered and written; what is wrong is told in one line."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from compress.errors import ConfigError, one_line
from compress.wording import megabytes

WAYS = {"paths.runs": "paths.runs=DIR", "paths.cache": "paths.cache=DIR or COMPRESS_CACHE=DIR", "HOME": "HOME=DIR"}
BELOW = 200  # bytes that the names below a folder may take
FULL = (errno.ENOSPC, errno.EDQUOT)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
LONGEST, BYTES = 100, 255  # characters of a name; and what file systems take


def check_name(key: str, name: str, fix: str) -> None:
    """Refuse a key's name that could not be one folder's: results would lie where nobody looks for them."""
    long = len(name) > LONGEST or len(name.encode(errors="replace")) > BYTES
    path = not name or name.startswith(".") or {"/", "\\"} & set(name)
    if long or path or name != name.strip() or not name.isprintable():
        raise ConfigError(
            f"{key}={name[: 2 * LONGEST]!r}: results are filed under it, so it must be the name of one folder: 1 to "
            f"{LONGEST} printable characters ({BYTES} bytes) without / and \\, not beginning with a dot; give {fix}"
        )


@dataclass(frozen=True)
class Place:
    """A folder that a key of the configuration names: `paths.runs` or `paths.cache`."""

    key: str
    value: str

    @property
    def folder(self) -> Path:
        """Where it is; refuses `~` where nobody knows what that is."""
        try:
            return Path(self.value).expanduser()
        except RuntimeError as error:
            user = self.value.partition("/")[0].removeprefix("~")
            cause = f"there is no user {user}" if user else f"HOME is not set and user {os.geteuid()} has no name here"
            raise self.error(cause, f"give {WAYS[self.key]}" + ("" if user else ", or set HOME")) from error

    def error(self, cause: str, fix: str | None = None) -> ConfigError:
        """One line of what is wrong with it and how to go on; by default with another folder."""
        return ConfigError(f"{self.key}={one_line(self.value)}: {one_line(cause)}; {fix or f'give {WAYS[self.key]}'}")

    @contextmanager
    def config_errors(self) -> Iterator[None]:
        """A context that raises a ConfigError in place of an OSError."""
        try:
            yield
        except BrokenPipeError:  # of `… | head`, not of a file
            raise
        except OSError as error:
            raise self.refusal(error) from error

    def explain(self, error: Exception) -> Exception:
        """What the file system refused below this folder as one line with its fix; any other error as it is."""
        quoted = re.search(r"\(os error (\d+)\)", str(error))  # by a library in an error of its own
        number = error.errno if isinstance(error, OSError) else int(quoted[1]) if quoted else None
        if number not in (*FULL, *NO_LOCKS, *FORBIDDEN, errno.EIO):
            return error
        name = getattr(error, "filename", None)
        if name is not None and not Path(os.fsdecode(name)).absolute().is_relative_to(self.folder.absolute()):
            return error
        return self.refusal(error if isinstance(error, OSError) else OSError(number, os.strerror(number)))

    def refusal(self, error: OSError, before: str = "") -> ConfigError:
        """One line of what the file system said, after other words if there are any, and how to go on."""
        said = error.strerror or str(error) or type(error).__name__
        where = before + ("" if error.filename is None else f"{os.fsdecode(error.filename)}: ")
        if error.errno in FULL:
            return self.error(where + said, f"free some, or give {WAYS[self.key]} on another disk")
        if error.errno in NO_LOCKS:
            return self.error(f"{where}the file system has no locks ({said})", f"give {WAYS[self.key]} on one that has")
        if error.errno in FORBIDDEN:
            return self.error(where + said, self._writable_elsewhere)
        return self.error(where + said)

    @property
    def _writable_elsewhere(self) -> str:
        return f"give {WAYS[self.key]} that this user can write"

    def check(self) -> None:
        """Refuse what is no folder and cannot become one; nothing is touched."""
        if {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, self.value)):  # controls, line breaks, undecoded
            raise self.error("there is a control character in it", f"give {WAYS[self.key]} without one")
        self._check_way(self.folder)
        if self.folder.is_dir() and not _allows(self.folder, os.R_OK | os.X_OK):
            raise self.error("this user may not read it", f"give {WAYS[self.key]} that this user can read and write")

    def require_writable(self, below: Path | None = None) -> None:
        """Refuse a folder, this one or one below, in which nothing can be made; nothing is touched."""
        folder = below or self.folder
        self._check_way(folder)
        with self.config_errors():
            if folder.is_dir() and not _allows(folder, os.W_OK | os.X_OK):
                raise self.error(f"{folder} cannot be written", self._writable_elsewhere)

    def require_space(self, needed: int) -> None:
        """Refuse a disk with fewer bytes free than needed, as far as it tells: quotas may be stricter."""
        with self.config_errors():
            whole = self.folder.absolute()
            disk = next(folder for folder in (whole, *whole.parents) if folder.is_dir())
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            if free < needed:
                cause = f"{megabytes(needed)} MB are needed for it and {megabytes(free)} MB are free"
                raise self.refusal(OSError(errno.ENOSPC, cause))

    def _check_way(self, folder: Path) -> None:
        """Refuse the first part of a path, from its root down, that is in the way."""
        with self.config_errors():
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # whether it is there matters not
                try:
                    os.lstat(folder / ("x" * BELOW))
                except OSError as error:
                    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                        raise self.error(str(error.strerror)) from error
                    raise
            above = Path()
            for part in (*reversed(folder.parents), folder):
                if part.is_symlink() and not part.exists():
                    raise self.error(f"{part} is a link to {os.readlink(part)}, which is not there")
                if not part.exists():
                    if not _allows(above, os.W_OK | os.X_OK):
                        where = above.absolute()
                        raise self.error(f"it cannot be made, {where} cannot be written", self._writable_elsewhere)
                    return
                if not part.is_dir():
                    raise self.error(f"{part} is a file, not a folder")
                above = part


def runs(folder: str | Path) -> Place:
    """The folder of all runs, `paths.runs`."""
    return Place("paths.runs", str(folder))


def cache(folder: str | Path) -> Place:
    """The folder of what runs share, `paths.cache`."""
    return Place("paths.cache", str(folder))


def has_home() -> bool:
    """Whether this user has a home folder, or can have one made, and may write in it: libraries expect that."""
    try:
        Place("HOME", "~").require_writable()
    except ConfigError:
        return False
    return True


def _allows(folder: Path, what: int) -> bool:
    return os.access(folder, what, effective_ids=os.access in os.supports_effective_ids)
