"""What an experiment *is*: the hash of everything that decides its result, and the folder that follows from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path

from compress.checked import default_of
from compress.config.memo import Memo
from compress.config.schema import DERIVED, Config, start_experiment, teacher_experiment
from compress.data import augmentation, corpus
from compress.methods.base import EnlargesData, LearnsFromTeacher
from compress.methods.registry import option_of
from compress.model import encoder
from compress.runs.result import SCHEMA
from compress.task.config import stated
from compress.training.loop import TrainConfig

# fields that cannot change a result; train.checkpoint_seconds is another
INFRASTRUCTURE = ("paths", "tracking", "resources", "device", "force", "hub_seconds")
FURTHER = ("further_epochs", "further_rate")  # which count where a training starts from a fine-tuned model


def scientific(config: Config, memo: Memo | None = None) -> dict[str, object]:
    """The full configuration without infrastructure; local files count by the digests of their contents.

    A disabled method does not count, so one that is added later changes no identity; a teacher counts by its run_id,
    and so does the finished model that a training starts from: `train` is how that was trained, `start` what follows.
    With a memo that configurations share, groups that they have in common are described, and files read, once.
    """
    memo = memo or Memo()
    values_of: dict[str, object] = {
        "model": memo(encoder.identity, config.model, config.data.generated),
        "data": memo(corpus.identity, config.data, config.task),
        "task": memo(stated, config.task),
        "train": memo(_training_with_head if config.model.start == "head" else _training, config.train),
    }
    if config.model.start == "finished":
        values_of["start"] = memo(_start, config, memo, by=tuple(_deciding(config).values()))
    for name, group in _deciding(config).items():
        values_of.setdefault(name, group if name == "seed" else memo(_values, group))
    methods = {name: _method(name, method, config, memo) for name, method in config.methods.items()}
    return {**values_of, **methods, "schema": SCHEMA}


def _values(group: object) -> dict[str, object]:
    """The values of a group's dataclass."""
    assert is_dataclass(group)
    assert not isinstance(group, type)
    return asdict(group)


def _deciding(config: Config) -> dict[str, object]:
    """The groups, and the seed, that decide a result."""
    names = (field.name for field in fields(config))
    return {name: getattr(config, name) for name in names if name not in (*INFRASTRUCTURE, *DERIVED)}


def _training(train: TrainConfig) -> dict[str, object]:
    """Of a tuned recipe what was tried: what was chosen for this cell stands under its own keys."""
    left_out = ("checkpoint_seconds", "tuned", *FURTHER)
    values = {key: value for key, value in asdict(train).items() if key not in left_out}
    if train.tuned is None:
        return values
    return values | {"tuned": {key: value for key, value in train.tuned.items() if key != "chosen"}}


def _training_with_head(train: TrainConfig) -> dict[str, object]:
    return _training(train.further())


def changed_further(train: TrainConfig) -> dict[str, object]:
    """What is not the default of how a fine-tuned model is trained further."""
    values = {f"train.{name}": getattr(train, name) for name in FURTHER}
    usual = {f"train.{field.name}": default_of(field) for field in fields(TrainConfig)}
    return {key: value for key, value in values.items() if value != usual[key]}


def _start(config: Config, memo: Memo) -> dict[str, object]:
    """The run of the finished model, and what is trained from there on."""
    start = run_id(start_experiment(config, memo), memo)
    return {"run": start, "epochs": config.train.further_epochs, "rate": config.train.further_rate}


def _method(name: str, method: object, config: Config, memo: Memo) -> dict[str, object]:
    """The values of a method and its version; a teacher and rewritten texts stand as what they come to.

    A value that its class has a default for was added later: while it is that, it does not count.
    """
    own, unstated = _own(method), unstated_values(method)
    values = {key: value for key, value in memo(_values, method).items() if key in own and key not in unstated}
    if isinstance(method, LearnsFromTeacher):  # its model is another, and it has no method
        shared = (part for part_name, part in _deciding(config).items() if part_name != "model")
        values["teacher"] = memo(_id_of_teacher, config, memo, by=(config.teacher, *shared))
    if isinstance(method, EnlargesData):
        values["augmentation"] = memo(_rewriting, config, by=(method, config.data, config.seed, config.paths))
        if method.steps != "enlarged" and method.copies:
            values["steps"] = method.steps
    version = option_of(name, method).version
    return values | ({"version": version} if version else {})


def _own(method: object) -> dict[str, object]:
    """The keys of a method that stand for themselves, with their defaults."""
    assert is_dataclass(method)
    kinds = (kind for kind in (LearnsFromTeacher, EnlargesData) if isinstance(method, kind))
    replaced = {field.name for kind in kinds for field in fields(kind)}
    return {field.name: default_of(field) for field in fields(method) if field.name not in replaced}


def unstated_values(method: object) -> dict[str, object]:
    """What an identity does not state of a method: values that are the defaults of keys that were added later."""
    return {key: default for key, default in _own(method).items() if getattr(method, key) == default}


def _rewriting(config: Config) -> dict[str, object] | None:
    rewriting = augmentation.of(config.methods, config.data, config.seed, config.paths.cache)
    return None if rewriting is None else rewriting.identity()


def _id_of_teacher(config: Config, memo: Memo) -> str:
    return run_id(teacher_experiment(config), memo)


def run_id(config: Config, memo: Memo | None = None) -> str:
    """12 hex digits of the SHA-256 over the canonical JSON of `scientific`."""
    memo = memo or Memo()
    values = scientific(config, memo)
    canonical = ",".join(f'"{name}":{memo(_canonical, values[name])}' for name in sorted(values))
    return hashlib.sha256(f"{{{canonical}}}".encode()).hexdigest()[:12]


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def run_folder(config: Config, memo: Memo | None = None) -> Path:
    """`<runs>/<task>/<model>/<methods>/<run_id>`; methods joined with `+`, or `none`."""
    name = "+".join(config.methods) or "none"
    folder = Path(config.paths.runs).expanduser() / config.task.name / encoder.label(config.model) / name
    return folder / run_id(config, memo)
