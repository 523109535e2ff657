"""No experiment depends on Weights & Biases: servers that fail in every way, and a client that does."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from compress.config import identity
from tests.conftest import Compose
from tests.subsets import words
from tests.tracking.runs import (
    KILL_CLIENT,
    SHORT,
    assert_complete,
    document_of,
    folder_of,
    in_child,
    launch,
    logged,
    said,
    without_clock,
)
from tests.wandb_server import Fault, WandbServer


def test_the_death_of_the_clients_process_is_survived(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    assert in_child(config, server, {15: KILL_CLIENT}) == 0
    (line,) = said(config)
    assert line.startswith("lost while sending")
    assert document_of(config)["timing"]["steps"] == 30
    assert launch("sync", config.paths.runs, **server.environment()).returncode == 0
    assert_complete(server, config)


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
    assert_complete(server, config)


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
    assert logged(folder_of(undisturbed)) != []
    assert without_clock(logged(folder_of(config))) == without_clock(logged(folder_of(undisturbed)))
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
    assert_complete(server, config)
    assert [artifact.metadata["run_id"] for artifact in server.artifacts if artifact.state == "COMMITTED"] == [
        identity.run_id(config)
    ]
