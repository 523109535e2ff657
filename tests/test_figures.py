"""The figures: what they draw is what the runs say, and they are fit for print."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from matplotlib.text import Annotation
from scipy import stats

from analysis import reference
from analysis.figures import figures, plotting
from analysis.figures.plotting import COLUMN, PAGE
from analysis.names import Names
from analysis.options import Options
from analysis.read import results
from analysis.read.results import Results
from analysis.report.report import both_ways
from analysis.statistics import interactions
from analysis.statistics.means import MeanScores, breakdown, common_tasks, inside, mean_scores
from analysis.statistics.score_size import cells, common_scores, score_size_curves
from analysis.subsets import collected
from compress.runs.result import Compression
from tests.crossings import TASKS, crossing, run, subsets_of
from tests.grids import SUBSETS, document, entry

STUDY = Names(reference.methods())
PAPER = [STUDY.label(name) for name in SUBSETS]
UNKNOWN = {"error": math.nan, "gain": math.nan, "reach": math.nan}


def collection(*documents: dict, **crossed) -> Results:
    return results.from_documents(documents or crossing(**crossed), [], "here")


def drawn(axes) -> dict[str, list[tuple[float, float]]]:
    """The points by the labels of their subsets."""
    marks = [made for made in axes.collections if not made.get_label().startswith("_")]
    return {made.get_label(): list(map(tuple, made.get_offsets().tolist())) for made in marks}


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


def test_a_gain_is_a_paired_difference_with_the_t_interval_of_its_seeds() -> None:
    """Of one task as scipy has it; what the runs of a seed share cancels, what is not run with it does not count."""
    shared, random = [-9.0, 4.0, 5.0], np.random.default_rng(0)
    changed = random.normal(1.0, 0.5, 3)
    plain = [document("rte", "tiny", "none", 60 + luck, seed=seed) for seed, luck in enumerate([*shared, 30.0])]
    made = [document("rte", "tiny", "prune", 60 + luck + gained, seed=seed)
            for seed, (luck, gained) in enumerate(zip(shared, changed, strict=True))]  # fmt: skip
    points = mean_scores(collection(*plain, *made)).points.set_index("methods")
    low, high = stats.ttest_1samp(changed, 0).confidence_interval(0.95)
    gain, reach = points.loc["prune", ["gain", "reach"]]
    assert (gain - reach, gain + reach) == pytest.approx((low, high))
    assert points.loc["none", ["gain", "reach"]].isna().all()


def test_a_gain_over_tasks_is_their_mean_and_needs_the_uncompressed_model_in_each() -> None:
    runs = [document(task, "tiny", methods, 60.0 + 2 * seed * (methods != "none") + (task == "cola"), seed=seed)
            for task in ("cola", "rte") for methods in ("none", "prune") for seed in (0, 1)]  # fmt: skip
    point = mean_scores(collection(*runs)).points.set_index("methods").loc["prune"]
    assert point["gain"] == pytest.approx(1)
    error = math.sqrt(2 * (2 / 2)) / 2  # differences 0 and 2: a variance of 2 / 2 of each task's mean
    assert error * stats.t.ppf(0.975, 2) <= point["reach"] <= error * stats.t.ppf(0.975, 1)
    lacking = [run for run in runs if not (run["task"] == "rte" and run["methods"] == [])]
    assert mean_scores(collection(*lacking), tasks=["cola", "rte"]).points[["gain", "reach"]].isna().all(axis=None)
    single = [run for run in runs if not (run["task"] == "rte" and run["seed"] == 1)]
    point = mean_scores(collection(*single)).points.set_index("methods").loc["prune"]
    assert (point["gain"], math.isnan(point["reach"])) == (0.5, True)


def test_the_lines_of_a_task_are_the_curves_that_the_statistics_compare() -> None:
    runs = collection(tasks=("cola", "rte"), seeds=(0, 1), sparsities=(0.4, 0.6))
    for task in runs.tasks:
        shown = mean_scores(runs, tasks=[task])
        compared = score_size_curves(cells(runs.runs))[task]
        assert list(shown.curves) == SUBSETS
        for subset, curve in shown.curves.items():
            np.testing.assert_allclose(curve.scores, compared[subset].scores)
            np.testing.assert_allclose(curve.log_bytes, compared[subset].log_bytes)
        bounds = [float(bound) for bound in common_scores([curve.scores for curve in compared.values()])]
        assert shown.common == pytest.approx(tuple(bounds))


def test_curves_without_a_common_score_have_none() -> None:
    apart = [document("rte", model, methods, score) for methods, scores in (("none", (50, 60)), ("prune", (70, 80)))
             for model, score in zip(("tiny", "base"), scores, strict=True)]  # fmt: skip
    assert mean_scores(collection(*apart)).common is None
    assert mean_scores(collection(*apart[:2])).common is None  # nothing to share with


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40))
def test_outliers_are_few_and_would_more_than_double_the_axis(scores: list[float]) -> None:
    low, high = inside(scores)
    kept = [score for score in scores if low <= score <= high]
    outside = len(scores) - len(kept)
    assert outside <= min(3, len(scores) / 6)
    if outside:
        assert max(scores) - min(scores) > 2 * (high - low) > 0
        assert low == min(scores) or high == max(scores)
    else:
        assert (low, high) == (min(scores), max(scores))


@pytest.mark.parametrize(("end", "others"), [(9.0, (0.0, 4.0)), (-6.0, (0.0, 4.0))])
def test_an_outlier_is_found_at_either_end(end: float, others: tuple[float, float]) -> None:
    assert inside([*np.linspace(*others, 7), end]) == others
    assert inside([*np.linspace(*others, 4), end]) != others  # one of five is no outlier


# --- figure 1 ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paper() -> MeanScores:
    """The paper's own Figure 1; how many seeds its points have is not known."""
    points = reference.figure1().assign(**UNKNOWN, seeds=0)
    return MeanScores(points, STUDY, list(TASKS), [], "accuracy")


