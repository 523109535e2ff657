"""Figures for a paper, as PDF, SVG and PNG: mean score against size, and what is behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from analysis.figures import captions
from analysis.figures.plotting import COLUMN, GREY, PAGE, draw_curves, legend, log_sizes, new, save, style
from analysis.names import contrast_label, look, megabytes, task_label
from analysis.read.results import Results, models_by_size
from analysis.statistics.breakdown import breakdown
from analysis.statistics.curves import Curves, curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = {"nominal": "Model size", "artifact": "File size"}
SCORE = {"glue": "GLUE score", "accuracy": "accuracy"}
PARTS = {
    "embeddings": ("embeddings", "#31446b"),
    "encoder": ("encoder", "#6f9bd1"),
    "head": ("head", "#7a4a12"),
    "rest": ("masks, scales, header", "#b9bdc4"),
}
INTERVAL = "#1f6fd0"
SLANTED = 0.12  # inches between slanted names


def write(results: Results, out: Path, score: str, contrasts: pd.DataFrame | None = None) -> list[Path]:
    """Write every figure below `out`, and `captions.md`; say which files.

    Args:
        score: `glue` or `accuracy`.
        contrasts: `Findings.interactions`, for the figure of interactions.
    """
    out.mkdir(parents=True, exist_ok=True)
    made: dict[str, tuple[Figure, str]] = {}
    for size, suffix in (("nominal", ""), ("artifact", "-file")):
        shown = curves(results.runs, score, size)
        if len(shown.points):
            caption = captions.figure1(shown)
            made[f"figure1{suffix}"] = figure1(shown), caption
            made[f"figure1{suffix}-column"] = figure1(shown, COLUMN), caption
            each = _each_task(results.runs, score, size)
            made[f"tasks{suffix}"] = tasks(each), captions.tasks(each)
    if contrasts is not None and contrasts["interaction"].notna().any():
        made["interactions"] = interactions(contrasts[contrasts["scope"] == "mean"]), captions.INTERACTIONS
    if len(breakdown(results.runs)):
        made["sizes"] = sizes(results.runs), captions.PARTS
    written = [path for name, (figure, _) in made.items() for path in save(figure, out, name)]
    words = out / "captions.md"
    words.write_text("".join(f"**{name}.** {said}\n\n" for name, (_, said) in made.items()), encoding="utf-8")
    return [*written, words]


def figure1(shown: Curves, width: float = PAGE) -> Figure:
    """Mean score against size, a curve for each subset of the methods, dotted: the largest uncompressed model."""
    wide = width > COLUMN
    with style():
        figure, axes = new(width, (0.66 if wide else 1.22) * width)
        draw_curves(axes, shown.points)
        log_sizes(axes, shown.points["bytes"])
        axes.yaxis.get_major_locator().set_params(min_n_ticks=4)
        _baseline(axes, shown.points, width)
        axes.set_xlabel(f"{SIZE[shown.size]} (MB, log scale)")
        axes.set_ylabel(f"{shown.subject} {SCORE[shown.score]}, {shown.counts}")
        legend(figure, axes, columns=4 if wide else 2)
        return figure


def _baseline(axes: Axes, points: pd.DataFrame, width: float) -> None:
    """A dotted line at the largest uncompressed model; above the axes every uncompressed model's name at its size."""
    plain = points[points["methods"] == "none"].sort_values("bytes")
    if plain.empty:
        return
    largest = plain.iloc[-1]
    axes.axhline(largest["score"], color=look("none").light, linewidth=0.9, linestyle=":", zorder=1)
    axes.annotate(f"{largest['model'].upper()} {largest['score']:.1f}", (0, largest["score"]),
                  xycoords=("axes fraction", "data"), xytext=(3, 2), textcoords="offset points", fontsize=8,
                  path_effects=[withStroke(linewidth=1.6, foreground="white")], zorder=1.5)  # fmt: skip
    top = axes.secondary_xaxis("top")
    low, high = axes.get_xlim()
    named = _apart(plain, SLANTED * math.log(high / low) / (0.8 * width))
    top.set_xticks(
        named["bytes"], [model.upper() for model in named["model"]], rotation=45, ha="left", rotation_mode="anchor"
    )
    top.tick_params(labelsize=6.5, labelcolor=GREY, color=GREY, length=2.5, pad=1)
    top.xaxis.set_minor_locator(NullLocator())
    top.spines["top"].set_visible(False)


def _apart(plain: pd.DataFrame, least: float) -> pd.DataFrame:
    """Of models by size those whose ln(bytes) differ by at least so much, from the largest down."""
    kept = [len(plain) - 1]
    for place in reversed(range(len(plain) - 1)):
        if math.log(plain["bytes"].iloc[kept[-1]] / plain["bytes"].iloc[place]) >= least:
            kept.append(place)
    return plain.iloc[kept]


def _each_task(runs: pd.DataFrame, score: str, size: str) -> list[Curves]:
    each = [curves(runs, score, size, tasks=[task]) for task in dict.fromkeys(runs["task"])]
    return [shown for shown in each if len(shown.points)]


