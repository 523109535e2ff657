"""The figures: what they draw is what the runs say, and they are fit for print."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import reference
from analysis.figures import figures, plotting
from analysis.figures.plotting import COLUMN, PAGE
from analysis.names import Names
from analysis.options import Options
from analysis.read import results
from analysis.read.results import Results
from analysis.report.report import both_ways
from analysis.statistics import interactions
from analysis.statistics.means import MeanScores, breakdown, common_tasks, mean_scores
from analysis.subsets import collected
from compress.runs.result import Compression
from tests.crossings import TASKS, crossing, run, subsets_of
from tests.grids import SUBSETS, document, entry

STUDY = Names(reference.methods())
PAPER = [STUDY.label(name) for name in SUBSETS]


def collection(*documents: dict, **crossed) -> Results:
    return results.from_documents(documents or crossing(**crossed), [], "here")


def drawn(axes) -> dict[str, list[tuple[float, float]]]:
    """The curves by their labels."""
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in lines}


def texts(figure) -> list:
    import matplotlib.text

    return [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]


# --- curves -----------------------------------------------------------------------------------------------------------


def test_a_point_is_the_mean_over_tasks_of_the_mean_over_seeds() -> None:
    runs = collection(
        document("rte", "tiny", "none", 60.0, seed=0), document("rte", "tiny", "none", 70.0, seed=1),
        document("cola", "tiny", "none", 20.0, seed=0), document("cola", "tiny", "none", 26.0, seed=1),
        document("cola", "tiny", "none", 29.0, seed=2),
    )  # fmt: skip
    shown = mean_scores(runs)
    point = shown.points.iloc[0]
    assert point["score"] == pytest.approx((65 + 25) / 2)
    variances = [50 / 2, 21 / 3]  # of the mean over seeds: 60, 70 and 20, 26, 29
    assert point["error"] == pytest.approx(math.sqrt(sum(variances)) / 2)
    assert (shown.tasks, point["seeds"], shown.counts) == (["cola", "rte"], 2, "2 tasks, 2 seeds")


def test_without_a_second_seed_in_every_task_there_is_no_error_bar() -> None:
    runs = collection(
        document("rte", "tiny", "none", 60.0), document("rte", "tiny", "none", 70.0, seed=1),
        document("cola", "tiny", "none", 20.0),
    )  # fmt: skip
    assert mean_scores(runs).points["error"].isna().all()


def test_every_point_is_over_the_same_tasks_and_what_lacks_one_is_told() -> None:
    documents = [made for made in crossing(tasks=("cola", "rte"), models=("tiny", "base")) if not (
        made["task"] == "rte" and made["model"] == "base" and made["methods"] == ["prune"])]  # fmt: skip
    shown = mean_scores(collection(*documents))
    assert shown.tasks == ["cola", "rte"]
    assert shown.left_out == [("base", "prune", "")]
    assert len(shown.points) == 15


def test_tasks_are_chosen_to_compare_most() -> None:
    whole = list(crossing(tasks=("cola", "rte"), models=("tiny", "base")))
    more = crossing(tasks=("mnli",), models=("tiny",), subsets=("none",))
    assert common_tasks(collection(*whole, *more).runs) == ["cola", "rte"]
    apart = [run("cola", "tiny", "none"), run("rte", "tiny", "quantize")]
    assert len(common_tasks(collection(*apart).runs)) == 1
    assert mean_scores(collection(*apart)).left_out


def test_an_undefined_score_is_left_out() -> None:
    shown = mean_scores(collection(run("rte", "tiny", "none"), document("rte", "mini", "none", None)))
    assert list(shown.points["model"]) == ["tiny"]
    assert shown.left_out == [("mini", "none", "")]


# --- figure 1 ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paper() -> MeanScores:
    """The paper's own Figure 1; how many seeds its points have is not known."""
    points = reference.figure1().assign(error=math.nan, seeds=0)
    return MeanScores(points, STUDY, list(TASKS), [], "accuracy")


