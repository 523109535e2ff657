"""What a run, its group and its weights are called in W&B; the name follows from the configuration alone.

A cell is an experiment without its seed: task, model and methods, and every setting that differs from what its options
say, so that two cells never share a name, and seeds of one cell always do. Cells of the default study are called
`rte-mini-quantize+distill`; another learning rate makes `rte-mini-quantize+distill-lr=1e-3` of it.
"""

from __future__ import annotations

from compress.config.differences import USUAL, as_text, derived, differences, flat
from compress.methods import registry
from compress.methods.base import LearnsFromTeacher
from compress.runs.result import Head
from compress.tracking.run_record import Names
from compress.tracking.tracking_options import LONGEST, shortened

ROOM = 24  # characters for the seed, behind a cell's name


def factors(head: Head) -> dict[str, object]:
    """What the experiments of a grid differ in, flat: the dashboard groups, filters and draws by these.

    Every method is a factor, whose level is its option or `none`, and so is every strength, 0 where a method is off.
    """
    options = dict.fromkeys(registry.registry(), registry.OFF)
    options |= {method.method: method.option for method in head.compression}
    strengths: dict[str | None, float | None] = {
        option.strength: 0.0 for same in registry.registry().values() for option in same.values()
    }
    strengths |= {method.strength: method.value for method in head.compression}
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
    words = [head.task, head.model, head.subset]
    words += [as_text(method.value) for method in head.compression if method.value is not None]
    words += [f"{method.method}={method.option}" for method in head.compression
              if method.option != _usual_option(method.method)]  # fmt: skip
    words += [source] if source != USUAL["data"] else []
    return shortened("-".join([*words, *differences(head)]), LONGEST - ROOM)


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


def _flat_settings(head: Head) -> dict[str, object]:
    """The settings that are plain values, under their own names, of methods that are on."""
    groups = ("train", "data", *head.methods)
    values = {name: group for name, group in head.identity.items() if name in groups}
    methods = registry.read_all(head.config)
    following = {key for key in derived(methods) if key.endswith((".teacher", ".seed"))}
    settings = {key.rpartition(".")[2]: value for key, value in flat(values).items() if key not in following}
    if (learns := registry.the_one(methods, LearnsFromTeacher)) is not None:
        settings["teacher"] = learns.teacher
    left_out = ("name", "seed", "path", "hub", "revision", "source", "version", "synonyms")
    return {key: value for key, value in settings.items() if value is not None and key not in left_out}
