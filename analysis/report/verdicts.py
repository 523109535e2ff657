"""The report's verdicts on combinations, and which method comes first: from one model of all tasks.

The score-size curves, of each task alone, stand beside them as a check, and in their place where the model knows
nothing: it takes two sizes, the curves only scores in common.
"""

from __future__ import annotations

import pandas as pd

from analysis.names import SIGNS, SIZES, Names
from analysis.read.results import Row
from analysis.report.sections import Cell, Certainties, Table
from analysis.report.texts import counts, factor, interval, number, stacked
from analysis.statistics import sensitivity
from analysis.statistics.claims import CURVES, MODEL, NOTHING, model_claims
from analysis.statistics.like_with_like import MAIN
from analysis.tables import tables

Key = tuple[str, str]  # methods and kind of a contrast
Rows = dict[tuple[str, str, str], Row]  # of both ways of counting bytes, by contrast, kind, bytes


def headline(
    sizes: pd.DataFrame, contrasts: pd.DataFrame, names: Names, certainty: Certainties
) -> list[dict[str, str]]:
    """For each combination: its name, sign and word, what that hangs on, what is seen and expected, and of what.

    Args:
        sizes, contrasts: `equivalent_size.table` and `interactions.table` of both ways of counting bytes.
    """
    model, curves = _means(sizes[sizes["kind"] != MAIN]), _means(contrasts)
    lines = [
        _by_model(key, names, model, curves, certainty)
        if pd.notna(model.get((*key, "nominal"), {}).get("estimate"))
        else _by_curves(key, names, curves, certainty)
        for key in dict.fromkeys((methods, kind) for methods, kind, _ in curves)
    ]
    return lines if any(line["told"] != UNDEFINED for line in lines) else []


UNDEFINED = "undefined."


def _means(table: pd.DataFrame) -> Rows:
    means = table[table["scope"] == "mean"].to_dict("records")
    return {(row["contrast"], row["kind"], row["bytes"]): row for row in means}


def _by_model(key: Key, names: Names, model: Rows, curves: Rows, certainty: Certainties) -> dict[str, str]:
    own, file = model[(*key, "nominal")], model[(*key, "artifact")]
    check, check_of_file = curves[(*key, "nominal")], curves[(*key, "artifact")]
    same = file["verdict"] == own["verdict"]
    by_file = _told(file, "estimate", "", ", product") + ("" if same else f" Verdict: {file['verdict']}.")
    return {
        "name": names.contrast(*key),
        **_word(own["verdict"], certainty.get((MODEL, *key))),
        "told": _told(own, "estimate", "", " smaller at equal score; the methods' product is"),
        "counts": f"{counts(own)}. {SIZES['artifact'].short.capitalize()}: {by_file}",
        "check": f"By score–size curves: {_checked(check)}; {SIZES['artifact'].short} {_checked(check_of_file)}.",
        "why": "; ".join([*_why(own), *(f"curves: {why}" for why in _why(check))]),
    }


def _by_curves(key: Key, names: Names, curves: Rows, certainty: Certainties) -> dict[str, str]:
    own, file = curves[(*key, "nominal")], curves[(*key, "artifact")]
    word, word_of_file = tables.verdict(own), tables.verdict(file)
    seen = counts(own)
    if own["shown_by"] == "seeds":
        seen += f"; from the differences between tasks{interval(own, 'tasks_')}"
    by_file = _told(file, "interaction", "shown_", ", product")
    return {
        "name": names.contrast(*key),
        **_word(word, certainty.get((CURVES, *key))),
        "told": _told(own, "interaction", "shown_", " smaller at equal score; the methods' product is"),
        "counts": f"{seen}. {SIZES['artifact'].short.capitalize()}: {by_file}"
        + ("" if word_of_file == word else f" Verdict: {word_of_file}."),
        "check": "" if pd.isna(own["interaction"]) else "By score–size curves; one model of all tasks has no estimate.",
        "why": "; ".join(_why(own)),
    }  # fmt: skip


