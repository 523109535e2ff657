"""The rows of a split as its files have them: Parquet, CSV, TSV or JSON lines; the very bytes that were digested.

CSV and JSON are read by Python's own readers: they refuse a stray quote, where pyarrow's joins rows to one, and they
know the line of whatever is wrong.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import ConfigError, first_line
from compress.storage.digests import digest
from compress.storage.repositories import POINTER

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Table:
    """One split as its files have it."""

    columns: Mapping[str, Sequence[object]]  # a value for each row; none for columns that nobody wanted
    names: list[str] | None = None  # of the classes, by the numbers of the label; None where the file does not say
    untyped: bool = False  # whether numbers are written as texts, as in CSV


def read(files: Sequence[Path], what: str, wanted: Collection[str] | None, label: str) -> Table:
    """The rows of some files, one after the other; of columns only those that are wanted, if they are there.

    None wants all that the first file has.

    Messages begin with `what`; `label` is the column whose classes a file may name.
    """
    tables = [_read_file(file, what, wanted, label) for file in files]
    needed = tables[0].columns.keys() if wanted is None else {*wanted}
    for file, table in zip(files, tables, strict=True):
        if needed & table.columns.keys() != needed & tables[0].columns.keys():
            others = f"{files[0].name} {', '.join(tables[0].columns)}; write all parts of a split alike"
            raise ConfigError(f"{what}: {file.name} has the columns {', '.join(table.columns)}, {others}")
    if any(table.names != tables[0].names for table in tables):
        names = ", ".join(file.name for file in files)
        raise ConfigError(f"{what}: {names} name their classes differently; write all parts of a split alike")
    columns = {name: [value for table in tables for value in table.columns.get(name, ())] for name in tables[0].columns}
    return Table(columns, tables[0].names, tables[0].untyped)


def _read_file(file: Path, what: str, wanted: Collection[str] | None, label: str) -> Table:
    try:
        expected, data = digest(file), file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what}: {file} cannot be read ({error.strerror}); let this user read it") from error
    if data.startswith(POINTER):
        raise ConfigError(f"{what}: {file.name} is a Git LFS pointer, not the file itself; run git lfs pull there")
    if hashlib.sha256(data).hexdigest() != expected:
        raise ConfigError(f"{what}: {file.name} changed while it was read; run again")
    place = f"{what}: {file}"
    if file.suffix == ".parquet":
        return _parquet(data, place, wanted, label)
    suffixes = [suffix for suffix in file.suffixes if suffix != ".gz"]
    text = _text(_unpacked(data, place) if file.suffix == ".gz" else data, place)
    if suffixes[-1] in (".csv", ".tsv"):
        return _csv(text, place, wanted, "," if suffixes[-1] == ".csv" else "\t")
    return _json(text, place, wanted)


def _unpacked(data: bytes, place: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        cause = f"is no whole gzip file ({first_line(error):.160}); fetch or write it again"
        raise ConfigError(f"{place} {cause}") from error


def _text(data: bytes, place: str) -> str:
    """A file's text, without the mark that some editors begin it with; ConfigError with the line that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        told = f"line {line} of it is not UTF-8 (byte 0x{data[error.start]:02x}); write the file as UTF-8"
        raise ConfigError(f"{place}: {told}") from error


def _csv(text: str, place: str, wanted: Collection[str] | None, separator: str) -> Table:
    """The columns that the first line names; a quoted text may have line breaks, and quotes that are doubled."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ConfigError(f"{place}: line {line} has a NUL character; take it out, the file may be damaged there")
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    rows: list[list[str]] = []
    try:
        names = next(reader, [])
        for row in reader:
            if row and len(row) != len(names):
                told = f"{len(row)} values, and the first line names {len(names)} columns ({', '.join(names)})"
                fix = "quote texts that have a separator or a quote"
                raise ConfigError(f"{place}: line {reader.line_num} has {told}; {fix}")
            rows += [row] if row else []
    except csv.Error as error:
        fix = 'write "" for a quote in a quoted text, or write JSON lines'
        raise ConfigError(f"{place}: line {reader.line_num}: {error}; {fix}") from error
    _refuse_twice(names, place)
    columns = {name: [row[at] for row in rows] if _is_wanted(name, wanted) else [] for at, name in enumerate(names)}
    return Table(columns, untyped=True)


def _json(text: str, place: str, wanted: Collection[str] | None) -> Table:
    """The keys of one object for each line, or for each entry of one list; a key that a row lacks is null there."""
    rows: list[dict[str, object]] = []
    for number, value in _values(text, place):
        if not isinstance(value, dict):
            example = '{"text": "…", "label": …}'
            raise ConfigError(f"{place}: {number} is {json.dumps(value):.60}; must be an object such as {example}")
        rows.append(value)
    names = dict.fromkeys(name for row in rows for name in row)
    return Table({name: [row.get(name) for row in rows] if _is_wanted(name, wanted) else [] for name in names})


def _values(text: str, place: str) -> list[tuple[str, object]]:
    """What a file of JSON holds, and where."""
    line, whole = 1, text.lstrip().startswith("[")
    try:
        if whole:
            return [(f"entry {number}", value) for number, value in enumerate(json.loads(text))]
        found = []
        for line, row in enumerate(text.split("\n"), 1):
            if row.strip():
                found.append((f"line {line}", json.loads(row)))
        return found
    except (json.JSONDecodeError, RecursionError) as error:
        line = error.lineno if whole and isinstance(error, json.JSONDecodeError) else line
        cause = f"line {line} of it is no JSON ({first_line(error):.160})"
        raise ConfigError(f"{place}: {cause}; write one object on each line") from error


def _is_wanted(name: str, wanted: Collection[str] | None) -> bool:
    return wanted is None or name in wanted


def _refuse_twice(names: Sequence[str], place: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{place} has the column {twice[0]} twice; leave one of them out")


def _parquet(data: bytes, place: str, wanted: Collection[str] | None, label: str) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        parquet_file = parquet.ParquetFile(pyarrow.BufferReader(data))
        names = parquet_file.schema_arrow.names
        _refuse_twice(names, place)
        table = parquet_file.read(columns=[name for name in names if _is_wanted(name, wanted)])
        table.validate(full=True)
        columns = {name: table.column(name).to_pylist() if _is_wanted(name, wanted) else [] for name in names}
    except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:
        cause = f"is no whole Parquet file ({first_line(error):.160}); fetch or write it again"
        raise ConfigError(f"{place} {cause}") from error
    return Table(columns, _names(parquet_file.schema_arrow, place, label))


def _names(schema: pyarrow.Schema, place: str, label: str) -> list[str] | None:
    """The class names that a file's schema gives for its labels (metadata of the package datasets)."""
    if b"huggingface" not in (schema.metadata or {}):
        return None
    from datasets import Features

    try:
        names = getattr(Features.from_arrow_schema(schema).get(label), "names", None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        cause = f"make no sense ({first_line(error):.160}); write it again"
        what, _, file = place.rpartition(": ")
        raise ConfigError(f"{what}: the metadata of {file} {cause}") from error
    return [str(name) for name in names] if names else None