@pytest.mark.parametrize("width", [PAGE, COLUMN])
def test_the_papers_numbers_give_the_papers_figure(paper: MeanScores, width: float) -> None:
    axes = figures.figure1(paper, width).axes[0]
    found = drawn(axes)
    assert list(found) == PAPER
    assert axes.get_xscale() == "log"
    for methods in SUBSETS:
        own = paper.points[paper.points["methods"] == methods].sort_values("bytes")
        assert found[STUDY.label(methods)] == list(zip(own["bytes"], own["score"], strict=True))
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [np.unique(line.get_ydata()) for line in dotted] == [88.5]
    assert axes.get_xlabel() == "Model size (MB, log scale)"
    assert axes.get_ylabel() == "Mean accuracy-style score, 8 tasks"


def test_the_legend_is_read_line_by_line_in_the_papers_order(paper: MeanScores) -> None:
    figure = figures.figure1(paper)
    figure.draw_without_rendering()
    entries = figure.legends[0].get_texts()
    boxes = [(entry.get_window_extent(), entry.get_text()) for entry in entries]
    rows = sorted(boxes, key=lambda item: (-round(item[0].y0), item[0].x0))
    assert [text for _, text in rows] == PAPER


def test_axes_say_which_score_which_bytes_and_how_many_tasks_and_seeds() -> None:
    runs = collection(tasks=("cola", "rte"), models=("tiny", "base"), seeds=(0, 1, 2))
    axes = figures.figure1(mean_scores(runs, "glue", "artifact")).axes[0]
    assert axes.get_xlabel() == "File size (MB, log scale)"
    assert axes.get_ylabel() == "Mean GLUE score, 2 tasks, 3 seeds"
    assert len(axes.containers) == 8  # error bars
    one = figures.figure1(mean_scores(runs, "accuracy", tasks=["rte"])).axes[0]
    assert one.get_ylabel() == "RTE accuracy-style score, 3 seeds"


# --- fit for print ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything() -> dict:
    runs = collection(seeds=(0, 1), sparsities=(0.4, 0.6))
    shown = mean_scores(runs)
    return {
        "page": figures.figure1(shown), "column": figures.figure1(shown, COLUMN),
        "tasks": figures.tasks([mean_scores(runs, tasks=[task]) for task in TASKS]),
        "sizes": figures.sizes(runs), "interactions": figures.interactions(contrasts(), STUDY),
    }  # fmt: skip


def contrasts() -> pd.DataFrame:
    kinds = [
        ("quantize+distill", "pair", 0.2), ("quantize+prune", "pair", -0.4), ("quantize+distill+prune", "total", 0.0),
        ("quantize+distill+prune", "pure", math.nan),
    ]  # fmt: skip
    return pd.DataFrame(
        [{"contrast": contrast, "kind": kind, "bytes": size, "interaction": value, "shown_low": value - 0.1,
          "shown_high": value + 0.1, "shown_by": "tasks" if kind == "total" else "" if math.isnan(value) else "seeds"}
         for contrast, kind, value in kinds for size in ("nominal", "artifact")]
    )  # fmt: skip


@pytest.mark.parametrize("name", ["page", "column", "tasks", "sizes", "interactions"])
def test_nothing_is_cut_off_and_no_words_meet(everything: dict, name: str) -> None:
    figure = everything[name]
    figure.draw_without_rendering()
    assert all(text.get_fontsize() >= 6.5 for text in texts(figure))
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 > -0.01
    assert drawn.y0 > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01
    for axes in figure.axes:
        low, high = axes.get_xlim()
        labels = [text for text in axes.get_xticklabels() if text.get_text() and low <= text.get_position()[0] <= high]
        boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.x0)
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes)), name
        legend = figure.legends[0].get_window_extent()
        assert not legend.overlaps(axes.get_window_extent())
        assert not legend.overlaps(axes.title.get_window_extent()) or not axes.title.get_text()