def _word(verdict: str, certainty: Row | None) -> dict[str, str]:
    hangs_on = sensitivity.sentence(certainty) if certainty else ""
    return {"verdict": f"{SIGNS[verdict.split(' ')[0]]} {verdict}", "hangs_on": hangs_on}


def _told(row: Row, value: str, prefix: str, against: str) -> str:
    """How much smaller at equal score, how much was expected, their ratio with its interval."""
    if pd.isna(row[value]):
        return UNDEFINED
    ratio = f"{factor(row[value])}{interval(row, prefix) or ' (no interval)'}"
    if row["kind"] == "pure":
        return f"{ratio} times what its smaller combinations explain."
    return f"{row['observed']:.2f}×{against} {row['expected']:.2f}×; ratio {ratio}."


def _checked(row: Row) -> str:
    """A ratio by the curves with its interval and verdict."""
    if pd.isna(row["interaction"]):
        return UNDEFINED.removesuffix(".")
    ratio, known = factor(row["interaction"]), interval(row, "shown_")
    return f"{ratio}{known}, {tables.verdict(row)}" if known else f"{ratio} (no interval)"


def _why(row: Row) -> list[str]:
    return [row[key] for key in ("reason", "unsure") if row[key]]


def priorities(sizes: pd.DataFrame, certainty: Certainties) -> Table | None:
    """Which method buys most at equal score, by the model: its main effects, in order of their places."""
    means = sizes[(sizes["scope"] == "mean") & (sizes["kind"] == MAIN)]
    nominal = means[(means["bytes"] == "nominal") & means["estimate"].notna()]
    if nominal.empty:
        return None
    files = means[means["bytes"] == "artifact"].set_index("contrast").to_dict("index")
    claimed = model_claims(sizes[sizes["bytes"] == "nominal"])
    places = claimed[claimed["kind"] == "rank bytes"].set_index("claim").to_dict("index")
    shown: list[list[Cell]] = []
    for row in nominal.sort_values("estimate", ascending=False).to_dict("records"):
        method = row["contrast"]
        file = {**files[method], "kind": MAIN}
        shown.append([
            method, _place(places[method], len(shown) + 1, certainty.get((MODEL, method, "rank bytes"))),
            stacked(row, "estimate", "", factor, "×"), stacked(file, "estimate", "", factor, "×"),
            stacked(row, "points", "points_", number), counts(row),
        ])  # fmt: skip
    headings = ["method", "rank", SIZES["nominal"].short, SIZES["artifact"].short, "points", "from"]
    return Table(headings, shown, "Main effects of the methods")


def _place(place: Row, counted: int, certainty: Row | None) -> tuple[str, ...]:
    """`2`, or with the places that the intervals leave open, `2 (1 to 3)`; below it what that hangs on."""
    low, high = place["low"], place["high"]
    if pd.isna(low):
        return (f"{counted}", "no interval")
    return _held(f"{counted}" + ("" if low == high else f" ({low:.0f} to {high:.0f})"), certainty)


def priorities_of_curves(effects: pd.DataFrame, certainty: Certainties) -> Table | None:
    """The same by score-size curves: `Findings.effects`, means over all combinations of the others."""
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
        rank = _held(tables.rank(smaller), certainty.get((CURVES, method, "rank bytes")))
        shown.append([
            method, rank, stacked(smaller, "effect", "shown_", factor, "×"),
            stacked(file, "effect", "shown_", factor, "×"), stacked(points, "effect", "shown_", number),
            "–" if pd.isna(smaller["first"]) else f"{100 * smaller['first']:.0f} %", counted,
        ])  # fmt: skip
    headings = ["method", "rank", SIZES["nominal"].short, SIZES["artifact"].short, "points", "ranks first", "from"]
    return Table(headings, shown, "Main effects of the methods by score–size curves")


def _held(rank: str, certainty: Row | None) -> tuple[str, ...]:
    """A rank, and in how many variations it is the same."""
    claimed = certainty is not None and certainty["verdict"] not in NOTHING
    return (rank, f"in {certainty['held']} of {certainty['of']} variations") if certainty and claimed else (rank,)
