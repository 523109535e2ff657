"""report.html, one file that opens without a network, with everything about a collection of runs."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import reference
from analysis.names import PARTS, SIZES, Names, colour_rules
from analysis.options import Options
from analysis.read.results import Results
from analysis.report import drawn, opening, payload, sections, verdicts
from analysis.statistics import ablation, claims, equivalent_size, interactions, priorities, sensitivity, table1
from analysis.statistics.means import mean_scores
from analysis.statistics.sensitivity import MEANING
from analysis.subsets import NONE
from analysis.tables import tables
from compress.storage.files import write_text

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("drawing", "pointing", "data", "figure1", "charts", "controls")


@dataclass(frozen=True)
class Findings:
    """One DataFrame per statistic; `equivalent_size.table` with both ways of counting bytes, and so, `both_ways`,
    `interactions.table` and `priorities.main_effects`.

    Interactions have the study's too, by nominal bytes; `sensitivity.table` is of nominal bytes.
    """

    equivalent_size: pd.DataFrame
    interactions: pd.DataFrame
    effects: pd.DataFrame
    table1: pd.DataFrame
    ablation: pd.DataFrame
    sensitivity: pd.DataFrame


def findings(results: Results, options: Options) -> Findings:
    """Computed once, with the options' score, replicates and tolerance."""
    ways = [replace(options, bytes=size) for size in SIZES]
    sizes = [equivalent_size.table(results, way).assign(bytes=way.bytes) for way in ways]
    contrasts = {way.bytes: interactions.table(results, way) for way in ways}
    effects = {way.bytes: priorities.main_effects(results, way) for way in ways}
    one_model = pd.concat(sizes, ignore_index=True)
    settings = ablation.table(results, options)
    asked = {
        claims.MODEL: claims.model_claims(one_model[one_model["bytes"] == "nominal"]),
        claims.CURVES: claims.curve_claims(contrasts["nominal"], effects["nominal"]),
    }
    varied = sensitivity.table(results, replace(options, bytes="nominal"), asked)
    contrasts["nominal"] = interactions.with_study(contrasts["nominal"], results.methods)
    first = table1.table(results, options)
    return Findings(one_model, both_ways(contrasts), both_ways(effects), first, settings, varied)


