"""That somebody is at an experiment: a lock that goes with the processes that hold it, however they end."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Claim:
    """The right to run one experiment, `runs/.locks/<run_id>`; of all processes that may want to, one has it.

    It is an flock on an open file, so forked children hold it too: it is free again when the last of them is gone.
    """

    def __init__(self, runs: Path, run_id: str) -> None:
        self.file = runs / ".locks" / run_id
        self.descriptor: int | None = None

    def take(self, *, wait: bool = False) -> bool:
        """Get it, waiting for who has it if asked to; whether this process has it now."""
        while self.descriptor is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o644)
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
            self.file.unlink(missing_ok=True)
            os.close(self.descriptor)
            self.descriptor = None

    def taken(self) -> bool:
        """Whether a process of this machine has it (on most shared file systems: of any machine)."""
        try:
            descriptor = os.open(self.file, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def clean(self) -> None:
        """Remove the folder of claims, and that of the runs, if nothing else is in them."""
        with suppress(OSError):
            self.file.parent.rmdir()
            self.file.parent.parent.rmdir()


def _is(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
