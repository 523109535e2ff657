"""The texts of a task: where they come from, and what is checked of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from compress.checked import checked
from compress.data import demo, split_files, tables, texts
from compress.data.tables import Table
from compress.data.texts import Texts
from compress.errors import ConfigError, nearest
from compress.storage.digests import digest_files
from compress.storage.hub import SECONDS, snapshot
from compress.storage.repositories import COMMIT, Lacking, Repository, in_folder, local_folder, looks_like_path
from compress.storage.surroundings import check_name
from compress.task import config as task_config
from compress.task.config import TaskConfig


@checked
class DataConfig:
    """Where the texts come from and how much of them is used."""

    source: Literal["glue", "demo"] = Field(description="glue: data from the hub, or your own; demo: generated texts")
    hub: str | None = Field(description="data set on the hub, or a folder with the same layout")
    revision: str | None = Field(description="branch, tag or commit of the data set on the hub")
    path: str | None = Field(
        description="folder with your train and validation files, or with a folder per task; null: the hub"
    )
    seed: int = Field(
        description="seed of generated texts, and of the rows that max_train, max_validation and task.held_out draw",
        ge=0,
    )
    max_train: int | None = Field(description="train on at most this many rows, drawn at random; null: on all", ge=1)
    max_length: int = Field(description="longest sequence, in tokens; longer texts are cut", ge=8, le=512)
    max_validation: int | None = Field(
        default=None,
        description="score at most this many rows of each validation split, drawn at random; null: all",
        ge=1,
    )

    @property
    def generated(self) -> bool:
        """Whether the texts come with a vocabulary, for models from scratch, and a table of synonyms of their own."""
        return self.source == "demo"

    @property
    def whole(self) -> DataConfig:
        """All rows of the same data, which are cached once."""
        return replace(self, max_train=None, max_validation=None)


def check(data: DataConfig, task: TaskConfig) -> None:
    """Refuse missing files and settings that contradict each other, without reading any text."""
    if data.generated and data.path is not None:
        cause = "data=demo makes its own texts; choose data=glue or leave data.path out"
        raise ConfigError(f"data.path={data.path}: {cause}")
    if data.generated and task.name not in demo.TASKS:
        has = f"data=demo has {', '.join(demo.TASKS)} only{nearest(task.name, demo.TASKS)} or give data.path"
        raise ConfigError(f"task={task.name}: {has}")
    task_config.check(task)
    data = placed(data, task)
    if not data.generated and data.path is None and data.hub is None:
        raise ConfigError("data.path=null: no texts, since data.hub is null as well; give one of them, or data=demo")
    if data.generated and task.held_out is not None:
        raise ConfigError(f"task.held_out={task.held_out}: data=demo has {task.validation[0]}; leave it out")
    check_name("task.name", task.name, "task.name=NAME, the folder of its files in the data set")
    if _is_local(data):
        source(data, task)
    elif not data.generated and data.hub and looks_like_path(data.hub):
        raise ConfigError(f"{_hub(data, task)}: no such folder; give one, or a data set's name on the hub")


def placed(data: DataConfig, task: TaskConfig) -> DataConfig:
    """The same data, on the hub where the task has a place of its own there; `data.path` goes before it."""
    if data.generated or data.path is not None or task.hub is None:
        return data
    return replace(data, hub=task.hub, revision=task.revision)


def _hub(data: DataConfig, task: TaskConfig) -> str:
    """What messages call the data set on the hub."""
    return f"{'data' if task.hub is None else 'task'}.hub={placed(data, task).hub}"


@plain_dataclass(frozen=True)
class Source:
    """Where a task's texts are."""

    files: dict[str, list[Path]]  # of each split
    what: str  # the key and value that messages begin with
    commit: str | None = None  # of the data set on the hub
    names: list[str] | None = None  # of the classes, by their numbers, as the data set's README gives them
    note: str | None = None  # what a result should say of where they come from


def _is_local(data: DataConfig) -> bool:
    return not data.generated and (data.path is not None or local_folder(data.hub) is not None)


def source(data: DataConfig, task: TaskConfig, seconds: float = SECONDS, only: Sequence[str] = ()) -> Source:
    """The files of a task's splits, all of them here: of a local folder, or fetched from the hub in `seconds`.

    With `only`, splits of these names in place of those that the task is trained and scored on.
    """
    if data.path is not None:
        return _not_cut_twice(_in_folder(data.path, task, only), task)
    what, data = _hub(data, task), placed(data, task)
    assert data.hub is not None, "check() refuses it"
    splits: dict[str, list[str]] = {}
    classes: list[str] = []

    def choose(repository: Repository) -> list[str]:
        splits.update(split_files.files_of_repository(repository, task, only))
        classes[:] = split_files.class_names(repository, task) or []
        described = ["README.md"] if "README.md" in repository.names else []
        return described + [name for files in splits.values() for name in files]

    whole = snapshot(what.partition("=")[0], data.hub, data.revision, choose, kind="dataset", seconds=seconds)
    files = {split: [whole.folder / name for name in names] for split, names in splits.items()}
    return _not_cut_twice(Source(files, what, whole.commit, classes or None, whole.note), task)


