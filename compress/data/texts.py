"""Texts and labels of a task, out of Parquet files: the very bytes that were digested, every value checked."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import ConfigError, first_line, nearest
from compress.storage.digests import digest
from compress.storage.repositories import POINTER

if TYPE_CHECKING:
    import pyarrow

    from compress.task.config import TaskConfig


@dataclass(frozen=True)
class Table:
    """One split as its files have it."""

    columns: Mapping[str, Sequence[object]]  # a value for each row; none for columns that nobody wanted
    names: list[str] | None = None  # of the classes, by the numbers in `label`; None where the file does not say


@dataclass(frozen=True)
class Texts:
    """One split: a list per text column, and the labels (class ids, or floats for a regression)."""

    columns: list[list[str]]
    labels: list[int] | list[float]

    def __getitem__(self, rows: slice) -> Texts:
        """Some of the rows."""
        return Texts([column[rows] for column in self.columns], self.labels[rows])


def read(files: Sequence[Path], what: str, wanted: Collection[str]) -> Table:
    """The rows of some Parquet files, one after the other; of columns only those that are wanted, if they are there."""
    tables = [_read_file(file, what, wanted) for file in files]
    for file, table in zip(files, tables, strict=True):
        if table.columns.keys() != tables[0].columns.keys():
            others = f"{files[0].name} {', '.join(tables[0].columns)}; write all parts of a split alike"
            raise ConfigError(f"{what}: {file.name} has the columns {', '.join(table.columns)}, {others}")
    if any(table.names != tables[0].names for table in tables):
        names = ", ".join(file.name for file in files)
        raise ConfigError(f"{what}: {names} name their classes differently; write all parts of a split alike")
    columns = {name: [value for table in tables for value in table.columns[name]] for name in tables[0].columns}
    return Table(columns, tables[0].names)


def _read_file(file: Path, what: str, wanted: Collection[str]) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        expected, data = digest(file), file.read_bytes()
        if data.startswith(POINTER):
            raise ConfigError(f"{what}: {file.name} is a Git LFS pointer, not the file itself; run git lfs pull there")
        if hashlib.sha256(data).hexdigest() != expected:
            raise ConfigError(f"{what}: {file.name} changed while it was read; run again")
        parquet_file = parquet.ParquetFile(pyarrow.BufferReader(data))
        names = parquet_file.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{what}: {file} has the column {twice[0]} twice; leave one of them out")
        table = parquet_file.read(columns=[name for name in names if name in wanted])
        table.validate(full=True)
        columns = {name: table.column(name).to_pylist() if name in wanted else [] for name in names}
    except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:
        cause = f"is no whole Parquet file ({first_line(error):.160}); fetch or write it again"
        raise ConfigError(f"{what}: {file} {cause}") from error
    return Table(columns, _names(parquet_file.schema_arrow, file, what))


def _names(schema: pyarrow.Schema, file: Path, what: str) -> list[str] | None:
    """The class names that a file's schema gives for its labels (metadata of the package datasets)."""
    if b"huggingface" not in (schema.metadata or {}):
        return None
    from datasets import Features

    try:
        names = getattr(Features.from_arrow_schema(schema).get("label"), "names", None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        cause = f"make no sense ({first_line(error):.160}); write it again"
        raise ConfigError(f"{what}: the metadata of {file} {cause}") from error
    return [str(name) for name in names] if names else None


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


def _checked(split: str, table: Table, order: list[int] | None, task: TaskConfig) -> Texts:
    for column in (*task.text, "label"):
        if column not in table.columns:
            key, fix = f"task.text={task.text}", ", or give its name in task.text"
            if column == "label":
                key, fix = "data", " to label"
            has = f"{split} has the columns {', '.join(table.columns)}, no {column}{nearest(column, table.columns)}"
            raise ConfigError(f"{key}: {has}; rename the one that is meant{fix}")
    stored = table.columns["label"]
    if not stored:
        raise ConfigError(f"data: {task.name}/{split} has no rows; give some")
    for column in task.text:
        for row, value in enumerate(table.columns[column]):
            if not isinstance(value, str):
                fix = "must be a text: leave the row out, or write the column as texts"
                raise ConfigError(f"data: {column} in row {row} of {task.name}/{split} is {_written(value)}; {fix}")
    labels: list[float] = []
    for row, value in enumerate(stored):
        label = _score_of(value) if task.labels is None else _class_of(value, task.labels, order)
        if label is None:
            allowed = "a finite number"
            if task.labels is not None:
                allowed = f"0 to {len(task.labels) - 1}, or of {', '.join(task.labels)}"
            hint = " (-1 marks rows without a label, as in test splits)" if value == -1 else ""
            hint = "; write the column as numbers" if isinstance(value, str) and value.strip().isdecimal() else hint
            where = f"in row {row} of {task.name}/{split}"
            raise ConfigError(f"data: label {_written(value)} {where}; must be {allowed}{hint}")
        labels.append(label)
    return Texts([[str(value) for value in table.columns[column]] for column in task.text], labels)


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
    """The task's number of the class that a stored label means, by `order` if the file has another; None if none."""
    if isinstance(value, str):
        return labels.index(value) if value in labels else None
    if not isinstance(value, int | float | Decimal) or value not in range(len(labels)):
        return None
    return int(value) if order is None else order[int(value)]
