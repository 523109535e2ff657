"""One tidy table of finished runs, whatever they were read from; what was left out, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.read import collection, selection
from analysis.read.recipe import Recipe, complete, recipe_of
from analysis.read.schema import MALFORMED, row, told
from compress.errors import ConfigError

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
SUBSETS = (
    "none", "quantize", "distill", "prune", "quantize+distill", "quantize+prune", "distill+prune",
    "quantize+distill+prune",
)  # fmt: skip
COLUMNS = (
    "run_id", "task", "model", "methods", "quantize", "distill", "prune", "sparsity", "seed", "score_glue",
    "score_accuracy", "metrics", "parameters", "nonzero", "nominal_bytes", "artifact_bytes", "by_part",
    "train_seconds", "steps", "steps_per_second", "wall_seconds", "teacher_run_id", "settings", "device", "folder",
    "url",
)  # fmt: skip
MAY_BE_ABSENT = ("teacher_run_id", "device", "folder", "url")
FAILURE_COLUMNS = ("run_id", "task", "model", "methods", "seed", "cause")


@dataclass(frozen=True)
class Results:
    """A collection of runs that may be compared within each task.

    Attributes:
        runs: one row per finished run, in the order of tasks, sizes, methods, sparsities, seeds; columns `COLUMNS`.
        failures: one row per experiment that failed and was not finished later; columns `FAILURE_COLUMNS`.
        notes: what was left out and why, and what else a reader must know, one sentence each.
        source: where it was read from, in words.
        left_out: runs that were read but not kept, with the columns of `runs` and `reason`.
        settings: what each name in the column `settings` stands for: data, train and the methods' options.
    """

    runs: pd.DataFrame
    failures: pd.DataFrame
    notes: list[str]
    source: str
    left_out: pd.DataFrame
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """In the table's order."""
        return list(dict.fromkeys(self.runs["task"]))

    @property
    def models(self) -> list[str]:
        """From small to large."""
        return models_by_size(self.runs)


def read_runs(place: Path, settings: str | None = None) -> Results:
    """A folder of runs, or a file that holds the results of one (`collection`).

    Args:
        settings: digits that the wanted settings' name begins with; without them, each task's most frequent.

    Raises:
        ConfigError: no such folder or file, nothing finished in it, or no such settings.
    """
    found = collection.found_in(place)
    return from_documents(found.documents, found.failures, str(place), notes=found.notes, settings=settings)


def from_documents(
    documents: Iterable[Mapping[str, Any]],
    failures: Iterable[Mapping[str, Any]],
    source: str,
    *,
    notes: Iterable[str] = (),
    settings: str | None = None,
) -> Results:
    """The table of documents like result.json, which may also have `folder` and `url`.

    A document that is malformed or of another schema is left out with a note. In each task the settings that most cells
    were run with are kept; the rest is in `left_out`.

    Raises:
        ConfigError: no document is usable, or none has the wanted settings.
    """
    said = list(notes)
    rows: list[dict[str, Any]] = []
    recipes: list[Recipe] = []
    for document in documents:
        try:
            rows.append(row(document))
            recipes.append(recipe_of(document))
        except MALFORMED as error:
            del rows[len(recipes) :]
            said.append(f"{document.get('folder') or document.get('run_id') or 'a run'}: left out: {told(error)}")
    if not rows:
        raise ConfigError(f"{source}: no usable result" + "".join(f"\n  {line}" for line in said[:5]))
    filled = complete(recipes, [own["task"] for own in rows])
    digests = {recipe: recipe.digest() for recipe in dict.fromkeys(filled)}
    for own, recipe, whole in zip(rows, recipes, filled, strict=True):
        own |= {"recipe": recipe, "filled": whole, "settings": digests[whole], "reason": ""}
    table = _ordered(pd.DataFrame(rows))
    for column in MAY_BE_ABSENT:
        table[column] = table[column].astype(object).where(table[column].notna(), None)
    said += selection.choose_settings(table, settings)
    said += selection.drop_repeats(table)
    said += selection.mixtures(table)
    out = table[table["reason"] != ""]
    return Results(
        runs=table.loc[table["reason"] == "", list(COLUMNS)].reset_index(drop=True),
        failures=pd.DataFrame(list(failures), columns=list(FAILURE_COLUMNS)).astype({"seed": "Int64"}),
        notes=said,
        source=source,
        left_out=out[[*COLUMNS, "reason"]].reset_index(drop=True),
        settings={name: recipe.document() for recipe, name in digests.items()},
    )


# --- order ------------------------------------------------------------------------------------------------------------


def models_by_size(runs: pd.DataFrame) -> list[str]:
    """From small to large, by their numbers of parameters (which no method changes)."""
    parameters = runs.groupby("model")["parameters"].median()
    return sorted(parameters.index, key=lambda model: (parameters[model], model))


def known_first(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """The known names in their order, then the others by name."""
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    ranks = {
        "task": {name: rank for rank, name in enumerate(known_first(table["task"], TASKS))},
        "model": {name: rank for rank, name in enumerate(models_by_size(table))},
        "methods": {name: rank for rank, name in enumerate(SUBSETS)},
    }
    keys = table[[*selection.IDENTITY, "run_id"]].copy()
    for column, rank in ranks.items():
        keys[column] = keys[column].map(rank)
    return table.loc[keys.sort_values(list(keys.columns)).index].reset_index(drop=True)
