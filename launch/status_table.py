"""The status of a folder of runs, as a table for people and as a document for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from compress.wording import plural
from launch.status import ROOM, STATES, Status, Survey
from launch.tables import duration, failures, table


def as_document(runs: Path, survey: Survey) -> dict[str, object]:
    """For programs."""
    return {
        "runs": str(runs),
        "unanswered": survey.unanswered,
        "counts": counts(survey.experiments),
        "experiments": [asdict(status) for status in survey.experiments],
    }


def counts(experiments: Sequence[Status]) -> dict[str, int]:
    """How many experiments are in each state."""
    counted = Counter(status.state for status in experiments)
    return {state: counted[state] for state in STATES}


def render(survey: Survey, longest: int = 15) -> str:
    """A table by size and methods, what runs (no more than `longest`), and what failed."""
    experiments, totals = survey.experiments, counts(survey.experiments)
    lines = [f"{survey.unanswered}: what hangs on it is told as unknown", ""] if survey.unanswered else []
    states = ", ".join(f"{n} {state}" for state, n in totals.items() if n)
    lines += [f"{plural(len(experiments), 'experiment')}: {states}", "", _by_size_and_methods(experiments)]
    running = sorted((status for status in experiments if status.state == "running"), key=lambda s: s.seconds_left or 0)
    if running:
        rows = [(status.name, status.detail, _left(status.seconds_left), status.job or "") for status in running]
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


def _by_size_and_methods(experiments: Sequence[Status]) -> str:
    names = dict.fromkeys(status.methods for status in experiments)
    columns = sorted(names, key=lambda name: (name != "none", name.count("+")))
    cells: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for status in experiments:
        cells[status.model][status.methods][status.state] += 1
    rows = [[model, *(_cell(row[column]) for column in columns)] for model, row in cells.items()]
    return table(["finished / all", *columns], rows)


def _left(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _cell(states: Counter[str]) -> str:
    if not states:
        return ""
    rest = " ".join(f"{states[state]}{state[0]}" for state in STATES if states[state] and state != "finished")
    return f"{states['finished']}/{states.total()}" + (f"  {rest}" if rest else "")
