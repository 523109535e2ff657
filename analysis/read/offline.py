"""Reads `.wandb` files, which the client of Weights & Biases writes below every tracked run: no server is needed.

A file is a log of records in the format of LevelDB's: a header of 7 bytes, then blocks of 32 KiB. A record is one or
more chunks, none across the end of a block, each behind a header of 7 bytes: CRC-32, length, and whether it is the
whole record (1), its first (2), middle (3) or last (4) part. Records are protocol buffers (`wandb.proto`). The client
has no public reader since version 0.30. A process that is killed leaves a torn end, which is skipped.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from analysis.read.collection import Document
from analysis.read.online import TrackedRun, as_results
from analysis.read.results import Results
from compress.errors import ConfigError

BLOCK = 32 * 1024
FILE_HEADER = struct.Struct("<4sHB")  # identifier, magic number, version
CHUNK_HEADER = struct.Struct("<IHB")  # checksum, length, kind
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read_offline(folder: Path, recipe: str | None = None) -> Results:
    """The table of all runs that have a `.wandb` file somewhere below a folder; ConfigError if there is none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give the folder of runs, or any that has .wandb files below it")
    files = sorted(folder.rglob("*.wandb"), key=lambda file: (file.stem, file.parent.name.partition("run-")[2]))
    if not files:
        raise ConfigError(f"{folder}: no .wandb files below it; runs with tracking=none have none: --source runs")
    runs: dict[str, TrackedRun] = {}
    for file in files:  # of one run the oldest first: an interrupted one has several
        read_into(runs, file)
    return as_results(runs.values(), f"{len(files)} .wandb files below {folder}", recipe)


def read_into(runs: dict[str, TrackedRun], file: Path) -> None:
    from wandb.proto import wandb_internal_pb2

    run: TrackedRun | None = None
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)  # type: ignore[attr-defined] # made when it is imported
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = runs.setdefault(record.run.run_id, TrackedRun(record.run.run_id))
            run.state = "running"
            _update(run.config, record.run.config.update)
        elif run is None:
            continue
        elif kind == "config":
            _update(run.config, record.config.update)
        elif kind == "summary":
            _update(run.summary, record.summary.update)
        elif kind == "preempting":
            run.state = "preempting"
        elif kind == "exit" and run.state != "preempting":
            run.state = "failed" if record.exit.exit_code else "finished"


def records(log: bytes) -> Iterator[bytes]:
    """The records of a log (ConfigError if it is none); what is damaged is skipped up to the next block."""
    if len(log) < FILE_HEADER.size or FILE_HEADER.unpack_from(log) != (b":W&B", 0xBEE1, 0):
        raise ConfigError("a .wandb file does not begin as one: it is damaged, or of another version of the client")
    position, parts = FILE_HEADER.size, list[bytes]()
    while position + CHUNK_HEADER.size <= len(log):
        left = BLOCK - position % BLOCK
        if left < CHUNK_HEADER.size:
            position += left
            continue
        checksum, length, kind = CHUNK_HEADER.unpack_from(log, position)
        start = position + CHUNK_HEADER.size
        data = log[start : start + length]
        sound = len(data) == length and kind in (WHOLE, FIRST, MIDDLE, LAST)
        if not sound or zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum:
            position, parts = position + left, []
            continue
        position = start + length
        if kind in (WHOLE, FIRST):
            parts = [data]
        elif parts:
            parts.append(data)
        if kind in (WHOLE, LAST) and parts:
            yield b"".join(parts)
            parts = []


def _update(values: Document, items: Sequence[Any]) -> None:
    for item in items:
        *outer, last = tuple(item.nested_key) or (item.key,)
        inside = values
        for key in outer:
            inside = inside.setdefault(key, {})
        inside[last] = json.loads(item.value_json)
