"""Figures for a paper, as PDF, SVG and PNG: mean score against size, and what is behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from analysis.figures.plotting import (
    COLUMN,
    GREY,
    HALO,
    NOTE,
    PAGE,
    SHADE,
    draw_curves,
    legend,
    log_sizes,
    new,
    panels,
    save,
    score_limits,
    style,
)
from analysis.names import INTERVAL, LOG_MEGABYTES, PARTS, SIZES, Names, score_of, task_label
from analysis.read.results import Results
from analysis.statistics.interactions import CURVES, LEFT_OUT, MEANS, STUDY, by_model, counted, of_tasks
from analysis.statistics.means import MeanScores, breakdown, mean_scores
from analysis.subsets import NONE
from compress.wording import megabytes

SLANTED = 0.12  # inches between slanted names
TASK_DOT: Any = {"label": "a task", "s": 9, "color": GREY, "linewidths": 0, "alpha": 0.75}
STUDY_DOT: Any = {
    "label": "the study",
    "s": 15,
    "marker": "D",
    "facecolor": "white",
    "edgecolor": "black",
    "linewidths": 0.8,
}
CURVES_DOT: Any = {"label": "score–size curves", "s": 16, "marker": "x", "color": INTERVAL, "linewidths": 1.1}
BY_MODEL = (
    "from one model of all tasks, whose 95 % intervals are for other tasks and seeds. Crosses: the mean of score–size"
    " curves. Dots: single tasks, partially pooled"
)
BY_CURVES = (
    "mean over the tasks that define it. Bars: 95 % intervals from seeds, or, dashed, from the differences between"
    " tasks where seeds give none. Dots: single tasks"
)
INTERACTIONS = (
    "Observed over expected size reduction at equal score; expected is the product of what each method reduces alone,"
    " or of the pure term what the smaller combinations explain. Left of 1 methods reduce by less than that, right of"
    " it by more; shaded: within a factor of 1.1. It is {}; arrows: those beyond the axis. Diamonds: the same of the"
    " study's Figure 1, where it has the combination."
)
GAIN = (
    "95 % interval of a model's gain over the uncompressed one of its size and seeds (differences within seeds, a t"
    " distribution)"
)
SIZES_OF_PARTS = (
    "Bytes of the weight file as a share of the uncompressed model in float32: surviving parameters at their nominal"
    " size, and what the file holds beyond them (masks, scales, activation ranges, the header)."
)


def write(results: Results, out: Path, score: str, contrasts: pd.DataFrame | None = None) -> list[Path]:
    """Write every figure below `out`, one of them of what `report.drawn` gives, and `captions.md`; say which files."""
    out.mkdir(parents=True, exist_ok=True)
    made: dict[str, tuple[Figure, str]] = {}
    for size, suffix in (("nominal", ""), ("artifact", "-file")):
        shown = mean_scores(results, score, size)
        if len(shown.points):
            caption = _caption(shown)
            made[f"figure1{suffix}"] = figure1(shown), caption
            made[f"figure1{suffix}-column"] = figure1(shown, COLUMN), caption
            each = [mean_scores(results, score, size, tasks=[task]) for task in results.tasks]
            each = [of_task for of_task in each if len(of_task.points)]
            meaning = score_of(score, results.tasks).meaning
            told = f"Each task's score ({meaning}) against {SIZES[size].meaning}.{_lines(each)}"
            seeds = any(of_task.points["reach"].notna().any() for of_task in each)
            made[f"tasks{suffix}"] = tasks(each), told + (f" Bar at the left: the median {GAIN}." if seeds else "")
    if contrasts is not None and contrasts["interaction"].notna().any():
        names, count = Names(results.methods), len(results.tasks)
        told = INTERACTIONS.format(BY_MODEL if by_model(contrasts) else BY_CURVES)
        made["interactions"] = interactions(contrasts, names, count), f"{told}{_left_out(contrasts, names)}"
    if len(breakdown(results)):
        made["sizes"] = sizes(results), SIZES_OF_PARTS
    written = [path for name, (figure, _) in made.items() for path in save(figure, out, name)]
    words = out / "captions.md"
    words.write_text("".join(f"**{name}.** {said}\n\n" for name, (_, said) in made.items()), encoding="utf-8")
    return [*written, words]


def _caption(shown: MeanScores) -> str:
    """What a reader must know of the figure of means, and by methods what is not drawn."""
    models: dict[str, list[str]] = {}
    for model, methods, variant in shown.left_out:
        models.setdefault(shown.names.cell(methods, variant), []).append(model)
    missing = "; ".join(f"{name} ({', '.join(of)})" for name, of in models.items())
    without = ", ".join(map(task_label, shown.without))
    return (
        f"Mean over {', '.join(map(task_label, shown.tasks))} of {score_of(shown.score, shown.tasks).meaning}"
        f" against {SIZES[shown.size].meaning}; {shown.counts}."
        + (f" Without {without}, as fewer models and compressions could be compared." if without else "")
        + f"{_lines([shown])} Dotted: the largest uncompressed model, where it is within the axis."
        + (f" Bars: {GAIN}{_cut(shown)}." if shown.points["reach"].notna().any() else "")
        + (f" Not drawn, since they lack one of these tasks: {missing}." if missing else "")
    )


def _cut(shown: MeanScores) -> str:
    """That some bars are longer than the axis, where it is so."""
    low, high = score_limits(shown.points, bars=True)
    within = shown.points[shown.points["score"].between(low, high)]
    ends = within["score"] - within["reach"], within["score"] + within["reach"]
    return "; those that end at the frame go on beyond it" if ends[0].min() < low or ends[1].max() > high else ""


def _lines(each: Sequence[MeanScores]) -> str:
    """What the lines of a figure are, and where there are any the shaded scores, arrows and sizes of markers."""
    beyond = [f"{shown.cell(point)} {point['score']:.1f}" for shown in each for _, point in shown.outliers.iterrows()]
    variants = ", ".join(each[0].names.variants)
    return (
        " Lines: isotonic regression, the nondecreasing function of log size that is nearest to the points."
        + (" Shaded: the scores that all lines reach." if any(shown.common for shown in each) else "")
        + (f" Arrows: scores beyond the axis ({', '.join(beyond)})." if beyond else "")
        + (f" Markers from large to small: {variants}." if variants else "")
    )


def _left_out(contrasts: pd.DataFrame, names: Names) -> str:
    """Which tasks interactions are not of, and why, by combination."""
    means = contrasts[(contrasts["scope"] == "mean") & (contrasts["bytes"] == "nominal") & (contrasts["reason"] != "")]
    alike: dict[str, list[str]] = {}
    for row in means.to_dict("records"):
        alike.setdefault(row["reason"], []).append(names.contrast(row["contrast"], row["kind"]))
    told = [f"{', '.join(combinations)}: {reason}" for reason, combinations in alike.items()]
    return f" Left out (nominal bytes): {'. '.join(told)}." if told else ""


def figure1(shown: MeanScores, width: float = PAGE) -> Figure:
    """Mean score against size, a curve for each subset of the methods, dotted: the largest uncompressed model."""
    wide = width > COLUMN
    with style():
        figure, axes = new(width, (0.66 if wide else 1.22) * width)
        log_sizes(axes, shown.points["bytes"])
        handles = draw_curves(axes, shown, 4.6)
        axes.yaxis.get_major_locator().set_params(min_n_ticks=4)
        _baseline(axes, shown, width)
        axes.set_xlabel(f"{SIZES[shown.size].label} ({LOG_MEGABYTES})")
        subject = task_label(shown.tasks[0]) if len(shown.tasks) == 1 else "Mean"
        axes.set_ylabel(f"{subject} {score_of(shown.score, shown.tasks).label}, {shown.counts}")
        legend(figure, handles, columns=4 if wide else 2)
        return figure


def _baseline(axes: Axes, shown: MeanScores, width: float) -> None:
    """A dotted line at the largest uncompressed model; above the axes every uncompressed model's name at its size."""
    plain = shown.points[shown.points["methods"] == NONE].sort_values("bytes")
    if plain.empty:
        return
    largest = plain.iloc[-1]
    low, high = axes.get_ylim()
    if low <= largest["score"] <= high:
        axes.axhline(largest["score"], color=shown.names.look(NONE).light, linewidth=0.9, linestyle=":", zorder=1)
        axes.annotate(f"{shown.cell(largest)} {largest['score']:.1f}", (0, largest["score"]),
                      xycoords=("axes fraction", "data"), xytext=(3, 2), textcoords="offset points", fontsize=NOTE,
                      path_effects=HALO, zorder=4)  # fmt: skip
    top = axes.secondary_xaxis("top")
    low, high = axes.get_xlim()
    kept = [len(plain) - 1]  # from the largest down, those that are apart
    logs = np.log(plain["bytes"].to_numpy(float))
    for place in reversed(range(len(plain) - 1)):
        if logs[kept[-1]] - logs[place] >= SLANTED * math.log(high / low) / (0.8 * width):
            kept.append(place)
    named = plain.iloc[kept]
    top.set_xticks(
        named["bytes"], [model.upper() for model in named["model"]], rotation=45, ha="left", rotation_mode="anchor"
    )
    top.tick_params(labelsize=6.5, labelcolor=GREY, color=GREY, length=2.5, pad=1)
    top.xaxis.set_minor_locator(NullLocator())
    top.spines["top"].set_visible(False)


