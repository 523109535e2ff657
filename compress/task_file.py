"""`python -m compress.task FILE`: look at a file of texts and labels, and write the task's YAML to start from."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from compress.called import as_typed
from compress.checked import build, default_of
from compress.data import split_files, tables, texts
from compress.data.tables import Table
from compress.errors import ConfigError, Parser, exit_code, nearest
from compress.storage.files import write_text
from compress.storage.repositories import Lacking, in_folder
from compress.storage.surroundings import check_name
from compress.task import config as task_config
from compress.task.config import TaskConfig
from compress.wording import plural

USAGE = """\
usage: python -m compress.task FILE [--out DIR] [--name NAME] [--text COLUMN[,COLUMN]] [--label COLUMN]

Look at a file, or at a folder with a training and a validation file, in CSV, TSV, JSON lines or Parquet, and print the
YAML of its task. Comments in the YAML say how many rows, words and labels the program found. With --out the YAML is
written to DIR/task/NAME.yaml, and this command uses it:

  python -m compress --config-dir DIR task=NAME model=tiny"""
TRAIN, DEV = ("train", "training"), ("validation", "valid", "val", "dev", "test")  # what splits are called
LABELS = ("label", "labels", "class", "category", "target", "stars", "rating", "score", "sentiment", "y")
MOST_CLASSES, MOST_NUMBERS = 200, 20  # of texts, and of whole numbers that are classes and no scores
HELD_OUT = 0.1
KEYS = ("name", "hub", "splits", "held_out", "text", "label", "labels", "class_weights", "validation", "metrics",
        "accuracy_metrics", "more_metrics", "subset", "revision")  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a file or folder holds: the tables of train and, if it is there, of validation, and their files' names."""

    folder: Path
    called: dict[str, str]  # what the splits are called in the folder
    files: dict[str, list[Path]]
    splits: dict[str, Table]


def look(place: Path) -> Seen:
    """Read a file, as training rows, or a folder's splits; a file called train is read with those beside it."""
    what = str(place)
    if place.is_dir():
        return _read(place, _called(place, what), what)
    if not place.is_file():
        raise ConfigError(f"{what}: no such file or folder; give one with texts and labels")
    suffix = next((suffix for suffix in split_files.SUFFIXES if place.name.endswith(suffix)), None)
    if suffix is None:
        raise ConfigError(f"{what}: must end in {', '.join(split_files.SUFFIXES)}; write it in one of these formats")
    stem = place.name.removesuffix(suffix)
    return _read(place.parent, _called(place.parent, what) if stem in TRAIN else {"train": stem}, what)


def _called(folder: Path, what: str) -> dict[str, str]:
    names = in_folder(folder).names
    called = {split: next((name for name in known if _files(names, {"train": name})), "")
              for split, known in (("train", TRAIN), ("validation", DEV))}  # fmt: skip
    if not called["train"]:
        raise ConfigError(f"{what}: has no train{split_files.FORMATS}; give the file with the training rows")
    return {split: name for split, name in called.items() if name}


def _files(names: Collection[str], called: Mapping[str, str]) -> dict[str, list[str]]:
    """The files of splits that are called so; none if there is no train."""
    with suppress(Lacking):
        return split_files.split_files(names, _task(splits=dict(called), held_out=HELD_OUT))
    return {}


def _task(**values: object) -> TaskConfig:
    """A task of which only some values matter."""
    plain = {"name": "task", "text": ["text"], "labels": None, "validation": ["validation"], "metrics": ["pearson"]}
    return build(TaskConfig, {**plain, "accuracy_metrics": ["pearson"], **values}, "task.")


def _read(folder: Path, called: dict[str, str], what: str) -> Seen:
    names = list(in_folder(folder).names)
    files = {split: [folder / name for name in found] for split, found in _files(names, called).items()
             if split in called}  # fmt: skip
    if Path(what).is_file() and Path(what) not in files.get("train", ()):
        raise ConfigError(f"{what}: {files['train'][0].name} lies beside it and would be read; move one of them")
    splits = {split: tables.read(of_split, "FILE", None, "") for split, of_split in files.items()}
    if not any(splits["train"].columns.values()):
        raise ConfigError(f"{what}: has no rows; give some, below a line with the columns' names")
    return Seen(folder, called, files, splits)


# --- what it is about -------------------------------------------------------------------------------------------------


