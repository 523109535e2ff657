"""Where W&B's client keeps its files of a run, and what earlier processes left there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from compress.errors import ConfigError
from compress.storage import surroundings
from compress.tracking import wandb_settings
from compress.tracking.run_record import FOLDER

OWNER = "run-folder.txt"  # in a folder of the client's that is not in the run folder: whose it is


class ClientFolders:
    """The client's folders of one run; `folder` is the run folder, `say` gets a line for people."""

    def __init__(self, run_id: str, folder: Path, say: Callable[..., None]) -> None:
        self.run_id, self.folder, self.say = run_id, folder, say

    def stand_in_for_home(self) -> None:
        """Where this user has no home to write in, have the client keep its settings and logs with the run."""
        if not surroundings.has_home():
            for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
                os.environ.setdefault(name, str(self.folder.absolute() / FOLDER / "client"))

    def parent(self) -> Path:
        """Where the client makes its folder: the run folder, or what WANDB_DIR names."""
        wanted = wandb_settings.client_folder()
        if wanted is None:
            return self.folder
        try:
            wanted.mkdir(parents=True, exist_ok=True)
            surroundings.Place("WANDB_DIR", str(wanted)).require_writable()
        except (OSError, ConfigError) as error:
            self.say(f"W&B: WANDB_DIR={wanted} cannot be used ({error}); its files are in {self.folder / FOLDER}")
            return self.folder
        return wanted

    def sign(self, made: Path) -> None:
        """Where the client has made its folder elsewhere than in the run folder, note whose it is."""
        if self.folder.absolute() not in made.absolute().parents:
            with contextlib.suppress(OSError):
                (made / OWNER).write_text(str(self.folder.absolute()))

    def remove_earlier(self) -> None:
        """The client adds up the logs of a run that it finds, and the next one holds all rows again."""
        for folder in self._earlier("*run-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def mark_offline_as_synced(self) -> None:
        """All rows are sent from here; have `wandb sync` leave alone what it would send a second time."""
        for folder in self._earlier("offline-run-*"):
            (folder / f"run-{self.run_id}.wandb.synced").touch()

    def _earlier(self, kind: str) -> Iterator[Path]:
        """The client's folders of this run; elsewhere than in the run folder there may be another one's of its id."""
        yield from (self.folder / FOLDER).glob(f"{kind}-{self.run_id}")
        if (elsewhere := wandb_settings.client_folder()) is not None:
            for folder in elsewhere.glob(f"*wandb/{kind}-{self.run_id}"):
                with contextlib.suppress(OSError):
                    if (folder / OWNER).read_text() == str(self.folder.absolute()):
                        yield folder
