"""Where a run was: what may make two runs of one experiment differ."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CPU_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm")


def environment() -> dict[str, object]:
    """Versions, processor and commit."""
    import torch

    return {**unchanging(), "threads": torch.get_num_threads()}


@cache
def unchanging() -> dict[str, object]:
    """What is the same in all processes that are forked from this one."""
    import torch
    import transformers

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "platform": platform.platform(),
        "cpu": _cpu_info("model name") or platform.processor() or platform.machine(),
        "cpu_flags": cpu_flags(),
        "git_commit": commit(),
    }


def cpu_flags() -> list[str]:
    """Those of `CPU_FLAGS` that this processor has; empty where it does not say."""
    there = set(_cpu_info("flags", "Features").split())
    return [flag for flag in CPU_FLAGS if flag in there]


def place(device: str) -> dict[str, object]:
    """Where a run is, flat: host, device and commit."""
    return {"host": platform.node(), "device": device, "commit": commit()}


def allocation() -> dict[str, object]:
    """The host, and of SLURM's job its id, how often it was requeued, and the cores that it has."""
    job = os.environ.get("SLURM_JOB_ID")
    array, element = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    requeues = os.environ.get("SLURM_RESTART_COUNT", "0")
    return {
        "host": os.environ.get("SLURMD_NODENAME") or platform.node(),
        "job": f"{array}_{element}" if array and element else job,
        "requeues": int(requeues) if requeues.isdigit() else 0,
        "cores": len(os.sched_getaffinity(0)),
    }


def used(device: torch.device, since: float) -> dict[str, float | int | None]:
    """What this process has used, as fields of a result's timing; of cores from this `time.process_time()` on."""
    import torch

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "cpu_seconds": time.process_time() - since,
        "memory_bytes": most * (1 if sys.platform == "darwin" else 1024),
        "gpu_memory_bytes": torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None,
    }


def command() -> list[str]:
    """What this process was started as: its program, `-m compress`, and the words behind it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = f"-m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
    return [program, *sys.argv[1:]]


def _cpu_info(*keys: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() in keys), "")


@cache
def commit() -> str | None:
    """The commit of the source tree, with `+` where files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(here), *words]
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=10).strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