@pytest.mark.parametrize("name", ["page", "column", "tasks", "sizes", "interactions"])
def test_four_methods_fit_too(four: dict, name: str) -> None:
    test_nothing_is_cut_off_and_no_words_meet(four, name)


@pytest.fixture(scope="module")
def four() -> dict:
    """All subsets of four methods, two strengths of two of them."""
    subsets = subsets_of("quantize", "distill", "prune", "shave")
    runs = collection(tasks=("cola", "rte"), subsets=subsets, seeds=(0, 1), sparsities=(0.4, 0.6), shares=(0.25, 0.5))
    shown = mean_scores(runs)
    means = interactions.table(runs, Options(bootstrap=100)).query("scope == 'mean'")
    both = both_ways({"nominal": means, "artifact": means})
    return {
        "page": figures.figure1(shown), "column": figures.figure1(shown, COLUMN),
        "tasks": figures.tasks([mean_scores(runs, tasks=[task]) for task in ("cola", "rte")]),
        "sizes": figures.sizes(runs), "interactions": figures.interactions(both, Names(runs.methods)),
    }  # fmt: skip


def test_widths_are_those_of_a_paper(everything: dict) -> None:
    assert {name: figure.get_size_inches()[0] for name, figure in everything.items()} == {
        "page": 6.3, "column": 3.03, "tasks": 6.3, "sizes": 6.3, "interactions": 6.3,
    }  # fmt: skip


