"""Whole files: text, bytes and JSON, put in place at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from compress.storage import atomic


def signature(file: Path) -> tuple[int, ...]:
    """What tells a file from another that is put in its place; OSError if there is none."""
    state = file.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of a text in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Put a whole file in place, or leave what was there."""
    with atomic.new_file(path) as stream:
        stream.write(data)


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """`write_text` of an indented document; NaN is refused: what is undefined is null."""
    write_text(path, as_json(document))


def as_json(document: Mapping[str, object]) -> str:
    """An indented document; NaN is refused."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
