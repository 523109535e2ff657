"""Which runs of a collection may be compared and are kept: those of one recipe in each task, one for a cell and seed.

A recipe is data, training and the settings of each method's option. Models, tasks, seeds and methods with their options
and strengths are what a grid varies. The learning rate belongs to the model. What else an option is set to must agree
between the runs that have it on; others stand beside all of them. So do uncompressed runs, however the compressed ones
start: from the checkpoint, as they do, or from the finished uncompressed model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from compress.errors import ConfigError
from compress.runs.result import Compression, MalformedError, Result
from compress.wording import plural

RUN_KEYS = ["task", "model", "compression", "seed"]  # one run each
OTHER_FILES = "other data files"
VARIED = ("model", "task", "seed", "schema", "start")
CHECKPOINT = "{}"  # the start of compressed runs that begin as uncompressed ones do


@dataclass(frozen=True)
class Recipe:
    """What must agree for two runs of a task to be compared, as canonical JSON, so that recipes are hashable.

    Attributes:
        base: data and training.
        files: digest of local data files, which differs between tasks; None for the hub's and generated data.
        options: `prune=magnitude` and its settings but for its strength, of the options that are on, in order.
        start: of compressed runs, how they train further where they start from the finished uncompressed model, else
            `CHECKPOINT`; None of an uncompressed run.
    """

    base: str
    files: str | None
    options: tuple[tuple[str, str], ...]
    start: str | None = None

    def fits(self, chosen: Recipe) -> bool:
        """Whether a run of this recipe may stand beside runs of the chosen one."""
        same = (self.base, self.files) == (chosen.base, chosen.files) and self.start in (None, chosen.start)
        return same and set(self.options) <= set(chosen.options)

    def document(self) -> dict[str, object]:
        """As nested values, without the files' digest."""
        start = {"start": json.loads(self.start)} if self.start not in (None, CHECKPOINT) else {}
        return {**json.loads(self.base), **start, **{name: json.loads(text) for name, text in self.options}}

    def distance(self, other: Recipe) -> int:
        """In how many settings of the options that both have, and of the start, they differ."""
        mine, theirs = (dict(recipe.options) for recipe in (self, other))
        starts = self.start != other.start
        common = [tuple(flat(json.loads(of[name])) for of in (mine, theirs)) for name in mine.keys() & theirs.keys()]
        return starts + sum(
            left.get(key, left) != right.get(key, right) for left, right in common for key in {**left, **right}
        )

    def digest(self) -> str:
        """Eight hex digits that name it."""
        return _digest(self.document())


def recipe_of(result: Result) -> Recipe:
    """From a result's identity; MalformedError if that lacks a part."""
    active = {entry.method for entry in result.compression}
    base = {name: part for name, part in result.identity.items() if name not in VARIED and name not in active}
    base["train"] = {key: value for key, value in _part(result, "train").items() if key not in _of_model(result)}
    base["data"] = data = dict(_part(result, "data"))
    files = None if data.get("path") is None else str(data["path"])
    data["path"] = files and "local files"
    options = {f"{entry.method}={entry.option}": canonical(_settings(result, entry)) for entry in result.compression}
    start = None if not active else canonical(_start(result)) if "start" in result.identity else CHECKPOINT
    return Recipe(canonical(base), files, tuple(sorted(options.items())), start)


def start_of(result: Result) -> str | None:
    """The run of the finished model that it started from; None of one that did not."""
    return str(_part(result, "start").get("run")) if "start" in result.identity else None


def _start(result: Result) -> dict[str, object]:
    """How it was trained from the finished model on, which is another run for each task, model and seed."""
    return {"from": "finished", **_without(_part(result, "start"), "run")}


def _of_model(result: Result) -> tuple[str, ...]:
    """Settings of training that belong to the model: the learning rate, and what else was searched for each."""
    return ("learning_rate", *(["epochs"] if _part(result, "train").get("tuned") else []))


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
    """Each recipe with the options' settings and the start that its run lacks: the usual of the task, or of all."""
    everywhere = _usual((recipe.base, recipe) for recipe in recipes)
    in_task = _usual(((task, recipe.base), recipe) for task, recipe in zip(tasks, recipes, strict=True))
    starts = _usual_start((recipe.base, recipe) for recipe in recipes)
    starts |= _usual_start(((task, recipe.base), recipe) for task, recipe in zip(tasks, recipes, strict=True))
    whole = []
    for task, recipe in zip(tasks, recipes, strict=True):
        options = {**everywhere[recipe.base], **in_task[task, recipe.base], **dict(recipe.options)}
        usual = starts.get((task, recipe.base)) or starts.get(recipe.base, CHECKPOINT)
        whole.append(replace(recipe, options=tuple(sorted(options.items())), start=recipe.start or usual))
    return whole


