"""What a machine does not give is said in one line before anything is done; what it gives is used as the user wants."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compress import cli, experiment
from compress.artifact import store
from compress.config import identity
from compress.config.schema import teacher_experiment
from compress.data import wordnet
from compress.errors import ConfigError
from compress.runs import result
from compress.runs.folder import ExperimentLock
from compress.storage import atomic, surroundings
from compress.storage.files import write_json
from compress.storage.lock import Lock
from compress.tracking.client_runs import ClientFolders
from compress.training import reporting
from compress.training.reporting import Reporter
from launch import cli as launch_cli
from tests import grids
from tests.conftest import ROOT, Compose
from tests.users import FIRST, SECOND, as_user, common_folder

WORDS = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "device=cpu", "tracking=none")
WAYS = {"runs": "paths.runs=DIR", "cache": "paths.cache=DIR or COMPRESS_CACHE=DIR"}


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder that two users share."""
    with common_folder() as folder:
        yield folder


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = {
    "file": "file is a file, not a folder",
    "file/below": "file is a file, not a folder",
    "folder/../file/far/below": "folder/../file is a file, not a folder",
    "dangling": "dangling is a link to nowhere, which is not there",
    "dangling/below": "dangling is a link to nowhere, which is not there",
    "circle": "Too many levels of symbolic links",
    "circle/below": "Too many levels of symbolic links",
    "/dev/null": "/dev/null is a file, not a folder",
    "~nobody-of-this-name/x": "there is no user nobody-of-this-name",
    "n" * 256: "File name too long",
    "n/" * 2000: "File name too long",
    "line\nbreak": "there is a control character in it",
    "line\u2028break": "there is a control character in it",
    "nul\0": "there is a control character in it",
    "undecoded\udcff": "there is a control character in it",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with things in it that are no folders."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("place", [surroundings.runs, surroundings.cache])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_what_can_be_no_folder_is_refused_with_its_cause_and_the_fix(
    here: Path, place: Callable[[str], surroundings.Place], name: str
) -> None:
    before = sorted(here.iterdir())
    with pytest.raises(ConfigError) as caught:
        place(name).check()
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 800
    assert told.startswith(f"{place('').key}={name[:5] if name.isprintable() else ''}")
    assert f": {NAMES[name]}; give {WAYS[place('').key.removeprefix('paths.')]}" in told
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("name", ["new", "new/and/deep", "folder", "folder/../new", ".", "a name with spaces", "ünï"])
def test_what_is_a_folder_or_can_become_one_is_taken_and_not_touched(here: Path, name: str) -> None:
    before = sorted(here.iterdir())
    surroundings.runs(name).check()
    surroundings.runs(name).require_writable()
    surroundings.cache(name).require_space(1)
    assert sorted(here.iterdir()) == before


