"""`python -m launch status RUNS --watch`: a page of a terminal that follows a folder of runs; plain lines elsewhere.

Files are read every second or two, SLURM is asked far more rarely (`status.Memory`). The page is drawn over itself,
on the terminal's second screen, so that nothing flickers and the first one is as it was when the page is left.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from compress.runs.folder import Progress
from compress.wording import plural
from launch import progress
from launch.status import GOING_ON, Memory, Status, Survey, survey

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

LOOK_SECONDS = 1.0  # between looks at the files
SHARE = 0.2  # of the time that may go into looking, where there are many files or they are far away
ENDING = (signal.SIGTERM, signal.SIGHUP)  # which would end the process with the second screen left on
START_SECONDS = 60.0  # that workers may take from a sweep's plan to their first sign
DOCUMENT_SECONDS = 3.0  # between documents
LINE_SECONDS = 10.0  # between plain lines
COLOURS = {"finished": "green", "running": "cyan", "waiting": "bright_black", "pending": "bright_black",
           "stopped": "yellow", "failed": "red", "missing": "yellow", "unknown": "yellow"}  # fmt: skip
COLUMNS = {
    "running": 0,
    "at": 0,
    "loss": 60,
    "a second": 70,
    "left": 0,
    "for": 110,
    "where": 110,
}  # and from which width
NAMES = 3  # experiments that are named below a cause


def watch(runs: Path, *, as_json: bool) -> Survey:
    """Show how a folder of runs goes on until nothing runs or waits any more; how it was then.

    On a terminal it is a page. Elsewhere it is a line whenever something has changed, and each failure; as JSON one
    document a line whenever something has changed.
    """
    if not as_json and _is_terminal():
        return _page(runs)
    memory, said, spoke = Memory(), "", 0.0
    told: set[str] = set()
    while True:
        started = time.monotonic()
        now = survey(runs, memory=memory)
        ended = _has_ended(now, memory)
        if as_json:
            document = json.dumps(progress.as_document(runs, now))
            if document != said and (ended or not said or started - spoke >= DOCUMENT_SECONDS):
                print(document, flush=True)
                said, spoke = document, started
        elif not ended and (started - spoke >= LINE_SECONDS or not said):
            for line in _new_failures(now, told):
                print(line)
            line = progress.headline(now)
            if line != said:
                print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
            said, spoke = line, started
        if ended:
            return now
        _pause(started)


def _is_terminal() -> bool:
    """Whether standard output is one that a page can be drawn on."""
    if not sys.stdout.isatty():
        return False
    from rich.console import Console

    return not Console().is_dumb_terminal


def _has_ended(now: Survey, memory: Memory) -> bool:
    """Whether nothing runs or waits; what has just been planned may be about to."""
    states = {status.state for status in now.experiments}
    return not GOING_ON & states and not ("missing" in states and memory.just_planned(START_SECONDS))


def _new_failures(now: Survey, told: set[str]) -> Iterator[str]:
    """A line for each cause of failures that have not been told yet."""
    for cause, alike in progress.causes(now.experiments).items():
        new = [status for status in alike if status.run_id not in told]
        told |= {status.run_id for status in new}
        if new:
            yield f"failed: {_named(new)}: {cause}"


def _named(alike: list[Status]) -> str:
    return alike[0].name if len(alike) == 1 else f"{len(alike)} experiments, {alike[0].name} …"


def _pause(started: float) -> None:
    took = time.monotonic() - started
    time.sleep(max(LOOK_SECONDS - took, took * (1 - SHARE) / SHARE))


def _page(runs: Path) -> Survey:
    """Draw it until nothing goes on any more, or the user leaves."""
    from rich.console import Console
    from rich.live import Live

    memory, complaints = Memory(), io.StringIO()  # what is said meanwhile has no place on a page but its own
    left_out: list[str] = []
    page = Page(runs, survey(runs, memory=memory, left_out=left_out), lambda: [*left_out, *_lines(complaints)])
    live = Live(page, console=Console(), screen=True, refresh_per_second=2, redirect_stderr=False,
                redirect_stdout=False)  # fmt: skip
    try:
        with _second_screen(live), redirect_stderr(complaints):
            while not _has_ended(page.survey, memory):
                started = time.monotonic()
                noticed: list[str] = []
                page.survey = survey(runs, memory=memory, left_out=noticed)
                left_out[:] = noticed
                _pause(started)
    finally:
        for line in page.notes():
            print(line, file=sys.stderr)
    return page.survey


@contextmanager
def _second_screen(live: Live) -> Iterator[None]:
    """A context in which it is drawn; the terminal is restored whenever and however it is left."""
    before = {signum: signal.signal(signum, _leave) for signum in ENDING}
    try:
        with _undisturbed():
            live.start(refresh=True)
        yield
    finally:
        with _undisturbed():
            live.stop()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A context that signals wait for: none comes between a screen's change and the note of it."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ENDING})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _lines(said: io.StringIO) -> list[str]:
    return list(dict.fromkeys(said.getvalue().splitlines()))


class Page:
    """What is drawn, as large as the terminal is at that moment.

    Args:
        notes: what else is to be told, a line each.
    """

    def __init__(self, runs: Path, first: Survey, notes: Callable[[], list[str]] = list) -> None:
        self.runs, self.survey, self.notes = runs, first, notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its parts from above to below: as many lines of each as there is room for."""
        from rich.console import Group
        from rich.text import Text

        now, width = self.survey, options.max_width
        parts: list[RenderableType] = [*_head(self.runs, now, width)]
        parts += [Text(f"note: {line}", style="yellow", no_wrap=True, overflow="ellipsis") for line in self.notes()[:3]]
        room = console.height - len(parts)
        running = sorted((one for one in now.experiments if one.state == "running"), key=_nearest_to_the_end)
        failures = progress.causes(now.experiments)
        kept = min(2 + 2 * len(failures), max(4, room // 3)) if failures else 0  # lines for what failed
        if running:
            rows = max(1, room - kept - 3)
            shown = running if len(running) <= rows else running[: max(1, rows - 1)]
            parts += [Text(), _running(shown, width)]
            room -= 3 + len(shown)
            if len(shown) < len(running):
                parts.append(Text(f"… and {len(running) - len(shown)} more run", style="bright_black"))
                room -= 1
        else:
            parts += [Text(), Text(_why_nothing_runs(now), style="bright_black", no_wrap=True, overflow="ellipsis")]
            room -= 2
        cells = progress.by_size_and_methods(now.experiments, 100_000).splitlines()
        if len(cells) + 1 <= room - kept and max(map(len, cells)) <= width:
            parts += [Text(), *(Text(line, style="bold" if place == 0 else "") for place, line in enumerate(cells))]
            room -= len(cells) + 1
        if failures and room > 2:
            parts += [Text(), *_failures(failures, room - 1, width, console)]
        yield Group(*parts)


def _nearest_to_the_end(one: Status) -> tuple[float, str]:
    return (float("inf") if one.seconds_left is None else one.seconds_left), one.name


def _head(runs: Path, now: Survey, width: int) -> Iterator[Text]:
    """What is followed, the share that is finished, the counts, and the time that is left."""
    from rich.text import Text

    total = len(now.experiments)
    counts = progress.counts(now.experiments)
    clock = time.strftime("%H:%M:%S")
    title = Text(f"{runs}", style="bold", no_wrap=True, overflow="ellipsis")
    title.truncate(max(1, width - len(clock) - 2), overflow="ellipsis")
    title.append(" " * (width - title.cell_len - len(clock)))
    title.append(clock, style="not bold bright_black")
    yield title
    done, share = counts["finished"], counts["finished"] / total if total else 0.0
    said = f" {done}/{total} {100 * share:.0f} %"
    yield _bar(counts, total, width - len(said)).append(said, style="bold")
    line = Text(no_wrap=True, overflow="ellipsis")
    for state, number in counts.items():
        if number:
            line.append("  " if line else "").append(f"{number} {state}", style=COLOURS[state])
    yield line
    forecast = now.forecast
    if forecast.seconds_left is not None:
        at_once = f"  ({forecast.at_once} at once)"
        yield Text(progress.time_left(forecast).removeprefix("; ") + at_once, no_wrap=True, overflow="ellipsis")
    else:
        yield Text("time left: not known yet", style="bright_black")
    if now.unanswered:
        yield Text(f"{now.unanswered}", style="yellow", no_wrap=True, overflow="ellipsis")


def _bar(counts: dict[str, int], total: int, width: int) -> Text:
    """The states' shares side by side; every state that is there has a cell at least, while there are enough."""
    from rich.text import Text

    bar, drawn = Text(no_wrap=True), 0
    there = [(state, number) for state, number in counts.items() if number]
    for place, (state, number) in enumerate(there):
        later = len(there) - place - 1
        cells = max(1, round(number / total * width))
        cells = width - drawn if not later else max(0, min(cells, width - drawn - later))
        solid = "█" if state in ("finished", "failed") else "▓" if state == "running" else "░"
        bar.append(solid * cells, style=COLOURS[state])
        drawn += cells
    return bar.append("░" * (width - drawn), style="bright_black")


def _running(running: list[Status], width: int) -> Table:
    """How far each is that runs; what a narrow terminal has no room for is left out."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True, padding=(0, 1, 0, 0))
    columns = [name for name, least in COLUMNS.items() if width >= least]
    for name in columns:
        table.add_column(
            name,
            justify="left" if name in ("running", "at", "where") else "right",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if name == "running" else None,
            max_width=30 if name == "where" else None,
        )
    bar = 20 if width >= 130 else 10 if width >= 70 else 0
    for one in running:
        at = one.progress
        since = None if at is None or at.since is None else max(0.0, time.time() - at.since)
        cells = {
            "running": Text(one.name if width >= 130 else _short(one)),
            "at": _how_far(one, bar),
            "loss": Text("" if at is None or at.loss is None else f"{at.loss:.3f}"),
            "a second": Text(_rate(at)),
            "left": Text(progress.duration(one.seconds_left)),
            "for": Text(progress.duration(since)),
            "where": Text(" ".join(filter(None, [at.host if at else "", one.job and f"job {one.job}"]))),
        }
        table.add_row(*(cells[name] for name in columns))
    return table


def _short(one: Status) -> str:
    return one.name if one.seed is None else one.name.replace(f"seed {one.seed}", f"s{one.seed}")


def _how_far(one: Status, width: int) -> Text:
    from rich.text import Text

    at = one.progress
    if at is None or at.total < 1:
        return Text(one.detail, style="bright_black")
    cells = round(width * min(1.0, at.done / at.total))
    text = Text("━" * cells, style="cyan").append("━" * (width - cells), style="bright_black")
    return text.append(
        f"{' ' if width else ''}{at.done}/{at.total}{'' if at.unit == 'step' else f' {at.unit}s'}", style="default"
    )


def _rate(at: Progress | None) -> str:
    return "" if at is None or at.rate is None else f"{at.rate:.3g}" if at.rate < 1000 else f"{at.rate:.0f}"


def _why_nothing_runs(now: Survey) -> str:
    """What most wait for."""
    reasons = Counter(one.detail for one in now.experiments if one.state in GOING_ON and one.detail)
    return "nothing runs" + (f"; most wait for {reasons.most_common(1)[0][0]}" if reasons else "")


def _failures(failures: dict[str, list[Status]], room: int, width: int, console: Console) -> Iterator[Text]:
    """Under each cause which experiments failed of it, in so many lines; long causes are whole if there is room."""
    from rich.text import Text

    yield Text(f"{plural(sum(map(len, failures.values())), 'experiment')} failed", style="bold red")
    room -= 1
    each = max(1, room // len(failures) - 1)  # lines of a cause
    for place, (cause, alike) in enumerate(failures.items()):
        left = len(failures) - place
        if room < 2 or (left > 1 and room < 3):
            yield Text(f"… of {plural(left, 'other cause')}; python -m launch logs tells", style="bright_black")
            return
        names = ", ".join(one.name for one in alike[:NAMES])
        more = f" and {len(alike) - NAMES} more" if len(alike) > NAMES else ""
        lines = Text(f"{len(alike)} × {cause}").wrap(console, width)
        whole = lines if len(lines) <= each else [*lines[: each - 1], _cut(lines[each - 1 :])]
        yield from whole
        yield Text(f"    {names}{more}", style="bright_black", no_wrap=True, overflow="ellipsis")
        room -= len(whole) + 1


def _cut(lines: Iterable[Text]) -> Text:
    """Lines as one, which ends where the page does."""
    from rich.text import Text

    return Text(" ".join(line.plain.rstrip() for line in lines), no_wrap=True, overflow="ellipsis")
