"""The page that follows a grid, in a real browser, while the grid grows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import crossings
from tests.browser.conftest import PHONE, WIDE
from tests.conftest import ROOT
from tests.going import GoingGrid

PATIENCE = 150_000  # ms; the report is made by a process that lets others go first


@dataclass
class Following:
    """A grid, the command that follows it, and its page in two browsers: wide and light, narrow and dark."""

    grid: GoingGrid
    process: subprocess.Popen[str]
    address: str
    pages: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def open(self, chromium: Any, size: tuple[int, int], scheme: str) -> Any:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", lambda message: self.problems.append(message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda made: None if made.url.startswith(self.address) else self.elsewhere.append(made.url))
        page.goto(self.address)
        self.pages.append(page)
        return page


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    made = list(crossings.crossing(("cola", "rte"), ("tiny", "base"), ("none", "quantize", "prune")))
    grid = GoingGrid(tmp_path / "runs", made)
    command = [sys.executable, "-m", "analysis", "report", str(grid.runs), "--serve", "--port", "0", "--bootstrap", "0"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        there = Following(grid, process, process.stdout.readline().split()[0])
        yield there
        for page in there.pages:
            page.context.close()
    finally:
        process.terminate()  # and so it leaves nothing
        process.wait(60)
        grid.close()


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_page_follows_a_growing_grid_and_is_its_report_in_the_end(chromium: Any, following: Following) -> None:
    grid = following.grid
    run_ids = list(grid.documents)
    grid.run(run_ids[0], 50)
    wide, phone = following.open(chromium, WIDE, "light"), following.open(chromium, PHONE, "dark")
    for page in (wide, phone):
        page.get_by_text("0 of 12 finished").wait_for()
        page.get_by_text("50/200").wait_for()
        assert page.locator("#running td").first.inner_text() == "cola tiny none seed 0"
        assert page.locator("#show-report").is_disabled()
        assert fits(page)
        page.evaluate("window.same = true")
    assert "There is a report once an experiment is finished" in wide.locator("#note").inner_text()
    background = "getComputedStyle(document.body).backgroundColor"
    assert wide.evaluate(background) == "rgb(255, 255, 255)"
    assert phone.evaluate(background) == "rgb(20, 23, 28)"

    grid.run(run_ids[0], 150)
    wide.get_by_text("150/200").wait_for()
    for run_id in run_ids[:6]:
        grid.finish(run_id)
    grid.run(run_ids[6], 20)
    grid.fail(run_ids[7], "no room")
    wide.get_by_text("6 of 12 finished").wait_for()
    wide.get_by_text("RuntimeError: no room").wait_for()
    assert "1 failed" in wide.locator("#counts").inner_text()
    assert "left" in wide.locator("#note").inner_text()
    cells = wide.locator("#scores tr").first.locator("td").all_inner_texts()
    assert len(cells) == 3
    assert cells[0].endswith("1/2")

    wide.locator("#show-report:not([disabled])").click()  # there is one as soon as there are results
    report = wide.frame_locator("#report-view iframe")
    report.get_by_text("6 runs").first.wait_for()
    assert report.locator("#figure1 svg .mark").count() > 0
    report.locator("#theme").click()  # who uses the report keeps it until they ask for the newer one
    for run_id in [run_ids[6], *run_ids[8:]]:
        grid.finish(run_id)
    phone.get_by_text("11 of 12 finished").wait_for()
    phone.locator("#report-view iframe:not(.coming)").wait_for()  # of itself, since all have ended
    phone.frame_locator("#report-view iframe:not(.coming)").get_by_text("11 runs").first.wait_for()
    assert "All have ended. The report has 11 runs." in phone.locator("#note").inner_text()
    assert report.get_by_text("11 runs").count() == 0
    wide.locator("#newer").click()
    wide.frame_locator("#report-view iframe:not(.coming)").get_by_text("11 runs").first.wait_for()

    for page in (wide, phone):
        assert page.evaluate("window.same"), "it was never loaded again"
        assert fits(page)
        assert page.locator("#report-view iframe").count() == 1
        box = page.locator("#report-view iframe").bounding_box()
        assert box["height"] > 0.5 * page.viewport_size["height"]
    assert (following.problems, following.elsewhere) == ([], [])

    following.process.terminate()
    wide.get_by_text("The server no longer answers").wait_for()
