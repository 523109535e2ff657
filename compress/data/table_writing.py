"""Rows as a file: CSV, TSV, JSON lines or Parquet, told by the ending of its name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def content(columns: Mapping[str, Sequence[object]], suffix: str) -> bytes:
    """What a file of one of `FORMATS` holds, as `tables.read` reads it again; a column has a value for each row."""
    rows = zip(*columns.values(), strict=True)
    if suffix == ".parquet":
        return _parquet(columns)
    if suffix == ".jsonl":
        lines = (json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, default=str) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode()
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter="," if suffix == ".csv" else "\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue().encode()


def _parquet(columns: Mapping[str, Sequence[object]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), stream)
    return stream.getvalue()
