"""Upload to Weights & Biases what it does not have yet: runs that were offline, or that it was lost for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from compress.errors import ConfigError
from compress.runs import result
from compress.runs.experiment_lock import ExperimentLock
from compress.tracking import records, wandb_run
from compress.tracking.records import Card
from compress.tracking.wandb_client import PROBE_SECONDS, tear_down, why_offline


@dataclass
class Found:
    """The run folders of a collection.

    Attributes:
        waiting: to be uploaded, teachers first; also those of which only the teacher, or the weights, are lacking.
        uploaded: how many need not be.
        damaged: a sentence for each whose card cannot be read.
    """

    waiting: list[tuple[Path, Card]] = field(default_factory=list)
    uploaded: int = 0
    running: int = 0
    untracked: int = 0
    damaged: list[str] = field(default_factory=list)


def survey(runs: Path) -> Found:
    """What there is to upload; nobody is asked but the run folders."""
    found = Found()
    for folder in result.run_folders(runs):
        try:
            _sort_in(found, runs, folder)
        except ConfigError as error:  # this one; the others go on
            found.damaged.append(str(error))
    waiting = dict(found.waiting)
    teachers = _teachers_without_weights(runs, found.waiting)
    found.uploaded -= len(teachers.keys() - waiting.keys())
    found.waiting = list((waiting | teachers).items())
    found.waiting.sort(key=lambda pair: pair[1].uses is not None)  # students refer to their teachers' weights
    return found


def _sort_in(found: Found, runs: Path, folder: Path) -> None:
    card = Card.read(folder)
    if card is None:
        found.untracked += 1
    elif ExperimentLock(runs, card.run_id).taken():
        found.running += 1
    elif records.is_behind(folder) or records.lacks_teacher(folder):
        found.waiting.append((folder, card))
    else:
        found.uploaded += 1


def _teachers_without_weights(runs: Path, students: Iterable[tuple[Path, Card]]) -> dict[Path, Card]:
    """Teachers whose weights are wanted now, also where nobody learned from them when they were run."""
    found: dict[Path, Card] = {}
    for folder, card in students:
        taught = records.teacher_folder(folder, card)
        if taught is not None and not (records.note(taught) or {}).get("artifact"):
            taught = runs / taught.relative_to(runs.absolute())
            own = Card.read(taught)
            if own is not None and not ExperimentLock(runs, own.run_id).taken():
                found[taught] = replace(own, logs=str(card.uses).rpartition(":")[0])
    return found


def reminder(runs: Path, folders: Iterable[Path]) -> list[str]:
    """A line for people if of some run folders, of ended experiments, the server lacks something."""
    ended, where = list(folders), shlex.quote(str(runs))
    lines = [(sum(map(records.is_behind, ended)), "are not in W&B yet", "uploads them")]
    lines += [(sum(map(records.lacks_teacher, ended)), "lack their teacher in W&B", "adds it")]
    return [f"{count} {told}: python -m launch sync {where}   {mends}" for count, told, mends in lines if count]


def sync(runs: Path, project: str | None = None, entity: str | None = None) -> int:
    """Upload what waits; what was uploaded before is left alone.

    Args:
        project: instead of each run's own.
        entity: likewise.

    Returns:
        The exit code: 0 if all is there now.

    Raises:
        ConfigError: there is no key or no server.
    """
    found = survey(runs)
    elsewhere: dict[str, object] = {"project": project, "entity": entity}
    elsewhere = {key: value for key, value in elsewhere.items() if value is not None}
    failed: list[str] = []
    if found.waiting:
        try:
            _require_server()
            failed = _upload_all((folder, replace(card, **elsewhere)) for folder, card in _shown(found.waiting))
        finally:
            tear_down()
    alone = sum((records.note(folder) or {}).get("missing") == records.UNTRACKED for folder, _ in found.waiting)
    parts = [f"{len(found.waiting) - len(failed)} uploaded", f"{found.uploaded} were there"]
    parts += [f"{found.running} are running"] if found.running else []
    parts += [f"{found.untracked} were run without tracking"] if found.untracked else []
    parts += [f"{alone} without their teacher, which was"] if alone else []
    print(", ".join(parts))
    for line in (*failed, *found.damaged):
        print(f"not uploaded: {line}", file=sys.stderr)
    return 1 if failed or found.damaged else 0


def _require_server() -> None:
    if (reason := why_offline(PROBE_SECONDS)) is not None:
        raise ConfigError(f"W&B: {reason}; nothing was uploaded")


def _shown(waiting: list[tuple[Path, Card]]) -> Iterable[tuple[Path, Card]]:
    return tqdm(waiting, unit="run", disable=not sys.stderr.isatty(), leave=False)


def _upload_all(waiting: Iterable[tuple[Path, Card]]) -> list[str]:
    """Upload one after the other; those that failed, and why. When the server has gone, none is tried any more."""
    failed: list[str] = []
    gone: str | None = None
    for folder, card in waiting:
        reason = gone or wandb_run.upload(folder, card) or _without_teacher(folder)
        if reason is not None:
            failed.append(f"{card.name} ({folder}): {reason}")
            gone = gone or why_offline(PROBE_SECONDS)
    return failed


def _without_teacher(folder: Path) -> str | None:
    """Why a run that was uploaded does not say what it learned from, if that should be there."""
    missing = (records.note(folder) or {}).get("missing")
    return None if missing in (None, records.UNTRACKED) else f"uploaded, but its teacher is not said: {missing}"
