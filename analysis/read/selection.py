"""What of a collection is kept: in each task runs that may be compared, and one run for each cell and seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.read.recipe import Recipe, differences
from compress.errors import ConfigError

CELL = ("task", "model", "methods", "sparsity")
IDENTITY = (*CELL, "seed")  # one run each
OTHER_FILES = "other data files"


def choose_settings(table: pd.DataFrame, wanted: str | None) -> list[str]:
    """Choose each task's settings: give its other runs a `reason`, and the kept ones the chosen name in `settings`.

    Args:
        table: rows with `recipe`, `filled` (see `settings.complete`), `settings`, an empty `reason`; changed in place.
        wanted: digits that the settings' name begins with; without them, those which fit most cells of the task, and of
            these the most frequent in the collection.

    Returns:
        What was left out, in sentences.

    Raises:
        ConfigError: no run has the wanted settings.
    """
    usual = Counter(table["settings"])
    if wanted is not None and not any(name.startswith(wanted) for name in usual):
        there = ", ".join(f"{name} ({count} runs)" for name, count in usual.most_common())
        raise ConfigError(f"--settings {wanted}: no run has settings of this name; there are {there}")
    asked = [recipe for recipe in dict.fromkeys(table["filled"]) if recipe.digest().startswith(wanted or "")]
    lost: dict[tuple[Recipe, Recipe | None], Counter[str]] = {}
    chosen_by: dict[str, Recipe] = {}
    for task, rows in table.groupby("task", sort=False):
        chosen = _chosen(rows, asked if wanted else list(dict.fromkeys(rows["filled"])), usual)
        for (recipe, filled), same in rows.groupby(["recipe", "filled"], sort=False):
            if chosen is not None and recipe.fits(chosen):
                table.loc[same.index, "settings"] = chosen.digest()
                continue
            only_files = chosen is not None and replace(recipe, files=chosen.files).fits(chosen)
            table.loc[same.index, "reason"] = OTHER_FILES if only_files else f"other settings ({filled.digest()})"
            key = replace(filled, files=OTHER_FILES if only_files else None), chosen and replace(chosen, files=None)
            lost.setdefault(key, Counter())[str(task)] += len(same)
        if chosen is not None:
            chosen_by[str(task)] = replace(chosen, files=None)
    return [_left_out(recipe, chosen, counts) for (recipe, chosen), counts in lost.items()] + _apart(chosen_by)


def _chosen(rows: pd.DataFrame, asked: Sequence[Recipe], usual: Counter[str]) -> Recipe | None:
    """Of the recipes that are asked for, with this task's data files, the one that fits most of its cells."""
    there = list(dict.fromkeys(rows["recipe"]))
    files = list(dict.fromkeys(recipe.files for recipe in there))
    candidates = dict.fromkeys(replace(recipe, files=own) for recipe in asked for own in files)

    def cells(recipe: Recipe) -> int:
        fitting = rows[rows["recipe"].isin([own for own in there if own.fits(recipe)])]
        return len(fitting[list(IDENTITY)].drop_duplicates())

    counted = {recipe: count for recipe in candidates if (count := cells(recipe))}
    return min(
        counted, key=lambda own: (-counted[own], -usual[own.digest()], own.digest(), str(own.files)), default=None
    )


def _left_out(recipe: Recipe, chosen: Recipe | None, counts: Counter[str]) -> str:
    runs = f"{', '.join(counts)}: {counts.total()} runs left out"
    if chosen is None:
        return f"{runs}: nothing in these tasks has the settings that were asked for"
    if recipe.files:
        return f"{runs}: their data files are not those of the task's other runs"
    what = differences(recipe.document(), chosen.document())
    return f"{runs} for other settings: {what}; --settings {recipe.digest()} takes those"


def _apart(chosen_by: Mapping[str, Recipe]) -> list[str]:
    """Which tasks were run with other settings than most; each is compared within itself."""
    tasks: dict[Recipe, list[str]] = {}
    for task, recipe in chosen_by.items():
        tasks.setdefault(recipe, []).append(task)
    most = max(tasks, key=lambda recipe: len(tasks[recipe]), default=None)
    return [
        f"{', '.join(own)}: run with other settings than {', '.join(tasks[most])}:"
        f" {differences(recipe.document(), most.document())}; tasks are compared only within themselves"
        for recipe, own in tasks.items()
        if most is not None and recipe != most
    ]


def drop_repeats(table: pd.DataFrame) -> list[str]:
    """Keep one run of each cell and seed: of the model's most frequent recipe, then the first by run_id.

    The score has no say. The others get a `reason`, in place.
    """
    kept = table[table["reason"] == ""]
    repeated = kept[kept.duplicated(list(IDENTITY), keep=False)]
    if repeated.empty:
        return []
    frequency = kept.groupby(["task", "model", "model_recipe"])["run_id"].transform("size")
    said: Counter[str] = Counter()
    for _, rows in repeated.groupby(list(IDENTITY), sort=False):
        order = rows.assign(rank=-frequency[rows.index]).sort_values(["rank", "run_id"], kind="stable")
        best, others = order.iloc[0], order.iloc[1:]
        table.loc[others.index, "reason"] = f"repeats run {best['run_id']}"
        if (others["run_id"] == best["run_id"]).all():
            why = "the same run, read more than once"
        elif (others["model_recipe"] != best["model_recipe"]).any():
            why = "its model or learning rate is not that of most runs of the model"
        else:
            why = "another run of the cell and seed has an earlier run_id"
        said[why] += len(others)
    return [f"{count} runs left out as repeats of a cell and seed: {why}" for why, count in said.items()]


def mixtures(table: pd.DataFrame) -> list[str]:
    """Models of one name whose kept runs differ in architecture, weights or learning rate, in sentences."""
    kept = table[table["reason"] == ""]
    counts = kept.groupby(["task", "model"], sort=False)["model_recipe"].nunique()
    mixed: dict[str, list[str]] = {}
    for task, model in counts[counts > 1].index:
        mixed.setdefault(model, []).append(task)
    return [
        f"{model}: runs of {', '.join(tasks)} differ in architecture, weights or learning rate, and are all kept"
        for model, tasks in mixed.items()
    ]
