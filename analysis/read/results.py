"""One tidy table of finished runs, whatever they were read from; what was left out, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.names import TASKS
from analysis.read import collection, selection
from analysis.read.collection import Document
from analysis.read.selection import complete, model_recipe, recipe_of
from analysis.subsets import Methods, collected, joined
from compress.errors import ConfigError
from compress.runs.result import MalformedError, Result, from_document

CELL = ["task", "model", "methods", "variant"]  # its runs differ only in their seed
COLUMNS = (
    "run_id", "task", "model", "methods", "variant", "compression", "seed", "score_glue", "score_accuracy",
    "parameters", "nonzero", "nominal_bytes", "artifact_bytes", "by_part", "train_seconds", "steps", "steps_per_second",
    "wall_seconds", "memory_bytes", "gpu_memory_bytes", "teacher_run_id", "start_run_id", "recipe", "device", "latency",
    "folder", "url",
)  # fmt: skip
MAY_BE_ABSENT = ("teacher_run_id", "start_run_id", "device", "latency", "folder", "url")
FAILURE_COLUMNS = ("run_id", "task", "model", "methods", "seed", "cause")
Row = Mapping[str, Any]  # of a table, by its columns
Documents = Iterable[Mapping[str, object]]
EVERY = 3  # methods of which all subsets are told, run or not


@dataclass(frozen=True)
class Results:
    """A collection of runs that may be compared within each task.

    Attributes:
        runs: one row per finished run, in the order of tasks, sizes, methods, variants, seeds; columns `COLUMNS`;
            `latency` is what was measured (`Latency`), or None.
        failures: one row per experiment that failed and was not finished later; columns `FAILURE_COLUMNS`.
        notes: what was left out and why, and what else a reader must know, one sentence each.
        source: where it was read from, in words.
        recipes: what each name in the column `recipe` stands for: data, train and the options' settings.
        settings: the kept runs and those that differ from their recipe in an option's settings alone: the `COLUMNS`
            but `variant`; `options`, what decides of each option that is on, as (`prune=magnitude`, JSON); and
            `configured`, by method, what it was set to.
    """

    runs: pd.DataFrame
    failures: pd.DataFrame
    notes: list[str]
    source: str
    recipes: Mapping[str, Document] = field(default_factory=dict)
    settings: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def tasks(self) -> list[str]:
        """In the table's order."""
        return list(dict.fromkeys(self.runs["task"]))

    @cached_property
    def models(self) -> list[str]:
        """From small to large, by their numbers of parameters (which no method changes)."""
        parameters = self.runs.groupby("model")["parameters"].median()
        return sorted(parameters.index, key=lambda model: (parameters[model], model))

    @cached_property
    def subsets(self) -> list[str]:
        """Those to tell of: every one of up to three methods; of more methods those that were run."""
        there = set(self.runs["methods"])
        few = len(self.methods.names) <= EVERY
        return [subset for subset in self.methods.subsets if few or subset in there]

    @cached_property
    def methods(self) -> Methods:
        """In their order."""
        return collected(self.runs["compression"])


def read_runs(place: Path, recipe: str | None = None) -> Results:
    """A folder of runs, or a file of results (`collection.gathered`, `from_documents`)."""
    gathered = collection.gathered(place)
    return from_documents(gathered.documents, gathered.failures, str(place), notes=gathered.remarks, recipe=recipe)


def from_documents(
    documents: Documents, failures: Documents, source: str, *, notes: Iterable[str] = (), recipe: str | None = None
) -> Results:
    """The table of documents like result.json, which may also have `latency`, `folder` and `url`.

    Others are left out with a note.

    Args:
        recipe: digits that the wanted recipe's name begins with; without them, in each task that of most cells.

    Raises:
        ConfigError: no document is usable, or none has the wanted recipe.
    """
    said = list(notes)
    rows: list[Row] = []
    for document in documents:
        try:
            rows.append(_row(from_document(document), document))
        except MalformedError as error:
            said.append(f"{document.get('folder') or document.get('run_id') or 'a run'}: left out: {error}")
    if not rows:
        raise ConfigError(f"{source}: no usable result" + "".join(f"\n  {line}" for line in said[:5]))
    table = _ordered(rows)
    chosen, others = selection.choose_recipes(table, recipe)
    pairs = zip(table["task"], table["as_run"], strict=True)
    fitting = table[[task in chosen and recipe.fits(chosen[task]) for task, recipe in pairs]]
    digests = {task: recipe.digest() for task, recipe in chosen.items()}
    kept, repeats = selection.without_repeats(fitting.assign(recipe=fitting["task"].map(digests)))
    settings = selection.with_other_settings(table, chosen, kept)
    methods = collected(kept["compression"])
    return Results(
        runs=kept.assign(variant=kept["compression"].map(methods.variant))[list(COLUMNS)].reset_index(drop=True),
        failures=pd.DataFrame(list(failures), columns=list(FAILURE_COLUMNS)).astype({"seed": "Int64"}),
        notes=[*said, *others, *repeats, *selection.mixtures(kept)],
        source=source,
        recipes={recipe.digest(): recipe.document() for recipe in chosen.values()},
        settings=settings.assign(recipe=settings["task"].map(digests))[
            [*(column for column in COLUMNS if column != "variant"), "options", "configured"]
        ],
    )


def _row(result: Result, document: Mapping[str, object]) -> Row:
    """A result's row, without what needs the others; with `as_run`, its recipe, and `model_recipe`."""
    compressions = tuple(sorted(result.compression, key=lambda entry: (entry.position, entry.method)))
    return {
        **{key: getattr(result, key) for key in ("run_id", "task", "model", "seed", "teacher_run_id")},
        "methods": joined(entry.method for entry in compressions),
        "compression": compressions,
        **{key: _defined(getattr(result, key)) for key in ("score_glue", "score_accuracy")},
        **vars(result.size),
        "by_part": {name: part.nominal_bytes for name, part in result.size.by_part.items()},
        **{key: _defined(value) for key, value in vars(result.timing).items()},
        "device": result.environment.get("device"),
        **{key: document.get(key) for key in ("latency", "folder", "url")},
        "start_run_id": selection.start_of(result),
        "configured": {entry.method: result.config.get(entry.method) or {} for entry in compressions},
        "as_run": recipe_of(result),
        "model_recipe": model_recipe(result),
    }


def _defined(value: float | None) -> float:
    return nan if value is None else value


def _ordered(rows: Sequence[Row]) -> pd.DataFrame:
    """Known tasks first, then others by name; models by size."""
    methods, tasks = collected(row["compression"] for row in rows), list(TASKS)
    sizes = pd.DataFrame(rows).groupby("model")["parameters"].median()

    def order(row: Row) -> tuple[object, ...]:
        task, model = row["task"], row["model"]
        place = tasks.index(task) if task in tasks else len(tasks)
        return place, task, sizes[model], model, methods.rank(row["compression"]), row["seed"], row["run_id"]

    table = pd.DataFrame(sorted(rows, key=order))
    absent = {column: table[column].astype(object).where(table[column].notna(), None) for column in MAY_BE_ABSENT}
    return table.assign(**absent, filled=complete(list(table["as_run"]), list(table["task"])))