@pytest.mark.parametrize("width", [PAGE, COLUMN])
def test_the_papers_numbers_give_the_papers_figure(paper: MeanScores, width: float) -> None:
    axes = figures.figure1(paper, width).axes[0]
    found = drawn(axes)
    assert list(found) == PAPER
    assert axes.get_xscale() == "log"
    for methods in SUBSETS:
        own = paper.points[paper.points["methods"] == methods]
        assert found[STUDY.label(methods)] == list(zip(own["bytes"], own["score"], strict=True))
    fits = {subset: (np.exp(curve.log_bytes), curve.scores) for subset, curve in paper.curves.items()}
    lines = [line.get_data() for line in axes.lines[: len(fits)]]
    for (sizes, scores), (x, y) in zip(fits.values(), lines, strict=True):
        assert (np.diff(y) >= 0).all()
        np.testing.assert_array_equal([x, y], [sizes, scores])
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [np.unique(line.get_ydata()) for line in dotted] == [88.5]
    assert axes.get_xlabel() == "Model size (MB, log scale)"
    assert axes.get_ylabel() == "Mean accuracy-style score, 8 tasks"


def test_the_legend_is_read_line_by_line_in_the_papers_order(paper: MeanScores) -> None:
    figure = figures.figure1(paper)
    figure.draw_without_rendering()
    entries = figure.legends[0].get_texts()
    boxes = [(entry.get_window_extent(), entry.get_text()) for entry in entries]
    rows = sorted(boxes, key=lambda item: (-round(item[0].y0 / 5), item[0].x0))
    assert [text for _, text in rows] == [*PAPER, "prune 40 %", "prune 60 %", "scores in common"]


def test_axes_say_which_score_which_bytes_and_how_many_tasks_and_seeds() -> None:
    runs = collection(tasks=("cola", "rte"), models=("tiny", "base"), seeds=(0, 1, 2))
    axes = figures.figure1(mean_scores(runs, "glue", "artifact")).axes[0]
    assert axes.get_xlabel() == "File size (MB, log scale)"
    assert axes.get_ylabel() == "Mean GLUE score, 2 tasks, 3 seeds"
    assert len(axes.containers) == 8  # bars
    one = figures.figure1(mean_scores(runs, "accuracy", tasks=["rte"])).axes[0]
    assert one.get_ylabel() == "RTE accuracy-style score, 3 seeds"


def with_teacher(score: float) -> MeanScores:
    """Three sizes, and one that only teaches."""
    scored = [run("rte", model, subset) for model in ("tiny", "mini", "small") for subset in SUBSETS]
    return mean_scores(collection(*scored, document("rte", "large", "none", score)))


