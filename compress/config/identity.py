"""What an experiment *is*: the hash of everything that decides its result, and the folder that follows from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.config.schema import DERIVED, Once, teacher_experiment
from compress.data import augmentation, corpus
from compress.methods.base import EnlargesData, LearnsFromTeacher
from compress.model import encoder
from compress.runs.result import SCHEMA

if TYPE_CHECKING:
    from compress.config.schema import Config
    from compress.training.loop import TrainConfig

# where and whether, never what; so train.checkpoint_seconds
INFRASTRUCTURE = ("paths", "tracking", "resources", "device", "force", "hub_seconds")


def scientific(config: Config, once: Once | None = None) -> dict[str, object]:
    """The full configuration without infrastructure; local files stand as digests of their contents.

    A method that is off does not count, so one that is added later changes no identity. A teacher counts by its own.

    Args:
        once: shared between configurations that have groups in common, it describes these, and reads their files, once.
    """
    once = once or Once()
    special = {
        "model": once(encoder.identity, config.model, config.data.builds_vocabulary),
        "data": once(corpus.identity, config.data, config.task),
        "train": once(_training, config.train),
    }
    plain = {
        name: special[name] if name in special else once(asdict, part) if is_dataclass(part) else part
        for name, part in _parts(config).items()
    }
    return plain | {name: _method(own, config, once) for name, own in config.methods.items()} | {"schema": SCHEMA}


def _parts(config: Config) -> dict[str, object]:
    names = (field.name for field in fields(config))
    return {name: getattr(config, name) for name in names if name not in (*INFRASTRUCTURE, *DERIVED)}


def _training(train: TrainConfig) -> dict[str, object]:
    return {key: value for key, value in asdict(train).items() if key != "checkpoint_seconds"}


def _method(method: object, config: Config, once: Once) -> dict[str, object]:
    """The values of a method; a teacher and rewritten texts stand as what they come to."""
    kinds = (kind for kind in (LearnsFromTeacher, EnlargesData) if isinstance(method, kind))
    replaced = {field.name for kind in kinds for field in fields(kind)}
    if not replaced:
        return once(asdict, method)
    values = {key: value for key, value in asdict(method).items() if key not in replaced}
    if isinstance(method, LearnsFromTeacher):
        values["teacher"] = _teacher_id(config, once)
    if isinstance(method, EnlargesData):
        values["augmentation"] = once(_rewriting, config, by=(method, config.data, config.seed))
    return values


def _rewriting(config: Config) -> dict[str, object] | None:
    asked = augmentation.of(config.methods, config.data, config.seed)
    return None if asked is None else asked.identity()


def _teacher_id(config: Config, once: Once) -> str:
    """The teacher's identity; its model is another, and it has no method."""
    shared = (part for name, part in _parts(config).items() if name != "model")
    return once(_id_of_teacher, config, once, by=(config.teacher, *shared))


def _id_of_teacher(config: Config, once: Once) -> str:
    return run_id(teacher_experiment(config), once)


def run_id(config: Config, once: Once | None = None) -> str:
    """12 hex digits of the SHA-256 over the canonical JSON of `scientific`."""
    once = once or Once()
    parts = scientific(config, once)
    canonical = ",".join(f'"{name}":{once(_canonical, parts[name])}' for name in sorted(parts))
    return hashlib.sha256(f"{{{canonical}}}".encode()).hexdigest()[:12]


def _canonical(part: object) -> str:
    return json.dumps(part, sort_keys=True, separators=(",", ":"), allow_nan=False)


def run_folder(config: Config, once: Once | None = None) -> Path:
    """`<runs>/<task>/<model>/<methods>/<run_id>`; methods joined with `+`, or `none`."""
    name = "+".join(config.methods) or "none"
    folder = Path(config.paths.runs).expanduser() / config.task.name / encoder.label(config.model) / name
    return folder / run_id(config, once)
