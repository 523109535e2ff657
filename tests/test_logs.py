"""`python -m launch logs`, and failures that are alike."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from compress.errors import ConfigError
from compress.runs.folder import ExperimentLock
from launch import progress
from launch.cli import main
from launch.experiments import Outcome
from launch.logs import logs
from launch.sweep import Sweep
from tests.test_status import sweep_of

A, B, C = ("a" * 12, "b" * 12, "c" * 12)
ERROR = "10:00 begun\nTraceback (most recent call last):\n  File x\nValueError: no\n"


@pytest.fixture
def some(tmp_path: Path) -> Sweep:
    """Three experiments: one failed, one failed before it had a folder, one is missing and has a log."""
    sweep = sweep_of(tmp_path, "first", A, B, C)
    for run_id, text in ((A, ERROR), (C, "".join(f"line {number}\n" for number in range(30)))):
        sweep.run_folder(run_id).mkdir(parents=True)
        (sweep.run_folder(run_id) / "log.txt").write_text(text)
    sweep.record(Outcome(A, "failed", 1.0, "ValueError: no", str(sweep.run_folder(A) / "log.txt")))
    (sweep.folder / "logs" / f"{B}.txt").write_text("died early\n")
    sweep.record(Outcome(B, "failed", 1.0, "killed by SIGKILL", str(sweep.folder / "logs" / f"{B}.txt")))
    return sweep


def test_all_tracebacks_are_told_at_once(some: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    assert logs(some.runs, [], lines=20, follow=False) == 0
    log, other = some.run_folder(A) / "log.txt", some.folder / "logs" / f"{B}.txt"
    traceback = ERROR.split("\n", 1)[1]
    assert capsys.readouterr().out == (
        f"== rte tiny none seed 0, failed: ValueError: no  ({log})\n{traceback}\n"
        f"== rte tiny none seed 0, failed: killed by SIGKILL  ({other})\ndied early\n"
    )


def test_words_and_options_come_in_any_order(some: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["rte", "-n", "1", "cccc"], ["-n", "1", "rte", "cccc"], ["rte", "cccc", "-n", "1"]):
        assert main(["logs", str(some.runs), *words]) == 0
        assert capsys.readouterr().out.splitlines()[1:] == ["line 29"]


@pytest.mark.parametrize(("lines", "first"), [(20, 10), (3, 27), (0, 0)])
def test_an_experiments_log_ends_with_its_last_lines(
    some: Sweep, capsys: pytest.CaptureFixture[str], lines: int, first: int
) -> None:
    assert logs(some.runs, ["cccc"], lines=lines, follow=False) == 0
    heading, *said = capsys.readouterr().out.splitlines()
    assert heading.startswith("== rte tiny none seed 0, missing  (")
    assert said == [f"line {number}" for number in range(first, 30)]


def test_what_nobody_is_called_is_refused(some: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"rte tiny nome seed 0: no experiment .*did you mean rte tiny none seed 0"):
        logs(some.runs, ["rte", "tiny", "nome", "seed", "0"], lines=20, follow=False)
    with pytest.raises(ConfigError, match=r"rte: 3 experiments have these words .*name one to follow"):
        logs(some.runs, ["rte"], lines=20, follow=True)
    for run_id in (A, B):
        some.record(Outcome(run_id, "finished", 1.0))
    assert logs(sweep_of(some.runs, "second", C).runs, [], lines=20, follow=False) == 0
    assert capsys.readouterr().out == "no experiment has failed\n"


def test_a_log_is_followed_until_its_experiment_ends(some: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    lock, log = ExperimentLock(some.runs, C), some.run_folder(C) / "log.txt"
    assert lock.take()

    def go_on() -> None:
        for number in (30, 31):
            time.sleep(0.7)
            with log.open("a") as stream:
                stream.write(f"line {number}\n")
        lock.release()

    at_it = threading.Thread(target=go_on)
    at_it.start()
    assert logs(some.runs, [C], lines=2, follow=True) == 0
    at_it.join()
    assert capsys.readouterr().out.splitlines()[1:] == [f"line {number}" for number in (28, 29, 30, 31)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("its job 34_1 is gone: FAILED 1:0", "its job 7 is gone: FAILED 1:0", True),
        ("x (slurmstepd: error: *** STEP 34.0 ON n1 CANCELLED AT 2026-01-01T10:00:00 ***)",
         "x (slurmstepd: error: *** STEP 35.0 ON n22 CANCELLED AT 2026-01-01T10:01:00 ***)", True),
        ("exit code 1", "exit code 2", False),
        ("its teacher rte mini none seed 0 failed", "its teacher rte mini none seed 1 failed", False),
    ],
)  # fmt: skip
def test_causes_that_differ_in_their_jobs_alone_are_the_same(one: str, other: str, same: bool) -> None:
    assert (progress.essence(one) == progress.essence(other)) == same


def test_the_bar_says_what_runs_and_waits_and_how_long_all_takes(some: Sweep) -> None:
    (some.folder / "logs" / f"{C}.txt").touch()
    ended = {B: Outcome(B, "failed", 0.0, "x")}
    assert progress.standing(some, ended, 60.0) == "1 running, 1 pending, 1 failed"
    assert progress.standing(some, ended | {A: Outcome(A, "finished", 60.0)}, 60.0) == "1 running, 1 failed, 60 s left"


def test_many_failures_of_one_cause_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_ids = [f"{number:012d}" for number in range(384)]
    sweep = sweep_of(tmp_path, "first", *run_ids)
    causes = [f"its job 34_{number} is gone: CANCELLED by 0 0:0; it wrote no log" for number in range(382)]
    for run_id, cause in zip(run_ids[2:], causes, strict=True):
        sweep.record(Outcome(run_id, "failed", 0.0, cause))
    for run_id in run_ids[:2]:
        sweep.record(Outcome(run_id, "failed", 1.0, "ValueError: no"))
    ended = progress.follow(sweep, dict, poll=0.01)
    assert progress.conclude(sweep, ended, 1.0) == 1
    said = capsys.readouterr().out.splitlines()
    assert next(line for line in said if "CANCELLED" in line) == f"[384/384] 382 failed: {causes[0]}"
    assert sum("CANCELLED" in line for line in said) == 2
    assert sum("382 experiments: rte tiny none seed 0 …" in line for line in said) == 1
    assert sum("ValueError: no" in line for line in said) == 4
