"""Figures for a paper, as PDF, SVG and PNG: mean score against size, and what is behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from analysis.figures.plotting import COLUMN, GREY, PAGE, draw_curves, legend, log_sizes, new, panels, save, style
from analysis.names import INTERVAL, LOG_MEGABYTES, PARTS, SCORES, SIZES, Names, task_label
from analysis.read.results import Results
from analysis.statistics.means import MeanScores, breakdown, mean_scores
from analysis.subsets import NONE
from compress.wording import megabytes

SLANTED = 0.12  # inches between slanted names
INTERACTIONS = (
    "Log of observed over expected size reduction at equal score, mean over tasks; expected is the product of what each"
    " method reduces alone. Shaded: within a factor of 1.1. Bars: 95 % intervals from seeds, or, dashed, from the"
    " differences between tasks where seeds give none."
)
SIZES_OF_PARTS = (
    "Bytes of the weight file as a share of the uncompressed model in float32: surviving parameters at their nominal"
    " size, and what the file holds beyond them (masks, scales, activation ranges, the header)."
)


def write(results: Results, out: Path, score: str, contrasts: pd.DataFrame | None = None) -> list[Path]:
    """Write every figure below `out`, one of them of `Findings.interactions`, and `captions.md`; say which files."""
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
            told = f"Each task's score ({SCORES[score].meaning}) against {SIZES[size].meaning}."
            made[f"tasks{suffix}"] = tasks(each), told + next(filter(None, map(_bars, each)), "")
    if contrasts is not None and contrasts["interaction"].notna().any():
        means = contrasts[contrasts["scope"] == "mean"]
        made["interactions"] = interactions(means, Names(results.methods)), INTERACTIONS
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
    return (
        f"Mean over {', '.join(map(task_label, shown.tasks))} of {SCORES[shown.score].meaning}"
        f" against {SIZES[shown.size].meaning}; {shown.counts}."
        f" Dotted: the largest uncompressed model.{_bars(shown)}"
        + (f" Not drawn, for want of one of these tasks: {missing}." if missing else "")
    )


def _bars(shown: MeanScores) -> str:
    return " Bars: ±1 standard error over seeds." if shown.points["error"].notna().any() else ""


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
        subject = task_label(shown.tasks[0]) if len(shown.tasks) == 1 else "Mean"
        axes.set_ylabel(f"{subject} {SCORES[shown.score].label}, {shown.counts}")
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
    with style():
        figure, grid = panels(len(each), 4, 0.6, 1.45)
        for axes, shown in zip(grid, each, strict=True):
            draw_curves(axes, shown, linewidth=0.9, markersize=2.6)
            log_sizes(axes, everything, digits=(1,))
            axes.set_title(f"{task_label(shown.tasks[0])} ({shown.seeds})", pad=3)
            axes.yaxis.get_major_locator().set_params(nbins=4)
        label = SCORES[each[0].score].label
        figure.supxlabel(f"{SIZES[each[0].size].label} ({LOG_MEGABYTES})", fontsize=9)
        figure.supylabel(label[0].upper() + label[1:], fontsize=9)
        most = max(grid, key=lambda axes: len(axes.get_legend_handles_labels()[0]))
        legend(figure, most, columns=4)
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
        legend(figure, grid[0], columns=4)
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


def interactions(contrasts: pd.DataFrame, names: Names) -> Figure:
    """Log-interactions of one scope with their 95 % intervals, dashed: from the differences between tasks."""
    rows = list(dict.fromkeys(zip(contrasts["contrast"], contrasts["kind"], strict=True)))
    with style():
        figure, axes = new(PAGE, 1.3 + 0.36 * len(rows))
        axes.axvspan(-math.log(1.1), math.log(1.1), color="#eceef1", zorder=0, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        for row, (_, both_sizes) in enumerate(contrasts.groupby(["contrast", "kind"], sort=False)):
            for drawn in both_sizes.to_dict("records"):
                nominal = drawn["bytes"] == "nominal"
                height = row + (-0.17 if nominal else 0.17)
                if pd.isna(drawn["interaction"]):
                    axes.annotate("undefined", (0, height), fontsize=7, color=GREY, ha="center", va="center")
                    continue
                if drawn["shown_by"]:
                    dashes = "-" if drawn["shown_by"] == "seeds" else (0, (2, 1.5))
                    ends = [drawn["shown_low"], drawn["shown_high"]]
                    axes.plot(ends, [height, height], color=INTERVAL, linewidth=1.3, zorder=2, linestyle=dashes)
                axes.plot(drawn["interaction"], height, color=INTERVAL, marker="o" if nominal else "s", markersize=4.5,
                          markerfacecolor=INTERVAL if nominal else "white", label=SIZES[drawn["bytes"]].short,
                          linestyle="none", zorder=3)  # fmt: skip
        axes.set_yticks(range(len(rows)), [names.contrast(*row) for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.grid(axis="y", visible=False)
        farthest = contrasts[["interaction", "shown_low", "shown_high"]].abs().to_numpy(float)
        reach = 1.12 * np.nanmax(farthest, initial=0.25)
        axes.set_xlim(-reach, reach)
        dashed = "; dashed: from differences between tasks" if (contrasts["shown_by"] == "tasks").any() else ""
        axes.set_xlabel(f"Log-interaction with 95 % interval\n(shaded: multiplicative within 10 %{dashed})")
        factors = axes.secondary_xaxis("top", functions=(np.exp, lambda ratios: np.log(np.maximum(ratios, 1e-12))))
        factors.set_xticks([ratio for ratio in (0.25, 0.5, 0.8, 1, 1.25, 2, 4) if abs(math.log(ratio)) < reach])
        factors.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
        factors.set_xlabel("Observed / expected size reduction")
        legend(figure, axes, columns=2)
        return figure
