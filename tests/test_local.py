"""Sweeps on this machine, by the command line: workers, exit codes, interruptions, status, retry and cancel."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launch import local
from launch.local import LocalSettings, Share, shares
from launch.sweep import all_sweeps
from tests.conftest import Command

DEMO = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "distill.teacher=mini", "device=cpu")
SHORT = ("train.max_steps=3",)
LONG = ("train.epochs=30", "train.checkpoint_seconds=1")


def launch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def states(folder: Path) -> dict[str, str]:
    document = json.loads(launch(folder, "status", "runs", "--json").stdout)
    return {entry["run_id"]: entry["state"] for entry in document["experiments"]}


def results(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(runs.glob("*/*/*/*/result.json"))]


def weights(runs: Path) -> dict[str, bytes]:
    return {file.parts[-3]: file.read_bytes() for file in runs.glob("*/*/*/*/artifact/model.safetensors")}


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "compress", "-m", *DEMO, *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(what: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def training(folder: Path, count: int = 1) -> Callable[[], bool]:
    return lambda: len(list((folder / "runs").glob("*/*/*/*/checkpoint/state.pt"))) >= count


# --- how a machine is shared out --------------------------------------------------------------------------------------


def settings(**changed: Any) -> LocalSettings:
    plain: dict[str, Any] = {"devices": "auto", "per_device": None, "threads": None, "timeout_min": None, "wait": True}
    return LocalSettings(**plain | changed)


@pytest.mark.parametrize(
    ("changed", "cpu_only", "shared"),
    [
        ({}, False, [Share("2", 1, 4), Share("GPU-5e", 1, 4)]),
        ({"per_device": 3}, False, [Share("2", 3, 1), Share("GPU-5e", 3, 1)]),
        ({"devices": [0]}, False, [Share("0", 1, 8)]),
        ({"devices": "cpu"}, False, [Share("", 8, 1)]),
        ({}, True, [Share("", 8, 1)]),
        ({"per_device": 2}, True, [Share("", 2, 4)]),
        ({"per_device": 2, "threads": 1}, True, [Share("", 2, 1)]),
    ],
)
def test_each_gpu_has_a_worker_or_the_cpu_has_one_and_cores_are_shared_out(
    changed: dict[str, Any], cpu_only: bool, shared: list[Share], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5e")
    assert shares(settings(**changed), cpu_only=cpu_only) == shared


@pytest.mark.parametrize(("value", "found"), [("", []), ("-1", []), ("3", ["3"]), ("0, 1", ["0", "1"])])
def test_visible_gpus_are_taken_as_they_are_named(
    value: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert local.gpus() == found


def test_gpus_are_counted_without_starting_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: A (UUID: y)'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local.gpus() == ["0", "1"]


# --- sweeps -----------------------------------------------------------------------------------------------------------


def test_a_sweep_runs_everything_once_in_one_worker_and_says_so(command: Command, tmp_path: Path) -> None:
    words = ("-m", *DEMO, *SHORT, "task=rte,stsb", "distill=none,kd", "distill.weak_teacher=true", "quantize=none,int8")
    done = command(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 experiments: 8 to run, 0 finished\n2 missing teachers are added\n" in done.stdout
    assert re.search(r"10 experiments: 10 finished in \d+ s, 0 failed", done.stdout)
    assert done.stdout.count("] finished: ") == 10
    assert len(results(tmp_path / "runs")) == 10
    assert {document["environment"]["threads"] for document in results(tmp_path / "runs")} == {1}
    again = command(*words)
    assert (again.returncode, "0 to run, 8 finished" in again.stdout) == (0, True)
    assert len(all_sweeps(tmp_path / "runs")) == 2
    assert set(states(tmp_path).values()) == {"finished"}


def test_what_a_sweep_leaves_is_what_single_runs_leave(command: Command, tmp_path: Path) -> None:
    words = (*DEMO, *SHORT, "quantize=int8", "prune=magnitude")
    assert command("-m", *words, "seed=0,1").returncode == 0
    for seed in (0, 1):
        assert command(*words, f"seed={seed}", "paths.runs=single").returncode == 0
    assert weights(tmp_path / "runs") == weights(tmp_path / "single")


def test_failures_are_told_at_the_end_with_cause_and_log_and_retry_runs_just_those(
    command: Command, tmp_path: Path
) -> None:
    done = command("-m", *DEMO, *SHORT, "seed=0,1", "train.learning_rate=1e-3,1e30")
    assert done.returncode == 1
    assert re.search(r"4 experiments: 2 finished in \d+ s, 2 failed", done.stdout)
    table = done.stdout[done.stdout.index("2 failed") :]
    failed = r"rte tiny none train.learning_rate=1e30 seed \d +FloatingPointError: the loss is nan by step 3.*/log.txt"
    assert len(re.findall(failed, table)) == 2
    assert "python -m launch retry " in table
    shown = launch(tmp_path, "status", "runs")
    assert shown.returncode == 0
    assert "4 experiments: 2 finished, 2 failed" in shown.stdout
    assert "FloatingPointError: the loss is nan by step 3" in shown.stdout
    again = launch(tmp_path, "retry", "runs")
    assert again.returncode == 1
    assert "2 experiments: 0 finished" in again.stdout
    assert len(results(tmp_path / "runs")) == 2


def test_wrong_settings_are_one_line_and_nothing_is_written(command: Command, tmp_path: Path) -> None:
    done = command("-m", *DEMO, "hydra.launcher.per_device=none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: hydra.launcher.per_device=none: must be a valid integer\n"
    assert not list(tmp_path.iterdir())


def test_slurm_without_slurm_is_one_line(command: Command, tmp_path: Path) -> None:
    done = command("-m", *DEMO, "hydra/launcher=slurm", PATH="/nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: hydra/launcher=slurm: there is no sbatch here; ")
    assert not list(tmp_path.iterdir())


def test_two_launches_of_one_grid_at_once_run_each_experiment_once(tmp_path: Path, cache: Path) -> None:
    words = ("train.epochs=1", "seed=0,1,2", "distill=kd", "distill.weak_teacher=true")
    both = [started(tmp_path, *words) for _ in range(2)]
    told = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert len(results(tmp_path / "runs")) == 6
    for log in (tmp_path / "runs").glob("*/*/*/*/log.txt"):
        assert log.read_text().count(" finished: ") == 1
    assert all("6 finished" in text for text in told)


@pytest.mark.fault(
    "a sweep on this machine",
    "Ctrl-C",
    "those in training write checkpoints; exit code 130",
    "`launch retry`, which ends with the same bytes",
)
def test_ctrl_c_leaves_checkpoints_and_retry_ends_with_the_same_bytes(
    command: Command, tmp_path: Path, cache: Path
) -> None:
    words = ("seed=0,1,2", "quantize=int8", "prune=magnitude", "train.epochs=12", "train.checkpoint_seconds=0.5")
    process = started(tmp_path, *words)
    wait_for(training(tmp_path))
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "experiments are writing their checkpoints" in told
    assert "Traceback" not in told
    found = states(tmp_path)
    assert set(found.values()) <= {"stopped", "missing", "finished"}
    assert "stopped" in found.values()
    assert not list((tmp_path / "runs").glob("*/*/*/*/error.json"))
    assert not _processes(tmp_path)
    again = launch(tmp_path, "retry", "runs")
    assert again.returncode == 0, again.stdout + again.stderr
    assert max(document["timing"]["resumed"] for document in results(tmp_path / "runs")) == 1
    whole = command("-m", *DEMO, *words, "paths.runs=undisturbed")
    assert whole.returncode == 0
    assert weights(tmp_path / "runs") == weights(tmp_path / "undisturbed")


@pytest.mark.fault(
    "a sweep on this machine",
    "the command that started it is killed, or its terminal lost",
    "the workers go on; `launch status` shows them",
    "`launch cancel` stops them",
)
def test_workers_go_on_when_the_launching_process_is_killed_and_cancel_stops_them(tmp_path: Path, cache: Path) -> None:
    longer = ("train.epochs=120", "train.checkpoint_seconds=1")
    process = started(
        tmp_path, *longer, "seed=0,1,2,3", "distill=kd", "distill.weak_teacher=true", "hydra.launcher.per_device=1"
    )
    wait_for(training(tmp_path))
    process.kill()
    process.wait()
    found = states(tmp_path)
    assert sorted(found.values()) == sorted(["running"] + ["pending"] * 3 + ["waiting"] * 4)
    at = re.compile(r"rte mini none seed \d +step \d+/9000 +(\d+ s|\d+ min|\d+\.\d h)")
    wait_for(lambda: at.search(launch(tmp_path, "status", "runs").stdout))
    done = launch(tmp_path, "cancel", "runs")
    assert done.returncode == 0
    assert "1 worker stopped" in done.stdout
    assert set(states(tmp_path).values()) == {"stopped", "missing"}
    assert not _processes(tmp_path)


@pytest.mark.fault(
    "a sweep on this machine",
    "all workers are killed",
    "the experiments that they had not run count as failed; the cause quotes the workers’ last lines",
    "`launch retry`",
)
def test_a_killed_worker_ends_a_sweep_with_what_it_had_not_run_as_failed(tmp_path: Path, cache: Path) -> None:
    process = started(tmp_path, *LONG, "seed=0,1")
    wait_for(training(tmp_path))
    (sweep,) = all_sweeps(tmp_path / "runs")
    worker = sweep.live_workers()[0]
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told.count("the worker ended before it could run this experiment") >= 2
    assert set(states(tmp_path).values()) <= {"stopped", "missing"}


@pytest.mark.fault(
    "a sweep on this machine",
    "the folder of runs is moved meanwhile",
    "one line; the workers stop",
    "`launch retry` on the folder where it is now",
)
def test_runs_that_are_moved_meanwhile_are_one_line_and_retry_goes_on_where_they_are(
    tmp_path: Path, cache: Path
) -> None:
    process = started(tmp_path, *LONG, "seed=0,1")
    wait_for(training(tmp_path, 2))
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 2, told
    assert re.search(r"^error: .*/runs/\.sweeps/.*: the sweep's folder is gone; ", told, re.MULTILINE)
    assert "Traceback" not in told
    wait_for(lambda: not _processes(tmp_path))
    again = launch(tmp_path, "retry", "elsewhere")
    assert again.returncode == 0, again.stdout + again.stderr
    assert [document["timing"]["resumed"] for document in results(tmp_path / "elsewhere")] == [1, 1]


def test_an_experiment_that_takes_too_long_is_one_that_failed(command: Command, tmp_path: Path) -> None:
    done = command("-m", *DEMO, "train.epochs=1,3000", "hydra.launcher.timeout_min=0.25")
    assert done.returncode == 1
    assert "took longer than 0.25 minutes; raise resources.timeout_min" in done.stdout
    assert len(results(tmp_path / "runs")) == 1


def test_without_waiting_it_returns_at_once(command: Command, tmp_path: Path) -> None:
    done = command("-m", *DEMO, *SHORT, "seed=0,1", "hydra.launcher.wait=false")
    assert done.returncode == 0
    assert "2 experiments started; follow them: python -m launch status " in done.stdout
    wait_for(lambda: len(results(tmp_path / "runs")) == 2)
    assert launch(tmp_path, "status", "runs", "--watch").returncode == 0


def test_single_runs_are_shown_too(command: Command, tmp_path: Path) -> None:
    assert command(*DEMO, *SHORT).returncode == 0
    assert command(*DEMO, "train.learning_rate=1e30").returncode == 1
    shown = launch(tmp_path, "status", "runs").stdout
    assert "2 experiments: 1 finished, 1 failed" in shown
    assert "FloatingPointError: the loss is nan" in shown


def test_prepare_fills_the_caches_and_runs_nothing(tmp_path: Path, cache: Path) -> None:
    done = launch(tmp_path, "prepare", *DEMO, "task=rte,cola", "distill=none,kd", f"paths.cache={tmp_path / 'cache'}")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "cache" / "tokens").glob("*/about.json"))) == 4
    assert not (tmp_path / "runs").exists()


def _processes(folder: Path) -> list[str]:
    """Command lines of processes that were started for sweeps in a folder."""
    done = subprocess.run(["pgrep", "-fa", f"submitit.*{folder}"], capture_output=True, text=True)
    return done.stdout.splitlines()
