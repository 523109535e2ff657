"""Cancelling and running again some experiments: by words, state or sweep; `tests/test_scheduler.py` has the jobs."""

from __future__ import annotations

# ruff: noqa: F811 - fixtures of another module
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from compress.errors import ConfigError
from launch import cli, selection, status, submitted
from launch.experiments import CANCELLED
from launch.selection import Selection
from launch.sweep import Sweep
from tests.test_scheduler import Slurm, slurm, submit  # noqa: F401 - a fixture
from tests.test_status import sweep_of

A, B, C, D, E = (letter * 12 for letter in "abcde")


@pytest.fixture
def mixed(slurm: Slurm, tmp_path: Path) -> Sweep:
    """A and B packed into a job, C in one of its own and D behind its teacher E; B is of another task."""
    found = sweep_of(tmp_path, "2026-first", A, B, C, D, E)
    every = found.experiments | {B: replace(found.experiments[B], task="sst2", folder=f"sst2/tiny/none/{B}"),
                                 D: replace(found.experiments[D], teacher=E, methods="distill")}  # fmt: skip
    found = Sweep(found.folder, {"name": "slurm"}, every.values(), found.to_run)
    found.write()
    submit(slurm, found, "34", [A, B], state="RUNNING")
    for number, run_id in (("35", C), ("36", D), ("37", E)):
        submit(slurm, found, number, [run_id])
    slurm.jobs["36"] = (*slurm.jobs["36"][:2], "Dependency")
    return found


def states(runs: Path) -> dict[str, tuple[str, str]]:
    return {one.run_id: (one.state, one.detail) for one in status.survey(runs).experiments}


def test_jobs_of_which_all_is_meant_are_cancelled_and_of_others_what_is_meant_is_taken_out(
    slurm: Slurm,
    mixed: Sweep,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = str(mixed.runs)
    assert cli.main(["cancel", runs, "--state", "pending", "sst2"]) == 0
    assert capsys.readouterr().out.startswith(
        "cancel 1 experiment (1 pending): sst2 tiny none seed 0\n"
        "0 jobs cancelled, 1 experiment taken out of workers and other jobs; "
    )
    assert slurm.jobs.keys() == {"34", "35", "36", "37"}
    assert states(mixed.runs)[B] == ("failed", CANCELLED)
    assert states(mixed.runs)[A][0] == "running"
    assert cli.main(["cancel", runs, "none", "--yes"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cancel 3 experiments (1 running, 2 pending): rte tiny none seed 0; ")
    assert "; 1 student is stopped with them\n3 jobs cancelled, " in out
    assert slurm.jobs.keys() == {"36"}
    found = states(mixed.runs)
    assert {found[run_id] for run_id in (A, B, C, E)} == {("failed", CANCELLED)}
    assert found[D][0] == "waiting"
    assert cli.main(["cancel", runs, "none"]) == 0
    assert capsys.readouterr().out == "nothing to cancel: none of the chosen experiments runs or waits\n"


def test_what_is_meant_is_chosen_by_words_states_and_sweep(mixed: Sweep) -> None:
    later = sweep_of(mixed.runs, "2027-second", C)
    every, sweeps = status.survey(mixed.runs).experiments, [mixed, later]

    def meant(*words: str, states: str = "", sweep: str | None = None) -> set[str]:
        chosen = Selection(words, states.split(",") if states else [], sweep)
        return {one.run_id for one in chosen.of(mixed.runs, every, sweeps)}

    assert meant() == {A, B, C, D, E}
    assert meant("rte", "distill") == {D}
    assert meant("bbbb") == {B}
    assert meant(states="waiting") == {D}
    assert meant("rte", states="running,waiting") == {A, D}
    assert meant(sweep="last") == meant(sweep="2027") == {C}
    assert meant(sweep="2026-first", states="pending") == {B, C, E}
    with pytest.raises(ConfigError, match=r"rte tinny: no experiment in .* has all these words in its name"):
        meant("rte", "tinny")
    with pytest.raises(
        ConfigError, match=r"--sweep 202: 2 sweeps in .* must be last, or the beginning of one of 2026-"
    ):
        meant(sweep="202")


def test_a_state_that_is_none_is_refused(mixed: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cancel", str(mixed.runs), "--state", "pendign"]) == 2
    assert capsys.readouterr().err == (
        "error: --state pendign: must be of running, waiting, pending, unknown (did you mean pending?)\n"
    )
    assert cli.main(["retry", str(mixed.runs), "--state", "finished"]) == 2
    assert capsys.readouterr().err.startswith("error: --state finished: must be of stopped, failed, missing")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("", 1)])
def test_on_a_terminal_it_is_asked_first(
    slurm: Slurm, mixed: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    answer: str, code: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(selection, "can_be_asked", lambda: True)
    monkeypatch.setattr("launch.cancel.can_be_asked", lambda: True)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    for words in ([], ["--state", "pending"]):
        before = len(slurm.jobs)
        assert cli.main(["cancel", str(mixed.runs), *words]) == code
        assert "cancel " in capsys.readouterr().err
        assert (len(slurm.jobs) < before) == (code == 0 and before > 0)
        submitted.return_borrowed(mixed.folder)
        if code == 0:
            return
