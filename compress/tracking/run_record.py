"""What a run folder says of W&B: how the run appears there (`card.json`), and what the server has (`uploaded.json`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from compress import checked
from compress.checked import stored
from compress.errors import ConfigError
from compress.runs.folder import TRACKING
from compress.runs.result import Head
from compress.storage.files import write_json
from compress.tracking import tracking_options, wandb_settings
from compress.tracking.tracking_options import TrackingConfig
from compress.tracking.wandb_client import AGENTS_RUN

FOLDER = TRACKING  # in a run folder; the client's own files are there too
NESTED = ("compression", "config", "identity")  # what of a run is sent as it is, beside the flat factors
RECORD = "card.json"  # written before the run starts, so that it can be sent later
UPLOADED = "uploaded.json"
UNTRACKED = "its teacher was run without tracking"


@dataclass(frozen=True)
class Names:
    run: str  # in the dashboard
    cell: str  # the run without its seed
    artifact: str  # its stored weights
    factors: dict[str, object]  # what experiments differ in, flat: the dashboard groups, filters and draws by these


@stored
class RunRecord:
    """What a run is before it starts."""

    run_id: str
    name: str
    project: str
    entity: str | None
    group: str
    job_type: str
    # flat factors, to group and filter by; the whole configuration below `config` and `identity`
    config: dict[str, object]
    logs: str | None  # name of the artifact that the weights become; None if they are not uploaded
    # the teacher's artifact, `name:run_id`, in whichever project the teacher is; None without a teacher
    uses: str | None
    seconds: float  # that the server may take to start a run, and again to finish it
    anew: bool = False  # the server may have rows of an earlier training; all are sent again, from the first
    tags: list[str] | None = None
    notes: str | None = None
    command: list[str] | None = None  # that asked for the experiment, and for others of its sweep
    agents_run: str | None = None  # the run's id in W&B, where an agent of a sweep there has asked for it
    sweep: str | None = None  # that sweep

    @property
    def wandb_id(self) -> str:
        """The run's id in W&B."""
        return self.agents_run or self.run_id

    @staticmethod
    def read(folder: Path) -> RunRecord | None:
        """That of a run folder; None if it was not tracked, ConfigError if it cannot be read here."""
        file = folder / FOLDER / RECORD
        try:
            return checked.read(RunRecord, file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ConfigError(
                f"{file}: damaged, or of another version ({error}); with force=true the experiment is run and tracked "
                "again; without the file it is one that was not tracked"
            ) from error

    def write(self, folder: Path) -> None:
        write_json(folder / FOLDER / RECORD, asdict(self))


def run_record(
    tracking: TrackingConfig,
    head: Head,
    names: Names,
    *,
    teaches: bool,
    uses: str | None,
    single: bool = False,
    anew: bool = False,
    command: Sequence[str] | None = None,
) -> RunRecord:
    """How an experiment appears in W&B: as the configuration says, else the environment, else W&B's settings files.

    `command`: that asked for it. `teaches`: a student of the same sweep learns from it. `uses`: its teacher's weights,
    `name:run_id`. `single`: it is asked for alone, so a name in the environment is meant for it; else that begins its
    name.
    """
    wanted = tracking.log_artifacts == "all" or (tracking.log_artifacts == "teachers" and teaches)
    given = wandb_settings.value_of("run_name")
    alone = single and not teaches
    name = names.run if given is None else given if alone else f"{given}-{names.run}"
    agent = wandb_settings.agent() if alone else None
    asked = {**agent.parameters, AGENTS_RUN: agent.run_id} if agent else {}
    return RunRecord(
        run_id=head.run_id,
        name=tracking_options.shortened(name),
        project=tracking_options.project_of(tracking),
        entity=tracking.entity or wandb_settings.value_of("entity"),
        group=tracking.group or wandb_settings.value_of("run_group") or names.cell,
        job_type=wandb_settings.value_of("run_job_type") or ("teacher" if teaches else "run"),
        config={**asked, **names.factors, **{key: asdict(head)[key] for key in NESTED}},
        logs=names.artifact if wanted else None,
        uses=None if tracking.log_artifacts == "none" else uses,
        seconds=tracking.seconds,
        anew=anew,
        tags=tracking.tags if tracking.tags is not None else _tags(wandb_settings.value_of("run_tags")),
        notes=tracking.notes if tracking.notes is not None else wandb_settings.value_of("run_notes"),
        command=None if command is None else list(command),
        agents_run=agent.run_id if agent else None,
        sweep=agent.sweep_id if agent else None,
    )


def _tags(given: str | None) -> list[str] | None:
    """As W&B reads WANDB_TAGS: between commas."""
    return None if given is None else [tag for tag in (word.strip() for word in given.split(",")) if tag]


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
        write_json(folder / FOLDER / UPLOADED, asdict(self))

    @staticmethod
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
