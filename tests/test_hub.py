"""A name becomes a whole, verified folder or one line: the hub's real client against a hub of the tests' own."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from pyarrow import parquet
from safetensors.torch import load as load_tensors

from compress import experiment
from compress.data import corpus, demo, tokenization
from compress.data.texts import Texts
from compress.errors import ConfigError
from compress.model import encoder
from compress.model.checkpoint_files import checkpoint_files
from compress.storage import hub
from compress.storage.repositories import Snapshot
from tests.conftest import Command, Compose
from tests.hub_repositories import Repository, Shape, bert, glue, sized
from tests.hub_server import GLUE, TINY, TOKEN, Fault, HubServer, replicas

SMALL = bert("owner/small", Shape(vocabulary=2000))
PATIENCE = 1.0  # seconds, with a hub that never answers; else the clients are given time


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A running hub with TINY, GLUE and a small checkpoint."""
    with HubServer(*replicas(), SMALL) as running:
        yield running


@pytest.fixture
def home(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The client asks the stand-in, with an empty cache, and is online."""
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    hub._of_hub.cache_clear()
    yield tmp_path
    hub._of_hub.cache_clear()


def fetched(revision: str = "main", name: str = SMALL.name, seconds: float = 60) -> Snapshot:
    """As in another process: nothing is remembered."""
    hub._of_hub.cache_clear()
    return hub.snapshot("model.pretrained", name, revision, checkpoint_files, seconds=seconds)


def is_copy(found: Snapshot, repository: Repository) -> bool:
    return found.commit == repository.commit and all(
        (found.folder / name).read_bytes() == repository.files[name].content for name in found.files
    )


# --- what is had ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_fetched_whole_and_found_again_offline(
    server: HubServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = fetched()
    assert set(found.files) == {"config.json", "model.safetensors", "vocab.txt"}
    assert is_copy(found, SMALL)
    assert found.note is None
    before = len(server.requests)
    assert fetched(SMALL.commit) == found, "a commit is had from the cache"
    assert len(server.requests) == before
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetched() == found, "the cache knows which commit main was"
    assert len(server.requests) == before
    assert server.unknown == []


def test_a_branch_that_moved_is_fetched_anew_and_an_old_commit_stays_what_it_is(server: HubServer, home: Path) -> None:
    fetched()
    moved = SMALL.changed(
        {"model.safetensors": bert("owner/small", Shape(vocabulary=2000), seed=1).files["model.safetensors"].content}
    )
    server.publish(moved)
    assert is_copy(fetched(), moved)
    assert is_copy(fetched(SMALL.commit), SMALL)


FAULTS: dict[str, tuple[Fault | None, str]] = {
    "too many requests": (
        Fault("status", ".", status=429, headers={"Retry-After": "300"}),
        r"limits your requests \(429\); wait",
    ),
    "out of order": (Fault("status", ".", status=503), r"out of order \(503\); try again later"),
    "error": (Fault("status", ".", status=500), r"out of order \(500\); try again later"),
    "hangs": (Fault("hang", "."), r"sends nothing for 1 s; try again later, or with hub_seconds="),
    "not there": (None, r"cannot be reached \(.*\); without a network give local folders"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_hub_that_fails_is_one_line_in_bounded_time_or_the_cache_stands_in(
    server: HubServer,
    home: Path,
    name: str,
) -> None:
    fault, told = FAULTS[name]
    seconds = PATIENCE if name == "hangs" else 60
    started = time.monotonic()
    with server.failing(fault) if fault else server.down():
        with pytest.raises(ConfigError, match=rf"^model.pretrained=owner/small: .*{told}") as refused:
            fetched(seconds=seconds)
        assert "\n" not in str(refused.value)
        assert time.monotonic() - started < 30
    fetched()
    with server.failing(fault) if fault else server.down():
        found = fetched(seconds=seconds)
        assert is_copy(found, SMALL), "what is whole in the cache is used"
        told = rf"model.pretrained=owner/small: .*; its last known commit {SMALL.commit} is used"
        assert re.fullmatch(told, str(found.note))
        assert fetched(SMALL.commit).note is None


def test_a_download_that_stalls_is_given_up(server: HubServer, home: Path) -> None:
    told = r"sends nothing for 1 s; try again later, or with hub_seconds="
    with server.failing(Fault("stall", "GET .*storage", after=100)), pytest.raises(ConfigError, match=told):
        fetched(seconds=PATIENCE)


REFUSED: dict[str, tuple[str, Fault | None, str]] = {
    "gated": (
        "owner/small",
        Fault("status", "api/models", status=403, code="GatedRepo"),
        "gated on the hub; accept its conditions",
    ),
    "private or none": (
        "owner/none",
        None,
        r"no such repository on the hub, or none that you may see.*; check the name",
    ),
    "forbidden": (
        "owner/small",
        Fault("status", "api/models", status=403),
        "none that you may see .403.; check the name",
    ),
    "no such revision": ("owner/small@v9", None, "the hub has no revision v9 of it; give a branch"),
    "no name": ("a b", None, "no folder here and no name on the hub; give a folder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_hub_refuses_is_told_with_its_own_fix(server: HubServer, home: Path, name: str) -> None:
    reference, fault, told = REFUSED[name]
    repository, _, revision = reference.partition("@")
    server.faults = [fault] if fault else []
    with pytest.raises(ConfigError, match=told):
        fetched(revision or "main", repository)


# --- what is not whole ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_a_vocabulary_that_cannot_be_had_is_no_empty_tokenizer(
    server: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The client tries again for 23 seconds; here without the pauses."""
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda seconds: None))
    told = rf"^model.pretrained=owner/small: .* \({status}\); "
    with server.failing(Fault("status", "vocab.txt", status=status)), pytest.raises(ConfigError, match=told):
        fetched()


