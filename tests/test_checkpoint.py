"""A training that is stopped or killed at any moment and run again ends exactly as one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from compress import experiment, identity, result
from compress.checkpoint import FILE, Checkpoint, Stopped
from compress.config import Config, teacher_experiment
from compress.reporting import Reporter
from tests.conftest import Command, Compose
from tests.test_subsets import SUBSETS, every_subset, one_thread, words  # noqa: F401 - a fixture for all tests here

TASK = ("task=rte", "train.max_steps=30", "model.dropout=0.2")


def weights(config: Config) -> bytes:
    return (identity.run_folder(config) / "artifact" / "model.safetensors").read_bytes()


def rows(config: Config) -> list[dict[str, float]]:
    """What was logged, but for what is measured by the clock."""
    clock = ("seconds", "examples_per_second", "tokens_per_second")
    lines = (identity.run_folder(config) / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in clock} for line in lines]


def elsewhere(config: Config, tmp_path: Path) -> Config:
    """The same experiment, undisturbed, in another folder."""
    return replace(config, paths=replace(config.paths, runs=str(tmp_path / "undisturbed")))


def signal_at(monkeypatch: pytest.MonkeyPatch, steps: list[int], signum: signal.Signals) -> None:
    """Send this process a signal when training is at one of the steps, once each."""
    real, left = Reporter.progress, list(steps)

    def progress(self: Reporter, step: int, total: int, loss: float | None) -> None:
        real(self, step, total, loss)
        if self.unit == "step" and "tiny" in self.title and step in left:
            left.remove(step)
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(Reporter, "progress", progress)


@every_subset
@pytest.mark.parametrize("signum", [signal.SIGUSR2, signal.SIGTERM])
def test_a_stopped_run_goes_on_and_ends_bit_for_bit_as_an_undisturbed_one(
    compose: Compose, subset: tuple[str, ...], signum: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = compose(*words(subset, *TASK))
    whole = experiment.run(elsewhere(config, tmp_path))
    signal_at(monkeypatch, [7, 19], signum)
    folder = identity.run_folder(config)
    for step in (7, 19):
        with pytest.raises(Stopped, match=f"stopped by {signum.name} after step {step}"):
            experiment.run(config)
        assert (folder / "checkpoint" / FILE).is_file()
        assert not (folder / "error.json").exists()
        assert result.read(folder, folder.name) is None
    document = experiment.run(config)
    assert weights(config) == weights(elsewhere(config, tmp_path))
    assert rows(config) == rows(elsewhere(config, tmp_path))
    assert not (folder / "checkpoint").exists()
    assert (document["timing"]["resumed"], whole["timing"]["resumed"]) == (2, 0)
    for field in ("metrics", "size", "sparsity", "run_id", "epoch_scores", "teacher_run_id"):
        assert document[field] == whole[field]


def test_the_best_epoch_is_remembered(compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = compose(*words(("quantize",), "task=rte", "train.select=best", "data.max_train=160", "train.epochs=6",
                            "train.max_steps=null", "quantize.freeze=0.2"))  # fmt: skip
    whole = experiment.run(elsewhere(config, tmp_path))
    assert len(whole["epoch_scores"]) == 5
    signal_at(monkeypatch, [10, 20, 55], signal.SIGUSR2)  # twice at the end of an epoch
    for _ in range(3):
        with pytest.raises(Stopped):
            experiment.run(config)
    document = experiment.run(config)
    assert document["epoch_scores"] == whole["epoch_scores"]
    assert weights(config) == weights(elsewhere(config, tmp_path))
    assert rows(config) == rows(elsewhere(config, tmp_path))


@pytest.mark.parametrize("subset", [SUBSETS[0], SUBSETS[-1]], ids=["none", "all"])
def test_a_run_that_is_killed_at_random_ends_bit_for_bit_as_an_undisturbed_one(
    compose: Compose, subset: tuple[str, ...], tmp_path: Path
) -> None:
    long = "train.epochs=3" if subset else "train.epochs=20"  # seconds, on fast processors too
    chosen = words(subset, "task=rte", "train.max_steps=null", "train.checkpoint_seconds=0.05", long)
    config = compose(*chosen)
    experiment.run(elsewhere(config, tmp_path))
    if config.teacher:
        experiment.run(teacher_experiment(config))
    command = [sys.executable, "-m", "compress", *chosen, f"paths.runs={config.paths.runs}"]
    folder, rng, killed = identity.run_folder(config), random.Random(0), 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        seen = (folder / "checkpoint" / FILE).stat().st_mtime_ns if killed else 0
        while process.poll() is None and not (
            (folder / "checkpoint" / FILE).exists() and (folder / "checkpoint" / FILE).stat().st_mtime_ns > seen
        ):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.4))
        if killed == 3:
            assert process.wait(timeout=120) == 0
            break
        assert process.poll() is None, "it was over before it could be killed"
        process.kill()
        process.wait()
        killed += 1
    document = result.read(folder, folder.name)
    assert document is not None
    assert document["timing"]["resumed"] == killed
    assert weights(config) == weights(elsewhere(config, tmp_path))
    assert rows(config) == rows(elsewhere(config, tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "foreign", "garbage"])
def test_a_damaged_checkpoint_is_told_and_training_starts_anew(
    compose: Compose, damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = compose(*words(("prune",), *TASK))
    experiment.run(elsewhere(config, tmp_path))
    signal_at(monkeypatch, [7], signal.SIGTERM)
    with pytest.raises(Stopped):
        experiment.run(config)
    file = identity.run_folder(config) / "checkpoint" / FILE
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-1000])
    elif damage == "foreign":
        Checkpoint(file.parent, 1.0, "0" * 12, []).save({}, 0)
    else:
        file.write_bytes(b"garbage")
    assert experiment.run(config)["timing"]["resumed"] == 0
    assert "cannot be used, training starts anew" in capsys.readouterr().out
    assert weights(config) == weights(elsewhere(config, tmp_path))
    assert rows(config) == rows(elsewhere(config, tmp_path))


def test_signals_mean_what_they_meant_once_training_is_over(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    checkpoint = Checkpoint(tmp_path, 1000.0, "x", [])
    with checkpoint.listening():
        assert not checkpoint.due()
        os.kill(os.getpid(), signal.SIGTERM)
        assert checkpoint.due()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_checkpoint_is_due_after_its_seconds(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, 0.05, "x", ["a"])
    assert not checkpoint.due()
    time.sleep(0.06)
    assert checkpoint.due()
    checkpoint.save({"weights": torch.ones(3)}, 1)
    assert not checkpoint.due()
    log: list[str] = ["b", "c"]
    found = Checkpoint(tmp_path, 1.0, "x", log).restore(lambda state: state)
    assert found is not None
    assert torch.equal(found["weights"], torch.ones(3))
    assert log == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_command_line_says_by_which_signal_it_stopped(command: Command, tmp_path: Path) -> None:
    known = [*words((), "task=rte", "train.max_steps=null", "train.epochs=200"), f"paths.runs={tmp_path / 'runs'}"]
    process = subprocess.Popen([sys.executable, "-m", "compress", *known], stdout=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("runs/rte/tiny/none/*/metrics.jsonl")):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM after step " in out
