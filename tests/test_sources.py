"""The same grid gives the same table, whether it is read from run folders, from `.wandb` files or from a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis.read import offline, online
from analysis.read.offline import BLOCK, CHUNK_HEADER, FILE_HEADER, FIRST, LAST, MIDDLE, WHOLE, read_offline, records
from analysis.read.online import TrackedRun, as_results
from analysis.read.results import COLUMNS, Results, read_runs
from compress.errors import ConfigError
from tests.wandb_server import WandbServer

GRID = ["model=demo/tiny", "data=demo", "train=demo", "task=rte,stsb", "quantize=none,int8",
        "distill=none,kd", "distill.weak_teacher=true",
        "prune=none,magnitude", "distill.teacher=mini", "train.max_steps=8", "data.max_train=64",
        "distill.copies=0", "tracking=wandb"]  # fmt: skip
FAILS = ["model=demo/tiny", "data=demo", "train=demo", "task=cola", "train.max_steps=8", "train.learning_rate=1e30"]


@pytest.fixture(scope="module")
def server() -> Iterator[WandbServer]:
    with WandbServer() as running:
        yield running
        assert running.unknown == []


@pytest.fixture(scope="module")
def grid(cache: Path, server: WandbServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs of a grid of 16, two teachers, and one that failed; offline first, on the server now."""
    folder = tmp_path_factory.mktemp("grid")
    environment = os.environ | {"NETRC": os.devnull, "WANDB_MODE": "offline"}
    for words, code in ((["-m", *GRID], 0), (FAILS, 1)):
        command = [sys.executable, "-m", "compress", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == code, done.stdout + done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "launch", "sync", "runs"],
        cwd=folder, env=environment | server.environment(), capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "19 uploaded, 0 were there"), done.stderr
    return folder / "runs"


@pytest.fixture
def online_now(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> WandbServer:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    server.counts.clear()
    return server


def assert_same_table(found: Results, expected: Results) -> None:
    columns = [column for column in COLUMNS if column not in ("folder", "url")]
    pd.testing.assert_frame_equal(found.runs[columns], expected.runs[columns])
    assert found.recipes == expected.recipes
    assert found.notes == expected.notes
    assert list(found.failures["task"]) == list(expected.failures["task"]) == ["cola"]
    assert list(found.failures["cause"]) == list(expected.failures["cause"])
    pd.testing.assert_frame_equal(found.failures, expected.failures)


def test_offline_logs_give_the_table_of_the_run_folders(grid: Path) -> None:
    expected = read_runs(grid)
    assert len(expected.runs) == 18
    assert_same_table(read_offline(grid), expected)


def test_the_server_gives_the_table_of_the_run_folders_in_one_query(grid: Path, online_now: WandbServer) -> None:
    found = online.read_wandb("combining-compressions")
    assert_same_table(found, read_runs(grid))
    assert set(found.runs["url"].str.rpartition("/")[2]) == set(found.runs["run_id"])
    queries = {name: count for name, count in online_now.counts.items() if "Runs" in name}
    assert sum(queries.values()) <= 2, online_now.counts
    assert_same_table(online.read_wandb("tester/combining-compressions"), read_runs(grid))


def test_a_project_that_cannot_be_read_is_told_in_a_line(
    grid: Path, online_now: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"^nosuch: .*nosuch"):
        online.read_wandb("nosuch")
    with pytest.raises(ConfigError, match=r"^a/b/c: must be PROJECT or ENTITY/PROJECT"):
        online.read_wandb("a/b/c")
    monkeypatch.setenv("WANDB_API_KEY", "c" * 40)
    with pytest.raises(ConfigError, match=r"^combining-compressions: cannot be read from W&B: .*; see WANDB_BASE_URL"):
        online.read_wandb("combining-compressions")


def test_runs_that_are_not_finished_or_not_ours_are_told(grid: Path) -> None:
    document = json.loads(next(grid.glob("*/*/none/*/result.json")).read_text())
    config = {"run_id": "aa", "task": "rte", "model": "tiny", "methods": "quantize+prune", "seed": 1}
    runs = [
        TrackedRun("aa", config, {}, "running"),
        TrackedRun("bb", config | {"run_id": "bb"}, {"failure": "ValueError: no"}, "failed"),
        TrackedRun("cc", config | {"run_id": "cc"}, {}, "crashed"),
        TrackedRun("dd", {"lr": 1}, {"score": 2}, "finished"),
        TrackedRun("ee", {"lr": 1, "seed": 4}, {"failure": "theirs"}, "failed"),
        TrackedRun("ff", config | {"run_id": "bb"}, {}, "crashed"),
        TrackedRun(document["run_id"], document | {"methods": "none"}, document, "finished"),
    ]
    found = as_results(runs, "here", None)
    assert found.notes[:2] == ["1 runs are not finished", "3 runs are none of this project's experiments"]
    assert list(found.failures["cause"]) == ["ValueError: no", "the run is crashed; its log has more"]
    assert list(found.failures["methods"]) == ["quantize+prune"] * 2
    assert list(zip(found.failures["run_id"], found.failures["seed"], strict=True)) == [("bb", 1), ("cc", 1)]
    assert list(found.runs["run_id"]) == [document["run_id"]]


# --- the format -------------------------------------------------------------------------------------------------------


def log_of(*payloads: bytes) -> bytes:
    """A log as the client writes it."""
    log = bytearray(FILE_HEADER.pack(b":W&B", 0xBEE1, 0))
    for payload in payloads:
        rest, first = payload, True
        while first or rest:
            left = BLOCK - len(log) % BLOCK
            if left < CHUNK_HEADER.size:
                log += bytes(left)
                continue
            part, rest = rest[: left - CHUNK_HEADER.size], rest[left - CHUNK_HEADER.size :]
            kind = {(True, True): WHOLE, (True, False): FIRST, (False, False): MIDDLE, (False, True): LAST}[
                first, not rest
            ]
            log += CHUNK_HEADER.pack(zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            first = False
    return bytes(log)


PAYLOADS = [b"a", b"", b"b" * (BLOCK - 30), b"c" * 5, b"d" * (3 * BLOCK), b"e" * 100]


def test_records_of_all_lengths_across_blocks() -> None:
    assert list(records(log_of(*PAYLOADS))) == PAYLOADS


def test_a_torn_end_loses_the_last_record_only() -> None:
    whole = log_of(*PAYLOADS)
    assert list(records(whole[:-1])) == PAYLOADS[:-1]
    assert list(records(whole[: -len(PAYLOADS[-1]) - 3])) == PAYLOADS[:-1]


def test_damage_loses_its_own_block_only() -> None:
    log = bytearray(log_of(*(bytes([n]) * 1000 for n in range(100))))
    log[2 * BLOCK + 5000] ^= 1
    kept = list(records(bytes(log)))
    assert 60 < len(kept) < 100
    assert kept == [record for record in (bytes([n]) * 1000 for n in range(100)) if record in kept]
    assert kept[-1] == bytes([99]) * 1000


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not begin as one"):
        list(records(b"something else"))
    with pytest.raises(ConfigError, match=r"no \.wandb files below it"):
        offline.read_offline(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        offline.read_offline(tmp_path / "nowhere")
