"""The texts of a task: where they come from, and what is checked of them."""

from __future__ import annotations

from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from compress.checked import checked
from compress.data import demo, split_files, texts
from compress.data.texts import Table, Texts
from compress.errors import ConfigError, nearest
from compress.storage.digests import digest_files
from compress.storage.hub import SECONDS, snapshot
from compress.storage.repositories import COMMIT, Lacking, Repository, in_folder, local_folder, looks_like_path
from compress.storage.surroundings import check_name
from compress.task.config import TaskConfig


@checked
class DataConfig:
    """Where the texts come from and how much of them is used."""

    source: Literal["glue", "demo"] = Field(description="GLUE, or texts generated here")
    hub: str | None = Field(description="data set on the hub, or a folder laid out like one")
    revision: str | None = Field(description="revision of the data set on the hub")
    path: str | None = Field(description="folder with <task>/train.parquet and validation.parquet; in place of the hub")
    seed: int = Field(
        description="of the generated texts, and of the rows that max_train and max_validation leave", ge=0
    )
    max_train: int | None = Field(description="use only so many training rows, drawn at random", ge=1)
    max_length: int = Field(description="longest sequence in tokens; what is longer is cut", ge=8, le=512)
    max_validation: int | None = Field(
        default=None, description="score only so many rows of each validation split, drawn at random", ge=1
    )

    @property
    def generated(self) -> bool:
        """Whether the texts come with a vocabulary, for models from scratch, and a table of synonyms of their own."""
        return self.source == "demo"


def check(data: DataConfig, task: TaskConfig) -> None:
    """Refuse missing files and settings that contradict each other, without reading any text."""
    if data.generated and data.path is not None:
        cause = "data=demo makes its own texts; choose data=glue or leave data.path out"
        raise ConfigError(f"data.path={data.path}: {cause}")
    if data.generated and task.name not in demo.TASKS:
        has = f"data=demo has {', '.join(demo.TASKS)} only{nearest(task.name, demo.TASKS)} or give data.path"
        raise ConfigError(f"task={task.name}: {has}")
    if not data.generated and data.path is None and data.hub is None:
        raise ConfigError("data.path=null: no texts, since data.hub is null as well; give one of them, or data=demo")
    check_name("task.name", task.name, "task.name=NAME, the folder of its files in the data set")
    if _is_local(data):
        source(data, task)
    elif not data.generated and data.hub and looks_like_path(data.hub):
        raise ConfigError(f"data.hub={data.hub}: no such folder; give one, or a data set's name on the hub")


@plain_dataclass(frozen=True)
class Source:
    """Where a task's texts are."""

    files: dict[str, list[Path]]  # Parquet files of each split
    what: str  # the key and value that messages begin with
    commit: str | None = None  # of the data set on the hub
    names: list[str] | None = None  # of the classes, by their numbers, as the data set's README gives them
    note: str | None = None  # what a result should say of where they come from


def _is_local(data: DataConfig) -> bool:
    return not data.generated and (data.path is not None or local_folder(data.hub) is not None)


def source(data: DataConfig, task: TaskConfig, seconds: float = SECONDS) -> Source:
    """The files of a task's splits, all of them here: of a local folder, or fetched from the hub in `seconds`."""
    if data.path is not None:
        return _in_folder(data.path, task)
    assert data.hub is not None, "check() refuses it"
    splits: dict[str, list[str]] = {}
    classes: list[str] = []

    def choose(repository: Repository) -> list[str]:
        splits.update(split_files.files_of_repository(repository, task))
        classes[:] = split_files.class_names(repository, task) or []
        described = ["README.md"] if "README.md" in repository.names else []
        return described + [name for files in splits.values() for name in files]

    whole = snapshot("data.hub", data.hub, data.revision, choose, kind="dataset", seconds=seconds)
    files = {split: [whole.folder / name for name in names] for split, names in splits.items()}
    return Source(files, f"data.hub={data.hub}", whole.commit, classes or None, whole.note)


def _in_folder(path: str, task: TaskConfig) -> Source:
    root, what = local_folder(path), f"data.path={path}"
    folder = root and local_folder(str(root / task.name))
    try:
        if folder is None:
            folders = sorted(child.name for child in root.iterdir() if child.is_dir()) if root else []
            has = f"it has {', '.join(folders[:12]) or 'no folders'}" if root else "there is no such folder"
            fix = "leave data.path out to load from the hub, or use data=demo"
            raise ConfigError(f"{what}: needs {task.name}/train.parquet and validation.parquet, but {has}; {fix}")
        names = in_folder(folder).names
    except OSError as error:
        raise ConfigError(f"{what}: cannot be read ({error}); give a folder that this user may read") from error
    try:
        files = split_files.split_files(names, task)
    except Lacking as error:
        others = [name for name in names if name.endswith((".csv", ".tsv", ".json", ".jsonl", ".arrow"))]
        as_parquet = "must be written as Parquet (pandas: DataFrame.to_parquet)"
        fix = f"{others[0]} {as_parquet}" if others else "fetch it, or add it"
        raise ConfigError(f"{what}: {task.name} lacks {error}; {fix}") from error
    return Source({split: [folder / name for name in names] for split, names in files.items()}, what)


def identity(data: DataConfig, task: TaskConfig) -> dict[str, object]:
    """What of the data decides a result: files count by their contents, not by where they lie.

    `max_validation`, which was added later, is not stated where it is null.
    """
    deciding = asdict(data)
    if data.max_validation is None:
        del deciding["max_validation"]
    if data.generated:
        return deciding | {"hub": None, "revision": None, "version": demo.VERSION}
    if data.max_train is data.max_validation is None:
        deciding["seed"] = None
    if _is_local(data):
        files = [file for files in source(data, task).files.values() for file in files]
        deciding |= {"hub": None, "revision": None, "path": digest_files(files)}
    return deciding


def contents(data: DataConfig, task: TaskConfig, seconds: float = SECONDS) -> dict[str, object]:
    """`identity`, with the commit that a branch of a data set on the hub is now: what caches must tell apart."""
    deciding = identity(data, task)
    if data.generated or _is_local(data) or COMMIT.fullmatch(data.revision or ""):
        return deciding
    where = source(data, task, seconds)
    if where.note:
        _print_once(where.note)
    return deciding | {"commit": where.commit}


@cache
def _print_once(note: str) -> None:
    """Contents are asked for before and after texts are read, and for a student's teacher too."""
    print(note, flush=True)


def whole(data: DataConfig) -> DataConfig:
    """All rows of the same data, which are cached once."""
    return replace(data, max_train=None, max_validation=None)


def load_texts(data: DataConfig, task: TaskConfig, seconds: float = SECONDS) -> dict[str, Texts]:
    """The splits of a task, checked: the columns are there, texts are texts and every label is one of the task's."""
    if data.generated:
        generated = demo.generate(task.name, data.seed)
        tables = {split: Table(generated[split]) for split in ("train", *task.validation) if split in generated}
    else:
        where = source(data, task, seconds)
        wanted = (*task.text, "label")
        tables = {split: texts.read(files, where.what, wanted) for split, files in where.files.items()}
        tables = {split: table if table.names is not None else replace(table, names=where.names)
                  for split, table in tables.items()}  # fmt: skip
    return texts.checked_texts(tables, task)
