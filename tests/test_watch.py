"""A page that follows a folder of runs, drawn at any size, on a terminal that is afterwards as it was before."""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from compress.config.resources import Needs
from compress.runs.folder import PROGRESS, ExperimentLock, Progress
from compress.storage.files import write_json
from launch import scheduler, status, submitted, watch
from launch.experiments import Outcome, Planned
from launch.forecast import Forecast, forecast
from launch.scheduler import Job
from launch.status import Memory, Status, Survey, survey
from launch.sweep import Sweep
from tests import grids
from tests.conftest import ROOT

LONG = "ConfigError: model.pretrained=google/bert: could not be loaded from the hub or its cache: no network is there"
SIZES = [(80, 24), (40, 10), (100, 30), (140, 50)]


class Going(Sweep):
    """A sweep, and how what runs of it ends."""

    lock: ExperimentLock
    worker: int

    def end(self) -> None:
        for letter in "bc":
            self.record(Outcome(letter * 12, "failed", 1.0, "ValueError: no"))
        self.lock.release()
        with suppress(OSError):
            os.close(self.worker)


def planned(task: str, seed: int, run_id: str, teacher: str | None = None, seconds: float = 10.0) -> Planned:
    folder = f"{task}/tiny/none/{run_id}"
    return Planned(run_id, folder, task, "tiny", "none", seed, teacher, False, seconds, Needs(0, 1, None, 10.0),
                   {"force": False})  # fmt: skip


def sweep_of(runs: Path, *experiments: Planned, launcher: str = "local") -> Going:
    made = Going(runs / ".sweeps" / "first", {"name": launcher}, experiments, [one.run_id for one in experiments])
    made.write()
    return made


def at(done: int, total: int, left: float | None, since: float = 60.0) -> Progress:
    now = time.time()
    return Progress("rte tiny", "step", done, total, 0.625, left, "node7", 1, now, 2.5, now - since)


# --- how long the rest takes ------------------------------------------------------------------------------------------


def test_what_remains_goes_to_as_many_places_as_run_at_once_by_the_speed_so_far(tmp_path: Path) -> None:
    run_ids = [f"{number:012x}" for number in range(7)]
    made = sweep_of(tmp_path, *(planned("rte", seed, run_id) for seed, run_id in enumerate(run_ids)))
    going = dict.fromkeys(run_ids[1:], made)
    assert forecast(going, {}) == Forecast(None, 0), "nothing has run yet"
    running = {run_ids[1]: at(50, 100, 5.0), run_ids[2]: None}
    assert forecast(going, running).seconds_left == pytest.approx(30, abs=1), "5 10 10; 10 10 of each 10 s, as planned"
    made.record(Outcome(run_ids[0], "finished", 40.0))
    told = forecast(going, running)
    assert told.at_once == 2
    assert told.seconds_left == pytest.approx(120, abs=1), "5 40 40; 40 40 40: four times as long as planned"


def test_places_that_were_seen_before_count_while_one_is_between_two_experiments(tmp_path: Path) -> None:
    run_ids = [f"{number:012x}" for number in range(5)]
    made = sweep_of(tmp_path, *(planned("rte", seed, run_id) for seed, run_id in enumerate(run_ids)))
    for run_id in run_ids[:2]:
        made.record(Outcome(run_id, "finished", 10.0))
    assert forecast(dict.fromkeys(run_ids[2:], made), {run_ids[2]: None}).at_once == 2


def test_a_student_is_forecast_after_its_teacher(tmp_path: Path) -> None:
    teacher, student = planned("rte", 0, "a" * 12), planned("rte", 1, "b" * 12, "a" * 12, seconds=7.0)
    made = sweep_of(tmp_path, teacher, student, planned("rte", 2, "c" * 12))
    running = {"a" * 12: at(1, 2, 4.0), "c" * 12: at(1, 2, 1.0)}
    told = forecast({letter * 12: made for letter in "abc"}, running)
    assert told.seconds_left == pytest.approx(11, abs=0.5)


# --- one document -----------------------------------------------------------------------------------------------------


