"""A page for this machine's browser: what it has, whom it answers, when the report is made anew."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis import cli
from analysis.read.grid import Cell, Finished, Grid
from analysis.report import serve
from analysis.report.serve import Builder, Server
from tests.conftest import ROOT

EMPTY = Grid([], [], [], [], None, "nothing")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(0, *serve.page(Path("/some/where/<runs>")))
    made.tell({"total": 3}, b"the report")
    with serve._answering(made):
        yield made


def asked(server: Server, path: str, method: str = "GET", host: str | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest(method, path, skip_host=host is not None)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    return connection.getresponse()


def test_it_has_a_page_its_state_and_the_report(server: Server) -> None:
    page = asked(server, "/")
    body = page.read().decode()
    assert page.status == 200
    assert "default-src 'none'" in str(page.getheader("Content-Security-Policy"))
    assert "/some/where/&lt;runs&gt;" in body
    assert not [word for word in ("http://", "https://", "src=") if word in body.replace("frame.src =", "")]
    assert json.loads(asked(server, "/state.json").read()) == {"total": 3}
    assert asked(server, "/report.html?7").read() == b"the report"
    assert asked(server, "/report.html", "HEAD").read() == b""


@pytest.mark.parametrize(
    "path",
    ["/runs", "/..", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/report.html/..", "/index.html",
     "/.sweeps/first/plan.json", "http://127.0.0.1/etc/passwd", "/state.json%00", "*"],
)  # fmt: skip
def test_there_is_nothing_else(server: Server, path: str) -> None:
    answer = asked(server, path)
    assert answer.status == 404
    assert answer.read() == b"not here\n"


def test_nothing_is_taken(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert asked(server, "/", method).status == 501


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "0.0.0.0"])
def test_other_names_for_this_machine_are_refused(server: Server, host: str) -> None:
    """A page from elsewhere whose name is made to mean this machine reads nothing."""
    answer = asked(server, "/state.json", host=host)
    assert answer.status == 403
    assert b"total" not in answer.read()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:1", "[::1]:80"])
def test_a_forwarded_port_is_fine(server: Server, host: str) -> None:
    assert asked(server, "/state.json", host=host).status == 200


def test_only_this_machine_is_listened_to(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_one_line(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for port, why in ((server.server_address[1], "in use"), (70000, "65535"), (-1, "65535")):
        assert cli.main(["report", str(tmp_path), "--serve", f"--port={port}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: --port {port}: ")
        assert why in line
        assert line.endswith("give another, 0 takes one that is free")


@pytest.mark.parametrize(
    ("words", "told"),
    [(["nowhere", "--serve"], "nowhere: no such folder"), ([".", "--serve", "--source", "wandb"], "--source wandb: "),
     ([".", "--serve", "--bootstrap", "3"], "bootstrap 3: "), ([".", "--serve", "--pdf"], "--pdf: not"),
     (["."], "--out DIR or --serve is required"),
     ([".", "--out", "x", "--port", "1"], "--port 1: belongs to --serve")],
)  # fmt: skip
def test_wrong_input_is_one_line(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {told}")
    assert list(tmp_path.iterdir()) == []


# --- when the report is made ------------------------------------------------------------------------------------------


def grid(stamp: object, *, others: int = 1) -> Grid:
    done = Finished(Cell("a" * 12, "rte", "tiny", "none", 0), {"glue": 50.0}, 100, ())
    return Grid([done], [], [], [Cell("b" * 12, "rte", "tiny", "none", 1)] * others, None, stamp)


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[Builder]:
    """Its command writes a report of one line, or says why it does not."""
    code = "import sys, pathlib; out = pathlib.Path(sys.argv[-1]); out.mkdir(exist_ok=True);\
(out / 'report.html').write_text('made'); sys.exit(pathlib.Path('broken').exists() and 'error: it is broken')"
    made = Builder([sys.executable, "-c", code], tmp_path / "out", tmp_path)
    yield made
    made.stop()


def wait(builder: Builder) -> None:
    assert builder.process is not None
    builder.process.wait(60)


def test_a_report_is_made_when_results_change_and_rests_as_its_cost_tells(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("analysis.report.serve.time.monotonic", lambda: clock[0])
    builder.step(EMPTY)
    assert builder.process is None, "there is nothing to report"
    builder.step(grid(1))
    wait(builder)
    clock[0] += 20.0  # it took so long
    builder.step(grid(2))
    assert (builder.page, builder.version, builder.runs) == (b"made", 1, 1)
    assert builder.process is None, "although results have changed"
    clock[0] += serve.REST * 20.0 - 1
    builder.step(grid(2))
    assert builder.process is None
    clock[0] += 2.0
    builder.step(grid(2))
    wait(builder)
    builder.step(grid(2))
    assert builder.version == 2
    clock[0] += 10_000
    builder.step(grid(2))
    assert builder.process is None, "nothing has changed"
    builder.step(grid(3))
    wait(builder)
    builder.step(grid(4, others=0))
    assert builder.process is not None, "the last one is made at once"


def test_why_there_is_no_report_is_told_and_the_one_before_stays(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    builder.step(grid(1, others=0))
    wait(builder)
    builder.step(grid(1, others=0))
    Path("broken").touch()
    builder.step(grid(2, others=0))
    wait(builder)
    builder.step(grid(2, others=0))
    assert builder.process is None, "the same results would not make one either"
    assert (builder.page, builder.error) == (b"made", "it is broken")
    told = serve.state(Path("runs"), grid(2, others=0), builder, "glue")
    assert "The report could not be made: it is broken" in str(told["note"])


# --- the command ------------------------------------------------------------------------------------------------------


def test_it_ends_cleanly_and_leaves_nothing(tmp_path: Path) -> None:
    """With nothing run yet, too; a signal that asks to end is as good as Ctrl-C."""
    place = os.environ | {"TMPDIR": str(tmp_path / "scratch"), "PYTHONPATH": str(ROOT)}
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runs").mkdir()
    command = [sys.executable, "-m", "analysis", "report", str(tmp_path / "runs"), "--serve", "--port", "0"]
    process = subprocess.Popen(command, env=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = line.split()[0]
        assert address.startswith("http://127.0.0.1:")
        port = int(address.rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/state.json")
        told = json.loads(connection.getresponse().read())
        assert told["total"] == 0
        assert told["note"] == "There is a report once an experiment is finished."
        process.terminate()
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (143, "")
    finally:
        process.kill()
        process.wait()
    assert list((tmp_path / "scratch").iterdir()) == []
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def test_ctrl_c_is_how_it_is_meant_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.report.serve.time.sleep", interrupt)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = time.monotonic()
    assert cli.main(["report", str(tmp_path), "--serve", "--port", "0"]) == 0
    assert time.monotonic() - before < 20
    assert list(tmp_path.iterdir()) == []
