"""What W&B's own settings are heeded for, variables and files, and that nothing makes a run another one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compress import experiment
from compress.config import identity
from compress.config.run_names import cell_name, names, run_name
from compress.errors import ConfigError
from compress.tracking import wandb_settings
from compress.tracking.run_record import FOLDER, UPLOADED, run_record
from compress.tracking.tracking_options import check, mode_of, project_of
from tests.conftest import ROOT, Compose
from tests.subsets import words
from tests.tracking.runs import SHORT, assert_complete, assert_whole, folder_of, in_child, said, synced
from tests.wandb_server import WandbServer


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a folder of W&B's for this user that is empty too."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "user"))
    return here


def write_settings(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings").write_text(text)


# --- every experiment is the run of its own id ------------------------------------------------------------------------


@pytest.mark.fault(
    "Weights & Biases",
    "the environment holds W&B’s variables of another run or of a launched job (`WANDB_RUN_ID`, `WANDB_RESUME` …)",
    "they are ignored: every experiment is the W&B run of its own id; one line names the ignored variables",
    "nothing",
)
def test_no_environment_makes_a_run_another_one(compose: Compose, server: WandbServer, elsewhere: Path) -> None:
    foreign = elsewhere / "foreign.yaml"
    foreign.write_text("task:\n  value: another\nseed:\n  value: 99\n")
    agents = {"WANDB_RUN_ID": "agents", "WANDB_RESUME": "must", "WANDB_LAUNCH": "true"}
    agents |= {"WANDB_SWEEP_PARAM_PATH": str(foreign), "WANDB_CONFIG_PATHS": str(foreign), "WANDB_CONFIG": "{}"}
    configs = [compose(*words((), *SHORT, f"seed={seed}")) for seed in (0, 1)]
    for config in configs:
        assert in_child(config, server, None, **agents) == 0
    assert list(server.runs) == [identity.run_id(config) for config in configs]
    for config in configs:
        assert_complete(server, config)
        run = server.runs[identity.run_id(config)]
        assert (run.config["task"], run.config["seed"]) == ("rte", config.seed)
        (line,) = said(config)
        assert "WANDB_RUN_ID and WANDB_SWEEP_PARAM_PATH" in line
        assert line.endswith("do not count: every experiment is the run of its own id")


@pytest.mark.fault(
    "Weights & Biases",
    "the client starts a W&B run with another id than it was asked for",
    "the experiment says so, goes on without W&B and is not marked as uploaded",
    "`python -m launch sync RUNS`",
)
def test_another_run_than_was_asked_for_is_not_marked_as_uploaded(
    compose: Compose, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    real, config = wandb.init, compose(*words((), *SHORT))

    def another(**asked: Any) -> Any:
        return real(**asked | {"id": "agents"})

    with monkeypatch.context() as patched:
        patched.setattr(wandb, "init", another)
        assert in_child(config, server) == 0
    (line,) = said(config)
    assert line == f"off, the client started a run with id agents instead of {identity.run_id(config)}"
    assert not (folder_of(config) / FOLDER / UPLOADED).exists()
    assert synced(config, server) == (0, "1 uploaded, 0 were there")
    assert_whole(server.store.runs["tester", "combining-compressions", identity.run_id(config)], folder_of(config))


# --- what is heeded where the configuration says nothing --------------------------------------------------------------


def test_the_environment_says_where_and_as_what(compose: Compose, server: WandbServer, elsewhere: Path) -> None:
    files = elsewhere / "scratch"
    wanted = {"PROJECT": "theirs", "NAME": "my run", "RUN_GROUP": "ablation", "JOB_TYPE": "probe", "TAGS": "a,b"}
    wanted |= {"NOTES": "why", "ENTITY": "tester", "DIR": str(files)}
    environment = {f"WANDB_{name}": value for name, value in wanted.items()}
    config = compose(*words(("distill",), *SHORT))
    assert in_child(config, server, None, **environment) == 0
    taught, run = server.runs.values()
    assert (run.run_id, run.project, run.entity) == (identity.run_id(config), "theirs", "tester")
    assert (run.name, run.group, run.job_type) == ("my run", "ablation", "probe")
    assert (run.tags, run.notes) == (["a", "b"], "why")
    assert (taught.name, taught.project) == ("my run-rte-mini-none-demo-max_steps=40-max_train=160-s0", "theirs")
    assert run.used_artifacts != []
    assert_complete(server, config)
    assert len(list((files / "wandb").glob(f"run-*-{run.run_id}"))) == 1
    assert list((folder_of(config) / FOLDER).glob("*run-*")) == []
    assert said(config) == []


def test_the_configurations_tags_and_notes_count_more_and_are_kept_for_an_upload(
    compose: Compose, server: WandbServer, elsewhere: Path
) -> None:
    config = compose(*words((), *SHORT), "tracking.tags=[pilot,a100]", "tracking.notes=a first look")
    environment = {"WANDB_TAGS": "a,b", "WANDB_NOTES": "why"}
    assert in_child(config, None, None, WANDB_MODE="offline", **environment) == 0
    assert synced(config, server) == (0, "1 uploaded, 0 were there")
    (run,) = server.runs.values()
    assert (sorted(run.tags), run.notes) == (["a100", "pilot"], "a first look")
    for wrong in ("tracking.tags=['']", f"tracking.tags=[{'x' * 65}]"):
        with pytest.raises(ConfigError, match=r"tracking\.tags"):
            compose("task=rte", wrong)


def test_offline_logs_in_a_folder_of_their_own_are_told_apart(
    compose: Compose, server: WandbServer, elsewhere: Path
) -> None:
    first = compose(*words((), *SHORT))
    second = replace(first, paths=replace(first.paths, runs=str(elsewhere / "others")))
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(elsewhere / "scratch")}
    for config in (first, second, replace(first, force=True)):
        assert in_child(config, None, None, **offline) == 0
    logs = list((elsewhere / "scratch" / "wandb").glob(f"offline-run-*-{identity.run_id(first)}*"))
    assert len(logs) == 2, "one each: the second try of the first replaced its own alone"


def test_the_configuration_counts_more_than_the_environment_and_that_more_than_files(
    compose: Compose, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(*words((), *SHORT))
    head = experiment.describe(config, identity.run_id(config))

    def shown(tracking: Any = config.tracking, **how: Any) -> tuple[str | None, ...]:
        made = run_record(tracking, head, names(head), teaches=False, uses=None, **how)
        return made.project, made.entity, made.group, made.job_type, made.name

    assert shown() == ("combining-compressions", None, cell_name(head), "run", run_name(head))
    write_settings(Path(os.environ["WANDB_CONFIG_DIR"]), "[default]\nproject = user\nentity = us\nrun_group = all\n")
    assert shown() == ("user", "us", "all", "run", run_name(head))
    write_settings(elsewhere / "wandb", "[default]\nproject = here\n")
    assert shown()[:3] == ("here", "us", "all")
    for name, value in (("PROJECT", "now"), ("RUN_GROUP", "g"), ("JOB_TYPE", "j"), ("NAME", "n")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    assert shown() == ("now", "us", "g", "j", f"n-{run_name(head)}"), "one name for a whole sweep is none"
    assert shown(single=True)[4] == "n"
    tracking = replace(config.tracking, project="ours", entity="lab", group="mine")
    assert shown(tracking)[:3] == ("ours", "lab", "mine")


MODES = {
    "nothing": ({}, "", "", "online"),
    "an empty variable": ({"WANDB_MODE": "", "WANDB_DISABLED": ""}, "", "", "online"),
    "wandb offline": ({}, "", "offline", "offline"),
    "wandb disabled for all": ({}, "disabled", "", "disabled"),
    "wandb enabled here": ({}, "disabled", "online", "online"),
    "the variable counts more": ({"WANDB_MODE": "online"}, "disabled", "offline", "online"),
    "dryrun": ({"WANDB_MODE": "dryrun"}, "", "", "offline"),
    "switched off": ({"WANDB_DISABLED": "true", "WANDB_MODE": "online"}, "", "online", "disabled"),
    "not switched off": ({"WANDB_DISABLED": "false"}, "", "offline", "offline"),
}


@pytest.mark.parametrize(("variables", "of_user", "here", "mode"), MODES.values(), ids=MODES)
def test_whether_anything_is_sent(
    compose: Compose, elsewhere: Path, monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str], of_user: str, here: str, mode: str,
) -> None:  # fmt: skip
    tracking = compose(*words((), *SHORT)).tracking
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for folder, said_there in ((Path(os.environ["WANDB_CONFIG_DIR"]), of_user), (elsewhere / "wandb", here)):
        if said_there:
            write_settings(folder, f"[default]\nmode = {said_there}\n")
    assert mode_of(tracking) == mode
    assert mode_of(replace(tracking, mode="offline")) == "offline", "what the configuration says counts most"
    assert mode_of(replace(tracking, name="none")) == "disabled"


WRONG = {
    "WANDB_MODE=bogus: must be of online, offline, disabled; unset it": {"WANDB_MODE": "bogus"},
    "WANDB_MODE=ofline: must be of online, offline, disabled (did you mean offline?)": {"WANDB_MODE": "ofline"},
    "WANDB_DISABLED=maybe: must be true or false": {"WANDB_DISABLED": "maybe"},
    "WANDB_PROJECT=a/b: must have none of": {"WANDB_PROJECT": "a/b"},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be_meant_is_refused(compose: Compose, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    tracking = compose(*words((), *SHORT)).tracking
    for name, value in WRONG[message].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=re.escape(message)):
        check(tracking)
    check(replace(tracking, name="none"))
    if "WANDB_PROJECT" not in message:
        check(replace(tracking, mode="online"))


def test_a_settings_file_that_means_nothing_is_refused_by_its_name(compose: Compose, elsewhere: Path) -> None:
    tracking = compose(*words((), *SHORT)).tracking
    write_settings(elsewhere / "wandb", "[default]\nmode = bogus\n")
    with pytest.raises(ConfigError, match=r"wandb/settings: mode=bogus: must be of .*; remove it or correct it"):
        check(tracking)
    assert project_of(replace(tracking, project="p")) == "p"
    with pytest.raises(ConfigError, match=r"tracking.project=a#b: must have none of"):
        project_of(replace(tracking, project="a#b"))


@pytest.mark.fault(
    "Weights & Biases",
    "`WANDB_MODE`, or the mode in a settings file, has a value that W&B does not know",
    "one line and exit code 2, before anything is planned or written",
    "correct it",
)
@pytest.mark.parametrize("module", ["compress", "launch"])
def test_a_mode_that_is_none_is_refused_when_planning(elsewhere: Path, module: str) -> None:
    command = [sys.executable, "-m", module, *(["plan"] if module == "launch" else []), "data=demo", "model=demo/tiny"]
    environment = os.environ | {"WANDB_MODE": "bogus", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: WANDB_MODE=bogus: must be of online, offline, disabled; unset it or correct it\n"
    )  # fmt: skip
    assert list(elsewhere.iterdir()) == []


def test_empty_variables_are_none(compose: Compose, server: WandbServer) -> None:
    config = compose(*words((), *SHORT))
    names = ("MODE", "RUN_ID", "SWEEP_ID", "TAGS", "PROJECT", "NAME", "RUN_GROUP", "DIR", "ENTITY", "RESUME")
    assert in_child(config, server, None, **{f"WANDB_{name}": "" for name in names}) == 0
    assert said(config) == []
    assert_complete(server, config)


def test_the_clients_own_commands_are_heeded(compose: Compose, server: WandbServer, elsewhere: Path) -> None:
    def wandb(word: str) -> None:
        tool = Path(sys.executable).with_name("wandb")
        subprocess.run([tool, word], cwd=elsewhere, check=True, capture_output=True, timeout=100)

    config = compose(*words((), *SHORT))
    wandb("disabled")
    assert in_child(config, server, WANDB_MODE="") == 0
    assert not (folder_of(config) / FOLDER).exists()
    wandb("offline")
    config = compose(*words((), *SHORT, "seed=1"))
    assert in_child(config, server, WANDB_MODE="") == 0
    assert said(config) == ["offline, as asked for; python -m launch sync uploads"]
    assert not server.runs


DAMAGED = {
    "no section": ("mode = offline\n", "cannot be read and counts for nothing (File contains no section headers"),
    "no text": ("[default]\nx = \udc80\n", "cannot be read and counts for nothing ('utf-8' codec can't decode"),
    "no such setting": ("[default]\nmood = good\n", "the client heeds nothing of it (mood=good: Extra inputs are not"),
}


@pytest.mark.fault(
    "Weights & Biases",
    "one of W&B’s settings files is damaged",
    "one line names it; it is ignored",
    "correct or remove it",
)
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_settings_file_is_one_line(compose: Compose, server: WandbServer, elsewhere: Path, kind: str) -> None:
    text, told = DAMAGED[kind]
    (elsewhere / "wandb").mkdir()
    (elsewhere / "wandb" / "settings").write_bytes(text.encode(errors="surrogateescape"))
    config = compose(*words((), *SHORT))
    assert in_child(config, server) == 0
    assert said(config)[0].startswith(f"wandb/settings {told}" if kind != "no such setting" else "wandb/settings: ")
    assert told in said(config)[0]
    if kind != "no text":  # the client itself does not get over that one
        assert len(said(config)) == 1
        assert_complete(server, config)
    assert wandb_settings.values_in(elsewhere / "nowhere") == {}
