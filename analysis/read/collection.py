"""A whole collection of results as one small file, to be kept or given away without the models.

`<name>.jsonl.gz`: a line of JSON for each result.json, whole but for the paths of the machine it was made on; then
`{"failure": …}` for each experiment that failed and `{"note": …}` for what else a reader must know.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from analysis.read.folders import Gathered, gather
from compress.errors import ConfigError
from compress.runs.result import write_bytes

SUFFIX = ".jsonl.gz"


def write(places: Iterable[Path], file: Path) -> Gathered:
    """Write what folders of runs, and files like this one, hold together; the same runs give the same bytes.

    Of an experiment that several places have, the first counts, and a result more than a failure.

    Returns:
        What was written.

    Raises:
        ConfigError: nothing finished, a file of another kind, or one that cannot be read.
    """
    if not file.name.endswith(SUFFIX):
        raise ConfigError(f"--out {file}: must end in {SUFFIX}")
    found = _together([found_in(place) for place in places])
    lines = [*found.documents, *({"failure": own} for own in found.failures), *({"note": own} for own in found.notes)]
    text = "".join(f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n" for line in lines)
    write_bytes(file, gzip.compress(text.encode(), mtime=0))
    return found


def found_in(place: Path) -> Gathered:
    """What a folder of runs or a file of results holds.

    Raises:
        ConfigError: as `gather` and `read`.
    """
    return read(place) if place.is_file() else gather(place)


def _together(parts: Sequence[Gathered]) -> Gathered:
    documents: dict[Any, dict[str, Any]] = {}
    failures: dict[Any, dict[str, Any]] = {}
    for part in parts:
        for own in part.documents:
            documents.setdefault(own.get("run_id"), _portable(own))
        for own in part.failures:
            failures.setdefault(own.get("run_id"), own)
    failed = [own for run_id, own in failures.items() if run_id not in documents]
    return Gathered([*documents.values()], failed, [note for part in parts for note in part.notes])


def _portable(document: dict[str, Any]) -> dict[str, Any]:
    """Without where it lies."""
    config = document.get("config")
    if isinstance(config, dict):
        document = document | {"config": {key: value for key, value in config.items() if key != "paths"}}
    return {key: value for key, value in document.items() if key != "folder"}


def read(file: Path) -> Gathered:
    """What `write` has written.

    Raises:
        ConfigError: it is something else, or damaged.
    """
    found = Gathered([], [], [])
    for line in _lines(file):
        if "failure" in line:
            found.failures.append(line["failure"])
        elif "note" in line:
            found.notes.append(line["note"])
        else:
            found.documents.append(line)
    return found


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    whole = 0
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise ValueError(f"{value!r} is not a result")
                yield value
                whole += 1
    except (OSError, EOFError, ValueError) as error:
        raise ConfigError(
            f"{file}: cannot be read after line {whole} ({error}); give a folder of runs, or what "
            "`python -m analysis collect` has written"
        ) from error
