"""A local page that follows a grid, and is its report when it ends: `python -m analysis report RUNS --serve`.

It is for this machine's browser alone: it listens on 127.0.0.1, answers those who ask for that name, and has three
things to give, all from memory: the page, state.json and report.html. The report is made by a process of its own, when
results have changed, and rests four times as long as it took.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import names
from analysis.read.grid import Cell, Finished, Follower, Grid
from analysis.report.report import PAGE, content_hash
from analysis.statistics.costs import duration
from compress.errors import ConfigError, one_line
from compress.runs.folder import Progress
from compress.wording import plural

PORT = 8384
LOOK_SECONDS, SHARE = 2.0, 0.2  # between looks at the files; of the time that may go into looking
REST = 4.0  # times the seconds that a report took, between two of them
LEAST_REST_SECONDS = 5.0
LONGEST = 200  # experiments that run, and causes, that are shown
LOCAL = ("127.0.0.1", "localhost", "::1")


class Builder:
    """Makes the report again and again, one at a time, each by a process of its own."""

    def __init__(self, command: Sequence[str], out: Path, scratch: Path) -> None:
        self.errors = scratch / "errors.txt"  # what the last one said
        self.command, self.file = [*command, "--out", str(out)], out / "report.html"
        self.page: bytes | None = None  # the last one that was made
        self.version = 0
        self.of: object = None  # the stamp of the results that it has, or that one could not be made of
        self.runs = 0  # how many it has
        self.error = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.making: tuple[object, int] = (None, 0)  # what the one that is being made will have
        self.started = self.ended = self.took = 0.0

    def step(self, grid: Grid) -> None:
        """Take what has been made, and start the next one, if it is wanted and time for it."""
        now = time.monotonic()
        if self.process is not None:
            if self.process.poll() is None:
                return
            self._take(now)
        rest = 0.0 if grid.ended else max(LEAST_REST_SECONDS, REST * self.took)
        if grid.stamp == self.of or not grid.finished or (self.ended and now - self.ended < rest):
            return
        self.started, self.making = now, (grid.stamp, len(grid.finished))
        with self.errors.open("wb") as errors:
            command = ["nice", "-n", "5", *self.command]
            quiet = subprocess.DEVNULL
            self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=errors, start_new_session=True)

    def _take(self, now: float) -> None:
        """What the process that has ended made, or why it did not."""
        assert self.process is not None
        code, self.process = self.process.returncode, None
        self.ended, self.took = now, now - self.started
        errors = self.errors.read_text(errors="replace").strip().splitlines()
        self.of = self.making[0]
        if code == 0:
            self.page, self.runs, self.error = self.file.read_bytes(), self.making[1], ""
            self.version += 1
        else:
            self.error = one_line(errors[-1] if errors else f"exit code {code}").removeprefix("error: ")

    def stop(self) -> None:
        """End the process that is at it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def state(runs: Path, grid: Grid, builder: Builder, score: str) -> dict[str, object]:
    """What the page shows, as state.json holds it."""
    current = builder.of == grid.stamp and builder.process is None
    first, causes = dict[str, Cell](), Counter[str]()
    for cell, cause in grid.failed:
        first.setdefault(cause, cell)
        causes[cause] += 1
    running = sorted(grid.running, key=_nearest_to_the_end)
    return {
        "runs": str(runs),
        "total": grid.total,
        "counts": {
            "finished": len(grid.finished),
            "running": len(grid.running),
            "failed": len(grid.failed),
            "others": len(grid.others),
        },
        "seconds_left": grid.seconds_left,
        "ended": grid.ended and grid.total > 0,
        "report": builder.version,
        "current": current,
        "note": _note(grid, builder, current=current),
        "running": [_told(cell, at) for cell, at in running[:LONGEST]],
        "failed": [
            {"cause": cause, "count": count, "first": first[cause].name} for cause, count in causes.most_common(LONGEST)
        ],
        "scores": _scores(grid, score),
    }


def _nearest_to_the_end(one: tuple[Cell, Progress | None]) -> tuple[float, str]:
    left = None if one[1] is None else one[1].left()
    return math.inf if left is None else left, one[0].name


def _note(grid: Grid, builder: Builder, *, current: bool) -> str:
    """In words how long it takes, and what the report has."""
    said = []
    if grid.seconds_left is not None:
        said.append(f"About {duration(round(grid.seconds_left))} left, {len(grid.running)} at once.")
    elif grid.ended and grid.total:
        said.append("All have ended.")
    elif grid.others and not grid.running:
        said.append("Nothing runs now.")
    if builder.error:
        said.append(f"The report could not be made: {builder.error}")
    elif builder.version:
        has = f"The report has {plural(builder.runs, 'run')}"
        said.append(
            f"{has}." if current else f"{has}; a newer one {'is being made' if builder.process else 'follows'}."
        )
    elif builder.process is not None:
        said.append("The report is being made.")
    elif not grid.finished:
        said.append("There is a report once an experiment is finished.")
    return " ".join(said)


def _told(cell: Cell, at: Progress | None) -> dict[str, object]:
    if at is None:
        return {"name": cell.name, "total": 0, "done": 0, "unit": "step", "loss": None, "rate": None, "left": "",
                "host": ""}  # fmt: skip
    left = at.left()
    return {"name": cell.name, "total": at.total, "done": at.done, "unit": at.unit, "loss": at.loss, "rate": at.rate,
            "left": "" if left is None else duration(round(left)), "host": at.host}  # fmt: skip


