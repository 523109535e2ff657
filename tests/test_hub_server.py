"""The hub of the project's own: the real clients get from it what its repositories hold, and it fails as it is told."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.hub_repositories import SIZES, File, Repository, Shape, bert, glue, lay_out, shape_of, sized, vocabulary
from tests.hub_server import GLUE, TINY, TOKEN, Fault, HubServer, replicas

SMALL = Shape(vocabulary=1200)
WEIGHTS = "model.safetensors"


@cache
def acme(seed: int = 0) -> Repository:
    """A small checkpoint; of another seed, another commit of it."""
    return bert("acme/bert", SMALL, seed=seed)


@cache
def plain() -> Repository:
    """One with as little as there may be."""
    return bert("acme/plain", SMALL, model_type=False, position_ids=False, weights=("pytorch_model.bin",))


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub with a small checkpoint and GLUE."""
    with HubServer(acme(), glue()) as server:
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that `huggingface_hub` would have slept between its tries."""
    asked: list[float] = []
    for module in ("utils._http", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.time", SimpleNamespace(sleep=asked.append))
    return asked


class Client:
    """`huggingface_hub`, working with a hub and an empty cache."""

    def __init__(self, hub: HubServer, cache: Path) -> None:
        import huggingface_hub

        self.hub: Any = huggingface_hub
        self.api: Any = huggingface_hub.HfApi(endpoint=hub.url, token=False)
        self.cache = cache
        self.usual = {"cache_dir": cache, "endpoint": hub.url, "token": False}

    def snapshot(self, repository: Repository, revision: str = "main", **options: Any) -> Path:
        how = {"repo_type": repository.kind.removesuffix("s"), "revision": revision, **self.usual, **options}
        return Path(self.hub.snapshot_download(repository.name, **how))

    def file(self, path: str = WEIGHTS, revision: str | None = None, **options: Any) -> bytes:
        how = {"revision": revision or acme().commit, **self.usual, **options}
        return Path(self.hub.hf_hub_download(acme().name, path, **how)).read_bytes()


@pytest.fixture
def client(hub: HubServer, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The client online, and quiet."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    return Client(hub, tmp_path / "cache")


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder by path."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def held(repository: Repository) -> dict[str, bytes]:
    """The same of a repository."""
    return {path: file.content for path, file in repository.files.items()}


# --- replicas


def test_the_vocabulary_is_laid_out_like_berts() -> None:
    words = vocabulary()
    assert len(words) == len(set(words)) == 30522
    assert [words.index(f"[{name}]") for name in ("PAD", "unused0", "UNK", "CLS", "SEP", "MASK")] == [
        0,
        1,
        *range(100, 104),
    ]
    assert all(word == word.lower() for word in words if not word.startswith("["))
    assert {"film", "##q", "z", "teachers", "!"} < set(words)


@pytest.mark.parametrize("size", SIZES)
def test_a_size_has_the_files_that_are_known_of_it(size: str) -> None:
    big = size in ("base", "large")
    own = {"tokenizer.json", "tokenizer_config.json"} if big else set()
    usual = {".gitattributes", "README.md", "config.json", "vocab.txt", WEIGHTS, "pytorch_model.bin"}
    assert set(sized(size).files) == usual | own
    assert sized(size).name.startswith("google-bert/bert-" if big else "google/bert_uncased_L-")
    assert (b"LayerNorm.gamma" in sized(size).files[WEIGHTS].content) is big


def test_tiny_has_the_shape_that_the_configuration_demands() -> None:
    config = json.loads(sized("tiny").files["config.json"].content)
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")
    assert [config[name] for name in names] == [2, 128, 2, 512, 30522]
    assert shape_of("large") == Shape(24, 1024, 16, 4096, 512, 30522)


def test_a_checkpoint_is_what_it_is_asked_to_be() -> None:
    import torch
    from safetensors.torch import load

    new, old = load(acme().files[WEIGHTS].content), bert("acme/bert", SMALL, old_names=True, pretraining_head=False)
    assert {"bert.embeddings.LayerNorm.weight", "bert.embeddings.position_ids", "cls.predictions.bias"} < set(new)
    named = load(old.files[WEIGHTS].content)
    assert not [name for name in named if name.startswith("cls.") or name.endswith("LayerNorm.weight")]
    assert torch.equal(named["bert.embeddings.LayerNorm.gamma"], new["bert.embeddings.LayerNorm.weight"])
    pickled = torch.load(io.BytesIO(acme().files["pytorch_model.bin"].content))
    assert set(pickled) == set(new)
    assert all(torch.equal(pickled[name], new[name]) for name in new)
    assert "model_type" not in json.loads(plain().files["config.json"].content)
    assert WEIGHTS not in plain().files


def test_files_are_known_by_the_digests_of_git_and_of_large_file_storage() -> None:
    assert File(b"hello\n", lfs=False).etag == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    large = File(b"hello\n", lfs=True)
    assert large.etag == hashlib.sha256(b"hello\n").hexdigest()
    assert large.blob_id == File(large.pointer, lfs=False).blob_id
    assert large.pointer.endswith(f"oid sha256:{large.etag}\nsize 6\n".encode())


def test_another_content_is_another_commit() -> None:
    assert acme().changed({}).commit == acme().commit
    assert len({acme().commit, acme(1).commit, acme().changed({"README.md": None}).commit}) == 3


# --- what the client gets


@pytest.mark.parametrize("name", ["acme/bert", "google-bert/bert-base-uncased", GLUE])
def test_a_download_is_the_repository_and_is_there_without_the_hub(
    client: Client, hub: HubServer, name: str, tmp_path: Path
) -> None:
    hub.publish(sized("base"))
    repository = hub.repository(name)
    assert contents(client.snapshot(repository)) == held(repository)
    assert hub.unknown == []
    with hub.down():
        assert contents(client.snapshot(repository, local_files_only=True)) == held(repository)
    lay_out([repository], tmp_path / "home")
    folder = f"{repository.kind}--{name.replace('/', '--')}"
    laid, kept = tmp_path / "home" / "hub" / folder, client.cache / folder
    for part in ("blobs", "refs", "snapshots"):
        assert contents(laid / part) == contents(kept / part)
    links = [
        {file: os.readlink(folder / "snapshots" / repository.commit / file) for file in repository.files}
        for folder in (laid, kept)
    ]
    assert links[0] == links[1]


def test_what_the_hub_says_of_a_repository(client: Client, hub: HubServer) -> None:
    weights, card = acme().files[WEIGHTS], acme().files["README.md"]
    info = client.api.model_info(acme().name, files_metadata=True)
    siblings = {file.rfilename: file for file in info.siblings}
    assert (info.sha, set(siblings)) == (acme().commit, set(acme().files))
    assert (siblings["README.md"].size, siblings["README.md"].blob_id) == (len(card.content), card.blob_id)
    assert (siblings[WEIGHTS].lfs.sha256, siblings[WEIGHTS].size) == (weights.sha256, len(weights.content))
    top = {entry.path for entry in client.api.list_repo_tree(GLUE, repo_type="dataset")}
    assert top == {".gitattributes", "README.md", "cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb"}
    below = {entry.path for entry in client.api.list_repo_tree(GLUE, "rte", repo_type="dataset")}
    assert below == {f"rte/{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")}
    every = client.api.list_repo_tree(GLUE, recursive=True, repo_type="dataset")
    assert {entry.path for entry in every} == {*glue().files, *(path for path in top if "." not in path)}
    asked = client.api.get_paths_info(acme().name, [WEIGHTS, "absent"])
    assert [(entry.path, entry.lfs.sha256) for entry in asked] == [(WEIGHTS, weights.sha256)]
    assert hub.unknown == []


def test_main_moves_on_and_the_old_commit_stays(client: Client, hub: HubServer) -> None:
    hub.publish(acme(), branch="old")
    hub.publish(acme(1))
    for revision, repository in {
        "main": acme(1),
        "old": acme(),
        acme().commit: acme(),
        acme(1).commit: acme(1),
    }.items():
        assert client.file(revision=revision) == repository.files[WEIGHTS].content
        assert client.api.model_info(acme().name, revision=revision).sha == repository.commit
    branches = client.api.list_repo_refs(acme().name).branches
    assert {branch.name: branch.target_commit for branch in branches} == {"main": acme(1).commit, "old": acme().commit}


def test_what_is_not_there_is_told_apart(client: Client) -> None:
    from huggingface_hub import errors

    with pytest.raises(errors.RepositoryNotFoundError):
        client.api.model_info("acme/absent")
    with pytest.raises(errors.RevisionNotFoundError):
        client.api.model_info(acme().name, revision="absent")
    with pytest.raises(errors.RemoteEntryNotFoundError):
        client.file("absent.json")
    with pytest.raises(errors.RemoteEntryNotFoundError):
        list(client.api.list_repo_tree(acme().name, "absent"))


def test_a_gated_repository_is_for_the_token_which_the_storage_never_sees(client: Client, hub: HubServer) -> None:
    from huggingface_hub import errors

    hub.gated.add(acme().name)
    with pytest.raises(errors.GatedRepoError, match="restricted"):
        client.file()
    assert client.file(token=TOKEN) == acme().files[WEIGHTS].content
    sent = [request.headers.get("authorization") for request in hub.asked(f"GET .*{WEIGHTS}")]
    assert sent == [None]
    assert [request.headers["authorization"] for request in hub.asked("HEAD")[1:]] == [f"Bearer {TOKEN}"]
    with pytest.raises(errors.HfHubHTTPError, match="401"):
        client.file("config.json", token="hf_another")
    storage = f"{hub.url}/storage/models/{acme().name}/{acme().commit}/{WEIGHTS}"
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(storage, headers={"Authorization": f"Bearer {TOKEN}"}))


# --- what goes wrong


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "GatedRepo", "GatedRepoError"),
        (403, "GatedRepo", "GatedRepoError"),
        (401, "RepoNotFound", "RepositoryNotFoundError"),
        (404, "RevisionNotFound", "RevisionNotFoundError"),
        (404, "EntryNotFound", "RemoteEntryNotFoundError"),
        (401, None, "HfHubHTTPError"),
        (403, None, "HfHubHTTPError"),
        (429, None, "HfHubHTTPError"),
        (500, None, "HfHubHTTPError"),
        (503, None, "HfHubHTTPError"),
    ],
)
def test_an_error_is_the_clients_own(client: Client, hub: HubServer, status: int, code: str | None, error: str) -> None:
    from huggingface_hub import errors

    with (
        hub.failing(Fault("status", "GET /api/models", status=status, code=code)),
        pytest.raises(errors.HfHubHTTPError) as raised,
    ):
        client.api.model_info(acme().name)
    assert (type(raised.value).__name__, raised.value.response.status_code) == (error, status)
    assert client.api.model_info(acme().name).sha == acme().commit


def test_a_fault_hits_some_requests_some_times(client: Client, hub: HubServer, waits: list[float]) -> None:
    fault = Fault("status", "HEAD .*config.json", status=429, headers={"Retry-After": "7"}, times=3)
    with hub.failing(fault):
        assert client.file("config.json") == acme().files["config.json"].content
    assert (fault.struck, waits) == (3, [8.0, 8.0])  # the first is asked again at once
    assert [request.status for request in hub.requests] == [429, 429, 429, 200, 200]


def test_a_portal_answers_in_the_hubs_place(client: Client, hub: HubServer) -> None:
    with hub.failing(Fault("status", status=200, body=b"<html>")), pytest.raises(OSError, match="X-Repo-Commit"):
        client.file("config.json")


def test_a_download_that_is_cut_goes_on_where_it_was(
    client: Client, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500)  # what of a chunk came is lost
    with hub.failing(Fault("cut", "GET /storage", times=1, after=1000)):
        assert client.file() == acme().files[WEIGHTS].content
    first, second = hub.asked("GET /storage")
    assert (first.status, second.status, second.headers["range"]) == (200, 206, "bytes=1000-")


@pytest.mark.parametrize("do", ["cut", "stall", "hang"])
def test_a_body_that_never_ends_well_is_no_file(
    client: Client, hub: HubServer, do: Any, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    with (
        hub.failing(Fault(do, "GET /storage", after=0)),
        pytest.raises(Exception, match=r"closed connection|timed out"),
    ):
        client.file()
    assert len(hub.asked("GET /storage")) == 6
    assert waits == [1] * 5
    assert not list(client.cache.rglob("snapshots/*/*"))


def test_a_corrupt_body_has_the_right_size_and_one_other_bit(client: Client, hub: HubServer) -> None:
    with hub.failing(Fault("corrupt", "GET /storage")):
        got, true = client.file(), acme().files[WEIGHTS].content
    assert len(got) == len(true)
    assert [(at, one ^ other) for at, (one, other) in enumerate(zip(got, true, strict=True)) if one != other] == [
        (len(true) // 2, 1)
    ]


def test_no_answer_and_a_late_one(client: Client, hub: HubServer) -> None:
    with hub.failing(Fault("hang")), pytest.raises(Exception, match="timed out"):
        client.api.model_info(acme().name, timeout=0.2)
    for fault in (Fault("delay", seconds=0.3), Fault("slow", "GET", rate=len(acme().files["vocab.txt"].content) / 0.3)):
        began = time.monotonic()
        with hub.failing(fault):
            client.file("vocab.txt", force_download=True)
        assert 0.3 <= time.monotonic() - began < 5


def test_a_hub_that_is_down_returns_on_the_same_port(client: Client, hub: HubServer) -> None:
    port = hub.port
    with hub.down(), pytest.raises(Exception, match="refused"):
        client.api.model_info(acme().name)
    assert client.api.model_info(acme().name).sha == acme().commit
    assert hub.port == port


def test_a_code_that_no_client_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="code='Gated'"):
        Fault("status", code="Gated")


# --- transformers and datasets, in processes of their own

LOAD = """
import json, sys
from pathlib import Path
import torch
from transformers import AutoTokenizer, BertModel, BertTokenizerFast

