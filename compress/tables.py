"""Tables of texts and labels in Parquet files: found, read with the very bytes that were digested, and checked."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import ConfigError, nearest
from compress.hub import POINTER, Lacking, Repository, digest

if TYPE_CHECKING:
    import pyarrow

    from compress.task import TaskConfig

SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(-[0-9a-f]+)?\.parquet")


@dataclass(frozen=True)
class Table:
    """One split as it is stored.

    Attributes:
        columns: name -> a value for each row.
        names: of the classes, by the numbers in `label`; None where the file does not say.
    """

    columns: Mapping[str, Sequence[Any]]
    names: list[str] | None = None


# --- which files ------------------------------------------------------------------------------------------------------


def aliases(task: TaskConfig) -> dict[str, list[str]]:
    """The names under which a task's splits may be found; its first validation split also as plain `validation`."""
    first, *others = task.validation
    return {"train": ["train"], first: list(dict.fromkeys([first, "validation"])), **{name: [name] for name in others}}


def split_files(names: Collection[str], task: TaskConfig, below: str = "") -> dict[str, list[str]]:
    """The Parquet files of a task's splits; a second validation split may be absent, the first may not.

    `train.parquet`, all of `train-00000-of-00002.parquet` …, or all Parquet files in `train/`.

    Args:
        below: what their names begin with, `sst2/`.

    Raises:
        Lacking: of train or the first validation split nothing, or not every part, is there.
    """
    found = {}
    for number, (split, called) in enumerate(aliases(task).items()):
        files = next((files for name in called if (files := _files(names, f"{below}{name}"))), [])
        if files:
            found[split] = files
        elif number < 2:
            raise Lacking(" or ".join(f"{below}{name}.parquet" for name in called))
    return found


def _files(names: Collection[str], split: str) -> list[str]:
    if f"{split}.parquet" in names:
        return [f"{split}.parquet"]
    shards = [name for name in sorted(names) if (found := SHARD.fullmatch(name)) and found[1] == split]
    return whole(shards) or sorted(name for name in names if re.fullmatch(rf"{re.escape(split)}/[^/]+\.parquet", name))


def whole(files: list[str]) -> list[str]:
    """The files, if those that are parts of something are all of its parts.

    Raises:
        Lacking: a part.
    """
    parts = [found for name in files if (found := SHARD.fullmatch(name))]
    for stem, count in sorted({(part[1], part[3]) for part in parts}):
        there = {int(part[2]) for part in parts if (part[1], part[3]) == (stem, count)}
        if missing := sorted(set(range(int(count))) - there):
            raise Lacking(f"{stem}-{missing[0]:05}-of-{count}.parquet, a part of {stem}")
    return files


def files_of_repository(repository: Repository, task: TaskConfig) -> dict[str, list[str]]:
    """The Parquet files of a task's splits in a data set's repository: as its README says, else `<task>/<split>…`.

    Raises:
        Lacking: they are not there, or are no Parquet files.
    """
    listed = _configured(card(repository), task)
    if not listed:
        return split_files(repository.names, task, f"{task.name}/")
    found = {}
    for number, (split, called) in enumerate(aliases(task).items()):
        patterns = next((listed[name] for name in called if name in listed), [])
        files = sorted(name for name in repository.names if any(fnmatchcase(name, pattern) for pattern in patterns))
        if others := [name for name in files if not name.endswith(".parquet")]:
            raise Lacking(f"Parquet files of {split} (it has {others[0]}; try data.revision=refs/convert/parquet)")
        if files:
            found[split] = whole(files)
        elif number < 2:
            raise Lacking(f"files of {split} in its {task.name}" + (f" ({', '.join(patterns)})" if patterns else ""))
    return found


def card(repository: Repository) -> dict[str, Any]:
    """What the README of a data set says in its head; empty without one.

    Raises:
        Lacking: it is not YAML.
    """
    import yaml

    if "README.md" not in repository.names:
        return {}
    text = repository.get("README.md").read_text(encoding="utf-8", errors="replace")
    head = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        values = yaml.safe_load(head[1]) if head else {}
    except yaml.YAMLError as error:
        raise Lacking(f"a README.md with YAML at its head ({' '.join(str(error).split())[:160]})") from error
    return values if isinstance(values, dict) else {}


def _configured(about: Mapping[str, Any], task: TaskConfig) -> dict[str, list[str]]:
    """Split -> patterns of its files, of the README's configuration that is called like the task."""
    configs = [config for config in about.get("configs") or () if isinstance(config, dict)]
    files = next((config.get("data_files") for config in configs if config.get("config_name") == task.name), None)
    entries = [entry for entry in files or () if isinstance(entry, dict)] if isinstance(files, list) else []
    return {str(entry.get("split")): _listed(entry.get("path")) for entry in entries}


def _listed(paths: Any) -> list[str]:
    return [str(path) for path in paths] if isinstance(paths, list) else [str(paths)]


def names_in_card(about: Mapping[str, Any], task: TaskConfig) -> list[str] | None:
    """The class names that a README gives for the task's labels, in the order of their numbers."""
    infos = about.get("dataset_info") or []
    for info in [infos] if isinstance(infos, dict) else infos:
        if info.get("config_name") == task.name:
            for feature in info.get("features") or ():
                kind = feature.get("dtype")
                if feature.get("name") == "label" and isinstance(kind, dict) and "class_label" in kind:
                    names = kind["class_label"].get("names") or {}
                    ordered = sorted(names.items(), key=lambda entry: int(entry[0])) if isinstance(names, dict) else []
                    return [str(name) for _, name in ordered] or [str(name) for name in names]
    return None


