"""Which runs may be compared: those of the same data, recipe and method options.

Models, tasks and seeds are what a grid varies. The learning rate belongs to the model. Of a method that is off nothing
counts, so a run without it may be compared with runs of any of its options.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METHODS = ("quantize", "distill", "prune")
VARIED = ("model", "task", "seed", *METHODS)


@dataclass(frozen=True)
class Recipe:
    """What must agree for two runs of a task to be compared; parts are canonical JSON, so that recipes are hashable.

    Attributes:
        base: data and training.
        files: digest of local data files, which differs between tasks; None for the hub's and generated data.
        options: of quantize, distill, prune; None where the method is off (or nothing is known of it).
    """

    base: str
    files: str | None
    options: tuple[str | None, ...]

    def fits(self, chosen: Recipe) -> bool:
        """Whether a run of this recipe may stand beside runs of the chosen one."""
        same = (self.base, self.files) == (chosen.base, chosen.files)
        return same and all(own in (None, other) for own, other in zip(self.options, chosen.options, strict=True))

    def filled(self, usual: Sequence[str | None]) -> Recipe:
        """With the usual options for the methods that are off."""
        options = (own or other for own, other in zip(self.options, usual, strict=True))
        return Recipe(self.base, self.files, tuple(options))

    def document(self) -> dict[str, Any]:
        """As nested values, without the files' digest."""
        options = {name: json.loads(text) for name, text in zip(METHODS, self.options, strict=True) if text}
        return {**json.loads(self.base), **options}

    def digest(self) -> str:
        """Eight hex digits that name the settings."""
        return hashlib.sha256(_canonical(self.document()).encode()).hexdigest()[:8]


def recipe_of(document: Mapping[str, Any]) -> Recipe:
    """From a result's `identity`; the teacher counts by its name, since its identity differs from task to task."""
    identity = document["identity"]
    base = {name: part for name, part in identity.items() if name not in VARIED and part != {"name": "none"}}
    base["train"] = _without(identity.get("train") or {}, "learning_rate")
    base["data"] = data = dict(identity.get("data") or {})
    files = data.pop("path", None)
    data["path"] = None if files is None else "local files"
    options: list[str | None] = []
    for name in METHODS:
        own = identity.get(name) or {}
        if name not in document["methods"]:
            options.append(None)
        elif name == "prune":
            options.append(_canonical(_without(own, "sparsity")))
        elif name == "distill":
            named = ((document.get("config") or {}).get("distill") or {}).get("teacher")
            augmentation = own.get("augmentation") and _without(own["augmentation"], "seed")
            options.append(_canonical({**own, "teacher": named, "augmentation": augmentation}))
        else:
            options.append(_canonical(own))
    return Recipe(_canonical(base), files, tuple(options))


def complete(recipes: Sequence[Recipe], tasks: Sequence[str]) -> list[Recipe]:
    """Each run's recipe with the options of methods that are off filled in: the task's most frequent, or all tasks'."""
    whole = _usual((recipe.base, recipe) for recipe in recipes)
    own = _usual(((task, recipe.base), recipe) for task, recipe in zip(tasks, recipes, strict=True))
    return [
        recipe.filled(own[task, recipe.base]).filled(whole[recipe.base])
        for task, recipe in zip(tasks, recipes, strict=True)
    ]


def _usual(pairs: Iterable[tuple[Any, Recipe]]) -> dict[Any, list[str | None]]:
    """Key -> the most frequent options of each method among its recipes."""
    counts: dict[Any, list[Counter[str]]] = {}
    for key, recipe in pairs:
        counters = counts.setdefault(key, [Counter() for _ in METHODS])
        for counter, text in zip(counters, recipe.options, strict=True):
            counter.update([text] if text else [])
    return {key: [_most_frequent(counter) for counter in counters] for key, counters in counts.items()}


def _most_frequent(counter: Counter[str]) -> str | None:
    return min(counter, key=lambda text: (-counter[text], text), default=None)


def model_recipe(document: Mapping[str, Any]) -> str:
    """Eight hex digits for a model's architecture, weights and learning rate."""
    identity = document["identity"]
    what = [identity.get("model"), (identity.get("train") or {}).get("learning_rate")]
    return hashlib.sha256(_canonical(what).encode()).hexdigest()[:8]


def differences(document: Mapping[str, Any], other: Mapping[str, Any], longest: int = 3) -> str:
    """In words, where two settings differ: `train.epochs 6 instead of 3`; methods that only one has do not count."""
    alone = {name for name in METHODS if (name in document) != (name in other)}
    left, right = (_flat({key: part for key, part in own.items() if key not in alone}) for own in (document, other))
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    said = [f"{key} {left.get(key, 'absent')} instead of {right.get(key, 'absent')}" for key in keys[:longest]]
    return ", ".join(said + ([f"and {len(keys) - longest} more"] if len(keys) > longest else []))


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _without(part: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != key}


def _canonical(part: Any) -> str:
    return json.dumps(_plain(part), sort_keys=True, separators=(",", ":"), default=str)


def _plain(part: Any) -> Any:
    """With 2.0 as 2: not everybody who passes JSON on keeps them apart."""
    if isinstance(part, Mapping):
        return {key: _plain(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_plain(value) for value in part]
    return int(part) if isinstance(part, float) and part.is_integer() else part
