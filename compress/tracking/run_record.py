"""How a run appears in W&B, written down in its folder before it starts (`card.json`), so that it can be sent later."""

from __future__ import annotations

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

FOLDER = TRACKING  # in a run folder; the client's own files are there too
NESTED = ("compression", "config", "identity")  # what of a run is sent as it is, beside the flat factors
RECORD = "card.json"


@dataclass(frozen=True)
class Names:
    """What a run is called."""

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

    @staticmethod
    def read(folder: Path) -> RunRecord | None:
        """That of a run folder; None without one, of an experiment that was not tracked.

        Raises:
            ConfigError: it is damaged, may not be read, or a newer version has written it.
        """
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
        """Put it into a run folder."""
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
) -> RunRecord:
    """How an experiment appears in W&B: as the configuration says, else the environment, else W&B's settings files.

    Args:
        teaches: whether a student of the same sweep learns from it.
        uses: `name:run_id` of its teacher's weights; None without a teacher.
        single: it was asked for alone, so a name in the environment is meant for it; else that begins its name.
    """
    wanted = tracking.log_artifacts == "all" or (tracking.log_artifacts == "teachers" and teaches)
    given = wandb_settings.value_of("run_name")
    name = names.run if given is None else given if single and not teaches else f"{given}-{names.run}"
    return RunRecord(
        run_id=head.run_id,
        name=tracking_options.shortened(name),
        project=tracking_options.project_of(tracking),
        entity=tracking.entity or wandb_settings.value_of("entity"),
        group=tracking.group or wandb_settings.value_of("run_group") or names.cell,
        job_type=wandb_settings.value_of("run_job_type") or ("teacher" if teaches else "run"),
        config={**names.factors, **{key: asdict(head)[key] for key in NESTED}},
        logs=names.artifact if wanted else None,
        uses=None if tracking.log_artifacts == "none" else uses,
        seconds=tracking.seconds,
        anew=anew,
    )
