"""report.html as a reader has it: in a real browser, from the disk, without a network."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import crossings, grids
from tests.browser.conftest import PHONE, WIDE, Open, Opened, missing, write_report

FIGURE = "#figure1 svg .mark"


@pytest.fixture
def opened(open_page: Open, report_file: Path) -> Opened:
    return open_page(report_file)


def chip(page: Any, name: str, value: str) -> Any:
    """The box to tick of a filter."""
    return page.locator(f"input[name='{name}'][value='{value}']")


def background(page: Any) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def unfold(page: Any) -> None:
    """Open everything that is folded."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


def focused(page: Any) -> str:
    """A word for what has the focus."""
    word: str = page.evaluate(
        "document.activeElement.name || document.activeElement.id || document.activeElement.getAttribute('class')"
        " || document.activeElement.tagName"
    )
    return word


def test_a_missing_browser_is_a_skip_here_and_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="/usr/bin/chromium is not here"):
        missing("/usr/bin/chromium")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        missing("/usr/bin/chromium")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_an_error_and_without_a_network(
    open_page: Open, report_file: Path, size: tuple[int, int], scheme: str
) -> None:
    opened = open_page(report_file, size, scheme)
    assert opened.page.locator(FIGURE).count() > 0
    unfold(opened.page)
    opened.page.mouse.wheel(0, 20_000)
    assert opened.problems == []
    assert opened.requests == []


@pytest.mark.parametrize("size", [WIDE, (768, 1024), PHONE, (320, 640)], ids=lambda size: str(size[0]))
def test_no_width_scrolls_sideways(open_page: Open, report_file: Path, size: tuple[int, int]) -> None:
    page = open_page(report_file, size).page
    unfold(page)
    page.locator(FIGURE).first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    boxes = page.evaluate("[...document.querySelectorAll('svg')].map((svg) => svg.getBoundingClientRect().right)")
    assert max(boxes) <= size[0]


def test_charts_follow_the_width(opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 600, "height": 800})
    for _ in range(50):  # the page's policy lets nothing wait within it
        if opened.page.evaluate("document.querySelector('#figure1 svg').clientWidth") < 600:
            return
        opened.page.wait_for_timeout(100)
    pytest.fail("the chart is as wide as before")


def test_every_section_has_its_chart(opened: Opened) -> None:
    page = opened.page
    assert page.locator(FIGURE).count() == 3 * 12 - 8  # base lacks its eight pruned cells on rte
    assert page.locator("#tasks-charts svg").count() == 3
    assert page.locator("#sizes-charts svg").count() == 3
    assert page.locator("#interactions-chart .mark.interval").count() == 10
    assert page.locator("#interactions-chart .mark.task").count() == 10 * 3
    assert page.locator("#latency-chart .mark").count() == 3 * 12
    assert page.locator("#training-chart .line").count() == 12
    assert "Not drawn, as they lack a chosen task: 8 points" in page.locator("#figure1-note").inner_text()


def test_filters_change_what_is_drawn(opened: Opened) -> None:
    page, points = opened.page, opened.page.locator(FIGURE)
    before = points.count()
    chip(page, "methods", "0").uncheck()
    assert points.count() == before - 3
    chip(page, "task", "2").uncheck()  # rte, which eight cells lack
    assert points.count() == before - 3 + 8
    assert page.locator("#tasks-charts svg").count() == 2
    chip(page, "model", "0").uncheck()
    assert points.count() == 2 * 11
    chip(page, "variant of prune", "1").uncheck()
    assert points.count() == 2 * 7
    assert page.locator("#figure1-table tbody tr").count() == 2 * 7
    page.get_by_role("button", name="Tasks: all or none").click()
    page.get_by_role("button", name="Tasks: all or none").click()
    assert points.count() == 0
    assert "no task is chosen" in page.locator("#figure1").inner_text()
    assert opened.problems == []


