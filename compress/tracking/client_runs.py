"""Starting a run of W&B's client, such that it is the run that was asked for, and the folders of its files."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import ConfigError
from compress.storage import surroundings
from compress.tracking import wandb_client, wandb_settings
from compress.tracking.run_record import FOLDER, RunRecord
from compress.tracking.tracking_options import Mode
from compress.tracking.wandb_client import kind_and_cause, tear_down

if TYPE_CHECKING:
    from wandb import Run

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


class NotStarted(Exception):  # noqa: N818 - the experiment goes on without it
    """The client's run could not be started; says why."""


def start(record: RunRecord, mode: Mode, folders: ClientFolders) -> Run:
    """A run of the client; NotStarted if the client, the network, the server or the key did not allow it."""
    folders.stand_in_for_home()
    if mode == "offline":
        run = _init(record, mode, folders)
    elif record.anew:
        run = _start_anew(record, folders)
    else:
        run = _init(record, mode, folders, resume="allow")
    folders.sign(Path(run.settings.sync_dir))
    return run


def _start_anew(record: RunRecord, folders: ClientFolders) -> Run:
    """The run on the server without the rows that it may have.

    Rewinding to step 0 leaves a row there. Servers may lack it: it is a preview on W&B's own.
    """
    rewound = ({"resume_from": f"{record.wandb_id}?_step={step}"} for step in (-1, 0))
    ways: list[dict[str, str]] = [{"resume": "never"}, *rewound, {}]
    reason = ""
    for way in ways:
        try:
            run = _init(record, "online", folders, **way)
        except NotStarted as failure:
            if wandb_client.why_offline(record.seconds) is not None:
                raise
            tear_down()  # else the id is in use
            reason = str(failure)
            continue
        if not way:
            folders.say(f"W&B: the earlier training's curve stays, before the new one ({reason})")
        return run
    raise NotStarted(reason)


def _init(record: RunRecord, mode: Mode, folders: ClientFolders, **way: str) -> Run:
    try:
        with _as_command(record.command) as program:
            run: Run = wandb_client.session().init(
                project=record.project,
                entity=record.entity,
                id=record.wandb_id,
                name=record.name,
                group=record.group,
                job_type=record.job_type,
                config=record.config,
                tags=record.tags,
                notes=record.notes,
                mode=mode,
                dir=folders.parent(),
                settings=wandb_client.client().Settings(
                    console="off",  # log.txt has it
                    init_timeout=record.seconds,
                    finish_timeout=record.seconds,
                    finish_timeout_raises=True,
                    program=program,
                    sweep_id=record.sweep,
                    x_stats_pid=os.getpid(),  # the default is the process that imported wandb
                    x_transaction_log_flush_interval=2,  # what a killed run leaves behind
                ),
                **way,
            )
        run.define_metric("*", step_metric="global_step")
    except Exception as error:  # of the network, the server, the key or the client's own process
        raise NotStarted(kind_and_cause(error)) from error
    _require_same(run, record, mode)
    return run


@contextlib.contextmanager
def _as_command(command: Sequence[str] | None) -> Iterator[str | None]:
    """A context in which the client takes this for the command that runs, and not a worker's; yields its program."""
    if not command:
        yield None
        return
    program, *words = command
    own = sys.argv
    sys.argv = [own[0], *words]
    try:
        yield program
    finally:
        sys.argv = own


def _require_same(run: Run, record: RunRecord, mode: Mode) -> None:
    """Refuse another run than the client was asked for."""
    wanted = {"id": record.wandb_id, "project": record.project}
    wanted |= {"entity": record.entity} if mode == "online" and record.entity else {}
    for key, value in wanted.items():
        if (got := getattr(run, key)) != value:
            raise NotStarted(f"the client started a run with {key} {got} instead of {value}")
