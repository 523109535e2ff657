"""What finished experiments have used of what their jobs asked for, by model: too much memory waits for no reason."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from compress.checked import build
from compress.config.resources import Needs, ResourcesConfig
from compress.errors import ConfigError
from compress.runs import result
from compress.storage.files import signature
from launch.progress import table

GIGABYTE = 2**30


@dataclass(frozen=True)
class Usage:
    """Of one finished experiment that was a job of a scheduler's; None is not known."""

    model: str
    asked: Needs
    memory_bytes: int | None
    gpu_memory_bytes: int | None
    cores: float | None  # that were busy, on average
    seconds: float | None
    requeues: int


def lines(folders: Iterable[Path]) -> list[str]:
    """A table by model, below an empty line: the most that one used, and what was asked for; nothing without jobs."""
    by_model: dict[str, list[Usage]] = defaultdict(list)
    for folder in folders:
        if (usage := of(folder)) is not None:
            by_model[usage.model].append(usage)
    if not by_model:
        return []
    headings = ("used at most / asked for", "memory, GB", "cores", "minutes", "GPU memory, GB", "requeued")
    return ["", table(headings, (_row(model, used) for model, used in by_model.items()))]


def _row(model: str, used: list[Usage]) -> list[str]:
    asked = used[-1].asked  # of an experiment that was run again with other resources they may differ
    memory = max((each.memory_bytes for each in used if each.memory_bytes is not None), default=None)
    gpu = max((each.gpu_memory_bytes for each in used if each.gpu_memory_bytes is not None), default=None)
    cores = max((each.cores for each in used if each.cores is not None), default=None)
    seconds = max((each.seconds for each in used if each.seconds is not None), default=None)
    return [
        model,
        _of(None if memory is None else memory / GIGABYTE, asked.memory_gb),
        _of(cores, asked.cpus),
        _of(None if seconds is None else seconds / 60, asked.timeout_min),
        "" if gpu is None else f"{gpu / GIGABYTE:.1f}",
        str(sum(each.requeues for each in used) or ""),
    ]


def _of(used: float | None, asked: float | None) -> str:
    if used is None:
        return ""
    return f"{used:.1f}" + ("" if asked is None else f" of {asked:g}")


def of(folder: Path) -> Usage | None:
    """What a finished run used; None if it was no scheduler's job, or does not tell."""
    try:
        file = folder / result.FILE
        return _read(file, signature(file))
    except OSError:
        return None


@lru_cache(maxsize=100_000)
def _read(file: Path, signed: tuple[int, ...]) -> Usage | None:
    """A result as it was written then: who watches a sweep reads each once."""
    try:
        document: Mapping[str, Mapping[str, object]] = json.loads(file.read_text(encoding="utf-8"))
        found = result.from_document(document)
        if found.environment.get("job") is None:
            return None
        asked = build(ResourcesConfig, found.config["resources"], "resources.").for_model(found.model)
    except (OSError, ValueError, KeyError, ConfigError):
        return None
    took = found.timing
    cores = took.cpu_seconds / took.wall_seconds if took.cpu_seconds and took.wall_seconds else None
    requeues = found.environment.get("requeues")
    return Usage(found.model, asked, took.memory_bytes, took.gpu_memory_bytes, cores, took.wall_seconds,
                 requeues if isinstance(requeues, int) else 0)  # fmt: skip