def both_ways(counted: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One frame of both ways of counting bytes (`nominal`, `artifact`), named in the column `bytes`.

    Adds `shown_low` and `shown_high`, the interval from seeds (low, high) or without one that from the differences
    between tasks (tasks_low, tasks_high); and `shown_by`, which of them: `seeds`, `tasks` or empty.
    """
    table = pd.concat([of_size.assign(bytes=size) for size, of_size in counted.items()], ignore_index=True)
    seeds, tasks = table["low"].notna(), table["tasks_low"].notna()
    for end in ("low", "high"):
        table[f"shown_{end}"] = table[end].where(seeds, table[f"tasks_{end}"])
    table["shown_by"] = seeds.map({True: "seeds", False: ""}).mask(~seeds & tasks, "tasks")
    return table


@dataclass(frozen=True)
class Written:
    """A report's files and what it says first.

    Attributes:
        pages: `report.html` and, if asked for, `report.pdf`.
        figures: below `figures/`.
        tables: below `tables/`.
        opening: its first sentences, as the terminal has them.
    """

    pages: list[Path]
    figures: list[Path]
    tables: list[Path]
    opening: list[str]


def write(results: Results, out: Path, options: Options, *, as_pdf: bool = False) -> Written:
    """Write `report.html`, if asked for `report.pdf`, `figures/` and `tables/` below `out`."""
    from analysis.figures import figures  # matplotlib takes a second
    from analysis.report import pdf

    program = pdf.browser() if as_pdf else None
    out.mkdir(parents=True, exist_ok=True)
    statistics = findings(results, options)
    report = out / "report.html"
    write_text(report, page(results, options, statistics))  # whole, for who reads it meanwhile
    written = tables.write(
        out / "tables",
        equivalent_size=statistics.equivalent_size,
        interactions=statistics.interactions,
        table1=statistics.table1,
        priorities=statistics.effects,
        sensitivity=statistics.sensitivity,
        figure1=mean_scores(results, options.score, options.bytes).points,
        **({"ablation": statistics.ablation} if len(statistics.ablation) else {}),
        **({"failures": results.failures} if len(results.failures) else {}),
    )
    runs = out / "tables" / "runs.csv"  # for programs alone
    runs.write_text(tables.csv(flat(results.runs)), encoding="utf-8")
    shown = drawn.drawn(statistics.equivalent_size, statistics.interactions)
    pictures = figures.write(results, out / "figures", options.score, shown)
    printed = [] if program is None else [out / "report.pdf"]
    if program is not None:
        pdf.write(page(results, options, statistics, on_paper=True), printed[0], program)
    said = opening.sentences(results, statistics.equivalent_size, statistics.sensitivity, where="")
    return Written([report, *printed], pictures, [*written, runs], said)


def flat(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with a column for each method's option (`none` where it is off), and one for each of its strengths."""
    by_run = [{entry.method: entry for entry in compressions} for compressions in runs["compression"]]
    entries = dict.fromkeys((entry.method, entry.strength) for active in by_run for entry in active.values())
    columns: dict[str, list[object]] = {}
    for method, strength in entries:
        of_method = [active.get(method) for active in by_run]
        columns[method] = [entry.option if entry else NONE for entry in of_method]
        if strength is not None:
            values = [entry.value if entry and entry.strength == strength else None for entry in of_method]
            columns[f"{method}.{strength}"] = values
    return runs.drop(columns=["compression", "by_part", "latency"]).assign(**columns)


def page(results: Results, options: Options, statistics: Findings, *, on_paper: bool = False) -> str:
    """The whole of report.html; `on_paper`: to be printed, with all that is folded open."""
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    style = (PAGE / "page.css").read_text(encoding="utf-8") + colour_rules()
    scripts = (*SCRIPTS, "paper") if on_paper else SCRIPTS
    script = "\n".join((PAGE / f"{name}.js").read_text(encoding="utf-8") for name in scripts)
    style += (PAGE / "paper.css").read_text(encoding="utf-8") if on_paper else ""
    names = Names(results.methods)
    data = payload.document(results, options.score, options.bytes)
    contrasts, effects = statistics.interactions, statistics.effects
    certainty = sections.certainties(statistics.sensitivity)
    shown = drawn.drawn(statistics.equivalent_size, contrasts)
    made = environment.get_template("page.html").render({
        "style": Markup(style),
        "style_hash": content_hash(style),
        "script": Markup(script),
        "script_hash": content_hash(script),
        "summary": f"{sections.summary(results)} · read from {results.source}",
        "runs": len(results.runs),
        "opening": opening.sentences(results, statistics.equivalent_size, statistics.sensitivity),
        "verdicts": verdicts.headline(statistics.equivalent_size, contrasts, names, certainty),
        "sensitivity": sections.sensitivity(statistics.sensitivity, names),
        "varied": MEANING,
        "reasons": [reason for reason in dict.fromkeys(contrasts["reason"]) if reason],
        "by_tasks": {"contrasts": _by_tasks(contrasts), "effects": _by_tasks(effects)},
        "priorities": verdicts.priorities(statistics.equivalent_size, certainty),
        "priorities_of_curves": verdicts.priorities_of_curves(effects, certainty),
        "legend": names.legend(),
        "table1": sections.table1(statistics.table1, names),
        "counted": {"nominal": SIZES["nominal"].short, "artifact": "bytes of the file"}[options.bytes],
        "study_there": bool(statistics.table1["paper"].notna().any()),
        "one_model": sections.equivalent_size(statistics.equivalent_size, names),
        "one_model_tasks": sections.equivalent_size_of_tasks(statistics.equivalent_size),
        "one_model_reasons": equivalent_size.reasons(statistics.equivalent_size.query("scope == 'mean'")),
        "interactions": sections.interactions(contrasts),
        "study": interactions.study_sentence(contrasts, names.contrast),
        "over_product": sections.over_product(statistics.table1),
        "left_out": f"{interactions.LEFT_OUT}; each with its reason below." if contrasts["reason"].any() else "",
        "by_model": interactions.by_model(shown),
        "each_task": sections.each_task(contrasts),
        "ablation": sections.ablation(statistics.ablation),
        "bytes": SIZES,
        "parts": PARTS,
        "sizes": sections.sizes(data["breakdown"]),
        "failures": sections.failures(results),
        "notes": results.notes,
        "options": options,
        "devices": sections.devices(results.runs),
        "memory": sections.memory(results),
        "recipes": sections.recipes(results),
        "source": reference.SOURCE,
        "data": {**data, "interactions": sections.plotted(shown, names, len(results.tasks))},
        "theme": "light" if on_paper else None,
    })  # fmt: skip
    return made.replace("<details>", "<details open>") if on_paper else made


def _by_tasks(table: pd.DataFrame) -> bool:
    """Whether some interval of a mean is from the differences between tasks."""
    return bool((table[table["scope"].isin(interactions.MEANS)]["shown_by"] == "tasks").any())


def content_hash(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
