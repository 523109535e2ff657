"""The report on paper: A4, all of it open, nothing wider than a page, charts as vectors."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from analysis import cli
from analysis.options import Options
from analysis.read import results
from analysis.report import pdf, report
from tests import grids
from tests.browser.conftest import CHROMIUM, Open, missing


@pytest.fixture(scope="session")
def paper_file(report_file: Path) -> Path:
    """The page that is printed, over the runs of `report_file`."""
    found, options = results.read_runs(report_file.parent / "runs"), Options(bootstrap=0)
    path = report_file.with_name("paper.html")
    path.write_text(report.page(found, options, report.findings(found, options), on_paper=True), encoding="utf-8")
    return path


def test_nothing_is_folded_cut_off_or_wider_than_the_page(open_page: Open, paper_file: Path) -> None:
    opened = open_page(paper_file, (pdf.WIDTH, 1000))
    opened.page.emulate_media(media="print")
    assert opened.problems == []
    assert opened.page.evaluate("[...document.querySelectorAll('details')].every((one) => one.open)")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= pdf.WIDTH
    rights = opened.page.evaluate(
        "[...document.querySelectorAll('main table, main svg, main pre')].map((one) => "
        "one.getBoundingClientRect().right)"
    )
    assert max(rights) <= pdf.WIDTH + 1
    hidden = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollHeight > box.clientHeight + 2).length"
    assert opened.page.evaluate(hidden) == 0
    assert not opened.page.locator("nav").is_visible()
    assert opened.page.locator("#figure1 svg .mark").count() > 0


def test_it_is_printed_on_a4_with_charts_as_vectors(paper_file: Path, tmp_path: Path) -> None:
    if not CHROMIUM.is_file():
        missing(str(CHROMIUM))
    pdf.write(paper_file.read_text(encoding="utf-8"), tmp_path / "report.pdf", pdf.browser())
    content = (tmp_path / "report.pdf").read_bytes()
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", content)
    assert len(boxes) >= 4
    assert {(round(float(width)), round(float(height))) for width, height in boxes} == {(595, 842)}
    assert b"/Subtype /Image" not in content
    streams = re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)
    drawn = b"".join(zlib.decompress(stream) for stream in streams if stream[:1] == b"x")
    assert drawn.count(b" c\n") > 100  # curves of markers


def test_without_a_browser_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for methods in ("none", "quantize"):
        grids.write_run(tmp_path / "runs", grids.document("rte", "tiny", methods, 60.0))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(pdf, "BROWSERS", pdf.BROWSERS[:-1])
    assert (
        cli.main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--pdf", "--bootstrap", "0"]) == 2
    )
    told = capsys.readouterr().err
    assert told.startswith("error: --pdf: is printed by Chromium, Chrome or Edge, and none of them is on the PATH; ")
    assert not list((tmp_path / "out").glob("*"))
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho no display >&2\nexit 1\n")
    broken.chmod(0o755)
    assert (
        cli.main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--pdf", "--bootstrap", "0"]) == 2
    )
    assert "printed nothing (no display); print report.html by hand" in capsys.readouterr().err
    assert not (tmp_path / "out" / "report.pdf").exists()
