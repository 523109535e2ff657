"""Texts and labels of a task out of the tables that hold them: every value is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from compress.data.tables import Table
from compress.errors import ConfigError, nearest

if TYPE_CHECKING:
    from compress.task.config import TaskConfig

Label = TypeVar("Label", int, float)


@dataclass(frozen=True)
class Texts:
    """One split: a list per text column, and the labels (class ids, or floats for a regression)."""

    columns: list[list[str]]
    labels: list[int] | list[float]


def checked_texts(tables: Mapping[str, Table], task: TaskConfig) -> dict[str, Texts]:
    """The texts of each split, with labels in the task's numbers.

    Classes that a file names in another order than the task are mapped by name.

    Raises:
        ConfigError: a column is missing, a text is none, a label is not the task's; names split, row and column.
    """
    orders = {split: _order(split, table, task) for split, table in tables.items()}
    moved = [split for split, order in orders.items() if order is not None and order != sorted(order)]
    silent = [split for split, order in orders.items() if order is None]
    if moved and silent:
        raise ConfigError(
            f"task.labels={task.labels}: {moved[0]} of the data names its classes {tables[moved[0]].names}, in another "
            f"order, and {silent[0]} does not say in which order its numbers are; store class names in both, or in none"
        )
    return {split: _checked(split, table, orders[split], task) for split, table in tables.items()}


def _order(split: str, table: Table, task: TaskConfig) -> list[int] | None:
    """The task's number for each number that the file uses; None where the file gives no names."""
    if table.names is None or task.labels is None:
        return None
    if sorted(table.names) != sorted(task.labels):
        raise ConfigError(
            f"task.labels={task.labels}: {split} of the data has the classes {table.names}; give these, in any order"
        )
    return [task.labels.index(name) for name in table.names]


def _checked(split: str, table: Table, order: list[int] | None, task: TaskConfig) -> Texts:
    for column in (*task.text, "label"):
        if column not in table.columns:
            key = "data" if column == "label" else f"task.text={task.text}"
            raise ConfigError(
                f"{key}: {split} has the columns {', '.join(table.columns)}, no {column}"
                f"{nearest(column, table.columns)}; rename the one that is meant"
                + (" to label" if column == "label" else ", or give its name in task.text")
            )
    stored = table.columns["label"]
    if not stored:
        raise ConfigError(f"data: {task.name}/{split} has no rows; give some")
    columns = [list(_strings(split, column, table.columns[column], task)) for column in task.text]
    if task.labels is None:
        return Texts(columns, list(_labels(split, stored, _score_of, task)))
    return Texts(columns, list(_labels(split, stored, lambda value: _class_of(value, task.labels or [], order), task)))


def _strings(split: str, column: str, values: Sequence[object], task: TaskConfig) -> Iterator[str]:
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise ConfigError(
                f"data: {column} in row {row} of {task.name}/{split} is {_written(value)}; must be a text: "
                "leave the row out, or write the column as texts"
            )
        yield value


def _labels(
    split: str, values: Sequence[object], number: Callable[[object], Label | None], task: TaskConfig
) -> Iterator[Label]:
    """Labels as numbers.

    Args:
        number: of a stored label; None if it is none of the task's.
    """
    for row, value in enumerate(values):
        if (label := number(value)) is None:
            allowed = "a finite number"
            if task.labels is not None:
                allowed = f"0 to {len(task.labels) - 1}, or of {', '.join(task.labels)}"
            hint = " (-1 marks rows without a label, as in test splits)" if value == -1 else ""
            hint = "; write the column as numbers" if isinstance(value, str) and value.strip().isdecimal() else hint
            where = f"in row {row} of {task.name}/{split}"
            raise ConfigError(f"data: label {_written(value)} {where}; must be {allowed}{hint}")
        yield label


def _written(value: object) -> str:
    return "null" if value is None else f"{value!r:.60}"


def _score_of(value: object) -> float | None:
    """A regression's label; None if it is no finite number. A text that reads as one is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        score = float(value)
    except (ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def _class_of(value: object, labels: Sequence[str], order: Sequence[int] | None) -> int | None:
    """The task's number of the class that a stored label means; None if it is none.

    Args:
        order: the task's number for each number that the file uses; None if they are the same.
    """
    if isinstance(value, str):
        return labels.index(value) if value in labels else None
    if not isinstance(value, int | float | Decimal) or value not in range(len(labels)):
        return None
    return int(value) if order is None else order[int(value)]
