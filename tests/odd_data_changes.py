"""The good data set that odd ones are made of, and the changes that make them: each a function of its folder.

The good one has SST-2's eight training and four validation rows, and as many of STS-B, in GLUE's local layout.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.odd_inputs import Make

Columns = dict[str, list[Any]]

SENTENCES = ["good", "bad", "fine", "dull", "great", "poor", "nice", "awful"]
PLAIN: dict[str, Columns] = {
    "train": {"sentence": [f"the film is {word}" for word in SENTENCES], "label": [1, 0] * 4},
    "validation": {"sentence": [f"a {word} story" for word in SENTENCES[:4]], "label": [1, 0] * 2},
}
PAIRS: dict[str, Columns] = {
    split: {
        "sentence1": table["sentence"],
        "sentence2": table["sentence"][::-1],
        "label": [row * 0.5 for row in range(len(table["label"]))],
    }
    for split, table in PLAIN.items()
}
ROWS = list(zip(*PLAIN["train"].values(), strict=True))
CLASSES = ["negative", "positive"]
SPLITS = ("train", "validation")
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 123456\n".encode()
HUB = {"data.path": None, "data.hub": "{folder}"}  # a folder that is laid out as a data set on the hub


def good(folder: Path) -> Path:
    """Write the good one."""
    for task, tables in (("sst2", PLAIN), ("stsb", PAIRS)):
        (folder / task).mkdir(parents=True)
        for split, table in tables.items():
            pq.write_table(pa.table(table), folder / task / f"{split}.parquet")
    return folder


def both(*makes: Make) -> Make:
    """One change after the other."""

    def make(folder: Path) -> None:
        for change in makes:
            change(folder)

    return make


def written(change: Callable[[Columns], Any], *splits: str, task: str = "sst2") -> Make:
    """With what `change` makes of a split's columns, a table, in some splits, by default in all."""

    def make(folder: Path) -> None:
        for split in splits or SPLITS:
            table = change(_columns(task, split))
            pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), _file(folder, split, task))

    return make


def _columns(task: str, split: str) -> Columns:
    tables = PLAIN if task == "sst2" else PAIRS
    return {name: list(values) for name, values in tables[split].items()}


def _file(folder: Path, split: str, task: str = "sst2") -> Path:
    return folder / task / f"{split}.parquet"


def labelled(change: Callable[[Any], Any], *splits: str, kind: pa.DataType | None = None, task: str = "sst2") -> Make:
    """With other labels, each made of the good one; of an Arrow type."""
    return written(
        lambda table: table | {"label": pa.array([change(label) for label in table["label"]], kind)},
        *splits,
        task=task,
    )


def relabelled(table: Columns, change: Callable[[Any], Any]) -> Columns:
    """Columns with other labels, each made of its own."""
    return table | {"label": [change(label) for label in table["label"]]}


def rounded_as(kind: Callable[[int], Any]) -> Callable[[float], Any]:
    """A whole score, as another type has it."""
    return lambda score: kind(round(score))


def one_label(value: Any, split: str = "train", row: int = 5, task: str = "sst2") -> Make:
    """With one other label."""

    def change(table: Columns) -> Columns:
        labels: list[Any] = [float(label) for label in table["label"]] if isinstance(value, float) else table["label"]
        return table | {"label": [*labels[:row], value, *labels[row + 1 :]]}

    return written(change, split, task=task)


def texts_as(change: Callable[[list[str]], Any]) -> Make:
    """With the texts in another form."""
    return written(lambda table: table | {"sentence": change(table["sentence"])})


def one_text(value: Any, row: int = 3) -> Callable[[list[str]], list[Any]]:
    """The texts with one other."""
    return lambda texts: [*texts[:row], value, *texts[row + 1 :]]


def renamed_columns(**names: str) -> Make:
    """With other names of columns."""
    return written(lambda table: {names.get(name, name): values for name, values in table.items()})


def classes(names: Sequence[str], *splits: str, moved: bool = False, **info: Any) -> Make:
    """With class names in the file, as the package datasets writes them.

    Args:
        moved: the numbers are those of this order.
    """

    def change(table: Columns) -> pa.Table:
        features = {"sentence": {"dtype": "string", "_type": "Value"}, "label": {"names": names, "_type": "ClassLabel"}}
        labels = [1 - label for label in table["label"]] if moved else table["label"]
        return pa.table(table | {"label": labels}).replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features | info}})}
        )

    return written(change, *splits)


