"""What all figures share: fonts and lines that fit a paper, axes of bytes, curves of the methods, files to save."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from analysis.statistics.means import MeanScores
from compress.wording import MEGABYTE

PAGE, COLUMN = 6.3, 3.03  # inches: text width and column width of an ACL paper
GREY = "#5b6068"
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
        figure.set_layout_engine("none")  # laid out once for all formats
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


def draw_curves(axes: Axes, shown: MeanScores, **more: Any) -> None:
    """A curve for each subset of the methods, with error bars where they are known."""
    by_size = shown.points.sort_values("bytes", kind="stable")
    for subset in shown.names.methods.subsets:
        points = by_size[by_size["methods"] == subset]
        if points.empty:
            continue
        look = shown.names.look(subset)
        fill, order = (look.light, 3) if look.filled else ("white", 2.5)
        axes.plot(points["bytes"], points["score"], label=shown.names.label(subset), color=look.light,
                  marker=look.marker, markeredgewidth=0.9, linestyle=(0, look.dash) if look.dash else "-",
                  markerfacecolor=fill, zorder=order, **more)  # fmt: skip
        bars = points[points["error"].notna()]
        axes.errorbar(bars["bytes"], bars["score"], bars["error"], fmt="none", ecolor=look.light, elinewidth=0.7,
                      capsize=1.5, capthick=0.7)  # fmt: skip


def legend(figure: Figure, axes: Axes, columns: int) -> None:
    """Above the axes, read line by line, each label once.

    More than eight labels are smaller, in fewer columns where these are too wide, and make the figure higher, so that
    the axes keep their room.
    """
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    labels, many, usual = list(handles), len(handles) > USUAL, -(-USUAL // columns)
    while True:
        by_column = [label for column in range(columns) for label in labels[column::columns]]
        made = figure.legend([handles[label] for label in by_column], by_column, loc="outside upper center",
                             ncols=columns, columnspacing=1.4, handlelength=2.6, handletextpad=0.5,
                             fontsize=SMALL if many else None)  # fmt: skip
        if not many or columns == 1 or made.get_window_extent().width <= 0.97 * figure.bbox.width:
            break
        made.remove()
        columns -= 1
    if many:
        figure.set_figheight(figure.get_figheight() + ROW * (-(-len(handles) // columns) - usual))
