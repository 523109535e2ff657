"""The group `tracking`: whether experiments are told to Weights & Biases, and where to."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import Field

from compress import extras
from compress.checked import checked
from compress.errors import ConfigError, nearest
from compress.tracking import wandb_settings

PROJECT = "combining-compressions"  # where nobody says otherwise
FORBIDDEN = "/\\#?%:"  # in a project's name
LONGEST = 128  # characters of a project's, a run's or a group's name
DIGITS = 8  # of a hash in a name

Tag = Annotated[str, Field(min_length=1, max_length=64)]  # as W&B takes them
Mode = Literal["online", "offline", "disabled"]
MODES: dict[str, Mode] = {"online": "online", "run": "online", "shared": "online"}
MODES |= {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}
SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@checked
class TrackingConfig:
    """What is told to Weights & Biases; no part of an experiment's identity."""

    name: Literal["none", "wandb"] = Field(
        description="wandb: track runs in Weights & Biases; none: do not (write tracking=none)"
    )
    project: str | None = Field(
        description=f"W&B project; null: from WANDB_PROJECT or W&B's settings files, else {PROJECT}",
        min_length=1,
        max_length=LONGEST,
    )
    entity: str | None = Field(
        description="W&B user or team; null: from WANDB_ENTITY, else the API key's", min_length=1
    )
    group: str | None = Field(
        description="W&B group; null: from WANDB_RUN_GROUP, else the run's name without its seed", min_length=1
    )
    mode: Literal["auto", "online", "offline"] = Field(
        description="auto: from WANDB_MODE, WANDB_DISABLED or W&B's settings files, else online"
    )
    log_artifacts: Literal["all", "teachers", "none"] = Field(description="runs whose weights are uploaded")
    seconds: float = Field(
        description="seconds to wait for the server at the start of a run and at its end; then go on offline", gt=0
    )
    tags: list[Tag] | None = Field(default=None, description="W&B tags of each run; null: from WANDB_TAGS")
    notes: str | None = Field(default=None, description="W&B notes of each run; null: from WANDB_NOTES")


def check(tracking: TrackingConfig) -> None:
    """Refuse what W&B does not have, or its agent asks for in vain, by ConfigError, before anything is written."""
    if mode_of(tracking) != "disabled":
        if find_spec("wandb") is None:
            raise ConfigError(f"tracking={tracking.name}: {extras.missing('wandb')}, or give tracking=none")
        project_of(tracking)
        wandb_settings.agent()


def mode_of(tracking: TrackingConfig) -> Mode:
    """Whether and where to, before anybody has looked for a server; ConfigError if W&B's settings mean nothing here."""
    if tracking.name == "none":
        return "disabled"
    if tracking.mode != "auto":
        return tracking.mode
    if _is_disabled():
        return "disabled"
    mode, said = wandb_settings.setting("mode")
    if mode is None:
        return "online"
    if mode not in MODES:
        fix = f"{'unset' if said.startswith('WANDB_MODE=') else 'remove'} it or correct it"
        raise ConfigError(f"{said}: must be of online, offline, disabled{nearest(mode, MODES)}; {fix}")
    return MODES[mode]


def _is_disabled() -> bool:
    given = os.environ.get("WANDB_DISABLED") or "false"
    if given.lower() not in SWITCH:
        raise ConfigError(f"WANDB_DISABLED={given}: must be true or false; unset it or correct it")
    return SWITCH[given.lower()]


def project_of(tracking: TrackingConfig) -> str:
    """Where runs appear; ConfigError if W&B has no such names."""
    project, said = wandb_settings.setting("project")
    if tracking.project is not None:
        project, said = tracking.project, f"tracking.project={tracking.project}"
    project = project or PROJECT
    if set(project) & set(FORBIDDEN):
        raise ConfigError(f"{said}: must have none of {' '.join(FORBIDDEN)}")
    if len(project) > LONGEST:
        raise ConfigError(f"{said}: must have at most {LONGEST} characters")
    return project


def shortened(name: str, longest: int = LONGEST) -> str:
    """A name that is not too long: a hash of all of it stands for its end."""
    return name if len(name) <= longest else f"{name[: longest - DIGITS - 1]}-{digest(name)}"


def digest(value: object) -> str:
    """A few hex digits that stand for what is too long to be written out."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGITS]