@pytest.mark.parametrize("width", [PAGE, COLUMN])
@pytest.mark.parametrize("score", [10.0, 99.0])
def test_an_outlying_model_is_an_arrow_with_its_score_and_does_not_flatten_the_rest(score: float, width: float) -> None:
    shown = with_teacher(score)
    axes = figures.figure1(shown, width).axes[0]
    low, high = axes.get_ylim()
    assert not low <= score <= high
    rest = shown.points[shown.points["model"] != "large"]["score"]
    assert low < rest.min() < rest.max() < high
    assert rest.max() - rest.min() > 0.6 * (high - low)
    told = {text.get_text(): text.xy for text in axes.texts if isinstance(text, Annotation)}
    assert told[f"{score:.1f}"] == (4 * 335_141_888, float(score > 90))
    assert not [line for line in axes.lines if line.get_linestyle() == ":"]
    assert f"LARGE {score:.1f}" in figures._caption(shown)


@pytest.mark.parametrize(("luck", "cut"), [(0.05, False), (9.0, True)])
def test_bars_do_not_flatten_the_points_and_the_caption_says_where_they_are_cut(luck: float, cut: bool) -> None:
    runs = [document("rte", model, methods, score + (luck * (-1) ** seed if methods == "prune" else 0.0), seed=seed)
            for model, score in (("tiny", 60.0), ("base", 64.0)) for methods in ("none", "prune")
            for seed in (0, 1)]  # fmt: skip
    shown = mean_scores(collection(*runs))
    low, high = plotting.score_limits(shown.points, bars=True)
    assert high - low < 2.5 * 4
    assert ("go on beyond it" in figures._caption(shown)) == cut
    assert (shown.points["score"] + shown.points["reach"]).max() > high or not cut


def test_strengths_are_told_apart_by_the_size_of_their_markers(paper: MeanScores) -> None:
    axes = figures.figure1(paper).axes[0]
    for made in axes.collections:
        name = next((subset for subset in SUBSETS if STUDY.label(subset) == made.get_label()), None)
        if name is None or not isinstance(made, PathCollection):
            continue
        own = paper.points[paper.points["methods"] == name]
        areas = pd.Series(made.get_sizes(), own["variant"].to_numpy()).groupby(level=0).unique()
        assert [len(area) for area in areas] == [1] * len(areas)
        assert len({float(area[0]) for area in areas}) == (2 if "prune" in name else 1)


def test_markers_of_all_strengths_of_three_methods_differ() -> None:
    of_all: dict[str, Any] = {"option": "on", "shrinks": True, "strength": "share"}
    many = [Compression(method=name, noun=name, position=place, value=value, **of_all)
            for place, name in enumerate("abc") for value in (0.1, 0.2, 0.4)]  # fmt: skip
    of = Names(collected([tuple(many)]))
    assert len(of.variants) == 9
    single = [of.scale(variant) for variant in of.variants[:3]]
    assert single == sorted(single, reverse=True)
    assert single[0] == 1
    words = [[variant for variant in of.variants if variant.startswith(name)] for name in "ab"]
    assert len({round(of.scale(f"{one}, {other}"), 6) for one in words[0] for other in words[1]}) == 9
    assert Names(collected([tuple(map(entry, ("quantize", "prune")))])).variants == []


# --- fit for print ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything() -> dict:
    runs = collection(seeds=(0, 1), sparsities=(0.4, 0.6))
    shown = mean_scores(runs)
    return {
        "page": figures.figure1(shown), "column": figures.figure1(shown, COLUMN),
        "tasks": figures.tasks([mean_scores(runs, tasks=[task]) for task in TASKS]),
        "sizes": figures.sizes(runs), "interactions": figures.interactions(contrasts(), STUDY, 8),
    }  # fmt: skip


