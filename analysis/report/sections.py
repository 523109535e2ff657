"""What the report says, as words and as tables that are not HTML yet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from analysis.names import EFFECT_SIGNS, ESTIMATORS, PARTS, SIGNS, SIZES, Names, against, task_label
from analysis.read.results import Results, Row
from analysis.report.drawn import MODEL
from analysis.report.texts import counts, factor, interval, number, stacked
from analysis.statistics import sensitivity as sensitivities
from analysis.statistics.claims import NOTHING
from analysis.statistics.interactions import CURVES, MEANS, STUDY, UNDEFINED, counted, of_tasks
from analysis.statistics.table1 import OVER_PRODUCT
from analysis.tables import tables
from compress.wording import plural

ALIKE = ("contrast", "kind", "bytes")  # in the rows of one interaction
LOOKS = {STUDY: "study", CURVES: "curves"}  # of marks that are no task
FAILED = ["task", "model", "methods", "seed", "cause", "run_id"]
LONG = 40  # characters
GROUPS = {  # of variations
    "task": "without the task", "model": "without the model", "score": "score", "bytes": "bytes",
    "strength": "alone", "holm": "corrected",
}  # fmt: skip
Cell = str | tuple[str, ...]  # a text, or a text and notes below it
Certainties = Mapping[tuple[str, str, str], Row]  # (by, claim, kind) -> its row of `sensitivity.certainty`
_NUMBER = re.compile(r"([+−-]?[\d.,]+([–-][\d.,]+)?( %|×)?|–)?")


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of which names its row; `about` is for screen readers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    about: str

    @cached_property
    def kinds(self) -> list[str]:
        """Of each column: `number` stands right, `words` are wrapped; else empty."""
        return [_kind([row[place] for row in self.rows]) for place in range(len(self.headings))]


def _kind(cells: Sequence[Cell]) -> str:
    if cells and all(isinstance(cell, tuple) or _NUMBER.fullmatch(cell) for cell in cells):
        return "number"
    return "words" if any(isinstance(cell, str) and len(cell) > LONG for cell in cells) else ""


def of_frame(frame: pd.DataFrame, about: str) -> Table:
    return Table(list(map(str, frame.columns)), [list(map(str, row)) for row in frame.to_numpy()], about)


def summary(results: Results) -> str:
    """What the collection is, in one line."""
    runs = results.runs
    if runs.empty:
        return "No finished run."
    numbers = sorted({int(seed) for seed in runs["seed"]})
    told = [
        plural(len(runs), "finished run"),
        plural(len(results.models), "model"),
        plural(len(results.tasks), "task"),
        plural(runs["methods"].nunique(), "combination of methods", "combinations of methods"),
        f"seed{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}",
    ]
    failed = [f"{len(results.failures)} failed"] if len(results.failures) else []
    return " · ".join(told + failed)


def certainties(varied: pd.DataFrame) -> Certainties:
    """(by, claim, kind) -> its row of `sensitivity.certainty`."""
    rows = sensitivities.certainty(varied).to_dict("records")
    return {(row["by"], row["claim"], row["kind"]): row for row in rows}


MarksRow = tuple[str, str, str, str, Sequence[tuple[str, str, bool]]]


@dataclass(frozen=True)
class Marks:
    """A grid of marks: a row for each claim, a column for each variation.

    Attributes:
        groups: heading and columns' names of variations of one kind.
        rows: of each estimator, by its name: claim, its verdict's sign and word, what `sentence` says of it, and its
            marks: sign, what it means, and whether it is another verdict than the claim's.
        legend: what the signs mean.
    """

    groups: Sequence[tuple[str, Sequence[str]]]
    rows: Mapping[str, Sequence[MarksRow]]
    legend: str


def sensitivity(varied: pd.DataFrame, names: Names) -> Marks | None:
    """Every claim in every variation (`Findings.sensitivity`); None without one."""
    if varied["verdict"].isin(NOTHING).all():
        return None
    others = varied[varied["variation"] != sensitivities.ASKED]
    groups = [
        (GROUPS[group], list(dict.fromkeys(rows["variation"]))) for group, rows in others.groupby("group", sort=False)
    ]
    marks = {key: rows.to_dict("records") for key, rows in others.groupby(list(sensitivities.BY_CLAIM), sort=False)}
    by_estimator: dict[str, list[MarksRow]] = {}
    for (by, claim, kind), row in certainties(varied).items():
        drawn = [
            (_sign(mark["verdict"]), _meaning(mark), mark["verdict"] != row["verdict"])
            for mark in marks[by, claim, kind]
        ]
        told = names.claim(claim, kind), _sign(row["verdict"]), row["verdict"], sensitivities.sentence(row)
        by_estimator.setdefault(ESTIMATORS[by], []).append((*told, drawn))
    signs: dict[str, list[str]] = {}
    for word in (word for word in (*SIGNS, *EFFECT_SIGNS) if (varied["verdict"] == word).any()):
        signs.setdefault(_sign(word), []).append(word)
    legend = [f"{sign} {' or '.join(said)}" for sign, said in signs.items()]
    numbers = ["a number: the place"] if varied["verdict"].str.startswith("place").any() else []
    return Marks(groups, by_estimator, ", ".join(legend + numbers))


def _sign(verdict: str) -> str:
    """One character; that for undefined is none that could be taken for a minus."""
    return {**SIGNS, **EFFECT_SIGNS, UNDEFINED: "∅"}.get(verdict) or verdict.removeprefix("place ")


def _meaning(mark: Row) -> str:
    """For a pointer or a screen reader: `without SST-2: inconclusive, 0.98 [0.83, 1.15]`."""
    said = f"{mark['says']}: {mark['verdict']}"
    if pd.isna(mark["low"]) or mark["family"] == "place":
        return said
    change = number if mark["kind"] == "score" else factor
    return f"{said}, {change(mark['estimate'])} [{change(mark['low'])}, {change(mark['high'])}]"


def equivalent_size(sizes: pd.DataFrame, names: Names) -> Table | None:
    """`Findings.equivalent_size`, the means over tasks like these; terms are of nominal bytes."""
    means = sizes[sizes["scope"] == "mean"]
    if not means["estimate"].notna().any():
        return None
    rows = {(row["contrast"], row["kind"], row["bytes"]): row for row in means.to_dict("records")}
    shown: list[list[Cell]] = []
    for (methods, kind, size), row in rows.items():
        if size != "nominal":
            continue
        main = kind == "main"
        file = rows[methods, kind, "artifact"]
        shown.append([
            names.label(methods) if main else names.contrast(methods, kind),
            "without it" if main else against(methods, kind),
            stacked(row, "estimate", "", factor), stacked(file, "estimate", "", factor),
            stacked(row, "learned", "learned_", factor), stacked(row, "arithmetic", "arithmetic_", factor),
            stacked(row, "points", "points_", number), "" if main else row["verdict"], counts(row),
        ])  # fmt: skip
    headings = [
        "methods",
        "against",
        SIZES["nominal"].short,
        SIZES["artifact"].short,
        "learned",
        "arithmetic",
        "points",
    ]
    return Table([*headings, "verdict", "from"], shown, "One model of all tasks")


def equivalent_size_of_tasks(sizes: pd.DataFrame) -> Table:
    """Each task's own, partially pooled numbers."""
    rows = sizes[sizes["scope"] != "mean"]
    return of_frame(tables.equivalent_size(rows).rename(columns={"tasks": "weight"}), "One model: each task's own")


