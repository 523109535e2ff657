"""A real SLURM: these tests want SLURM_CONF in the environment and idle nodes; in CI they must not be skipped."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import missing


@pytest.fixture(autouse=True)
def cluster() -> Iterator[None]:
    """A cluster for each test alone, whoever else tests here; the queue is empty before and afterwards.

    Before too: a controller that starts again brings back the jobs that an interrupted run of the tests left in it.
    """
    try:
        subprocess.run(["sinfo"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        missing("there is no SLURM here: start one and set SLURM_CONF")
    with FileLock(Path(tempfile.gettempdir()) / "combining-compressions-slurm-tests.lock"):
        _empty_the_queue()
        yield
        _empty_the_queue()


def _empty_the_queue() -> None:
    if squeue():
        subprocess.run(["scancel", "--me"], check=False)
        wait_for(lambda: not squeue(), "an empty queue")


def squeue(*options: str) -> list[str]:
    """The lines of squeue: job id and state."""
    command = ["squeue", "--noheader", "--array", "--me", "--format=%i %T", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def wait_for(what: Callable[[], object], named: str, seconds: float = 180) -> None:
    """Until something is true.

    Raises:
        TimeoutError: it did not become true.
    """
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {named}")
        time.sleep(0.2)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[None]:
    """What the jobs said, shown if a test fails."""
    yield
    for file in sorted(tmp_path.rglob("jobs/*_log.out")):
        print(f"--- {file.name}\n{file.read_text()[-1500:]}")
