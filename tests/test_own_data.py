"""Data of one's own: any format, columns, labels and splits, told by one YAML that the user keeps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.utils.class_weight import compute_class_weight

from analysis.read.predictions import read_predictions
from compress import task_file, teacher
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions, read_one
from compress.config.schema import Config
from compress.data import corpus, demo, tokenization
from compress.data.augmentation import Augmentation
from compress.data.tokenization import Dataset, Tokens
from compress.errors import ConfigError
from compress.runs import predictions
from compress.task.config import TaskConfig, stated
from compress.training import class_weights
from compress.training.loop import task_loss

Write = Callable[..., Path]
TASK: dict[str, Any] = {
    "name": "reviews", "text": ["review"], "label": "stars", "labels": ["bad", "fair", "good"],
    "validation": ["validation"], "metrics": ["accuracy"], "accuracy_metrics": ["accuracy"],
}  # fmt: skip
ROWS = {
    "review": ["the plot is dull", "a fine film", "nothing new", "great", "awful", "it is so so"],
    "stars": ["bad", "good", "fair", "good", "bad", "fair"],
}


@pytest.fixture
def conf(tmp_path: Path) -> Write:
    """A function that writes the task's YAML into a folder for --config-dir, and names that folder."""

    def write(**changes: Any) -> Path:
        file = tmp_path / "mine" / "task" / "reviews.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(TASK | changes))
        return tmp_path / "mine"

    return write


@pytest.fixture
def composed(conf: Write, cache: Path, tmp_path: Path) -> Callable[..., Config]:
    """A function of the task's changed values, and of overrides, that gives the checked configuration."""

    def compose(*words: str, **changes: Any) -> Config:
        place = f"hydra.searchpath=[file://{conf(**changes)}]"
        runs = f"paths.runs={tmp_path / 'runs'}"
        return next(compositions([place, runs, "model=tiny", "task=reviews", *words], conf_folder(), multirun=False))

    return compose


def texts_of(config: Config) -> dict[str, tuple[list[str], list[int] | list[float]]]:
    """Of each split the texts of its first column, and its labels."""
    return {split: (texts.columns[0], texts.labels)
            for split, texts in corpus.load_texts(config.data, config.task).items()}  # fmt: skip