def seen(colour: str, kind: str) -> np.ndarray:
    """CIELAB of an sRGB colour as seen with a deficiency: Machado, Oliveira & Fernandes 2009, severity 1."""
    matrices = {
        "none": np.eye(3),
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }  # fmt: skip
    linear = np.clip(np.asarray(matrices[kind]) @ light(colour), 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(np.asarray(to_xyz) @ linear / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def light(colour: str) -> np.ndarray:
    encoded = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


EVERY = Names(collected([tuple(map(entry, ("quantize", "distill", "prune", "shave")))]))


@pytest.mark.parametrize(("ground", "attribute"), [("#ffffff", "light"), ("#14171c", "dark")])
@pytest.mark.parametrize(("of", "count", "apart"), [(STUDY, 4, 20), (EVERY, 8, 19)], ids=["three", "four"])
def test_colours_stay_apart_for_colour_blind_readers_and_from_the_ground(
    of: Names, count: int, apart: float, ground: str, attribute: str
) -> None:
    colours = {getattr(of.look(methods), attribute) for methods in of.methods.subsets}
    assert len(colours) == count
    for kind in ("none", "protan", "deutan", "tritan"):
        pairs = itertools.combinations(colours, 2)
        assert min(np.linalg.norm(seen(one, kind) - seen(other, kind)) for one, other in pairs) > apart, kind
    for colour in colours:
        dim, bright = sorted(float(light(name) @ [0.2126, 0.7152, 0.0722]) for name in (colour, ground))
        assert (bright + 0.05) / (dim + 0.05) > 4.4


@pytest.mark.parametrize("of", [STUDY, EVERY], ids=["three", "four"])
def test_without_colours_all_subsets_still_differ(of: Names) -> None:
    looks = {(look.marker, look.filled, look.dash) for look in map(of.look, of.methods.subsets)}
    assert len(looks) == len(of.methods.subsets)


def test_the_studys_looks_are_a_rule() -> None:
    """Hue and marker by what shrinks, fill and dashes by what does not."""
    assert {subset: (STUDY.look(subset).light, STUDY.look(subset).marker, STUDY.look(subset).filled)
            for subset in SUBSETS} == {
        "none": ("#2f3237", "o", False), "distill": ("#2f3237", "o", True),
        "quantize": ("#1f6fd0", "s", False), "quantize+distill": ("#1f6fd0", "s", True),
        "prune": ("#a85400", "^", False), "distill+prune": ("#a85400", "^", True),
        "quantize+prune": ("#d6308f", "D", False), "quantize+distill+prune": ("#d6308f", "D", True),
    }  # fmt: skip
    assert STUDY.legend() == (
        "Hue and marker tell quantization and pruning; a filled marker and a solid line tell distillation."
    )


def test_any_number_of_methods_has_looks_and_words() -> None:
    """Seven that shrink and three that do not: the first 64 of each differ, none fails."""
    made = [Compression(method=f"m{n}", option="on", noun=f"noun {n}", position=n, shrinks=n < 7) for n in range(10)]
    of = Names(collected([tuple(made)]))
    looks = {subset: of.look(subset) for subset in of.methods.subsets}
    assert len(looks) == 1024
    assert len({(look.hue, look.marker) for look in looks.values()}) == 64
    assert len({(look.filled, look.dash) for look in looks.values()}) == 4
    assert of.legend().startswith("Hue and marker tell noun 0, noun 1, noun 2, noun 3, noun 4, noun 5 and noun 6; a ")
    assert Names(collected([])).legend() == ""


@pytest.mark.parametrize(
    ("methods", "label", "term"),
    [
        (("quantize", "prune"), "quantize + prune", None),
        (("quantize", "distill", "prune"), "all three", "three-way term"),
        (("quantize", "distill", "prune", "shave"), "quantize + distill + prune + shave",
         "four-way term of quantize + distill + prune + shave"),
    ],
)  # fmt: skip
def test_all_three_is_said_of_three_alone(methods: tuple[str, ...], label: str, term: str | None) -> None:
    of = Names(collected([tuple(map(entry, methods))]))
    every = of.methods.subsets[-1]
    assert of.label(every) == label
    assert term is None or of.contrast(every, "pure") == term
    assert of.label("none") == "uncompressed"
    assert of.cell("none", "") == "uncompressed"


# --- the others -------------------------------------------------------------------------------------------------------


def test_each_task_has_its_panel(everything: dict) -> None:
    panels = [axes for axes in everything["tasks"].axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == [
        f"{task} (2 seeds)" for task in ("CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE")
    ]
    runs = collection(seeds=(0, 1), sparsities=(0.4, 0.6))
    runs = runs.runs
    own = runs[(runs["task"] == "rte") & (runs["methods"] == "none")].groupby("nominal_bytes")["score_glue"].mean()
    assert [y for _, y in drawn(panels[-1])["uncompressed"]] == pytest.approx(list(own))


def test_bytes_by_part_add_up_to_the_file() -> None:
    parts = breakdown(collection(tasks=("rte",), models=("tiny",), sparsities=(0.4, 0.6)))
    assert list(parts["name"]) == [
        "uncompressed", "quantize", "prune 40 %", "prune 60 %", "quantize + prune 40 %", "quantize + prune 60 %",
    ]  # fmt: skip
    summed = parts[["embeddings", "encoder", "head", "rest"]].sum(axis=1)
    assert list(summed) == pytest.approx(list(parts["artifact"]))
    assert parts.set_index("name").loc["prune 40 %", "rest"] > parts.set_index("name").loc["uncompressed", "rest"]


def test_bars_stand_one_after_the_other_up_to_the_file(everything: dict) -> None:
    axes = everything["sizes"].axes[0]
    first = sorted(
        (bar.get_x(), bar.get_width()) for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2) < 0.1
    )
    assert len(first) == 4
    for (start, width), (following, _) in itertools.pairwise(first):
        assert start + width == pytest.approx(following)
    made = run("rte", "tiny", "none")["size"]
    assert sum(first[-1]) == pytest.approx(100 * made["artifact_bytes"] / (4 * made["parameters"]), rel=1e-6)


def test_interactions_stand_where_they_are_estimated(everything: dict) -> None:
    axes = everything["interactions"].axes[0]
    dots = [line for line in axes.lines if line.get_label() in ("nominal bytes", "file on disk")]
    assert sorted(float(line.get_xdata()[0]) for line in dots) == [-0.4, -0.4, 0.0, 0.0, 0.2, 0.2]
    assert [text.get_text() for text in axes.texts] == ["undefined", "undefined"]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "quantize + distill", "quantize + prune", "all three", "three-way term",
    ]  # fmt: skip


# --- files ------------------------------------------------------------------------------------------------------------


def write(out: Path, *documents: dict, **crossed) -> list[Path]:
    return figures.write(results.from_documents(documents or crossing(**crossed), [], "here"), out, "glue")


def test_files_are_what_they_are_called_and_the_same_each_time(tmp_path: Path) -> None:
    small = {"tasks": ("rte",), "models": ("tiny", "base")}
    written = write(tmp_path / "one", **small)
    assert {path.name for path in written} == {
        f"{name}.{kind}" for kind in ("pdf", "svg", "png")
        for name in ("figure1", "figure1-column", "figure1-file", "figure1-file-column", "tasks", "tasks-file", "sizes")
    } | {"captions.md"}  # fmt: skip
    for path, again in zip(written, write(tmp_path / "two", **small), strict=True):
        held = path.read_bytes()
        assert held == again.read_bytes(), path.name
        if path.suffix == ".pdf":
            assert held.startswith(b"%PDF")
            assert b"/Type3" not in held
            assert re.search(rb"/FontFile2", held)
        if path.suffix == ".svg":
            assert ElementTree.fromstring(held).tag.endswith("svg")
        if path.suffix == ".png":
            assert held.startswith(b"\x89PNG")


def test_captions_say_what_a_point_is_and_what_is_not_drawn(tmp_path: Path) -> None:
    every = crossing(tasks=("cola", "rte"), models=("tiny", "base"), seeds=(0, 1), sparsities=(0.4, 0.6))
    runs = [made for made in every if not (
        made["task"] == "rte" and made["methods"] == ["prune"])]  # fmt: skip
    write(tmp_path, *runs)
    said = (tmp_path / "captions.md").read_text()
    for words in ("**figure1.** Mean over CoLA, RTE of the tasks' official GLUE metrics", "2 tasks, 2 seeds",
                  "±1 standard error over seeds",
                  "Not drawn, for want of one of these tasks: prune 40 % (tiny, base); prune 60 % (tiny, base)",
                  "**sizes.**"):  # fmt: skip
        assert words in said


def test_names_of_models_of_nearly_the_same_size_do_not_meet() -> None:
    points = pd.DataFrame({"model": list("abcd"), "methods": "none", "variant": "", "error": math.nan, "seeds": 1,
                           "bytes": [1e6, 1.01e6, 1.02e6, 9e6], "score": [1.0, 2.0, 3.0, 4.0]})  # fmt: skip
    axes = figures.figure1(MeanScores(points, STUDY, ["rte"], [])).axes[0]
    names = [text.get_text() for text in axes.child_axes[0].get_xticklabels()]
    assert names == ["D", "C"]


@pytest.mark.parametrize(
    "documents",
    [
        [run("rte", "tiny", "none")],
        [run("rte", "tiny", "quantize+prune")],
        [run("rte", model, "prune") for model in ("tiny", "mini")],
        [document("own task", "tiny", "none", 50.0)],
        [document("rte", "tiny", "none", None)],
    ],
    ids=["one run", "one compressed run", "one method", "no parts, unknown task", "no score"],
)
def test_odd_collections_have_the_figures_that_they_can_have(tmp_path: Path, documents: list[dict]) -> None:
    written = write(tmp_path, *documents)
    scored = documents[0]["score_glue"] is not None
    assert any(path.name == "figure1.pdf" for path in written) == scored
    assert any(path.name == "sizes.pdf" for path in written) == bool(documents[0]["size"]["by_part"])
    assert all(path.is_file() for path in written)


def test_our_style_is_not_left_behind() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.figure1(mean_scores(collection(run("rte", "tiny", "none"))))
    assert dict(matplotlib.rcParams) == before
    assert plotting.STYLE["pdf.fonttype"] == 42
