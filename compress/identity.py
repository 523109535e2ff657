"""What an experiment *is*: the hash of everything that decides its result, and the folder that follows from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress import augment, data, model
from compress.config import DERIVED, teacher_experiment
from compress.methods import GROUPS

if TYPE_CHECKING:
    from compress.config import Config

SCHEMA = 1
INFRASTRUCTURE = ("paths", "device", "force")  # where and whether, never what; so train.checkpoint_seconds


def scientific(config: Config) -> dict[str, Any]:
    """The full configuration without infrastructure; local files stand as digests of their contents.

    Of a method that is off nothing else counts; a teacher counts by its own identity.
    """
    known = {key: value for key, value in asdict(config).items() if key not in (*INFRASTRUCTURE, *DERIVED)}
    del known["train"]["checkpoint_seconds"]
    known["model"] = model.identity(config.model, config.data.builds_vocabulary)
    known |= {group: {"name": "none"} for group in GROUPS if known[group]["name"] == "none"}
    if config.distill.name != "none":
        augmentation = augment.of(config)
        known["distill"] = {key: known["distill"][key] for key in ("name", "temperature", "alpha")}
        known["distill"] |= {"teacher": run_id(teacher_experiment(config))}
        known["distill"] |= {"augmentation": augmentation and augmentation.identity()}
    known["data"] = data.identity(config.data, config.task)
    return known | {"schema": SCHEMA}


def run_id(config: Config) -> str:
    """12 hex digits of the SHA-256 over the canonical JSON of `scientific`."""
    canonical = json.dumps(scientific(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def methods(config: Config) -> list[str]:
    """Names of the active method groups, in their fixed order."""
    return [group for group in GROUPS if getattr(config, group).name != "none"]


def run_folder(config: Config) -> Path:
    """`<runs>/<task>/<model>/<methods>/<run_id>`; methods joined with `+`, or `none`."""
    name = "+".join(methods(config)) or "none"
    return Path(config.paths.runs).expanduser() / config.task.name / model.label(config.model) / name / run_id(config)