DOORS: dict[str, Callable[[str], int]] = {
    "run": lambda word: cli.main([*WORDS, word]),
    "sweep": lambda word: cli.main(["-m", *WORDS, "seed=0,1", word]),
    "plan": lambda word: launch_cli.main(["plan", *WORDS, "seed=0,1", word]),
    "prepare": lambda word: launch_cli.main(["prepare", *WORDS, word]),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("key", ["runs", "cache"])
def test_every_command_says_it_in_one_line_and_leaves_nothing_behind(
    here: Path, door: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    for name in ("file/below", "dangling"):
        assert DOORS[door](f"paths.{key}={name}") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: paths.{key}={name}: {NAMES[name]}")
        assert line.endswith(f"; give {WAYS[key]}")
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("door", DOORS)
def test_no_command_works_in_a_folder_that_is_gone(
    tmp_path: Path, door: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert DOORS[door]("seed=0") == 2
    told = "error: the current folder cannot be used (No such file or directory); change to one that exists\n"
    assert capsys.readouterr().err == told


def test_a_disk_that_is_too_full_is_refused_before_training(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([*real[:4], 1, *real[5:]]))
    monkeypatch.setattr(Reporter, "__init__", lambda *_: pytest.fail("it began"))
    config = compose(*WORDS)
    told = r"^paths.runs=.*: 0.\d\d\d MB are needed for it and 0.00\d MB are free; free some, or give paths.runs="
    with pytest.raises(ConfigError, match=told):
        experiment.run(config)
    assert not (tmp_path / "runs").exists()


# --- a home -----------------------------------------------------------------------------------------------------------


def homeless(call: Callable[[], Any], **environment: str) -> Any:
    """What a call returns for a user without a name and a home."""

    def act() -> Any:
        os.environ.pop("HOME", None)
        os.environ |= environment
        return call()

    return as_user(FIRST, act)


def test_without_a_home_it_is_said_what_to_set(common: Path) -> None:
    default = surroundings.cache("~/.cache/combining-compressions")
    told = f": HOME is not set and user {FIRST} has no name here; give {WAYS['cache']}, or set HOME$"
    with pytest.raises(ConfigError, match=rf"^paths.cache=~/.cache/combining-compressions{told}"):
        homeless(default.check)
    for home in ("/", "/nonexistent", ""):
        with pytest.raises(ConfigError, match=r": it cannot be made, / cannot be written; give paths.cache=DIR or COM"):
            homeless(default.check, HOME=home)
    homeless(default.check, HOME=str(common))
    assert not list(common.iterdir())


def test_without_a_home_wandbs_client_keeps_its_files_with_the_run(
    common: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert homeless(surroundings.has_home, HOME=str(common / "new"))
    assert not homeless(surroundings.has_home)
    assert not homeless(surroundings.has_home, HOME="/")
    names = ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR")
    for name in names:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    folders = ClientFolders("0" * 12, tmp_path, lambda message: None)
    monkeypatch.setattr(surroundings, "has_home", lambda: True)
    folders.stand_in_for_home()
    assert not set(names) & set(os.environ)
    monkeypatch.setattr(surroundings, "has_home", lambda: False)
    folders.stand_in_for_home()
    assert {os.environ[name] for name in names} == {str(tmp_path / "wandb" / "client")}


def test_without_a_home_wordnet_is_looked_for_elsewhere(common: Path) -> None:
    def place() -> str:
        try:
            return str(wordnet.find(None))
        except ConfigError as error:
            return str(error)

    found = homeless(place)
    assert found.startswith(("wordnet=null: WordNet is in none of ~/nltk_data/corpora/wordnet, ", "/usr/"))
    assert homeless(place, HOME="/root") == found, "a folder that cannot be entered is none"


@pytest.mark.parametrize(
    ("file", "text", "cause"),
    [
        ("cntlist.rev", "film%1:10:00:: 1", r"its files are not WordNet's \(ValueError: not enough values"),
        ("cntlist.rev", "film%9:10:00:: 1 5\n", r"its files are not WordNet's \(KeyError: '9'"),
        ("index.noun", "film n\n", r"its files are not WordNet's \(IndexError: "),
        ("noun.exc", "", "there are no synonyms in its files"),
    ],
)
def test_files_that_are_not_wordnets_are_one_line(tmp_path: Path, file: str, text: str, cause: str) -> None:
    for name in wordnet.FILES:
        (tmp_path / name).write_text("")
    (tmp_path / file).write_text(text)
    with pytest.raises(ConfigError, match=rf"^{tmp_path}: {cause}.*; python -m launch prepare "):
        wordnet.synonyms(tmp_path)


# --- other users ------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_entered_or_read_is_said(common: Path) -> None:
    for name, mode in (("read", 0o555), ("listed", 0o444), ("entered", 0o111)):
        (common / name).mkdir()
        (common / name / "in").mkdir()
        os.chown(common / name, FIRST, 0)
        (common / name).chmod(mode)
    place = surroundings.runs(common / "read")
    as_user(FIRST, place.check)  # what is finished there can be told
    cases: list[tuple[Callable[[], None], str]] = [
        (place.require_writable, f"{common}/read cannot be written"),
        (lambda: place.require_writable(common / "read" / "sst2" / "tiny"), f"it cannot be made, {common}/read cannot"),
        (surroundings.runs(common / "read" / "new").check, f"it cannot be made, {common}/read cannot be written"),
        (surroundings.runs(common / "listed" / "in").check, "listed/in: Permission denied"),
        (surroundings.cache(common / "listed").check, "this user may not read it"),
        (surroundings.cache(common / "entered").check, "this user may not read it"),
    ]
    for call, told in cases:
        fix = r"; give paths.\w+=DIR.* that this user can (read and )?write$"
        with pytest.raises(ConfigError, match=rf"^paths.\w+=.*{fix}") as caught:
            as_user(FIRST, call)
        assert told in str(caught.value)


def test_run_folders_follow_the_umask(compose: Compose, tmp_path: Path) -> None:
    config, before = compose(*WORDS, "train.max_steps=5"), os.umask(0o007)
    try:
        experiment.run(config)
        ExperimentLock(tmp_path / "runs", "x").take()
    finally:
        os.umask(before)
    for path in (tmp_path / "runs", *(tmp_path / "runs").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o770 if path.is_dir() else 0o660), path


def test_an_artifact_takes_the_place_of_the_last_one_and_of_what_a_killed_process_left(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(*WORDS, "train.max_steps=5")
    folder = identity.run_folder(config) / "artifact"
    left = folder.with_name(".artifact-0a1b2c3d")
    for old in (folder, left):
        old.mkdir(parents=True)
        (old / "old").touch()
    (folder.parent / ".metrics.jsonl-0a1b2c3d").touch()
    experiment.run(config)
    assert not left.exists()
    assert not (folder / "old").exists()
    assert not list(folder.parent.glob(".*"))
    weights = (folder / store.WEIGHTS).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model, tokenizer = store.load(folder), experiment.load_tokenizer(config)
    monkeypatch.setattr(type(tokenizer), "save_pretrained", full)
    with pytest.raises(OSError, match="No space left on device"):
        store.save(folder, model, tokenizer)
    assert (folder / store.WEIGHTS).read_bytes() == weights
    assert not list(folder.parent.glob(".*"))


def test_a_lock_that_another_user_left_is_as_good_as_ones_own(common: Path) -> None:
    runs = common / "runs"

    def left() -> None:
        ExperimentLock(runs, "x").take()  # and ends, as if killed

    as_user(FIRST, left, umask=0o022)
    lock = ExperimentLock(runs, "x")
    assert lock.file.stat().st_mode & 0o777 == 0o644
    assert not as_user(SECOND, lock.taken)
    assert as_user(SECOND, lock.take)
    assert lock.take()
    assert as_user(SECOND, lambda: ExperimentLock(runs, "x").taken())
    assert not as_user(SECOND, lambda: ExperimentLock(runs, "x").take())
    lock.release()
    with pytest.raises(ConfigError, match=r"^paths.runs=.*/.locks/y: Permission denied; give paths.runs=DIR that this"):
        as_user(SECOND, ExperimentLock(runs, "y").take)


def test_who_may_not_remove_a_lock_lets_go_of_it_all_the_same(common: Path) -> None:
    (common / "lock").touch()
    os.chown(common, 0, 0)
    common.chmod(0o755)

    def act() -> bool:
        lock = Lock(common / "lock")
        taken = lock.take()
        lock.release()
        return taken

    assert as_user(SECOND, act)
    assert (common / "lock").exists()
    assert Lock(common / "lock").take()


def test_a_refused_experiment_removes_a_folder_of_runs_only_if_it_made_it(tmp_path: Path) -> None:
    for there in (True, False):
        runs = tmp_path / str(there)
        if there:
            runs.mkdir()
        lock = ExperimentLock(runs, "x")
        lock.take()
        lock.release()
        lock.clean()
        assert runs.exists() == there
        assert not (runs / ".locks").exists()


def test_a_result_that_this_user_may_not_read_is_not_taken_for_none(common: Path) -> None:
    document = grids.document("rte", "tiny", "none", 50.0)
    write_json(common / "result.json", document)
    assert as_user(FIRST, lambda: result.read(common, document["run_id"])) == result.from_document(document)
    (common / "result.json").chmod(0o600)
    with pytest.raises(
        ConfigError, match=r"result.json: cannot be read \(Permission denied\); have it made readable, or"
    ):
        as_user(FIRST, lambda: result.read(common, document["run_id"]))


# --- a student's cache ------------------------------------------------------------------------------------------------


def test_a_cache_that_cannot_take_the_teachers_answers_is_refused_before_it_is_trained(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    student = compose(*WORDS, "distill=kd", "distill.teacher=mini", "distill.weak_teacher=true", "train.max_steps=5",
                      f"paths.cache={tmp_path / 'cache'}")  # fmt: skip

    def refused(self: surroundings.Place, below: Path | None = None) -> None:
        if self.key == "paths.cache":
            raise self.error(f"{below or self.folder} cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(surroundings.Place, "require_writable", refused)
        with pytest.raises(
            ConfigError, match=r"^paths.cache=(\S+): \1 cannot be written; give paths.cache=DIR or COMPR"
        ):
            experiment.run(student)
    assert not identity.run_folder(teacher_experiment(student)).exists()
    experiment.run(teacher_experiment(student))
    monkeypatch.setattr(surroundings.Place, "require_writable", refused)
    with pytest.raises(
        ConfigError, match=r"^paths.cache=.*/logits cannot be written; give paths.cache=DIR or COMPRESS_"
    ):
        experiment.run(student)
    assert not identity.run_folder(student).exists()


def test_a_teacher_without_its_artifact_is_one_line(compose: Compose) -> None:
    student = compose(*WORDS, "distill=kd", "distill.teacher=mini", "distill.weak_teacher=true", "train.max_steps=5")
    folder = identity.run_folder(teacher_experiment(student))
    experiment.run(teacher_experiment(student))
    shutil.rmtree(folder / "artifact")
    told = rf"^distill.teacher=mini: {folder} has its result but no artifact any more; remove that folder, and it is"
    with pytest.raises(ConfigError, match=told):
        experiment.run(student)


def test_what_the_file_system_says_is_told_with_its_fix_but_not_a_closed_pipe() -> None:
    place = surroundings.runs("runs")
    for number, fix in (
        (errno.ENOSPC, "free some, or give paths.runs=DIR on another disk"),
        (errno.EDQUOT, "free some, or give paths.runs=DIR on another disk"),
        (errno.EROFS, "give paths.runs=DIR that this user can write"),
        (errno.ENOLCK, "give paths.runs=DIR on one that has"),
        (errno.EIO, "give paths.runs=DIR"),
    ):
        with pytest.raises(ConfigError, match=rf"^paths.runs=runs: a/b: .*; {fix}$"), place.config_errors():
            raise OSError(number, os.strerror(number), "a/b")
    with pytest.raises(BrokenPipeError), place.config_errors():
        raise BrokenPipeError


# --- while it runs ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_written_while_it_runs_is_said_once_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reporting, "FLUSH_SECONDS", 0.0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Reporter(tmp_path, "rte tiny") as reporter:
        with monkeypatch.context() as patch:
            patch.setattr(reporting, "write_text", full)
            patch.setattr(reporting, "write_json", full)
            for step in range(1, 4):
                reporter.log({"global_step": step})
                reporter.progress(step, 9, None)
            with pytest.raises(OSError, match="No space left"):
                reporter.flush()
        reporter.log({"global_step": 4})
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{tmp_path}: what is said cannot be kept ([Errno 28] No space left on device); it goes on"
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 4


@pytest.mark.fault(
    "one experiment",
    "it is killed at its very end",
    "`result.json` is written last: if it is there, everything else is complete; if not, the experiment goes "
    "on from its checkpoint",
    "start it again",
)
def test_all_else_is_on_disk_before_the_result_is(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    config, seen, real = compose(*WORDS, "train.max_steps=5"), list[set[str]](), os.replace

    def replace(source: Path, target: Path) -> None:
        if target.name == "result.json":
            seen.append(set(os.listdir(target.parent)) - {source.name})
            assert (target.parent / "metrics.jsonl").read_text().count("\n") == 5
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    experiment.run(config)
    assert seen == [{"config.yaml", "metrics.jsonl", "log.txt", "artifact", "predictions.json.gz"}]


@pytest.mark.fault(
    "one experiment",
    "the disk is full when the result is written",
    "one line that names `paths.runs` and the file; no result, nothing half-written",
    "free disk space; start it again",
)
def test_a_failure_on_a_full_disk_is_still_one_line_with_its_fix(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose(*WORDS, "train.max_steps=5")
    real = atomic.new_file

    def full(path: Path) -> Any:
        if path.suffix == ".json" and path.name != "progress.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path)

    monkeypatch.setattr(atomic, "new_file", full)
    line = (
        r"^paths.runs=\S+: \S+/result.json: No space left on device; free some, or give paths.runs=DIR on another disk"
    )
    with pytest.raises(experiment.ExperimentError, match=line):
        experiment.run(config)
    assert "error.json cannot be written ([Errno 28] No space left on device" in capsys.readouterr().err
    assert not [path for path in identity.run_folder(config).iterdir() if atomic.is_scratch(path.name)]


def test_what_a_library_says_of_a_full_disk_is_told_as_what_it_is(tmp_path: Path) -> None:
    place, library = surroundings.runs(tmp_path), RuntimeError("I/O error: No space left on device (os error 28)")
    assert str(place.explain(library)).endswith(
        "No space left on device; free some, or give paths.runs=DIR on another disk"
    )
    for other in (RuntimeError("the loss is nan"), OSError(errno.ENOSPC, "full", "/elsewhere/x"), OSError("closed")):
        assert place.explain(other) is other


@pytest.mark.fault(
    "one experiment",
    "killed processes have left a checkpoint, scratch files or `error.json` beside a result",
    "the next command that finds the experiment finished deletes them, unless another process is working in "
    "this folder",
    "nothing",
)
def test_what_was_left_behind_is_removed_when_an_experiment_is_found_finished(compose: Compose) -> None:
    config = compose(*WORDS, "train.max_steps=5")
    experiment.run(config)
    folder = identity.run_folder(config)
    (folder / ".onnx-0123abcd").mkdir()  # somebody may be writing it
    whole = set(folder.iterdir())

    def litter() -> None:
        for name in ("checkpoint", ".artifact-0123abcd"):
            (folder / name).mkdir()
            (folder / name / "state.pt").touch()
        for name in ("progress.json", "error.json", ".metrics.jsonl-89abcdef"):
            (folder / name).touch()

    litter()
    lock = experiment.lock_of(config)
    assert lock.take()
    experiment.run(config)
    assert set(folder.iterdir()) != whole, "somebody is at it"
    experiment.run(config, locked=True)
    lock.release()
    assert set(folder.iterdir()) == whole
    litter()
    experiment.run(config)
    assert set(folder.iterdir()) == whole
    assert not list((folder.parents[3] / ".locks").glob("*"))


def test_surroundings_are_checked_without_anything_heavy() -> None:
    code = (
        "import sys; from compress.storage import surroundings, cache;"
        "print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