def interactions(contrasts: pd.DataFrame) -> Table | None:
    """Of the means over tasks, and of the study's figure."""
    if not contrasts["interaction"].notna().any():
        return None
    return of_frame(tables.interactions(contrasts[contrasts["scope"].isin([*MEANS, STUDY])]), "Interactions")


def each_task(contrasts: pd.DataFrame) -> Table:
    """Of every task alone, with what is not known and why."""
    rows = of_tasks(contrasts)
    why = list(rows["reason"].where(rows["reason"] != "", rows["unsure"]))
    return of_frame(tables.interactions(rows).assign(why=why), "Interactions of each task")


def ablation(settings: pd.DataFrame) -> Table | None:
    """What each setting of an option gains; None where no option has several."""
    return None if settings.empty else of_frame(tables.ablation(settings), "What each setting gains")


def plotted(contrasts: pd.DataFrame, names: Names, tasks: int) -> list[dict[str, object]]:
    """What the page's script draws the interactions from; null for what is undefined."""
    drawn = []
    for row in contrasts[contrasts["scope"] == "mean"].to_dict("records"):
        name, size = names.contrast(row["contrast"], row["kind"]), SIZES[row["bytes"]].short
        alike = contrasts[(contrasts[list(ALIKE)] == [row[key] for key in ALIKE]).all(axis=1)]
        others = alike[~alike["scope"].isin(MEANS) & alike["interaction"].notna()].to_dict("records")
        drawn.append({
            "label": name, "size": row["bytes"], "by": row["shown_by"], "counted": counted(alike, tasks),
            **_values(row),
            "lines": [f"{name}: {tables.verdict(row)}", _ratio(row), f"{size}, {counts(row)}"],
            "others": [{"look": LOOKS.get(one["scope"], "task"), "value": round(one["interaction"], 4),
                        "lines": [f"{_scope(one['scope'])}: {name}", _ratio(one), size]} for one in others],
        })  # fmt: skip
    return drawn


