"""What the runs say, as HTML: verdicts in words, which method matters most, the paper's Table 1, interactions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import pandas as pd

from analysis.names import contrast_label, label, megabytes, task_label
from analysis.report.markup import Html, chart, empty, folded, items, lead, legend, table
from analysis.tables import presentation

SIGNS = {"super-multiplicative": "▲", "multiplicative": "=", "sub-multiplicative": "▼", "inconclusive": "?"}
SIZES = {"nominal": "nominal", "artifact": "file"}
Row = Mapping[str, Any]


def headline(contrasts: pd.DataFrame) -> str:
    """A line for each combination: reduction, expected, verdict, interval, counts, and the same for the file on disk.

    Args:
        contrasts: `Findings.interactions`.
    """
    if not contrasts["interaction"].notna().any():
        return empty(
            "No combination can be judged: that takes runs of it, of each of its methods alone, and of no method, which"
            " have scores in common."
        ) + folded("Why", items(reason for reason in dict.fromkeys(contrasts["reason"]) if reason))
    lines = []
    for (contrast, kind), own in contrasts[contrasts["scope"] == "mean"].groupby(["contrast", "kind"], sort=False):
        rows = {str(row["bytes"]): row for row in own.to_dict("records")}
        lines.append(_line(contrast_label(str(contrast), str(kind)), rows["nominal"], rows["artifact"]))
    return f'<ul class="verdicts">{"".join(lines)}</ul>'


def _line(name: str, nominal: Row, file: Row) -> str:
    word = verdict(nominal)
    seen = f"{counts(nominal)}{_across(nominal)}. File on disk: {_told(file, ', product')}"
    seen += "" if verdict(file) == word else f" Verdict: {verdict(file)}."
    why = "; ".join(nominal[key] for key in ("reason", "unsure") if nominal[key])
    more = folded("What it leaves out, and why", f"<p>{escape(why)}</p>") if why else ""
    said = escape(_told(nominal, " smaller at equal score; the methods' product is"))
    return (
        f"<li><div><strong>{escape(name)}</strong>"
        f'<span class="verdict">{SIGNS.get(word.split(" ")[0], "–")} {escape(word)}</span></div>'
        f'<div><p>{said}</p><p class="counts">{escape(seen)}</p>{more}</div></li>'
    )


def verdict(row: Row) -> str:
    """From seeds; where they give no interval, from the differences between tasks."""
    return f"{row['tasks_verdict']} (by tasks)" if row["shown_by"] == "tasks" else str(row["verdict"])


def _told(row: Row, against: str) -> str:
    """How much smaller at equal score, how much was expected, their ratio with its interval."""
    if pd.isna(row["interaction"]):
        return "undefined."
    ratio = f"{_factor(row['interaction'])}{_interval(row, 'shown_') or ' (no interval)'}"
    if row["kind"] == "pure":
        return f"{ratio} times what the three pairs explain."
    return f"{row['observed']:.2f}×{against} {row['expected']:.2f}×; ratio {ratio}."


def _interval(row: Row, prefix: str) -> str:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return "" if pd.isna(low) else f" [{_factor(low)}, {_factor(high)}]"


def _across(row: Row) -> str:
    """The interval from the differences between tasks, where seeds have one too."""
    return f"; from the differences between tasks{_interval(row, 'tasks_')}" if row["shown_by"] == "seeds" else ""


def _factor(log: float) -> str:
    return f"{math.exp(log):.2f}"


def counts(row: Row) -> str:
    """How many tasks and seeds define a number."""
    tasks = f"{row['tasks']} task" + ("" if row["tasks"] == 1 else "s")
    return f"{tasks}, {presentation.seeds(row)} seed" + ("" if row["seeds_max"] == 1 else "s")


def number(value: float) -> str:
    """Two digits after the point, a real minus sign; a dash for what is undefined."""
    return "–" if pd.isna(value) else f"{value:.2f}".replace("-", "−")


# --- priorities -------------------------------------------------------------------------------------------------------


def priorities(effects: pd.DataFrame) -> str:
    """Which method buys most: main effects over all combinations of the others, in order of rank.

    Args:
        effects: `Findings.effects`.
    """
    means = effects[effects["scope"] == "mean"]
    nominal = means[(means["measure"] == "bytes") & (means["bytes"] == "nominal")]
    if not nominal["effect"].notna().any():
        return ""
    rows = {(row["method"], row["measure"], row["bytes"]): row for row in means.to_dict("records")}
    shown: list[list[str]] = []
    for method in nominal.sort_values("rank")["method"]:
        smaller, file = rows[method, "bytes", "nominal"], rows[method, "bytes", "artifact"]
        points = rows[method, "score", "nominal"]
        shown.append([
            method, _rank(smaller), _with_interval(smaller, _factor, "×"), _with_interval(file, _factor, "×"),
            _with_interval(points, number, ""), _share(smaller["first"]), _both(smaller, points),
        ])  # fmt: skip
    headings = ["method", "rank", "nominal bytes", "file on disk", "points", "ranks first", "from"]
    note = " Those marked “tasks” are from the differences between tasks, where seeds give none."
    return (
        "<h3>Which method first</h3>"
        + lead(
            "How many times smaller a method makes a model at equal score, and how many points it costs or gains at"
            " equal architecture: means over all combinations of the other two, and 95 % intervals."
            + (note if (means["shown_by"] == "tasks").any() else "")
        )
        + table(headings, shown, "Main effects of the methods")
    )


def _both(smaller: Row, points: Row) -> str:
    """How many tasks and seeds define sizes, and points where these are others."""
    return counts(smaller) + ("" if counts(points) == counts(smaller) else f"; points: {counts(points)}")


def _with_interval(row: Row, said: Callable[[float], str], unit: str) -> Html:
    if pd.isna(row["effect"]):
        return Html("–")
    known = pd.notna(row["shown_low"])
    by = " tasks" if row["shown_by"] == "tasks" else ""
    interval = f"<small>[{said(row['shown_low'])}, {said(row['shown_high'])}]{by}</small>" if known else ""
    return Html(f"{said(row['effect'])}{unit}{interval}")


def _rank(row: Row) -> str:
    if pd.isna(row["rank"]):
        return "–"
    known = pd.notna(row["rank_low"]) and row["rank_low"] != row["rank_high"]
    return f"{row['rank']:.0f}" + (f" ({row['rank_low']:.0f}–{row['rank_high']:.0f})" if known else "")


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{100 * value:.0f} %"


# --- interactions -----------------------------------------------------------------------------------------------------


def interactions(contrasts: pd.DataFrame) -> str:
    """The plot, and every number that it is of."""
    if not contrasts["interaction"].notna().any():
        return empty("No interaction is defined.")
    means = contrasts["scope"].isin(["mean", "repeated"])
    shown = presentation.interactions(contrasts[means])
    dashed = " Dashed: the interval from the differences between tasks, where seeds give none."
    return (
        lead(
            "Observed over expected size reduction at equal score, with its 95 % interval from seeds. Right of the"
            " shaded zone, methods together save more than their product."
            + (dashed if (contrasts[means]["shown_by"] == "tasks").any() else "")
        )
        + legend([("dot nominal", "nominal bytes"), ("dot artifact", "file on disk")])
        + chart("interactions-chart")
        + folded("The interactions as a table", table(list(shown.columns), shown.to_numpy().tolist(), "Interactions"))
        + folded("Each task", _each_task(contrasts[~means]))
    )


def _each_task(contrasts: pd.DataFrame) -> Html:
    rows = [
        [
            task_label(row["scope"]), contrast_label(row["contrast"], row["kind"]), SIZES[row["bytes"]],
            *(number(row[key]) for key in ("interaction", "low", "high")),
            "–" if pd.isna(row["score_low"]) else f"{row['score_low']:.1f}–{row['score_high']:.1f}",
            presentation.seeds(row), row["verdict"], row["reason"] or row["unsure"],
        ]
        for row in contrasts.to_dict("records")
    ]  # fmt: skip
    headings = ["task", "combination", "bytes", "log-interaction", "low", "high", "scores", "seeds", "verdict", "why"]
    return table(headings, rows, "Interactions of each task")


def plotted(contrasts: pd.DataFrame) -> list[dict[str, Any]]:
    """What the page's script draws the interactions from; null for what is undefined."""
    found = []
    for row in contrasts[contrasts["scope"] == "mean"].to_dict("records"):
        name = contrast_label(row["contrast"], row["kind"])
        drawn = {"estimate": row["interaction"], "low": row["shown_low"], "high": row["shown_high"]}
        by = f" from {row['shown_by']}" if row["shown_by"] else ""
        found.append({
            "label": name, "size": row["bytes"], "by": row["shown_by"],
            **{key: None if pd.isna(value) else round(value, 4) for key, value in drawn.items()},
            "lines": [f"{name}: {verdict(row)}",
                      f"log-interaction {number(row['interaction'])} [{number(row['shown_low'])},"
                      f" {number(row['shown_high'])}]{by}",
                      f"{SIZES[row['bytes']]} bytes, {counts(row)}"],
        })  # fmt: skip
    return found


