"""Weights & Biases, for an experiment that starts, and for run folders whose files are sent afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from compress.runs import result
from compress.runs.result import Head
from compress.tracking import uploads
from compress.tracking.run_record import Names, RunRecord, run_record
from compress.tracking.tracker import Tracker, Untracked
from compress.tracking.tracking_options import mode_of
from compress.tracking.uploads import Upload

if TYPE_CHECKING:
    from compress.tracking.tracking_options import TrackingConfig


def of_experiment(
    tracking: TrackingConfig,
    head: Head,
    names: Names,
    folder: Path,
    rows: Sequence[str],
    say: Callable[..., None],
    *,
    teaches: bool,
    uses: str | None,
    single: bool = False,
    force: bool = False,
) -> Untracked:
    """The tracker of an experiment that is about to start, connected if it is tracked.

    Args:
        uses: `name:run_id` of its teacher's weights; None without a teacher.
        single: it was asked for alone, not in a sweep.
        force: it is run again although it may be finished.
    """
    mode = mode_of(tracking)
    if mode == "disabled":
        return Untracked()
    anew = uploads.starts_anew(folder, force)
    record = run_record(tracking, head, names, teaches=teaches, uses=uses, single=single, anew=anew)
    tracker = Tracker(record, folder, rows, say)
    tracker.connect(mode)
    return tracker


def upload(folder: Path, record: RunRecord) -> str | None:
    """Send what a run folder holds and the server lacks, to the project of `record`; what went wrong, if it did."""
    said: list[str] = []
    log = folder / "metrics.jsonl"
    rows = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    before = Upload.read(folder)
    whole = before is not None and before.exit_code == 0  # only the lineage is missing, or the weights
    record = replace(record, anew=record.anew and not whole)
    tracker = Tracker(record, folder, rows, lambda message, **_: said.append(message))
    if (reason := tracker.connect_online()) is not None:
        return reason
    finished = result.read(folder, record.run_id)
    if finished is not None:
        tracker.finish(finished)
    elif (failure := result.failure(folder)) is not None:
        tracker.failed(failure)
    else:
        tracker.stopped()
    return None if tracker.done else said[-1]
