"""Students refer to their teachers' weights in W&B; where they could not, it is remembered and made up for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compress.config import identity
from compress.config.run_names import artifact_name
from compress.config.schema import Config, teacher_experiment
from compress.tracking.run_record import FOLDER, UPLOADED, Upload
from launch.sync import reminder
from tests.conftest import Compose
from tests.subsets import words
from tests.tracking.runs import SHORT, assert_whole, folder_of, in_child, result_of, said, synced
from tests.wandb_server import Run, WandbServer


def run_of(server: WandbServer, config: Config) -> Run:
    project = config.tracking.project or "combining-compressions"
    found = server.store.run(None, project, identity.run_id(config))
    assert found is not None
    return found


def weights_of(config: Config) -> str:
    return f"{artifact_name(result_of(config))}:v0"


def reminded(config: Config) -> list[str]:
    runs = Path(config.paths.runs)
    return [line.partition(":")[0] for line in reminder(runs, sorted(runs.glob("*/*/*/*")))]


@pytest.mark.fault(
    "Weights & Biases",
    "a student’s teacher is in another W&B project than the student",
    "the student's run refers to it where it is",
    "nothing",
)
def test_a_teacher_in_another_project_is_referred_to_there(compose: Compose, server: WandbServer) -> None:
    first = compose(*words(("distill",), *SHORT, "tracking.project=a"))
    second = compose(*words(("distill",), *SHORT, "tracking.project=b", "distill.temperature=4"))
    assert identity.run_id(teacher_experiment(first)) == identity.run_id(teacher_experiment(second))
    for config in (first, second):
        assert in_child(config, server) == 0
        assert_whole(run_of(server, config), folder_of(config))
    weights = weights_of(teacher_experiment(first))
    assert run_of(server, first).used_artifacts == [weights]
    assert run_of(server, second).used_artifacts == [f"tester/a/{weights}"]
    upload = Upload.read(folder_of(second))
    assert upload is not None
    assert upload.lineage == f"tester/a/{weights}"
    assert reminded(second) == []
    assert synced(second, server) == (0, "0 uploaded, 3 were there")


@pytest.mark.fault(
    "Weights & Biases",
    "a teacher’s weights are not in W&B when its student starts (their upload failed, or the run was not yet a "
    "teacher when it ran)",
    "the student's run says in log.txt that it has no lineage; `status` counts it",
    "`python -m launch sync RUNS` uploads the weights and adds the lineage",
)
@pytest.mark.parametrize("mode", ["offline", "online"])
def test_a_lineage_that_is_missing_is_made_up_for(compose: Compose, server: WandbServer, mode: str) -> None:
    config = compose(*words(("distill",), *SHORT))
    taught = teacher_experiment(config)
    assert in_child(taught, server, WANDB_MODE=mode) == 0
    assert in_child(config, server) == 0
    assert server.artifacts == []
    reason = {"offline": "its teacher is not uploaded yet", "online": "its teacher's weights are not uploaded yet"}
    assert [line.rpartition(": ")[2] for line in said(config)] == [reason[mode]]
    assert reminded(config)[-1] == "1 lack their teacher in W&B"
    assert synced(config, server) == (0, "2 uploaded, 0 were there")
    assert run_of(server, config).used_artifacts == [weights_of(taught)]
    for each in (config, taught):
        assert_whole(run_of(server, each), folder_of(each), same_process=False)
    assert reminded(config) == []
    assert synced(config, server) == (0, "0 uploaded, 2 were there")


def test_a_run_that_an_older_version_uploaded_gets_its_lineage(compose: Compose, server: WandbServer) -> None:
    config = compose(*words(("distill",), *SHORT))
    taught = teacher_experiment(config)
    assert in_child(config, server) == 0
    for each in (config, taught):
        file = folder_of(each) / FOLDER / UPLOADED
        there = json.loads(file.read_text())
        file.write_text(json.dumps({key: there[key] for key in ("url", "rows", "exit_code")}))
    run_of(server, config).used_artifacts.clear()
    assert synced(config, server) == (0, "2 uploaded, 0 were there")
    assert run_of(server, config).used_artifacts == [weights_of(taught)]
    assert len(server.artifacts) == 1, "the same weights are no second version"


@pytest.mark.fault(
    "Weights & Biases",
    "a teacher was run without tracking",
    "log.txt and `launch sync` say that its students have no lineage",
    "nothing",
)
def test_a_teacher_without_tracking_is_said_and_nothing_is_missing(compose: Compose, server: WandbServer) -> None:
    config = compose(*words(("distill",), *SHORT))
    assert in_child(teacher_experiment(config), None, WANDB_MODE="disabled") == 0
    assert in_child(config, None, WANDB_MODE="offline") == 0
    code, told = synced(config, server)
    assert (code, told) == (
        0, "1 uploaded, 0 were there, 1 were run without tracking, 1 without their teacher, which was",
    )  # fmt: skip
    assert synced(config, server) == (0, "0 uploaded, 1 were there, 1 were run without tracking")
    assert reminded(config) == []
