"""Tables of texts and labels in Parquet files: found, read with the very bytes that were digested, and checked."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import ConfigError, nearest
from compress.storage.digests import digest
from compress.storage.repositories import POINTER, Lacking, Repository

if TYPE_CHECKING:
    import pyarrow

    from compress.task.config import TaskConfig

SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(-[0-9a-f]+)?\.parquet")


@dataclass(frozen=True)
class Table:
    """One split as it is stored.

    Attributes:
        columns: name -> a value for each row; none for columns that nobody wanted.
        names: of the classes, by the numbers in `label`; None where the file does not say.
    """

    columns: Mapping[str, Sequence[object]]
    names: list[str] | None = None


# --- which files ------------------------------------------------------------------------------------------------------


def aliases(task: TaskConfig) -> dict[str, list[str]]:
    """The names under which a task's splits may be found; its first validation split also as plain `validation`."""
    first, *others = task.validation
    return {"train": ["train"], first: list(dict.fromkeys([first, "validation"])), **{name: [name] for name in others}}


def split_files(names: Collection[str], task: TaskConfig, below: str = "") -> dict[str, list[str]]:
    """The Parquet files of a task's splits; a second validation split may be absent, the first may not.

    `train.parquet`, all of `train-00000-of-00002.parquet` …, or all Parquet files in `train/` or `train.parquet/`.

    Args:
        below: what their names begin with, `sst2/`.

    Raises:
        Lacking: of train or the first validation split nothing, or not every part, is there, or more than one set.
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
    one = [name for name in names if name == f"{split}.parquet"]
    parts = [name for name in sorted(names) if (found := SHARD.fullmatch(name)) and found[1] == split]
    inside = [name for name in sorted(names) if re.fullmatch(rf"{re.escape(split)}(\.parquet)?/[^/]+\.parquet", name)]
    sets = [files for files in (one, parts, inside) if files]
    if len(sets) > 1:
        raise Lacking(f"one set of files of {split}: {' or '.join(files[0] for files in sets)} must go")
    return whole(sets[0]) if sets else []


def whole(files: list[str]) -> list[str]:
    """The files, if those that are parts of something are all of its parts, each once.

    Raises:
        Lacking: a part, or one set of parts where there are several.
    """
    parts = [found for name in files if (found := SHARD.fullmatch(name))]
    for stem in sorted({part[1] for part in parts}):
        mine = [part for part in parts if part[1] == stem]
        numbers, counts = [int(part[2]) for part in mine], {part[3] for part in mine}
        if len(set(numbers)) < len(numbers) or len(counts) > 1:
            raise Lacking(f"one set of parts of {stem}: of {', '.join(part[0] for part in mine)} some must go")
        if missing := sorted(set(range(int(mine[0][3]))) - set(numbers)):
            raise Lacking(f"{stem}-{missing[0]:05}-of-{mine[0][3]}.parquet, a part of {stem}")
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
        files = sorted(name for name in repository.names if any(_matches(name, pattern) for pattern in patterns))
        if others := [name for name in files if not name.endswith(".parquet")]:
            raise Lacking(f"Parquet files of {split} (it has {others[0]}; try data.revision=refs/convert/parquet)")
        if files:
            found[split] = whole(files)
        elif number < 2:
            raise Lacking(f"files of {split} in its {task.name}" + (f" ({', '.join(patterns)})" if patterns else ""))
    return found


def _matches(name: str, pattern: str) -> bool:
    """Whether a path is one that a pattern means: `*` is within a folder, `**` is any number of folders."""

    def match(parts: list[str], patterns: list[str]) -> bool:
        if not patterns:
            return not parts
        if patterns[0] == "**":
            return match(parts, patterns[1:]) or (bool(parts) and match(parts[1:], patterns))
        return bool(parts) and fnmatchcase(parts[0], patterns[0]) and match(parts[1:], patterns[1:])

    return match(name.split("/"), pattern.removeprefix("./").split("/"))


def card(repository: Repository) -> dict[str, object]:
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


def _configured(about: Mapping[str, object], task: TaskConfig) -> dict[str, list[str]]:
    """Split -> patterns of its files, of the README's configuration that is called like the task."""
    configs = _dictionaries(about.get("configs"))
    files = next((config.get("data_files") for config in configs if config.get("config_name") == task.name), None)
    return {str(entry.get("split")): _listed(entry.get("path")) for entry in _dictionaries(files)}


def _dictionaries(found: object) -> list[dict[str, object]]:
    """Those in a list; a single one counts as a list."""
    return [entry for entry in (found if isinstance(found, list) else [found]) if isinstance(entry, dict)]


def _listed(paths: object) -> list[str]:
    return [str(path) for path in paths] if isinstance(paths, list) else [str(paths)]


