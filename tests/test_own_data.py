"""Data of one's own: any format, columns, labels and splits, told by one YAML that the user keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import Config
from compress.data import corpus
from compress.errors import ConfigError
from compress.task.config import TaskConfig, stated

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
