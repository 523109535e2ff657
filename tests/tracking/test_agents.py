"""`wandb sweep` and `wandb agent`: W&B's own sweeps run this program, an experiment each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from compress.config import identity
from compress.config.schema import from_mapping
from tests.conftest import ROOT
from tests.tracking.runs import SHORT, assert_same
from tests.wandb_server import WandbServer

COMMAND = ["${env}", sys.executable, "-m", "compress", "${args_no_hyphens}"]


def environment(server: WandbServer) -> dict[str, str]:
    return os.environ | {"NETRC": os.devnull, "PYTHONPATH": str(ROOT)} | server.environment()


def told(server: WandbServer, place: Path, *words: str) -> None:
    done = subprocess.run([str(Path(sys.executable).parent / "wandb"), *words], cwd=place, env=environment(server),
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def run_here(server: WandbServer, place: Path, *words: str, **variables: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=place, env=environment(server) | variables,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sweep_of(place: Path, server: WandbServer, parameters: dict[str, list[Any]]) -> str:
    """The name of a sweep over these parameters, and the short demo's settings."""
    fixed = dict(
        word.split("=", 1) for word in ("model=demo/tiny", "data=demo", "train=demo", *SHORT, "paths.runs=runs")
    )
    asked: dict[str, dict[str, Any]] = {name: {"value": value} for name, value in fixed.items()}
    asked |= {name: {"values": values} for name, values in parameters.items()}
    config = {"method": "grid", "metric": {"name": "score_accuracy", "goal": "maximize"}, "command": COMMAND,
              "parameters": asked}  # fmt: skip
    (place / "sweep.yaml").write_text(yaml.safe_dump(config))
    told(server, place, "sweep", "--project", "tuning", "sweep.yaml")
    return next(reversed(server.store.sweeps))


def test_an_agent_runs_an_experiment_in_each_of_its_runs(server: WandbServer, tmp_path: Path) -> None:
    name = sweep_of(tmp_path, server, {"quantize": ["none", "int8"], "train.learning_rate": [0.001]})
    told(server, tmp_path, "agent", f"tester/tuning/{name}")
    results = [json.loads(path.read_text()) for path in sorted((tmp_path / "runs").glob("*/*/*/*/result.json"))]
    assert sorted(finished["methods"] for finished in results) == [[], ["quantize"]]
    assert server.store.sweeps[name].given == [f"{name}-0", f"{name}-1"] == list(server.runs)
    for finished in results:
        run = server.runs[f"{name}-{1 if finished['methods'] else 0}"]
        assert (run.sweep, run.project, run.state, run.exit_code) == (name, "tuning", "finished", 0)
        assert run.config["run_id"] == finished["run_id"] == identity.run_id(from_mapping(finished["config"]))
        assert (run.config["agents_run"], run.config["train.learning_rate"]) == (run.run_id, 0.001)
        assert run.summary["score_accuracy"] == finished["score_accuracy"]
        assert_same(run.config["config"], finished["config"], "config")
    # finished already: a second agent's run has the result all the same
    agents = {"WANDB_SWEEP_ID": name, "WANDB_RUN_ID": "again", "WANDB_PROJECT": "tuning", "WANDB_ENTITY": "tester"}
    words = ("model=demo/tiny", "data=demo", "train=demo", *SHORT, "paths.runs=runs", "quantize=int8",
             "train.learning_rate=0.001")  # fmt: skip
    run_here(server, tmp_path, "-m", "compress", *words, **agents)
    assert len(list((tmp_path / "runs").glob("*/*/*/*/result.json"))) == 2
    first, second = server.runs[f"{name}-1"], server.runs["again"]
    assert second.summary["score_accuracy"] == first.summary["score_accuracy"]
    assert [row["loss"] for row in second.history] == [row["loss"] for row in first.history]
    read = "from analysis.read.online import read_wandb; print(*sorted(read_wandb('tester/tuning').runs['run_id']))"
    said = run_here(server, tmp_path, "-c", read)  # in a process of its own: the client does not survive a fork
    assert said.split() == sorted(finished["run_id"] for finished in results)


@pytest.mark.fault(
    "Weights & Biases",
    "an agent's file of parameters (`WANDB_SWEEP_PARAM_PATH`) is gone or damaged",
    "refused in one line, before anything is written",
    "as the line says: unset the agent’s variables where no agent runs",
)
def test_what_an_agent_asks_for_is_read_or_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_RUN_ID", "trial")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "gone.yaml"))
    words = (
        "model=demo/tiny",
        "data=demo",
        "train=demo",
        *SHORT,
        "tracking.mode=offline",
        f"paths.runs={tmp_path / 'runs'}",
    )
    done = subprocess.run([sys.executable, "-m", "compress", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: WANDB_SWEEP_PARAM_PATH={tmp_path / 'gone.yaml'}: cannot be read")
    assert "unset WANDB_SWEEP_ID and WANDB_RUN_ID" in line
    assert not (tmp_path / "runs").exists()
