"""What an experiment tells while it runs: a progress bar or plain lines, log.txt and metrics.jsonl."""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from compress.runs.folder import LOG, METRICS, PROGRESS, WRITTEN, Progress
from compress.storage import atomic
from compress.storage.files import write_json, write_text

LINE_SECONDS = 10.0  # between plain progress lines, where there is no terminal
FLUSH_SECONDS = 2.0  # between rewrites of metrics.jsonl, and of progress.json


class Reporter:
    """A context that follows one experiment; closing it flushes what is left.

    What cannot be written while it runs, on a disk that is full for a while, is said once and does not end it.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self.folder, self.title, self.unit = folder, title, "step"
        self.rows: list[str] = []
        self.on_row: Callable[[], None] = lambda: None  # called when there is a new one
        self.written = self.spoke = time.monotonic()
        self.since = time.time()
        self.reported = -math.inf  # when progress.json was written
        self.loss: float | None = None
        self.first: tuple[int, float] | None = None  # the step that `progress` first heard of, and when
        self.bar: tqdm[NoReturn] | None = None
        self.lost = False  # whether something could not be written
        self.complete = False  # whether all that belongs beside a result is in place
        folder.mkdir(parents=True, exist_ok=True)
        atomic.clear_all(folder, WRITTEN)
        self.stream = (folder / LOG).open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
        if not self.complete:
            self._survive(self.flush)
            self._survive(lambda: (self.folder / PROGRESS).unlink(missing_ok=True))
        self._survive(self.stream.close)

    def finish(self) -> None:
        """Leave beside a result what belongs there: metrics.jsonl whole, or an OSError, and progress.json gone."""
        self.flush()
        (self.folder / PROGRESS).unlink(missing_ok=True)
        self.complete = True

    def say(self, message: str, *, to_terminal: bool = True) -> None:
        """A line to log.txt and, above the progress bar, to standard output."""
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n"
        self._survive(lambda: self.stream.write(line))
        if to_terminal:
            self._survive(lambda: tqdm.write(message, file=sys.stdout))
            self._survive(sys.stdout.flush)

    def log(self, row: dict[str, float]) -> None:
        """A row of numbers to metrics.jsonl; what is no number is null."""
        self.rows.append(json.dumps({key: value if math.isfinite(value) else None for key, value in row.items()}))
        if time.monotonic() - self.written > FLUSH_SECONDS:
            self._survive(self.flush)
        self.on_row()

    def flush(self) -> None:
        """Write metrics.jsonl, all of it; OSError if it cannot be."""
        self.written = time.monotonic()
        write_text(self.folder / METRICS, "".join(f"{row}\n" for row in self.rows))

    def _survive(self, write: Callable[[], object]) -> None:
        try:
            write()
        except BrokenPipeError:  # of `… | head`: nobody listens any more
            raise
        except OSError as error:
            if not self.lost:
                self.lost = True
                with suppress(OSError):
                    print(f"{self.folder}: what is said cannot be kept ({error}); it goes on", file=sys.stderr)

    @contextmanager
    def task(self, title: str, unit: str) -> Iterator[None]:
        """Have `progress` follow something else for a while."""
        outer = self.title, self.unit
        self.title, self.unit, self.first = title, unit, None
        try:
            yield
        finally:
            if self.bar is not None:
                self.bar.close()
            self.title, self.unit = outer
            self.bar, self.first = None, None

    def progress(self, step: int, total: int, loss: float | None) -> None:
        """Move the bar on a terminal; else say a line now and then.

        The rate is that of the steps after the first, which waits for what is loaded: with one step, nobody knows.
        """
        self.loss, now = self.loss if loss is None else loss, time.monotonic()
        if self.first is None:
            self.first = step, now
        done, seconds = step - self.first[0], now - self.first[1]
        rate = done / max(1e-6, seconds) if done else None
        left = None if rate is None else (total - step) / rate
        if now - self.reported > FLUSH_SECONDS:
            self.reported = now
            host, pid = socket.gethostname(), os.getpid()
            report = Progress(
                self.title, self.unit, step, total, self.loss, left, host, pid, time.time(), rate, self.since
            )
            self._survive(lambda: write_json(self.folder / PROGRESS, asdict(report)))
        if sys.stderr.isatty():
            if self.bar is None:
                self.bar = tqdm(
                    total=total, initial=step, desc=self.title, unit=self.unit, dynamic_ncols=True, leave=False
                )
            if loss is not None:
                self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            self.bar.update(step - self.bar.n)
            if step == total:
                self.bar.close()
        elif now - self.spoke > LINE_SECONDS or step == total:
            self.spoke = now
            line = f"{self.title}: {self.unit} {step}/{total}"
            line += "" if self.loss is None else f"  loss {self.loss:.3f}"
            self.say(line if left is None else f"{line}  {rate:.1f} {self.unit}s/s  {left:.0f} s left")
