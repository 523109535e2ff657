"""Weights & Biases: what the real client tells a stand-in for its server, also of runs that are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from compress import experiment
from compress.config import identity
from compress.config.run_names import artifact_name, factors, names
from compress.config.schema import Config, teacher_experiment
from compress.errors import ConfigError
from compress.runs import environment
from compress.runs.result import Result, from_document
from compress.tracking import tracking_options
from compress.tracking.run_record import run_record
from tests import grids
from tests.conftest import Compose
from tests.subsets import words
from tests.tracking.runs import (
    FAILED,
    KILL_LATE,
    SHORT,
    assert_complete,
    assert_same,
    assert_whole,
    document_of,
    folder_of,
    in_child,
    launch,
    logged,
    read_result,
    said,
    synced,
)
from tests.wandb_server import WandbServer


def taught_by(config: Config) -> Result:
    """What the teacher of an experiment would come to."""
    head = experiment.describe(teacher_experiment(config), identity.run_id(teacher_experiment(config)))
    return replace(from_document(grids.document(head.task, head.model, "none", 90.0)), **vars(head))


# --- what a run is called and what it does ----------------------------------------------------------------------------


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
    teacher = replace(taught_by(config), run_id="ba9876543210")
    record = run_record(
        config.tracking, head, names(head), teaches=teaches, uses=f"{artifact_name(teacher)}:{teacher.run_id}"
    )
    assert record.logs == (artifact_name(head) if logs else None)
    assert record.uses == (f"{artifact_name(teacher)}:ba9876543210" if uses else None)
    assert record.job_type == ("teacher" if teaches else "run")


def test_an_unknown_mode_in_the_environment_is_refused(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(*words((), *SHORT))
    for value, mode in (("", "online"), ("offline", "offline"), ("disabled", "disabled")):
        monkeypatch.setenv("WANDB_MODE", value)
        assert tracking_options.mode_of(config.tracking) == mode
    monkeypatch.setenv("WANDB_MODE", "of")
    with pytest.raises(ConfigError, match="WANDB_MODE=of: must be of online, offline, disabled"):
        tracking_options.mode_of(config.tracking)
    assert tracking_options.mode_of(replace(config.tracking, mode="offline")) == "offline"


# --- all is well ------------------------------------------------------------------------------------------------------


def test_a_grid_is_on_the_server_field_by_field(server: WandbServer, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    grid = ["model=demo/tiny", "data=demo", "train=demo", "task=rte", "quantize=none,int8", "distill=none,kd",
            "distill.weak_teacher=true",
            "prune=none,magnitude", "train.max_steps=20", "data.max_train=160", f"paths.runs={runs}"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "compress", "-m", *grid],
        cwd=tmp_path, env=os.environ | {"NETRC": os.devnull} | server.environment(), capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    results = [read_result(path.parent) for path in sorted(runs.glob("*/*/*/*/result.json"))]
    assert len(results) == 9
    assert set(server.runs) == {finished.run_id for finished in results}
    taught = next(finished for finished in results if finished.model == "large")
    teacher, weights = taught.run_id, artifact_name(taught)
    for finished in results:
        document = finished.document()
        run, methods = server.runs[document["run_id"]], "+".join(document["methods"]) or "none"
        on = {group: group in document["methods"] for group in ("quantize", "distill", "prune")}
        assert run.project == "combining-compressions"
        pruned = "-0.4" if on["prune"] else ""
        cell = f"rte-{document['model']}-{methods}{pruned}-demo-max_steps=20-max_train=160"
        assert (run.name, run.group) == (f"{cell}-s0", cell)
        assert run.job_type == ("teacher" if document["run_id"] == teacher else "run")
        flat = {key: value for key, value in run.config.items() if key not in ("compression", "config", "identity")}
        assert flat == factors(finished) | environment.place("cpu")
        (seen,) = run.config_wandb["e"].values()  # what the dashboard shows as the run's command
        assert (seen["program"], seen["args"]) == ("-m compress", ["-m", *grid])
        assert (
            flat
            | {
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
                "cell": cell,
            }
            == flat
        )
        assert_same(run.config["config"], document["config"], "config")
        assert_same(run.config["identity"], document["identity"], "identity")
        folder = runs / "rte" / document["model"] / methods / document["run_id"]
        assert_whole(run, folder)
        expected = {"global_step", "epoch", "loss", "learning_rate", "gradient_norm", "examples_per_second",
                    "tokens_per_second", "seconds"}  # fmt: skip
        expected |= {"sparsity"} if on["prune"] else set()
        expected |= {"ranges_frozen"} if on["quantize"] else set()
        expected |= {"distillation_loss", "label_loss"} if on["distill"] else set()
        rows = logged(folder)
        assert len(rows) == 20
        assert all(set(row) == expected for row in rows)
        assert run.used_artifacts == ([f"{weights}:v0"] if on["distill"] else [])
        assert run.logged_artifacts == ([f"{weights}:v0"] if document["run_id"] == teacher else [])
    (artifact,) = server.artifacts
    assert (artifact.type, artifact.collection, sorted(artifact.aliases)) == (
        "model", weights, sorted(["latest", teacher]),
    )  # fmt: skip
    for key in ("score_glue", "score_accuracy", "run_id", "model", "task", "seed"):
        assert artifact.metadata[key] == getattr(taught, key)
    assert artifact.metadata["artifact_bytes"] == taught.size.artifact_bytes
    assert artifact.metadata["nominal_bytes"] == taught.size.nominal_bytes
    again = launch("sync", str(runs), **server.environment())
    assert (again.returncode, again.stdout.strip()) == (0, "0 uploaded, 9 were there")


def test_steps_are_the_axis_of_all_that_is_logged(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    assert in_child(config, server) == 0
    run = server.runs[identity.run_id(config)]
    assert_complete(server, config)
    axes = [(metric.get("2") or metric.get("1"), metric.get("5")) for metric in run.config_wandb["m"]]
    assert ("*", 2) in axes, "every metric has the second one as its axis"
    assert axes[1][0] == "global_step"
    assert said(config) == []


def test_a_failed_run_says_why_and_the_next_try_is_the_same_run(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT, "train.learning_rate=1e30"))
    assert in_child(config, server) == FAILED
    run = server.runs[identity.run_id(config)]
    assert (run.state, run.exit_code) == ("failed", 1)
    assert run.summary["failure"].startswith("FloatingPointError: the loss is nan by step")
    assert in_child(config, server) == FAILED
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
    assert_complete(server, config, same_process=False)
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
        assert_complete(server, config, same_process=False)
        assert launch("sync", config.paths.runs, **server.environment()).returncode == 0, (
            "and again, which adds nothing"
        )
    assert_complete(server, config, same_process=False)


def test_first_online_then_offline_then_uploaded(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    in_child(config, server, {15: signal.SIGTERM})
    in_child(config, server, {25: signal.SIGTERM}, WANDB_MODE="offline")
    part = len(server.runs[identity.run_id(config)].history)
    assert 0 < part < 30
    in_child(config, server, {}, WANDB_MODE="offline")
    assert len(server.runs[identity.run_id(config)].history) == part
    assert launch("sync", config.paths.runs, **server.environment()).returncode == 0
    assert_complete(server, config, same_process=False)


def test_first_offline_then_online(compose: Compose, server: WandbServer, tmp_path: Path) -> None:
    config = compose(*words((), *SHORT))
    in_child(config, None, {15: signal.SIGTERM}, WANDB_MODE="offline")
    assert in_child(config, server) == 0
    assert_complete(server, config, same_process=False)
    logs = sorted((folder_of(config) / "wandb").glob("offline-run-*"))
    done = subprocess.run(
        [Path(sys.executable).with_name("wandb"), "sync", *logs],
        cwd=tmp_path, env=os.environ | server.environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Skipped 1 synced run" in done.stderr, "what is there already is not sent a second time"


# --- anew -------------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "Weights & Biases",
    "`force=true` runs again what W&B has",
    "the W&B run is rewound and shows the curve of the new training, even if this was killed and continued, or "
    "was offline",
    "nothing",
)
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_training_that_starts_anew_has_its_own_curve(compose: Compose, server: WandbServer, mode: str) -> None:
    config = compose(*words(("prune",), *SHORT))
    assert in_child(config, server) == 0
    before = logged(folder_of(config))
    forced = replace(config, force=True)
    assert in_child(forced, server, {25: signal.SIGTERM}, WANDB_MODE=mode) == 128 + signal.SIGTERM
    assert in_child(forced, server, WANDB_MODE=mode) == 0
    if mode == "offline":
        assert [row["seconds"] for row in server.runs[identity.run_id(config)].history] == [
            pytest.approx(row["seconds"]) for row in before
        ]
        assert synced(config, server) == (0, "1 uploaded, 0 were there")
    assert_complete(server, config)
    assert len(before) == len(logged(folder_of(config))), "metrics.jsonl has the new training's rows alone"
    assert before[0]["seconds"] != logged(folder_of(config))[0]["seconds"]
    assert server.runs[identity.run_id(config)].summary.get("failure") is None
    assert not server.store.deleted


def test_with_a_server_that_does_not_rewind_both_curves_are_there_and_said(
    compose: Compose, server: WandbServer
) -> None:
    config = compose(*words((), *SHORT))
    assert in_child(config, server) == 0
    before = logged(folder_of(config))
    server.store.rewinds = False
    assert in_child(replace(config, force=True), server) == 0
    (line,) = said(config)
    assert line.startswith("the earlier training's curve stays, before the new one (CommError: failed to rewind run")
    run, now = server.runs[identity.run_id(config)], logged(folder_of(config))
    assert [row["seconds"] for row in run.history] == [pytest.approx(row["seconds"]) for row in (*before, *now)]
    assert run.summary["timing"]["wall_seconds"] == pytest.approx(document_of(config)["timing"]["wall_seconds"])
