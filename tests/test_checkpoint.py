"""A training that is stopped or killed at any moment and run again ends exactly as one that was not."""

from __future__ import annotations

import copy
import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from compress import experiment
from compress.config import identity
from compress.config.schema import Config, teacher_experiment
from compress.methods.base import Method
from compress.runs import result
from compress.storage import atomic
from compress.training import loop
from compress.training.checkpoint import (
    DIGEST,
    FILE,
    Checkpoint,
    Position,
    Stopped,
    random_state,
    set_random_state,
)
from compress.training.reporting import Reporter
from tests.conftest import Command, Compose
from tests.subsets import SUBSETS, every_subset, one_thread, words  # noqa: F401 - a fixture for all tests here

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
    whole = experiment.run(elsewhere(config, tmp_path)).document()
    signal_at(monkeypatch, [7, 19], signum)
    folder = identity.run_folder(config)
    for step in (7, 19):
        with pytest.raises(Stopped, match=f"stopped by {signum.name} after step {step}"):
            experiment.run(config)
        assert (folder / "checkpoint" / FILE).is_file()
        assert not (folder / "error.json").exists()
        assert result.read(folder, folder.name) is None
    document = experiment.run(config).document()
    assert weights(config) == weights(elsewhere(config, tmp_path))
    assert rows(config) == rows(elsewhere(config, tmp_path))
    assert not (folder / "checkpoint").exists()
    assert (document["timing"]["resumed"], whole["timing"]["resumed"]) == (2, 0)
    for field in ("metrics", "size", "sparsity", "run_id", "epoch_scores", "teacher_run_id"):
        assert document[field] == whole[field]