# --- table 1 ----------------------------------------------------------------------------------------------------------


def table1(factors: pd.DataFrame, tolerance: float, size: str) -> str:
    """Reductions by architecture and methods, with the paper's beside.

    Args:
        factors: `Findings.table1`.
        size: `nominal` or `artifact`, which bytes they are of.
    """
    if not factors["factor"].notna().any():
        return empty("No reduction is defined: it needs an uncompressed model and compressed ones of one task.")
    subsets = list(dict.fromkeys(factors["methods"]))
    rows: list[list[str]] = []
    for model, own in factors.groupby("model", sort=False):
        by_methods = {row["methods"]: row for row in own.to_dict("records")}
        mb = megabytes(own["baseline_bytes"].iloc[0])
        rows.append([str(model), mb, *(_cell(by_methods.get(name)) for name in subsets)])
    counted = {"nominal": "nominal bytes", "artifact": "bytes of the file"}[size]
    return lead(
        f"How many times smaller ({counted}) the smallest model of a method is that keeps within {tolerance:g} points"
        " of an architecture's uncompressed score; mean over tasks. In brackets, what seeds leave open; below, what the"
        " paper has for its models and data."
    ) + table(["model", "MB", *(label(name) for name in subsets)], rows, "Table 1: size reductions")


def _cell(row: Row | None) -> Html:
    if row is None:
        return Html("–")
    notes = [] if pd.isna(row["low"]) else [f"[{row['low']:.1f}, {row['high']:.1f}]"]
    notes += [f"{row['tasks']}/{row['of']} tasks"] if 0 < row["tasks"] < row["of"] else []
    notes += [] if pd.isna(row["paper"]) else [f"paper {row['paper']:.1f}"]
    ours = "–" if pd.isna(row["factor"]) else f"{row['factor']:.1f}"
    return Html(ours + "".join(f"<small>{note}</small>" for note in notes))
