"""Upload to Weights & Biases what it does not have yet: runs that were offline, or that it was lost for."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from compress.errors import ConfigError
from compress.runs import result
from compress.runs.folder import METRICS, ExperimentLock
from compress.tracking.run_record import UNTRACKED, RunRecord, Upload, is_behind, lacks_teacher, teacher_folder
from compress.tracking.tracker import Tracker
from compress.tracking.wandb_client import PROBE_SECONDS, tear_down, why_offline


def _survey(runs: Path) -> tuple[dict[Path, RunRecord], Counter[str], list[str]]:
    """What the run folders say is to be uploaded, teachers first; how many others are what; why some are damaged."""
    waiting, others, damaged = dict[Path, RunRecord](), Counter[str](), list[str]()
    for folder in result.run_folders(runs):
        try:
            if (record := RunRecord.read(folder)) is None:
                others["were run without tracking"] += 1
            elif ExperimentLock(runs, record.run_id).taken():
                others["are running"] += 1
            elif is_behind(folder) or lacks_teacher(folder):
                waiting[folder] = record
            else:
                others["were there"] += 1
        except ConfigError as error:  # this one; the others go on
            damaged.append(str(error))
    teachers = _teachers_without_weights(runs, waiting)
    others["were there"] -= len(teachers.keys() - waiting.keys())
    students_last = sorted((waiting | teachers).items(), key=lambda pair: pair[1].uses is not None)
    return dict(students_last), others, damaged  # students refer to their teachers' weights


def _teachers_without_weights(runs: Path, students: Mapping[Path, RunRecord]) -> dict[Path, RunRecord]:
    """Teachers whose weights are wanted now, also where nobody learned from them when they were run."""
    teachers: dict[Path, RunRecord] = {}
    for folder, student in students.items():
        teacher = teacher_folder(folder, student)
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
    lines = [(sum(map(is_behind, ended)), "are not in W&B yet", "uploads them")]
    lines += [(sum(map(lacks_teacher, ended)), "lack their teacher in W&B", "adds it")]
    return [f"{count} {lack}: python -m launch sync {where}   {mends}" for count, lack, mends in lines if count]


def sync(runs: Path, project: str | None = None, entity: str | None = None) -> int:
    """Upload what waits, to another project or entity if given; 0 if all is there now. ConfigError without a server."""
    waiting, others, damaged = _survey(runs)
    failed: list[str] = []
    if waiting:
        try:
            if (reason := why_offline(PROBE_SECONDS)) is not None:
                raise ConfigError(f"W&B: {reason}; nothing was uploaded")
            failed = _upload_all({
                folder: replace(record, project=project or record.project, entity=entity or record.entity)
                for folder, record in waiting.items()
            })  # fmt: skip
        finally:
            tear_down()
    alone = sum(_missing(folder) == UNTRACKED for folder in waiting)
    counts = [f"{len(waiting) - len(failed)} uploaded", f"{others['were there']} were there"]
    counts += [f"{others[what]} {what}" for what in ("are running", "were run without tracking") if others[what]]
    counts += [f"{alone} without their teacher, which was"] if alone else []
    print(", ".join(counts))
    for line in (*failed, *damaged):
        print(f"not uploaded: {line}", file=sys.stderr)
    return 1 if failed or damaged else 0


def _upload_all(waiting: Mapping[Path, RunRecord]) -> list[str]:
    """Upload one after the other; those that failed, and why. When the server has gone, none is tried any more."""
    failed: list[str] = []
    gone: str | None = None
    for folder, record in tqdm(waiting.items(), unit="run", disable=not sys.stderr.isatty(), leave=False):
        reason = gone or _upload(folder, record)
        if reason is None and (missing := _missing(folder)) not in (None, UNTRACKED):
            reason = f"uploaded, but its teacher is not said: {missing}"
        if reason is not None:
            failed.append(f"{record.name} ({folder}): {reason}")
            gone = gone or why_offline(PROBE_SECONDS)
    return failed


def _upload(folder: Path, record: RunRecord) -> str | None:
    """Send what a run folder holds and the server does not have yet; what went wrong, if it did."""
    said: list[str] = []
    log, before = folder / METRICS, Upload.read(folder)
    rows = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    whole = before is not None and before.exit_code == 0  # only the lineage is missing, or the weights
    record = replace(record, anew=record.anew and not whole)
    tracker = Tracker(record, folder, rows, lambda message, **_: said.append(message))
    if (reason := tracker.connect_online()) is not None:
        return reason
    if (finished := result.read(folder, record.run_id)) is not None:
        tracker.finish(finished)
    elif (failure := result.failure(folder)) is not None:
        tracker.failed(failure)
    else:
        tracker.stopped()
    return None if tracker.done else said[-1]


def _missing(folder: Path) -> str | None:
    """Why a run that was uploaded does not say what it learned from."""
    upload = Upload.read(folder)
    return None if upload is None else upload.missing
