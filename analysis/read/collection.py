"""What a collection of results holds: a folder of runs, or one small file to be kept or given away without the models.

`<name>.jsonl.gz`: a line of JSON for each result.json, whole but for the paths of the machine it was made on; then
`{"failure": …}` for each experiment that failed and `{"note": …}` for what else a reader must know.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.errors import ConfigError
from compress.runs.result import failure, run_folders
from compress.storage.files import write_bytes

SUFFIX = ".jsonl.gz"
Document = dict[str, Any]  # JSON


@dataclass(frozen=True)
class Gathered:
    """What a collection holds.

    Attributes:
        documents: one for each result.json, which may also have `folder`.
        failures: one for each experiment that failed: `run_id`, `task`, `model`, `methods`, `seed`, `cause`.
        notes: what was left out, one sentence each.
    """

    documents: list[Document] = field(default_factory=list)
    failures: list[Document] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def gathered(place: Path) -> Gathered:
    """What a folder of runs or a file of results holds; ConfigError as `gather` and `read`."""
    return read(place) if place.is_file() else gather(place)


def gather(folder: Path) -> Gathered:
    """Every run folder `<task>/<model>/<methods>/<run_id>` below `folder`; ConfigError if nothing there is finished."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give the folder of runs, as in paths.runs")
    collection, unfinished = Gathered(), Counter[str]()
    for path in run_folders(folder):
        document, problem = _read_result(path)
        if document is not None:
            collection.documents.append(document | {"folder": path})
        elif (cause := failure(path)) is not None:
            task, model, methods, run_id = path.parts[-4:]
            cell = {"run_id": run_id, "task": task, "model": model, "methods": methods, "seed": _seed(path)}
            collection.failures.append({**cell, "cause": cause})
        elif not problem:
            stopped = (path / "checkpoint").is_dir()
            kind = "with a checkpoint (running or stopped)" if stopped else "without one (starting, or interrupted)"
            unfinished[kind] += 1
        if problem:
            collection.notes.append(f"{path.relative_to(folder)}: left out: {problem}")
    if unfinished:
        kinds = ", ".join(f"{count} {kind}" for kind, count in unfinished.items())
        collection.notes.append(f"{unfinished.total()} run folders hold no result: {kinds}")
    if not collection.documents:
        raise ConfigError(
            f"{folder}: no finished run below it (looked for <task>/<model>/<methods>/<run_id>/result.json;"
            f" {len(collection.failures)} failed, {unfinished.total()} unfinished)"
        )
    return collection


def _read_result(path: Path) -> tuple[Document | None, str | None]:
    """The document, or what is wrong with it; neither where there is none."""
    try:
        document = json.loads((path / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError) as error:
        return None, f"result.json cannot be read ({error})"
    if not isinstance(document, dict) or document.get("run_id") != path.name:
        return None, "result.json does not hold the id that its folder is named by"
    return document, None


def _seed(path: Path) -> int | None:
    """From config.yaml; parsing YAML would take longer than all the rest."""
    try:
        seed = re.search(r"^seed: (\d+)$", (path / "config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(seed[1]) if seed else None


def read(file: Path) -> Gathered:
    """What `write` has written; ConfigError if it is something else, or damaged."""
    collection, whole = Gathered(), 0
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                if not isinstance(line, dict):
                    raise ValueError(f"{line!r} is not a result")
                if "failure" in line:
                    collection.failures.append(line["failure"])
                elif "note" in line:
                    collection.notes.append(line["note"])
                else:
                    collection.documents.append(line)
                whole += 1
    except (OSError, EOFError, ValueError) as error:
        raise ConfigError(
            f"{file}: cannot be read after line {whole} ({error}); give a folder of runs, or what "
            "`python -m analysis collect` has written"
        ) from error
    return collection


def write(places: Iterable[Path], file: Path) -> Gathered:
    """Write what folders of runs, and files like this one, hold together; the same runs give the same bytes.

    Of an experiment that several places have, the first counts, and a result more than a failure. ConfigError as
    `gathered`, or for a file of another name.
    """
    if not file.name.endswith(SUFFIX):
        raise ConfigError(f"--out {file}: must end in {SUFFIX}")
    documents: dict[object, Document] = {}
    failures: dict[object, Document] = {}
    notes = []
    for collection in map(gathered, places):
        for document in collection.documents:
            held = {key: value for key, value in document.items() if key != "folder"}
            if isinstance(config := held.get("config"), dict):
                held["config"] = {key: value for key, value in config.items() if key != "paths"}
            documents.setdefault(document.get("run_id"), held)
        for failed in collection.failures:
            failures.setdefault(failed.get("run_id"), failed)
        notes += collection.notes
    remaining = [failed for run_id, failed in failures.items() if run_id not in documents]
    whole = Gathered([*documents.values()], remaining, notes)
    lines = [*whole.documents, *({"failure": failed} for failed in remaining), *({"note": note} for note in notes)]
    text = "".join(f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n" for line in lines)
    write_bytes(file, gzip.compress(text.encode(), mtime=0))
    return whole