def _scores(grid: Grid, score: str) -> dict[str, object]:
    """The mean of what is finished of each size and methods, and how many that is of how many."""
    finished: dict[tuple[str, str], list[Finished]] = defaultdict(list)
    every = Counter((cell.model, cell.methods) for cell, *_ in [*grid.running, *grid.failed])
    every += Counter((cell.model, cell.methods) for cell in grid.others)
    sizes: dict[str, int] = {}
    order: dict[str, tuple[int, ...]] = {}
    for done in grid.finished:
        key = done.cell.model, done.cell.methods
        finished[key].append(done)
        every[key] += 1
        sizes.setdefault(done.cell.model, done.parameters)
        order.setdefault(done.cell.methods, done.positions)
    methods = sorted({methods for _, methods in every}, key=lambda name: _place(name, order))
    models = sorted({model for model, _ in every}, key=lambda name: (name not in sizes, sizes.get(name, 0), name))
    rows = [
        {"model": model, "cells": [_cell(finished[model, name], every[model, name], score) for name in methods]}
        for model in models
    ]
    label = names.score_of(score, {done.cell.task for done in grid.finished}).label
    return {"label": label[:1].upper() + label[1:], "methods": methods, "rows": rows if grid.finished else []}


def _place(methods: str, order: Mapping[str, tuple[int, ...]]) -> tuple[object, ...]:
    """By how many methods there are, then in their order."""
    count = 0 if methods == "none" else methods.count("+") + 1
    return count, methods not in order, order.get(methods, ()), methods


def _cell(finished: Sequence[Finished], of: int, score: str) -> dict[str, object] | None:
    if not of:
        return None
    scores = [value for done in finished if (value := done.scores[score]) is not None]
    return {"score": sum(scores) / len(scores) if scores else None, "finished": len(finished), "of": of}


def page(runs: Path) -> tuple[bytes, str]:
    """The page itself, and the content security policy that belongs to it."""
    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    style = "".join((PAGE / f"{name}.css").read_text(encoding="utf-8") for name in ("page", "live"))
    script = (PAGE / "live.js").read_text(encoding="utf-8")
    made = environment.get_template("live.html").render(runs=str(runs), style=Markup(style), script=Markup(script))
    policy = f"default-src 'none'; img-src data:; connect-src 'self'; frame-src 'self'; base-uri 'none'; \
form-action 'none'; frame-ancestors 'none'; style-src '{content_hash(style)}'; script-src '{content_hash(script)}'"
    return made.encode(), policy


class Server(ThreadingHTTPServer):
    """Answers from memory what it is given; ConfigError if the port is not to be had."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, page: bytes, policy: str) -> None:
        self.answers: dict[str, tuple[str, bytes, Mapping[str, str]]] = {
            "/": ("text/html; charset=utf-8", page, {"Content-Security-Policy": policy})
        }
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "must be from 0 to 65535"
            raise ConfigError(f"--port {port}: {reason}; give another, 0 takes one that is free") from error

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def tell(self, state: Mapping[str, object], report: bytes | None) -> None:
        """From now on answer with these."""
        text = json.dumps(state, allow_nan=False, ensure_ascii=False).encode()
        self.answers["/state.json"] = "application/json", text, {}
        if report is not None:
            self.answers["/report.html"] = "text/html; charset=utf-8", report, {"X-Frame-Options": "SAMEORIGIN"}


class Handler(BaseHTTPRequestHandler):
    """Gives what the server has by its exact path, to who asks for this machine by name."""

    server: Server
    server_version, sys_version = "combining-compressions", ""
    timeout = 20.0

    def do_GET(self) -> None:
        """Answer; anything else than what there is, is not found."""
        found = self.server.answers.get(urlsplit(self.path).path)
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in LOCAL:
            self._send(403, "text/plain; charset=utf-8", b"ask for 127.0.0.1 or localhost\n", {})
        elif found is None:
            self._send(404, "text/plain; charset=utf-8", b"not here\n", {})
        else:
            self._send(200, *found)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, code: int, kind: str, body: bytes, more: Mapping[str, str]) -> None:
        self.send_response(code)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store",
                   "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
                   "Cross-Origin-Resource-Policy": "same-origin", **more}  # fmt: skip
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Nothing: a page asks every few seconds."""


def serve(runs: Path, options: Sequence[str], *, score: str, port: int, out: Path | None) -> int:
    """Follow a folder of runs until Ctrl-C.

    Args:
        options: of `python -m analysis report`, as they were typed.
        out: where the report is kept; None: nowhere.
    """
    if not runs.is_dir():
        raise ConfigError(f"{runs}: no such folder; --serve follows a folder of runs, as in paths.runs")
    follower, signal_before = Follower(runs), signal.signal(signal.SIGTERM, _leave)
    server = Server(port, *page(runs))
    with tempfile.TemporaryDirectory(prefix="report-") as scratch:
        command = [sys.executable, "-m", "analysis", "report", str(runs.absolute()), *options]
        builder = Builder(command, out or Path(scratch) / "report", Path(scratch))
        try:
            started = _look(runs, follower, builder, server, score)
            with _answering(server):
                print(f"{server.address}   follows {runs}; Ctrl-C ends it", flush=True)
                while True:
                    took = time.monotonic() - started
                    time.sleep(max(LOOK_SECONDS - took, took * (1 - SHARE) / SHARE))
                    started = _look(runs, follower, builder, server, score)
        except KeyboardInterrupt:
            return 0
        finally:
            builder.stop()
            signal.signal(signal.SIGTERM, signal_before)


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def _look(runs: Path, follower: Follower, builder: Builder, server: Server, score: str) -> float:
    """Tell what there is now; when the look began."""
    started = time.monotonic()
    grid = follower.look()
    builder.step(grid)
    server.tell(state(runs, grid, builder, score), builder.page)
    return started


@contextmanager
def _answering(server: Server) -> Iterator[None]:
    """A context in which a server answers, from a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
