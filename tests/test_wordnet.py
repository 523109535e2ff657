"""WordNet's files: where they are found, which folders are refused, and how `launch prepare` brings them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

import launch.cli
import launch.prepare
from compress import experiment
from compress.data import wordnet, wordnet_archive
from compress.data.wordnet import FILES, WAYS
from compress.data.wordnet_archive import Archive
from compress.errors import ConfigError, LacksWordNet
from tests.conftest import Compose
from tests.listener import Listener

KD = ("model=tiny", "task=sst2", "distill=kd", "tracking=none")


def written(folder: Path, *names: str) -> Path:
    """A folder with files that pass for WordNet's."""
    folder.mkdir(parents=True)
    for name in names or FILES:
        (folder / name).write_text(f"{name}\n")
    return folder


def zipped(*names: str, folder: str = "wordnet") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in (*names, "README", "data.noun"):
            archive.writestr(f"{folder}/{name}", f"{name}\n")
    return content.getvalue()


class Host(Listener):
    """Serves one archive, and counts who asks."""

    def __init__(self, content: bytes) -> None:
        host = self
        self.asked, self.content, self.announced = 0, content, len(content)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked += 1
                self.send_response(200 if self.path == "/wordnet.zip" else 404)
                self.send_header("Content-Length", str(host.announced))
                self.end_headers()
                self.wfile.write(host.content)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(0, Handler)
        Thread(target=self.serve_forever, daemon=True).start()

    def archive(self, path: str = "/wordnet.zip") -> Archive:
        digest = hashlib.sha256(self.content).hexdigest()
        return Archive(f"http://127.0.0.1:{self.server_address[1]}{path}", len(self.content), digest)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    host = Host(zipped(*FILES))
    yield host
    host.close()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without WordNet."""
    monkeypatch.setattr(wordnet, "PLACES", ("/no/such/wordnet",))


# --- where it is found ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "lacks"),
    [
        (None, ", ".join(FILES)),  # no such folder
        (("README", "data.noun", "index.sense"), ", ".join(FILES)),
        (FILES[1:], "cntlist.rev"),  # as in packages that leave out how often a word is used
        (FILES[:-1], "adv.exc"),
        (("cntlist.rev", *FILES[5:]), "index.noun, index.verb, index.adj, index.adv"),
    ],
)
def test_a_given_folder_must_have_every_file(tmp_path: Path, there: tuple[str, ...] | None, lacks: str) -> None:
    folder = tmp_path / "given"
    if there is not None:
        written(folder, *there)
    with pytest.raises(ConfigError) as refused:
        wordnet.find(str(folder), "distill.wordnet")
    assert str(refused.value) == f"distill.wordnet={folder}: the folder lacks {lacks}; {WAYS}"
    assert not isinstance(refused.value, LacksWordNet), "what a user names is not fetched from elsewhere"


def test_a_folder_in_the_place_of_a_file_is_no_file(tmp_path: Path) -> None:
    folder = written(tmp_path / "given", *FILES[1:])
    (folder / FILES[0]).mkdir()
    assert wordnet.lacking(folder) == [FILES[0]]


def test_the_copy_in_the_cache_comes_before_all_other_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = written(tmp_path / "installed")
    monkeypatch.setattr(wordnet, "PLACES", (str(installed),))
    cache = tmp_path / "cache"
    assert wordnet.find(None, cache=str(cache)) == installed
    half = written(cache / "wordnet", *FILES[1:])
    assert wordnet.find(None, cache=str(cache)) == installed
    (half / FILES[0]).write_text("")
    assert wordnet.find(None, cache=str(cache)) == half
    assert wordnet.find(str(installed), cache=str(cache)) == installed


@pytest.mark.usefixtures("nowhere")
def test_without_it_an_experiment_says_how_to_get_it_without_root(compose: Compose, tmp_path: Path) -> None:
    with pytest.raises(LacksWordNet) as refused:
        compose(*KD, f"paths.cache={tmp_path}")
    assert str(refused.value) == (
        f"distill.wordnet=null: WordNet is in none of {tmp_path}/wordnet, /no/such/wordnet; "
        "python -m launch prepare with the same overrides fetches it into paths.cache; by hand, unpack "
        f"{wordnet.ADDRESS} into ~/nltk_data/corpora (neither needs root), install Debian's package wordnet-base, "
        "or give distill.wordnet=DIR, the folder of its database files"
    )


# --- how it is fetched ------------------------------------------------------------------------------------------------


def test_the_archive_is_checked_and_its_files_are_kept(host: Host, tmp_path: Path) -> None:
    folder = wordnet_archive.fetch(str(tmp_path / "cache"), host.archive())
    assert folder == wordnet.find(None, cache=str(tmp_path / "cache"))
    assert {file.name: file.read_text() for file in folder.iterdir()} == {name: f"{name}\n" for name in FILES}
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["wordnet"]


@pytest.mark.parametrize("change", ["other", "longer", "cut", "missing", "no zip", "without"])
def test_an_archive_that_is_not_as_expected_leaves_nothing(host: Host, tmp_path: Path, change: str) -> None:
    archive = host.archive()
    if change == "other":
        host.content = host.content[:-1] + b"x"
    elif change == "longer":
        host.content += b"x"
        host.announced += 1
    elif change == "cut":
        host.announced += 100
    elif change == "missing":
        archive = host.archive("/gone.zip")
    else:
        host.content = b"no zip" if change == "no zip" else zipped(*FILES[1:])
        host.announced = len(host.content)
        archive = host.archive()
    if change == "cut":  # what a connection that breaks leaves of it
        host.content = host.content[:100]
    told = {
        "missing": "WordNet could not be fetched: HTTP Error 404",
        "no zip": f"{archive.address}: cannot be unpacked (File is not a zip file)",
        "without": f"{archive.address}: cannot be unpacked (\"There is no item named 'wordnet/cntlist.rev'",
    }.get(change, f"{archive.address}: other bytes than expected arrived, nothing was kept")
    with pytest.raises(ConfigError) as refused:
        wordnet_archive.fetch(str(tmp_path / "cache"), archive, seconds=2)
    assert str(refused.value).startswith(told)
    assert str(refused.value).endswith(WAYS)
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_one_line(host: Host, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ConfigError, match=r"^paths\.cache=.*; give paths\.cache=DIR or COMPRESS_CACHE=DIR$"):
        wordnet_archive.fetch(str(tmp_path / "cache"), host.archive())


def test_what_is_in_the_cache_already_stays(host: Host, tmp_path: Path) -> None:
    there = written(tmp_path / "wordnet")
    (there / "noun.exc").write_text("mice mouse\n")
    wordnet_archive.fetch(str(tmp_path), host.archive())
    assert (there / "noun.exc").read_text() == "mice mouse\n"


# --- python -m launch prepare -----------------------------------------------------------------------------------------


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The overrides of a distillation; checkpoints and texts, which others test, are not loaded."""
    monkeypatch.setattr(experiment, "fetch_model", lambda _: type("Start", (), {"notes": ()}))
    monkeypatch.setattr(experiment, "load_data", lambda _: None)
    monkeypatch.setattr(launch.prepare, "use_cache_without_network", lambda: None)
    return [*KD, "distill=none,kd", f"paths.runs={tmp_path / 'runs'}", f"paths.cache={tmp_path / 'cache'}"]


