"""What is in the cache is what was written, for everybody who may read it; all else is made again, or said."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from compress import experiment, teacher
from compress.data import augmentation, corpus, demo, tokenization
from compress.errors import ConfigError
from compress.storage import atomic, cache
from compress.storage.cache import MANIFEST, Damaged, Entry
from tests.conftest import Compose
from tests.users import FIRST, SECOND, As, as_user, common_folder

if TYPE_CHECKING:
    from compress.storage.cache import Arrays

ARRAYS: Arrays = {"a": np.arange(300, dtype=np.int32), "b": np.linspace(0, 1, 40, dtype=np.float32).reshape(20, 2)}
OF = {"texts": "these", "rows": [1, 2]}


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder that two users share."""
    with common_folder() as folder:
        yield folder


def entry(folder: Path, **of: Any) -> Entry:
    return Entry(folder, "tokens", "rte", OF | of)


class Maker:
    """Makes the arrays, and counts how often."""

    def __init__(self, arrays: Arrays = ARRAYS) -> None:
        self.arrays, self.times = arrays, 0

    def __call__(self) -> Arrays:
        self.times += 1
        return self.arrays


def got(asked: Entry, make: Callable[[], Arrays]) -> dict[str, Any]:
    """What the entry answers, apart from the files that it is mapped to."""
    return {name: np.array(array) for name, array in asked.get(lambda arrays: arrays, make).items()}


def same(found: Arrays, expected: Arrays = ARRAYS) -> bool:
    return list(found) == list(expected) and all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array) for name, array in expected.items()
    )


def test_an_entry_is_made_once_and_mapped_from_then_on(tmp_path: Path) -> None:
    make = Maker()
    assert same(got(entry(tmp_path), make))
    found = entry(tmp_path).get(lambda arrays: arrays, make)
    assert make.times == 1
    assert same(found)
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in found.values())
    assert {file.name for file in entry(tmp_path).folder.iterdir()} == {"a.npy", "b.npy", MANIFEST}
    assert np.array_equal(np.load(entry(tmp_path).folder / "b.npy"), ARRAYS["b"]), "anybody can read the files"
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [entry(tmp_path).folder.name]


def test_what_is_of_something_else_is_another_entry(tmp_path: Path) -> None:
    make = Maker()
    for of in ({}, {"rows": [1, 3]}, {"more": None}):
        got(entry(tmp_path, **of), make)
    assert make.times == 3
    assert len(list((tmp_path / "tokens").iterdir())) == 3


# --- damage -----------------------------------------------------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], *, sealed: bool = True) -> None:
    """Change the description, and its digest with it."""
    about = json.loads((folder / MANIFEST).read_text())
    del about["sha256"]
    change(about)
    seal = cache._digest(about) if sealed else "0" * 64
    (folder / MANIFEST).write_text(json.dumps({**about, "sha256": seal}))


