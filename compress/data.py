"""The texts of a task: where they come from, and what is checked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress import demo
from compress.errors import ConfigError, nearest
from compress.hub import digest_files, hub_errors, located

if TYPE_CHECKING:
    from compress.task import TaskConfig


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
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


@plain_dataclass(frozen=True)
class Texts:
    """One split: a list per text column, and the labels (class ids, or floats for a regression)."""

    columns: list[list[str]]
    labels: list[int] | list[float]


# --- what is asked for ------------------------------------------------------------------------------------------------


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
    if data.path is not None:
        _parquet_files(data.path, task)


def _parquet_files(path: str, task: TaskConfig) -> dict[str, Path]:
    """The files of a local folder by split; a second validation split may be absent, the first may not."""
    root = Path(path).expanduser()
    folder = root / task.name
    if not folder.is_dir():
        found = sorted(child.name for child in root.iterdir() if child.is_dir()) if root.is_dir() else []
        has = f"it has {', '.join(found[:12]) or 'no folders'}" if root.is_dir() else "there is no such folder"
        raise ConfigError(
            f"data.path={path}: needs {task.name}/train.parquet and validation.parquet, but {has}; "
            "leave data.path out to load from the hub, or use data=demo"
        )
    files: dict[str, Path] = {}
    for number, split in enumerate(("train", *task.validation)):
        names = [f"{split}.parquet", "validation.parquet"] if number == 1 else [f"{split}.parquet"]
        file = next((folder / name for name in names if (folder / name).is_file()), None)
        if file:
            files[split] = file
        elif number < 2:
            raise ConfigError(f"data.path={path}: there is no {task.name}/{' or '.join(names)}")
    return files


def identity(data: DataConfig, task: TaskConfig) -> dict[str, Any]:
    """What of the data decides a result: files count by their contents, not by where they lie."""
    known = asdict(data)
    if data.source == "demo":
        return known | {"hub": None, "revision": None, "version": demo.VERSION}
    if data.max_train is None:
        known["seed"] = None
    if data.path is not None:
        files = _parquet_files(data.path, task)
        known |= {"hub": None, "revision": None, "path": digest_files(list(files.values()))}
    return known


# --- texts ------------------------------------------------------------------------------------------------------------


def load_texts(data: DataConfig, task: TaskConfig, cache: Path) -> dict[str, Texts]:
    """The splits of a task, checked: the columns are there and every label is one of the task's.

    Raises:
        ConfigError: nothing to be had, or not what the task says.
    """
    if data.source == "demo":
        tables: Mapping[str, Mapping[str, Sequence[Any]]] = demo.generate(task.name, data.seed)
    else:
        tables = _load_tables(data, task, cache)
    return {split: _checked(split, tables[split], task) for split in ("train", *task.validation) if split in tables}


def _load_tables(data: DataConfig, task: TaskConfig, cache: Path) -> Mapping[str, Any]:
    import datasets

    datasets.disable_progress_bars()
    if data.path is not None:
        files = {split: str(file) for split, file in _parquet_files(data.path, task).items()}
        with hub_errors("data.path", data.path, "give a folder of readable Parquet files"):
            loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(cache / "datasets"))
    else:
        assert data.hub is not None, "check() refuses it"
        with hub_errors("data.hub", data.hub):
            loaded = datasets.load_dataset(located(data.hub), task.name, revision=data.revision)
    for split, table in loaded.items():
        names = getattr(table.features.get("label"), "names", None)
        if names is not None and names != task.labels:
            raise ConfigError(f"task.labels={task.labels}: {split} of the data has {names}; give them in its order")
    return {split: table.to_dict() for split, table in loaded.items() if split in ("train", *task.validation)}


def _checked(split: str, table: Mapping[str, Sequence[Any]], task: TaskConfig) -> Texts:
    for column in (*task.text, "label"):
        if column not in table:
            raise ConfigError(f"task.text={task.text}: {split} has the columns {', '.join(table)}, no {column}")
    labels = list(table["label"])
    if not labels:
        raise ConfigError(f"data: {task.name}/{split} has no rows")
    for row, value in enumerate(labels):
        good = value is not None and (task.labels is None or value in range(len(task.labels)))
        if not good or value != value:
            raise ConfigError(
                f"data: label {value} in row {row} of {task.name}/{split}; must be "
                + ("a number" if task.labels is None else f"0 to {len(task.labels) - 1}")
            )
    kind = float if task.regression else int
    return Texts([list(table[column]) for column in task.text], [kind(value) for value in labels])
