"""Weights & Biases: the real client, and a stand-in for its server that fails on request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from compress import experiment, identity, result, tracking
from compress.checkpoint import FILE, Stopped
from compress.config import Config, conf_folder, teacher_experiment
from compress.errors import ConfigError
from compress.overrides import compositions
from compress.reporting import Reporter
from compress.tracking import HEAD, artifact_name, cell_name, run_name
from tests.conftest import ROOT, Compose
from tests.test_subsets import one_thread, words  # noqa: F401 - a fixture for all tests here
from tests.wandb_server import Fault, Run, WandbServer

SHORT = ("task=rte", "train.max_steps=40", "data.max_train=160", "tracking.seconds=4")
CLOCK = ("seconds", "examples_per_second", "tokens_per_second", "memory_bytes")
OWN = ("_step", "_runtime", "_timestamp", "_wandb")  # fields that the client adds to every row
KILL_CLIENT = 0  # the client's own process, as a signal to a whole process group does
KILL_LATE = -signal.SIGKILL  # once the server has rows that are in no checkpoint: the client sends every 15 seconds


@pytest.fixture
def server() -> Iterator[WandbServer]:
    """A server that works, until a test has it fail."""
    with WandbServer() as running:
        yield running
        assert running.unknown == []


@pytest.fixture(scope="module", autouse=True)
def warm(cache: Path) -> None:
    """Import once what every child needs, as a worker does."""
    experiment.warm_up(next(compositions(words((), *SHORT), conf_folder(), multirun=False)))
    tracking.warm_up()


def in_child(
    config: Config, server: WandbServer | None, signals: dict[int, int] | None = None, **environment: str
) -> int:
    """Run an experiment in a forked process as a worker does, and end all that it left; its exit code.

    Args:
        signals: what the process sends itself at which steps.
    """
    pid = os.fork()
    if pid:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert left_behind(pid) == [], "the client's own process has outlived the experiment"
        return code
    code = 1
    try:
        signal.alarm(120)  # a hang is a failure
        if server is not None and server._listener is not None:
            os.close(server._listener.fileno())  # the parent's
        os.environ |= {"WANDB_MODE": "online", "NETRC": os.devnull, **(server.environment() if server else {})}
        os.environ |= environment
        _signal_itself(dict(signals or {}))
        experiment.run(config)
        code = 0
    except Stopped as stopped:
        code = 128 + stopped.signum
    except experiment.ExperimentError:
        code = 3
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


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


def document_of(config: Config) -> dict[str, Any]:
    document = result.read(folder_of(config), identity.run_id(config))
    assert document is not None
    return document


def logged(config: Config) -> list[dict[str, float]]:
    """The rows of metrics.jsonl; what is undefined is not sent."""
    lines = (folder_of(config) / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if value is not None} for line in lines]


def without_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in (*CLOCK, *OWN)} for row in rows]


def assert_complete(run: Run, config: Config, *, same_process: bool = True) -> None:
    """The server has every row once, in order, and the result as it is on disk.

    Args:
        same_process: the process that sent a row has also written it to disk, clock and all.
    """
    document, rows = document_of(config), logged(config)
    assert [row["global_step"] for row in run.history] == [row["global_step"] for row in rows]
    for got, expected in zip(run.history, rows, strict=True):
        for key, value in expected.items():
            if same_process or key not in CLOCK:
                assert got[key] == pytest.approx(value), key
        assert set(got) - set(OWN) == set(expected)
    offsets = [offset for offset, _ in run.received["wandb-history.jsonl"]]
    assert offsets == list(range(len(rows))), "a row was sent twice, or not in order"
    for key, value in document.items():
        if key not in HEAD:
            assert_same(run.summary.get(key), value, key)
    assert (run.state, run.exit_code) == ("finished", 0)


def assert_same(got: Any, expected: Any, where: str) -> None:
    """Equal, but for whole numbers that JSON made of floats, and for nulls, which a summary does not keep."""
    if isinstance(expected, dict):
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


def said(config: Config) -> list[str]:
    """What log.txt says of W&B."""
    lines = (folder_of(config) / "log.txt").read_text().splitlines()
    return [line.partition("W&B: ")[2] for line in lines if "W&B: " in line]


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_and_factors(compose: Compose) -> None:
    subset = ("quantize", "distill", "prune")
    config = compose(*words(subset, *SHORT, "prune.sparsity=0.6", "seed=3"))
    head = experiment.describe(config, "0123456789ab")
    assert cell_name(head) == "rte-tiny-quantize+distill+prune-0.6"
    assert run_name(head) == "rte-tiny-quantize+distill+prune-0.6-s3"
    assert artifact_name(head) == "rte-tiny-quantize_distill_prune-0.6-s3"
    assert tracking.factors(head) == {
        "model": "tiny", "task": "rte", "methods": "quantize+distill+prune", "quantize": "int8", "distill": "kd",
        "prune": "magnitude", "sparsity": 0.6, "seed": 3, "run_id": "0123456789ab", "schema": result.SCHEMA,
    }  # fmt: skip
    plain = experiment.describe(compose(*words((), *SHORT)), "0123456789ab")
    assert run_name(plain) == "rte-tiny-none-s0"
    assert tracking.factors(plain)["sparsity"] == 0.0, "the default of what is off is no factor"


@pytest.mark.parametrize(
    ("asked", "teaches", "logs", "uses"),
    [
        ("all", False, True, True),
        ("all", True, True, True),
        ("teachers", False, False, True),
        ("teachers", True, True, True),
        ("none", True, False, False),
    ],
)
def test_whose_weights_are_uploaded(compose: Compose, asked: str, teaches: bool, logs: bool, uses: bool) -> None:
    config = compose(*words(("distill",), *SHORT, f"tracking.log_artifacts={asked}"))
    head = experiment.describe(config, "0123456789ab")
    teacher = experiment.describe(teacher_experiment(config), "ba9876543210")
    card = tracking.card(config.tracking, head, teaches=teaches, teacher=teacher)
    assert card.logs == ("rte-tiny-distill-s0" if logs else None)
    assert card.uses == ("rte-mini-none-s0:ba9876543210" if uses else None)
    assert card.job_type == ("teacher" if teaches else "run")


def test_an_unknown_mode_in_the_environment_is_refused(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(*words((), *SHORT))
    for value, mode in (("", "online"), ("offline", "offline"), ("disabled", "disabled")):
        monkeypatch.setenv("WANDB_MODE", value)
        assert tracking.mode_of(config.tracking) == mode
    monkeypatch.setenv("WANDB_MODE", "of")
    with pytest.raises(ConfigError, match="WANDB_MODE=of: must be of online, offline, disabled"):
        tracking.mode_of(config.tracking)
    assert tracking.mode_of(replace(config.tracking, mode="offline")) == "offline"


# --- all is well ------------------------------------------------------------------------------------------------------


def test_a_grid_is_on_the_server_field_by_field(server: WandbServer, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    grid = ["model=demo/tiny", "data=demo", "train=demo", "task=rte", "quantize=none,int8", "distill=none,kd",
            "prune=none,magnitude", "train.max_steps=20", "data.max_train=160", f"paths.runs={runs}"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "compress", "-m", *grid],
        cwd=tmp_path, env=os.environ | {"NETRC": os.devnull} | server.environment(), capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    documents = [json.loads(path.read_text()) for path in sorted(runs.glob("*/*/*/*/result.json"))]
    assert len(documents) == 9
    assert set(server.runs) == {document["run_id"] for document in documents}
    teacher = next(document["run_id"] for document in documents if document["model"] == "large")
    for document in documents:
        run, methods = server.runs[document["run_id"]], "+".join(document["methods"]) or "none"
        on = {group: group in document["methods"] for group in ("quantize", "distill", "prune")}
        pruned = "-0.4" if on["prune"] else ""
        assert run.project == "combining-compressions"
        assert run.name == f"rte-{document['model']}-{methods}{pruned}-s0"
        assert run.group == f"rte-{document['model']}-{methods}{pruned}"
        assert run.job_type == ("teacher" if document["run_id"] == teacher else "run")
        flat = {key: value for key, value in run.config.items() if key not in ("config", "identity")}
        assert flat == {
            "model": document["model"],
            "task": "rte",
            "methods": methods,
            "quantize": "int8" if on["quantize"] else "none",
            "distill": "kd" if on["distill"] else "none",
            "prune": "magnitude" if on["prune"] else "none",
            "sparsity": 0.4 if on["prune"] else 0,
            "seed": 0,
            "run_id": document["run_id"],
            "schema": document["schema"],
        }
        assert_same(run.config["config"], document["config"], "config")
        assert_same(run.config["identity"], document["identity"], "identity")
        lines = (runs / "rte" / document["model"] / methods / document["run_id"] / "metrics.jsonl").read_text()
        rows = [json.loads(line) for line in lines.splitlines()]
        assert len(rows) == len(run.history) == 20
        expected = {"global_step", "epoch", "loss", "learning_rate", "gradient_norm", "examples_per_second",
                    "tokens_per_second", "seconds"}  # fmt: skip
        expected |= {"sparsity"} if on["prune"] else set()
        expected |= {"ranges_frozen"} if on["quantize"] else set()
        expected |= {"distillation_loss", "label_loss"} if on["distill"] else set()
        for got, row in zip(run.history, rows, strict=True):
            assert set(got) - set(OWN) == set(row) == expected
            assert {key: got[key] for key in expected} == pytest.approx(row)
        for key in set(document) - set(HEAD):
            assert_same(run.summary.get(key), document[key], key)
        assert (run.state, run.exit_code) == ("finished", 0)
        assert run.used_artifacts == (["rte-large-none-s0:v0"] if on["distill"] else [])
        assert run.logged_artifacts == (["rte-large-none-s0:v0"] if document["run_id"] == teacher else [])
    (artifact,) = server.artifacts
    assert (artifact.type, artifact.collection, sorted(artifact.aliases)) == (
        "model", "rte-large-none-s0", sorted(["latest", teacher]),
    )  # fmt: skip
    taught = next(document for document in documents if document["run_id"] == teacher)
    for key in ("score_glue", "score_accuracy", "run_id", "model", "task", "seed"):
        assert artifact.metadata[key] == taught[key]
    assert artifact.metadata["artifact_bytes"] == taught["size"]["artifact_bytes"]
    assert artifact.metadata["nominal_bytes"] == taught["size"]["nominal_bytes"]
    again = launch("sync", str(runs), **server.environment())
    assert (again.returncode, again.stdout.strip()) == (0, "0 uploaded, 9 were there")


def test_steps_are_the_axis_of_all_that_is_logged(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    assert in_child(config, server) == 0
    run = server.runs[identity.run_id(config)]
    assert_complete(run, config)
    axes = [(metric.get("2") or metric.get("1"), metric.get("5")) for metric in run.config_wandb["m"]]
    assert ("*", 2) in axes, "every metric has the second one as its axis"
    assert axes[1][0] == "global_step"
    assert said(config) == []


def test_a_failed_run_says_why_and_the_next_try_is_the_same_run(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT, "train.learning_rate=1e30"))
    assert in_child(config, server) == 3
    run = server.runs[identity.run_id(config)]
    assert (run.state, run.exit_code) == ("failed", 1)
    assert run.summary["failure"].startswith("FloatingPointError: the loss is nan by step")
    assert in_child(config, server) == 3
    assert list(server.runs) == [run.run_id]


# --- interrupted ------------------------------------------------------------------------------------------------------

INTERRUPTED = {
    "stopped twice": [{9: signal.SIGTERM}, {25: signal.SIGUSR2}],
    "killed": [{15: KILL_LATE}],
    "killed after a stop": [{9: signal.SIGTERM}, {25: signal.SIGKILL}, {12: signal.SIGKILL}],
}


@pytest.mark.parametrize("tries", INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interrupted_run_is_one_run_without_gap_or_repetition(
    compose: Compose, server: WandbServer, tries: list[dict[int, int]]
) -> None:
    config = compose(*words(("quantize", "prune"), *SHORT))
    for signals in tries:
        (signum,) = signals.values()
        assert in_child(config, server, signals) == (-9 if abs(signum) == signal.SIGKILL else 128 + signum)
    assert 0 < len(server.runs[identity.run_id(config)].history) < 30, "the server saw a part"
    assert in_child(config, server) == 0
    assert_complete(server.runs[identity.run_id(config)], config, same_process=False)
    assert list(server.runs) == [identity.run_id(config)]


@pytest.mark.parametrize("by", ["launch sync", "wandb sync"])
@pytest.mark.parametrize("tries", INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interrupted_run_that_was_offline_is_one_run_too(
    compose: Compose, server: WandbServer, tries: list[dict[int, int]], by: str, tmp_path: Path
) -> None:
    config = compose(*words(("quantize", "prune"), *SHORT))
    for signals in [*tries, {}]:
        in_child(config, None, {step: abs(signum) for step, signum in signals.items()}, WANDB_MODE="offline")
    assert said(config)[-1] == "offline, as asked for; python -m launch sync uploads"
    if by == "launch sync":
        done = launch("sync", config.paths.runs, **server.environment())
        assert (done.returncode, done.stdout.strip()) == (0, "1 uploaded, 0 were there"), done.stderr
    else:
        logs = sorted((folder_of(config) / "wandb").glob("offline-run-*"))
        subprocess.run(
            [Path(sys.executable).with_name("wandb"), "sync", *logs],
            cwd=tmp_path, env=os.environ | server.environment(), check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        assert_complete(server.runs[identity.run_id(config)], config, same_process=False)
        assert launch("sync", config.paths.runs, **server.environment()).returncode == 0, (
            "and again, which adds nothing"
        )
    assert_complete(server.runs[identity.run_id(config)], config, same_process=False)


def test_the_death_of_the_clients_process_is_survived(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    assert in_child(config, server, {15: KILL_CLIENT}) == 0
    (line,) = said(config)
    assert line.startswith("lost while sending")
    assert document_of(config)["timing"]["steps"] == 30
    assert launch("sync", config.paths.runs, **server.environment()).returncode == 0
    assert_complete(server.runs[identity.run_id(config)], config)


def test_first_online_then_offline_then_uploaded(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    in_child(config, server, {15: signal.SIGTERM})
    in_child(config, server, {25: signal.SIGTERM}, WANDB_MODE="offline")
    part = len(server.runs[identity.run_id(config)].history)
    assert 0 < part < 30
    in_child(config, server, {}, WANDB_MODE="offline")
    assert len(server.runs[identity.run_id(config)].history) == part
    assert launch("sync", config.paths.runs, **server.environment()).returncode == 0
    assert_complete(server.runs[identity.run_id(config)], config, same_process=False)


def test_first_offline_then_online(compose: Compose, server: WandbServer, tmp_path: Path) -> None:
    config = compose(*words((), *SHORT))
    in_child(config, None, {15: signal.SIGTERM}, WANDB_MODE="offline")
    assert in_child(config, server) == 0
    assert_complete(server.runs[identity.run_id(config)], config, same_process=False)
    logs = sorted((folder_of(config) / "wandb").glob("offline-run-*"))
    done = subprocess.run(
        [Path(sys.executable).with_name("wandb"), "sync", *logs],
        cwd=tmp_path, env=os.environ | server.environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Skipped 1 synced run" in done.stderr, "what is there already is not sent a second time"


# --- without a server, or with one that fails -------------------------------------------------------------------------


def test_without_a_key_it_is_offline_and_says_so_in_a_line(compose: Compose, server: WandbServer) -> None:
    config = compose(*words(("distill",), *SHORT))
    assert in_child(config, server, WANDB_API_KEY="") == 0
    assert said(config) == [
        f"offline, no key for {server.url} (wandb login, or WANDB_API_KEY); python -m launch sync uploads"
    ]
    runs = config.paths.runs
    refused = launch("sync", runs, **server.environment() | {"WANDB_API_KEY": ""})
    assert (refused.returncode, refused.stdout) == (2, "")
    assert (
        refused.stderr == f"error: W&B: no key for {server.url} (wandb login, or WANDB_API_KEY); nothing was uploaded\n"
    )
    assert not server.runs
    assert launch("status", runs).stdout.splitlines()[-1].startswith("2 are not in W&B yet: python -m launch sync")
    done = launch("sync", runs, **server.environment())
    assert (done.returncode, done.stdout.strip()) == (0, "2 uploaded, 0 were there"), done.stderr
    assert "W&B" not in launch("status", runs).stdout
    for each in (config, teacher_experiment(config)):
        assert_complete(server.runs[identity.run_id(each)], each)
    assert server.runs[identity.run_id(config)].used_artifacts == ["rte-mini-none-s0:v0"], "the teacher went first"
    before = server.counts.copy()
    again = launch("sync", runs, **server.environment())
    assert (again.returncode, again.stdout.strip()) == (0, "0 uploaded, 2 were there")
    assert server.counts == before, "nobody was asked"


@pytest.mark.parametrize("wrong", [{"WANDB_BASE_URL": "nowhere"}, {"WANDB_API_KEY": "short"}, {"WANDB_SILENT": ""}])
def test_what_the_client_refuses_is_no_reason_to_fail(
    compose: Compose, server: WandbServer, wrong: dict[str, str]
) -> None:
    config = compose(*words((), *SHORT))
    assert in_child(config, server, None, **wrong) == 0
    assert len(said(config)) == ("WANDB_SILENT" not in wrong)
    assert (folder_of(config) / "result.json").exists()


def test_a_wrong_key_is_no_reason_to_fail(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    assert in_child(config, server, WANDB_API_KEY="b" * 40) == 0
    (line,) = said(config)
    assert line.startswith("offline, ")
    assert "not logged in" in line
    assert launch("sync", config.paths.runs, **server.environment()).returncode == 0
    assert_complete(server.runs[identity.run_id(config)], config)


FAULTS = {
    "refused": Fault(refuse=True),
    "503": Fault(status=503),
    "429": Fault(status=429),
    "500 of queries": Fault(status=500, kind="graphql"),
    "503 of rows": Fault(status=503, kind="file_stream"),
    "429 of rows": Fault(status=429, kind="file_stream"),
    "never answers": Fault(hang=True),
    "never answers queries": Fault(hang=True, kind="graphql"),
    "never answers rows": Fault(hang=True, kind="file_stream"),
    "slow": Fault(delay=0.7),
    "very slow": Fault(delay=10.0),
    "cuts its answers": Fault(drop=True),
    "dies in the middle": Fault(refuse=True, after=6),
    "no uploads": Fault(status=503, kind="upload"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_the_server_does_the_result_is_the_same_and_is_uploaded_later(
    compose: Compose, server: WandbServer, fault: Fault, tmp_path: Path
) -> None:
    config = compose(*words((), *SHORT, "tracking.log_artifacts=all"))
    undisturbed = replace(config, paths=replace(config.paths, runs=str(tmp_path / "undisturbed")))
    assert in_child(undisturbed, None, WANDB_MODE="disabled") == 0
    server.fault = fault
    started = time.monotonic()
    assert in_child(config, server) == 0
    took = time.monotonic() - started
    assert took < 7 + 3 * config.tracking.seconds + 4, "to look, to start, to finish, to clean up; and the experiment"
    assert logged(undisturbed) != []
    assert without_clock(logged(config)) == without_clock(logged(undisturbed))
    for key in ("metrics", "size", "score_glue", "sparsity"):
        assert document_of(config)[key] == document_of(undisturbed)[key]
    weights = [(folder_of(each) / "artifact" / "model.safetensors").read_bytes() for each in (config, undisturbed)]
    assert weights[0] == weights[1]
    assert len(said(config)) <= 2
    server.fault = None
    server.start()
    if said(config):
        assert "python -m launch sync" in said(config)[-1]
        done = launch("sync", config.paths.runs, **server.environment())
        assert (done.returncode, done.stdout.strip()) == (0, "1 uploaded, 0 were there"), done.stderr
    assert_complete(server.runs[identity.run_id(config)], config)
    assert [artifact.metadata["run_id"] for artifact in server.artifacts if artifact.state == "COMMITTED"] == [
        identity.run_id(config)
    ]


def test_a_server_that_is_away_again_while_uploading(compose: Compose, server: WandbServer) -> None:
    configs = [compose(*words((), *SHORT, f"seed={seed}")) for seed in range(3)]
    for config in configs:
        in_child(config, None, WANDB_MODE="offline")
    server.fault = Fault(refuse=True, after=14)
    done = launch("sync", configs[0].paths.runs, **server.environment())
    assert done.returncode == 1
    uploaded = int(done.stdout.split()[0])
    assert 0 <= uploaded < 3
    assert done.stderr.count("not uploaded: rte-tiny-none-s") == 3 - uploaded
    server.fault = None
    server.start()
    done = launch("sync", configs[0].paths.runs, **server.environment())
    assert (done.returncode, done.stdout.strip()) == (0, f"{3 - uploaded} uploaded, {uploaded} were there")
    for config in configs:
        assert_complete(server.runs[identity.run_id(config)], config)


def test_what_is_not_tracked_or_still_runs_is_left_alone(compose: Compose, server: WandbServer) -> None:
    configs = [compose(*words((), *SHORT, f"seed={seed}")) for seed in range(2)]
    in_child(configs[0], None, WANDB_MODE="disabled")
    in_child(configs[1], None, {15: signal.SIGTERM}, WANDB_MODE="offline")
    assert not (folder_of(configs[0]) / "wandb").exists()
    assert (folder_of(configs[1]) / "checkpoint" / FILE).is_file()
    claim = experiment.claim_of(configs[1])
    assert claim.take()
    done = launch("sync", configs[0].paths.runs, **server.environment())
    assert (done.returncode, done.stdout.strip()) == (
        0, "0 uploaded, 0 were there, 1 are running, 1 were run without tracking",
    )  # fmt: skip
    claim.release()
    assert not server.runs
    done = launch("sync", configs[0].paths.runs, "--project", "other", **server.environment())
    assert done.returncode == 0, done.stderr
    (run,) = server.runs.values()
    assert (run.project, run.run_id) == ("other", identity.run_id(configs[1]))
    assert 0 < len(run.history) < 30, "a stopped one is there as far as it came"
