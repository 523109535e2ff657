"""result.json: one flat, versioned document per finished experiment; no torch needed to read it."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from compress import atomic
from compress.errors import ConfigError

SCHEMA = 1  # of result.json and of the identity in it
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
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def read(folder: Path, run_id: str) -> dict[str, Any] | None:
    """The result in a run folder if the experiment is finished: it is there, parses, and holds the id.

    Raises:
        ConfigError: there is one that this user may not read, so that nobody knows.
    """
    file = folder / "result.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); have it made readable, or remove it") from error
    finished = isinstance(document, dict) and document.get("run_id") == run_id and document.get("schema") == SCHEMA
    return document if finished else None


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
    here = Path(__file__).resolve().parents[1]
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