def label_column(table: Table, asked: str | None) -> str:
    """The column of the labels: the one that is asked for, or called as labels usually are."""
    known = {name.lower(): name for name in table.columns}
    if asked is not None and asked not in table.columns:
        raise ConfigError(f"--label {asked}: no such column{nearest(asked, table.columns)}; {_has(table)}")
    found = asked or next((known[name] for name in LABELS if name in known), None)
    if found is None:
        raise ConfigError(f"--label: which column has the labels? give --label COLUMN; {_has(table)}")
    return found


def _has(table: Table) -> str:
    return f"there are {', '.join(table.columns)}"


def labelled(seen: Seen, label: str) -> Seen:
    """Without validation, if none of its rows has a label: it is missing, or -1 as in test splits."""
    dev = seen.splits.get("validation")
    if dev is None or any(_is_there(value) and str(value) != "-1" for value in dev.columns.get(label, ())):
        return seen
    if seen.called["validation"] == "validation":
        fix = "write them, or take the file away, and a part of train is cut off instead"
        raise ConfigError(f"FILE: {seen.files['validation'][0]} has no labels in {label}; {fix}")
    train = {"train": seen.called["train"]}
    return Seen(seen.folder, train, {"train": seen.files["train"]}, {"train": seen.splits["train"]})


def text_columns(table: Table, label: str, asked: str | None) -> list[str]:
    """The one or two columns of texts: those asked for, or those whose texts have several words."""
    if asked is not None:
        columns = asked.split(",")
        if unknown := [name for name in columns if name not in table.columns]:
            raise ConfigError(
                f"--text {asked}: no column {unknown[0]}{nearest(unknown[0], table.columns)}; {_has(table)}"
            )
        return columns
    columns = [name for name, values in table.columns.items() if name != label and _is_text(values)]
    if len(columns) not in (1, 2):
        found = f"{', '.join(columns)} have" if columns else "no column has"
        raise ConfigError(f"--text: {found} texts of several words; give --text COLUMN or COLUMN,COLUMN; {_has(table)}")
    return columns


def _is_text(values: Sequence[object]) -> bool:
    written = [value for value in values if isinstance(value, str)]
    return bool(written) and statistics.fmean(len(value.split()) for value in written) >= 2


def class_names(seen: Seen, label: str) -> list[str] | list[int] | None:
    """The classes, as the file names them, in ascending order; None for a regression."""
    named = tables.read(seen.files["train"], "FILE", (), label).names
    if named is not None:
        return named
    untyped = seen.splits["train"].untyped
    values = {value for table in seen.splits.values() for value in table.columns.get(label, ()) if _is_there(value)}
    numbers = [texts.number_of(value, text=untyped) for value in values]
    if not values:
        raise ConfigError(f"--label {label}: has no value in any row; give the column of the labels")
    if all(isinstance(value, bool) for value in values):
        return ["false", "true"]
    if any(number is None for number in numbers):
        if len(values) > MOST_CLASSES:
            cause = f"has {len(values)} different texts, no more than {MOST_CLASSES} can be classes"
            raise ConfigError(f"--label {label}: {cause}; give the column of the labels")
        return sorted(map(str, values))
    whole = sorted({int(number) for number in numbers if number is not None and number == int(number)})
    return whole if len(whole) == len(set(numbers)) <= MOST_NUMBERS else None


def _is_there(value: object) -> bool:
    return value is not None and value != "" and value == value


# --- what is written --------------------------------------------------------------------------------------------------


def task_of(seen: Seen, name: str, text: str | None, column: str) -> dict[str, object]:
    """The values of the task, checked; `column` has the labels."""
    train = seen.splits["train"]
    names = class_names(seen, column)
    metrics = ["pearson", "spearman"] if names is None else ["macro_f1"]
    values: dict[str, object] = {
        "name": name,
        "hub": str(seen.folder.resolve()),
        "splits": {split: called for split, called in seen.called.items() if split != called} or None,
        "held_out": None if "validation" in seen.splits else HELD_OUT,
        "text": text_columns(train, column, text),
        "label": column,
        "labels": names,
        "validation": ["validation"],
        "metrics": metrics,
        "accuracy_metrics": metrics if names is None else ["accuracy"],
        "more_metrics": ["rmse", "mae", "r2"] if names is None else ["balanced_accuracy"],
    }
    check_name("--name", name, "--name NAME")
    if isinstance(names, list) and len(names) < 2:
        raise ConfigError(f"--label {column}: is {names[0]} in every row; there is nothing to learn from one class")
    task_config.check(build(TaskConfig, values, "task."))
    return values