def metadata(text: bytes) -> Make:
    """With other metadata of the package datasets in the file."""
    return written(lambda table: pa.table(table).replace_schema_metadata({"huggingface": text}))


def invalid(texts: list[str]) -> pa.Array:
    """Texts, one of which is not UTF-8."""
    data = pa.array([b"f\xeelm" if row == 3 else text.encode() for row, text in enumerate(texts)])
    return pc.cast(data, options=pc.CastOptions(pa.string(), allow_invalid_utf8=True))


def in_parts(*names: str, split: str = "train", columns: Mapping[str, str] | None = None) -> Make:
    """With a split's rows in several files, in order; `columns` renames those of the last."""

    def make(folder: Path) -> None:
        table = pq.read_table(_file(folder, split))
        _file(folder, split).unlink()
        size = -(-len(table) // len(names))
        for number, name in enumerate(names):
            part = table.slice(number * size, size)
            if columns and number == len(names) - 1:
                part = part.rename_columns([columns.get(column, column) for column in part.column_names])
            (folder / "sst2" / name).parent.mkdir(exist_ok=True)
            pq.write_table(part, folder / "sst2" / name)

    return make


def holding(file: str, content: bytes | Callable[[bytes], bytes]) -> Make:
    """With a file of this content, or of what is made of the one that it has."""

    def make(folder: Path) -> None:
        path = folder / file
        made = content(path.read_bytes()) if callable(content) else content
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made)

    return make


def holding_rows(name: str, rows: int) -> Make:
    """With another file of training rows, the last ones."""

    def make(folder: Path) -> None:
        table = pa.table(PLAIN["train"])
        (folder / "sst2" / name).parent.mkdir(exist_ok=True)
        pq.write_table(table.slice(len(table) - rows), folder / "sst2" / name)

    return make


def moved(**files: str) -> Make:
    """With a split's file in another place."""

    def make(folder: Path) -> None:
        for split, name in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _file(folder, split).rename(folder / name)

    return make


def in_format(suffix: str, change: Callable[[bytes], bytes] = bytes, *splits: str) -> Make:
    """With a split's rows in another format, in all or some splits; `change` is made to the files' bytes."""

    def make(folder: Path) -> None:
        for split in splits or SPLITS:
            text = as_text(pd.DataFrame(PLAIN[split]), suffix.removesuffix(".gz"))
            file = folder / "sst2" / f"{split}{suffix}"
            file.write_bytes(change(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode()))
            _file(folder, split).unlink()

    return make


def as_text(frame: pd.DataFrame, suffix: str) -> str:
    """A table as CSV, TSV, JSON lines or one list of JSON."""
    if suffix in (".csv", ".tsv"):
        return str(frame.to_csv(index=False, sep="," if suffix == ".csv" else "\t"))
    return str(frame.to_json(orient="records", lines=suffix == ".jsonl"))


def replaced(old: str, new: str | bytes) -> Callable[[bytes], bytes]:
    """A change of a file's bytes, once."""
    return lambda data: data.replace(old.encode(), new.encode() if isinstance(new, str) else new, 1)


def feather(folder: Path) -> None:
    """Another format under Parquet's name."""
    with pa.OSFile(str(_file(folder, "train")), "wb") as sink, pa.ipc.new_file(sink, pa.schema([])) as writer:
        writer.write_table(pa.table({}))


def readme(*files: tuple[str, Any], **more: Any) -> Make:
    """With a README whose head says where the splits of SST-2 are."""
    import yaml

    entries = [{"split": split, "path": path} for split, path in files]
    head: dict[str, Any] = {"configs": [{"config_name": "sst2", "data_files": entries}]} if files else {}
    return holding("README.md", f"---\n{yaml.safe_dump(head | more)}---\n# A data set\n".encode())


def info(names: Any) -> dict[str, Any]:
    """What a README says of class names."""
    label = {"name": "label", "dtype": {"class_label": {"names": names}}}
    return {"dataset_info": [{"config_name": "sst2", "features": [{"name": "sentence", "dtype": "string"}, label]}]}


def pandas(change: Callable[[pd.DataFrame], pd.DataFrame], *splits: str) -> Make:
    """As pandas writes a table."""

    def make(folder: Path) -> None:
        for split in splits or SPLITS:
            change(pd.DataFrame(PLAIN[split])).to_parquet(_file(folder, split))

    return make


def swapped_labels(folder: Path) -> None:
    """With the labels in the order of other names."""
    labelled(lambda label: 1 - label)(folder)
