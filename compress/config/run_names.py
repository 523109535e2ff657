"""What a run, its group and its weights are called in W&B; the name follows from the configuration alone.

A cell is an experiment without its seed: task, model and methods, and every setting that differs from what its options
say, so that two cells never share a name, and seeds of one cell always do. Cells of the default study are called
`rte-mini-quantize+distill`; another learning rate makes `rte-mini-quantize+distill-lr=1e-3` of it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from compress.checked import build
from compress.config import identity
from compress.config.conf_files import conf_folders, option_values
from compress.config.identity import changed_further, unstated_values
from compress.config.schema import document, flat, from_mapping, own_training, typed
from compress.data.corpus import DataConfig
from compress.errors import ConfigError
from compress.methods import registry
from compress.methods.base import EnlargesData, LearnsFromTeacher
from compress.model import encoder
from compress.model.encoder import ModelConfig
from compress.runs.result import Head
from compress.storage.repositories import local_folder, looks_like_path
from compress.task.config import TaskConfig, unstated
from compress.tracking.run_record import Names
from compress.tracking.tracking_options import LONGEST, digest, shortened
from compress.training.loop import TrainConfig

ROOM = 24  # characters for the seed, behind a cell's name
USUAL = {"data": "glue", "train": "paper"}  # the study's options of groups that no part of a name stands for
SHORT = {"learning_rate": "lr"}


def factors(head: Head) -> dict[str, object]:
    """What the dashboard groups, filters and draws by, flat; a method that is off is `none`, and its strength is 0."""
    options = dict.fromkeys(registry.registry(), registry.OFF)
    options |= {method.method: method.option for method in head.compression}
    strengths: dict[str | None, float | None] = {
        option.strength: 0.0 for same in registry.registry().values() for option in same.values()
    }
    strengths |= {method.strength: method.value for method in head.compression}
    plain = {key: value for key, value in _changed(head).items()
             if "." not in key and isinstance(value, str | int | float)}  # fmt: skip
    return {
        **plain,
        **_flat_settings(head),
        **{key: getattr(head, key) for key in ("model", "task", "seed", "run_id", "schema")},
        "data": head.config["data"]["source"],
        **options,
        "methods": head.subset,
        **{name: value for name, value in strengths.items() if name is not None},
        "cell": cell_name(head),
    }


def cell_name(head: Head) -> str:
    """An experiment without its seed: `rte-mini-quantize+prune-0.6`, with how strong each method is that has a number.

    An option that is not the usual one of its method is named too: `rte-mini-prune-0.6-prune=movement`.
    """
    source = head.config["data"]["source"]
    words = [head.task, head.model, head.subset]
    words += [as_text(method.value) for method in head.compression if method.value is not None]
    for method in head.compression:
        options = registry.registry()[method.method].values()
        if method.option != min(options, key=lambda option: (option.position, option.name)).name:
            words.append(f"{method.method}={method.option}")
    words += [source] if source != USUAL["data"] else []
    return shortened("-".join([*words, *_differences(head)]), LONGEST - ROOM)


def run_name(head: Head) -> str:
    """What the dashboard calls a run."""
    return f"{cell_name(head)}-s{head.seed}"


def artifact_name(head: Head) -> str:
    """What the stored weights are called; W&B allows letters, digits, dots, dashes and underscores."""
    return "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in run_name(head))


def names(head: Head) -> Names:
    """All that W&B calls a run by."""
    return Names(run_name(head), cell_name(head), artifact_name(head), factors(head))


def _flat_settings(head: Head) -> dict[str, object]:
    """The settings that are plain values, under their own names, of methods that are on."""
    groups = ("train", "data", *head.methods)
    values = {name: group for name, group in head.identity.items() if name in groups}
    methods = registry.read_all(head.config)
    following = {key for key in derived(methods) if key.endswith((".teacher", ".seed"))}
    settings = {key.rpartition(".")[2]: value for key, value in flat(values).items() if key not in following}
    if (learns := registry.the_one(methods, LearnsFromTeacher)) is not None:
        settings["teacher"] = learns.teacher
    if "start" in head.identity:  # the passes and the rate are the experiment's own, not its start's
        own = own_training(typed(head.config))
        settings |= {"epochs": own.epochs, "learning_rate": own.learning_rate}
    left_out = ("name", "seed", "path", "hub", "revision", "source", "version", "synonyms")
    return {key: value for key, value in settings.items() if value is not None and key not in left_out}


def _differences(head: Head) -> list[str]:
    """`key=value` of each setting that is not what the options say, in order; a learning rate is `lr`."""
    return sorted(f"{SHORT.get(name, name)}={as_text(value)}" for name, value in _changed(head).items())


def _changed(head: Head) -> dict[str, object]:
    """The settings that are not what the options say; keys by last parts that are unique."""
    settings, usual = _settings(head.config, head.identity), _usual_settings(head)
    changed = {key: value for key, value in settings.items() if key not in usual or usual[key] != value}
    if settings.get("data.path") is not None:  # which stands for these
        changed = {key: value for key, value in changed.items() if key not in ("data.hub", "data.revision")}
    for group in ("model", "task"):
        if _option_of(head, group) is None:  # all of it is as somebody else has it
            changed = {key: value for key, value in changed.items() if not key.startswith(f"{group}.")}
            changed[group] = head.identity[group]
    last = {key: key.rpartition(".")[2] for key in {*settings, *changed}}
    taken = Counter([*last.values(), "seed"])  # which is the experiment's own
    return {last[key] if taken[last[key]] == 1 else key: value for key, value in changed.items()}


def _settings(config: Mapping[str, Any], identity: Mapping[str, object]) -> dict[str, object]:
    """All that decides a result but the seed and what a cell's name begins with, dotted."""
    groups = {name: group for name, group in identity.items() if name not in ("seed", "schema", "start")}
    methods = registry.read_all(config)
    left_out = {"model.name", "task.name", *(f"{group}.name" for group in methods)}
    for group, option in registry.options_of(methods).items():
        left_out |= {f"{group}.{option.strength}"}
    settings = {key: value for key, value in flat(groups).items() if key not in left_out | derived(methods)}
    settings |= {f"{group}.{key}": value for group, method in methods.items()
                 for key, value in unstated_values(method).items()}  # fmt: skip
    task = build(TaskConfig, config["task"], "task.")
    settings |= {f"task.{key}": value for key, value in unstated(task).items()}
    if "start" in identity:
        train = build(TrainConfig, config["train"], "train.")
        settings |= {"model_start": "finished"} | changed_further(train)
    if isinstance(teacher := config.get("teacher"), Mapping):  # by its name, if it is as its option says
        data, name = build(DataConfig, config["data"], "data."), str(teacher["name"])
        usual, described = _option("model", [f"{data.source}/{name}", name]), _described(data, teacher)
        settings["teacher"] = name if usual is not None and _described(data, usual) == described else described
    if (enlarges := registry.the_one(methods, EnlargesData)) is not None:
        settings[f"{registry.group_of(methods, enlarges)}.copies"] = enlarges.copies
    return settings


