"""What the server has of a run folder, as a note in the folder says (`uploaded.json`), and what it lacks."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from compress import checked
from compress.checked import stored
from compress.errors import ConfigError
from compress.storage.files import write_json
from compress.tracking.run_record import FOLDER, RECORD, RunRecord

UPLOADED = "uploaded.json"
UNTRACKED = "its teacher was run without tracking"


@stored
class Upload:
    """What was uploaded of a run folder last: all that it holds."""

    url: str | None
    entity: str | None
    project: str | None
    rows: int  # of metrics.jsonl
    exit_code: int
    artifact: str | None = None  # the full name of the weights there
    lineage: str | None = None  # that of the teacher's weights which the run is said to use
    missing: str | None = "not known"  # why it is not said

    @staticmethod
    def read(folder: Path) -> Upload | None:
        """That of a run folder; None if the server lacks something, or nobody can tell."""
        try:
            return checked.read(Upload, folder / FOLDER / UPLOADED)
        except (OSError, ValueError):
            return None

    def write(self, folder: Path) -> None:
        """Put it into a run folder."""
        write_json(folder / FOLDER / UPLOADED, asdict(self))


def forget(folder: Path) -> None:
    """Note that the server does not have all of a run any more."""
    (folder / FOLDER / UPLOADED).unlink(missing_ok=True)


def is_tracked(folder: Path) -> bool:
    """Whether a run folder is of a tracked experiment."""
    return os.path.exists(folder / FOLDER / RECORD)


def is_behind(folder: Path) -> bool:
    """Whether a run folder is of a tracked experiment that the server does not have all of."""
    return is_tracked(folder) and Upload.read(folder) is None


def lacks_teacher(folder: Path) -> bool:
    """Whether the server has all of a run but what it learned from, which can be made up for."""
    upload = Upload.read(folder)
    if upload is None or upload.lineage or not upload.missing:
        return False
    try:
        record = RunRecord.read(folder)
    except ConfigError:
        return False
    teacher = None if record is None else teacher_folder(folder, record)
    return teacher is not None and is_tracked(teacher)


def teacher_folder(folder: Path, record: RunRecord) -> Path | None:
    """The run folder of a student's teacher, which has the same task, beside the student's own."""
    if record.uses is None:
        return None
    run_id = record.uses.rpartition(":")[2]
    return next(iter(sorted(folder.absolute().parents[2].glob(f"*/*/{run_id}"))), None)


def teachers_artifact(folder: Path, record: RunRecord) -> tuple[str | None, str]:
    """The full name of the weights that a student's teacher has on the server; else None, and why."""
    teacher = teacher_folder(folder, record)
    if teacher is None:
        return None, "its teacher is not in this folder of runs"
    if not is_tracked(teacher):
        return None, UNTRACKED
    if (upload := Upload.read(teacher)) is None:
        return None, "its teacher is not uploaded yet"
    return upload.artifact, "" if upload.artifact else "its teacher's weights are not uploaded yet"


def starts_anew(folder: Path, force: bool) -> bool:
    """Whether rows that the server may have are of an earlier training; `force`: the experiment is run again."""
    upload = Upload.read(folder)
    finished = upload is not None and upload.exit_code == 0
    try:
        earlier = RunRecord.read(folder)
    except ConfigError:
        return True
    unfinished = earlier is not None and earlier.anew and not finished
    return unfinished or ((force or finished) and not os.path.exists(folder / "checkpoint"))
