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
from analysis.names import INTERVAL, LOG_MEGABYTES, PARTS, SCORES, SIZES, Names, task_label
from analysis.read.results import Results
from analysis.statistics.breakdown import breakdown
from analysis.statistics.means import MeanScores, mean_scores
from analysis.subsets import NONE
from compress.wording import megabytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
        shown = mean_scores(results, score, size)
        if len(shown.points):
            caption = captions.figure1(shown)
            made[f"figure1{suffix}"] = figure1(shown), caption
            made[f"figure1{suffix}-column"] = figure1(shown, COLUMN), caption
            each = _each_task(results, score, size)
            made[f"tasks{suffix}"] = tasks(each), captions.tasks(each)
    if contrasts is not None and contrasts["interaction"].notna().any():
        means = contrasts[contrasts["scope"] == "mean"]
        made["interactions"] = interactions(means, Names(results.methods)), captions.INTERACTIONS
    if len(breakdown(results)):
        made["sizes"] = sizes(results), captions.PARTS
    written = [path for name, (figure, _) in made.items() for path in save(figure, out, name)]
    words = out / "captions.md"
    words.write_text("".join(f"**{name}.** {said}\n\n" for name, (_, said) in made.items()), encoding="utf-8")
    return [*written, words]


def figure1(shown: MeanScores, width: float = PAGE) -> Figure:
    """Mean score against size, a curve for each subset of the methods, dotted: the largest uncompressed model."""
    wide = width > COLUMN
    with style():
        figure, axes = new(width, (0.66 if wide else 1.22) * width)
        draw_curves(axes, shown)
        log_sizes(axes, shown.points["bytes"])
        axes.yaxis.get_major_locator().set_params(min_n_ticks=4)
        _baseline(axes, shown, width)
        axes.set_xlabel(f"{SIZES[shown.size].label} ({LOG_MEGABYTES})")
        axes.set_ylabel(f"{shown.subject} {SCORES[shown.score].label}, {shown.counts}")
        legend(figure, axes, columns=4 if wide else 2)
        return figure


def _baseline(axes: Axes, shown: MeanScores, width: float) -> None:
    """A dotted line at the largest uncompressed model; above the axes every uncompressed model's name at its size."""
    plain = shown.points[shown.points["methods"] == NONE].sort_values("bytes")
    if plain.empty:
        return
    largest = plain.iloc[-1]
    axes.axhline(largest["score"], color=shown.names.look(NONE).light, linewidth=0.9, linestyle=":", zorder=1)
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


def _each_task(results: Results, score: str, size: str) -> list[MeanScores]:
    each = [mean_scores(results, score, size, tasks=[task]) for task in results.tasks]
    return [shown for shown in each if len(shown.points)]


def tasks(each: Sequence[MeanScores]) -> Figure:
    """The same curves for each task alone; every panel has its own scale of scores."""
    columns = min(4, len(each))
    rows = -(-len(each) // columns)
    everything = pd.concat([shown.points["bytes"] for shown in each])
    with style():
        figure, grid = new(PAGE, 0.6 + 1.45 * rows, nrows=rows, ncols=columns, squeeze=False, sharex=True)
        for axes, shown in zip(grid.flat, each, strict=False):
            draw_curves(axes, shown, linewidth=0.9, markersize=2.6)
            log_sizes(axes, everything, digits=(1,))
            axes.set_title(f"{task_label(shown.tasks[0])} ({shown.seeds})", pad=3)
            axes.yaxis.get_major_locator().set_params(nbins=4)
        _hide(grid, len(each))
        label = SCORES[each[0].score].label
        figure.supxlabel(f"{SIZES[each[0].size].label} ({LOG_MEGABYTES})", fontsize=9)
        figure.supylabel(label[0].upper() + label[1:], fontsize=9)
        most = max(grid.flat[: len(each)], key=lambda axes: len(axes.get_legend_handles_labels()[0]))
        legend(figure, most, columns=4)
        return figure


def sizes(results: Results) -> Figure:
    """What the bytes of the weight file are: parts by nominal bytes, and what masks, scales and the format add."""
    parts = breakdown(results)
    models = results.models
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


def _stack(axes: Axes, rows: pd.DataFrame) -> None:
    """One model's bars, a row for each way of compression; `not run` where there is none."""
    left = pd.Series(0.0, index=rows.index)
    for name, part in PARTS.items():
        share = 100 * rows[name] / rows["whole"]
        axes.barh(rows.index, share, left=left, color=part.light, height=0.72, label=part.label, edgecolor="white",
                  linewidth=0.3)  # fmt: skip
        left += share.fillna(0.0)
    for row, (end, total) in enumerate(zip(left, rows["artifact"], strict=True)):
        said = "not run" if pd.isna(total) else f"{megabytes(total)} MB"
        axes.annotate(said, (end, row), xytext=(2, 0), textcoords="offset points", va="center", fontsize=7)


def _hide(grid: Any, used: int) -> None:
    for axes in list(grid.flat)[used:]:
        axes.set_visible(False)


def interactions(contrasts: pd.DataFrame, names: Names) -> Figure:
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
            both_sizes = contrasts[(contrasts["contrast"] == contrast) & (contrasts["kind"] == kind)]
            for size, offset in (("nominal", -0.17), ("artifact", 0.17)):
                for _, drawn in both_sizes[both_sizes["bytes"] == size].iterrows():
                    _interval(axes, drawn, row + offset)
        axes.set_yticks(range(len(rows)), [names.contrast(*row) for row in rows])
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
              markerfacecolor=INTERVAL if nominal else "white", label=SIZES[row["bytes"]].short,
              linestyle="none", zorder=3)  # fmt: skip