def put(folder: Path, **files: dict[str, Any]) -> Path:
    """A folder with CSV files of these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder


EXPECTED = (ROWS["review"], [0, 2, 1, 2, 0, 1])


# --- where it is ------------------------------------------------------------------------------------------------------


def test_one_yaml_names_the_folder_the_columns_and_the_splits(composed: Callable[..., Config], tmp_path: Path) -> None:
    folder = put(tmp_path / "data", training=ROWS, test=ROWS)
    config = composed(hub=str(folder), splits={"train": "training", "validation": "test"})
    assert texts_of(config) == {"train": EXPECTED, "validation": EXPECTED}


def test_a_folder_on_the_command_line_goes_first(composed: Callable[..., Config], tmp_path: Path) -> None:
    folder = put(tmp_path / "data", train=ROWS, validation=ROWS)
    config = composed(f"data.path={folder}", hub="somebody/reviews", subset="english", revision="v2")
    assert texts_of(config)["train"] == EXPECTED


@pytest.mark.parametrize("below", ["", "data/", "default/"])
def test_files_lie_where_they_usually_do_on_the_hub(
    composed: Callable[..., Config], tmp_path: Path, below: str
) -> None:
    put(tmp_path / "data" / below, train=ROWS, validation=ROWS)
    assert texts_of(composed(hub=str(tmp_path / "data")))["train"] == EXPECTED


def described(folder: Path, **subsets: str) -> Path:
    """A README whose head names the files of subsets, which are in these folders; its classes are in another order."""
    label = {"name": "stars", "dtype": {"class_label": {"names": {"0": "good", "1": "bad", "2": "fair"}}}}
    head = {
        "configs": [
            {"config_name": name, "data_files": [{"split": "train", "path": f"{below}/train*"},
                                                 {"split": "test", "path": f"{below}/test*"}]}
            for name, below in subsets.items()
        ],
        "dataset_info": [{"config_name": name, "features": [label]} for name in subsets],
    }  # fmt: skip
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(head)}---\n")
    return folder


def test_a_subset_of_a_data_set_with_several(composed: Callable[..., Config], tmp_path: Path) -> None:
    numbered = ROWS | {"stars": [["good", "bad", "fair"].index(name) for name in ROWS["stars"]]}
    put(tmp_path / "data" / "en", train=numbered, test=numbered)
    put(tmp_path / "data" / "de", train=ROWS, test=ROWS)
    hub = str(described(tmp_path / "data", english="en", german="de"))
    task = {"hub": hub, "splits": {"validation": "test"}}
    assert texts_of(composed(**task, subset="english")) == {"train": EXPECTED, "validation": EXPECTED}
    with pytest.raises(ConfigError, match=r"^task.hub=.* lacks a subset .*: it has english, german; give one as task"):
        texts_of(composed(**task))
    with pytest.raises(ConfigError, match=r"lacks a subset french: it has english, german"):
        texts_of(composed(**task, subset="french"))


def test_the_only_subset_needs_no_name(composed: Callable[..., Config], tmp_path: Path) -> None:
    put(tmp_path / "data" / "en", train=ROWS, test=ROWS)
    hub = str(described(tmp_path / "data", anything="en"))
    assert texts_of(composed(hub=hub, splits={"validation": "test"}))["validation"] == EXPECTED


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"subset": "english"}, r"^task\.subset=english: is of the data set that task\.hub names; give task\.hub"),
        ({"revision": "v2"}, r"^task\.revision=v2: .*, or data\.revision"),
        ({"label": "review"}, r"^task\.label=review: is in task\.text as well; "),
        (
            {"splits": {"trian": "x"}},
            r"^task\.splits\.trian: no split of the task \(did you mean train\?\); must ",
        ),
        ({"hub": "./nowhere"}, r"^task\.hub=\./nowhere: no such folder; give one, or"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    composed: Callable[..., Config], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        composed(**changes)


def test_a_column_that_is_not_there_is_named(composed: Callable[..., Config], tmp_path: Path) -> None:
    folder = put(tmp_path / "data", train=ROWS, validation=ROWS)
    with pytest.raises(ConfigError, match=r"^task.label=star: train has .* no star \(did you mean stars"):
        texts_of(composed(hub=str(folder), label="star"))
    with pytest.raises(ConfigError, match=r"lacks validation.parquet \(or \.csv, .* splits of other names .* task\."):
        texts_of(composed(f"data.path={put(tmp_path / 'more', train=ROWS, test=ROWS)}"))


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [0, 1, -1])
@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_numbers_from_any_base_are_the_classes_in_the_order_of_task_labels(
    composed: Callable[..., Config], tmp_path: Path, base: int, suffix: str
) -> None:
    names = [base, base + 1, base + 2]
    frame = pd.DataFrame(ROWS | {"stars": [names[TASK["labels"].index(name)] for name in ROWS["stars"]]})
    for split in ("train", "validation"):
        write = {"csv": partial(frame.to_csv, index=False), "parquet": frame.to_parquet,
                 "jsonl": partial(frame.to_json, orient="records", lines=True)}[suffix]  # fmt: skip
        write(tmp_path / f"{split}.{suffix}")
    assert texts_of(composed(f"data.path={tmp_path}", labels=names)) == {"train": EXPECTED, "validation": EXPECTED}
    reversed_labels = texts_of(composed(f"data.path={tmp_path}", labels=names[::-1]))["train"][1]
    assert reversed_labels == [2 - label for label in EXPECTED[1]]


def test_a_label_that_is_none_is_told_with_its_row_and_what_is_allowed(
    composed: Callable[..., Config], tmp_path: Path
) -> None:
    stars = [1, 3, 2, 3, 4, 2]
    put(tmp_path, train=ROWS | {"stars": stars}, validation=ROWS)
    with pytest.raises(ConfigError, match=r"^data: label '4' in row 4 of reviews/train; must be of 1, 2, 3$"):
        texts_of(composed(f"data.path={tmp_path}", labels=[1, 2, 3]))
    with pytest.raises(ConfigError, match=r"label 'fair' in row 2 of reviews/train; must be 0 to 1, or of bad, good"):
        texts_of(composed(f"data.path={put(tmp_path / 'two', train=ROWS, validation=ROWS)}", labels=["bad", "good"]))
    with pytest.raises(ConfigError, match=r"^task\.labels=\['a', 'a'\]: a is there twice; "):
        composed(labels=["a", "a"])


# --- a split that is cut off ------------------------------------------------------------------------------------------

MANY = {"review": [f"film number {row}" for row in range(200)], "stars": (["bad"] * 30 + ["good"] * 10) * 5}
TWO = {"labels": ["bad", "good"], "held_out": 0.1}


def test_a_split_is_cut_off_by_the_datas_seed_each_class_in_its_share(
    composed: Callable[..., Config], tmp_path: Path
) -> None:
    folder = put(tmp_path / "data", train=MANY)
    found = [texts_of(composed(f"data.path={folder}", *words, **TWO)) for words in ((), ("seed=1",), ("data.seed=1",))]
    assert found[0] == found[1] != found[2]
    for splits in (found[0], found[2]):
        train, dev = splits["train"], splits["validation"]
        assert sorted(train[0] + dev[0]) == sorted(MANY["review"])
        assert (dev[1].count(0), dev[1].count(1)) == (15, 5)
        assert dev[0] == sorted(dev[0], key=MANY["review"].index)
    ids = {identity.run_id(composed(f"data.path={folder}", *words, **changes))
           for words in ((), ("data.seed=1",)) for changes in (TWO, TWO | {"held_out": 0.2})}  # fmt: skip
    assert len(ids) == 4


def test_of_a_regression_rows_are_cut_off_whatever_their_scores(
    composed: Callable[..., Config], tmp_path: Path
) -> None:
    put(tmp_path, train=MANY | {"stars": [row / 8 for row in range(200)]})
    changes = {"labels": None, "held_out": 0.25, "metrics": ["pearson"], "accuracy_metrics": ["pearson"]}
    splits = texts_of(composed(f"data.path={tmp_path}", **changes))
    assert (len(splits["train"][1]), len(splits["validation"][1])) == (150, 50)


def test_copies_are_made_of_what_is_left_and_the_result_says_what_was_cut_off(
    composed: Callable[..., Config], tmp_path: Path
) -> None:
    rows = {"review": [f"a fine film {row}" for row in range(40)], "stars": [1, 2] * 20}
    config = composed(f"data.path={put(tmp_path / 'data', train=rows)}", labels=[1, 2], held_out=0.25)
    dataset = tokenization.prepare(
        config.data, config.task, demo.build_tokenizer(), tmp_path / "cache", Augmentation(1, 0.5, 0, None)
    )
    train, dev = dataset.splits["train"], dataset.splits["validation"]
    assert (int(train.sources.max()) + 1, len(train), len(dev)) == (30, 60, 10)
    assert dataset.notes == [
        "the labels 1, 2 of the data are the classes 0, 1",
        "validation is 10 of the 40 rows of train, drawn by data.seed=0",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"held_out": 0.1}, r"^task\.held_out=0\.1: data\.path=.* has validation \(validation\.csv\); leave held_out"),
        ({"held_out": 1.0}, r"^task\.held_out=1\.0: must be less than 1"),
        ({"held_out": 0.1, "validation": ["a", "b"]}, r"^task\.held_out=0\.1: one split is cut off, and .*; name one"),
        ({"class_weights": [1, 2]}, r"^task\.class_weights=\[.*\]: must be 3 numbers, one for each of bad, fair, good"),
        ({"class_weights": [1, 0, 2]}, r"^task\.class_weights=\[.*\]: must be numbers greater than 0; "),
        ({"class_weights": "equal"}, r"^task\.class_weights=equal: must be 'balanced'"),
        (
            {"class_weights": "balanced", "labels": None},
            r"^task\.class_weights=balanced: a regression has no classes",
        ),
    ],
)
def test_what_cannot_be_cut_off_or_weighed_is_refused(
    composed: Callable[..., Config], tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    put(tmp_path, train=ROWS, validation=ROWS)
    with pytest.raises(ConfigError, match=told):
        texts_of(composed(f"data.path={tmp_path}", **changes))


def test_one_row_cannot_be_cut(composed: Callable[..., Config], tmp_path: Path) -> None:
    put(tmp_path, train={"review": ["a", "b"], "stars": ["bad", "good"]})
    with pytest.raises(ConfigError, match=r"^task\.held_out=0\.5: reviews/train has 2 rows, too few .*; add valid"):
        texts_of(composed(f"data.path={tmp_path}", held_out=0.5))


# --- weights of classes -----------------------------------------------------------------------------------------------


def weighed(task: TaskConfig, labels: list[int], copies: int = 0) -> list[float] | None:
    rows = len(labels)
    tokens = Tokens(*(np.zeros(1, np.int64),) * 3, np.array(labels * (1 + copies)),
                    np.tile(np.arange(rows), 1 + copies))  # fmt: skip
    return class_weights.of(task, Dataset({"train": tokens}, np.arange(rows * (1 + copies)), []))


def test_balanced_weights_are_scikit_learns_whatever_copies_there_are(composed: Callable[..., Config]) -> None:
    labels = [0] * 7 + [1] * 2 + [2]
    task = composed(class_weights="balanced").task
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    for copies in (0, 2):
        assert weighed(task, labels, copies) == pytest.approx(expected.tolist())
    assert weighed(composed(class_weights=[1, 2, 3]).task, labels) == [1, 2, 3]
    assert weighed(composed().task, labels) is None
    with pytest.raises(ConfigError, match=r"^task\.class_weights=balanced: no training row is good; give a number"):
        weighed(task, [0, 1])


def test_the_loss_is_the_weighted_mean() -> None:
    logits, labels = torch.tensor([[1.0, 2.0], [0.5, -1.0], [0.0, 0.0]]), torch.tensor([0, 1, 1])
    weights = torch.tensor([0.5, 2.0])
    each = torch.stack([task_loss(logits[row : row + 1], labels[row : row + 1]) for row in range(3)])
    expected = (each * weights[labels]).sum() / weights[labels].sum()
    assert task_loss(logits, labels, weights).item() == pytest.approx(expected.item(), abs=1e-6)
    assert task_loss(logits, labels, torch.ones(2)).item() == pytest.approx(task_loss(logits, labels).item(), abs=1e-6)


# --- metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"metrics": ["f1"]},
            r"^task\.metrics=f1: is of two classes, and the task has 3 classes; must be of acc",
        ),
        ({"metrics": ["macro_f2"]}, r"^task\.metrics=macro_f2: must be of .* \(did you mean macro_f1\?\)"),
        (
            {"labels": None, "metrics": ["rmse"]},
            r"^task\.metrics=rmse: is averaged to no .*; give it as task\.mo",
        ),
        (
            {"labels": None},
            r"^task\.metrics=accuracy: is of classes, and the task has a score; must be of pea",
        ),
        (
            {"more_metrics": ["mae"]},
            r"^task\.more_metrics=mae: is of numbers, and the task has 3 classes; must be ",
        ),
    ],
)
def test_a_metric_that_is_not_of_the_labels_or_fit_for_a_score_is_refused(
    composed: Callable[..., Config], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        composed(**changes)


@pytest.mark.parametrize("classes", [2, 3])
def test_logits_are_kept_where_a_metric_takes_them(tmp_path: Path, classes: int) -> None:
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, classes, 100), generator.normal(0, 9, (100, classes)).astype(np.float32)
    split = predictions.Split(labels, logits.argmax(axis=1), logits)
    packed = predictions.pack("0123456789ab", classes, {"validation": split})
    predictions.write(tmp_path, packed)
    kept = predictions.read(tmp_path, "0123456789ab")
    assert kept is not None
    found = kept.splits()["validation"].logits
    assert found is not None
    assert np.array_equal(found, logits)
    wrong = predictions.pack("0123456789ab", classes, {"validation": replace(split, logits=-logits)})
    with pytest.raises(ValueError, match="the logits of validation are not those of its predictions"):
        wrong.splits()
    assert "logits" not in predictions.pack("0123456789ab", 2, {"x": predictions.Split(labels, labels)}).document()


@pytest.mark.parametrize(("metric", "constant"), [("macro_f1", 1 / 3), ("auroc", 0.5), ("matthews_correlation", 0)])
def test_a_teacher_is_compared_with_the_best_constant_answer_by_the_tasks_own_metric(
    composed: Callable[..., Config], metric: str, constant: float
) -> None:
    task = composed(labels=["a", "b"], metrics=[metric], accuracy_metrics=[metric]).task
    assert teacher._best_constant(metric, np.array([0, 1] * 50), task) == pytest.approx(constant)


def test_a_key_that_the_tasks_file_leaves_out_can_be_added(composed: Callable[..., Config], conf: Write) -> None:
    assert composed("+task.held_out=0.2").task.held_out == 0.2
    told = r"^task.held_out=0.2: the chosen task does not set it; \+task.held_out=0.2 adds it"
    with pytest.raises(ConfigError, match=told):
        read_one(["--config-dir", str(conf()), "model=tiny", "task=reviews", "task.held_out=0.2"], conf_folder())


# --- identity ---------------------------------------------------------------------------------------------------------


def test_an_own_place_counts_as_that_of_the_data_does(composed: Callable[..., Config], tmp_path: Path) -> None:
    """By the files' contents if they are here, else by name and revision."""
    folder = put(tmp_path / "data", train=ROWS, validation=ROWS)
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    here = [composed(hub=str(folder)), composed(hub=str(moved)), composed(f"data.path={folder}")]
    assert len({identity.run_id(config) for config in here}) == 1
    hubs = [{"hub": "a/b"}, {"hub": "a/c"}, {"hub": "a/b", "revision": "v2"}, {"hub": "a/b", "subset": "x"}]
    ids = [identity.run_id(composed(**changes)) for changes in hubs]
    assert len({*ids, identity.run_id(here[0])}) == 5
    assert identity.run_id(composed("data.hub=a/b", "data.revision=null")) == ids[0]


