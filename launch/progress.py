"""How sweeps go on and ended: lines and a bar while one is waited for, tables of all, and the same for programs."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from compress.errors import ConfigError
from compress.runs import result
from compress.wording import plural
from launch.experiments import Outcome
from launch.forecast import Forecast
from launch.status import ROOM, STATES, Status, Survey
from launch.sweep import Sweep
from launch.sync import reminder

POLL_SECONDS = 0.25
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
ALIKE = 3  # experiments that failed of the same cause from which on they are one line


def follow(sweep: Sweep, lost: Callable[[], Mapping[str, Outcome]], poll: float = POLL_SECONDS) -> dict[str, Outcome]:
    """Show how a sweep goes on until every experiment has ended; how each did. `lost`: what can no longer finish."""
    total, seen, started = len(sweep.to_run), dict[str, Outcome](), time.monotonic()
    with tqdm(total=total, bar_format=BAR, dynamic_ncols=True, disable=not sys.stderr.isatty()) as bar:
        while len(seen) < total:
            gone = lost()  # before the outcomes are read: who ended in between has left one
            outcomes = {**gone, **sweep.outcomes()}
            new = [outcomes[run_id] for run_id in sweep.to_run if run_id in outcomes and run_id not in seen]
            causes = Counter(essence(outcome.cause) for outcome in new if outcome.state == "failed")
            firsts: dict[str, str] = {}
            for outcome in new:
                seen[outcome.run_id] = outcome
                if outcome.state == "failed" and causes[essence(outcome.cause)] > ALIKE:
                    firsts.setdefault(essence(outcome.cause), outcome.cause)
                else:
                    _tell(sweep, outcome, len(seen), total, quiet=not bar.disable)
            for alike, cause in firsts.items():
                tqdm.write(f"[{len(seen)}/{total}] {causes[alike]} failed: {cause}", file=sys.stdout)
            if not bar.disable:
                bar.set_postfix_str(standing(sweep, seen, time.monotonic() - started), refresh=False)
                bar.update(len(seen) - bar.n)
                bar.refresh()
            if len(seen) < total:
                time.sleep(poll)
    return seen


def standing(sweep: Sweep, ended: Mapping[str, Outcome], seconds: float) -> str:
    """How many run, wait and failed, and how long the sweep still takes: as what has ended took, after so long."""
    started = {file.stem for file in (sweep.folder / "logs").glob("*.txt")}
    left = [run_id for run_id in sweep.to_run if run_id not in ended]
    running = sum(run_id in started for run_id in left)
    failed = sum(outcome.state == "failed" for outcome in ended.values())
    counts = {"running": running, "pending": len(left) - running, "failed": failed}
    words = [f"{count} {what}" for what, count in counts.items() if count]
    through = sum(sweep.experiments[run_id].seconds for run_id, outcome in ended.items() if outcome.seconds)
    if through and left:
        expected = sum(sweep.experiments[run_id].seconds for run_id in left)
        words.append(f"{duration(seconds * expected / through)} left")
    return ", ".join(words)


def essence(cause: str) -> str:
    """A cause without what differs between jobs that failed of the same: their ids, nodes and times."""
    return re.sub(r"\b(jobs?|step) \d[\d_.]*( on \S+)?|\d{4}-\d\d-\d\dT[\d:]+", "…", cause, flags=re.IGNORECASE)


def _tell(sweep: Sweep, outcome: Outcome, number: int, total: int, *, quiet: bool) -> None:
    planned = sweep.experiments[outcome.run_id]
    if outcome.state == "failed":
        tqdm.write(f"[{number}/{total}] failed: {planned.name}: {outcome.cause}", file=sys.stdout)
    elif not quiet:
        said = planned.name
        with suppress(ConfigError):  # a result that this user may not read is finished too
            if finished := result.read(sweep.run_folder(outcome.run_id), outcome.run_id):
                said = finished.summary(planned.name if planned.apart else None)
        tqdm.write(f"[{number}/{total}] finished: {said}", file=sys.stdout)
    sys.stdout.flush()


def conclude(sweep: Sweep, ended: Mapping[str, Outcome], seconds: float) -> int:
    """Print what became of a sweep; the exit code is 0 if everything that was asked for is done, else 1."""
    failed = [outcome for outcome in ended.values() if outcome.state == "failed"]
    before = len(sweep.experiments) - len(sweep.to_run)
    line = f"{plural(len(sweep.experiments), 'experiment')}: {len(ended) - len(failed)} finished in {seconds:.0f} s"
    line += f", {before} before" if before else ""
    print(f"{line}, {len(failed)} failed")
    if failed:
        print(failures((sweep.experiments[each.run_id].name, each.cause, each.log) for each in failed))
        print(f"python -m launch retry {shlex.quote(str(sweep.runs))}   runs those again")
    for line in reminder(sweep.runs, (sweep.run_folder(run_id) for run_id in ended)):
        print(line)
    sys.stdout.flush()
    return 1 if failed else 0


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], width: int | None = None) -> str:
    """Columns under headings, folded to fit a width or the terminal; without one, each row is one line."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    if width is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100_000
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def failures(rows: Iterable[tuple[str, str, str]]) -> str:
    """Name, cause and log of each experiment that failed; of more than `ALIKE` with the same cause the first ones."""
    by_cause: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for row in rows:
        by_cause[essence(row[1])].append(row)
    shown: list[tuple[str, str, str]] = []
    for alike in by_cause.values():
        if len(alike) <= ALIKE:
            shown += alike
        else:
            first, cause, log = alike[0]
            shown.append((f"{plural(len(alike), 'experiment')}: {first} …", cause, log))
    return table(("failed", "cause", "log"), shown)