def tasks(each: Sequence[Curves]) -> Figure:
    """The same curves for each task alone; every panel has its own scale of scores."""
    columns = min(4, len(each))
    rows = -(-len(each) // columns)
    everything = pd.concat([shown.points["bytes"] for shown in each])
    with style():
        figure, grid = new(PAGE, 0.6 + 1.45 * rows, nrows=rows, ncols=columns, squeeze=False, sharex=True)
        for axes, shown in zip(grid.flat, each, strict=False):
            draw_curves(axes, shown.points, linewidth=0.9, markersize=2.6)
            log_sizes(axes, everything, digits=(1,))
            axes.set_title(f"{task_label(shown.tasks[0])} ({shown.seeds})", pad=3)
            axes.yaxis.get_major_locator().set_params(nbins=4)
        _hide(grid, len(each))
        figure.supxlabel(f"{SIZE[each[0].size]} (MB, log scale)", fontsize=9)
        figure.supylabel(SCORE[each[0].score][0].upper() + SCORE[each[0].score][1:], fontsize=9)
        most = max(grid.flat[: len(each)], key=lambda axes: len(axes.get_legend_handles_labels()[0]))
        legend(figure, most, columns=4)
        return figure


def sizes(runs: pd.DataFrame) -> Figure:
    """What the bytes of the weight file are: parts by nominal bytes, and what masks, scales and the format add."""
    parts = breakdown(runs)
    models = models_by_size(runs)
    names = list(dict.fromkeys(parts["name"]))
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    with style():
        height = 0.65 + rows * (0.35 + 0.17 * len(names))
        figure, grid = new(PAGE, height, nrows=rows, ncols=columns, squeeze=False, sharex=True, sharey=True)
        for axes, model in zip(grid.flat, models, strict=False):
            _stack(axes, parts[parts["model"] == model].set_index("name").reindex(names))
            axes.set_title(model.upper(), pad=3)
            axes.grid(axis="y", visible=False)
        grid[0, 0].invert_yaxis()
        grid[0, 0].set_xlim(0, 1.38 * max(100, (100 * parts["artifact"] / parts["whole"]).max()))
        _hide(grid, len(models))
        figure.supxlabel("File size, % of the uncompressed model's nominal size", fontsize=9)
        legend(figure, grid[0, 0], columns=4)
        return figure


def _stack(axes: Axes, own: pd.DataFrame) -> None:
    """One model's bars, a row for each way of compression; `not run` where there is none."""
    left = pd.Series(0.0, index=own.index)
    for part, (name, colour) in PARTS.items():
        share = 100 * own[part] / own["whole"]
        axes.barh(own.index, share, left=left, color=colour, height=0.72, label=name, edgecolor="white", linewidth=0.3)
        left += share.fillna(0.0)
    for row, (end, total) in enumerate(zip(left, own["artifact"], strict=True)):
        said = "not run" if pd.isna(total) else f"{megabytes(total)} MB"
        axes.annotate(said, (end, row), xytext=(2, 0), textcoords="offset points", va="center", fontsize=7)


def _hide(grid: Any, used: int) -> None:
    for axes in list(grid.flat)[used:]:
        axes.set_visible(False)


def interactions(contrasts: pd.DataFrame) -> Figure:
    """Each combination's log-interaction with its 95 % interval, for nominal and file bytes.

    Args:
        contrasts: rows of `Findings.interactions`, of one scope. Dashed: intervals from the differences between tasks.
    """
    rows = list(dict.fromkeys(zip(contrasts["contrast"], contrasts["kind"], strict=True)))
    with style():
        figure, axes = new(PAGE, 1.3 + 0.36 * len(rows))
        axes.axvspan(-math.log(1.1), math.log(1.1), color="#eceef1", zorder=0, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        for row, (contrast, kind) in enumerate(rows):
            own = contrasts[(contrasts["contrast"] == contrast) & (contrasts["kind"] == kind)]
            for size, offset in (("nominal", -0.17), ("artifact", 0.17)):
                for _, drawn in own[own["bytes"] == size].iterrows():
                    _interval(axes, drawn, row + offset)
        axes.set_yticks(range(len(rows)), [contrast_label(*row) for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.grid(axis="y", visible=False)
        ends = contrasts[["interaction", "shown_low", "shown_high"]].abs().to_numpy(float)
        reach = 1.12 * np.nanmax(ends, initial=0.25)
        axes.set_xlim(-reach, reach)
        dashed = "; dashed: from differences between tasks" if (contrasts["shown_by"] == "tasks").any() else ""
        axes.set_xlabel(f"Log-interaction with 95 % interval\n(shaded: multiplicative within 10 %{dashed})")
        factors = axes.secondary_xaxis("top", functions=(np.exp, _log))
        factors.set_xticks([ratio for ratio in (0.25, 0.5, 0.8, 1, 1.25, 2, 4) if abs(math.log(ratio)) < reach])
        factors.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
        factors.set_xlabel("Observed / expected size reduction")
        legend(figure, axes, columns=2)
        return figure


def _log(ratios: Any) -> Any:
    """Of what the axis asks for, which may be 0."""
    return np.log(np.maximum(ratios, 1e-12))


def _interval(axes: Axes, row: pd.Series, height: float) -> None:
    if pd.isna(row["interaction"]):
        axes.annotate("undefined", (0, height), fontsize=7, color=GREY, ha="center", va="center")
        return
    nominal = row["bytes"] == "nominal"
    if row["shown_by"]:
        axes.plot([row["shown_low"], row["shown_high"]], [height, height], color=INTERVAL, linewidth=1.3, zorder=2,
                  linestyle="-" if row["shown_by"] == "seeds" else (0, (2, 1.5)))  # fmt: skip
    axes.plot(row["interaction"], height, color=INTERVAL, marker="o" if nominal else "s", markersize=4.5,
              markerfacecolor=INTERVAL if nominal else "white", label="nominal bytes" if nominal else "file on disk",
              linestyle="none", zorder=3)  # fmt: skip