@pytest.mark.parametrize("lacks", ["config.json", "vocab.txt", "model.safetensors"])
def test_a_repository_that_lacks_something_is_refused(server: HubServer, home: Path, lacks: str) -> None:
    gone = dict.fromkeys((lacks, *(["pytorch_model.bin"] if lacks.startswith("model") else [])))
    server.publish(SMALL.changed(gone))
    with pytest.raises(ConfigError, match=rf"the repository on the hub lacks .*{lacks}"):
        fetched()


def test_a_download_that_is_cut_is_gone_on_with_or_told(server: HubServer, home: Path) -> None:
    with server.failing(Fault("cut", "GET .*storage", after=2000, times=1)):
        assert is_copy(fetched(), SMALL)


def test_bytes_that_the_hub_did_not_announce_are_fetched_again_and_never_used(server: HubServer, home: Path) -> None:
    with server.failing(Fault("corrupt", "GET .*storage", times=1)):
        assert is_copy(fetched(), SMALL)
    server.publish(other := bert("owner/other", Shape(vocabulary=400), seed=2))
    with (
        server.failing(Fault("corrupt", "GET .*storage")),
        pytest.raises(ConfigError, match=r"model.safetensors arrives twice with other bytes than the hub announces"),
    ):
        fetched(name="owner/other")
    assert is_copy(fetched(name="owner/other"), other), "nothing of it is left in the cache"


