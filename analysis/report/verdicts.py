"""What the runs say, as words and tables: a verdict for each combination, which method matters most, Table 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from analysis.names import SIGNS, SIZES, Names, seeds
from analysis.read.results import Row
from analysis.report.sections import Cell, Table, of_frame
from analysis.tables import presentation
from compress.wording import plural

MEANS = ["mean", "repeated"]


def headline(contrasts: pd.DataFrame, names: Names) -> list[dict[str, str]]:
    """For each combination: its name, sign and word, what is seen and expected, of how many runs, and why not more.

    Nothing if no combination can be judged. All contrasts here are `Findings.interactions`.
    """
    if not contrasts["interaction"].notna().any():
        return []
    grouped = contrasts[contrasts["scope"] == "mean"].groupby(["contrast", "kind"], sort=False)
    return [
        _line(names.contrast(*key), *(rows[rows["bytes"] == size].iloc[0].to_dict() for size in SIZES))
        for key, rows in grouped
    ]


def _line(name: str, nominal: Row, file: Row) -> dict[str, str]:
    word, word_of_file = presentation.verdict(nominal), presentation.verdict(file)
    seen = counts(nominal)
    if nominal["shown_by"] == "seeds":
        seen += f"; from the differences between tasks{_interval(nominal, 'tasks_')}"
    seen += f". {SIZES['artifact'].short.capitalize()}: {_told(file, ', product')}"
    return {
        "name": name,
        "verdict": f"{SIGNS[word.split(' ')[0]]} {word}",
        "told": _told(nominal, " smaller at equal score; the methods' product is"),
        "counts": seen + ("" if word_of_file == word else f" Verdict: {word_of_file}."),
        "why": "; ".join(nominal[key] for key in ("reason", "unsure") if nominal[key]),
    }


def _told(row: Row, against: str) -> str:
    """How much smaller at equal score, how much was expected, their ratio with its interval."""
    if pd.isna(row["interaction"]):
        return "undefined."
    ratio = f"{_factor(row['interaction'])}{_interval(row, 'shown_') or ' (no interval)'}"
    if row["kind"] == "pure":
        return f"{ratio} times what its smaller combinations explain."
    return f"{row['observed']:.2f}×{against} {row['expected']:.2f}×; ratio {ratio}."


def _interval(row: Row, prefix: str) -> str:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return "" if pd.isna(low) else f" [{_factor(low)}, {_factor(high)}]"


def _factor(log: float) -> str:
    return f"{math.exp(log):.2f}"


def counts(row: Row) -> str:
    """How many tasks and seeds define a number."""
    return f"{plural(row['tasks'], 'task')}, {seeds(row['seeds_min'], row['seeds_max'])}"


def number(value: float) -> str:
    """Two digits after the point, a real minus sign; a dash for what is undefined."""
    return "–" if pd.isna(value) else f"{value:.2f}".replace("-", "−")


def priorities(effects: pd.DataFrame) -> Table | None:
    """Which method buys most: `Findings.effects` over all combinations of the others, in order of rank."""
    means = effects[effects["scope"] == "mean"]
    nominal = means[(means["measure"] == "bytes") & (means["bytes"] == "nominal")]
    if not nominal["effect"].notna().any():
        return None
    rows = {(row["method"], row["measure"], row["bytes"]): row for row in means.to_dict("records")}
    shown: list[list[Cell]] = []
    for method in nominal.sort_values("rank")["method"]:
        smaller, file = rows[method, "bytes", "nominal"], rows[method, "bytes", "artifact"]
        points = rows[method, "score", "nominal"]
        counted = counts(smaller) + ("" if counts(points) == counts(smaller) else f"; points: {counts(points)}")
        shown.append([
            method, presentation.rank(smaller), _with_interval(smaller, _factor, "×"),
            _with_interval(file, _factor, "×"), _with_interval(points, number, ""),
            "–" if pd.isna(smaller["first"]) else f"{100 * smaller['first']:.0f} %", counted,
        ])  # fmt: skip
    headings = ["method", "rank", SIZES["nominal"].short, SIZES["artifact"].short, "points", "ranks first", "from"]
    return Table(headings, shown, "Main effects of the methods")


def _with_interval(row: Row, said: Callable[[float], str], unit: str) -> tuple[str, ...]:
    if pd.isna(row["effect"]):
        return ("–",)
    by = " tasks" if row["shown_by"] == "tasks" else ""
    interval = () if pd.isna(row["shown_low"]) else (f"[{said(row['shown_low'])}, {said(row['shown_high'])}]{by}",)
    return (f"{said(row['effect'])}{unit}", *interval)


def interactions(contrasts: pd.DataFrame) -> Table | None:
    """Of the means over tasks."""
    if not contrasts["interaction"].notna().any():
        return None
    return of_frame(presentation.interactions(contrasts[contrasts["scope"].isin(MEANS)]), "Interactions")


def each_task(contrasts: pd.DataFrame) -> Table:
    """Of every task alone, with what is not known and why."""
    rows = contrasts[~contrasts["scope"].isin(MEANS)]
    why = list(rows["reason"].where(rows["reason"] != "", rows["unsure"]))
    return of_frame(presentation.interactions(rows).assign(why=why), "Interactions of each task")


def plotted(contrasts: pd.DataFrame, names: Names) -> list[dict[str, object]]:
    """What the page's script draws the interactions from; null for what is undefined."""
    drawn = []
    for row in contrasts[contrasts["scope"] == "mean"].to_dict("records"):
        name = names.contrast(row["contrast"], row["kind"])
        values = {"estimate": row["interaction"], "low": row["shown_low"], "high": row["shown_high"]}
        by = f" from {row['shown_by']}" if row["shown_by"] else ""
        interval = f"[{number(row['shown_low'])}, {number(row['shown_high'])}]{by}"
        drawn.append({
            "label": name, "size": row["bytes"], "by": row["shown_by"],
            **{key: None if pd.isna(value) else round(value, 4) for key, value in values.items()},
            "lines": [f"{name}: {presentation.verdict(row)}",
                      f"log-interaction {number(row['interaction'])} {interval}",
                      f"{SIZES[row['bytes']].short}, {counts(row)}"],
        })  # fmt: skip
    return drawn


def table1(factors: pd.DataFrame, names: Names) -> Table | None:
    """`Findings.table1` by architecture and methods, with the paper's below; intervals below their numbers."""
    if not factors["factor"].notna().any():
        return None
    model, size, *subsets = (shown := presentation.table1(factors)).columns
    rows = [[*row[:2], *(tuple(cell.split(" ", 1)) for cell in row[2:])] for row in shown.to_numpy().tolist()]
    return Table([model, size, *map(names.label, subsets)], rows, "Table 1: size reductions")
