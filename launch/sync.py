"""Upload to Weights & Biases what it does not have yet: runs that were offline, or that it was lost for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from compress import tracking
from compress.claim import Claim
from compress.errors import ConfigError
from compress.tracking import Card


@dataclass(frozen=True)
class Found:
    """The run folders of a collection: to be uploaded, teachers first, and how many need not be."""

    waiting: list[tuple[Path, Card]]
    uploaded: int
    running: int
    untracked: int


def survey(runs: Path) -> Found:
    """What there is to upload; nobody is asked but the run folders."""
    waiting: list[tuple[Path, Card]] = []
    uploaded = running = untracked = 0
    for folder in sorted(runs.glob("*/*/*/*/")):
        card = Card.read(folder)
        if card is None:
            untracked += 1
        elif Claim(runs, card.run_id).taken():
            running += 1
        elif tracking.is_behind(folder):
            waiting.append((folder, card))
        else:
            uploaded += 1
    waiting.sort(key=lambda pair: pair[1].job_type != "teacher")  # students refer to their weights
    return Found(waiting, uploaded, running, untracked)


def reminder(runs: Path, folders: Iterable[Path]) -> list[str]:
    """A line for people if some of the run folders, of ended experiments, are not on the server."""
    behind, where = sum(map(tracking.is_behind, folders)), shlex.quote(str(runs))
    return [f"{behind} are not in W&B yet: python -m launch sync {where}   uploads them"] if behind else []


def sync(runs: Path, project: str | None = None, entity: str | None = None) -> int:
    """Upload what waits; what was uploaded before is left alone.

    Args:
        project: instead of each run's own.
        entity: likewise.

    Returns:
        The exit code: 0 if all is there now.

    Raises:
        ConfigError: there is no key or no server.
    """
    found = survey(runs)
    elsewhere: dict[str, Any] = {"project": project, "entity": entity}
    elsewhere = {key: value for key, value in elsewhere.items() if value is not None}
    failed: list[str] = []
    if found.waiting:
        try:
            _require_server()
            failed = _upload_all((folder, replace(card, **elsewhere)) for folder, card in _shown(found.waiting))
        finally:
            tracking.tear_down()
    done = len(found.waiting) - len(failed)
    parts = [f"{done} uploaded", f"{found.uploaded} were there"]
    parts += [f"{found.running} are running"] if found.running else []
    parts += [f"{found.untracked} were run without tracking"] if found.untracked else []
    print(", ".join(parts))
    for line in failed:
        print(f"not uploaded: {line}", file=sys.stderr)
    return 1 if failed else 0


def _require_server() -> None:
    if (reason := tracking.why_offline(tracking.PROBE_SECONDS)) is not None:
        raise ConfigError(f"W&B: {reason}; nothing was uploaded")


def _shown(waiting: list[tuple[Path, Card]]) -> Iterable[tuple[Path, Card]]:
    return tqdm(waiting, unit="run", disable=not sys.stderr.isatty(), leave=False)


def _upload_all(waiting: Iterable[tuple[Path, Card]]) -> list[str]:
    """Upload one after the other; those that failed, and why. When the server has gone, none is tried any more."""
    failed: list[str] = []
    gone: str | None = None
    for folder, card in waiting:
        reason = gone or tracking.upload(folder, card)
        if reason is not None:
            failed.append(f"{card.name} ({folder}): {reason}")
            gone = gone or tracking.why_offline(tracking.PROBE_SECONDS)
    return failed