def test_the_document_has_progress_the_time_left_and_failures_by_cause(tmp_path: Path) -> None:
    run_ids = [letter * 12 for letter in "abcd"]
    made = sweep_of(tmp_path, *(planned("rte", seed, run_id) for seed, run_id in enumerate(run_ids)))
    made.record(Outcome("a" * 12, "failed", 1.0, LONG))
    made.record(Outcome("b" * 12, "failed", 1.0, LONG))
    write_json(made.run_folder("c" * 12) / PROGRESS, asdict(at(50, 100, 1000.0)))
    lock = ExperimentLock(tmp_path, "c" * 12)
    assert lock.take()
    descriptor = made.sign_in(0)
    try:
        done = subprocess.run([sys.executable, "-m", "launch", "status", str(tmp_path), "--json"], cwd=ROOT,
                              capture_output=True, text=True, check=True)  # fmt: skip
    finally:
        os.close(descriptor)
        lock.release()
    told = json.loads(done.stdout)
    (cause,) = told["failures"]
    assert (cause["cause"], cause["run_ids"]) == (LONG, ["a" * 12, "b" * 12])
    by_id = {entry["run_id"]: entry for entry in told["experiments"]}
    assert by_id["c" * 12]["progress"]["done"] == 50
    assert by_id["c" * 12]["progress"]["rate"] == 2.5
    assert by_id["d" * 12]["progress"] is None
    assert 900 < told["seconds_left"] <= 1010
    assert told["at_once"] >= 1
    assert {"runs", "unanswered", "counts", "experiments"} <= told.keys()


# --- the page ---------------------------------------------------------------------------------------------------------


def drawn(found: Survey, width: int, height: int, notes: list[str] | None = None) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False)
    with console.capture() as said:
        console.print(watch.Page(Path("/some/where/runs"), found, lambda: notes or []))
    return said.get().splitlines()


def grid(running: int, failed: int) -> Survey:
    """100 experiments, 40 of them finished."""
    states = ["finished"] * 40 + ["running"] * running + ["failed"] * failed
    states += ["pending"] * (100 - len(states))
    found = []
    for number, state in enumerate(states):
        far = at(number, 1200, 60.0 * number) if state == "running" else None
        said = {"failed": LONG if number % 2 else "killed by SIGKILL (out of memory?)", "running": "starting"}
        left = far.seconds_left if far else None
        found.append(Status(f"{number:012x}", "mnli", "medium", "quantize+distill+prune", state, said.get(state, ""),
                            "", "34_7" if far else None, left, number, far))  # fmt: skip
    return Survey(found, None, Forecast(7200.0, running))


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize(("running", "failed"), [(0, 0), (2, 0), (2, 20), (50, 5)])
def test_the_page_fits_a_terminal_of_any_size(width: int, height: int, running: int, failed: int) -> None:
    lines = drawn(grid(running, failed), width, height, ["a sweep is left out: plan.json"])
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    said = "\n".join(lines)
    assert "40/100 40 %" in said
    assert "40 finished" in said
    assert "2.0 h left" in said
    assert "a sweep is left out" in said
    if running:
        assert "40/1200" in said
    if running > height:
        assert re.search(r"… and \d+ more run", said)
    if failed and height > 20:
        assert "× killed by SIGKILL (out of memory?)" in said


def test_a_wide_page_says_what_a_narrow_one_has_no_room_for() -> None:
    narrow, wide = ("\n".join(drawn(grid(2, 2), *size)) for size in ((80, 24), (140, 50)))
    assert "node7 job 34_7" in wide
    assert LONG in wide
    assert "finished / all" in wide
    assert "node7" not in narrow
    assert "0.625" in narrow
    assert "mnli medium quantize+distill+prune seed 40" in wide


def test_it_says_why_nothing_runs() -> None:
    waiting = Status("a" * 12, "rte", "tiny", "none", "pending", "Priority")
    said = "\n".join(drawn(Survey([waiting], "SLURM does not answer (squeue: away)"), 80, 24))
    assert "nothing runs; most wait for Priority" in said
    assert "time left: not known yet" in said
    assert "SLURM does not answer" in said


# --- on a terminal ----------------------------------------------------------------------------------------------------