models, tasks, folder = json.loads(sys.argv[1])
loaded = {"tokens": {}, "rows": {}, "labels": {}}
for name in models:
    tokenizer = (AutoTokenizer if name != "acme/plain" else BertTokenizerFast).from_pretrained(name)
    loaded["tokens"][name] = tokenizer.convert_ids_to_tokens(tokenizer("The film is qqq!")["input_ids"])
    torch.save(BertModel.from_pretrained(name).state_dict(), Path(folder) / name.replace("/", "--"))
for task in tasks:
    import datasets

    splits = datasets.load_dataset("nyu-mll/glue", task)
    loaded["rows"][task] = {split: table.to_dict() for split, table in splits.items()}
    loaded["labels"][task] = getattr(splits["train"].features["label"], "names", None)
print("LOADED", json.dumps(loaded))
"""


def load(folder: Path, environment: dict[str, str], models: list[str], tasks: list[str]) -> dict[str, Any]:
    """What a process of its own loads; tensors go into a file for each model in the folder."""
    folder.mkdir()
    command = [sys.executable, "-c", LOAD, json.dumps([models, tasks, str(folder)])]
    done = subprocess.run(command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("LOADED")[2])


def weights_of(repository: Repository) -> dict[str, Any]:
    """The tensors of a checkpoint by the names that `BertModel` has for them."""
    import torch

    named = torch.load(io.BytesIO(repository.files["pytorch_model.bin"].content))
    new = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): tensor for name, tensor in named.items()}
    return {name.removeprefix("bert."): tensor for name, tensor in new.items() if name.startswith("bert.")}


def test_transformers_and_datasets_load_what_is_there_online_and_from_a_cache(tmp_path: Path) -> None:
    import torch
    from pyarrow import parquet

    repositories = [*replicas(), sized("base"), plain()]
    models = {repository.name: repository for repository in repositories if repository.kind == "models"}
    tasks = ["sst2", "stsb", "mnli"]
    with HubServer(*repositories) as hub:
        environment = hub.environment(tmp_path / "home") | {
            "DISABLE_SAFETENSORS_CONVERSION": "1"
        }  # asks another server
        loaded = load(tmp_path / "online", environment, list(models), tasks)
        assert hub.unknown == []
        assert not [request for request in hub.requests if "authorization" in request.headers]
        lay_out(models.values(), tmp_path / "laid")
        offline = hub.environment(tmp_path / "laid") | {"HF_HUB_OFFLINE": "1"}
    assert load(tmp_path / "offline", offline, list(models), [])["tokens"] == loaded["tokens"]
    assert loaded["tokens"][TINY] == ["[CLS]", "the", "film", "is", "q", "##q", "##q", "!", "[SEP]"]
    for name, repository in models.items():
        assert loaded["tokens"][name][-1] == "[SEP]"
        for folder in ("online", "offline"):
            state = torch.load(tmp_path / folder / name.replace("/", "--"))
            expected = {key: tensor for key, tensor in weights_of(repository).items() if key in state}
            assert set(expected) == set(state)
            assert all(torch.equal(state[key], expected[key]) for key in state)
    assert loaded["labels"] == {
        "sst2": ["negative", "positive"],
        "stsb": None,
        "mnli": ["entailment", "neutral", "contradiction"],
    }
    for task in tasks:
        files = {path: file for path, file in glue().files.items() if path.startswith(f"{task}/")}
        tables = {path: parquet.read_table(io.BytesIO(file.content)).to_pydict() for path, file in files.items()}
        assert loaded["rows"][task] == {path.split("/")[1].split("-")[0]: table for path, table in tables.items()}
    assert len(loaded["rows"]["sst2"]["train"]["label"]) == 200
    assert set(loaded["rows"]["mnli"]["test_mismatched"]["label"]) == {-1}
    assert set(loaded["rows"]["stsb"]["test"]["label"]) == {-1.0}