def test_keys_that_were_added_later_do_not_count_while_they_have_their_defaults() -> None:
    task = TaskConfig(**{key: value for key, value in TASK.items() if key != "label"})
    assert stated(task) == {key: value for key, value in TASK.items() if key != "label"}
    assert stated(replace(task, label="stars"))["label"] == "stars"
    assert json.dumps(stated(replace(task, hub="a/b", revision="c"))) == json.dumps(stated(task))


# --- python -m compress.task ------------------------------------------------------------------------------------------


def looked(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[dict[str, Any], str]:
    """The values of the YAML that is printed, and its comments."""
    assert task_file.main(list(map(str, words))) == 0
    printed = capsys.readouterr().out
    return yaml.safe_load(printed), "".join(line for line in printed.splitlines(True) if line.startswith("#"))


def test_a_file_is_looked_at_and_its_task_can_be_run(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"id": range(100), "review": [f"film {row} is fine" for row in range(98)] + ["film 0 is fine", ""],
            "stars": ([1, 2, 3, 3] * 25)}  # fmt: skip
    put(tmp_path / "data", reviews=rows, other=ROWS)
    file = tmp_path / "data" / "reviews.csv"
    values, told = looked(capsys, file)
    assert values["labels"] == [1, 2, 3]
    assert (values["text"], values["label"], values["held_out"]) == (["review"], "stars", 0.1)
    assert told.splitlines() == [
        "# train: 100 rows in reviews.csv, of which 10% are cut off for validation",
        "#   review: 4 words in the median, 4 at 95 %, 4 at most; 1 empty text",
        "#   stars: 3 50, 1 25, 2 25",
        "# whole numbers are read as classes; for a regression write labels: null, and its metrics",
        "# 1 row of train repeats an earlier one",
        "# repeated rows may end up in both train and validation: remove them first",
    ]
    out = tmp_path / "mine"
    assert task_file.main([str(file), "--out", str(out), "--name", "films"]) == 0
    assert "--config-dir" in capsys.readouterr().out
    assert yaml.safe_load((out / "task" / "films.yaml").read_text()) == values | {"name": "films"}
    words = [f"hydra.searchpath=[file://{out}]", "model=tiny", "task=films", "task.held_out=0.2"]
    splits = texts_of(next(compositions(words, conf_folder(), multirun=False)))
    assert (len(splits["train"][1]), len(splits["validation"][1])) == (80, 20)
    assert task_file.main([str(file), "--out", str(out), "--name", "films"]) == 2
    assert "is there already; remove it, or give another --name" in capsys.readouterr().err


def test_a_folder_is_looked_at_with_doubles_between_its_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "reviews", training=ROWS, test={name: values[:2] for name, values in ROWS.items()})
    values, told = looked(capsys, tmp_path / "reviews")
    assert values["splits"] == {"train": "training", "validation": "test"}
    assert (values["name"], values["held_out"], values["labels"]) == ("reviews", None, ["bad", "fair", "good"])
    assert "2 of the 2 rows of validation are in train too" in told
    assert {*values} == {field.name for field in fields(TaskConfig)}