def test_a_damaged_cache_is_mended_online_and_refused_offline(
    server: HubServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in fetched().files:
        blob = (fetched().folder / name).resolve()
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 1
        blob.chmod(0o644)
        blob.write_bytes(content)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        for revision in ("main", SMALL.commit):
            with pytest.raises(ConfigError, match=rf"{re.escape(name)} in the hub's cache is damaged .*remove"):
                fetched(revision)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        assert is_copy(fetched(SMALL.commit), SMALL)


@pytest.mark.parametrize("lacks", ["vocab.txt", "model.safetensors", "config.json"])
def test_a_cache_that_lacks_something_is_refused_offline(
    server: HubServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacks: str,
) -> None:
    (fetched().folder / lacks).unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision in ("main", SMALL.commit):
        with pytest.raises(ConfigError, match=rf"its copy in the hub's cache lacks .*{lacks}.*HF_HUB_OFFLINE"):
            fetched(revision)
    with pytest.raises(ConfigError, match="could not be loaded from the hub or its cache: HF_HUB_OFFLINE is set"):
        fetched(name="owner/other")


# --- checkpoints ------------------------------------------------------------------------------------------------------


KINDS: dict[str, dict[str, Any]] = {
    "with the head of pretraining": {},
    "without model_type": {"model_type": False},
    "with the old names": {"old_names": True},
    "as a pickle": {"weights": ("pytorch_model.bin",), "old_names": True},
    "with a tokenizer": {"tokenizer": ("tokenizer.json", "tokenizer_config.json")},
    "bare": {"pretraining_head": False, "position_ids": False, "weights": ("model.safetensors",)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_of_a_checkpoint_arrives(server: HubServer, home: Path, compose: Compose, kind: str) -> None:
    options = KINDS[kind]
    server.publish(bert("owner/kind", Shape(vocabulary=400), **options))
    reference = bert(
        "owner/kind", Shape(vocabulary=400), **options | {"weights": ("model.safetensors",), "old_names": False}
    )
    stored = load_tensors(reference.files["model.safetensors"].content)
    config = compose("task=rte", "model=pretrained", "model.pretrained=owner/kind", "data.path=null")
    hub._of_hub.cache_clear()
    built, start = encoder.build(config.model, config.task, vocabulary=0, padding=0)
    state = {
        name.removeprefix("bert."): value for name, value in built.state_dict().items() if name.startswith("bert.")
    }
    expected = {name.removeprefix("bert."): value for name, value in stored.items()}
    assert {name for name in state if name not in expected} == set()
    assert all(torch.equal(value, expected[name]) for name, value in state.items())
    assert (start.commit, start.new) == (server.repository("owner/kind").commit, ["head"])
    tokens = encoder.build_tokenizer(config.model)
    assert tokens.convert_ids_to_tokens(tokens("the film")["input_ids"])[0] == "[CLS]"
    assert len(tokens) == 400


@pytest.mark.parametrize("size", ["tiny", "mini", "small", "medium", "base", "large"])
@pytest.mark.parametrize("model_type", [True, False])
def test_the_six_sizes_load_from_their_repositories(
    server: HubServer,
    home: Path,
    compose: Compose,
    size: str,
    model_type: bool,
) -> None:
    """At a small width, since nobody knows of Google's whether their config.json has a model_type."""
    server.publish(sized(size, Shape(), model_type=model_type))
    shape = [f"model.{key}={value}" for key, value in vars(Shape()).items() if key != "vocabulary"]
    config = compose("task=rte", f"model={size}", *shape, "data.path=null")
    hub._of_hub.cache_clear()
    _, start = encoder.build(config.model, config.task, vocabulary=0, padding=0)
    assert start.new == ["head"]
    assert len(encoder.build_tokenizer(config.model)) == 30522


# --- data sets --------------------------------------------------------------------------------------------------------


def texts(compose: Compose, task: str, *words: str) -> dict[str, Texts]:
    hub._of_hub.cache_clear()
    config = compose("model=tiny", f"task={task}", *words)
    return corpus.load_texts(config.data, config.task)


def test_the_pinned_revision_is_what_is_loaded_whatever_the_hub_answers(
    server: HubServer,
    home: Path,
    compose: Compose,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cache has another revision as well, fetched last."""
    pinned = texts(compose, "rte")
    other = server.repository(GLUE).changed({name: file.content for name, file in glue(seed=1).files.items()})
    server.publish(other)
    moved = texts(compose, "rte", "data.revision=main")
    assert moved != pinned
    for fault in (None, Fault("status", ".", status=429), Fault("status", ".", status=503), Fault("hang", ".")):
        server.faults = [fault] if fault else []
        assert texts(compose, "rte") == pinned
        assert texts(compose, "rte", f"data.revision={other.commit}") == moved
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert texts(compose, "rte") == pinned
    assert texts(compose, "rte", "data.revision=main") == moved
    server.faults = [Fault("status", ".", status=503)]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ConfigError, match=r"^data.hub=nyu-mll/glue: .*\(503\)"):
        texts(compose, "cola")


def test_the_hubs_rows_are_the_files_rows_in_all_eight_tasks(server: HubServer, home: Path, compose: Compose) -> None:
    for task in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"):
        config = compose("model=tiny", f"task={task}")
        for split, found in texts(compose, task).items():
            stored = parquet.read_table(
                io.BytesIO(server.repository(GLUE).files[f"{task}/{split}-00000-of-00001.parquet"].content)
            )
            assert found.columns == [stored.column(name).to_pylist() for name in config.task.text]
            assert found.labels == pytest.approx(stored.column("label").to_pylist())


def test_another_revision_of_a_branch_is_other_tokens(server: HubServer, home: Path, compose: Compose) -> None:
    def tokens() -> tuple[int, list[str]]:
        hub._of_hub.cache_clear()
        config = compose("model=tiny", "task=rte", "data.revision=main")
        made = tokenization.prepare(config.data, config.task, demo.build_tokenizer(), home / "cache")
        return int(made.splits["train"].ids.sum()), made.notes

    first, notes = tokens()
    assert notes == [f"data.hub={GLUE}: its revision main was commit {server.repository(GLUE).commit}"]
    server.publish(server.repository(GLUE).changed({name: file.content for name, file in glue(seed=1).files.items()}))
    assert tokens()[0] != first


def test_a_data_set_of_ones_own_in_csv(server: HubServer, home: Path, compose: Compose) -> None:
    """Its README names its files; who asks for a branch hears which commit it was."""
    readme = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/a-*\n"
    readme += "  - split: test\n    path: [data/b.jsonl]\n---\n"
    reviews = Repository.of("datasets", "owner/reviews", {
        "README.md": readme.encode(),
        "data/a-00000-of-00002.csv": b"text,stars\na fine film,good\n",
        "data/a-00001-of-00002.csv": b"text,stars\n\"dull, and long\",bad\n",
        "data/b.jsonl": b'{"text": "so so", "stars": "bad"}\n',
    })  # fmt: skip
    server.publish(reviews)
    words = ("task.hub=owner/reviews", "task.text=[text]", "task.label=stars", "task.labels=[bad,good]",
             "task.splits={validation:test}")  # fmt: skip
    found = texts(compose, "sst2", *words)
    assert found["train"] == Texts([["a fine film", "dull, and long"]], [1, 0])
    assert found["validation"] == Texts([["so so"]], [0])
    config = compose("model=tiny", "task=sst2", *words)
    made = tokenization.prepare(config.data, config.task, demo.build_tokenizer(), home / "cache")
    assert made.notes == [f"task.hub=owner/reviews: its revision main was commit {reviews.commit}"]
    pinned = compose("model=tiny", "task=sst2", *words, f"task.revision={reviews.commit}")
    assert corpus.contents(pinned.data, pinned.task)["revision"] == reviews.commit


# --- as a user --------------------------------------------------------------------------------------------------------


def test_tiny_and_glue_online_then_prepared_then_offline(
    server: HubServer,
    tmp_path: Path,
    command: Command,
) -> None:
    """The default path: nothing but names; after `prepare` nothing is asked of the hub; no token in any file."""
    environment = server.environment(tmp_path / "home") | {
        "COMPRESS_CACHE": str(tmp_path / "cache"), "HF_TOKEN": TOKEN, "WANDB_MODE": "disabled",
    }  # fmt: skip
    words = ["model=tiny", "device=cpu", "tracking=none", "train.max_steps=2", "data.max_length=16"]
    prepared = command("model=tiny", "task=sst2", *words, **environment)
    assert prepared.returncode == 0, prepared.stderr
    assert "finished: sst2 tiny none" in prepared.stdout
    tasks = "task=cola,sst2,mrpc,stsb,qqp,mnli,qnli,rte"
    done = subprocess.run(
        [sys.executable, "-m", "launch", "prepare", *words, tasks], env=os.environ | environment, cwd=tmp_path,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 checkpoint and 8 tokenized tasks are in the caches" in done.stdout
    before = len(server.requests)
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    swept = command("-m", *words, "task=mnli,stsb", "hydra.launcher.per_device=1", **offline)
    assert swept.returncode == 0, swept.stderr
    assert len(server.requests) == before
    assert server.unknown == []
    assert any(request.headers.get("authorization") for request in server.asked(TINY))
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(kept) > 20
    assert not [file for file in kept if TOKEN.encode() in file.read_bytes()]


def test_who_asks_again_hears_that_the_branch_has_moved(
    server: HubServer, home: Path, compose: Compose, capsys: pytest.CaptureFixture
) -> None:
    words = ("model=pretrained", "model.pretrained=owner/small", "task=rte", "data=demo", "train=demo")
    config = compose(*words, "data.max_length=16", "train.max_steps=2", "tracking=none", "device=cpu")
    document = experiment.run(config).document()
    assert document["start"] | {"sha256": ""} == {
        "checkpoint": "owner/small", "commit": SMALL.commit, "sha256": "", "new": ["head"], "prefix": "bert.",
        "unused": document["start"]["unused"], "notes": [],
    }  # fmt: skip
    assert {name.split(".")[0] for name in document["start"]["unused"]} == {"cls"}
    experiment.run(config)
    assert capsys.readouterr().out.splitlines()[-1].endswith("force=true runs it again)")
    server.publish(moved := SMALL.changed({"README.md": b"renewed"}))
    fetched()
    assert experiment.run(config).document() == document
    told = f"force=true runs it again: it started from commit {SMALL.commit}, main is {moved.commit} now)"
    assert capsys.readouterr().out.splitlines()[-1].endswith(told)