def names_in_card(about: Mapping[str, object], task: TaskConfig) -> list[str] | None:
    """The class names that a README gives for the task's labels, in the order of their numbers.

    Raises:
        Lacking: it gives names, but not by number.
    """
    infos = [info for info in _dictionaries(about.get("dataset_info")) if info.get("config_name") == task.name]
    features = [feature for info in infos for feature in _dictionaries(info.get("features"))]
    kinds = [kind for feature in features if feature.get("name") == "label" for kind in _dictionaries(feature["dtype"])]
    names = next((label.get("names") for kind in kinds for label in _dictionaries(kind.get("class_label"))), None)
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        names = [numbered.get(str(number)) for number in range(len(names))]
    if not names:
        return None
    if not isinstance(names, list) or None in names:
        raise Lacking(f"the names of {task.name}'s classes by their numbers in its README.md")
    return [str(name) for name in names]


# --- reading ----------------------------------------------------------------------------------------------------------


def read(files: Sequence[Path], what: str, wanted: Collection[str]) -> Table:
    """The rows of some Parquet files, one after the other.

    Args:
        what: the key and value that messages begin with.
        wanted: columns that are read, if they are there; others may hold anything.

    Raises:
        ConfigError: a file cannot be read, is none, changes meanwhile, or has two columns of one name.
    """
    tables = [_read_file(file, what, wanted) for file in files]
    for file, table in zip(files, tables, strict=True):
        if table.columns.keys() != tables[0].columns.keys():
            raise ConfigError(
                f"{what}: {file.name} has the columns {', '.join(table.columns)}, {files[0].name} "
                f"{', '.join(tables[0].columns)}; write all parts of a split alike"
            )
    if any(table.names != tables[0].names for table in tables):
        raise ConfigError(
            f"{what}: {', '.join(file.name for file in files)} name their classes differently; "
            "write all parts of a split alike"
        )
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
        stored = parquet.ParquetFile(pyarrow.BufferReader(data))
        names = stored.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{what}: {file} has the column {twice[0]} twice; leave one of them out")
        table = stored.read(columns=[name for name in names if name in wanted])
        table.validate(full=True)
        columns = {name: table.column(name).to_pylist() if name in wanted else [] for name in names}
    except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:
        raise ConfigError(
            f"{what}: {file} is no whole Parquet file ({_cause(error)}); fetch or write it again"
        ) from error
    return Table(columns, _names(stored.schema_arrow, file, what))


def _names(schema: pyarrow.Schema, file: Path, what: str) -> list[str] | None:
    """The class names that a file's schema gives for its labels (metadata of the package datasets)."""
    if b"huggingface" not in (schema.metadata or {}):
        return None
    from datasets import Features

    try:
        found = getattr(Features.from_arrow_schema(schema).get("label"), "names", None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{what}: the metadata of {file} make no sense ({_cause(error)}); write it again") from error
    return [str(name) for name in found] if found else None


def _cause(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


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
        raise ConfigError(f"data: {task.name}/{split} has no rows; give some")
    for column in task.text:
        _check_texts(split, column, table.columns[column], task)
    labels = list(_labels(split, table.columns["label"], order, task))
    return [list(table.columns[column]) for column in task.text], labels


def _check_texts(split: str, column: str, values: Sequence[object], task: TaskConfig) -> None:
    row = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if row is not None:
        shown = "null" if values[row] is None else f"{values[row]!r:.60}"
        raise ConfigError(
            f"data: {column} in row {row} of {task.name}/{split} is {shown}; must be a text: "
            "leave the row out, or write the column as texts"
        )


def _labels(split: str, values: Sequence[object], order: list[int] | None, task: TaskConfig) -> Iterable[Any]:
    number = _score if task.labels is None else _class_of(task.labels, order)
    for row, value in enumerate(values):
        found = number(value)
        if found is None:
            shown = "null" if value is None else f"{value!r:.60}"
            allowed = "a finite number"
            if task.labels is not None:
                allowed = f"0 to {len(task.labels) - 1}, or of {', '.join(task.labels)}"
            hint = " (-1 marks rows without a label, as in test splits)" if value == -1 else ""
            hint = "; write the column as numbers" if isinstance(value, str) and value.strip().isdecimal() else hint
            raise ConfigError(f"data: label {shown} in row {row} of {task.name}/{split}; must be {allowed}{hint}")
        yield found


def _score(value: object) -> float | None:
    """A regression's label; None if it is no finite number. A text that reads as one is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _class_of(labels: Sequence[str], order: list[int] | None) -> object:
    """A function of a stored label that gives the task's number of the class; None if it is none."""
    numbers = list(range(len(labels))) if order is None else order

    def class_of(value: object) -> int | None:
        if isinstance(value, str):
            return labels.index(value) if value in labels else None
        if not isinstance(value, int | float | Decimal) or value not in range(len(numbers)):
            return None
        return numbers[int(value)]

    return class_of