def report(seen: Seen, values: Mapping[str, object]) -> list[str]:
    """What was seen, a sentence each."""
    columns, label, names = values["text"], str(values["label"]), values["labels"] or []
    assert isinstance(columns, list)
    assert isinstance(names, list)
    lines = []
    for split, table in seen.splits.items():
        rows = len(table.columns[label])
        cut = f", of which {HELD_OUT:.0%} are cut off for validation" if values["held_out"] else ""
        lines.append(f"{split}: {plural(rows, 'row')} in {', '.join(file.name for file in seen.files[split][:3])}{cut}")
        lines += [f"  {column}: {_lengths(table.columns[column])}" for column in columns]
        lines.append(f"  {label}: {_values(table, label, is_score=values['labels'] is None)}")
    if isinstance(names and names[0], int):
        lines.append("whole numbers are read as classes; for a regression write labels: null, and its metrics")
    return lines + _doubles(seen, columns)


def _lengths(values: Sequence[object]) -> str:
    words = sorted(len(value.split()) for value in values if isinstance(value, str))
    empty, absent = words.count(0), len(values) - len(words)
    if not words:
        return "no texts"
    long = words[int(0.95 * (len(words) - 1))]
    told = f"{statistics.median(words):g} words in the median, {long} at 95 %, {words[-1]} at most"
    told += f"; {plural(empty, 'empty text')}" if empty else ""
    return told + (f"; {absent} rows are no texts and will be refused" if absent else "")


def _values(table: Table, label: str, *, is_score: bool) -> str:
    stored = table.columns[label]
    there = [value for value in stored if _is_there(value)]
    absent = f"; {plural(len(stored) - len(there), 'row')} without, to be left out" if len(there) < len(stored) else ""
    if is_score:
        numbers = [float(str(value)) for value in there]
        return f"{min(numbers):g} to {max(numbers):g}, {statistics.fmean(numbers):.3g} in the mean{absent}"
    counts = sorted(Counter(map(str, there)).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in counts[:20]) + absent


def _doubles(seen: Seen, columns: Sequence[str]) -> list[str]:
    rows = {split: list(zip(*(table.columns[column] for column in columns), strict=True))
            for split, table in seen.splits.items()}  # fmt: skip
    train = Counter(rows["train"])
    repeated = len(rows["train"]) - len(train)
    lines = [f"{plural(repeated, 'row')} of train repeat{'s' * (repeated == 1)} an earlier one"] if repeated else []
    if "validation" in rows:
        shared = sum(row in train for row in rows["validation"])
        lines.append(f"{shared} of the {len(rows['validation'])} rows of validation are in train too")
    elif repeated:
        lines.append("repeated rows may end up in both train and validation: remove them first")
    return lines


def as_yaml(values: Mapping[str, object], comments: Sequence[str]) -> str:
    """The task's file: what was seen, then every key, so that each can be overridden."""
    defaults = {field.name: default_of(field) for field in fields(TaskConfig)}
    head = "".join(f"# {line}\n" for line in comments)
    written = {key: values.get(key, defaults[key]) for key in KEYS}
    return head + "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in written.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if done, 2 if the input was wrong."""
    return exit_code(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m compress.task", add_help=False, allow_abbrev=False)
    parser.add_argument("file", nargs="?")
    for option in ("--out", "--name", "--text", "--label"):
        parser.add_argument(option)
    parser.add_argument("-h", "--help", action="store_true")
    options = parser.parse_args(arguments)
    if options.help:
        print(as_typed(USAGE))
        return 0
    if options.file is None:
        raise ConfigError("FILE: give a file, or a folder with train and validation; --help shows what it takes")
    place = Path(options.file).expanduser()
    seen = look(place)
    usual = re.sub(r"[^\w.-]+", "-", place.resolve().name.split(".")[0]) if seen.called["train"] not in TRAIN else ""
    name = options.name or usual or seen.folder.resolve().name
    label = label_column(seen.splits["train"], options.label)
    seen = labelled(seen, label)
    values = task_of(seen, name, options.text, label)
    text = as_yaml(values, report(seen, values))
    if options.out is None:
        print(text, end="")
        return 0
    file = Path(options.out).expanduser() / "task" / f"{name}.yaml"
    if file.exists():
        raise ConfigError(f"--out {options.out}: {file} is there already; remove it, or give another --name")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    print("".join(f"{line}\n" for line in report(seen, values)), end="")
    print(f"{file}: written; use it with --config-dir {options.out} task={name}")
    return 0