def derived(methods: registry.Active) -> set[str]:
    """Parts of an identity that follow from the seed, or that `copies` tells."""
    learning = [group for group, method in methods.items() if isinstance(method, LearnsFromTeacher)]
    enlarging = [f"{group}.augmentation" for group, method in methods.items() if isinstance(method, EnlargesData)]
    return {*(f"{group}.teacher" for group in learning), *enlarging,
            *(f"{name}.{key}" for name in enlarging for key in ("seed", "copies"))}  # fmt: skip


def _described(data: DataConfig, values: Mapping[str, object]) -> dict[str, object]:
    """All of a teacher that its answers depend on."""
    model = build(ModelConfig, values, "teacher.")
    return {**encoder.identity(model, data.generated), "learning_rate": model.learning_rate}


def _usual_settings(head: Head) -> dict[str, object]:
    """`_settings` as the options say: those of the model, the task and the methods, and the study's of all else."""
    values, max_length = _usual_values(head), head.config["data"]["max_length"]
    methods = registry.read_all(values)
    enlarges = registry.the_one(methods, EnlargesData)
    if enlarges is None:
        return _of_values(values, max_length)
    group = registry.group_of(methods, enlarges)
    for copies in (enlarges.copies, 0):
        with suppress(ConfigError):  # there is no WordNet to look synonyms up in
            usual = _of_values({**values, group: {**values[group], "copies": copies}}, max_length)
            return usual | {f"{group}.copies": enlarges.copies}
    return {}


def _of_values(values: Mapping[str, Any], max_length: int) -> dict[str, object]:
    """`_settings` of a configuration; the model may take a smaller `max_length` than it says."""
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
    hub = values["task"].get("hub")
    if hub and (local_folder(hub) or looks_like_path(hub)):  # which counts by its files, here and elsewhere
        values["task"] = {**values["task"], "hub": None, "subset": None, "revision": None}
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
    with suppress(ConfigError):
        return option_values(conf_folders(), group, name)
    return None


def as_text(value: object) -> str:
    """A value, exactly: `1e-3`, `0.4`, `true`; a hash of what has no short form."""
    if isinstance(value, bool | int) or value is None:
        return json.dumps(value)
    if not isinstance(value, float):
        return value if isinstance(value, str) and re.fullmatch(r"\w{1,16}", value) else digest(value)
    if value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    plain = repr(value)
    if "e" not in plain and abs(value) >= 0.01:
        return plain
    shortest = next(text for places in range(18) if float(text := f"{value:.{places}e}") == value)
    digits, _, power = shortest.partition("e")
    return f"{digits}e{int(power)}"