@pytest.fixture(scope="module")
def four_methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen subsets of four methods, one of them unknown to everybody; two strengths of two of them, two options."""
    subsets = crossings.subsets_of("quantize", "distill", "prune", "shave")
    made = list(crossings.crossing(("rte",), ("tiny", "base"), subsets, sparsities=(0.4, 0.6), shares=(0.25, 0.5)))
    made.append(grids.document("rte", "tiny", "prune", 70.0, sparsity=0.8, options={"prune": "movement"}))
    return write_report(tmp_path_factory.mktemp("four"), made)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE, (320, 640)], ids=lambda size: str(size[0]))
def test_four_methods_fit_every_width(open_page: Open, four_methods: Path, size: tuple[int, int], scheme: str) -> None:
    opened = open_page(four_methods, size, scheme)
    test_no_width_scrolls_sideways(lambda *_: opened, four_methods, size)
    shapes = opened.page.locator("#figure1 .line").evaluate_all(
        "lines => lines.map((line) => getComputedStyle(line).stroke + line.getAttribute('stroke-dasharray'))"
    )
    assert len(set(shapes)) == 16
    names = opened.page.evaluate("""[...document.querySelectorAll('#interactions-chart text.row')].map((text) =>
        text.getBoundingClientRect().left)""")
    assert len(names) == 6 + 2 * 5
    assert min(names) >= 0
    assert opened.problems == []


def test_each_method_with_variants_has_a_filter(open_page: Open, four_methods: Path) -> None:
    page = open_page(four_methods).page
    points = page.locator(FIGURE)
    assert points.count() == 2 * (4 + 4 * 2 + 4 * 2 + 4 * 2 * 2) + 1
    before = points.count()
    chip(page, "variant of prune", "2").uncheck()  # movement 80 %
    assert points.count() == before - 1
    page.get_by_role("button", name="prune: all or none").click()
    page.get_by_role("button", name="prune: all or none").click()
    assert points.count() == 2 * (4 + 4 * 2)  # with and without shaving, none pruned
    chip(page, "variant of shave", "0").uncheck()
    assert points.count() == 2 * (4 + 4)


def test_seeds_scores_and_bytes_change_the_numbers(opened: Opened) -> None:
    page = opened.page

    def cells() -> list[str]:
        compressed = page.locator("#figure1-table tbody tr", has_text="tiny, quantize").first
        found: list[str] = compressed.locator("> *").all_text_contents()
        return found

    first = cells()
    assert "–" not in first
    chip(page, "seed", "1").uncheck()
    assert (cells()[3], cells()[6]) == ("–", "1")
    chip(page, "seed", "1").check()
    chip(page, "score", "accuracy").check()
    assert float(cells()[1]) == pytest.approx(float(first[1]) + 1, abs=0.011)
    chip(page, "size", "artifact").check()
    file = crossings.run("cola", "tiny", "none")["size"]["artifact_bytes"]
    page.locator(FIGURE).first.hover()
    assert f"{file:,} bytes" in page.locator(".tip").inner_text()
    assert page.locator("#figure1 .label").first.text_content() == "File size (MB, log scale)"


def test_a_point_tells_cell_score_bytes_and_runs(opened: Opened, report_file: Path) -> None:
    page = opened.page
    page.locator(FIGURE).first.hover()
    told = page.locator(".tip").inner_text()
    runs = sorted((report_file.parent / "runs").glob("*/tiny/none/*"))
    assert "tiny, uncompressed" in told
    assert "17.5 MB, 17,543,680 bytes" in told
    assert "3 tasks, 2 seeds" in told
    assert any(folder.name in told for folder in runs)
    page.locator(FIGURE).first.click()
    listed = page.locator("#figure1-runs tbody td:last-child").all_text_contents()
    assert sorted(listed) == sorted(folder.name for folder in runs)
    page.locator("#figure1-runs button").click()
    assert page.locator("#figure1-runs table").count() == 0


def test_the_page_agrees_with_the_figures(opened: Opened, report_file: Path) -> None:
    from analysis.read.results import read_runs
    from analysis.statistics.means import mean_scores

    points = mean_scores(read_runs(report_file.parent / "runs")).points
    rows = opened.page.locator("#figure1-table tbody tr").all()
    shown = [row.locator("td").all_text_contents() for row in rows]
    for place, column in ((0, "score"), (1, "gain"), (2, "reach")):
        told = [float(row[place].replace("−", "-")) for row in shown if row[place] != "–"]
        assert sorted(told) == pytest.approx(sorted(points[column].dropna()), abs=0.007), column


def test_the_page_fits_and_bounds_as_the_figures_do(opened: Opened) -> None:
    """Nondecreasing curves, outliers, quantiles and degrees of freedom: in the page as in Python."""
    from analysis.statistics import means, score_size, uncertainty

    random = np.random.default_rng(0)
    for count in (1, 2, 5, 12, 40):
        values, weights = random.standard_t(1.5, count).round(3), random.integers(1, 4, count)
        fitted = opened.page.evaluate(
            "([values, weights]) => isotonic(values, weights)", [values.tolist(), weights.tolist()]
        )
        assert fitted == pytest.approx(score_size.isotonic(values, weights.astype(float)).tolist())
        assert opened.page.evaluate("scores => inside(scores)", values.tolist()) == list(means.inside(values))
        parts = [(float(variance), int(freedom)) for variance, freedom in zip(values**2, weights, strict=True)]
        asked = [{"variance": variance, "freedom": freedom} for variance, freedom in parts]
        freedom = uncertainty.satterthwaite(parts)
        assert opened.page.evaluate("parts => satterthwaite(parts)", asked) == pytest.approx(freedom)
    for freedom in (1, 1.1, 1.5, 2, 2.7, 10.4, 15.9, 16, 60, 1e6):
        quantile = opened.page.evaluate("freedom => quantile(freedom)", freedom)
        assert quantile == pytest.approx(uncertainty.quantile(freedom), rel=0.012 if freedom < 1.25 else 0.001)
    assert opened.page.evaluate("quantile(Infinity)") == pytest.approx(1.96, abs=1e-4)


def test_the_keyboard_reaches_filters_and_points(opened: Opened) -> None:
    page = opened.page
    reached = []
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(focused(page))
        if reached[-1].startswith("mark"):
            break
    assert [
        name for name in ("theme", "methods", "task", "model", "seed", "score", "size") if name not in reached
    ] == []
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    first = page.locator(".tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text() != first
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("small, uncompressed")
    page.keyboard.press("Enter")
    assert "Runs behind small, uncompressed" in page.locator("#figure1-runs").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()


def test_space_turns_a_filter(opened: Opened) -> None:
    before = opened.page.locator(FIGURE).count()
    chip(opened.page, "methods", "0").focus()
    opened.page.keyboard.press("Space")
    assert opened.page.locator(FIGURE).count() < before
    assert focused(opened.page) == "methods"


def test_dark_mode_follows_the_system_and_the_button(open_page: Open, report_file: Path) -> None:
    light, dark = (open_page(report_file, scheme=scheme).page for scheme in ("light", "dark"))
    assert background(light) == "rgb(255, 255, 255)"
    assert background(dark) != background(light)
    stroke = "getComputedStyle(document.querySelector('#figure1 .line')).stroke"
    assert light.evaluate(stroke) != dark.evaluate(stroke)
    light.locator("#theme").click()
    assert background(light) == background(dark)
    assert light.evaluate(stroke) == dark.evaluate(stroke)
    light.locator("#theme").click()
    assert background(light) == "rgb(255, 255, 255)"


def test_controls_and_charts_have_names_for_screen_readers(opened: Opened) -> None:
    unnamed = opened.page.evaluate(
        """[...document.querySelectorAll("input, select, button, svg[role], [tabindex='0'], section")].filter((one) =>
        !(one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.labels?.[0]?.textContent.trim()
          || one.textContent.trim())).map((one) => one.outerHTML.slice(0, 90))"""
    )
    assert unnamed == []
    heads = opened.page.evaluate(
        "[...document.querySelectorAll('table')].filter((one) => !one.querySelector('thead th[scope=col]')).length"
    )
    assert heads == 0


def test_chosen_runs_show_their_training(opened: Opened) -> None:
    page = opened.page
    chosen = page.locator("#training-choice")
    chosen.get_by_label("Model").select_option("2")
    chosen.get_by_label("Task").select_option("2")
    assert page.locator("#training-chart .line").count() == 4  # rte, base: none of the pruned
    label = page.locator("#training-chart .mark").first.get_attribute("aria-label")
    assert label.startswith("base, uncompressed, loss 0.")


def test_the_latency_of_what_is_chosen(opened: Opened) -> None:
    page = opened.page
    before = page.locator("#latency-table tbody tr:first-child").inner_text
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    first = before()
    chosen = page.locator("#latency-choice")
    chosen.get_by_label("Batch × length").select_option("32 × 128 tokens")
    assert before() != first
    chosen.get_by_label("Task").select_option("2")
    assert page.locator("#latency-chart .mark").count() == 3 * 12 - 8
    label = page.locator("#latency-chart .label").last.text_content()
    chip(page, "score", "accuracy").check()
    assert (label, page.locator("#latency-chart .label").last.text_content()) == (
        "RTE GLUE score", "RTE accuracy-style score",
    )  # fmt: skip


def test_words_that_look_like_html_stay_words(open_page: Open, tmp_path: Path) -> None:
    nasty = "</script><script>document.title='hit'</script><img src=x onerror=alert(1)>"
    made = [grids.document("rte", "tiny", "none", 60.0), grids.document("rte", "tiny", "quantize", 59.0)]
    for one in made:
        one |= {"task": nasty.replace("/", "∕"), "run_id": one["run_id"]}
    from analysis.options import Options
    from analysis.read import results
    from analysis.report import report

    options = Options(bootstrap=0)
    found = results.from_documents([one | {"task": nasty, "url": "javascript:alert(1)"} for one in made], [], nasty)
    path = tmp_path / "report.html"
    path.write_text(report.page(found, options, report.findings(found, options)), encoding="utf-8")
    opened = open_page(path)
    opened.page.locator(FIGURE).first.click()
    assert nasty in opened.page.locator("#tasks-charts h3").inner_text()
    assert opened.page.locator("#figure1-runs a").count() == 0
    assert opened.page.title() == "Combining compressions"
    assert (opened.problems, opened.requests) == ([], [])


@pytest.mark.parametrize(
    "documents",
    [
        [crossings.run("rte", "tiny", "none")],
        [crossings.run("rte", model, "prune") for model in ("tiny", "mini")],
        [grids.document("rte", "tiny", "none", None)],
    ],
    ids=["one run", "one method", "no score"],
)
def test_an_odd_collection_says_what_it_lacks(open_page: Open, tmp_path: Path, documents: list[dict]) -> None:
    opened = open_page(write_report(tmp_path, documents))
    words = opened.page.locator("main").inner_text()
    assert "No combination can be judged" in words
    assert "No interaction is defined" in words
    scored = documents[0]["score_glue"] is not None
    assert (opened.page.locator(FIGURE).count() > 0) == scored
    assert ("Nothing to draw" in words) == (not scored)
    assert opened.problems == []


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sizes, two strengths and seeds, and a model far above all that only teaches."""
    made = list(crossings.crossing(("cola", "rte"), ("tiny", "mini", "small"), seeds=(0, 1), sparsities=(0.4, 0.6)))
    made += [grids.document(task, "large", "none", 99.0, seed=seed) for task in ("cola", "rte") for seed in (0, 1)]
    return write_report(tmp_path_factory.mktemp("taught"), made)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
