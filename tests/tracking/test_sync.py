"""`python -m launch sync`: what Weights & Biases does not have is uploaded, once."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from compress import experiment
from compress.config import identity
from compress.config.run_names import artifact_name
from compress.config.schema import teacher_experiment
from compress.training.checkpoint import FILE
from launch.sync import reminder
from tests.conftest import Compose
from tests.subsets import words
from tests.tracking.runs import (
    SHORT,
    assert_complete,
    folder_of,
    in_child,
    launch,
    result_of,
    said,
    synced,
)
from tests.wandb_server import Fault, WandbServer


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
        assert_complete(server, each)
    taught = result_of(teacher_experiment(config))
    assert server.runs[identity.run_id(config)].used_artifacts == [f"{artifact_name(taught)}:v0"], (
        "the teacher went first"
    )
    before = server.counts.copy()
    again = launch("sync", runs, **server.environment())
    assert (again.returncode, again.stdout.strip()) == (0, "0 uploaded, 2 were there")
    assert server.counts == before, "nobody was asked"


def test_a_server_that_is_away_again_while_uploading(compose: Compose, server: WandbServer) -> None:
    configs = [compose(*words((), *SHORT, f"seed={seed}")) for seed in range(3)]
    for config in configs:
        in_child(config, None, WANDB_MODE="offline")
    server.fault = Fault(refuse=True, after=14)
    done = launch("sync", configs[0].paths.runs, **server.environment())
    assert done.returncode == 1
    uploaded = int(done.stdout.split()[0])
    assert 0 <= uploaded < 3
    assert done.stderr.count("not uploaded: rte-tiny-none-demo-") == 3 - uploaded
    server.fault = None
    server.start()
    done = launch("sync", configs[0].paths.runs, **server.environment())
    assert (done.returncode, done.stdout.strip()) == (0, f"{3 - uploaded} uploaded, {uploaded} were there")
    for config in configs:
        assert_complete(server, config)


def test_what_is_not_tracked_or_still_runs_is_left_alone(compose: Compose, server: WandbServer) -> None:
    configs = [compose(*words((), *SHORT, f"seed={seed}")) for seed in range(2)]
    in_child(configs[0], None, WANDB_MODE="disabled")
    in_child(configs[1], None, {15: signal.SIGTERM}, WANDB_MODE="offline")
    assert not (folder_of(configs[0]) / "wandb").exists()
    assert (folder_of(configs[1]) / "checkpoint" / FILE).is_file()
    lock = experiment.lock_of(configs[1])
    assert lock.take()
    done = launch("sync", configs[0].paths.runs, **server.environment())
    assert (done.returncode, done.stdout.strip()) == (
        0, "0 uploaded, 0 were there, 1 are running, 1 were run without tracking",
    )  # fmt: skip
    lock.release()
    assert not server.runs
    done = launch("sync", configs[0].paths.runs, "--project", "other", **server.environment())
    assert done.returncode == 0, done.stderr
    (run,) = server.runs.values()
    assert (run.project, run.run_id) == ("other", identity.run_id(configs[1]))
    assert 0 < len(run.history) < 30, "a stopped one is there as far as it came"


@pytest.mark.fault(
    "Weights & Biases",
    "`wandb/card.json` of a run is damaged, or a newer version's; `uploaded.json` is damaged",
    "one line names it, exit code 1, the others are uploaded; without a sound `uploaded.json` a run is uploaded again",
    "see the line",
)
def test_a_damaged_card_is_told_and_the_others_go_on(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    assert in_child(config, None, WANDB_MODE="offline") == 0
    sound = folder_of(config)
    card = json.loads((sound / "wandb" / "card.json").read_text())
    damaged = {
        "0" * 12: ("{", "Invalid JSON"),
        "1" * 12: ("[]", "Input should be an object"),
        "2" * 12: (json.dumps(card | {"colour": "red"}), "its colour is 'red': Unexpected keyword argument"),
        "3" * 12: (json.dumps({key: card[key] for key in card if key != "seconds"}), "it has no 'seconds'"),
        "4" * 12: (json.dumps(card | {"config": "none"}), "its config is 'none': "),
    }
    for run_id, (text, _) in damaged.items():
        (sound.with_name(run_id) / "wandb").mkdir(parents=True)
        (sound.with_name(run_id) / "wandb" / "card.json").write_text(text)
    below = Path(config.paths.runs) / "demo" / "rte" / "tiny" / "none"
    below.mkdir(parents=True)
    code, told = synced(config, server)
    first, *rest = told.splitlines()
    assert (code, first) == (1, "1 uploaded, 0 were there")
    assert len(rest) == len(damaged)
    for line, (run_id, (_, cause)) in zip(rest, damaged.items(), strict=True):
        assert line.startswith(
            f"not uploaded: {sound.with_name(run_id) / 'wandb' / 'card.json'}: damaged, or of another"
        )
        assert cause in line
    assert_complete(server, config)
    (sound / "wandb" / "uploaded.json").write_text("[")
    assert reminder(Path(config.paths.runs), [sound, *map(sound.with_name, damaged)]) == [
        f"6 are not in W&B yet: python -m launch sync {config.paths.runs}   uploads them"
    ]
    assert synced(config, server)[1].startswith("1 uploaded, 0 were there")
    assert_complete(server, config)


@pytest.mark.parametrize("text", ["{", "[]", '{"colour": "red"}'])
def test_a_damaged_card_is_no_obstacle_to_the_experiment(compose: Compose, server: WandbServer, text: str) -> None:
    config = compose(*words((), *SHORT))
    (folder_of(config) / "wandb").mkdir(parents=True)
    (folder_of(config) / "wandb" / "card.json").write_text(text)
    assert in_child(config, server) == 0
    assert_complete(server, config)
