"""Experiments that are tracked, each in a process of its own, and what of them must be on the server."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from compress import experiment
from compress.config import identity
from compress.config.schema import Config
from compress.errors import ConfigError
from compress.runs import result
from compress.runs.result import Result
from compress.tracking.tracker import HEAD
from compress.training.checkpoint import Stopped
from compress.training.reporting import Reporter
from launch.sync import sync
from tests.conftest import ROOT
from tests.wandb_server import HISTORY, Run, WandbServer

SHORT = ("task=rte", "train.max_steps=40", "data.max_train=160", "tracking.seconds=4")
CLOCK = ("seconds", "examples_per_second", "tokens_per_second", "memory_bytes")
OWN = ("_step", "_runtime", "_timestamp", "_wandb")  # fields that the client adds to every row
FAILED = 3  # exit code of an experiment that failed
KILL_CLIENT = 0  # the client's own process, as a signal to a whole process group does
KILL_LATE = -signal.SIGKILL  # once the server has rows that are in no checkpoint: the client sends every 15 seconds


def in_child(
    config: Config, server: WandbServer | None, signals: Mapping[int, int] | None = None, **environment: str
) -> int:
    """Run an experiment in a forked process as a worker does, and see that it leaves none behind; its exit code.

    Args:
        signals: what the process sends itself at which steps.
    """
    process = multiprocessing.get_context("fork").Process(
        target=_be_the_child, args=(config, server, dict(signals or {}), environment)
    )
    process.start()
    process.join()
    assert process.pid is not None
    assert process.exitcode is not None
    assert left_behind(process.pid) == [], "the client's own process has outlived the experiment"
    return process.exitcode


def _be_the_child(
    config: Config, server: WandbServer | None, signals: dict[int, int], environment: Mapping[str, str]
) -> None:
    signal.alarm(120)  # a hang is a failure
    if server is not None and server._listener is not None:
        os.close(server._listener.fileno())  # the parent's
    os.environ |= {"WANDB_MODE": "online", "NETRC": os.devnull, **(server.environment() if server else {})}
    os.environ |= environment
    _signal_itself(signals)
    try:
        experiment.run(config)
        code = 0
    except Stopped as stopped:
        code = 128 + stopped.signum
    except experiment.ExperimentError:
        code = FAILED
    os._exit(code)  # as a worker's child


def left_behind(pid: int) -> list[str]:
    """Processes of the client that serve a process which has ended; one that was killed leaves them a few seconds."""
    deadline = time.monotonic() + 10
    while True:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            told = process.info["cmdline"] or []
            if "--pid" in told and told[told.index("--pid") + 1] == str(pid):
                found.append(" ".join(told))
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _signal_itself(signals: dict[int, int]) -> None:
    real = Reporter.progress

    def progress(self: Reporter, step: int, total: int, loss: float | None) -> None:
        real(self, step, total, loss)
        if self.unit == "step" and step in signals:
            if signals[step] == KILL_LATE:
                time.sleep(17.0)
            if signals[step] == KILL_CLIENT:
                (core,) = (child for child in psutil.Process().children() if child.name() == "wandb-core")
                core.kill()
                core.wait()
            else:
                os.kill(os.getpid(), abs(signals[step]))
            del signals[step]

    setattr(Reporter, "progress", progress)  # noqa: B010 - of this process only


def folder_of(config: Config) -> Path:
    return identity.run_folder(config)


def result_of(config: Config) -> Result:
    return read_result(folder_of(config))


def document_of(config: Config) -> dict[str, Any]:
    return result_of(config).document()


def read_result(folder: Path) -> Result:
    found = result.read(folder, folder.name)
    assert found is not None
    return found


def logged(folder: Path) -> list[dict[str, float]]:
    """The rows of metrics.jsonl; what is undefined is not sent."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if value is not None} for line in lines]


def without_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in (*CLOCK, *OWN)} for row in rows]


def assert_complete(server: WandbServer, config: Config, *, same_process: bool = True) -> None:
    """As `assert_whole`, of an experiment."""
    assert_whole(server.runs[identity.run_id(config)], folder_of(config), same_process=same_process)


def assert_whole(run: Run, folder: Path, *, same_process: bool = True) -> None:
    """The server has every row once, in order, and the result as it is on disk.

    Args:
        same_process: the process that sent a row has also written it to disk, clock and all.
    """
    document, rows = read_result(folder).document(), logged(folder)
    assert [row["global_step"] for row in run.history] == [row["global_step"] for row in rows]
    for got, expected in zip(run.history, rows, strict=True):
        for key, value in expected.items():
            if same_process or key not in CLOCK:
                assert got[key] == pytest.approx(value), key
        assert set(got) - set(OWN) == set(expected)
    offsets = [offset for offset, _ in run.received[HISTORY]]
    assert offsets == list(range(len(rows))), "a row was sent twice, or not in order"
    for key, value in document.items():
        if key not in HEAD:
            assert_same(run.summary.get(key), value, key)
    assert (run.state, run.exit_code) == ("finished", 0)


def assert_same(got: Any, expected: Any, where: str) -> None:
    """Equal, but for whole numbers that JSON made of floats, and for nulls and empty values, which a summary lacks."""
    if isinstance(expected, dict):
        got = got or {}
        assert set(got) - set(expected) == set(), where
        for key, value in expected.items():
            assert_same(got.get(key), value, f"{where}.{key}")
    elif isinstance(expected, float):
        assert got == pytest.approx(expected), where
    else:
        assert got == expected, where


def launch(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launch", *words],
        cwd=ROOT,
        env=os.environ | {"WANDB_MODE": "online", "NETRC": os.devnull} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def synced(config: Config, server: WandbServer) -> tuple[int, str]:
    """`python -m launch sync` on the experiment's runs, in a forked process: its exit code, and what it says."""
    told = Path(config.paths.runs).parent / "said.txt"
    process = multiprocessing.get_context("fork").Process(target=_sync, args=(config, server, told))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode, told.read_text().strip()


def _sync(config: Config, server: WandbServer, told: Path) -> None:
    signal.alarm(120)
    if server._listener is not None:
        os.close(server._listener.fileno())
    os.environ |= {"NETRC": os.devnull, **server.environment()}
    code = 2
    with told.open("w") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            code = sync(Path(config.paths.runs))
        except ConfigError as error:
            print(error)
    os._exit(code)


def said(config: Config) -> list[str]:
    """What log.txt says of W&B."""
    lines = (folder_of(config) / "log.txt").read_text().splitlines()
    told = [line.partition("W&B: ")[2] for line in lines if "W&B: " in line]
    return [words for words in told if not words.startswith("http")]
