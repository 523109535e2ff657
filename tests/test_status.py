"""What is told of a sweep from its files and the queue."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import pytest

from compress.config.resources import Needs
from compress.runs.folder import Progress
from compress.storage.files import write_json
from launch import progress, scheduler, status, submitted
from launch.experiments import Outcome, Planned
from launch.scheduler import Job
from launch.sweep import Sweep

NEEDS = Needs(0, 1, None, 10.0)


def sweep_of(runs: Path, name: str, *run_ids: str) -> Sweep:
    planned = [
        Planned(run_id, f"rte/tiny/none/{run_id}", "rte", "tiny", "none", 0, None, False, 1.0, NEEDS, {"force": False})
        for run_id in run_ids
    ]
    sweep = Sweep(runs / ".sweeps" / name, {"name": "slurm"}, planned, run_ids)
    sweep.write()
    return sweep


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Two experiments in a job that runs: one has failed, the other has not ended."""
    sweep = sweep_of(tmp_path, "first", "a" * 12, "b" * 12)
    submitted.confirm(sweep.folder, submitted.intend(sweep.folder, [sweep.to_run]), "7")
    sweep.record(Outcome("a" * 12, "failed", 1.0, "ValueError: no", "log.txt"))
    monkeypatch.setattr(scheduler, "queue", lambda sweeps: {"7": Job("RUNNING", "", "n1")})
    return sweep


def test_a_failed_experiment_is_told_while_its_job_goes_on_with_others(packed: Sweep) -> None:
    found = {entry.run_id[0]: (entry.state, entry.detail) for entry in status.survey(packed.runs).experiments}
    assert found == {"a": ("failed", "ValueError: no"), "b": ("running", "starting")}


def test_a_failed_experiment_is_submitted_again_while_its_job_goes_on_with_others(packed: Sweep) -> None:
    again = sweep_of(packed.runs, "again", *packed.to_run)
    assert scheduler.queued_elsewhere(again) == {"b" * 12: "7"}


@pytest.mark.parametrize(
    ("left", "shown"), [(None, ""), (45.4, "40 s"), (700.0, "12 min"), (9000.0, "2.5 h"), (3.0, "0 s")]
)
def test_the_time_left_is_told_once_it_is_known(
    packed: Sweep, monkeypatch: pytest.MonkeyPatch, left: float | None, shown: str
) -> None:
    """Less the five seconds that have passed since it was written."""
    folder = packed.run_folder("b" * 12)
    folder.mkdir(parents=True)
    at = Progress("rte tiny", "step", 1, 9, None, left, "here", 1, 1e9)
    write_json(folder / "progress.json", asdict(at))
    monkeypatch.setattr(time, "time", lambda: 1e9 + 5)
    lines = progress.render(status.survey(packed.runs)).splitlines()
    assert f"rte tiny none seed 0 step 1/9 {shown} 7".split() in [line.split() for line in lines]