def tasks(each: Sequence[MeanScores]) -> Figure:
    """The same curves for each task alone; every panel has its own scale of scores."""
    everything = pd.concat([shown.points["bytes"] for shown in each])
    handles: list[Artist] = []
    with style():
        figure, grid = panels(len(each), 4, 0.6, 1.45)
        for axes, shown in zip(grid, each, strict=True):
            log_sizes(axes, everything, digits=(1,))
            handles += draw_curves(axes, shown, 2.9, alone=False)
            axes.set_title(f"{task_label(shown.tasks[0])} ({shown.seeds})", pad=3)
            axes.yaxis.get_major_locator().set_params(nbins=4)
        label = score_of(each[0].score, (task for shown in each for task in shown.tasks)).label
        figure.supxlabel(f"{SIZES[each[0].size].label} ({LOG_MEGABYTES})", fontsize=9)
        figure.supylabel(label[0].upper() + label[1:], fontsize=9)
        legend(figure, handles, columns=4)
        return figure


def sizes(results: Results) -> Figure:
    """What the bytes of the weight file are: parts by nominal bytes, and what masks, scales and the format add."""
    parts = breakdown(results)
    names = list(dict.fromkeys(parts["name"]))
    with style():
        figure, grid = panels(len(results.models), 3, 0.65, 0.35 + 0.17 * len(names), sharey=True)
        for axes, model in zip(grid, results.models, strict=True):
            _stack(axes, parts[parts["model"] == model].set_index("name").reindex(names))
            axes.set_title(model.upper(), pad=3)
            axes.grid(axis="y", visible=False)
        grid[0].invert_yaxis()
        grid[0].set_xlim(0, 1.38 * max(100, (100 * parts["artifact"] / parts["whole"]).max()))
        figure.supxlabel("File size, % of the uncompressed model's nominal size", fontsize=9)
        legend(figure, grid[0].get_legend_handles_labels()[0], columns=4)
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


