"""What all figures share: fonts and lines that fit a paper, axes of bytes, curves of the methods, files to save."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from analysis.names import Look
from analysis.statistics.means import MeanScores, inside
from compress.wording import MEGABYTE

PAGE, COLUMN = 6.3, 3.03  # inches: text width and column width of an ACL paper
GREY, SHADE = "#5b6068", "#eceef1"
HALO = [withStroke(linewidth=1.6, foreground="white")]
NOTE = 7.5  # points
COMMON, MEDIAN = "scores in common", "95 % interval, median"
USUAL, SMALL, ROW = 8, 7.0, 0.137  # labels of a legend; of more, points and inches of a row
STYLE: Any = {
    "font.family": "STIXGeneral",  # comes with matplotlib, fits a paper in Times
    "mathtext.fontset": "stix",
    "font.size": 8.5,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e5e8",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.2,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # embedded TrueType: publishers refuse type 3
    "svg.hashsalt": "figures",  # the same figure, the same bytes
    "savefig.dpi": 300,
}


def style() -> AbstractContextManager[None]:
    """Our style, leaving the caller's settings alone."""
    return matplotlib.rc_context(STYLE)


def new(width: float, height: float, **grid: Any) -> tuple[Figure, Any]:
    """A figure that no display is needed for, and its axes; inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**grid)


def panels(count: int, columns: int, margin: float, height: float, **grid: Any) -> tuple[Figure, list[Any]]:
    """A page of axes, at most so many in a line, of a height in inches each."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = new(PAGE, margin + height * rows, nrows=rows, ncols=columns, squeeze=False, sharex=True, **grid)
    for unused in axes.flat[count:]:
        unused.set_visible(False)
    return figure, list(axes.flat[:count])


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write it in every format, with the same bytes each time, and say where."""
    dates: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    written = {folder / f"{name}.{kind}": metadata for kind, metadata in dates.items()}
    with style():
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # laid out once for all formats; "none" would draw twice for each
        for path, metadata in written.items():
            figure.savefig(path, metadata=metadata)
    return list(written)


def log_sizes(axes: Axes, sizes: Sequence[float] | pd.Series, digits: Sequence[int] = (1, 2, 5)) -> None:
    """A log axis of bytes with ticks at 1, 2, 5 × 10ⁿ, written as plain numbers of MB."""
    axes.set_xscale("log")
    margin = 1.25 if min(sizes) < max(sizes) else 3
    low, high = min(sizes) / margin, max(sizes) * margin
    axes.set_xlim(low, high)
    steps = [digit * 10.0**power for power in range(14) for digit in digits]
    axes.xaxis.set_major_locator(FixedLocator([step for step in steps if low <= step <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda size, _: f"{size / MEGABYTE:g}")


def score_limits(points: pd.DataFrame, bars: bool) -> tuple[float, float]:
    """The least and the greatest score of an axis: all `inside` scores, and of their bars what does not flatten them.

    Bars lengthen the axis at either end by half of the scores' spread at most; longer ones end at the frame.
    """
    low, high = inside(points["score"])
    kept = points[points["score"].between(low, high)]
    most, reach = (high - low) / 2, kept["reach"].fillna(0.0) if bars else 0.0
    below = min(most, max(0.0, low - float((kept["score"] - reach).min())))
    above = min(most, max(0.0, float((kept["score"] + reach).max()) - high))
    whole = (high - low + below + above) or 1.0
    arrows = points["score"].min() < low, points["score"].max() > high
    margins = [(0.2 if arrow else 0.06) * whole for arrow in arrows]
    return low - below - margins[0], high + above + margins[1]


def draw_curves(axes: Axes, shown: MeanScores, size: float, alone: bool = True) -> list[Artist]:
    """Every point, every subset's curve, the scores that all curves reach (shaded), outliers at the edge with an arrow.

    Markers have a diameter of `size` points. Axes that stand `alone` have a bar at every point; of many beside each
    other, each has the median bar at its left.

    Returns:
        What a legend shows of it.
    """
    names, points = shown.names, shown.points
    axes.set_ylim(score_limits(points, alone))
    handles: list[Artist] = []
    for subset, curve in shown.curves.items():
        look = names.look(subset)
        own = points[points["methods"] == subset]
        fill = look.light if look.filled else "white"
        dashes: Any = (0, look.dash) if look.dash else "-"
        axes.plot(np.exp(curve.log_bytes), curve.scores, color=look.light, linestyle=dashes, zorder=2)
        axes.scatter(own["bytes"], own["score"], (size * own["variant"].map(names.scale)) ** 2, marker=look.marker,
                     facecolors=fill, edgecolors=look.light, linewidths=0.9, label=names.label(subset),
                     zorder=3 if look.filled else 2.5)  # fmt: skip
        if alone:
            axes.errorbar(own["bytes"], own["score"], own["reach"], fmt="none", ecolor=look.light, elinewidth=0.6,
                          alpha=0.7, zorder=1.8)  # fmt: skip
        handles.append(Line2D([], [], color=look.light, linestyle=dashes, marker=look.marker, markersize=size,
                              markerfacecolor=fill, markeredgewidth=0.9, label=names.label(subset)))  # fmt: skip
    for variant in names.variants:
        handles.append(Line2D([], [], color=GREY, linestyle="none", marker="o", markersize=size * names.scale(variant),
                              label=variant))  # fmt: skip
    for place, (_, point) in enumerate(shown.outliers.iterrows()):
        _outlier(axes, point, names.look(point["methods"]), size, place)
    if not alone and points["reach"].notna().any():
        handles.append(_median_bar(axes, points))
    if shown.common:
        handles.append(axes.axhspan(*shown.common, color=SHADE, zorder=0, linewidth=0, label=COMMON))
    return handles


def _outlier(axes: Axes, point: pd.Series, look: Look, size: float, place: int) -> None:
    """A point beyond the axis: an arrow to it from just inside, with its score; several are told below each other."""
    upward = point["score"] > axes.get_ylim()[1]
    edge, inward = (1, -1) if upward else (0, 1)
    at_edge = axes.get_xaxis_transform()  # x: bytes, y: share of the axes
    away = inward * (1.3 * size + 5)  # points
    axes.annotate("", (point["bytes"], edge), xycoords=at_edge, xytext=(0, away), textcoords="offset points",
                  arrowprops={"arrowstyle": "-|>,head_width=0.15,head_length=0.3", "color": look.light, "shrinkA": 0,
                              "shrinkB": 0, "linewidth": 0.9}, zorder=4)  # fmt: skip
    axes.plot(point["bytes"], edge, color=look.light, marker=look.marker, markersize=size, markeredgewidth=0.9,
              markerfacecolor=look.light if look.filled else "white", zorder=5,
              transform=at_edge + ScaledTranslation(0, away / 72, axes.figure.dpi_scale_trans))  # fmt: skip
    axes.annotate(f"{point['score']:.1f}", (point["bytes"], edge), xycoords=at_edge, ha="left", va="center",
                  xytext=(0.5 * size + 2, away + inward * place * NOTE), textcoords="offset points", fontsize=NOTE,
                  path_effects=HALO, zorder=4)  # fmt: skip


def _median_bar(axes: Axes, points: pd.DataFrame) -> Artist:
    """At the left, in the middle: the median interval of what is compressed."""
    middle = sum(axes.get_ylim()) / 2
    axes.errorbar(0.035, middle, points["reach"].median(), transform=axes.get_yaxis_transform(), fmt="none",
                  ecolor=GREY, elinewidth=1.2, capsize=2, capthick=1.2, zorder=3)  # fmt: skip
    return Line2D([], [], color=GREY, linestyle="none", marker="|", markersize=9, markeredgewidth=1.2, label=MEDIAN)


def legend(figure: Figure, handles: Sequence[Artist], columns: int) -> None:
    """Above the axes, read line by line, each label once.

    More than eight labels make the figure higher, so that the axes keep their room; more than sixteen are smaller;
    labels that are too wide stand in fewer columns.
    """
    by_label = {str(handle.get_label()): handle for handle in handles}
    labels, many, usual = list(by_label), len(by_label) > 2 * USUAL, -(-USUAL // columns)
    while True:
        by_column = [label for column in range(columns) for label in labels[column::columns]]
        made = figure.legend([by_label[label] for label in by_column], by_column, loc="outside upper center",
                             ncols=columns, columnspacing=1.4, handlelength=2.6, handletextpad=0.5,
                             fontsize=SMALL if many else None)  # fmt: skip
        if columns == 1 or made.get_window_extent().width <= 0.97 * figure.bbox.width:
            break
        made.remove()
        columns -= 1
    row = ROW if many else 1.2 * ROW
    figure.set_figheight(figure.get_figheight() + row * max(0, -(-len(by_label) // columns) - usual))
