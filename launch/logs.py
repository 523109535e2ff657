"""`python -m launch logs`: what experiments said: of all that failed their tracebacks, or of those asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from compress.errors import ConfigError
from launch import status
from launch.commands import pause
from launch.experiments import CANCELLED
from launch.selection import Selection
from launch.status import Status
from launch.sweep import Sweep, all_sweeps, concerned

TRACEBACK = "Traceback (most recent call last):"
FOLLOW_SECONDS = 0.5


def logs(runs: Path, words: Sequence[str], *, lines: int, follow: bool) -> int:
    """Print them, each under its name; 0 if there is anything to print.

    Args:
        words: which experiments: all of these are in its name (`rte tiny quantize+prune seed 0`) or begin its run id;
            without any, those that failed.
        lines: of each log its last ones, if it has no traceback; 0: all of it.
        follow: go on as a log grows, until its experiment ends; of one experiment alone.
    """
    every = all_sweeps(runs)
    sweeps, found = concerned(every), status.survey(runs, every).experiments
    failed = [one for one in found if one.state == "failed" and one.detail != CANCELLED]
    chosen = Selection(words).of(runs, found, every) if words else failed
    if not chosen:
        print("no experiment has failed")
        return 0
    if follow and len(chosen) > 1:
        some = ", ".join(f"{one.name} ({one.run_id})" for one in chosen[:3])
        raise ConfigError(
            f"{' '.join(words) or '-f'}: {len(chosen)} experiments have these words in their names ({some} …); "
            "name one to follow"
        )
    for place, one in enumerate(chosen):
        log = _log(one, runs, sweeps)
        cause = f": {one.detail}" if one.detail else ""
        print(f"{'' if place == 0 else chr(10)}== {one.name}, {one.state}{cause}  ({log or 'no log yet'})")
        content = log.read_bytes() if log else b""
        print(_end(content.decode(errors="replace"), lines), end="", flush=True)
    if follow:
        _follow(chosen[0], runs, sweeps, len(content))
    return 0


def _log(one: Status, runs: Path, sweeps: dict[str, Sweep]) -> Path | None:
    """Where an experiment says most: the log that its failure names, its own, or what its process said before."""
    own = [Path(one.log)] if one.log else []
    of_sweep = [sweeps[one.run_id].folder / "logs" / f"{one.run_id}.txt"] if one.run_id in sweeps else []
    return next((log for log in (*own, one.folder(runs) / "log.txt", *of_sweep) if log.is_file()), None)


def _end(text: str, lines: int) -> str:
    """A log from its last traceback on; without one its last lines."""
    start = text.rfind(TRACEBACK)
    if start >= 0 and lines:
        return text[text.rfind("\n", 0, start) + 1 :]
    kept = text.splitlines(keepends=True)
    return "".join(kept[-lines:] if lines else kept)


def _follow(one: Status, runs: Path, sweeps: dict[str, Sweep], offset: int) -> None:
    """Print what is added to a log until its experiment has ended; a log that begins anew is printed from there."""
    ended, started, asks_again = False, time.monotonic(), 0.0
    while True:
        if (now := time.monotonic()) >= asks_again:
            found, asks_again = status.survey(runs).experiments, now + pause(now - started)
            ended = all(now.state not in status.GOING_ON for now in found if now.run_id == one.run_id)
        if (log := _log(one, runs, sweeps)) is not None:
            with log.open("rb") as stream:
                size = stream.seek(0, 2)
                offset = offset if size >= offset else 0
                stream.seek(offset)
                added = stream.read()
            offset += len(added)
            sys.stdout.write(added.decode(errors="replace"))
            sys.stdout.flush()
        if ended:
            return
        time.sleep(FOLLOW_SECONDS)
