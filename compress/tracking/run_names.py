"""What a run, its group and its weights are called in W&B; the name follows from the configuration alone.

A cell is an experiment without its seed: task, model and methods, and every setting that differs from what its options
say, so that two cells never share a name, and seeds of one cell always do. Cells of the default study are called
`rte-mini-quantize+distill`; another learning rate makes `rte-mini-quantize+distill-lr=1e-3` of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from compress.config.schema import build, conf_folder, from_mapping, option_values
from compress.data.corpus import DataConfig
from compress.errors import ConfigError
from compress.methods import GROUPS
from compress.model import encoder
from compress.model.encoder import ModelConfig
from compress.runs import identity
from compress.tracking.tracking_options import LONGEST

HEAD = ("schema", "run_id", "model", "task", "methods", "seed", "config", "identity")  # of result.json; not its outcome
USUAL = {"data": "glue", "train": "paper"}  # the study's options of groups that no part of a name stands for
SHORT = {"learning_rate": "lr"}
OF_SEED = ("distill.teacher", "distill.augmentation.seed")  # parts of an identity that follow from the seed
OF_CELL = ("model.name", "task.name", *(f"{group}.name" for group in GROUPS), "prune.sparsity")
OF_CELL += ("distill.augmentation", "distill.augmentation.copies")  # told by distill.copies
ROOM = 24  # characters for the seed, behind a cell's name
DIGITS = 8  # of a hash that stands for what is too long to be written out


def factors(head: Mapping[str, Any]) -> dict[str, Any]:
    """What the experiments of a grid differ in, flat: the dashboard groups, filters and draws by these.

    Args:
        head: the fields `HEAD` of result.json.
    """
    config = head["config"]
    options = {group: config[group]["name"] for group in GROUPS}
    sparsity = config["prune"]["sparsity"] if options["prune"] != "none" else 0.0
    plain = {key: head[key] for key in ("model", "task", "seed", "run_id", "schema")}
    methods = {"methods": "+".join(head["methods"]) or "none", "sparsity": sparsity}
    known = {**plain, "data": config["data"]["source"], **options, **methods}
    return {**_flat_settings(head), **known, "cell": cell_name(head)}


def cell_name(head: Mapping[str, Any]) -> str:
    """An experiment without its seed: `rte-mini-quantize+prune-0.6`, with the sparsity where something is pruned."""
    methods, source = "+".join(head["methods"]) or "none", head["config"]["data"]["source"]
    parts = [head["task"], head["model"], methods]
    parts += [_text(head["config"]["prune"]["sparsity"])] if "prune" in head["methods"] else []
    parts += [source] if source != USUAL["data"] else []
    return shortened("-".join([*parts, *_differences(head)]), LONGEST - ROOM)


def run_name(head: Mapping[str, Any]) -> str:
    """What the dashboard calls a run."""
    return f"{cell_name(head)}-s{head['seed']}"


def artifact_name(head: Mapping[str, Any]) -> str:
    """What the stored weights are called; W&B allows letters, digits, dots, dashes and underscores."""
    return "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in run_name(head))


def shortened(name: str, longest: int = LONGEST) -> str:
    """A name that is not too long: a hash of all of it stands for its end."""
    return name if len(name) <= longest else f"{name[: longest - DIGITS - 1]}-{_hash(name)}"


# --- what is not as usual ---------------------------------------------------------------------------------------------


def _differences(head: Mapping[str, Any]) -> list[str]:
    """`key=value` of each setting that is not what the options say, in order."""
    own, usual = _settings(head), _usual_settings(head)
    changed = {key: value for key, value in own.items() if key not in usual or usual[key] != value}
    if own.get("data.path") is not None:  # which stands for these
        changed = {key: value for key, value in changed.items() if key not in ("data.hub", "data.revision")}
    for group in ("model", "task"):
        if _option_of(head, group) is None:  # all of it is as somebody else has it
            changed = {key: value for key, value in changed.items() if not key.startswith(f"{group}.")}
            changed[group] = head["identity"][group]
    names = _short_names({*own, *changed})
    return sorted(f"{names[key]}={_text(value)}" for key, value in changed.items())


def _settings(head: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a result but the seed and what a cell's name begins with, dotted."""
    parts = {name: part for name, part in head["identity"].items() if name not in ("seed", "schema")}
    flat = {key: value for key, value in _flat(parts).items() if key not in (*OF_SEED, *OF_CELL)}
    if isinstance(teacher := head["config"].get("teacher"), Mapping):
        flat["teacher"] = _teachers_name(head["config"], teacher)
        flat["distill.copies"] = head["config"]["distill"]["copies"]
    return flat