def duration(seconds: float | None) -> str:
    """As people say it: 45 s, 12 min, 3.5 h; nothing of what is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def as_document(runs: Path, survey: Survey) -> dict[str, object]:
    return {
        "runs": str(runs),
        "unanswered": survey.unanswered,
        "counts": counts(survey.experiments),
        "seconds_left": survey.forecast.seconds_left,
        "at_once": survey.forecast.at_once,
        "failures": [
            {"cause": cause, "log": alike[0].log, "run_ids": [status.run_id for status in alike]}
            for cause, alike in causes(survey.experiments).items()
        ],
        "experiments": [asdict(status) for status in survey.experiments],
    }


def causes(experiments: Iterable[Status]) -> dict[str, list[Status]]:
    """The experiments that failed, by what they failed of; what most did first."""
    alike: dict[str, list[Status]] = defaultdict(list)
    for status in experiments:
        if status.state == "failed":
            alike[status.detail].append(status)
    return dict(sorted(alike.items(), key=lambda group: -len(group[1])))


def headline(survey: Survey) -> str:
    """How many experiments are where, and how long they will still take, in one line."""
    experiments = survey.experiments
    states = ", ".join(f"{n} {state}" for state, n in counts(experiments).items() if n)
    return f"{plural(len(experiments), 'experiment')}: {states}{time_left(survey.forecast)}"


def time_left(forecast: Forecast) -> str:
    """`; about 12 min left, done about 14:05`; nothing of what is not known."""
    if forecast.seconds_left is None:
        return ""
    end = time.localtime(time.time() + forecast.seconds_left)
    done = time.strftime("%H:%M" if time.strftime("%j", end) == time.strftime("%j") else "%a %H:%M", end)
    return f"; about {duration(forecast.seconds_left)} left, done about {done}"


def counts(experiments: Sequence[Status]) -> dict[str, int]:
    """How many experiments are in each state."""
    counted = Counter(status.state for status in experiments)
    return {state: counted[state] for state in STATES}


def render(survey: Survey, longest: int = 15) -> str:
    """A table by size and methods, what runs (no more than `longest`), and what failed."""
    experiments = survey.experiments
    lines = [f"{survey.unanswered}: what hangs on it is told as unknown", ""] if survey.unanswered else []
    lines += [headline(survey), "", by_size_and_methods(experiments)]
    running = sorted((status for status in experiments if status.state == "running"), key=lambda s: s.seconds_left or 0)
    if running:
        rows = [(status.name, status.detail, duration(status.seconds_left), status.job or "") for status in running]
        lines += ["", table(("running", "at", "left", "job"), rows[:longest])]
        lines += [f"… and {len(rows) - longest} more"] if len(rows) > longest else []
    for state in ("pending", "unknown"):
        reasons = Counter(status.detail for status in experiments
                          if status.state == state and (status.job or status.detail == ROOM))  # fmt: skip
        if reasons and not (state == "unknown" and survey.unanswered):
            lines += ["", f"{state}: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())]
    if failed := [status for status in experiments if status.state == "failed"]:
        lines += ["", failures([(status.name, status.detail, status.log) for status in failed])]
    return "\n".join(lines)


def by_size_and_methods(experiments: Sequence[Status], width: int | None = None) -> str:
    """How many of each model and subset are finished, and where the others are."""
    names = dict.fromkeys(status.methods for status in experiments)
    columns = sorted(names, key=lambda name: (name != "none", name.count("+")))
    cells: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for status in experiments:
        cells[status.model][status.methods][status.state] += 1
    rows = [[model, *(_cell(row[column]) for column in columns)] for model, row in cells.items()]
    return table(["finished / all", *columns], rows, width)


def _cell(states: Counter[str]) -> str:
    if not states:
        return ""
    rest = " ".join(f"{states[state]}{state[0]}" for state in STATES if states[state] and state != "finished")
    return f"{states['finished']}/{states.total()}" + (f"  {rest}" if rest else "")
