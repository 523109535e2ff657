"""Data sets with one oddity each, and what is right for each: the rows of the good one, or one line."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import pyarrow as pa

from tests.odd_checkpoints import without
from tests.odd_data_changes import (
    CLASSES,
    HUB,
    PAIRS,
    PLAIN,
    POINTER,
    ROWS,
    SPLITS,
    both,
    classes,
    feather,
    holding,
    holding_rows,
    in_format,
    in_parts,
    info,
    invalid,
    labelled,
    metadata,
    moved,
    one_label,
    one_text,
    pandas,
    readme,
    relabelled,
    renamed_columns,
    replaced,
    rounded_as,
    swapped_labels,
    texts_as,
    written,
)
from tests.odd_inputs import Case, Kind, refused, taken

# --- texts ------------------------------------------------------------------------------------------------------------

ODD_TEXTS = [
    "😀🎉 film",
    "فيلم جميل",
    "電影很好",
    "café \u0301",
    "a\r\nb\r\n",
    "\x00null",
    "\u200b\u200e",
    "\ud7ff\ufffd",
]
LONG_TEXTS = [text + " very long" * 3000 for text in PLAIN["train"]["sentence"]]
EMPTY_TEXTS = [" " * (row % 3) for row in range(8)]


def content(texts: list[str]) -> Case:
    """Other texts to train on, which arrive as they are."""
    train = PLAIN["train"] | {"sentence": texts}
    return taken(written(lambda table: train, "train"), splits={"train": train})


TEXT_KINDS = [
    Kind(
        "Data",
        "texts in other Arrow types: large strings, views, dictionaries, pandas' categories",
        "read",
        {
            f"texts: {kind}": taken(texts_as(partial(pa.array, type=kind)))
            for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))
        }
        | {"texts: categories": taken(pandas(lambda frame: frame.astype({"sentence": "category"})))},
    ),
    Kind(
        "Data",
        "texts that are empty, very long, or have any characters of Unicode",
        "read as they are; long ones are cut at `data.max_length` tokens",
        {"texts: empty": content(EMPTY_TEXTS), "texts: odd": content(ODD_TEXTS), "texts: long": content(LONG_TEXTS)},
    ),
    Kind(
        "Data",
        "a text that is null, or a number, a list, bytes, or not UTF-8",
        "refused, naming column, row and split, or the file",
        {
            "text: null": refused(texts_as(one_text(None)), r"^data: sentence in row 3 of sst2/train is null; must"),
            "text: null in a dictionary": refused(
                texts_as(lambda texts: pa.array(one_text(None)(texts)).dictionary_encode()),
                r"^data: sentence in row 3 of sst2/train is null; must be a text: ",
            ),
            "text: numbers": refused(
                texts_as(lambda texts: list(range(len(texts)))), r"sentence in row 0 of sst2/train is 0; must be"
            ),
            "text: lists": refused(
                texts_as(lambda texts: [text.split() for text in texts]), r"sentence in row 0 .* is \['the', "
            ),
            "text: bytes": refused(
                texts_as(lambda texts: [text.encode() for text in texts]), r"sentence in row 0 .* is b'the film"
            ),
            "text: not UTF-8": refused(texts_as(invalid), r"train\.parquet .*(?i:utf-?8).*; "),
            "text: not UTF-8, in a dictionary": refused(
                texts_as(lambda texts: pa.DictionaryArray.from_arrays(pa.array(range(len(texts))), invalid(texts))),
                r"train\.parquet .*(?i:utf-?8).*; ",
            ),
        },
    ),
]

# --- labels -----------------------------------------------------------------------------------------------------------

MUST_BE = r"must be 0 to 1, or of negative, positive"

LABEL_KINDS = [
    Kind(
        "Data",
        "class numbers in any type that holds them exactly: small or unsigned integers, floats, decimals, booleans",
        "read",
        {
            f"labels: {kind}": taken(labelled(change, kind=kind))
            for kind, change in (
                (pa.int8(), int),
                (pa.uint64(), int),
                (pa.float32(), float),
                (pa.bool_(), bool),
                (pa.decimal128(3, 1), Decimal),
                (pa.dictionary(pa.int8(), pa.int64()), int),
            )
        }
        | {"labels: floats in validation": taken(labelled(float, "validation"))},
    ),
    Kind(
        "Data",
        "class names for numbers",
        "mapped by name",
        {
            "labels: names": taken(labelled(CLASSES.__getitem__)),
            "labels: names as categories": taken(
                pandas(lambda frame: frame.assign(label=frame.label.map(CLASSES.__getitem__).astype("category")))
            ),
            "labels: names in validation": taken(labelled(CLASSES.__getitem__, "validation")),
        },
    ),
    Kind(
        "Data",
        "a label that is no class: −1, null, NaN, 0.3, a third number, a number as text, another name, a time, a list",
        "refused, naming value, row and split",
        {
            "label: -1": refused(one_label(-1), rf"^data: label -1 in row 5 of sst2/train; {MUST_BE} \(-1 marks rows"),
            "label: -1 in all of validation": refused(
                labelled(lambda label: -1, "validation"), r"label -1 in row 0 of sst2/validation; .*\(-1 marks"
            ),
            "label: null": refused(one_label(None), rf"label null in row 5 of sst2/train; {MUST_BE}"),
            "label: NaN": refused(one_label(float("nan")), rf"label nan in row 5 of sst2/train; {MUST_BE}"),
            "label: 0.3": refused(
                labelled(lambda label: label + 0.3), rf"label 1\.3 in row 0 of sst2/train; {MUST_BE}"
            ),
            "label: from 1": refused(labelled(lambda label: label + 1), rf"label 2 in row 0 of sst2/train; {MUST_BE}"),
            "label: large": refused(
                labelled(lambda label: 2**64 - 1, kind=pa.uint64()), rf"label 18446744073709551615 .*; {MUST_BE}"
            ),
            "label: digits": refused(labelled(str), rf"label '1' in row 0 of sst2/train; {MUST_BE}.*numbers"),
            "label: another name": refused(
                labelled(["Negative", "Positive"].__getitem__), rf"label 'Positive' in row 0 .*; {MUST_BE}"
            ),
            "label: times": refused(
                labelled(lambda label: datetime(2020, 1, 1) + timedelta(label)), rf"label .*2020.*; {MUST_BE}"
            ),
            "label: lists": refused(labelled(lambda label: [label]), rf"label \[1\] in row 0 .*; {MUST_BE}"),
            "label: bytes": refused(labelled(lambda label: b"%d" % label), rf"label b'1' in row 0 .*; {MUST_BE}"),
        },
    ),
    Kind(
        "Data",
        "of a regression: integers, decimals, texts that read as numbers",
        "read as numbers",
        {
            f"scores: {what}": taken(
                labelled(rounded_as(change), task="stsb"),
                splits={split: relabelled(table, rounded_as(float)) for split, table in PAIRS.items()},
                settings={"task": "stsb"},
            )
            for what, change in (("integers", int), ("texts", str), ("decimals", Decimal))
        },
    ),
    Kind(
        "Data",
        "of a regression: NaN, infinity, null, booleans, other texts",
        "refused, naming value, row and split",
        {
            "score: NaN": refused(
                one_label(float("nan"), task="stsb"),
                r"^data: label nan in row 5 of stsb/train; must be a finite number",
                settings={"task": "stsb"},
            ),
            "score: infinite": refused(
                one_label(float("inf"), task="stsb"),
                r"label inf in row 5 of stsb/train; must",
                settings={"task": "stsb"},
            ),
            "score: null": refused(
                one_label(None, task="stsb"), r"label null in row 5 of stsb/train; must", settings={"task": "stsb"}
            ),
            "score: booleans": refused(
                labelled(bool, task="stsb"), r"label False in row 0 of stsb/train; must", settings={"task": "stsb"}
            ),
            "score: texts": refused(
                labelled(lambda label: "alike", task="stsb"),
                r"label 'alike' in row 0 of stsb/train; must",
                settings={"task": "stsb"},
            ),
        },
    ),
    Kind(
        "Data",
        "one class only, one score only, or one row",
        "read; what has no defined score is `null` in the result, and `notes` says so",
        {
            "one class": taken(
                labelled(lambda label: 1),
                splits={split: relabelled(table, lambda label: 1) for split, table in PLAIN.items()},
            ),
            "one score": taken(
                labelled(lambda label: 1.0, task="stsb"),
                splits={split: relabelled(table, lambda label: 1.0) for split, table in PAIRS.items()},
                settings={"task": "stsb"},
            ),
            "one row": taken(
                written(lambda table: {name: values[:1] for name, values in table.items()}),
                splits={split: {name: v[:1] for name, v in table.items()} for split, table in PLAIN.items()},
            ),
        },
    ),
    Kind(
        "Data",
        "files that name their classes (metadata of the package datasets), in any order, each split in its own",
        "mapped by name",
        {
            "names: in order": taken(classes(CLASSES)),
            "names: reversed": taken(classes(CLASSES[::-1], moved=True)),
            "names: reversed in validation": taken(
                both(classes(CLASSES, "train"), classes(CLASSES[::-1], "validation", moved=True))
            ),
            "names: in validation alone": taken(classes(CLASSES, "validation")),
            "names: in train alone": taken(classes(CLASSES, "train")),
        },
    ),
    Kind(
        "Data",
        "class names in another order in one split, and none in the other",
        "refused: nobody knows in which order the other's numbers are",
        {
            f"names: reversed in {split} alone": refused(
                classes(CLASSES[::-1], split, moved=True),
                rf"^task\.labels=.*: {split} of the data names its classes .* another order, and .* does not say",
            )
            for split in SPLITS
        },
    ),
    Kind(
        "Data",
        "class names that are not the task's, or metadata that make no sense",
        "refused, naming both",
        {
            "names: others": refused(
                classes(["bad", "good"]), r"^task\.labels=.*: train of the data has the classes \['bad', 'good'\]; "
            ),
            "names: three": refused(
                classes([*CLASSES, "neutral"]), r"^task\.labels=.*: train of the data has the classes .*neutral.*; "
            ),
            "metadata: no JSON": refused(metadata(b"{"), r"metadata of .*train\.parquet make no sense .*; "),
            "metadata: not UTF-8": refused(metadata(b"\xff"), r"metadata of .*train\.parquet make no sense .*; "),
            "metadata: another kind": refused(
                metadata(b'{"info": {"features": {"label": {"_type": "Hologram"}}}}'),
                r"metadata of .*train\.parquet make no sense .*; ",
            ),
        },
    ),
]

# --- columns and files ------------------------------------------------------------------------------------------------

FAR = pa.array([10**15] * 8, pa.timestamp("ms"))  # a time that Python's clocks do not know

TABLE_KINDS = [
    Kind(
        "Data",
        "more columns than are needed, in one split alone, of any type, in another order; pandas' index",
        "left out",
        {
            "columns: one more": taken(written(lambda table: table | {"id": list(range(8))}, "train")),
            "columns: of a type that Python has not": taken(written(lambda table: table | {"at": FAR}, "train")),
            "columns: not UTF-8": taken(written(lambda table: table | {"note": invalid(table["sentence"])}, "train")),
            "columns: another order": taken(written(lambda table: dict(reversed(table.items())))),
            "columns: an index": taken(pandas(lambda frame: frame.set_index(frame.index * 7 % 8), "train")),
        },
    ),
    Kind(
        "Data",
        "a column that is not there or is called otherwise, or is there twice; no rows",
        "refused, naming it",
        {
            "columns: labels": refused(
                renamed_columns(label="labels"),
                r"^task\.label=label: train has .* sentence, labels, no label \(did you mean labels\?\); rename",
            ),
            "columns: text": refused(
                renamed_columns(sentence="text"),
                r"^task\.text=.*: train has the columns text, label, no sentence; rename .*task\.text",
            ),
            "columns: none": refused(written(lambda table: {}), r"^task\.text=.*: train has .*no sentence; "),
            "columns: twice": refused(
                written(
                    lambda table: pa.table(
                        [table["label"], table["label"], table["sentence"]], names=["label", "label", "sentence"]
                    )
                ),
                r"train\.parquet has the column label twice; ",
            ),
        }
        | {
            f"no rows: {split}": refused(
                written(lambda table: {name: pa.array(values)[:0] for name, values in table.items()}, split),
                rf"^data: sst2/{split} has no rows; ",
            )
            for split in SPLITS
        },
    ),
    Kind(
        "Data",
        "a split in parts: `train-00000-of-00002.parquet` …, with hashes, or any files in `train/` or `train.parquet/`",
        "read one after the other",
        {
            "parts": taken(in_parts("train-00000-of-00002.parquet", "train-00001-of-00002.parquet")),
            "parts: with hashes": taken(
                in_parts("train-00000-of-00002-1a2b.parquet", "train-00001-of-00002-3c4d.parquet")
            ),
            "parts: a folder": taken(in_parts("train/0000.parquet", "train/0001.parquet")),
            "parts: a folder with a file's name": taken(
                in_parts("train.parquet/part-0000.parquet", "train.parquet/part-0001.parquet")
            ),
            "parts: one without rows": taken(
                both(in_parts("train-00000-of-00002.parquet"), holding_rows("train-00001-of-00002.parquet", 0))
            ),
        },
    ),
    Kind(
        "Data",
        "a part is missing, has other columns, or parts of several sets lie together",
        "refused, naming a file",
        {
            "parts: one missing": refused(
                in_parts("train-00000-of-00003.parquet", "train-00002-of-00003.parquet"),
                r"^data\.path=.*train-00001-of-00003\.parquet, a part of .*train.*; ",
            ),
            "parts: other columns": refused(
                in_parts("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", columns={"sentence": "text"}),
                r"train-00001-of-00002\.parquet has the columns .*text.*, train-00000-of-00002\.parquet .*; ",
            ),
            "parts: two sets": refused(
                both(
                    in_parts("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"),
                    holding_rows("train-00000-of-00001.parquet", 8),
                ),
                r"train-00000-of-00001\.parquet.*train-00000-of-00002\.parquet.*; ",
            ),
            "parts: one twice, with hashes": refused(
                both(
                    in_parts("train-00000-of-00002-1a2b.parquet", "train-00001-of-00002-3c4d.parquet"),
                    holding_rows("train-00001-of-00002-5e6f.parquet", 4),
                ),
                r"train-00001-of-00002-3c4d\.parquet.*train-00001-of-00002-5e6f\.parquet.*; ",
            ),
            "parts: beside a whole": refused(
                holding_rows("train-00000-of-00001.parquet", 8),
                r"one set of files of train: train\.parquet or train-00000-of-00001\.parquet must go; ",
            ),
            "parts: other class names": refused(
                both(
                    classes(CLASSES, "train"),
                    in_parts("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"),
                    holding_rows("train-00001-of-00002.parquet", 4),
                ),
                r"train-00000-of-00002\.parquet, .* name their classes differently; ",
            ),
        },
    ),
    Kind(
        "Data",
        "CSV, TSV, JSON lines, or one list of JSON; packed with gzip; with a byte order mark, CRLF or blank lines",
        "read as Parquet is; Parquet goes first where both are there",
        {
            f"format: {suffix}": taken(in_format(suffix))
            for suffix in (".csv", ".tsv", ".jsonl", ".json", ".csv.gz", ".jsonl.gz")
        }
        | {
            "format: another in each split": taken(
                both(in_format(".tsv", bytes, "validation"), in_format(".jsonl", bytes, "train"))
            ),
            "format: BOM and CRLF": taken(
                in_format(".csv", lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n") + b"\r\n")
            ),
            "format: BOM in JSON": taken(in_format(".jsonl", lambda data: b"\xef\xbb\xbf" + data + b"\n\n")),
            "format: quoted": taken(
                in_format(".csv", replaced("the film is good", '"the ""film"",\nis good"'), "train"),
                splits={
                    "train": {**PLAIN["train"], "sentence": ['the "film",\nis good', *PLAIN["train"]["sentence"][1:]]}
                },
            ),
            "format: a line separator in JSON": taken(
                in_format(".jsonl", replaced("the film is good", "the film\u2028is good"), "train"),
                splits={
                    "train": {**PLAIN["train"], "sentence": ["the film\u2028is good", *PLAIN["train"]["sentence"][1:]]}
                },
            ),
            "format: class names": taken(in_format(".csv", lambda data: data.replace(b",1", b",positive"))),
            "format: parts": taken(
                both(
                    in_format(".csv", bytes, "train"),
                    holding("sst2/train-00000-of-00002.csv", b"sentence,label\nthe film is good,1\n"),
                    holding(
                        "sst2/train-00001-of-00002.csv",
                        ("sentence,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS[1:])).encode(),
                    ),
                    without("sst2/train.csv"),
                )
            ),
            "format: a folder": taken(
                both(
                    in_format(".csv"),
                    lambda folder: (folder / "sst2" / "train").mkdir(),
                    lambda folder: (folder / "sst2" / "train.csv").rename(folder / "sst2" / "train" / "any.csv"),
                )
            ),
            "format: no folder of the task": taken(
                both(
                    in_format(".csv"),
                    lambda folder: [file.rename(folder / file.name) for file in (folder / "sst2").iterdir()],
                    lambda folder: (folder / "sst2").rmdir(),
                )
            ),
            "format: CSV beside Parquet": taken(holding("sst2/train.csv", b"no rows")),
            "hub: CSV in a README": taken(
                both(in_format(".csv"), readme(("train", "sst2/train.csv"), ("validation", "sst2/validation.csv"))),
                settings=HUB,
            ),
        },
    ),
    Kind(
        "Data",
        "such a file with a stray quote, another number of values, a NUL, bytes that are no UTF-8, or no JSON",
        "refused, naming file and line",
        {
            "CSV: a stray quote": refused(
                in_format(".csv", replaced("the film is bad", '"the film is bad')), r"train\.csv: line \d+: .*; write "
            ),
            "CSV: quotes that make one row of two": refused(
                in_format(".csv", lambda data: data.replace(b"the film is", b'"the film is')),
                r"train\.csv: line 3: .*; write ",
            ),
            "CSV: a separator": refused(
                in_format(".csv", replaced("the film is bad", "the film, is bad")),
                r"train\.csv: line 3 has 3 values, and the first line names 2 columns \(sentence, label\); quote",
            ),
            "CSV: NUL": refused(
                in_format(".csv", replaced("is bad", "is \0bad")), r"train\.csv: line 3 has a NUL character; "
            ),
            "CSV: not UTF-8": refused(
                in_format(".csv", replaced("is bad", b"is b\xe4d")), r"train\.csv: line 3 .* UTF-8 \(byte 0xe4\); write"
            ),
            "CSV: UTF-16": refused(
                in_format(".csv", lambda data: data.decode().encode("utf-16")), r"train\.csv: line 1 .* UTF-8 .*; write"
            ),
            "CSV: a column twice": refused(
                in_format(".csv", replaced("sentence,label", "label,label")), r"train\.csv has the column label twice; "
            ),
            "CSV: a label is missing": refused(
                in_format(".csv", replaced("bad,0", "bad,")), r"^data: label '' in row 1 of sst2/train; must be 0 to 1"
            ),
            "CSV: no header": refused(
                in_format(".csv", replaced("sentence,label\n", "")), r"^task\.text=.*: train has the columns .*; rename"
            ),
            "CSV: empty": refused(in_format(".csv", lambda data: b""), r"^task\.text=.*: train has the columns .*; "),
            "JSON: a line": refused(
                in_format(".jsonl", replaced('"label":0}', '"label":0')), r"train\.jsonl: line 2 of it is no JSON .*; "
            ),
            "JSON: no object": refused(
                in_format(".jsonl", replaced("{", "[1]\n{")), r"train\.jsonl: line \d+ of it is no JSON .*; |line 1 is"
            ),
            "JSON: a text for an object": refused(
                in_format(".jsonl", lambda data: b'"a"\n' + data), r'train\.jsonl: line 1 is "a"; must be an object'
            ),
            "JSON: a key is missing": refused(
                in_format(".jsonl", replaced('"sentence":"the film is bad",', "")),
                r"^data: sentence in row 1 of sst2/train is null; must be a text",
            ),
            "gzip: cut": refused(
                in_format(".csv.gz", lambda data: data[:-9]), r"train\.csv\.gz is no whole gzip file .*; fetch"
            ),
            "format: two": refused(
                both(in_format(".csv"), holding("sst2/train.jsonl", b"{}")),
                r"one set of files of train: train\.csv or train\.jsonl must go; ",
            ),
            "format: a part missing": refused(
                both(in_format(".csv"), without("sst2/train.csv"), holding("sst2/train-00000-of-00002.csv", b"a")),
                r"lacks train-00001-of-00002\.csv, a part of train; ",
            ),
        },
    ),
    Kind(
        "Data",
        "no such folder, no folder of the task, no file of a split, or files in another format (Excel, Arrow)",
        "refused, naming what is there",
        {
            "no folder": refused(
                lambda folder: None,
                r"^data\.path=/no/where: .* there is no such folder; ",
                settings={"data.path": "/no/where"},
            ),
            "no task": refused(
                lambda folder: (folder / "sst2").rename(folder / "sst"), r"needs sst2/train\.parquet .* has sst, stsb; "
            ),
            "no train": refused(without("sst2/train.parquet"), r"^data\.path=.*: sst2 lacks train\.parquet .*; "),
            "no validation": refused(
                without("sst2/validation.parquet"), r"^data\.path=.*: sst2 lacks validation\.parquet .*; "
            ),
            "Excel": refused(
                both(moved(train="sst2/train.xlsx")),
                r"sst2 lacks train\.parquet \(or \.csv, .*; it has train\.xlsx, .*: ",
            ),
        },
    ),
    Kind(
        "Data",
        "a file that is replaced under the same time stamp and size, or a link that leads elsewhere now",
        "the experiment gets another run id, since files count by a hash of their content",
        test="test_a_file_that_is_replaced_under_the_same_time_and_size_is_another",
    ),
    Kind(
        "Data",
        "a file that is a Git LFS pointer, cut short, empty, or no Parquet",
        "refused, naming it",
        {
            "pointer": refused(
                holding("sst2/train.parquet", POINTER), r"train\.parquet is a Git LFS pointer.*; run git"
            ),
            "file: cut": refused(
                holding("sst2/train.parquet", lambda data: data[:-200]), r"train\.parquet is no whole Parquet file"
            ),
            "file: empty": refused(holding("sst2/train.parquet", b""), r"train\.parquet is no whole Parquet file .*; "),
            "file: another format": refused(feather, r"train\.parquet is no whole Parquet file .*; "),
        },
    ),
]

# --- the hub's layout -------------------------------------------------------------------------------------------------

IN_DATA = moved(train="data/a/train-x.parquet", validation="data/a/dev-x.parquet")
PLACES = (("train", "data/a/train-*"), ("validation", ["data/a/dev-x.parquet"]))

HUB_KINDS = [
    Kind(
        "Data",
        "`data.hub=DIR`, laid out like a data set on the hub: files where its README says, by name, list or pattern",
        "read",
        {
            "hub: pattern and list": taken(both(IN_DATA, readme(*PLACES)), settings=HUB),
            "hub: two stars": taken(
                both(IN_DATA, readme(("train", "**/train-*.parquet"), ("validation", "data/**/dev*"))), settings=HUB
            ),
            "hub: a star is one folder": taken(
                both(
                    moved(train="sst2/train-x.parquet", validation="sst2/dev.parquet"),
                    holding_rows("train-old/x.parquet", 8),
                    readme(("train", "sst2/train-*"), ("validation", "sst2/dev.parquet")),
                ),
                settings=HUB,
            ),
        },
    ),
    Kind(
        "Data",
        "such a folder without README, or one that says nothing of the task",
        "`<task>/<split>.parquet`, its parts, or `<task>/<split>/0000.parquet` are read",
        {
            "hub: no README": taken(lambda folder: None, settings=HUB),
            "hub: converted": taken(
                both(moved(train="sst2/train/0000.parquet", validation="sst2/validation/0000.parquet")), settings=HUB
            ),
            "hub: README of others": taken(
                holding("README.md", b"---\nconfigs:\n- config_name: other\n  data_files: x/*\n---\n"), settings=HUB
            ),
            "hub: README without head": taken(holding("README.md", b"# Data\n\xff"), settings=HUB),
            "hub: README of odd types": taken(
                readme(dataset_info="sst2", configs=["sst2", 7, {"config_name": "sst2", "data_files": None}]),
                settings=HUB,
            ),
        },
    ),
    Kind(
        "Data",
        "a README with class names, in any order, for files that have none",
        "mapped by name",
        {
            "README: names": taken(readme(**info(CLASSES)), settings=HUB),
            "README: names by number": taken(readme(**info({"0": "negative", "1": "positive"})), settings=HUB),
            "README: names reversed": taken(both(swapped_labels, readme(**info(CLASSES[::-1]))), settings=HUB),
            "README: no names": taken(readme(**info(None)), settings=HUB),
        },
    ),
    Kind(
        "Data",
        "a README that names other classes, a file that is not there or files in another format, or whose head "
        "is not YAML",
        "refused, naming it",
        {
            "README: other names": refused(
                readme(**info(["bad", "good"])), r"^task\.labels=.* has the classes \['bad', 'good'\]; ", settings=HUB
            ),
            "README: names by no number": refused(
                readme(**info({"a": "negative", "b": "positive"})),
                r"lacks the names of sst2's classes by their numbers in its README\.md; ",
                settings=HUB,
            ),
            "README: no train": refused(
                readme(("validation", "sst2/validation.parquet")),
                r"lacks files of train in its sst2 \(.*validation\); ",
                settings=HUB,
            ),
            "README: no such file": refused(
                readme(("train", "sst2/train-*"), ("validation", "sst2/validation.parquet")),
                r"lacks files of train in its sst2 \(sst2/train-\*\); ",
                settings=HUB,
            ),
            "README: Arrow": refused(
                both(moved(train="sst2/train.arrow"), readme(("train", "sst2/train.arrow"))),
                r"lacks files of train that can be read \(it has sst2/train\.arrow; ",
                settings=HUB,
            ),
            "README: no YAML": refused(
                holding("README.md", b"---\nconfigs: [\n---\n"),
                r"lacks a README\.md with YAML at its head",
                settings=HUB,
            ),
            "hub: a part missing": refused(
                both(
                    moved(train="sst2/train-00000-of-00002.parquet"),
                    readme(("train", "sst2/train-*"), ("validation", "sst2/validation.parquet")),
                ),
                r"lacks sst2/train-00001-of-00002\.parquet, a part of .*; ",
                settings=HUB,
            ),
        },
    ),
]

# --- names ------------------------------------------------------------------------------------------------------------

NO_NAMES = {
    "blank": " ",
    "with a blank": "a ",
    "a path": "a/b",
    "up": "..",
    "hidden": ".a",
    "a line": "a\nb",
    "long": "a" * 101,
    "long in UTF-8": "電😀" * 49,
    "backslash": "a\\b",
    "no character": "a\x85b",
    "not UTF-8": "a\udcff",
}

NOWHERE = {
    "a path": ("./nowhere", "no such folder"),
    "an address": ("https://example.org/data/glue", "no such folder"),
    "a file": ("{folder}/sst2/train.parquet", "no such folder"),
    "empty": ("", "no folder here and no name on the hub"),
    "no name": ("a b", "no folder here and no name on the hub"),
    "a name that is not there": ("nobody/nothing", "could not be loaded from the hub or its cache"),
}

NAME_KINDS = [
    Kind(
        "Names",
        "`model.name` or `task.name` that names no single folder: hidden, too long, with `/` or what cannot be printed",
        "refused: results are filed under it",
        {
            f"{key}: {what}": refused(lambda folder: None, rf"^{key}=.*: .*; give {key}=NAME", settings={key: name})
            for key in ("model.name", "task.name")
            for what, name in NO_NAMES.items()
            if (key, what) != ("task.name", "not UTF-8")  # which is refused before
        },
    ),
    Kind(
        "Names",
        "`model.name` with blanks, capitals or letters of any script; or empty",
        "used; an empty one is the checkpoint's own name",
        {
            f"model.name: {name}": taken(lambda folder: None, settings={"model.name": name})
            for name in ("", "näme ✓ x", "電影", "A.b-c_d=e", "a" * 100)
        },
    ),
    Kind(
        "Names",
        "`data.hub` or `model.pretrained` that is a path to nothing, a file, an address, or no name of the hub's",
        "refused",
        {
            f"{key}: {what}": refused(
                lambda folder: None, rf"^{key}=.*: .*{told}.*; ", settings={"data.path": path, key: value}
            )
            for key, path in (("data.hub", None), ("model.pretrained", "{folder}"))
            for what, (value, told) in NOWHERE.items()
        },
    ),
]

KINDS = [*TEXT_KINDS, *LABEL_KINDS, *TABLE_KINDS, *HUB_KINDS, *NAME_KINDS]