def test_an_outlying_teacher_is_an_arrow_and_leaves_room_for_the_others(
    open_page: Open, taught: Path, size: tuple[int, int]
) -> None:
    page = open_page(taught, size).page
    for figure in ("#figure1", "#tasks-charts .panel:first-child"):
        assert page.locator(f"{figure} .arrowhead").count() == 1
        assert page.locator(f"{figure} text", has_text="99.0").count() == 1
        spread: list[float] = page.locator(f"{figure} svg .mark").evaluate_all(
            "marks => marks.filter((mark) => !mark.getAttribute('aria-label').startsWith('large'))"
            ".map((mark) => mark.getBoundingClientRect().top)"
        )
        height = page.locator(f"{figure} svg").bounding_box()["height"]
        assert max(spread) - min(spread) > 0.4 * height
    assert page.locator("#figure1 .baseline").count() == 0
    assert "large, uncompressed: 99.0" in page.locator("#figure1-note").inner_text()
    page.locator("#figure1 .mark[aria-label^='large']").hover(force=True)
    assert "GLUE score 99.00" in page.locator(".tip").inner_text()


def test_strengths_have_marks_of_their_own_size_with_a_key(open_page: Open, taught: Path) -> None:
    page = open_page(taught).page
    widths = page.locator("#figure1 .mark[aria-label^='small, prune']").evaluate_all(
        "marks => marks.map((mark) => [mark.getAttribute('aria-label').match(/[0-9]+ %/)[0], mark.getBBox().width"
        " * Number(mark.getAttribute('transform').match(/scale\\((.*)\\)/)[1])])"
    )
    sizes = dict(widths)
    assert sizes["60 %"] < 0.7 * sizes["40 %"]
    assert page.locator("#legend .legend li").all_inner_texts() == ["prune 40 %", "prune 60 %", "scores in common"]


