"""What of a collection is kept: in each task runs that may be compared, and one run for each cell and seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.read.recipe import Recipe, differences
from compress.errors import ConfigError
from compress.wording import plural

RUN_KEYS = ["task", "model", "compression", "seed"]  # one run each
OTHER_FILES = "other data files"


def choose_recipes(table: pd.DataFrame, wanted: str | None) -> tuple[dict[str, Recipe], list[str]]:
    """Choose each task's recipe.

    Args:
        table: rows with `as_run` and `filled` recipes (see `recipe.complete`), and `RUN_KEYS`.
        wanted: digits that the recipe's name begins with; without them, that which fits most cells of the task, and of
            these the most frequent in the collection.

    Returns:
        task -> recipe, without tasks that have no run of the recipe that was asked for; what has another, in sentences.

    Raises:
        ConfigError: no run has the wanted recipe.
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

    def cells(recipe: Recipe) -> int:
        fitting = rows[rows["as_run"].isin([other for other in there if other.fits(recipe)])]
        return len(fitting[RUN_KEYS].drop_duplicates())

    def order(recipe: Recipe) -> tuple[int, int, str, str]:
        return -counted[recipe], -usual[recipe.digest()], recipe.digest(), str(recipe.files)

    counted = {recipe: count for recipe in candidates if (count := cells(recipe))}
    return min(counted, key=order, default=None)


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
    most = max(tasks, key=lambda recipe: len(tasks[recipe]), default=None)
    return [
        f"{', '.join(names)}: run with another recipe than {', '.join(tasks[most])}:"
        f" {differences(recipe.document(), most.document())}; tasks are compared only within themselves"
        for recipe, names in tasks.items()
        if most is not None and recipe != most
    ]


def without_repeats(kept: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One run of each cell and seed: of the model's most frequent recipe, then the first by run_id, whatever its score.

    Returns:
        The rows that stay, and how many do not, in sentences.
    """
    frequency = kept.groupby(["task", "model", "model_recipe"])["run_id"].transform("size")
    ordered = kept.assign(rank=-frequency).sort_values(["rank", "run_id"], kind="stable")
    first = ordered.drop_duplicates(RUN_KEYS)
    repeats = ordered.drop(first.index).merge(first, on=RUN_KEYS, suffixes=("", "_first"))
    counts = Counter(map(_why, repeats.to_dict("records")))
    said = [f"{plural(count, 'run')} left out as repeats of a cell and seed: {why}" for why, count in counts.items()]
    return kept.loc[sorted(first.index)], said


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
