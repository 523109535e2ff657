"""CPU seconds of a command and of all processes that it leaves behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.in_turns import ENVIRONMENT, ROOT
from tests.faults.harness import adopt_orphans


def cpu_seconds(words: Sequence[str], log: Path, *path: Path) -> float:
    """Run `python -m` these words to the end.

    Args:
        log: what it says goes here.
        path: folders in which it finds modules too.

    Raises:
        RuntimeError: it failed.
    """
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *path]))}
    command = [sys.executable, "-m", "tests.benchmarks.children", str(log), sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode}, {log.read_text()[-2000:]}{done.stderr[-2000:]}")
    return float(done.stdout)


def main() -> int:
    """Run a command, wait for all that comes of it, and print the seconds."""
    adopt_orphans()
    log, *command = sys.argv[1:]
    with open(log, "w") as file:
        code = subprocess.run(command, stdout=file, stderr=file).returncode
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(used.ru_utime + used.ru_stime)
    return code


if __name__ == "__main__":
    sys.exit(main())