def test_curves_rise_and_what_they_all_reach_is_shaded(open_page: Open, taught: Path) -> None:
    page = open_page(taught).page
    heights = page.locator("#figure1 .line").evaluate_all(
        "lines => lines.map((line) => line.getAttribute('d').match(/,[^L]*/g).map((at) => Number(at.slice(1))))"
    )
    assert len(heights) == 8
    assert all(list(curve) == sorted(curve, reverse=True) for curve in heights)
    band = page.locator("#figure1 .common").bounding_box()
    top = page.locator("#figure1 svg").bounding_box()["y"]
    lows, highs = [curve[0] + top for curve in heights], [curve[-1] + top for curve in heights]
    assert band["y"] == pytest.approx(max(highs), abs=1)
    assert band["y"] + band["height"] == pytest.approx(min(lows), abs=1)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
def test_interactions_say_what_either_side_means_and_how_many_tasks_they_are_of(
    open_page: Open, report_file: Path, size: tuple[int, int]
) -> None:
    page = open_page(report_file, size).page
    said = page.locator("#interactions-chart text").all_text_contents()
    assert any(words.startswith("← less") for words in said)
    assert any(words.startswith("more") and words.endswith("→") for words in said)
    assert sum("3 of 3 tasks" in words for words in said) == 5
    ticks = page.locator("#interactions-chart .grid text:not(.label)").all_text_contents()
    assert len([tick for tick in ticks if tick]) > 4
    assert "1" in ticks
    page.locator("#interactions-chart .mark.task").first.hover()
    told = page.locator(".tip").inner_text()
    assert told.startswith("CoLA: quantize + distill")
    assert "ratio " in told