# --- reading ----------------------------------------------------------------------------------------------------------


def read(files: Sequence[Path], what: str) -> Table:
    """The rows of some Parquet files, one after the other.

    Args:
        what: the key and value that messages begin with.

    Raises:
        ConfigError: a file cannot be read, is none, changes meanwhile, or has two columns of one name.
    """
    tables = [_read_file(file, what) for file in files]
    columns = list(tables[0].column_names)
    for file, table in zip(files, tables, strict=True):
        if table.column_names != columns:
            raise ConfigError(f"{what}: {file.name} has the columns {table.column_names}, {files[0].name} {columns}")
    values = {name: [value for table in tables for value in table.column(name).to_pylist()] for name in columns}
    labels = {tuple(names) if (names := _names(table)) else None for table in tables}
    if len(labels) > 1:
        raise ConfigError(f"{what}: {', '.join(file.name for file in files)} name their classes differently")
    classes = labels.pop()
    return Table(values, None if classes is None else list(classes))


def _read_file(file: Path, what: str) -> pyarrow.Table:
    import pyarrow
    from pyarrow import parquet

    try:
        expected, data = digest(file), file.read_bytes()
        if data.startswith(POINTER):
            raise ConfigError(f"{what}: {file.name} is a Git LFS pointer, not the file itself; run git lfs pull there")
        if hashlib.sha256(data).hexdigest() != expected:
            raise ConfigError(f"{what}: {file.name} changed while it was read; run again")
        table = parquet.ParquetFile(pyarrow.BufferReader(data)).read()
        table.validate(full=True)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ConfigError(f"{what}: {file} is no whole Parquet file ({cause}); fetch or write it again") from error
    names = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{what}: {file} has the column {twice[0]} twice; leave one of them out")
    return table


def _names(table: pyarrow.Table) -> list[str] | None:
    """The class names that the file's schema gives for its labels (metadata of the package datasets)."""
    if b"huggingface" not in (table.schema.metadata or {}):
        return None
    from datasets import Features

    try:
        found = getattr(Features.from_arrow_schema(table.schema).get("label"), "names", None)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"data: the metadata of a Parquet file make no sense ({error}); write it again") from error
    return found if found is None else [str(name) for name in found]


# --- checking ---------------------------------------------------------------------------------------------------------


def check(tables: Mapping[str, Table], task: TaskConfig) -> dict[str, tuple[list[list[str]], list[int] | list[float]]]:
    """Split -> text columns and labels in the task's numbers.

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


def _checked(
    split: str, table: Table, order: list[int] | None, task: TaskConfig
) -> tuple[list[list[str]], list[int] | list[float]]:
    for column in (*task.text, "label"):
        if column not in table.columns:
            key = "data" if column == "label" else f"task.text={task.text}"
            raise ConfigError(
                f"{key}: {split} has the columns {', '.join(table.columns)}, no {column}"
                f"{nearest(column, table.columns)}; rename the one that is meant"
                + (" to label" if column == "label" else ", or give its name in task.text")
            )
    if not table.columns["label"]:
        raise ConfigError(f"data: {task.name}/{split} has no rows")
    for column in task.text:
        _check_texts(split, column, table.columns[column], task)
    labels = list(_labels(split, table.columns["label"], order, task))
    return [list(table.columns[column]) for column in task.text], labels


def _check_texts(split: str, column: str, values: Sequence[Any], task: TaskConfig) -> None:
    row = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if row is not None:
        shown = "null" if values[row] is None else f"{values[row]!r:.60}"
        raise ConfigError(
            f"data: {column} in row {row} of {task.name}/{split} is {shown}; must be a text: "
            "leave the row out, or write the column as texts"
        )


def _labels(split: str, values: Sequence[Any], order: list[int] | None, task: TaskConfig) -> Iterable[Any]:
    number = _score if task.labels is None else _class_of(task.labels, order)
    for row, value in enumerate(values):
        found = number(value)
        if found is None:
            shown = "null" if value is None else f"{value!r:.60}"
            allowed = "a finite number"
            if task.labels is not None:
                allowed = f"0 to {len(task.labels) - 1}, or of {', '.join(task.labels)}"
            hint = " (-1 marks rows without a label, as in test splits)" if value == -1 else ""
            raise ConfigError(f"data: label {shown} in row {row} of {task.name}/{split}; must be {allowed}{hint}")
        yield found


def _score(value: Any) -> float | None:
    """A regression's label; None if it is no finite number. A text that reads as one is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _class_of(labels: Sequence[str], order: list[int] | None) -> Any:
    """A function of a stored label that gives the task's number of the class; None if it is none."""
    numbers = list(range(len(labels))) if order is None else order

    def class_of(value: Any) -> int | None:
        if isinstance(value, str):
            return labels.index(value) if value in labels else None
        if not isinstance(value, int | float) or value not in range(len(numbers)):
            return None
        return numbers[int(value)]

    return class_of