def test_the_best_epoch_is_remembered(compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = compose(*words(("quantize",), "task=rte", "train.select=best", "data.max_train=160", "train.epochs=6",
                            "train.max_steps=null", "quantize.freeze=0.2"))  # fmt: skip
    whole = experiment.run(elsewhere(config, tmp_path)).document()
    assert len(whole["epoch_scores"]) == 5
    signal_at(monkeypatch, [10, 20, 55], signal.SIGUSR2)  # twice at the end of an epoch
    for _ in range(3):
        with pytest.raises(Stopped):
            experiment.run(config)
    document = experiment.run(config).document()
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
    assert document.timing.resumed == killed
    assert weights(config) == weights(elsewhere(config, tmp_path))
    assert rows(config) == rows(elsewhere(config, tmp_path))


# --- damage -----------------------------------------------------------------------------------------------------------


def flip(file: Path, count: int, rng: random.Random) -> None:
    """Change so many bytes of a file."""
    content = bytearray(file.read_bytes())
    for place in rng.sample(range(len(content)), count):
        content[place] ^= rng.randrange(1, 256)
    file.write_bytes(content)


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a checkpoint says, its digest too."""
    document = torch.load(file.open("rb"), weights_only=True)
    change(document)
    content = io.BytesIO()
    torch.save(document, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    file.write_bytes(content.getvalue() + DIGEST.format(digest).encode())


def without_digest(file: Path) -> None:
    torch.save(torch.load(file.open("rb"), weights_only=True), file)


def replace_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (lambda file: flip(file, 64, random.Random(0)), "it is not what was written"),
    "truncated": (lambda file: os.truncate(file, file.stat().st_size - 1000), "it is not what was written"),
    "longer": (lambda file: file.open("ab").write(b"0"), "it is not what was written"),
    "empty": (lambda file: os.truncate(file, 0), "it is not what was written"),
    "garbage": (lambda file: file.write_bytes(b"garbage"), "it is not what was written"),
    "without a digest": (without_digest, "it is not what was written, or of an earlier version"),
    "foreign": (lambda file: Checkpoint(file.parent, 1.0, "0" * 12, []).save({}, 0), "it is of 000000000000, format 2"),
    "of another format": (lambda file: rewrite(file, lambda document: document.update(format=1)), ", format 1"),
    "of other shapes": (
        lambda file: rewrite(
            file, lambda document: document["state"]["model"].update({"classifier.bias": torch.ones(9)})
        ),
        "Error(s) in loading state_dict",
    ),
    "of another optimizer": (
        lambda file: rewrite(
            file, lambda document: document["state"]["optimizer"]["state"][3].update(exp_avg=torch.ones(9))
        ),
        "the optimizer's state is of other parameters",
    ),
    "of other methods": (
        lambda file: rewrite(file, lambda document: document["state"]["methods"].clear()),
        "zip() argument",
    ),
    "of other fields": (
        lambda file: rewrite(file, lambda document: document["state"]["progress"].update(steps=4)),
        "unexpected keyword",
    ),
    "with other generators": (
        lambda file: rewrite(file, lambda document: document["state"]["random"].update(cpu=0)),
        "ByteTensor",
    ),
    "a folder": (replace_by_a_folder, "Is a directory"),
}


def test_a_checkpoint_that_is_not_whole_or_does_not_fit_is_told_and_training_starts_anew(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = compose(*words(("prune",), *TASK))
    experiment.run(elsewhere(config, tmp_path))
    signal_at(monkeypatch, [7], signal.SIGTERM)
    with pytest.raises(Stopped):
        experiment.run(config)
    file = identity.run_folder(config) / "checkpoint" / FILE
    good = file.read_bytes()
    for damage, (act, cause) in DAMAGES.items():
        shutil.rmtree(file.parent, ignore_errors=True)
        file.parent.mkdir()
        file.write_bytes(good)
        act(file)
        capsys.readouterr()
        assert experiment.run(replace(config, force=True)).timing.resumed == 0, damage
        told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("the checkpoint")]
        assert len(told) == 1, damage
        assert told[0].startswith(f"the checkpoint in {file.parent} cannot be used, training starts anew: "), damage
        assert cause in told[0], damage
        assert weights(config) == weights(elsewhere(config, tmp_path)), damage
        assert rows(config) == rows(elsewhere(config, tmp_path)), damage


def test_no_flipped_byte_of_a_checkpoint_is_believed(tmp_path: Path) -> None:
    log, said, rng = ["a"], list[str](), random.Random(0)
    checkpoint = Checkpoint(tmp_path, 1.0, "x", log, said.append)
    checkpoint.save({"weights": torch.arange(30)}, 1)
    good = (tmp_path / FILE).read_bytes()
    log[:] = ["b"]
    for times in range(100):
        (tmp_path / FILE).write_bytes(good)
        flip(tmp_path / FILE, 1, rng)
        assert checkpoint.restore(lambda state: pytest.fail("it was believed")) is None
        assert len(said) == times + 1
    assert log == ["b"]
    (tmp_path / FILE).write_bytes(good)
    assert checkpoint.restore(lambda state: state["weights"].sum().item()) == sum(range(30))
    assert log == ["a"]


class Counting(Method):
    """A method with a state."""

    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def trained(outputs: int = 2) -> tuple[torch.nn.Module, torch.optim.Optimizer, Counting]:
    """A model, after a step, and what goes with it."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, outputs))
    optimizer, method = torch.optim.AdamW(model.parameters()), Counting()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    method.count = 5
    return model, optimizer, method


@pytest.mark.parametrize("wrong", ["model", "optimizer", "methods", "random", "progress"])
def test_nothing_is_put_back_of_a_state_that_does_not_fit(tmp_path: Path, wrong: str) -> None:
    log: list[str] = ["saved"]
    checkpoint = Checkpoint(tmp_path, 1.0, "x", log)
    model, optimizer, method = trained()
    state = loop._state(Position(step=4), model, optimizer, [method])
    odd = {"model": {**state["model"], "1.bias": torch.ones(7)}, "optimizer": trained(4)[1].state_dict(),
           "methods": [{}], "random": {"cpu": torch.ones(3, dtype=torch.uint8), "cuda": []},
           "progress": {"steps": 4}}  # fmt: skip
    checkpoint.save({**state, wrong: odd[wrong]}, 4)
    log[:] = []
    model, optimizer = (fresh := trained())[0], torch.optim.AdamW(fresh[0].parameters())
    before = copy.deepcopy(loop._state(Position(), model, optimizer, [method := Counting()]))
    assert loop.resume(checkpoint, model, optimizer, [method]) == Position()
    after = loop._state(Position(), model, optimizer, [method])
    assert torch.equal(torch.get_rng_state(), before["random"]["cpu"])
    assert all(torch.equal(value, before["model"][name]) for name, value in after["model"].items())
    assert after["optimizer"] == before["optimizer"]
    assert (after["methods"], log) == (before["methods"], [])
    checkpoint.save(state, 4)
    assert loop.resume(checkpoint, model, optimizer, [method]).step == 4
    assert (method.count, len(optimizer.state)) == (5, 4)


def test_generators_of_gpus_that_are_not_here_are_left_out() -> None:
    state = random_state()
    more = [torch.ones(16, dtype=torch.uint8)]
    set_random_state(state | {"cuda": [*(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []), *more]})
    assert torch.equal(torch.get_rng_state(), state["cpu"])


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "one experiment",
    "the disk is full when a checkpoint is written",
    "a line says so, and the training goes on; the previous checkpoint stays",
    "free disk space",
)
@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_checkpoint_that_cannot_be_written_is_said_and_the_one_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    said: list[str] = []
    checkpoint = Checkpoint(tmp_path, 1.0, "x", [], said.append)
    checkpoint.save({"step": 1}, 1)

    class Full(io.BytesIO):
        writes = 0

        def write(self, content: Any) -> int:
            self.writes += 1
            if self.writes > after:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    real = atomic.HashingStream.__init__
    monkeypatch.setattr(atomic.HashingStream, "__init__", lambda self, stream: real(self, Full()))
    checkpoint.save({"step": 2, "weights": torch.ones(100)}, 2)
    (line,) = said
    assert line.startswith(f"the checkpoint in {tmp_path} cannot be written, training goes on: ")
    assert "No space left on device" in line
    assert not checkpoint.due(), "it is not tried at every step"
    checkpoint.asked = signal.SIGTERM
    with pytest.raises(Stopped, match=r"after step 3; run it again, and it continues from the checkpoint before"):
        checkpoint.save({"step": 3}, 3)
    assert checkpoint.restore(lambda state: state) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_checkpoints_mode_follows_the_umask_and_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    (tmp_path / f".{FILE}-0a1b2c3d").write_bytes(b"half")
    before = os.umask(0o027)
    try:
        Checkpoint(tmp_path / "checkpoint", 1.0, "x", []).save({}, 1)
        checkpoint = Checkpoint(tmp_path, 1.0, "x", [])
        assert checkpoint.restore(lambda state: state) is None
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"checkpoint": 0o750, FILE: 0o640}


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