def contrasts() -> pd.DataFrame:
    kinds = [
        ("quantize+distill", "pair", 0.2), ("quantize+prune", "pair", -0.4), ("quantize+distill+prune", "total", 0.0),
        ("quantize+distill+prune", "pure", math.nan),
    ]  # fmt: skip
    scopes = {"mean": 0.0, "cola": 0.05, "sst2": -0.05, "mrpc": -3.0, "rte": math.nan, "study": 0.02}
    return pd.DataFrame(
        [{"contrast": contrast, "kind": kind, "bytes": size, "scope": scope, "interaction": value + more,
          "shown_low": value - 0.1, "shown_high": value + 0.1,
          "shown_by": "tasks" if kind == "total" else "" if math.isnan(value) else "seeds"}
         for contrast, kind, value in kinds for size in ("nominal", "artifact") for scope, more in scopes.items()]
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
    means = interactions.table(runs, Options(bootstrap=100))
    both = both_ways({"nominal": means, "artifact": means})
    return {
        "page": figures.figure1(shown), "column": figures.figure1(shown, COLUMN),
        "tasks": figures.tasks([mean_scores(runs, tasks=[task]) for task in ("cola", "rte")]),
        "sizes": figures.sizes(runs), "interactions": figures.interactions(both, Names(runs.methods), 2),
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
        "Hue and marker show quantization and pruning; a filled marker and a solid line show distillation."
    )


def test_any_number_of_methods_has_looks_and_words() -> None:
    """Seven that shrink and three that do not: the first 64 of each differ, none fails."""
    made = [Compression(method=f"m{n}", option="on", noun=f"noun {n}", position=n, shrinks=n < 7) for n in range(10)]
    of = Names(collected([tuple(made)]))
    looks = {subset: of.look(subset) for subset in of.methods.subsets}
    assert len(looks) == 1024
    assert len({(look.hue, look.marker) for look in looks.values()}) == 64
    assert len({(look.filled, look.dash) for look in looks.values()}) == 4
    assert of.legend().startswith("Hue and marker show noun 0, noun 1, noun 2, noun 3, noun 4, noun 5 and noun 6; a ")
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
    estimates = [line for line in axes.lines if line.get_label() in ("nominal bytes", "file on disk")]
    ratios = sorted(math.log(line.get_xdata()[0]) for line in estimates)
    assert ratios == pytest.approx([-0.4, -0.4, 0.0, 0.0, 0.2, 0.2])
    said = [text.get_text() for text in axes.texts]
    assert said.count("undefined") == 2
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "quantize + distill", "quantize + prune", "all three", "three-way term",
    ]  # fmt: skip


def test_interactions_say_what_either_side_means_and_what_they_are_of(everything: dict) -> None:
    figure = everything["interactions"]
    axes = figure.axes[0]
    said = [text.get_text() for text in axes.texts]
    assert said[:3] == ["← less than the product", "more than the product →", "within 10 %"]
    assert [words for words in said if "tasks" in words] == ["3 of 8 tasks\nnot RTE"] * 3 + [
        "0 of 8 tasks\nnot CoLA, SST-2, MRPC and 1 more"
    ]
    assert "Left out: tasks in which a curve is missing" in axes.get_xlabel()
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert len(ticks) > 4
    assert 1 in ticks
    assert low * high == pytest.approx(1)


def test_the_study_is_a_diamond_and_no_task(everything: dict) -> None:
    axes = everything["interactions"].axes[0]
    studies = [made.get_offsets().tolist() for made in axes.collections if made.get_label() == "the study"]
    logs = [math.log(x) for ((x, _),) in studies]
    assert logs == pytest.approx([0.22, 0.22, -0.38, -0.38, 0.02, 0.02])


def test_each_task_has_a_dot_by_its_interaction_or_an_arrow_with_its_value(everything: dict) -> None:
    axes = everything["interactions"].axes[0]
    dots = [made.get_offsets() for made in axes.collections if made.get_label() == "a task"]
    assert len(dots) == 6
    first = dots[0].tolist()
    assert [math.log(x) for x, _ in first] == pytest.approx([0.25, 0.15])
    estimate = next(line for line in axes.lines if line.get_label() == "nominal bytes")
    assert all(0 < y - estimate.get_ydata()[0] < 0.2 for _, y in first)
    beyond = [text.get_text() for text in axes.texts if "◂" in text.get_text()]
    assert beyond == [f"◂ {math.exp(value - 3):.2f}" for value in (0.2, 0.2, -0.4, -0.4, 0.0, 0.0)]


def test_beside_the_models_interactions_the_curves_are_crosses() -> None:
    both = contrasts()
    curves = both[both["scope"] == "mean"].assign(scope="curves")
    axes = figures.interactions(pd.concat([both, curves]), STUDY, 8).axes[0]
    crosses = [
        np.asarray(made.get_offsets()).tolist() for made in axes.collections if made.get_label() == "score–size curves"
    ]
    means = curves["interaction"].dropna()
    assert sorted(math.log(x) for ((x, _),) in crosses) == pytest.approx(sorted(means))
    assert "Left out" not in axes.get_xlabel()  # which is of the curves


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
                  "Bars: 95 % interval of a model's gain over the uncompressed one of its size and seeds",
                  "Markers from large to small: prune 40 %, prune 60 %",
                  "Not drawn, since they lack one of these tasks: prune 40 % (tiny, base); prune 60 % (tiny, base)",
                  "**sizes.**"):  # fmt: skip
        assert words in said


def test_names_of_models_of_nearly_the_same_size_do_not_meet() -> None:
    points = pd.DataFrame({"model": list("abcd"), "methods": "none", "variant": "", **UNKNOWN, "seeds": 1,
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
