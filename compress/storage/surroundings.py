"""What a machine must give: folders that can be made, entered and written. What is wrong is told in one line."""

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


@dataclass(frozen=True)
class Place:
    """A folder that a key of the configuration names: `paths.runs` or `paths.cache`."""

    key: str
    value: str

    @property
    def folder(self) -> Path:
        """Where it is.

        Raises:
            ConfigError: it begins with `~`, and nobody knows what that is.
        """
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
        """A context in which what the file system refuses is told in one line.

        Raises:
            ConfigError: in place of an OSError.
        """
        try:
            yield
        except BrokenPipeError:  # of `… | head`, not of a file
            raise
        except OSError as error:
            raise self.refusal(error) from error

    def explain(self, error: Exception) -> Exception:
        """What the file system refused below this folder as one line with its fix; any other error as it is."""
        number = error.errno if isinstance(error, OSError) else _number_in(str(error))
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
        """Refuse what is no folder and cannot become one; nothing is touched.

        Raises:
            ConfigError: a file or a dangling link is in the way, a name is too long or has control characters, a
                folder cannot be entered, or cannot be made where it should be.
        """
        if not _is_clean(self.value):
            raise self.error("there is a control character in it", f"give {WAYS[self.key]} without one")
        self._check_way(self.folder)
        if self.folder.is_dir() and not _allows(self.folder, os.R_OK | os.X_OK):
            raise self.error("this user may not read it", f"give {WAYS[self.key]} that this user can read and write")

    def require_writable(self, below: Path | None = None) -> None:
        """Refuse a folder in which nothing can be made; nothing is touched.

        Args:
            below: the folder in question, inside this one; by default this one.

        Raises:
            ConfigError: as `check`, or it cannot be written.
        """
        folder = below or self.folder
        self._check_way(folder)
        with self.config_errors():
            if folder.is_dir() and not _allows(folder, os.W_OK | os.X_OK):
                raise self.error(f"{folder} cannot be written", self._writable_elsewhere)

    def require_space(self, needed: int) -> None:
        """Refuse a disk that is too full, as far as it tells: quotas may be stricter.

        Args:
            needed: bytes.

        Raises:
            ConfigError: less is free where the folder is or would be made.
        """
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
            self._check_length(folder / ("x" * BELOW))
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

    def _check_length(self, path: Path) -> None:
        """Have the system refuse what is too long for it, or leads in circles; whether it is there matters not."""
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            try:
                os.lstat(path)
            except OSError as error:
                if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                    raise self.error(str(error.strerror)) from error
                raise


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


def _number_in(message: str) -> int | None:
    """The errno that a library quotes in an error of its own."""
    quoted = re.search(r"\(os error (\d+)\)", message)
    return int(quoted[1]) if quoted else None


def _is_clean(text: str) -> bool:
    """Whether a text can be told in one line of UTF-8: no control characters, line breaks or undecoded bytes."""
    return not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, text))


def _allows(folder: Path, what: int) -> bool:
    return os.access(folder, what, effective_ids=os.access in os.supports_effective_ids)
