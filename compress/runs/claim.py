"""Locks that go with the processes that hold them, however they end; and that somebody is at an experiment."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from compress.storage import surroundings


class Lock:
    """A file of which one process at a time is the owner; on most shared file systems: one of all machines.

    It is an flock on an open file, so forked children hold it too: it is free again when the last of them is gone.
    Another user's file is as good as an own one, also where it can only be read.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.descriptor: int | None = None

    def take(self, *, wait: bool = False) -> bool:
        """Get it, waiting for who has it if asked to; whether this process has it now.

        Raises:
            OSError: there is no file and none can be made, or its file system has no locks.
        """
        while self.descriptor is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = _opened(self.file)
            except FileNotFoundError:  # the folder was just removed, being empty
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                if _is(descriptor, self.file):
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


def _opened(file: Path) -> int:
    """A descriptor of the file, made if it is not there; one that can be written, if that is allowed."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        with suppress(OSError):  # another user's
            return os.open(file, os.O_RDONLY)
        raise error


def _is(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


class Claim(Lock):
    """The right to run one experiment, `runs/.locks/<run_id>`; of all processes that may want to, one has it."""

    def __init__(self, runs: Path, run_id: str) -> None:
        super().__init__(runs / ".locks" / run_id)
        self.place = surroundings.runs(runs)
        self.makes_runs = False  # whether their folder was not there

    def take(self, *, wait: bool = False) -> bool:
        """Get it, waiting for who has it if asked to; whether this process has it now.

        Raises:
            ConfigError: the folder of runs cannot be written or locked.
        """
        with self.place.told():
            self.makes_runs = self.makes_runs or not self.place.folder.exists()
            return super().take(wait=wait)

    def taken(self) -> bool:
        """Whether a process of this machine has it (on most shared file systems: of any machine).

        Raises:
            ConfigError: it cannot be known.
        """
        with self.place.told():
            return super().taken()

    def clean(self) -> None:
        """Remove the folder of claims if it is empty, and so that of the runs if it was not there before."""
        with suppress(OSError):
            self.file.parent.rmdir()
            if self.makes_runs:
                self.place.folder.rmdir()