def _usual_start(pairs: Iterable[tuple[object, Recipe]]) -> dict[object, str]:
    """Key -> the most frequent start of the compressed among its recipes, if there are any."""
    counts: dict[object, Counter[str]] = {}
    for key, recipe in pairs:
        if recipe.start is not None:
            counts.setdefault(key, Counter())[recipe.start] += 1
    return {key: min(starts, key=lambda start: (-starts[start], start)) for key, starts in counts.items()}


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
    """A digest of a model's architecture, weights and learning rate, and of the epochs where they were searched."""
    train = _part(result, "train")
    return _digest([result.identity.get("model"), *(train.get(key) for key in _of_model(result))])


def differences(document: Mapping[str, object], other: Mapping[str, object]) -> str:
    """In words, where two recipes differ: `train.epochs 6 instead of 3`; options that only one has do not count."""
    if ("start" in document) != ("start" in other):
        document, other = (
            {**whole, "start": "from the finished model" if "start" in whole else "from the checkpoint"}
            for whole in (document, other)
        )
    alone = {name for name in document.keys() ^ other.keys() if "=" in name}
    left, right = (flat({key: part for key, part in whole.items() if key not in alone}) for whole in (document, other))
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    said = [
        f"{re.sub('=[^.]*', '', key, count=1)} {left.get(key, 'absent')} instead of {right.get(key, 'absent')}"
        for key in keys[:3]
    ]
    return ", ".join(said + ([f"and {len(keys) - 3} more"] if len(keys) > 3 else []))


