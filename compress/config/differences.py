"""What of an experiment is not as its options say: the part of its name that tells it from the study's own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from compress.checked import build
from compress.config import identity
from compress.config.conf_files import conf_folders, option_values
from compress.config.schema import document, from_mapping
from compress.data.corpus import DataConfig
from compress.errors import ConfigError
from compress.methods import registry
from compress.methods.base import EnlargesData, LearnsFromTeacher
from compress.model import encoder
from compress.model.encoder import ModelConfig
from compress.runs.result import Head
from compress.tracking.tracking_options import digest

USUAL = {"data": "glue", "train": "paper"}  # the study's options of groups that no part of a name stands for
SHORT = {"learning_rate": "lr"}


def differences(head: Head) -> list[str]:
    """`key=value` of each setting that is not what the options say, in order."""
    settings, usual = _settings(head.config, head.identity), _usual_settings(head)
    changed = {key: value for key, value in settings.items() if key not in usual or usual[key] != value}
    if settings.get("data.path") is not None:  # which stands for these
        changed = {key: value for key, value in changed.items() if key not in ("data.hub", "data.revision")}
    for group in ("model", "task"):
        if _option_of(head, group) is None:  # all of it is as somebody else has it
            changed = {key: value for key, value in changed.items() if not key.startswith(f"{group}.")}
            changed[group] = head.identity[group]
    names = _short_names({*settings, *changed})
    return sorted(f"{names[key]}={as_text(value)}" for key, value in changed.items())


def _settings(config: Mapping[str, Any], identity: Mapping[str, object]) -> dict[str, object]:
    """All that decides a result but the seed and what a cell's name begins with, dotted."""
    groups = {name: group for name, group in identity.items() if name not in ("seed", "schema")}
    methods = registry.read_all(config)
    left_out = {"model.name", "task.name", *(f"{group}.name" for group in methods)}
    for group, option in registry.options_of(methods).items():
        left_out |= {f"{group}.{option.strength}"}
    settings = {key: value for key, value in flat(groups).items() if key not in left_out | derived(methods)}
    if isinstance(teacher := config.get("teacher"), Mapping):
        settings["teacher"] = _teachers_name(config, teacher)
    if (enlarges := registry.the_one(methods, EnlargesData)) is not None:
        settings[f"{registry.group_of(methods, enlarges)}.copies"] = enlarges.copies
    return settings


def derived(methods: registry.Active) -> set[str]:
    """Parts of an identity that follow from the seed, or that `copies` tells."""
    learning = [group for group, method in methods.items() if isinstance(method, LearnsFromTeacher)]
    enlarging = [f"{group}.augmentation" for group, method in methods.items() if isinstance(method, EnlargesData)]
    return {*(f"{group}.teacher" for group in learning), *enlarging,
            *(f"{name}.{key}" for name in enlarging for key in ("seed", "copies"))}  # fmt: skip


def _teachers_name(config: Mapping[str, Any], teacher: Mapping[str, object]) -> object:
    """The name of a teacher that is as its option says; of another all that its answers depend on."""
    data = build(DataConfig, config["data"], "data.")
    name, described = str(teacher["name"]), _described(data, teacher)
    option = _option("model", [f"{data.source}/{name}", name])
    return name if option is not None and _described(data, option) == described else described


def _described(data: DataConfig, values: Mapping[str, object]) -> dict[str, object]:
    model = build(ModelConfig, values, "teacher.")
    return {**encoder.identity(model, data.generated), "learning_rate": model.learning_rate}


def _usual_settings(head: Head) -> dict[str, object]:
    """`_settings` as the options say: those of the model, the task and the methods, and the study's of all else."""
    values = _usual_values(head)
    methods = registry.read_all(values)
    enlarges = registry.the_one(methods, EnlargesData)
    if enlarges is None:
        return _of_values(values, head.config["data"]["max_length"])
    group = registry.group_of(methods, enlarges)
    for tried in (enlarges.copies, 0):
        try:
            tried_values = {**values, group: {**values[group], "copies": tried}}
            usual = _of_values(tried_values, head.config["data"]["max_length"])
            return usual | {f"{group}.copies": enlarges.copies}
        except ConfigError:  # there is no WordNet to look synonyms up in
            continue
    return {}


def _of_values(values: Mapping[str, Any], max_length: int) -> dict[str, object]:
    """`_settings` of a configuration.

    Args:
        max_length: that the model takes, which may be less than the configuration's.
    """
    fitting = from_mapping({**values, "data": {**values["data"], "max_length": max_length}})
    settings = _settings(document(fitting), identity.scientific(fitting))
    return settings | {"data.max_length": values["data"]["max_length"]}


def _usual_values(head: Head) -> dict[str, Any]:
    """The configuration that the options make; of a model and a task that none describes their own values."""
    config = head.config
    source = config["data"]["source"]
    values = {**config, "teacher": None, "force": False}
    values |= {group: _option_of(head, group) or config[group] for group in ("model", "task")}
    values["data"] = _option("data", [source]) or config["data"]
    rate = (_option_of(head, "model") or _option("model", ["pretrained"]) or config["model"])["learning_rate"]
    values["train"] = {**(_option("train", [source, USUAL["train"]]) or config["train"]), "learning_rate": rate}
    for group in head.methods:
        values[group] = _option(group, [config[group]["name"]]) or config[group]
    return values


def _option_of(head: Head, group: str) -> Mapping[str, object] | None:
    names = {"model": [f"{head.config['data']['source']}/{head.model}", head.model], "task": [head.task]}
    return _option(group, names[group])


def _option(group: str, names: Iterable[str]) -> Mapping[str, object] | None:
    """The values of the first of these options that there is."""
    return next((values for name in names if (values := _values_of(group, name)) is not None), None)


@cache
def _values_of(group: str, name: str) -> Mapping[str, object] | None:
    try:
        return option_values(conf_folders(), group, name)
    except ConfigError:
        return None


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """Dotted key -> its last part, if no other key ends in it."""
    last = {key: key.rpartition(".")[2] for key in keys}
    taken = Counter([*last.values(), "seed"])  # which is the experiment's own
    return {key: SHORT.get(name, name) if taken[name] == 1 else key for key, name in last.items()}


def as_text(value: object) -> str:
    """A value, exactly: `1e-3`, `0.4`, `true`; a hash of what has no short form."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    return value if isinstance(value, str) and re.fullmatch(r"\w{1,16}", value) else digest(value)


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    plain = repr(value)
    if "e" not in plain and abs(value) >= 0.01:
        return plain
    shortest = next(text for places in range(18) if float(text := f"{value:.{places}e}") == value)
    digits, _, power = shortest.partition("e")
    return f"{digits}e{int(power)}"


def flat(document: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested values by their dotted keys."""
    values: dict[str, object] = {}
    for key, value in document.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return values
