"""Chromium without a window, and report.html of a made-up collection opened in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from analysis.options import Options
from analysis.read import results
from tests import conftest, crossings, grids

CHROMIUM = Path("/usr/bin/chromium")
WIDE, PHONE = (1280, 900), (390, 844)


def missing(what: str) -> NoReturn:
    """As `tests.conftest.missing`, with what to do."""
    conftest.missing(f"{what} is not here: pip install playwright; apt-get install chromium")


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """A browser, closed before other tests look for processes that are left."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("the package playwright")
    if not CHROMIUM.is_file():
        missing(str(CHROMIUM))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def write_report(folder: Path, documents: list[dict[str, Any]]) -> Path:
    """Run folders with curves and latencies, and the report over them."""
    from analysis.report import report

    for made in documents:
        run = grids.write_run(folder / "runs", made)
        crossings.write_training(run)
        crossings.write_latency(run, made)
    options = Options(bootstrap=100)
    found = results.read_runs(folder / "runs")
    path = folder / "report.html"
    path.write_text(report.page(found, options, report.findings(found, options)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models, three tasks, eight subsets, two seeds, two sparsities; rte lacks the pruned runs of base."""
    folder = tmp_path_factory.mktemp("report")
    made = crossings.crossing(("cola", "stsb", "rte"), ("tiny", "small", "base"), seeds=(0, 1), sparsities=(0.4, 0.6))
    kept = [run for run in made if not (run["task"] == "rte" and run["model"] == "base" and "prune" in run["methods"])]
    report = write_report(folder, kept)
    return report


@dataclass
class Opened:
    """A page, and what it did that it should not."""

    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Open a file at a width, in light or dark; every request but for the file itself is refused and noted."""
    contexts = []

    def opened(file: Path, size: tuple[int, int] = WIDE, scheme: str = "light") -> Opened:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(5000)
        made = Opened(context.new_page())
        address = file.as_uri()

        def decide(route: Any) -> None:
            if route.request.url == address:
                route.continue_()
            else:
                made.requests.append(route.request.url)
                route.abort()

        context.route("**/*", decide)
        made.page.on("console", lambda message: made.problems.append(message.text))
        made.page.on("pageerror", lambda error: made.problems.append(str(error)))
        made.page.goto(address)
        return made

    yield opened
    for context in contexts:
        context.close()