def interactions(contrasts: pd.DataFrame, names: Names, tasks: int) -> Figure:
    """Observed over expected reduction of each combination with its 95 % interval, and below it a dot for each task.

    It is of nominal and of file bytes: left of 1 where methods reduce by less than their product, right of it where by
    more. At the right: of how many `tasks` it is, and which are left out.
    """
    means = contrasts[contrasts["scope"] == "mean"]
    rows = list(dict.fromkeys(zip(means["contrast"], means["kind"], strict=True)))
    reach = _reach(means, contrasts[~contrasts["scope"].isin(MEANS)])
    with style():
        figure, axes = new(PAGE, 1.25 + 0.44 * len(rows))
        axes.axvspan(1 / 1.1, 1.1, color=SHADE, zorder=0, linewidth=0)
        axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        _ratios(axes, reach)
        handles: list[Artist] = []
        for row, (contrast, kind) in enumerate(rows):
            alike = contrasts[(contrasts["contrast"] == contrast) & (contrasts["kind"] == kind)]
            for size, height in (("nominal", row - 0.2), ("artifact", row + 0.2)):
                handles += _interval(axes, alike[alike["bytes"] == size], height, reach)
            axes.annotate("\n".join(counted(alike[alike["bytes"] == "nominal"], tasks)), (1, row), xytext=(6, 0),
                          xycoords=axes.get_yaxis_transform(), textcoords="offset points", fontsize=7, va="center",
                          color=GREY, linespacing=1.3)  # fmt: skip
        axes.set_yticks(range(len(rows)), [names.contrast(*row) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        dashed = "; dashed: from differences between tasks" if (means["shown_by"] == "tasks").any() else ""
        lacking = not by_model(contrasts) and of_tasks(contrasts)["interaction"].isna().any()
        left_out = f"\n{LEFT_OUT}" if lacking else ""
        axes.set_xlabel(f"Observed / expected size reduction with 95 % interval (log scale{dashed}){left_out}")
        legend(figure, sorted(handles, key=lambda handle: not isinstance(handle, Line2D)), columns=5)
        return figure


def _reach(means: pd.DataFrame, others: pd.DataFrame) -> float:
    """How far the axis goes from a ratio of 1 (log): all means' intervals, and others up to 1.6 times as far."""
    farthest = float(np.nanmax(means[["interaction", "shown_low", "shown_high"]].abs().to_numpy(float), initial=0.2))
    apart = others["interaction"].abs()
    return 1.12 * float(np.nanmax(apart[apart <= 1.6 * farthest], initial=farthest))


def _ratios(axes: Axes, reach: float) -> None:
    """A log axis of ratios, as far to the left of 1 as to the right, and what either side means."""
    axes.set_xscale("log")
    axes.set_xlim(math.exp(-reach), math.exp(reach))
    steps = MaxNLocator(11, steps=[1, 2, 5, 10]) if reach < math.log(2.5) else LogLocator(10, [1, 2, 5])
    axes.xaxis.set_major_locator(FixedLocator(steps.tick_values(math.exp(-reach), math.exp(reach))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    for place, side, words in ((0, "left", "← less than the product"), (1, "right", "more than the product →")):
        axes.annotate(words, (place, 1), xycoords="axes fraction", xytext=(0, 3), textcoords="offset points", ha=side,
                      fontsize=8, color=GREY)  # fmt: skip
    axes.annotate("within 10 %", (1, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 3), ha="center", fontsize=8,
                  textcoords="offset points", color=GREY)  # fmt: skip


def _interval(axes: Axes, alike: pd.DataFrame, height: float, reach: float) -> list[Artist]:
    """The mean's estimate with its interval, below it the tasks' and the study's; arrows tell those beyond the axis."""
    drawn = alike[alike["scope"] == "mean"].iloc[0]
    nominal = drawn["bytes"] == "nominal"
    if pd.isna(drawn["interaction"]):
        axes.annotate("undefined", (1, height), fontsize=7, color=GREY, ha="center", va="center")
        return []
    if drawn["shown_by"]:
        dashes: Any = (0, (2, 1.5)) if drawn["shown_by"] == "tasks" else "-"
        axes.plot(np.exp([drawn["shown_low"], drawn["shown_high"]]), [height, height], color=INTERVAL, linewidth=1.5,
                  zorder=2, linestyle=dashes)  # fmt: skip
    estimate = axes.plot(math.exp(drawn["interaction"]), height, color=INTERVAL, marker="o" if nominal else "s",
                         markersize=5, markerfacecolor=INTERVAL if nominal else "white", linestyle="none",
                         label=SIZES[drawn["bytes"]].short, zorder=3)  # fmt: skip
    others = alike[~alike["scope"].isin(MEANS) & alike["interaction"].notna()]
    below, inside = height + 0.13, others["interaction"].abs() <= reach
    for sign, words, side in ((-1, "◂ {}", "left"), (1, "{} ▸", "right")):
        if len(beyond := others["interaction"][sign * others["interaction"] > reach]):
            told = words.format(", ".join(f"{math.exp(log):.2f}" for log in sorted(beyond)))
            axes.annotate(told, (math.exp(sign * reach), below), fontsize=6.5, color=GREY, ha=side, va="center")
    handles: list[Artist] = list(estimate)
    of = others["scope"].where(others["scope"].isin([STUDY, CURVES]), "task")
    for scope, look in (("task", TASK_DOT), (CURVES, CURVES_DOT), (STUDY, STUDY_DOT)):
        drawn = others[inside & (of == scope)]
        if len(drawn):
            handles.append(axes.scatter(np.exp(drawn["interaction"]), [below] * len(drawn), **look))
    return handles
