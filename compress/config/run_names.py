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
from functools import cache
from typing import Any

from compress.checked import build
from compress.config import identity
from compress.config.schema import conf_folders, document, from_mapping, option_values
from compress.data.corpus import DataConfig
from compress.errors import ConfigError
from compress.methods import registry
from compress.methods.base import EnlargesData, LearnsFromTeacher
from compress.model import encoder
from compress.model.encoder import ModelConfig
from compress.runs.result import Head
from compress.tracking.run_record import Names
from compress.tracking.tracking_options import LONGEST, digest, shortened

USUAL = {"data": "glue", "train": "paper"}  # the study's options of groups that no part of a name stands for
SHORT = {"learning_rate": "lr"}
ROOM = 24  # characters for the seed, behind a cell's name


def factors(head: Head) -> dict[str, object]:
    """What the experiments of a grid differ in, flat: the dashboard groups, filters and draws by these.

    Every method is a factor, whose level is its option or `none`, and so is every strength, 0 where a method is off.
    """
    options = dict.fromkeys(registry.registry(), registry.OFF)
    options |= {own.method: own.option for own in head.compression}
    strengths: dict[str | None, float | None] = {
        option.strength: 0.0 for same in registry.registry().values() for option in same.values()
    }
    strengths |= {own.strength: own.value for own in head.compression}
    return {
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
    parts = [head.task, head.model, head.subset]
    parts += [_text(own.value) for own in head.compression if own.value is not None]
    parts += [f"{own.method}={own.option}" for own in head.compression if own.option != _usual_option(own.method)]
    parts += [source] if source != USUAL["data"] else []
    return shortened("-".join([*parts, *_differences(head)]), LONGEST - ROOM)


def _usual_option(group: str) -> str:
    """The one that is named first."""
    options = registry.registry()[group].values()
    return min(options, key=lambda option: (option.position, option.name)).name


def run_name(head: Head) -> str:
    """What the dashboard calls a run."""
    return f"{cell_name(head)}-s{head.seed}"


def artifact_name(head: Head) -> str:
    """What the stored weights are called; W&B allows letters, digits, dots, dashes and underscores."""
    return "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in run_name(head))


def names(head: Head) -> Names:
    """All that W&B calls a run by."""
    return Names(run_name(head), cell_name(head), artifact_name(head), factors(head))


# --- what is not as usual ---------------------------------------------------------------------------------------------


def _differences(head: Head) -> list[str]:
    """`key=value` of each setting that is not what the options say, in order."""
    own, usual = _settings(head.config, head.identity), _usual_settings(head)
    changed = {key: value for key, value in own.items() if key not in usual or usual[key] != value}
    if own.get("data.path") is not None:  # which stands for these
        changed = {key: value for key, value in changed.items() if key not in ("data.hub", "data.revision")}
    for group in ("model", "task"):
        if _option_of(head, group) is None:  # all of it is as somebody else has it
            changed = {key: value for key, value in changed.items() if not key.startswith(f"{group}.")}
            changed[group] = head.identity[group]
    names = _short_names({*own, *changed})
    return sorted(f"{names[key]}={_text(value)}" for key, value in changed.items())


def _settings(config: Mapping[str, object], identity: Mapping[str, object]) -> dict[str, object]:
    """All that decides a result but the seed and what a cell's name begins with, dotted."""
    parts = {name: part for name, part in identity.items() if name not in ("seed", "schema")}
    methods = registry.read_all(config)
    left_out = {"model.name", "task.name", *(f"{group}.name" for group in methods)}
    for group, option in registry.options_of(methods).items():
        left_out |= {f"{group}.{option.strength}"}
    flat = {key: value for key, value in _flat(parts).items() if key not in left_out | _derived(methods)}
    if isinstance(teacher := config.get("teacher"), Mapping):
        flat["teacher"] = _teachers_name(config, teacher)
    if (enlarges := registry.the_one(methods, EnlargesData)) is not None:
        flat[f"{registry.group_of(methods, enlarges)}.copies"] = enlarges.copies
    return flat


def _derived(methods: registry.Active) -> set[str]:
    """Parts of an identity that follow from the seed, or that `copies` tells."""
    learning = [group for group, own in methods.items() if isinstance(own, LearnsFromTeacher)]
    enlarging = [f"{group}.augmentation" for group, own in methods.items() if isinstance(own, EnlargesData)]
    return {*(f"{group}.teacher" for group in learning), *enlarging,
            *(f"{name}.{key}" for name in enlarging for key in ("seed", "copies"))}  # fmt: skip


def _teachers_name(config: Mapping[str, object], teacher: Mapping[str, object]) -> object:
    """The name of a teacher that is as its option says; of another all that its answers depend on."""
    own, name = _described(config, teacher), str(teacher["name"])
    option = _option("model", [f"{config['data']['source']}/{name}", name])
    return name if option is not None and _described(config, option) == own else own


def _described(config: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    built = build(ModelConfig, values, "teacher.")
    vocabulary = build(DataConfig, config["data"], "data.").builds_vocabulary
    return {**encoder.identity(built, vocabulary), "learning_rate": built.learning_rate}


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


def _usual_values(head: Head) -> dict[str, object]:
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
    from omegaconf import OmegaConf

    def read(text: str) -> object:
        return OmegaConf.to_container(OmegaConf.create(text))

    try:
        return option_values(conf_folders(), group, name, read)
    except ConfigError:
        return None


def _flat_settings(head: Head) -> dict[str, object]:
    """The settings that are plain values, under their own names, of methods that are on."""
    groups = ("train", "data", *head.methods)
    parts = {name: part for name, part in head.identity.items() if name in groups}
    methods = registry.read_all(head.config)
    derived = {key for key in _derived(methods) if key.endswith((".teacher", ".seed"))}
    flat = {key.rpartition(".")[2]: value for key, value in _flat(parts).items() if key not in derived}
    if (learns := registry.the_one(methods, LearnsFromTeacher)) is not None:
        flat["teacher"] = learns.teacher
    left_out = ("name", "seed", "path", "hub", "revision", "source", "version", "synonyms")
    return {key: value for key, value in flat.items() if value is not None and key not in left_out}


# --- as text ----------------------------------------------------------------------------------------------------------


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """Dotted key -> its last part, if no other key ends in it."""
    last = {key: key.rpartition(".")[2] for key in keys}
    taken = Counter([*last.values(), "seed"])  # which is the experiment's own
    return {key: SHORT.get(name, name) if taken[name] == 1 else key for key, name in last.items()}


def _text(value: object) -> str:
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


def _flat(document: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in document.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
