"""Locks that are released when the last process that holds them exits, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Lock:
    """A file of which one process at a time is the owner; on most shared file systems: one of all machines.

    It is an flock on an open file, so forked children hold it too: it is free again when the last of them is gone.
    A file of another user's does as well, also where it can only be read.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.descriptor: int | None = None

    def take(self, *, wait: bool = False) -> bool:
        """Get it, waiting for who has it if asked to; whether it is had now. OSError where there are no locks."""
        while self.descriptor is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = _opened(self.file)
            except FileNotFoundError:  # the folder was just removed, being empty
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                with suppress(FileNotFoundError):  # who had it has removed the file
                    if os.path.samestat(os.fstat(descriptor), self.file.stat()):
                        self.descriptor = descriptor
            except BlockingIOError:
                return False
            finally:
                if self.descriptor is None:
                    os.close(descriptor)
        return True

    def release(self) -> None:
        """Let go of it. The file goes while it is locked: who waits for it notices, and locks the next of this name."""
        if self.descriptor is not None:
            with suppress(OSError):  # in a folder that only others may write it stays
                self.file.unlink()
            os.close(self.descriptor)
            self.descriptor = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """A context of this process alone; it waits for its turn, and raises OSError as `take` does."""
        self.take(wait=True)
        try:
            yield
        finally:
            self.release()

    def taken(self) -> bool:
        """Whether a process of this machine has it (on most shared file systems: of any machine)."""
        try:
            descriptor = os.open(self.file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def locked_copy(descriptor: int) -> int:
    """Lock an open file until the descriptor that this returns is closed, also in forked children."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.dup(descriptor)


def _opened(file: Path) -> int:
    """A descriptor of the file, made if it is not there; one that can be written, if that is allowed."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        with suppress(OSError):  # another user's
            return os.open(file, os.O_RDONLY)
        raise error