def swap_content(folder: Path) -> None:
    """Other numbers in a file of the same size and time."""
    file = folder / "a.npy"
    before = file.stat()
    np.save(file, ARRAYS["a"][::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def replaced_in_it_by_a_folder(folder: Path) -> None:
    (folder / "a.npy").unlink()
    (folder / "a.npy").mkdir()


def replaced_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def replaced_by_a_link(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other numbers": (swap_content, "a.npy is not what was written"),
    "another entry's file": (lambda folder: shutil.copy(folder / "b.npy", folder / "a.npy"), "a.npy is not what was"),
    "cut": (lambda folder: os.truncate(folder / "a.npy", 500), "a.npy is not what was written"),
    "empty": (lambda folder: os.truncate(folder / "a.npy", 0), "cannot mmap an empty file"),
    "longer": (lambda folder: (folder / "a.npy").open("ab").write(b"0"), "a.npy is not what was written"),
    "missing": (lambda folder: (folder / "b.npy").unlink(), "b.npy: No such file or directory"),
    "too much": (lambda folder: shutil.copy(folder / "b.npy", folder / "c.npy"), "c.npy does not belong to it"),
    "a folder": (replaced_in_it_by_a_folder, "a.npy: Is a directory"),
    "no description": (lambda folder: (folder / MANIFEST).unlink(), "about.json: No such file or directory"),
    "empty description": (lambda folder: (folder / MANIFEST).write_text(""), "Expecting value"),
    "bytes": (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe\x80"), "codec can't decode"),
    "a list": (lambda folder: (folder / MANIFEST).write_text("[]"), "about.json is not what was written"),
    "nested": (lambda folder: (folder / MANIFEST).write_text("[" * 100_000), "maximum recursion depth exceeded"),
    "one file less": (
        lambda folder: rewrite(folder, lambda about: about["files"].pop("b.npy"), sealed=False),
        "about.json is not what was written",
    ),
    "of something else": (
        lambda folder: rewrite(folder, lambda about: about["of"].update(rows=[1])),
        "it is of something else, or of another version",
    ),
    "of another version": (
        lambda folder: rewrite(folder, lambda about: about.update(format=0)),
        "it is of something else, or of another version",
    ),
    "a file": (replaced_by_a_file, "about.json: Not a directory"),
    "a dangling link": (replaced_by_a_link, "about.json: No such file or directory"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_whole_or_not_ours_is_said_and_made_again(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, asked = Maker(), entry(tmp_path)
    got(asked, make)
    act, cause = DAMAGES[damage]
    act(asked.folder)
    assert same(got(asked, make))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"in the cache, {asked.folder} is not used: ")
    assert line.endswith("; it is made again")
    assert cause in line
    assert same(got(asked, make))
    assert make.times == 2
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [asked.folder.name]


def test_no_flipped_byte_of_any_file_is_believed(tmp_path: Path) -> None:
    make, asked, rng = Maker(), entry(tmp_path), random.Random(0)
    got(asked, make)
    names = sorted(file.name for file in asked.folder.iterdir())
    for times in range(60):
        file = asked.folder / names[times % len(names)]
        content = bytearray(file.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        assert same(got(asked, make))
        assert make.times == times + 2


def test_arrays_that_do_not_fit_are_made_again_and_if_they_never_do_it_is_said(tmp_path: Path) -> None:
    def accept(arrays: Arrays) -> int:
        if "a" not in arrays:
            raise Damaged("it has no a")
        return int(arrays["a"].sum())

    asked = entry(tmp_path)
    got(asked, Maker({"b": ARRAYS["b"]}))
    assert asked.get(accept, Maker()) == ARRAYS["a"].sum()
    shutil.rmtree(asked.folder)
    with pytest.raises(
        ConfigError, match=r"^paths.cache=.*is not what was just written there: it has no a; give paths"
    ):
        asked.get(accept, Maker({"b": ARRAYS["b"]}))


def test_what_a_killed_process_left_goes_when_the_entry_is_made(tmp_path: Path) -> None:
    asked = entry(tmp_path)
    left = asked.folder.with_name(f".{asked.folder.name}-0a1b2c3d")
    left.mkdir(parents=True)
    (left / "a.npy").write_bytes(b"half")
    other = asked.folder.with_name(f".x{asked.folder.name}-0a1b2c3d")
    other.mkdir()
    got(asked, Maker())
    assert not left.exists()
    assert other.exists(), "who makes another entry may still be at it"


def test_what_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    def make() -> Arrays:
        raise ConfigError("data.path=x: gone")

    with pytest.raises(ConfigError, match=r"^data.path=x: gone$"):
        got(entry(tmp_path), make)
    assert not list(tmp_path.iterdir())


# --- who may do what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_modes_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        got(entry(tmp_path / "cache"), Maker())
    finally:
        os.umask(before)
    for path in (tmp_path / "cache", *(tmp_path / "cache").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~umask, path


def test_two_users_share_a_cache_and_either_mends_it(common: Path) -> None:
    asked = entry(common / "cache")
    assert same(as_user(FIRST, lambda: got(asked, Maker())))
    unused = Maker({})
    assert same(as_user(SECOND, lambda: got(asked, unused)))
    as_user(FIRST, lambda: swap_content(asked.folder))
    assert same(as_user(SECOND, lambda: got(asked, Maker())))
    assert asked.folder.stat().st_uid == SECOND
    as_user(SECOND, lambda: (asked.folder / MANIFEST).unlink())
    assert same(as_user(FIRST, lambda: got(asked, Maker())))


def test_a_cache_that_cannot_be_written_is_read_and_what_it_lacks_is_said(common: Path) -> None:
    asked, missing = entry(common / "cache"), entry(common / "cache", rows=[3])
    as_user(FIRST, lambda: got(asked, Maker()), umask=0o022)
    assert same(as_user(SECOND, lambda: got(asked, Maker({}))))
    made: list[int] = []
    with pytest.raises(ConfigError) as caught:
        as_user(SECOND, lambda: got(missing, lambda: made.append(1) or ARRAYS))  # type: ignore[func-returns-value]
    told = str(caught.value)
    assert told.startswith(f"paths.cache={common / 'cache'}: the tokens of rte have to be made, and ")
    assert told.endswith("Permission denied; give paths.cache=DIR or COMPRESS_CACHE=DIR that this user can write")
    as_user(FIRST, lambda: swap_content(asked.folder))
    with pytest.raises(ConfigError, match=r"^paths.cache=.*Permission denied; give paths.cache=DIR or COMPRESS_CACHE"):
        as_user(SECOND, lambda: got(asked, Maker()))


def test_an_entry_that_nobody_else_may_read_is_made_again_or_refused_in_a_line(common: Path) -> None:
    asked = entry(common / "cache")
    as_user(FIRST, lambda: got(asked, Maker()))
    asked.folder.chmod(0o700)
    assert same(as_user(SECOND, lambda: got(asked, Maker())))
    (common / "cache" / "tokens").chmod(0o700)
    with pytest.raises(ConfigError, match=r"^paths.cache=.*tokens/rte-\w+.lock: Permission denied; give paths.cache="):
        as_user(SECOND, lambda: got(asked, Maker()))


def test_who_may_only_read_waits_for_who_is_at_it(common: Path) -> None:
    asked = entry(common / "cache")

    def make() -> Arrays:
        (common / "begun").touch()
        time.sleep(0.5)
        return ARRAYS

    first = As(FIRST, lambda: got(asked, make), umask=0o022)
    while not (common / "begun").exists():
        time.sleep(0.01)
    assert same(as_user(SECOND, lambda: got(asked, Maker({}))))
    assert same(first.result())


def test_a_file_system_without_locks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    told = (
        r"^paths.cache=.*: .*the file system has no locks \(No locks available\); give paths.cache=.*on one that has$"
    )
    with pytest.raises(ConfigError, match=told):
        got(entry(tmp_path), Maker())


def test_a_full_disk_is_one_line_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: object, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.HashingStream, "write", write)
    told = (
        rf"^paths.cache={tmp_path}: No space left on device; free some, or give paths.cache=DIR or COMPRESS_CACHE=DIR"
    )
    with pytest.raises(ConfigError, match=told):
        got(entry(tmp_path), Maker())
    assert not list(tmp_path.iterdir())


# --- tokens and logits ------------------------------------------------------------------------------------------------


def changed(arrays: Arrays, **new: Any) -> Arrays:
    return {name: array for name, array in {**arrays, **new}.items() if array is not None}


def tokens() -> Arrays:
    """Of three rows in each split of MNLI's; the third of train is a copy of the first."""
    rows = {"ids": np.arange(12, dtype=np.int32), "seconds": np.array([2, 1, 5], np.int32)}
    rows |= {"offsets": np.array([0, 4, 7, 12]), "labels": np.array([0, 2, 1]), "sources": np.array([0, 1, 0])}
    return {f"{split}.{array}": value for split in ("train", "validation_matched") for array, value in rows.items()}


WRONG: dict[str, Callable[[Arrays], Arrays]] = {
    "type": lambda arrays: changed(arrays, **{"train.ids": arrays["train.ids"].astype(np.int64)}),
    "type of labels": lambda arrays: changed(arrays, **{"train.labels": arrays["train.labels"].astype(np.float32)}),
    "shape": lambda arrays: changed(arrays, **{"train.ids": arrays["train.ids"].reshape(1, -1)}),
    "fewer rows": lambda arrays: changed(arrays, **{"train.labels": arrays["train.labels"][:-1]}),
    "no rows": lambda arrays: {name: array[: name.endswith("offsets")] for name, array in arrays.items()},
    "offsets": lambda arrays: changed(arrays, **{"train.offsets": arrays["train.offsets"] - 1}),
    "order of offsets": lambda arrays: changed(arrays, **{"train.offsets": np.sort(arrays["train.offsets"])[::-1]}),
    "end of offsets": lambda arrays: changed(arrays, **{"train.ids": arrays["train.ids"][:-1]}),
    "seconds": lambda arrays: changed(arrays, **{"train.seconds": arrays["train.seconds"] + 999}),
    "sources": lambda arrays: changed(arrays, **{"train.sources": arrays["train.sources"] + 2}),
    "labels": lambda arrays: changed(arrays, **{"train.labels": arrays["train.labels"] + 1}),
    "no train": lambda arrays: {name: array for name, array in arrays.items() if not name.startswith("train")},
    "no validation": lambda arrays: {name: array for name, array in arrays.items() if "_matched" not in name},
    "half a split": lambda arrays: changed(arrays, **{"train.sources": None}),
    "another split": lambda arrays: changed(arrays, **{"test.ids": arrays["train.ids"]}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_tokens_that_cannot_be_a_tasks_are_not_taken(compose: Compose, wrong: str) -> None:
    task = compose("model=demo/tiny", "data=demo", "task=mnli").task
    assert list(tokenization._splits(tokens(), task)) == ["train", "validation_matched"]
    with pytest.raises(Damaged, match=r"^(it has no|the arrays of train do not fit|\S+ is missing or too much)"):
        tokenization._splits(WRONG[wrong](tokens()), task)


def test_tokens_that_were_swapped_in_place_do_not_reach_a_score(compose: Compose, tmp_path: Path) -> None:
    words = ("model=demo/tiny", "data=demo", "task=rte", "train.max_steps=20", "device=cpu")
    places = f"paths.cache={tmp_path / 'cache'}"
    good = experiment.run(compose(*words, places)).document()
    (file,) = tmp_path.glob("cache/tokens/*/train.labels.npy")
    labels = np.load(file)
    np.save(file, labels[::-1])
    np.save(file.with_name("train.ids.npy"), np.load(file.with_name("train.ids.npy"))[::-1])
    again = experiment.run(compose(*words, places, "force=true")).document()
    assert again["metrics"] == good["metrics"]
    assert np.array_equal(np.load(file), labels)


def test_texts_that_change_while_they_are_read_are_refused(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = corpus.contents
    seen: list[int] = []

    def contents(*arguments: Any) -> dict[str, Any]:
        seen.append(1)
        return real(*arguments) | {"path": len(seen)}

    monkeypatch.setattr(tokenization, "contents", contents)
    config = compose("model=demo/tiny", "data=demo", "task=rte", f"paths.cache={tmp_path}")
    with pytest.raises(
        ConfigError, match=r"^task=rte: its texts, or WordNet, changed while they were read; run again$"
    ):
        tokenization.prepare(
            config.data,
            config.task,
            demo.build_tokenizer(),
            tmp_path,
            augmentation.of(config.methods, config.data, config.seed),
        )
    assert not list(tmp_path.glob("tokens/*"))


@pytest.mark.parametrize(
    "answers", [np.zeros((5, 2)), np.zeros((5, 3), np.float32), np.zeros(5, np.float32), None], ids=str
)
def test_logits_that_cannot_be_the_tasks_are_not_taken(compose: Compose, answers: Any) -> None:
    task = compose("model=demo/tiny", "data=demo", "task=rte").task
    with pytest.raises(Damaged, match=r"^they are not 2 numbers for each row$"):
        teacher._logits({} if answers is None else {teacher.LOGITS: answers}, task)
    good = np.ones((5, 2), np.float32)
    assert teacher._logits({teacher.LOGITS: good}, task) is good