@pytest.mark.usefixtures("nowhere")
def test_prepare_fetches_it_once(
    host: Host, prepared: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fetch, archive = wordnet_archive.fetch, host.archive()
    monkeypatch.setattr(wordnet_archive, "fetch", lambda cache: fetch(cache, archive))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert launch.cli.main(["prepare", *prepared]) == 0
    assert capsys.readouterr().out.startswith(f"WordNet: in {tmp_path}/cache/wordnet, from https://")
    assert launch.cli.main(["prepare", *prepared]) == 0
    assert not capsys.readouterr().out.startswith("WordNet")
    assert host.asked == 1


@pytest.mark.usefixtures("nowhere")
def test_prepare_without_a_network_says_how_to_get_it(
    prepared: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert launch.cli.main(["prepare", *prepared]) == 2
    assert capsys.readouterr().err.endswith(f"{WAYS}\n")
    assert not (tmp_path / "cache").exists()
    assert launch.cli.main(["prepare", *prepared, "distill=none"]) == 0, "which needs none"


def test_prepare_copies_what_is_installed_here_for_other_machines(
    prepared: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    installed = written(tmp_path / "installed")
    monkeypatch.setattr(wordnet, "PLACES", (str(installed),))
    assert launch.cli.main(["prepare", *prepared]) == 0
    said = f"WordNet: {installed} copied to {tmp_path}/cache/wordnet\n"
    assert capsys.readouterr().out.startswith(said)
    assert not wordnet.lacking(tmp_path / "cache" / "wordnet")
    assert launch.cli.main(["prepare", *prepared, f"distill.wordnet={installed}"]) == 0
    assert "copied" not in capsys.readouterr().out, "what a user names is where the user wants it"
