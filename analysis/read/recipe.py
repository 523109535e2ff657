"""Which runs may be compared: those of the same data, training and settings of each method's option.

Models, tasks, seeds and methods with their options and strengths are what a grid varies. The learning rate belongs to
the model. What else an option is set to must agree between the runs that have it on; others stand beside all of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from compress.runs.result import Compression, MalformedError, Result

VARIED = ("model", "task", "seed", "schema")
Options = tuple[tuple[str, str], ...]  # `prune=magnitude` -> canonical JSON of its other settings, in order


@dataclass(frozen=True)
class Recipe:
    """What must agree for two runs of a task to be compared, as canonical JSON, so that recipes are hashable.

    Attributes:
        base: data and training.
        files: digest of local data files, which differs between tasks; None for the hub's and generated data.
        options: settings of the options that are on, but for their strength.
    """

    base: str
    files: str | None
    options: Options

    def fits(self, chosen: Recipe) -> bool:
        """Whether a run of this recipe may stand beside runs of the chosen one."""
        same = (self.base, self.files) == (chosen.base, chosen.files)
        return same and set(self.options) <= set(chosen.options)

    def document(self) -> dict[str, object]:
        """As nested values, without the files' digest."""
        return {**json.loads(self.base), **{name: json.loads(text) for name, text in self.options}}

    def digest(self) -> str:
        """Its name."""
        return _digest(self.document())


def recipe_of(result: Result) -> Recipe:
    """From a result's identity.

    Raises:
        MalformedError: the identity lacks a part.
    """
    active = {entry.method for entry in result.compression}
    base = {name: part for name, part in result.identity.items() if name not in VARIED and name not in active}
    base["train"] = _without(_part(result, "train"), "learning_rate")
    base["data"] = data = dict(_part(result, "data"))
    files = None if data.get("path") is None else str(data["path"])
    data["path"] = files and "local files"
    options = {f"{entry.method}={entry.option}": canonical(_settings(result, entry)) for entry in result.compression}
    return Recipe(canonical(base), files, tuple(sorted(options.items())))


def _settings(result: Result, entry: Compression) -> dict[str, object]:
    """A method's settings but for its option and strength; a teacher by its name, as its run differs between tasks."""
    settings = {key: value for key, value in _part(result, entry.method).items() if key not in ("name", entry.strength)}
    taught = [key for key, value in settings.items() if value is not None and value == result.teacher_run_id]
    config = result.config.get(entry.method)
    named = {key: config[key] for key in taught if key in config} if isinstance(config, Mapping) else {}
    seedless = {key: _without(value, "seed") for key, value in settings.items() if isinstance(value, Mapping)}
    return settings | seedless | dict.fromkeys(taught) | named


def _part(result: Result, name: str) -> Mapping[str, object]:
    part = result.identity.get(name)
    if not isinstance(part, Mapping):
        raise MalformedError(f"its identity.{name} is {part!r}, not a group of settings")
    return part


def complete(recipes: Sequence[Recipe], tasks: Sequence[str]) -> list[Recipe]:
    """Each recipe with the settings of options that its run lacks: the task's most frequent, or all tasks'."""
    everywhere = _usual((recipe.base, recipe) for recipe in recipes)
    in_task = _usual(((task, recipe.base), recipe) for task, recipe in zip(tasks, recipes, strict=True))
    whole = []
    for task, recipe in zip(tasks, recipes, strict=True):
        options = {**everywhere[recipe.base], **in_task[task, recipe.base], **dict(recipe.options)}
        whole.append(replace(recipe, options=tuple(sorted(options.items()))))
    return whole


def _usual(pairs: Iterable[tuple[object, Recipe]]) -> dict[object, dict[str, str]]:
    """Key -> the most frequent settings of each option among its recipes."""
    counts: dict[object, dict[str, Counter[str]]] = {}
    for key, recipe in pairs:
        counters = counts.setdefault(key, {})
        for name, text in recipe.options:
            counters.setdefault(name, Counter())[text] += 1
    return {
        key: {name: min(texts, key=lambda text: (-texts[text], text)) for name, texts in counters.items()}
        for key, counters in counts.items()
    }


def model_recipe(result: Result) -> str:
    """A digest of a model's architecture, weights and learning rate."""
    return _digest([result.identity.get("model"), _part(result, "train").get("learning_rate")])


def differences(document: Mapping[str, object], other: Mapping[str, object], longest: int = 3) -> str:
    """In words, where two recipes differ: `train.epochs 6 instead of 3`; options that only one has do not count."""
    alone = {name for name in document.keys() ^ other.keys() if "=" in name}
    left, right = (_flat({key: part for key, part in whole.items() if key not in alone}) for whole in (document, other))
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    said = [
        f"{re.sub('=[^.]*', '', key, count=1)} {left.get(key, 'absent')} instead of {right.get(key, 'absent')}"
        for key in keys[:longest]
    ]
    return ", ".join(said + ([f"and {len(keys) - longest} more"] if len(keys) > longest else []))


def _flat(document: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in document.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _without(part: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in part.items() if name != key}


def _digest(part: object) -> str:
    """Eight hex digits."""
    return hashlib.sha256(canonical(part).encode()).hexdigest()[:8]


def canonical(part: object) -> str:
    """Compact JSON with sorted keys, the same for equal values."""
    return json.dumps(_whole(part), sort_keys=True, separators=(",", ":"), default=str)


def _whole(part: object) -> object:
    """With 2.0 as 2: not everybody who passes JSON on keeps them apart."""
    if isinstance(part, Mapping):
        return {key: _whole(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_whole(value) for value in part]
    return int(part) if isinstance(part, float) and part.is_integer() else part
