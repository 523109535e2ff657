"""Tables of texts and labels, read from Parquet files: with the very bytes that were digested."""

from __future__ import annotations

import hashlib
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
    """One split as it is parquet_file.

    Attributes:
        columns: name -> a value for each row; none for columns that nobody wanted.
        names: of the classes, by the numbers in `label`; None where the file does not say.
    """

    columns: Mapping[str, Sequence[object]]
    names: list[str] | None = None


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
        parquet_file = parquet.ParquetFile(pyarrow.BufferReader(data))
        names = parquet_file.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{what}: {file} has the column {twice[0]} twice; leave one of them out")
        table = parquet_file.read(columns=[name for name in names if name in wanted])
        table.validate(full=True)
        columns = {name: table.column(name).to_pylist() if name in wanted else [] for name in names}
    except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:
        raise ConfigError(
            f"{what}: {file} is no whole Parquet file ({first_line(error):.160}); fetch or write it again"
        ) from error
    return Table(columns, _names(parquet_file.schema_arrow, file, what))


def _names(schema: pyarrow.Schema, file: Path, what: str) -> list[str] | None:
    """The class names that a file's schema gives for its labels (metadata of the package datasets)."""
    if b"huggingface" not in (schema.metadata or {}):
        return None
    from datasets import Features

    try:
        names = getattr(Features.from_arrow_schema(schema).get("label"), "names", None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{what}: the metadata of {file} make no sense ({first_line(error):.160}); write it again"
        ) from error
    return [str(name) for name in names] if names else None