def _not_cut_twice(where: Source, task: TaskConfig) -> Source:
    """Refuse to cut a split off train that the data has."""
    if task.held_out is not None and (there := where.files.get(task.validation[0])):
        cause = f"{where.what} has {task.validation[0]} ({there[0].name}); leave held_out out, or that file"
        raise ConfigError(f"task.held_out={task.held_out}: {cause}")
    return where


def _in_folder(path: str, task: TaskConfig, only: Sequence[str] = ()) -> Source:
    """The files in a folder of the task's name, or in the folder itself, if there is none of that name."""
    root, what = local_folder(path), f"data.path={path}"
    folder = (local_folder(str(root / task.name)) or root) if root else None
    try:
        names = in_folder(folder).names if folder else []
        if folder is None or (folder == root and not _has_data(names, task, only)):
            folders = sorted(child.name for child in root.iterdir() if child.is_dir()) if root else []
            has = f"it has {', '.join(folders[:12]) or 'no folders'}" if root else "there is no such folder"
            fix = "leave data.path out to load from the hub, or use data=demo"
            files = f"{task.name}/{only[0] if only else 'train'}{split_files.FORMATS}"
            files += "" if only else " and validation alike"
            raise ConfigError(f"{what}: needs {files}, in a folder {task.name} or not, but {has}; {fix}")
    except OSError as error:
        raise ConfigError(f"{what}: cannot be read ({error}); give a folder that this user may read") from error
    try:
        files_of = split_files.split_files(names, task, only=only)
    except Lacking as error:
        raise ConfigError(f"{what}: {task.name} lacks {error}; {_way_out(names, only)}") from error
    return Source({split: [folder / name for name in names] for split, names in files_of.items()}, what)


def _has_data(names: Collection[str], task: TaskConfig, only: Sequence[str]) -> bool:
    """Whether a folder has tables in it, itself or in a folder that is called as a split of the task is."""
    called = {name for names_of in split_files.aliases(task, only).values() for name in names_of}
    folders = ((name.rpartition("/")[0].removesuffix(".parquet"), name) for name in names)
    return any(name.endswith(split_files.SUFFIXES) and folder in {"", *called} for folder, name in folders)


def _way_out(names: Collection[str], only: Sequence[str]) -> str:
    """What to do about a split that a folder lacks."""
    others = [name for name in names if name.endswith((*split_files.SUFFIXES, ".arrow", ".txt", ".xlsx"))]
    named = f"it has {', '.join(others[:6])}: " if others else ""
    if only:
        return f"{named}add it, or take the hub's: data.path=null"
    return f"{named}fetch it, or add it; splits of other names are given as task.splits={{train: …, validation: …}}"


def identity(data: DataConfig, task: TaskConfig) -> dict[str, object]:
    """What of the data decides a result: files count by their contents, not by where they lie.

    `max_validation`, which was added later, is not stated where it is null.
    """
    data = placed(data, task)
    deciding = asdict(data)
    if data.max_validation is None:
        del deciding["max_validation"]
    if data.generated:
        return deciding | {"hub": None, "revision": None, "version": demo.VERSION}
    if data.max_train is data.max_validation is task.held_out is None:
        deciding["seed"] = None
    if _is_local(data):
        files = [file for files in source(data, task).files.values() for file in files]
        deciding |= {"hub": None, "revision": None, "path": digest_files(files)}
    return deciding


def contents(data: DataConfig, task: TaskConfig, seconds: float = SECONDS) -> dict[str, object]:
    """`identity`, with the commit that a branch of a data set on the hub is now: what caches must tell apart."""
    deciding, there = identity(data, task), placed(data, task)
    if there.generated or _is_local(there) or COMMIT.fullmatch(there.revision or ""):
        return deciding
    where = source(data, task, seconds)
    if where.note:
        _print_once(where.note)
    return deciding | {"commit": where.commit}


@cache
def _print_once(note: str) -> None:
    """Contents are asked for before and after texts are read, and for a student's teacher too."""
    print(note, flush=True)


def load_texts(data: DataConfig, task: TaskConfig, seconds: float = SECONDS) -> dict[str, Texts]:
    """The splits of a task, checked: the columns are there, texts are texts and every label is one of the task's."""
    if data.generated:
        generated = demo.generate(task.name, data.seed)
        found = {split: Table(generated[split]) for split in ("train", *task.validation) if split in generated}
    else:
        where = source(data, task, seconds)
        wanted = (*task.text, task.label)
        found = {split: tables.read(files, where.what, wanted, task.label) for split, files in where.files.items()}
        found = {split: table if table.names is not None else replace(table, names=where.names)
                 for split, table in found.items()}  # fmt: skip
    checked = texts.checked_texts(found, task)
    if task.held_out is not None:
        checked["train"], checked[task.validation[0]] = texts.cut_off(checked["train"], task, data.seed)
    return checked