def _teachers_name(config: Mapping[str, Any], teacher: Mapping[str, Any]) -> Any:
    """The name of a teacher that is as its option says; of another all that its answers depend on."""
    own, name = _described(config, teacher), str(teacher["name"])
    option = _option("model", [f"{config['data']['source']}/{name}", name])
    return name if option is not None and _described(config, option) == own else own


def _described(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    built = build(ModelConfig, values, "teacher.")
    vocabulary = build(DataConfig, config["data"], "data.").builds_vocabulary
    return {**encoder.identity(built, vocabulary), "learning_rate": built.learning_rate}


def _usual_settings(head: Mapping[str, Any]) -> dict[str, Any]:
    """`_settings` as the options say: those of the model, the task and the methods, and the study's of all else."""
    values = _usual_values(head)
    copies = values["distill"]["copies"]
    for tried in (copies, 0):
        try:
            usual = from_mapping({**values, "distill": {**values["distill"], "copies": tried}})
            found = _settings({"config": asdict(usual), "identity": identity.scientific(usual)})
        except ConfigError:  # there is no WordNet to look synonyms up in
            continue
        return found | ({"distill.copies": copies} if "distill.copies" in found else {})
    return {}


def _usual_values(head: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that the options make; of a model and a task that none describes their own values."""
    config = head["config"]
    source = config["data"]["source"]
    values = {**config, "teacher": None, "force": False}
    values |= {group: _option_of(head, group) or config[group] for group in ("model", "task")}
    values["data"] = _option("data", [source]) or config["data"]
    rate = (_option_of(head, "model") or _option("model", ["pretrained"]) or config["model"])["learning_rate"]
    values["train"] = {**(_option("train", [source, USUAL["train"]]) or config["train"]), "learning_rate": rate}
    for group in GROUPS:
        values[group] = _option(group, [config[group]["name"]]) or config[group]
    return values


def _option_of(head: Mapping[str, Any], group: str) -> Mapping[str, Any] | None:
    names = {"model": [f"{head['config']['data']['source']}/{head['model']}", head["model"]], "task": [head["task"]]}
    return _option(group, names[group])


def _option(group: str, names: Iterable[str]) -> Mapping[str, Any] | None:
    """The values of the first of these options that there is."""
    return next((values for name in names if (values := _values_of(group, name)) is not None), None)


@cache
def _values_of(group: str, name: str) -> Mapping[str, Any] | None:
    from omegaconf import OmegaConf

    def read(text: str) -> Any:
        return OmegaConf.to_container(OmegaConf.create(text))

    try:
        return option_values((conf_folder(),), group, name, read)
    except ConfigError:
        return None


def _flat_settings(head: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are plain values, under their own names, of methods that are on."""
    groups = ("train", "data", *head["methods"])
    parts = {name: part for name, part in head["identity"].items() if name in groups}
    flat = {key.rpartition(".")[2]: value for key, value in _flat(parts).items() if key not in OF_SEED}
    if "distill" in head["methods"]:
        flat["teacher"] = head["config"]["distill"]["teacher"]
    left_out = ("name", "seed", "path", "hub", "revision", "source", "version", "synonyms")
    return {key: value for key, value in flat.items() if value is not None and key not in left_out}


# --- as text ----------------------------------------------------------------------------------------------------------


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """Dotted key -> its last part, if no other key ends in it."""
    last = {key: key.rpartition(".")[2] for key in keys}
    taken = Counter([*last.values(), "seed"])  # which is the experiment's own
    return {key: SHORT.get(name, name) if taken[name] == 1 else key for key, name in last.items()}


def _text(value: Any) -> str:
    """A value, exactly: `1e-3`, `0.4`, `true`; a hash of what has no short form."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    return value if isinstance(value, str) and re.fullmatch(r"\w{1,16}", value) else _hash(value)


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    plain = repr(value)
    if "e" not in plain and abs(value) >= 0.01:
        return plain
    shortest = next(text for places in range(18) if float(text := f"{value:.{places}e}") == value)
    digits, _, power = shortest.partition("e")
    return f"{digits}e{int(power)}"


def _hash(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGITS]


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
