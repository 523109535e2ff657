"""The report's sections that need no statistics, as HTML; the page's script draws their charts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from analysis.names import plural, task_label
from analysis.options import Options
from analysis.read.results import Results
from analysis.report.markup import Html, chart, empty, folded, items, lead, legend, scrolling, table

if TYPE_CHECKING:
    import pandas as pd

PARTS = {"embeddings": "embeddings", "encoder": "encoder", "head": "head", "rest": "masks, scales, header"}
Data = Mapping[str, Any]


def summary(results: Results) -> str:
    """What the collection is, in one line."""
    runs = results.runs
    if runs.empty:
        return "No finished run."
    seeds = sorted({int(seed) for seed in runs["seed"]})
    counts = [
        plural(len(runs), "finished run"),
        plural(len(results.models), "model"),
        plural(len(results.tasks), "task"),
        plural(runs["methods"].nunique(), "combination of methods", "combinations of methods"),
        f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}",
    ]
    failed = [f"{len(results.failures)} failed"] if len(results.failures) else []
    return " · ".join(counts + failed)


def figure1() -> str:
    """Filters, the figure, its points as a table, the runs behind a point."""
    return (
        lead(
            "Mean score over the chosen tasks. Hue and marker tell quantization and pruning; a filled marker and a"
            " solid line tell distillation. Point at a mark, or reach it with Tab and the arrow keys; a click or"
            " Enter lists the runs behind it."
        )
        + '<div id="legend"></div><details class="filters"><summary>Filters</summary><div id="filters"></div></details>'
        + '<figure><div id="figure1" class="chart"></div>'
        + '<figcaption id="figure1-note" aria-live="polite"></figcaption></figure>'
        + '<div id="figure1-runs" aria-live="polite"></div>'
        + folded("The points as a table", scrolling("", "Points of the figure", "figure1-table"))
    )


def tasks() -> str:
    """The same for each task."""
    about = "The same curves for each chosen task alone, over size in MB (log scale); every task has its own scale of"
    return lead(f"{about} scores. The filters above count here too.") + '<div id="tasks-charts" class="panels"></div>'


def sizes(data: Data) -> str:
    """Bytes by part."""
    if not data["sizes"]:
        return empty("No run says how its bytes divide into parts.")
    rows = [
        [row["model"], row["name"], *(f"{row[part]:,.0f}" for part in (*PARTS, "artifact"))] for row in data["sizes"]
    ]
    return (
        lead(
            "Bytes of the weight file, as a share of the uncompressed model in float32: surviving parameters at their"
            " nominal size, and what the file holds beyond them (masks, scales, activation ranges, its header)."
            " Distillation changes no size."
        )
        + legend((f"key {part}", name) for part, name in PARTS.items())
        + '<div id="sizes-charts" class="panels wide"></div>'
        + folded(
            "The bytes as a table", table(["model", "compression", *PARTS.values(), "file"], rows, "Bytes by part")
        )
    )


def latency(data: Data) -> str:
    """Score against latency, of the shape, task and seed that the reader chooses."""
    if not data["latency"]["run"]:
        return empty("Not measured: python -m compress.latency RUN… writes latency.json into run folders.")
    return (
        '<div id="latency-choice" class="choice"></div>'
        + chart(
            "latency-chart", "Median and quartiles in ONNX Runtime; quantized models in int8, the others in float32."
        )
        + folded("The points as a table", scrolling("", "Latencies", "latency-table"))
    )


def training(data: Data) -> str:
    """Loss over the steps, of the runs that the reader chooses."""
    if not any(data["training"]):
        return empty("No training curves: they are read from metrics.jsonl in run folders.")
    return (
        '<div id="training-choice" class="choice"></div>'
        + chart(
            "training-chart",
            "Training loss, thinned: each point is the mean of its neighbours. A distilled model's loss is another"
            " quantity than the others'.",
        )
        + '<ul id="training-legend" class="legend"></ul>'
    )


def failures(results: Results, notes: Sequence[str]) -> str:
    """What failed, with causes; what was left out, with reasons."""
    columns = ["task", "model", "methods", "seed", "cause", "run_id"]
    shown = Html("<p>No experiment failed.</p>")
    if len(results.failures):
        rows = results.failures[columns].astype(object).where(results.failures[columns].notna(), "–")
        headings = [*columns[:-1], "run id"]
        shown = table(headings, rows.to_numpy().tolist(), "Failed experiments")
    left_out = items(notes) if notes else "<p>Nothing was left out.</p>"
    return f"{shown}<h3>Left out, and what else to know</h3>{left_out}"


def settings(results: Results, options: Options) -> str:
    """How it was computed, and what the runs were trained with."""
    intervals = f"{options.bootstrap} replicates, random seed {options.seed}" if options.bootstrap else "none computed"
    devices = results.runs.groupby(results.runs["device"].fillna("a device that is not known"), sort=False)
    ran_on = "; ".join(f"{device} ({_counted(runs)})" for device, runs in devices)
    said = [
        f"<p>Intervals: {intervals}. Tolerance of Table 1: {options.tolerance:g} points.</p>",
        f"<p>Trained and scored on {escape(ran_on)}.</p>",
    ]
    for name, runs in results.runs.groupby("settings", sort=False):
        values = json.dumps(results.settings.get(str(name), {}), indent=2, ensure_ascii=False)
        said.append(f"<h3><code>{escape(str(name))}</code> <small>{escape(_counted(runs))}</small></h3>")
        said.append(folded("Data, training and methods' options", f"<pre><code>{escape(values)}</code></pre>"))
    return "".join(said)


def _counted(runs: pd.DataFrame) -> str:
    """How many, of which tasks."""
    return f"{plural(len(runs), 'run')}: {', '.join(task_label(task) for task in dict.fromkeys(runs['task']))}"
