"""What a run folder knows of W&B: the card, how the run appears there, and the note that all of it does."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from compress.errors import ConfigError
from compress.runs.folder import TRACKING
from compress.runs.result import Head
from compress.storage.files import write_json
from compress.tracking import tracking_options, wandb_settings
from compress.tracking.tracking_options import TrackingConfig

FOLDER = TRACKING  # in a run folder; the client's own files are there too
NESTED = ("compression", "config", "identity")  # what of a run is sent as it is, beside the flat factors
CARD, UPLOADED = "card.json", "uploaded.json"
UNTRACKED = "its teacher was run without tracking"


@dataclass(frozen=True)
class Names:
    """What a run is called.

    Attributes:
        run: in the dashboard.
        cell: the run without its seed.
        artifact: its stored weights.
        factors: what experiments differ in, flat: the dashboard groups, filters and draws by these.
    """

    run: str
    cell: str
    artifact: str
    factors: dict[str, object]


@dataclass(frozen=True)
class Card:
    """What a run is before it starts, in a form that can be sent later.

    Attributes:
        config: flat factors, to group and filter by; the whole configuration below `config` and `identity`.
        logs: name of the artifact that the weights become; None if they are not uploaded.
        uses: the teacher's artifact, `name:run_id`, in whichever project the teacher is; None without a teacher.
        seconds: that the server may take to start a run, and again to finish it.
        anew: the server may have rows of an earlier training; all are sent again, from the first.
    """

    run_id: str
    name: str
    project: str
    entity: str | None
    group: str
    job_type: str
    config: dict[str, object]
    logs: str | None
    uses: str | None
    seconds: float
    anew: bool = False

    @staticmethod
    def read(folder: Path) -> Card | None:
        """That of a run folder; None without one, of an experiment that was not tracked.

        Raises:
            ConfigError: it is damaged, may not be read, or a newer version has written it.
        """
        file = folder / FOLDER / CARD
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            return _card_of(values)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise ConfigError(
                f"{file}: damaged, or of another version ({str(error).splitlines()[0]}); with force=true the "
                "experiment is run and tracked again; without the file it is one that was not tracked"
            ) from error

    def write(self, folder: Path) -> None:
        """Put it into a run folder."""
        write_json(folder / FOLDER / CARD, asdict(self))


def _card_of(values: object) -> Card:
    """Raises TypeError for what is no card."""
    if not isinstance(values, dict):
        raise TypeError("it holds no fields")
    if strange := sorted(set(values) - {field.name for field in fields(Card)}):
        raise TypeError(f"unknown field {strange[0]}")
    made = Card(**values)
    kinds: dict[str, type | tuple[type, ...]] = {"config": dict, "seconds": (int, float)}
    kinds |= dict.fromkeys(("run_id", "name", "project", "group", "job_type"), str)
    for name, kind in kinds.items():
        if not isinstance(getattr(made, name), kind):
            raise TypeError(f"{name} is {json.dumps(getattr(made, name))[:40]}")
    return made


def card(
    settings: TrackingConfig,
    head: Head,
    names: Names,
    *,
    teaches: bool,
    uses: str | None,
    single: bool = False,
    anew: bool = False,
) -> Card:
    """How an experiment appears in W&B: as the configuration says, else the environment, else W&B's settings files.

    Args:
        teaches: whether a student of the same sweep learns from it.
        uses: `name:run_id` of its teacher's weights; None without a teacher.
        single: it was asked for alone, so a name in the environment is meant for it; else that begins its name.
    """
    wanted = settings.log_artifacts == "all" or (settings.log_artifacts == "teachers" and teaches)
    given = wandb_settings.value_of("run_name")
    name = names.run if given is None else given if single and not teaches else f"{given}-{names.run}"
    return Card(
        run_id=head.run_id,
        name=tracking_options.shortened(name),
        project=tracking_options.project_of(settings),
        entity=settings.entity or wandb_settings.value_of("entity"),
        group=settings.group or wandb_settings.value_of("run_group") or names.cell,
        job_type=wandb_settings.value_of("run_job_type") or ("teacher" if teaches else "run"),
        config={**names.factors, **{key: asdict(head)[key] for key in NESTED}},
        logs=names.artifact if wanted else None,
        uses=None if settings.log_artifacts == "none" else uses,
        seconds=settings.seconds,
        anew=anew,
    )


# --- what the server has ----------------------------------------------------------------------------------------------


def note(folder: Path) -> dict[str, object] | None:
    """What was uploaded of a run folder last; None if the server lacks something, or nobody can tell.

    Its fields: `url`, `entity`, `project`, `rows`, `exit_code`; `artifact`, the full name of the weights there;
    `lineage`, that of the teacher's weights which the run is said to use; `missing`, why it is not said.
    """
    try:
        found = json.loads((folder / FOLDER / UPLOADED).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def is_behind(folder: Path) -> bool:
    """Whether a run folder is of a tracked experiment that the server does not have all of."""
    return os.path.exists(folder / FOLDER / CARD) and note(folder) is None


def lacks_teacher(folder: Path) -> bool:
    """Whether the server has all of a run but what it learned from, which can be made up for."""
    there = note(folder)
    if there is None or there.get("lineage") or not there.get("missing", "not known"):
        return False
    try:
        own = Card.read(folder)
    except ConfigError:
        return False
    taught = None if own is None else teacher_folder(folder, own)
    return taught is not None and os.path.exists(taught / FOLDER / CARD)


def teacher_folder(folder: Path, card: Card) -> Path | None:
    """The run folder of a student's teacher, which has the same task, beside the student's own."""
    if card.uses is None:
        return None
    run_id = card.uses.rpartition(":")[2]
    return next(iter(sorted(folder.absolute().parents[2].glob(f"*/*/{run_id}"))), None)


def teachers_artifact(folder: Path, card: Card) -> tuple[str | None, str]:
    """The full name of the weights that a student's teacher has on the server; else None, and why."""
    taught = teacher_folder(folder, card)
    if taught is None:
        return None, "its teacher is not in this folder of runs"
    if not os.path.exists(taught / FOLDER / CARD):
        return None, UNTRACKED
    if (there := note(taught)) is None:
        return None, "its teacher is not uploaded yet"
    artifact = there.get("artifact")
    return artifact, "" if artifact else "its teacher's weights are not uploaded yet"


def starts_anew(folder: Path, force: bool) -> bool:
    """Whether rows that the server may have of an experiment are of an earlier training than the one that starts.

    Args:
        force: the experiment is run again although it may be finished.
    """
    there = note(folder)
    finished = there is not None and there.get("exit_code") == 0
    try:
        earlier = Card.read(folder)
    except ConfigError:
        return True
    unfinished = earlier is not None and earlier.anew and not finished
    return unfinished or ((force or finished) and not os.path.exists(folder / "checkpoint"))
