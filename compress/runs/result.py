"""result.json: one flat, versioned document per finished experiment; no torch needed to read it."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from compress.errors import ConfigError
from compress.storage import atomic

SCHEMA = 1  # of result.json and of the identity in it
FILE = "result.json"
RUN_ID = re.compile("[0-9a-f]{12}")
SCORE = (int, float, type(None))  # null: undefined
WHOLE: Mapping[str, type | tuple[type, ...]] = {  # what a result without these is none
    "schema": int,
    "run_id": str,
    "model": str,
    "task": str,
    "methods": list,
    "seed": int,
    "metrics": dict,
    "score_glue": SCORE,
    "score_accuracy": SCORE,
    "size": dict,
    "timing": dict,
    "config": dict,
    "identity": dict,
    "environment": dict,
}
CPU_FLAGS = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of a text in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Put a whole file in place, or leave what was there."""
    with atomic.new_file(path) as stream:
        stream.write(data)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """`write_text` of an indented document; NaN is refused: what is undefined is null."""
    write_text(path, _as_text(document))


def _as_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


@contextmanager
def written_last(folder: Path, document: Mapping[str, Any]) -> Iterator[None]:
    """A context for what comes before a result, which is on disk already and put in place when the context ends well.

    Raises:
        OSError: it cannot be written; nothing else was done.
    """
    with atomic.new_file(folder / FILE) as stream:
        stream.write(_as_text(document).encode())
        stream.flush()
        os.fsync(stream.fileno())
        yield


def read(folder: Path, run_id: str) -> dict[str, Any] | None:
    """The result in a run folder if the experiment is finished: it is there, parses, is whole, and holds the id.

    Raises:
        ConfigError: there is one that this user may not read, so that nobody knows.
    """
    file = folder / FILE
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); have it made readable, or remove it") from error
    return document if _is_whole(document) and (document["run_id"], document["schema"]) == (run_id, SCHEMA) else None


def _is_whole(document: Any) -> bool:
    return isinstance(document, dict) and all(
        name in document and isinstance(document[name], kind) for name, kind in WHOLE.items()
    )


def run_folders(runs: Path) -> Iterator[Path]:
    """Every run folder `<task>/<model>/<methods>/<run_id>`, in order; not those of another folder of runs below it."""
    for folder in sorted(runs.glob("[!.]*/[!.]*/[!.]*/*/")):
        if RUN_ID.fullmatch(folder.name):
            yield folder


def failure(folder: Path) -> str | None:
    """What an experiment failed of, in one line, as error.json says; None without one."""
    try:
        error = json.loads((folder / "error.json").read_text(encoding="utf-8"))
        return f"{error['type']}: {(str(error['message']).splitlines() or [''])[0]}"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as damage:
        return f"error.json cannot be read ({damage})"


@cache
def environment() -> dict[str, Any]:
    """Versions, processor and commit: what may make two runs of one experiment differ."""
    import torch
    import transformers

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_flags": [flag for flag in CPU_FLAGS if flag in _cpu_info("flags", "Features").split()],
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
    }


def _cpu_info(*keys: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() in keys), "")


def _cpu_name() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """Commit of the source tree, with `+` where files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
