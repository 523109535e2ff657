"""What the W&B dashboard shows.

What the package wandb-workspaces cannot say, and what stands for it:

- A scatter plot takes its points' colours from the runs, not from a factor. So every run is given the colour of its
  methods; runs that came later have W&B's own colours until the next call.
- Bars are grouped by one factor. So there are bars by task, by methods and by size; the search for runs narrows all.
- A panel has no filter of its own, and none shows text. So the failed runs are listed as they were at the last call,
  and besides that parallel coordinates show state and cause of whatever has one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import wandb_workspaces.reports.v2
import wandb_workspaces.workspaces

from analysis import names
from analysis.names import Names
from analysis.read.online import TrackedRun
from analysis.subsets import Compressions, collected, joined
from compress.runs.result import Result

wr: Any = wandb_workspaces.reports.v2  # whose names have no types
ws: Any = wandb_workspaces.workspaces
Panel = Any

NAME = "Combining Compressions"
SCORES = {f"score_{key}": measure.label for key, measure in names.SCORES.items()}
SIZES = {f"size.{key}_bytes": measure.short for key, measure in names.SIZES.items()}
LOOP = ("epoch", "global_step", "loss", "learning_rate", "gradient_norm", "examples_per_second", "memory_bytes")
COST = {
    "timing.train_seconds": "training, seconds", "timing.steps_per_second": "steps per second",
    "memory_bytes": "GPU memory, bytes",
}  # fmt: skip
BROKEN = ("failed", "crashed", "killed")


def workspace(entity: str, project: str, runs: Sequence[TrackedRun], now: float) -> Panel:
    """The whole view; `now` is in seconds since the epoch, said beside the list of failures."""
    ours = {run.run_id: run.compressions for run in runs if run.compressions is not None}
    methods = collected(ours.values())
    entries = [entry for compressions in ours.values() for entry in compressions]
    strengths = list(dict.fromkeys(entry.strength for entry in entries if entry.strength is not None))
    colours = {
        run_id: ws.RunSettings(color=colour(Names(methods), compressions)) for run_id, compressions in ours.items()
    }
    score_and_size = [
        _scatter(f"{score}, {size}", x, y, strengths) for y, score in SCORES.items() for x, size in SIZES.items()
    ]
    column = wr.ParallelCoordinatesPlotColumn
    coordinates = [
        *(column(wr.Config(factor)) for factor in ("model", "task", *methods.names, *strengths, "seed")),
        *(column(wr.SummaryMetric(key), display_name=name, log=True) for key, name in SIZES.items()),
        *(column(wr.SummaryMetric(key), display_name=name) for key, name in SCORES.items()),
    ]
    factors = wr.ParallelCoordinatesPlot(title="Factors, size and score", columns=coordinates)
    scores = _bars(SCORES, ["task", "methods", "model"], " by ")
    cost = [
        *_bars(COST, ["model"], ", by "), *_bars(COST, ["methods"], ", by "),
        _scatter("GLUE score, seconds of training", "timing.train_seconds", "score_glue", strengths),
        _line("memory_bytes"),
    ]  # fmt: skip
    columns = [
        "run:displayName", "run:state",
        *(f"config:{factor}.value" for factor in ("task", "model", "methods", *strengths, "seed")),
        *(f"summary:{key}" for key in (*SCORES, *SIZES, "timing.train_seconds", "failure")),
    ]  # fmt: skip
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[
            _section("Score and size", score_and_size, columns=2, is_open=True),
            _section("Factors", [factors], columns=1, is_open=True),
            _section("Scores by task, methods and size", scores, columns=3, is_open=True),
            _section("Training", _training(runs, strengths), columns=3),
            _section("Cost", cost, columns=3),
            _section("Failures", _failures(runs, now), columns=2, is_open=True),
            _section("Compare runs", [wr.RunComparer(diff_only="split")], columns=1),
        ],
        settings=ws.WorkspaceSettings(x_axis="global_step", max_runs=100),
        runset_settings=ws.RunsetSettings(run_settings=colours, pinned_columns=columns),
    )


def colour(names: Names, compressions: Compressions) -> str:
    """The figures' hue for a subset; paler where its marker is hollow, since points here have no other mark."""
    look = names.look(joined(entry.method for entry in compressions))
    channels = [int(look.light[at : at + 2], 16) for at in (1, 3, 5)]
    mixed = channels if look.filled else [round(0.5 * channel + 0.5 * 255) for channel in channels]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _section(name: str, panels: list[Panel], columns: int, is_open: bool = False) -> Panel:
    layout = ws.SectionLayoutSettings(columns=columns, rows=-(-len(panels) // columns))
    settings = ws.SectionPanelSettings(x_axis="global_step")
    return ws.Section(name=name, panels=panels, is_open=is_open, layout_settings=layout, panel_settings=settings)


def _scatter(title: str, x: str, y: str, strengths: Sequence[str]) -> Panel:
    """One point for each run; `x` on a logarithmic axis."""
    label = " ".join(f"${{config:{factor}}}" for factor in ("methods", "model", "task", *strengths))
    axes = {"x": wr.SummaryMetric(x), "y": wr.SummaryMetric(y)}
    return wr.ScatterPlot(title=title, **axes, log_x=True, legend_template=label)


def _bars(metrics: Mapping[str, str], factors: Sequence[str], by: str) -> list[Panel]:
    """Means over the runs that share a factor's level, with their standard error."""
    return [
        wr.BarPlot(title=f"{name}{by}{factor}", metrics=[metric], orientation="v", max_bars_to_show=50,
                   groupby=wr.Config(factor), groupby_aggfunc="mean", groupby_rangefunc="stderr")
        for metric, name in metrics.items() for factor in factors
    ]  # fmt: skip


def _training(runs: Iterable[TrackedRun], strengths: Iterable[str]) -> list[Panel]:
    """Losses of each run; what follows a schedule or the machine, as means over the runs of each subset.

    What methods logged while they trained are numbers in a summary that are neither an outcome nor the loop's own.
    """
    others = {field.name for field in fields(Result)} - set(strengths) | set(LOOP)
    last = [value for run in runs if run.compressions for value in run.summary.items() if value[0] not in others]
    logged = sorted({key for key, value in last if isinstance(value, int | float) and not key.startswith("_")})
    losses = ["loss", *(key for key in logged if key.endswith("loss"))]
    alike = ["learning_rate", *(key for key in logged if key not in losses), "examples_per_second"]
    return [*map(_line, losses), *(_line(metric, "methods") for metric in alike)]


def _line(metric: str, factor: str | None = None) -> Panel:
    means = {"groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
    grouping: dict[str, object] = {} if factor is None else {"groupby": wr.Config(factor), **means}
    title = metric.replace("_", " ") + (f", by {factor}" if factor else "")
    return wr.LinePlot(title=title, x="global_step", y=[metric], max_runs_to_show=100, **grouping)


def _failures(runs: Iterable[TrackedRun], now: float) -> list[Panel]:
    column = wr.ParallelCoordinatesPlotColumn
    cells = [column(wr.Config(factor)) for factor in ("task", "model", "methods")]
    state = column(wr.Metric("State"), display_name="state")
    cause = column(wr.SummaryMetric("failure"), display_name="cause")
    by_state = {"groupby": wr.Metric("State"), "groupby_aggfunc": "sum"}
    return [
        wr.MarkdownPanel(markdown=failure_list(runs, now)),
        wr.BarPlot(title="Seconds spent, by state of the run", metrics=["RelativeTime(Process)"], **by_state),
        wr.ParallelCoordinatesPlot(title="States", columns=[*cells, state]),
        wr.ParallelCoordinatesPlot(title="Causes of failures", columns=[*cells, state, cause]),
    ]


def failure_list(runs: Iterable[TrackedRun], now: float, longest: int = 100) -> str:
    """Markdown: runs that did not end well, and why; the `longest` list at `now`, in seconds since the epoch."""
    every = list(runs)
    broken = [run for run in every if run.state in BROKEN and run.compressions is not None]
    others = sum(run.compressions is None for run in every)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    lead = f"**{len(broken)} failed or crashed** at {when}; `python -m analysis dashboard` lists anew. Live: filter "
    lead += f"the runs by State in {', '.join(BROKEN)}; the column *failure* says why. A crashed run said nothing."
    lead += f" {others} runs of this project are none of these experiments." if others else ""
    lines = [lead, *(["", "| run | state | cause |", "| --- | --- | --- |"] if broken else [])]
    for run in broken[:longest]:
        lines.append(f"| {_cell(run.name)} | {run.state} | {_cell(str(run.summary.get('failure') or ''))} |")
    lines += [f"\n… and {len(broken) - longest} more"] if len(broken) > longest else []
    return "\n".join(lines)


def _cell(text: str) -> str:
    """On one line of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
