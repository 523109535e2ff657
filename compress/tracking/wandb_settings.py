"""What this user's environment and W&B's settings files ask of a run, read as W&B's client reads them.

`wandb offline`, `wandb disabled` and `wandb init` write `wandb/settings` in the current folder; it counts more than
`~/.config/wandb/settings`, and the environment more than both. An empty variable is as good as none.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from compress.errors import ConfigError, first_line

VARIABLES = {
    "mode": "WANDB_MODE",
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "run_group": "WANDB_RUN_GROUP",
    "run_name": "WANDB_NAME",
    "run_job_type": "WANDB_JOB_TYPE",
    "run_tags": "WANDB_TAGS",
    "run_notes": "WANDB_NOTES",
}
# what makes a run another one: an agent's or a launched job's, one that goes on from others, or has their configuration
FOREIGN = {
    "run_id": "WANDB_RUN_ID",
    "sweep_id": "WANDB_SWEEP_ID",
    "sweep_param_path": "WANDB_SWEEP_PARAM_PATH",
    "resume": "WANDB_RESUME",
    "resume_from": "WANDB_RESUME_FROM",
    "fork_from": "WANDB_FORK_FROM",
    "launch": "WANDB_LAUNCH",
    "launch_config_path": "WANDB_LAUNCH_CONFIG_PATH",
    "config_paths": "WANDB_CONFIG_PATHS",
}


AGENTS = ("run_id", "sweep_id", "sweep_param_path")  # of these: an agent's


def setting(key: str) -> tuple[str | None, str]:
    """A setting by the client's name for it, one of `VARIABLES`, if there is one; and where: `WANDB_MODE=offline`."""
    if value := os.environ.get(VARIABLES[key]):
        return value, f"{VARIABLES[key]}={value}"
    for file in reversed(files()):  # the last counts most
        if value := values_in(file).get(key):
            return value, f"{file}: {key}={value}"
    return None, ""


def value_of(key: str) -> str | None:
    """As `setting`, the value alone."""
    return setting(key)[0]


def files() -> list[Path]:
    """W&B's settings files, whether they are there or not: this user's, then that of the current folder."""
    of_user = []
    with suppress(RuntimeError):  # there is no home
        above = os.environ.get("WANDB_CONFIG_DIR") or Path("~", ".config", "wandb")
        of_user.append(Path(above).expanduser() / "settings")
    return [*of_user, Path(".wandb" if os.path.exists(".wandb") else "wandb", "settings")]


def problems() -> list[str]:
    """A sentence for each settings file that cannot be read; it counts for nothing, for the client too."""
    return [problem for file in files() if (problem := _read(file)[1])]


def foreign(*, of_agent: bool) -> list[str]:
    """Variables that would make a run another one, and are not heeded; those of an agent are if it is the agent's."""
    heeded = {FOREIGN[key] for key in AGENTS} if of_agent else set()
    return [name for name in FOREIGN.values() if os.environ.get(name) and name not in heeded]


@dataclass(frozen=True)
class Agent:
    """What `wandb agent` asks of the process that it starts: to be this run, of this sweep, with these parameters."""

    run_id: str
    sweep_id: str
    parameters: dict[str, object]


def agent() -> Agent | None:
    """The agent that has started this process, if one has; ConfigError if its file of parameters cannot be read."""
    run_id, sweep_id = (os.environ.get(FOREIGN[key]) for key in ("run_id", "sweep_id"))
    if not (run_id and sweep_id):
        return None
    file = os.environ.get(FOREIGN["sweep_param_path"])
    try:
        said = yaml.safe_load(Path(file).read_text(encoding="utf-8")) if file else {}
        values = {key: entry["value"] for key, entry in said.items() if isinstance(entry, dict)}
    except (OSError, ValueError, AttributeError, KeyError, yaml.YAMLError) as error:
        fix = "unset WANDB_SWEEP_ID and WANDB_RUN_ID if no agent of W&B is at work"
        raise ConfigError(
            f"{FOREIGN['sweep_param_path']}={file}: cannot be read ({first_line(error)}); {fix}"
        ) from error
    return Agent(run_id, sweep_id, values)


def client_folder() -> Path | None:
    """Where the client's own files are wanted, WANDB_DIR."""
    given = os.environ.get("WANDB_DIR")
    return Path(given).expanduser().absolute() if given else None


@contextmanager
def without_foreign() -> Iterator[None]:
    """Hide from the client what is not heeded, what is empty, and what it is told otherwise."""
    replaced = {*FOREIGN.values(), *VARIABLES.values(), "WANDB_DIR"} - {VARIABLES["entity"]}
    ours = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
    hidden = {name: value for name, value in ours.items() if name in replaced or not value}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def values_in(file: Path) -> dict[str, str]:
    """What a settings file says; nothing if it is not there, or damaged."""
    return _read(file)[0]


def _read(file: Path) -> tuple[dict[str, str], str | None]:
    """A file's settings, none where it is not there; what is wrong with it, if something is."""
    parser = configparser.ConfigParser()
    try:
        with file.open(encoding="utf-8") as stream:
            parser.read_file(stream)
        return dict(parser.items("default")) if parser.has_section("default") else {}, None
    except (FileNotFoundError, NotADirectoryError):
        return {}, None
    except (OSError, ValueError, configparser.Error) as error:
        cause = " ".join(str(error).split())
        return {}, f"{file} cannot be read and counts for nothing ({cause}); correct it, or remove it"