def _scope(scope: str) -> str:
    return {STUDY: "the study", CURVES: "score–size curves"}.get(scope) or task_label(scope)


def _values(row: Row) -> dict[str, float | None]:
    values = {"estimate": row["interaction"], "low": row["shown_low"], "high": row["shown_high"]}
    return {key: None if pd.isna(value) else round(value, 4) for key, value in values.items()}


def _ratio(row: Row) -> str:
    """Observed over expected reduction with its interval, as a ratio."""
    if pd.isna(row["interaction"]):
        return "undefined"
    by = {"": " (no interval)", MODEL: " for other tasks and seeds"}.get(row["shown_by"], f" from {row['shown_by']}")
    return f"ratio {factor(row['interaction'])}{interval(row, 'shown_')}{by}"


def table1(factors: pd.DataFrame, names: Names) -> Table | None:
    """`Findings.table1` by architecture and methods, with the paper's below; counts below their numbers."""
    if not factors["factor"].notna().any():
        return None
    model, size, *subsets = (shown := tables.table1(factors)).columns
    rows = [[*row[:2], *(tuple(cell.split(" ", 1)) for cell in row[2:])] for row in shown.to_numpy().tolist()]
    return Table([model, size, *map(names.label, subsets)], rows, "Table 1: size reductions")


def over_product(factors: pd.DataFrame) -> bool:
    """Whether `Findings.table1` has rows of the rule for combinations."""
    return bool((factors["model"] == OVER_PRODUCT).any())


def sizes(breakdown: Sequence[Row]) -> Table | None:
    if not breakdown:
        return None
    rows = [[row["model"], row["name"], *(f"{row[part]:,.0f}" for part in (*PARTS, "artifact"))] for row in breakdown]
    labels = [part.label for part in PARTS.values()]
    return Table(["model", "compression", *labels, "file"], rows, "Bytes by part")


def failures(results: Results) -> Table | None:
    if results.failures.empty:
        return None
    rows = results.failures[FAILED].astype(object).where(results.failures[FAILED].notna(), "–")
    return of_frame(rows.rename(columns={"run_id": "run id"}), "Failed experiments")


def devices(runs: pd.DataFrame) -> str:
    grouped = runs.groupby(runs["device"].fillna("a device that is not known"), sort=False)
    return "; ".join(f"{device} ({_counted(of_device)})" for device, of_device in grouped)


def memory(results: Results) -> str:
    """The most memory that a run of each model took, from small to large; empty where no run tells."""
    most = results.runs.groupby("model")[["memory_bytes", "gpu_memory_bytes"]].max() / 2**30
    told = []
    for model, of_model in most.reindex(results.models).iterrows():
        here, on_gpu = of_model["memory_bytes"], of_model["gpu_memory_bytes"]
        if here == here:
            told.append(f"{model} {here:.1f} GB" + (f" and {on_gpu:.1f} GB on the GPU" if on_gpu == on_gpu else ""))
    return f"Most memory at once: {', '.join(told)}." if told else ""


def recipes(results: Results) -> list[tuple[str, str, str]]:
    """Of each recipe its name, how many runs have it, and its settings as JSON."""
    return [
        (str(name), _counted(runs), json.dumps(results.recipes.get(str(name), {}), indent=2, ensure_ascii=False))
        for name, runs in results.runs.groupby("recipe", sort=False)
    ]


def _counted(runs: pd.DataFrame) -> str:
    return f"{plural(len(runs), 'run')}: {', '.join(task_label(task) for task in dict.fromkeys(runs['task']))}"
