"""Run folders: the results in them, what failed, and what is neither."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.errors import ConfigError
from compress.runs.result import failure, run_folders

Document = dict[str, Any]  # JSON


@dataclass(frozen=True)
class Gathered:
    """What a collection holds.

    Attributes:
        documents: one for each result.json, which may also have `folder`.
        failures: one for each experiment that failed: `run_id`, `task`, `model`, `methods`, `seed`, `cause`.
        notes: what was left out, one sentence each.
    """

    documents: list[Document]
    failures: list[Document]
    notes: list[str]


def gather(folder: Path) -> Gathered:
    """Every run folder `<task>/<model>/<methods>/<run_id>` below `folder`.

    Raises:
        ConfigError: no such folder, or nothing finished below it.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give the folder of runs, as in paths.runs")
    collection, unfinished = Gathered([], [], []), Counter[str]()
    for path in run_folders(folder):
        document, problem = _read_result(path)
        if document is not None:
            collection.documents.append(document | {"folder": path})
        elif (failed := _read_failure(path)) is not None:
            collection.failures.append(failed)
        if problem:
            collection.notes.append(f"{path.relative_to(folder)}: left out: {problem}")
        elif document is None and failed is None:
            unfinished["stopped" if (path / "checkpoint").is_dir() else "empty"] += 1
    if unfinished:
        told = {"stopped": "with a checkpoint (running or stopped)", "empty": "without one (starting, or interrupted)"}
        kinds = ", ".join(f"{count} {told[kind]}" for kind, count in unfinished.items())
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


def _read_failure(path: Path) -> Document | None:
    if (cause := failure(path)) is None:
        return None
    task, model, methods, run_id = path.parts[-4:]
    return {"run_id": run_id, "task": task, "model": model, "methods": methods, "seed": _seed(path), "cause": cause}


def _seed(path: Path) -> int | None:
    """From config.yaml; parsing YAML would take longer than all the rest."""
    try:
        seed = re.search(r"^seed: (\d+)$", (path / "config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(seed[1]) if seed else None
