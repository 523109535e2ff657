"""A whole collection of results as one small file, to be kept or given away without the models.

`<name>.jsonl.gz`: a line of JSON for each result.json, whole but for the paths of the machine it was made on; then
`{"failure": …}` for each experiment that failed and `{"note": …}` for what else a reader must know.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from analysis.read.folders import Document, Gathered, gather
from compress.errors import ConfigError
from compress.storage.files import write_bytes

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
    whole = _together([gathered(place) for place in places])
    lines = [*whole.documents, *({"failure": failed} for failed in whole.failures),
             *({"note": note} for note in whole.notes)]  # fmt: skip
    text = "".join(f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n" for line in lines)
    write_bytes(file, gzip.compress(text.encode(), mtime=0))
    return whole


def gathered(place: Path) -> Gathered:
    """What a folder of runs or a file of results holds.

    Raises:
        ConfigError: as `gather` and `read`.
    """
    return read(place) if place.is_file() else gather(place)


def _together(collections: Sequence[Gathered]) -> Gathered:
    documents: dict[object, Document] = {}
    failures: dict[object, Document] = {}
    for collection in collections:
        for document in collection.documents:
            documents.setdefault(document.get("run_id"), _portable(document))
        for failure in collection.failures:
            failures.setdefault(failure.get("run_id"), failure)
    failed = [failure for run_id, failure in failures.items() if run_id not in documents]
    return Gathered([*documents.values()], failed, [note for collection in collections for note in collection.notes])


def _portable(document: Document) -> Document:
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
    collection = Gathered([], [], [])
    for line in _lines(file):
        if "failure" in line:
            collection.failures.append(line["failure"])
        elif "note" in line:
            collection.notes.append(line["note"])
        else:
            collection.documents.append(line)
    return collection


def _lines(file: Path) -> Iterator[Document]:
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
