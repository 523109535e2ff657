"""One lock per experiment, released when its last holding process exits."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from compress.storage import surroundings
from compress.storage.lock import Lock


class ExperimentLock(Lock):
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
        with self.place.config_errors():
            self.makes_runs = self.makes_runs or not self.place.folder.exists()
            return super().take(wait=wait)

    def taken(self) -> bool:
        """Whether a process of this machine has it (on most shared file systems: of any machine).

        Raises:
            ConfigError: it cannot be known.
        """
        with self.place.config_errors():
            return super().taken()

    def clean(self) -> None:
        """Remove the folder of locks if it is empty, and so that of the runs if it was not there before."""
        with suppress(OSError):
            self.file.parent.rmdir()
            if self.makes_runs:
                self.place.folder.rmdir()
