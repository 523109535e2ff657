"""report.html, one file that opens without a network, with everything about a collection of runs."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from string import Template

from analysis import reference
from analysis.names import hue_rules
from analysis.options import Options
from analysis.read.results import Results
from analysis.report import payload, sections, verdicts
from analysis.statistics.curves import curves
from analysis.statistics.findings import Findings, findings
from analysis.tables import tables

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("charts.js", "curves.js", "sections.js")
TITLE = "Combining compressions"


def write(results: Results, out: Path, options: Options) -> list[Path]:
    """Write `report.html`, `figures/` and `tables/` below `out`, and say which files."""
    from analysis.figures import figures  # matplotlib takes a second

    out.mkdir(parents=True, exist_ok=True)
    found = findings(results, options)
    report = out / "report.html"
    report.write_text(page(results, options, found), encoding="utf-8")
    return [
        report,
        *figures.write(results, out / "figures", options.score, found.interactions),
        *_tables(results, found, options, out / "tables"),
    ]


def _tables(results: Results, found: Findings, options: Options, folder: Path) -> list[Path]:
    """What the statistics are, the points of Figure 1, what failed; and every run, for programs alone."""
    points = curves(results.runs, options.score, options.bytes).points
    failures = {"failures": results.failures} if len(results.failures) else {}
    written = tables.write(
        folder,
        interactions=found.interactions,
        table1=found.table1,
        priorities=found.effects,
        figure1=points,
        **failures,
    )
    runs = folder / "runs.csv"
    runs.write_text(tables.csv(results.runs.drop(columns=["metrics", "by_part"])), encoding="utf-8")
    return [*written, runs]


def page(results: Results, options: Options, found: Findings) -> str:
    """The whole of report.html."""
    data = payload.document(results, options.score, options.bytes)
    data["interactions"] = verdicts.plotted(found.interactions)
    notes = [*results.notes, *data.pop("unread")]
    parts = [("failures", "Failures and what was left out", sections.failures(results, notes))]
    if len(results.runs):
        parts = [
            (
                "verdicts",
                "What the runs say",
                verdicts.headline(found.interactions) + verdicts.priorities(found.effects),
            ),
            ("figure", "Score against size", sections.figure1()),
            ("table1", "Table 1: size reductions", verdicts.table1(found.table1, options.tolerance, options.bytes)),
            ("interactions", "Interactions", verdicts.interactions(found.interactions)),
            ("tasks", "Each task", sections.tasks()),
            ("sizes", "What the bytes are", sections.sizes(data)),
            ("latency", "Latency", sections.latency(data)),
            ("training", "Training", sections.training(data)),
            *parts,
            ("settings", "Settings", sections.settings(results, options)),
        ]
    style = (PAGE / "page.css").read_text(encoding="utf-8") + hue_rules()
    script = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        title=TITLE,
        summary=escape(f"{sections.summary(results)} · read from {results.source}"),
        contents="".join(f'<a href="#{name}-section">{escape(heading)}</a>' for name, heading, _ in parts),
        sections="\n".join(_section(*part) for part in parts),
        footer=escape(f"The paper: {reference.SOURCE}"),
        data=payload.embedded(data),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
    )


def _section(name: str, heading: str, inside: str) -> str:
    return (
        f'<section id="{name}-section" aria-labelledby="{name}-heading">'
        f'<h2 id="{name}-heading">{escape(heading)}</h2>{inside}</section>'
    )


def _hash(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