def edge(page: Any, table: Any) -> float:
    """How much darker the last pixels at the right of a table's box are than those farther in, in grey levels."""
    picture = Image.open(io.BytesIO(table.screenshot())).convert("L")
    grey = np.asarray(picture, dtype=float)[-40:-4]
    blank = np.median(grey[:, -60:-25])
    return float(abs(np.median(grey[:, -3:-1]) - blank))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_a_table_that_goes_on_has_a_shadow_where_it_does(
    open_page: Open, report_file: Path, scheme: str
) -> None:
    page = open_page(report_file, PHONE, scheme).page
    unfold(page)
    cut = [table for table in page.locator(".scroll").all()
           if table.evaluate("box => box.scrollWidth > box.clientWidth + 1")]  # fmt: skip
    assert len(cut) > 3
    for table in cut:
        table.scroll_into_view_if_needed()
        before = edge(page, table)
        table.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
        assert before > 6 > edge(page, table)


def test_on_a_phone_nothing_else_is_cut_off(open_page: Open, report_file: Path) -> None:
    """What is wider than its box lies in one that scrolls and has a shadow."""
    page = open_page(report_file, PHONE).page
    unfold(page)
    cut = page.evaluate("""[...document.querySelectorAll("main *")].filter((one) => !one.closest("svg, .scroll")
        && getComputedStyle(one).overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1)
        .map((one) => one.outerHTML.slice(0, 90))""")
    assert cut == []


@pytest.mark.parametrize("shown", [True, False], ids=["of the study", "of others"])
def test_the_studys_numbers_are_spoken_of_only_where_they_are(open_page: Open, tmp_path: Path, shown: bool) -> None:
    methods = ("quantize", "distill") if shown else ("shave", "coach")
    made = list(crossings.crossing(("rte",), ("tiny", "base"), crossings.subsets_of(*methods)))
    page = open_page(write_report(tmp_path, made)).page
    assert ("(study)" in page.locator("#table1-section").inner_text()) == shown
    assert ("the study" in page.locator("#interactions-section").inner_text()) == shown
    assert (page.locator("#interactions-chart .mark.study").count() == 1) == shown


@pytest.mark.parametrize(
    ("points", "anchor", "below"),
    [([], "start", False), ([(60, 46)], "end", False), ([(60, 46), (300, 46)], "start", True),
     ([(60, 46), (300, 46), (60, 60)], "end", True)],
)  # fmt: skip
def test_the_name_of_the_baseline_goes_where_no_point_is(
    opened: Opened, points: list[tuple[int, int]], anchor: str, below: bool
) -> None:
    made = opened.page.evaluate(
        """points => {
            const text = note("LARGE, uncompressed", 50, [40, 340], points.map(([x, y]) => ({ x, y })), 4.5);
            return [text.getAttribute("text-anchor") ?? "start", text.getAttribute("y") > 50];
        }""",
        points,
    )
    assert made == [anchor, below]