def flat(document: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested values by their dotted keys."""
    values: dict[str, object] = {}
    for key, value in document.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return values


def _without(part: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in part.items() if name != key}


def _digest(part: object) -> str:
    return hashlib.sha256(canonical(part).encode()).hexdigest()[:8]


def canonical(part: object) -> str:
    """Compact JSON with sorted keys, the same for equal values.

    With 2.0 as 2: not everybody who passes JSON on keeps them apart.
    """
    whole = json.loads(json.dumps(part, default=str), parse_float=_number)
    return json.dumps(whole, sort_keys=True, separators=(",", ":"))


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value


def choose_recipes(table: pd.DataFrame, wanted: str | None) -> tuple[dict[str, Recipe], list[str]]:
    """The recipe of each task that has runs of the wanted one, and in sentences what has another.

    Args:
        table: rows with `as_run` and `filled` recipes (see `complete`), and `RUN_KEYS`.
        wanted: digits that the recipe's name begins with, ConfigError if none does; without them, that which fits most
            cells of the task, and of these the most frequent in the collection.
    """
    digests = {recipe: recipe.digest() for recipe in dict.fromkeys(table["filled"])}
    usual = Counter(table["filled"].map(digests))
    if wanted is not None and not any(name.startswith(wanted) for name in usual):
        there = ", ".join(f"{name} ({count} runs)" for name, count in usual.most_common())
        raise ConfigError(f"--recipe {wanted}: no run has a recipe of this name; there are {there}")
    asked = [recipe for recipe, name in digests.items() if name.startswith(wanted or "")]
    chosen: dict[str, Recipe] = {}
    left_out: dict[tuple[Recipe, Recipe | None], Counter[str]] = {}
    for task, rows in table.groupby("task", sort=False):
        best = _best(rows, asked if wanted else list(dict.fromkeys(rows["filled"])), usual)
        if best is not None:
            chosen[str(task)] = best
        for (recipe, filled), same in rows.groupby(["as_run", "filled"], sort=False):
            if best is None or not recipe.fits(best):
                other = best is not None and replace(recipe, files=best.files).fits(best)
                key = replace(filled, files=OTHER_FILES if other else None), best and replace(best, files=None)
                left_out.setdefault(key, Counter())[str(task)] += len(same)
    return chosen, [_left_out(*pair, counts) for pair, counts in left_out.items()] + _apart(chosen)


def _best(rows: pd.DataFrame, asked: Sequence[Recipe], usual: Counter[str]) -> Recipe | None:
    """Of the recipes that are asked for, with this task's data files, the one that fits most of its cells."""
    there = list(dict.fromkeys(rows["as_run"]))
    files = list(dict.fromkeys(recipe.files for recipe in there))
    candidates = dict.fromkeys(replace(recipe, files=digest) for recipe in asked for digest in files)

    counted: Counter[Recipe] = Counter()
    for recipe in candidates:
        fitting = rows[rows["as_run"].isin([other for other in there if other.fits(recipe)])]
        counted[recipe] = len(fitting[RUN_KEYS].drop_duplicates())

    def order(recipe: Recipe) -> tuple[int, int, int, str, str]:
        differing = sum(recipe.distance(other) for other in there)  # of equally frequent ones that which others vary
        return -counted[recipe], -usual[recipe.digest()], differing, recipe.digest(), str(recipe.files)

    return min(+counted, key=order, default=None)


def _left_out(recipe: Recipe, chosen: Recipe | None, counts: Counter[str]) -> str:
    runs = f"{', '.join(counts)}: {plural(counts.total(), 'run')} left out"
    if chosen is None:
        return f"{runs}: nothing in these tasks has the recipe that was asked for"
    if recipe.files:
        return f"{runs}: their data files are not those of the task's other runs"
    what = differences(recipe.document(), chosen.document())
    return f"{runs} for another recipe: {what}; --recipe {recipe.digest()} takes those"


def _apart(chosen: Mapping[str, Recipe]) -> list[str]:
    """Which tasks were run with another recipe than most; each is compared within itself."""
    tasks: dict[Recipe, list[str]] = {}
    for task, recipe in chosen.items():
        tasks.setdefault(replace(recipe, files=None), []).append(task)
    most = max(tasks, key=lambda recipe: len(tasks[recipe]))
    return [
        f"{', '.join(names)}: run with another recipe than {', '.join(tasks[most])}:"
        f" {differences(recipe.document(), most.document())}; tasks are compared only within themselves"
        for recipe, names in tasks.items()
        if recipe != most
    ]


def without_repeats(kept: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One run of each cell and seed, and how many others there are, in sentences.

    Of the model's most frequent recipe, then the first by run_id, whatever its score.
    """
    frequency = kept.groupby(["task", "model", "model_recipe"])["run_id"].transform("size")
    ordered = kept.assign(rank=-frequency).sort_values(["rank", "run_id"], kind="stable")
    first = ordered.drop_duplicates(RUN_KEYS)
    repeats = ordered.drop(first.index).merge(first, on=RUN_KEYS, suffixes=("", "_first"))
    counts = Counter(map(_why, repeats.to_dict("records")))
    said = [f"{plural(count, 'run')} left out as repeats of a cell and seed: {why}" for why, count in counts.items()]
    return kept.loc[sorted(first.index)], said


def with_other_settings(table: pd.DataFrame, chosen: Mapping[str, Recipe], kept: pd.DataFrame) -> pd.DataFrame:
    """The kept runs, and those with the same data, training and model that differ in the settings of an option alone.

    Adds `options`, the settings of each option that is on. Of a cell, its settings and a seed there is one run.
    """
    pairs = zip(table["task"], table["as_run"], strict=True)
    alike = table[[task in chosen and replace(recipe, options=()).fits(chosen[task]) for task, recipe in pairs]]
    usual = kept.groupby(["task", "model"])["model_recipe"].agg(lambda recipes: recipes.mode().iloc[0])
    keys = zip(alike["task"], alike["model"], alike["model_recipe"], strict=True)
    same_model = alike[[usual.get((task, model), recipe) == recipe for task, model, recipe in keys]]
    told = same_model.assign(options=[recipe.options for recipe in same_model["as_run"]])
    return told.drop_duplicates([*RUN_KEYS, "options"]).reset_index(drop=True)


def _why(repeat: Mapping[str, object]) -> str:
    """Why a run does not count beside the first of its cell and seed."""
    if repeat["run_id"] == repeat["run_id_first"]:
        return "the same run, read more than once"
    if repeat["model_recipe"] != repeat["model_recipe_first"]:
        return "its model or learning rate is not that of most runs of the model"
    return "another run of the cell and seed has an earlier run_id"


def mixtures(kept: pd.DataFrame) -> list[str]:
    """Models of one name whose kept runs differ in architecture, weights or learning rate, in sentences."""
    counts = kept.groupby(["task", "model"], sort=False)["model_recipe"].nunique()
    return [
        f"{model}: runs of {', '.join(of['task'])} differ in architecture, weights or learning rate, and are all kept"
        for model, of in counts[counts > 1].reset_index().groupby("model", sort=False)
    ]
