"""The texts of a task: where they come from, and what is checked of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compress.checked import checked
from compress.data import demo, readme, split_files, tables
from compress.data.texts import Texts, checked_texts
from compress.errors import ConfigError, nearest
from compress.storage.digests import digest_files
from compress.storage.hub import SECONDS, snapshot
from compress.storage.names import check_name
from compress.storage.repositories import COMMIT, Lacking, Repository, in_folder, local_folder, looks_like_path

if TYPE_CHECKING:
    from compress.task.config import TaskConfig


@checked
class DataConfig:
    """Where the texts come from and how much of them is used."""

    source: Literal["glue", "demo"] = Field(description="GLUE, or texts generated here")
    hub: str | None = Field(description="data set on the hub, or a folder laid out like one")
    revision: str | None = Field(description="revision of the data set on the hub")
    path: str | None = Field(description="folder with <task>/train.parquet and validation.parquet; in place of the hub")
    seed: int = Field(description="of the generated texts and of the choice of data.max_train rows", ge=0)
    max_train: int | None = Field(description="use only so many training rows, drawn at random", ge=1)
    max_length: int = Field(description="longest sequence in tokens; what is longer is cut", ge=8, le=512)

    @property
    def builds_vocabulary(self) -> bool:
        """Whether the texts come with a vocabulary of their own, for models from scratch."""
        return self.source == "demo"

    @property
    def has_synonyms(self) -> bool:
        """Whether the texts come with a table of synonyms of their own."""
        return self.source == "demo"


def check(data: DataConfig, task: TaskConfig) -> None:
    """Refuse missing files and settings that contradict each other, without reading any text.

    Raises:
        ConfigError: with the key, its value and the fix.
    """
    if data.source == "demo" and data.path is not None:
        raise ConfigError(
            f"data.path={data.path}: data=demo makes its own texts; choose data=glue or leave data.path out"
        )
    if data.source == "demo" and task.name not in demo.TASKS:
        raise ConfigError(
            f"task={task.name}: data=demo has {', '.join(demo.TASKS)} only{nearest(task.name, demo.TASKS)} "
            "or give data.path"
        )
    if data.source == "glue" and data.path is None and data.hub is None:
        raise ConfigError("data.path=null: no texts, since data.hub is null as well; give one of them, or data=demo")
    check_name("task.name", task.name, "task.name=NAME, the folder of its files in the data set")
    if data.source == "glue":
        if data.path is None and data.hub and local_folder(data.hub) is None and looks_like_path(data.hub):
            raise ConfigError(f"data.hub={data.hub}: no such folder; give one, or a data set's name on the hub")
        if _is_local(data):
            source(data, task)


@plain_dataclass(frozen=True)
class Source:
    """Where a task's texts are.

    Attributes:
        files: Parquet files of each split.
        what: the key and value that messages begin with.
        commit: of the data set on the hub.
        names: of the classes in the order of their numbers, as the data set's README gives them.
        note: what a result should say of where they come from.
    """

    files: dict[str, list[Path]]
    what: str
    commit: str | None = None
    names: list[str] | None = None
    note: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over all files."""
        return digest_files([file for files in self.files.values() for file in files])


def _is_local(data: DataConfig) -> bool:
    return data.path is not None or local_folder(data.hub) is not None


def source(data: DataConfig, task: TaskConfig, seconds: float = SECONDS) -> Source:
    """The files of a task's splits, all of them here: of a local folder, or fetched from the hub.

    Args:
        seconds: see `hub.snapshot`.

    Raises:
        ConfigError: they are not to be had.
    """
    if data.path is not None:
        return _in_folder(data.path, task)
    assert data.hub is not None, "check() refuses it"
    splits: dict[str, list[str]] = {}
    classes: list[str] = []

    def choose(repository: Repository) -> list[str]:
        splits.update(split_files.files_of_repository(repository, task))
        classes[:] = readme.class_names(readme.head(repository), task) or []
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
            raise ConfigError(
                f"{what}: needs {task.name}/train.parquet and validation.parquet, but {has}; "
                "leave data.path out to load from the hub, or use data=demo"
            )
        names = in_folder(folder).names
    except OSError as error:
        raise ConfigError(f"{what}: cannot be read ({error}); give a folder that this user may read") from error
    try:
        files = split_files.split_files(names, task)
    except Lacking as error:
        raise ConfigError(f"{what}: {task.name} lacks {error}; {_other_formats(names)}") from error
    return Source({split: [folder / name for name in names] for split, names in files.items()}, what)


def _other_formats(names: Collection[str]) -> str:
    others = [name for name in names if name.endswith((".csv", ".tsv", ".json", ".jsonl", ".arrow"))]
    return f"{others[0]} must be written as Parquet (pandas: DataFrame.to_parquet)" if others else "fetch it, or add it"


def identity(data: DataConfig, task: TaskConfig) -> dict[str, object]:
    """What of the data decides a result: files count by their contents, not by where they lie."""
    deciding = asdict(data)
    if data.source == "demo":
        return deciding | {"hub": None, "revision": None, "version": demo.VERSION}
    if data.max_train is None:
        deciding["seed"] = None
    if _is_local(data):
        deciding |= {"hub": None, "revision": None, "path": source(data, task).digest}
    return deciding


def contents(data: DataConfig, task: TaskConfig, seconds: float = SECONDS) -> dict[str, object]:
    """`identity`, with the commit that a branch of a data set on the hub is now: what caches must tell apart.

    Raises:
        ConfigError: the hub must be asked, and it cannot be known.
    """
    deciding = identity(data, task)
    if data.source == "demo" or _is_local(data) or COMMIT.fullmatch(data.revision or ""):
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
    """The splits of a task, checked: the columns are there, texts are texts and every label is one of the task's.

    Args:
        seconds: see `hub.snapshot`.

    Raises:
        ConfigError: nothing to be had, or not what the task says.
    """
    if data.source == "demo":
        generated = demo.generate(task.name, data.seed)
        splits = {split: tables.Table(generated[split]) for split in ("train", *task.validation) if split in generated}
    else:
        where = source(data, task, seconds)
        wanted = (*task.text, "label")
        splits = {split: _named(tables.read(files, where.what, wanted), where) for split, files in where.files.items()}
    return checked_texts(splits, task)


def _named(table: tables.Table, where: Source) -> tables.Table:
    """The table, its classes named as the data set's README does if its own file does not."""
    return table if table.names is not None else replace(table, names=where.names)