class Terminal:
    """A command in a terminal of its own, and all that it has written."""

    def __init__(self, *words: str, columns: int = 80, lines: int = 24) -> None:
        self.outside, self.inside = pty.openpty()
        fcntl.ioctl(self.inside, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(self.inside)
        self.written = b""
        place = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}  # of another
        place |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        self.child = subprocess.Popen([sys.executable, "-m", *words], stdin=self.inside, stdout=self.inside,
                                      stderr=self.inside, env=place, cwd=ROOT)  # fmt: skip

    def read(self, seconds: float = 0.1) -> None:
        with suppress(OSError):
            while select.select([self.outside], [], [], seconds)[0]:
                self.written += os.read(self.outside, 65536)
                seconds = 0.0

    def until(self, said: bytes) -> None:
        deadline = time.monotonic() + 60
        while said not in self.written:
            assert time.monotonic() < deadline, self.written[-3000:].decode(errors="replace")
            assert self.child.poll() is None, self.written.decode(errors="replace")
            self.read()

    def end(self) -> int:
        deadline = time.monotonic() + 60
        while self.child.poll() is None and time.monotonic() < deadline:
            self.read()
        self.read()
        return self.child.wait(1)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.outside)
        os.close(self.inside)


@pytest.fixture
def going(tmp_path: Path) -> Iterator[Going]:
    """A sweep with a finished, a failed and a running experiment, and one that a live worker will run."""
    document = grids.document("rte", "tiny", "none", 80.0)
    first = planned("rte", 0, document["run_id"])
    made = sweep_of(tmp_path, first, *(planned("rte", seed, letter * 12) for seed, letter in enumerate("abc", 1)))
    grids.write_run(tmp_path, document)
    made.record(Outcome(first.run_id, "finished", 10.0))
    made.record(Outcome("a" * 12, "failed", 1.0, LONG))
    write_json(made.run_folder("b" * 12) / PROGRESS, asdict(at(50, 100, 20.0)))
    made.lock, made.worker = ExperimentLock(tmp_path, "b" * 12), made.sign_in(0)
    assert made.lock.take()
    yield made
    made.end()


def restored(terminal: Terminal) -> None:
    """It is as it was: no second screen, a cursor, the settings that it had; and nothing ever cleared it."""
    written = terminal.written
    assert written.count(b"\x1b[?1049h") == written.count(b"\x1b[?1049l") == 1
    assert written.rindex(b"\x1b[?25h") > written.rindex(b"\x1b[?25l")
    assert b"\x1b[2J" not in written
    assert termios.tcgetattr(terminal.inside) == terminal.before


def test_a_page_is_drawn_over_itself_grows_with_the_terminal_and_ends_with_the_grid(going: Going) -> None:
    terminal = Terminal("launch", "status", str(going.runs), "--watch")
    try:
        terminal.until(b"50/100")
        fcntl.ioctl(terminal.inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        terminal.until(b"node7")
        write_json(going.run_folder("b" * 12) / PROGRESS, asdict(at(75, 100, 10.0)))
        terminal.until(b"75/100")
        going.end()
        assert terminal.end() == 0
        restored(terminal)
    finally:
        terminal.close()
    page, _, after = terminal.written.partition(b"\x1b[?1049l")
    assert b"4 experiments: 1 finished, 3 failed" in after
    first = page.split(b"\x1b[H")[2].decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", first).splitlines()
    assert len(plain) == 24
    assert max(map(len, plain)) <= 80
    assert "1 finished  1 running  1 pending  1 failed" in "\n".join(plain)
    assert "ConfigError: model.pretrained=google/bert" in "\n".join(plain)


@pytest.mark.parametrize(
    ("at_once", "signum"), [(True, signal.SIGINT), (False, signal.SIGINT), (False, signal.SIGTERM)]
)
def test_who_leaves_has_the_terminal_as_it_was(going: Going, at_once: bool, signum: signal.Signals) -> None:
    """Also if the signal comes while the second screen is being set up."""
    terminal = Terminal("launch", "status", str(going.runs), "--watch")
    try:
        terminal.until(b"\x1b[?1049h" if at_once else b"50/100")
        terminal.child.send_signal(signum)
        assert terminal.end() == 128 + signum
        restored(terminal)
        assert b"Traceback" not in terminal.written
    finally:
        terminal.close()


def test_without_a_terminal_a_line_says_what_has_changed(going: Going, capsys: pytest.CaptureFixture[str]) -> None:
    """One now, each cause of failures once, and everything at the end."""
    lines: list[list[str]] = []

    def pause(started: float) -> None:
        lines.append(capsys.readouterr().out.splitlines())
        assert len(lines) < 3
        if len(lines) == 2:
            going.end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "_pause", pause)
        patch.setattr(watch, "LINE_SECONDS", 0.0)
        ended = watch.watch(going.runs, as_json=False)
    assert lines[0][0] == f"failed: rte tiny none seed 1: {LONG}"
    assert "4 experiments: 1 finished, 1 running, 1 pending, 1 failed; about " in lines[0][1]
    assert len(lines[0]) == 2
    assert len(lines) == 2
    assert {one.state for one in ended.experiments} == {"finished", "failed"}


