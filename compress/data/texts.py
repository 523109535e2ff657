"""Texts and labels of a task, every value checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from compress.data.tables import Table
from compress.errors import ConfigError, nearest
from compress.task.config import TaskConfig


@dataclass(frozen=True)
class Texts:
    """One split: a list per text column, and the labels (class ids, or floats for a regression)."""

    columns: list[list[str]]
    labels: list[int] | list[float]

    def __getitem__(self, rows: slice) -> Texts:
        """Some of the rows."""
        return Texts([column[rows] for column in self.columns], self.labels[rows])


def checked_texts(tables: Mapping[str, Table], task: TaskConfig) -> dict[str, Texts]:
    """The texts of each split, with labels in the task's numbers; classes in another order are mapped by name."""
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
        classes = f"{split} of the data has the classes {table.names}; give these, in any order"
        raise ConfigError(f"task.labels={task.labels}: {classes}")
    return [task.labels.index(name) for name in table.names]


def unlabelled(split: str, table: Table, task: TaskConfig) -> Texts:
    """The texts of a split, whose labels are not looked at: every one is 0."""
    columns = _texts(split, table, task, tuple(task.text))
    return Texts(columns, [0] * len(columns[0]))


def _checked(split: str, table: Table, order: list[int] | None, task: TaskConfig) -> Texts:
    columns, stored = _texts(split, table, task, (*task.text, task.label)), table.columns[task.label]
    labels: list[float] = []
    for row, value in enumerate(stored):
        label = (
            number_of(value, text=True) if task.labels is None else _class_of(value, task, order, untyped=table.untyped)
        )
        if label is None:
            allowed = "a finite number"
            if task.labels is not None:
                numbers = "" if task.numbered else f"0 to {len(task.labels) - 1}, or "
                allowed = f"{numbers}of {', '.join(task.labels)}"
            hint = " (-1 marks rows without a label, as in test splits)" if value == -1 else ""
            digits = isinstance(value, str) and value.strip().isdecimal() and not table.untyped
            hint = "; write the column as numbers" if digits else hint
            where = f"in row {row} of {task.name}/{split}"
            raise ConfigError(f"data: label {_written(value)} {where}; must be {allowed}{hint}")
        labels.append(label)
    return Texts(columns, labels)


def _texts(split: str, table: Table, task: TaskConfig, needed: Sequence[str]) -> list[list[str]]:
    """The columns of texts; the needed ones are there, and have rows, and texts are texts."""
    for column in needed:
        if column not in table.columns:
            key = "label" if column == task.label else "text"
            has = f"{split} has the columns {', '.join(table.columns)}, no {column}{nearest(column, table.columns)}"
            fix = f"rename the one that is meant, or give its name in task.{key}"
            raise ConfigError(f"task.{key}={getattr(task, key)}: {has}; {fix}")
    if not table.columns[task.text[0]]:
        raise ConfigError(f"data: {task.name}/{split} has no rows; give some")
    for column in task.text:
        for row, value in enumerate(table.columns[column]):
            if not isinstance(value, str):
                fix = "must be a text: leave the row out, or write the column as texts"
                raise ConfigError(f"data: {column} in row {row} of {task.name}/{split} is {_written(value)}; {fix}")
    return [[str(value) for value in table.columns[column]] for column in task.text]


def _written(value: object) -> str:
    return "null" if value is None else f"{value!r:.60}"


def number_of(value: object, *, text: bool) -> float | None:
    """A finite number that is stored, or written in a text if it may be; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str) or isinstance(value, str) > text:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _class_of(value: object, task: TaskConfig, order: Sequence[int] | None, *, untyped: bool) -> int | None:
    """The task's number of the class that a stored label means, by `order` if the file has another; None if none.

    Of files that write numbers as texts (`untyped`) a text that is no class but reads as a number is that number.
    """
    labels = task.labels or []
    if isinstance(value, str) and value in labels:
        return labels.index(value)
    if untyped and isinstance(value, str):
        value = number_of(value, text=True)
    if not isinstance(value, int | float | Decimal) or not math.isfinite(value) or value != int(value):
        return None
    number = int(value)
    if order is None and task.numbered:
        return labels.index(str(number)) if str(number) in labels else None
    if number not in range(len(labels)):
        return None
    return number if order is None else order[number]


def cut_off(train: Texts, task: TaskConfig, seed: int) -> tuple[Texts, Texts]:
    """What is left for training, and the share `task.held_out` that is scored on; both in order.

    The rows are drawn by the seed, of each class its share, rounded. A class with several rows has one on either side.
    """
    import numpy as np

    labels, share = np.array(train.labels), task.held_out or 0.0
    rng, drawn = np.random.default_rng(seed), []
    groups = [np.arange(len(labels))] if task.regression else [np.flatnonzero(labels == c) for c in range(task.outputs)]
    for rows in groups:
        count = min(max(round(share * len(rows)), 1), len(rows) - 1) if len(rows) > 1 else 0
        drawn.append(rng.permutation(rows)[:count])
    held_out = np.sort(np.concatenate(drawn))
    if len(held_out) == 0:
        cause = f"{task.name}/train has {len(labels)} rows, too few to cut some off; add {task.validation[0]}"
        raise ConfigError(f"task.held_out={task.held_out}: {cause}")
    return _rows(train, np.setdiff1d(np.arange(len(labels)), held_out).tolist()), _rows(train, held_out.tolist())


def _rows(texts: Texts, rows: Sequence[int]) -> Texts:
    return Texts([[column[row] for row in rows] for column in texts.columns], [texts.labels[row] for row in rows])
