"""Starting a run of W&B's client, online or offline, such that it is the run that was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from compress.tracking import wandb_client
from compress.tracking.wandb_client import kind_and_cause, tear_down

if TYPE_CHECKING:
    from wandb import Run, Settings

    from compress.tracking.client_folders import ClientFolders
    from compress.tracking.run_record import RunRecord
    from compress.tracking.tracking_options import Mode


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
    moment = f"{record.run_id}?_step="
    ways: tuple[dict[str, str], ...] = (
        {"resume": "never"},
        {"resume_from": f"{moment}-1"},
        {"resume_from": f"{moment}0"},
        {},
    )
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
        run: Run = wandb_client.session().init(
            project=record.project,
            entity=record.entity,
            id=record.run_id,
            name=record.name,
            group=record.group,
            job_type=record.job_type,
            config=record.config,
            mode=mode,
            dir=folders.parent(),
            settings=_settings(record.seconds),
            **way,
        )
        run.define_metric("*", step_metric="global_step")
    except Exception as error:  # of the network, the server, the key or the client's own process
        raise NotStarted(kind_and_cause(error)) from error
    _require_same(run, record, mode)
    return run


def _require_same(run: Run, record: RunRecord, mode: Mode) -> None:
    """Refuse another run than the client was asked for."""
    wanted = {"id": record.run_id, "project": record.project}
    wanted |= {"entity": record.entity} if mode == "online" and record.entity else {}
    for key, value in wanted.items():
        if (got := getattr(run, key)) != value:
            raise NotStarted(f"the client started a run with {key} {got} instead of {value}")


def _settings(seconds: float) -> Settings:
    settings: Settings = wandb_client.client().Settings(
        console="off",  # log.txt has it
        init_timeout=seconds,
        finish_timeout=seconds,
        finish_timeout_raises=True,
        x_stats_pid=os.getpid(),  # the default is the process that imported wandb
        x_transaction_log_flush_interval=2,  # what a killed run leaves behind
    )
    return settings
