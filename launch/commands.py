"""SLURM's commands: what they print, or that SLURM does not answer."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from compress.errors import ConfigError, one_line

T = TypeVar("T")
ANSWER_SECONDS = 60.0  # that a command of SLURM may take
PAUSES = (0.5, 2.0)  # before a question is asked again that was not answered
SHORTEST_PAUSE, LONGEST_PAUSE = 3.0, 180.0  # between questions of who waits for jobs
ARGUMENTS = 500  # jobs in one command line
SILENT = "nothing within"


class Unanswered(ConfigError):  # noqa: N818 - nothing here is in error
    """SLURM does not answer: nothing is known of its queue."""


def answer(command: Sequence[str], pauses: Sequence[float] = (), ignore: str | None = None) -> str:
    """What a command of SLURM prints, also an error with `ignore` in it: nothing is known of what was asked about.

    Unanswered if it failed, also when it was tried again after each of the pauses.
    """
    for pause in (*pauses, None):
        out, error = run(command)
        if error is None or (ignore and ignore in error):
            return out
        if pause is None or SILENT in error:  # who has waited as long as that need not wait again
            break
        time.sleep(pause)
    raise Unanswered(f"SLURM does not answer ({error})")


def run(command: Sequence[str]) -> tuple[str, str | None]:
    """What a command of SLURM prints, and how it failed in its own words: `squeue: Unable to contact …`."""
    name, seconds = command[0], ANSWER_SECONDS
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        return "", f"{name}: {SILENT} {seconds:g} s"
    except OSError as error:
        return "", f"{name}: {error.strerror or error}"
    cause = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    cause = one_line(cause.removeprefix(f"{name}: ").removeprefix("error: "))
    return done.stdout, f"{name}: {cause[:300]}" if done.returncode else None


def setting(name: str) -> str:
    """What SLURM's configuration says of a name, `1001` of `MaxArraySize`, or nothing; Unanswered if it is silent."""
    line = re.search(rf"^{name}\s*=[^\S\n]*(.*)$", answer(["scontrol", "show", "config"]), re.MULTILINE)
    return line[1].strip() if line else ""


def pause(waited: float) -> float:
    """Seconds until SLURM is asked again by who has waited for so long: who waits for days need not hear at once."""
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, waited / 20))


def portions(items: Sequence[T], size: int = ARGUMENTS) -> Iterator[Sequence[T]]:
    """Items, one after the other, in portions of no more than a size; by default jobs that fit into a command line."""
    return (items[start : start + size] for start in range(0, len(items), size))
