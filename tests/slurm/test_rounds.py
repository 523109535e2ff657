"""`launch extend` on a real SLURM: rounds are waited for, and end with what is cancelled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compress.runs import result
from launch.extend import LOOKS
from launch.start import settings_of
from launch.sweep import SWEEPS, all_sweeps
from tests.conftest import Command
from tests.slurm.conftest import squeue, wait_for
from tests.slurm.test_slurm import DEMO, SLURM, launch
from tests.test_extend import WALL_SECONDS, finished_sweep, noisy

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("logs")]

CPU = tuple(word for word in DEMO if word.startswith("resources") and "timeout" not in word)
SETTINGS: dict[str, object] = {
    "partition": None, "account": None, "qos": None, "constraint": None, "additional": {}, "setup": [],
    "throttle": None, "pack": 2, "per_device": 1, "threads": None, "timeout_min": None, "signal_seconds": 30,
    "max_requeues": 3, "array_size": 1000, "python": None, "wait": False,
}  # fmt: skip


MANY = 12 * WALL_SECONDS / 3600  # device-hours of so many runs, as the finished ones have it


def collection(tmp_path: Path) -> Path:
    """Finished runs that leave a verdict open, of short trainings."""
    return finished_sweep(tmp_path / "runs", settings_of("slurm", SETTINGS), noisy, words=(*CPU, "train.max_steps=9"))


def test_a_round_follows_a_sweep_that_nobody_waited_for(command: Command, tmp_path: Path) -> None:
    runs = collection(tmp_path)
    done = command(*SLURM, "seed=8,9", "train.max_steps=9", "hydra.launcher.pack=8", "hydra.launcher.wait=false")
    assert done.returncode == 0, done.stdout + done.stderr
    done = launch(tmp_path, "extend", "runs", "--rounds", "1", "--hours", f"{MANY}")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("[")]
    assert lines[0].startswith("waiting for ")
    assert lines[1].startswith("round 1: 0 of 1 verdict settled; ")
    assert sum(line.startswith("round ") for line in lines) == 1
    *_, before, of_round = all_sweeps(runs)
    assert of_round.launcher == {**before.launcher, "wait": True}
    assert all(of_round.finished(run_id) for run_id in of_round.to_run)
    assert 0 < len(of_round.to_run) <= 12
    assert (runs / SWEEPS / LOOKS).exists()
    assert not squeue()


def test_what_is_cancelled_ends_it_and_typed_again_it_goes_on(tmp_path: Path, cache: Path) -> None:
    runs = collection(tmp_path)
    words = ("extend", "runs", "--rounds", "1", "hydra.launcher.throttle=2", "--hours", f"{MANY}")
    extend = [sys.executable, "-m", "launch", *words]
    with subprocess.Popen(extend, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_for(squeue, "the jobs of a round", seconds=60)
        wait_for(lambda: len(list(result.run_folders(runs))) > len(all_sweeps(runs)[0].experiments), "a run")
        assert launch(tmp_path, "cancel", "runs").returncode == 0
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 1, said
    assert "of this round stopped, refused or lost: python -m launch status" in said
    wait_for(lambda: not squeue(), "jobs that end, whose checkpoints are written", seconds=60)
    assert len(all_sweeps(runs)) == 2  # no other round
    done = launch(tmp_path, *words)
    assert "stopped after 1 round" in done.stdout or "more tasks would be needed" in done.stdout, done.stdout
    assert ", 0 failed" in done.stdout
