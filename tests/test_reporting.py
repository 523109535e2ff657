"""A bar on a terminal, plain lines elsewhere, and the same numbers on disk in either case."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from compress.training import reporting
from compress.training.reporting import Reporter
from tests.conftest import ROOT


def test_rows_are_json_lines_and_what_is_no_number_is_null(tmp_path: Path) -> None:
    with Reporter(tmp_path, "t") as reporter:
        reporter.log({"global_step": 1, "loss": 0.5})
        reporter.log({"global_step": 2, "loss": float("nan")})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{"global_step": 1, "loss": 0.5}, {"global_step": 2, "loss": None}]


def test_rows_are_on_disk_even_if_the_experiment_dies(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Reporter(tmp_path, "t") as reporter:  # noqa: PT012
        reporter.log({"global_step": 1})
        raise RuntimeError
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 1


def test_rows_reach_the_disk_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "FLUSH_SECONDS", 0.0)
    with Reporter(tmp_path, "t") as reporter:
        time.sleep(0.01)
        reporter.log({"global_step": 1})
        assert (tmp_path / "metrics.jsonl").is_file()


def test_without_a_terminal_plain_lines_come_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 3))  # every look at the clock is three seconds later
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with Reporter(tmp_path, "rte tiny") as reporter:
        for step in range(1, 31):
            reporter.progress(step, 30, 0.25 if step % 10 == 0 else None)
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) < 15
    assert lines[-1].startswith("rte tiny: step 30/30  loss 0.250")
    assert all("steps/s" in line and "s left" in line for line in lines)
    assert all("\r" not in line for line in lines)


def test_a_resumed_run_tells_its_own_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the steps which an earlier process took, nor of the time before its first step."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Reporter(tmp_path, "rte tiny") as reporter:
        now[0] += 9.0
        for step in range(81, 101):
            now[0] += 2.0
            reporter.progress(step, 100, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["rte tiny: step 81/100", "rte tiny: step 87/100  0.5 steps/s  26 s left"]


def test_on_a_terminal_a_bar_shows_loss_rate_and_time_left(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from compress.training.reporting import Reporter
with Reporter(Path({str(tmp_path)!r}), "rte tiny") as reporter:
    for step in range(1, 41):
        time.sleep(0.02)
        reporter.progress(step, 40, 0.5 if step % 4 == 0 else None)
    reporter.say("done")
"""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=inside, stderr=inside, cwd=ROOT)
    os.close(inside)
    shown = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:
            break
        shown += chunk
    assert child.wait() == 0
    text = shown.decode()
    assert "rte tiny:" in text
    assert "loss=0.500" in text
    assert "step/s" in text
    assert "/40 [" in text
    assert text.rstrip().endswith("done")


def test_progress_is_on_disk_while_it_runs_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "FLUSH_SECONDS", 0.0)
    with Reporter(tmp_path, "rte tiny") as reporter:
        started = time.time()
        time.sleep(0.01)
        reporter.progress(5, 10, 0.5)
        at = json.loads((tmp_path / "progress.json").read_text())
        assert at["seconds_left"] is None, "with one step, nobody knows"
        time.sleep(0.01)
        reporter.progress(6, 10, 0.5)
        at = json.loads((tmp_path / "progress.json").read_text())
        assert {key: at[key] for key in ("what", "unit", "done", "total", "loss", "pid")} == {
            "what": "rte tiny", "unit": "step", "done": 6, "total": 10, "loss": 0.5, "pid": os.getpid(),
        }  # fmt: skip
        assert 0 < at["seconds_left"] < 60
        assert started <= at["time"] <= time.time()
    assert not (tmp_path / "progress.json").exists()