def test_scores_are_a_regression_and_a_test_split_without_labels_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = {"first": ["a dog runs", "it is hot"], "second": ["a cat sits", "it rains today"], "score": [0.5, 4.2]}
    put(tmp_path / "pairs", train=pairs, test=pairs | {"score": [-1, -1]})
    values, told = looked(capsys, tmp_path / "pairs")
    assert (values["labels"], values["text"], values["held_out"]) == (None, ["first", "second"], 0.1)
    assert (values["metrics"], values["more_metrics"]) == (["pearson", "spearman"], ["rmse", "mae", "r2"])
    assert "score: 0.5 to 4.2, 2.35 in the mean" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.csv"], "nowhere.csv: no such file or folder; give"),
        (["a.xlsx"], "a.xlsx: must end in .parquet, .csv"),
        (["a.csv", "--label", "star"], "--label star: no such column (did you mean stars?); there are review, stars"),
        (["a.csv", "--text", "txt"], "--text txt: no column txt"),
        (["b.csv"], "--label: which column has the labels? give --label COLUMN; there are review, x"),
        (["b.csv", "--label", "x"], "--label x: is 1 in every row; there is nothing to learn from one class"),
        (["c.csv"], "--text: no column has texts of several words; give --text"),
        (["d.csv"], "FILE: d.csv: line 2: "),
        (["e.csv"], "e.csv: e.parquet lies beside it and would be read; move one of them"),
        (["a.csv", "--name", "a/b"], "--name='a/b': results are filed under it"),
        (["f"], "FILE: f/validation.csv has no labels in stars; write them"),
        (["."], ".: has no train.parquet (or .csv, .tsv, .jsonl); give the file with the training rows"),
        ([], "FILE: give a file, or a folder"),
        (["a.csv", "--lable", "x"], "unrecognized arguments: --lable x"),
    ],
)
def test_what_cannot_be_looked_at_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, a=ROWS, b={"review": ROWS["review"], "x": 1}, c={"text": ["a"], "label": [1]}, e=ROWS)
    put(tmp_path / "f", train=ROWS, validation={"review": ROWS["review"], "stars": -1})
    (tmp_path / "a.xlsx").touch()
    (tmp_path / "d.csv").write_text('text,label\n"a" b,1\n')
    pd.DataFrame(ROWS).to_parquet(tmp_path / "e.parquet")
    before = sorted(tmp_path.rglob("*"))
    assert task_file.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {told}")
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


