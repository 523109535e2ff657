"""The report's first sentences: which method first, whether methods together do more than the product, how sure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.names import KINDS
from analysis.read.results import Results, Row
from analysis.report.texts import factor, interval
from analysis.statistics import sensitivity
from analysis.statistics.claims import MODEL, NOTHING
from analysis.statistics.interactions import EQUAL, INCONCLUSIVE, SUB, SUPER, UNDEFINED
from analysis.statistics.like_with_like import MAIN
from analysis.subsets import split
from compress.wording import enumerated, plural

TOGETHER = {
    SUPER: "{} together reduce sizes by more than the product of what each does",
    EQUAL: "{} together reduce sizes as the product of what each does, to within a tenth",
    SUB: "{} together reduce sizes by less than the product of what each does",
    INCONCLUSIVE: "whether {} together reduce sizes by more or by less than the product of what each does is open",
    UNDEFINED: "whether {} together reduce sizes by more or by less than the product of what each does is not known",
}


def sentences(results: Results, sizes: pd.DataFrame, varied: pd.DataFrame, where: str = " below") -> list[str]:
    """Two or three, from `equivalent_size.table` by nominal bytes and `sensitivity.table`; none where nothing is known.

    Nothing is called sure here but what `sensitivity.certainty` calls so. `where` the variations stand, as on the page.
    """
    means = sizes[(sizes["scope"] == "mean") & (sizes["bytes"] == "nominal")]
    known = means[means["estimate"].notna()]
    if known.empty:
        return []
    claims = sensitivity.certainty(varied) if len(varied) else pd.DataFrame(columns=list(sensitivity.CERTAINTY))
    return list(filter(None, [_first(known), _together(known), _sure(results, claims[claims["by"] == MODEL], where)]))


def _first(known: pd.DataFrame) -> str:
    """Methods in the order of how much smaller models are with them at equal score."""
    main = known[known["kind"] == MAIN].sort_values("estimate", ascending=False).to_dict("records")
    if not main:
        return ""
    best, *others = main
    told = f"{best['contrast']} comes first: it makes models of equal score {_times(best)} smaller."
    rest = [
        f" Then {row['contrast']}, {_times(row)}{', so they become larger' if row['estimate'] < 0 else ''}."
        for row in others
    ]
    return _begun("".join([told, *rest])) + _unsure(main)


def _unsure(rows: Sequence[Row]) -> str:
    """Which of them have no interval, and why."""
    without: dict[str, list[str]] = {}
    for row in rows:
        if row["unsure"]:
            without.setdefault(row["unsure"], []).append(row["contrast"])
    return "".join(f" There is no interval for {enumerated(names)}: {reason}." for reason, names in without.items())


def _together(known: pd.DataFrame) -> str:
    """What the largest combination does against the product, and on which pairs there is a verdict."""
    combined = known[known["kind"].isin(["pair", "total"])].to_dict("records")
    if not combined:
        return ""
    largest = max(combined, key=lambda row: len(split(row["contrast"])))
    ratio = f"ratio {factor(largest['estimate'])}{interval(largest)}"
    seen = f"{largest['observed']:.2f} times smaller; the product is {largest['expected']:.2f} ({ratio})"
    told = TOGETHER[largest["verdict"]].format(enumerated(split(largest["contrast"])))
    return " ".join([f"{_begun(told)}: {seen}.", *_pairs([row for row in combined if row is not largest])])


def _pairs(rows: Sequence[Row]) -> list[str]:
    """The other combinations by their verdicts."""
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        by_verdict.setdefault(row["verdict"], []).append(row["contrast"])
    told = [
        f"the verdict on {enumerated(names)} is {verdict}"
        for verdict, names in by_verdict.items()
        if verdict != UNDEFINED
    ]
    return [_begun(f"{'; '.join(told)}.")] if told else []


def _sure(results: Results, claims: pd.DataFrame, where: str) -> str:
    """Which claims nothing that is varied changes, and what the runs are."""
    counts = [
        plural(len(results.models), "model"),
        plural(len(results.tasks), "task"),
        plural(results.runs["seed"].nunique(), "seed"),
    ]
    runs = f"{plural(len(results.runs), 'run')} of {enumerated(counts)}"
    claimed = claims[~claims["verdict"].isin(NOTHING)].to_dict("records")
    sure = [f"{KINDS[row['kind']].format(row['claim'])} ({row['verdict']})" for row in claimed if row["sure"]]
    if not claimed:
        return f"In {runs} there is no verdict yet."
    if not sure:
        return f"In {runs} nothing is sure: each verdict changes in some variation{where}."
    counted = f"{len(sure)} of {len(claimed)} verdicts {'is' if len(sure) == 1 else 'are'}"
    told = counted if len(claimed) > 1 else "the only verdict is"
    return f"In {runs}, {told} sure, that is, the same in every variation{where}: {'; '.join(sure)}."


def _times(row: Row) -> str:
    return f"{factor(row['estimate'])} times{interval(row)}"


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]