def test_what_has_just_been_planned_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers may be about to start; what nobody begins with is told in the end."""
    made, pauses = sweep_of(tmp_path, planned("rte", 0, "a" * 12)), list[float]()

    def pause(started: float) -> None:
        pauses.append(started)
        os.utime(made.folder / "plan.json", (1.0, 1.0))  # as if it were long ago

    monkeypatch.setattr(watch, "_pause", pause)
    ended = watch.watch(tmp_path, as_json=False)
    assert len(pauses) == 1
    assert [one.state for one in ended.experiments] == ["missing"]


# --- what need not be asked again ------------------------------------------------------------------------------------


def test_slurm_is_asked_rarely_and_soon_about_what_was_submitted_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sweep_of(tmp_path, planned("rte", 0, "a" * 12), planned("rte", 1, "b" * 12), launcher="slurm")
    submitted.confirm(made.folder, submitted.intend(made.folder, [["a" * 12]]), "7")
    clock, asked = [0.0], list[float]()

    def queue(sweeps) -> dict[str, Job]:
        asked.append(clock[0])
        return {job: Job("PENDING", "Priority", "") for one in sweeps for job in one.open_jobs().values()}

    monkeypatch.setattr(scheduler, "queue", queue)
    monkeypatch.setattr("launch.status.time.monotonic", lambda: clock[0])
    memory = Memory()

    def look(seconds: float) -> dict[str, tuple[str, str]]:
        clock[0] += seconds
        return {one.run_id[0]: (one.state, one.detail) for one in survey(tmp_path, memory=memory).experiments}

    for _ in range(600):
        assert look(1.0)["a"] == ("pending", "Priority")
    assert len(asked) < 12
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert gaps == sorted(gaps), "ever more rarely, while nothing changes"
    assert max(gaps) <= status.SELDOM_SECONDS + 1
    last = len(asked)
    assert memory.queue is not None
    memory.queue.asked = clock[0]  # it was asked just before
    submitted.confirm(made.folder, submitted.intend(made.folder, [["b" * 12]]), "8")
    assert look(1.0)["b"] == ("pending", "just submitted")
    assert look(status.AGAIN_SECONDS)["b"] == ("pending", "Priority")
    assert len(asked) == last + 1


def test_plans_and_results_are_read_once_while_they_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = grids.document("rte", "tiny", "none", 80.0)
    sweep_of(tmp_path, planned("rte", 0, document["run_id"]))
    folder, memory = grids.write_run(tmp_path, document), Memory()
    assert [one.state for one in survey(tmp_path, memory=memory).experiments] == ["finished"]
    monkeypatch.setattr(Sweep, "read", lambda folder: pytest.fail("the plan was read again"))
    monkeypatch.setattr("launch.status.result.read", lambda *what: pytest.fail("the result was read again"))
    assert [one.state for one in survey(tmp_path, memory=memory).experiments] == ["finished"]
    monkeypatch.undo()
    (folder / "result.json").unlink()
    assert [one.state for one in survey(tmp_path, memory=memory).experiments] == ["missing"]
