"""Upload to Weights & Biases what it does not have yet: runs that were offline, or that it was lost for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from compress.errors import ConfigError
from compress.runs import result
from compress.runs.folder import ExperimentLock
from compress.tracking import uploads, wandb_run
from compress.tracking.run_record import RunRecord
from compress.tracking.uploads import Upload
from compress.tracking.wandb_client import PROBE_SECONDS, tear_down, why_offline


@dataclass
class Pending:
    """What there is to upload of a folder of runs."""

    # runs to be uploaded, teachers first; also those of which only the teacher, or the weights, are lacking
    waiting: list[tuple[Path, RunRecord]] = field(default_factory=list)
    uploaded: int = 0  # how many need not be
    running: int = 0
    untracked: int = 0
    damaged: list[str] = field(default_factory=list)  # a sentence for each whose record cannot be read


def survey(runs: Path) -> Pending:
    """What there is to upload; nobody is asked but the run folders."""
    pending = Pending()
    for folder in result.run_folders(runs):
        try:
            _sort_in(pending, runs, folder)
        except ConfigError as error:  # this one; the others go on
            pending.damaged.append(str(error))
    waiting = dict(pending.waiting)
    teachers = _teachers_without_weights(runs, pending.waiting)
    pending.uploaded -= len(teachers.keys() - waiting.keys())
    pending.waiting = list((waiting | teachers).items())
    pending.waiting.sort(key=lambda pair: pair[1].uses is not None)  # students refer to their teachers' weights
    return pending


def _sort_in(pending: Pending, runs: Path, folder: Path) -> None:
    record = RunRecord.read(folder)
    if record is None:
        pending.untracked += 1
    elif ExperimentLock(runs, record.run_id).taken():
        pending.running += 1
    elif uploads.is_behind(folder) or uploads.lacks_teacher(folder):
        pending.waiting.append((folder, record))
    else:
        pending.uploaded += 1


def _teachers_without_weights(runs: Path, students: Iterable[tuple[Path, RunRecord]]) -> dict[Path, RunRecord]:
    """Teachers whose weights are wanted now, also where nobody learned from them when they were run."""
    teachers: dict[Path, RunRecord] = {}
    for folder, student in students:
        teacher = uploads.teacher_folder(folder, student)
        upload = None if teacher is None else Upload.read(teacher)
        if teacher is not None and (upload is None or not upload.artifact):
            teacher = runs / teacher.relative_to(runs.absolute())
            record = RunRecord.read(teacher)
            if record is not None and not ExperimentLock(runs, record.run_id).taken():
                teachers[teacher] = replace(record, logs=str(student.uses).rpartition(":")[0])
    return teachers


def reminder(runs: Path, folders: Iterable[Path]) -> list[str]:
    """A line for people if of some run folders, of ended experiments, the server lacks something."""
    ended, where = list(folders), shlex.quote(str(runs))
    lines = [(sum(map(uploads.is_behind, ended)), "are not in W&B yet", "uploads them")]
    lines += [(sum(map(uploads.lacks_teacher, ended)), "lack their teacher in W&B", "adds it")]
    return [f"{count} {lack}: python -m launch sync {where}   {mends}" for count, lack, mends in lines if count]


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
    pending = survey(runs)
    failed: list[str] = []
    if pending.waiting:
        try:
            _require_server()
            failed = _upload_all((folder, replace(record, project=project or record.project,
                                                  entity=entity or record.entity))
                                 for folder, record in _with_bar(pending.waiting))  # fmt: skip
        finally:
            tear_down()
    alone = sum(_missing(folder) == uploads.UNTRACKED for folder, _ in pending.waiting)
    counts = [f"{len(pending.waiting) - len(failed)} uploaded", f"{pending.uploaded} were there"]
    counts += [f"{pending.running} are running"] if pending.running else []
    counts += [f"{pending.untracked} were run without tracking"] if pending.untracked else []
    counts += [f"{alone} without their teacher, which was"] if alone else []
    print(", ".join(counts))
    for line in (*failed, *pending.damaged):
        print(f"not uploaded: {line}", file=sys.stderr)
    return 1 if failed or pending.damaged else 0


def _require_server() -> None:
    if (reason := why_offline(PROBE_SECONDS)) is not None:
        raise ConfigError(f"W&B: {reason}; nothing was uploaded")


def _with_bar(waiting: list[tuple[Path, RunRecord]]) -> Iterable[tuple[Path, RunRecord]]:
    return tqdm(waiting, unit="run", disable=not sys.stderr.isatty(), leave=False)


def _upload_all(waiting: Iterable[tuple[Path, RunRecord]]) -> list[str]:
    """Upload one after the other; those that failed, and why. When the server has gone, none is tried any more."""
    failed: list[str] = []
    gone: str | None = None
    for folder, record in waiting:
        reason = gone or wandb_run.upload(folder, record) or _without_teacher(folder)
        if reason is not None:
            failed.append(f"{record.name} ({folder}): {reason}")
            gone = gone or why_offline(PROBE_SECONDS)
    return failed


def _missing(folder: Path) -> str | None:
    """Why a run that was uploaded does not say what it learned from."""
    upload = Upload.read(folder)
    return None if upload is None else upload.missing


def _without_teacher(folder: Path) -> str | None:
    """The same as a sentence, if it should say so."""
    missing = _missing(folder)
    return None if missing in (None, uploads.UNTRACKED) else f"uploaded, but its teacher is not said: {missing}"