# --- from file to report ----------------------------------------------------------------------------------------------


def module(folder: Path, *words: str) -> str:
    """What `python -m …` prints, in a folder."""
    environment = os.environ | {"WANDB_MODE": "disabled"}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_three_classes_and_a_regression_from_file_to_report(tmp_path: Path, cache: Path) -> None:
    """CSV with labels from 1 to 3 and no dev split, and JSON lines with scores: what the README shows."""
    claims, pairs = (demo.generate(task)["train"] for task in ("mnli", "stsb"))
    (tmp_path / "data").mkdir()
    numbered = pd.DataFrame(claims)[["premise", "hypothesis", "label"]].head(300)
    numbered.assign(label=numbered.label + 1).to_csv(tmp_path / "data" / "claims.csv", index=False)
    (tmp_path / "alike").mkdir()
    alike = pd.DataFrame(pairs).rename(columns={"label": "rating"})[["sentence1", "sentence2", "rating"]]
    for split, rows in (("train", alike.head(300)), ("dev", alike.tail(100))):
        rows.to_json(tmp_path / "alike" / f"{split}.jsonl", orient="records", lines=True)
    demo.build_tokenizer().save_pretrained(tmp_path / "words")

    assert "written" in module(tmp_path, "compress.task", "data/claims.csv", "--out", "mine")
    assert "written" in module(tmp_path, "compress.task", "alike", "--out", "mine")
    module(
        tmp_path, "compress", "-m", "--config-dir", "mine", "task=claims,alike", "model=demo/tiny,demo/mini",
        "model.tokenizer=words", "quantize=none,int8", "train=demo", "train.max_steps=30",
        "device=cpu", "tracking=none", "data.max_length=32",
    )  # fmt: skip
    results = [json.loads(file.read_text()) for file in (tmp_path / "runs").rglob("result.json")]
    assert len(results) == 8
    for result in results:
        has_classes = result["task"] == "claims"
        names = ["macro_f1", "accuracy", "balanced_accuracy"] if has_classes else ["pearson", "spearman"]
        names += [] if has_classes else ["rmse", "mae", "r2"]
        assert list(result["metrics"]) == names
        assert all(value is not None for value in result["metrics"].values()), result["metrics"]
        if has_classes:
            assert result["notes"][:2] == [
                "the labels 1, 2, 3 of the data are the classes 0, 1, 2",
                "validation is 30 of the 300 rows of train, drawn by data.seed=0",
            ]
    module(tmp_path, "analysis", "report", "runs", "--out", "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "claims" in page
    assert "alike" in page
    assert "GLUE score" not in page
    found = read_predictions(tmp_path / "runs")
    assert all(kept.metrics() == kept.result.metrics for kept in found.values())
