"""Data sets as people have them: the rows of the good one, or one line before anything is written."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compress import experiment
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import Config
from compress.data import corpus
from compress.data.texts import Texts
from compress.errors import ConfigError
from compress.model import encoder
from compress.training.evaluate import scored
from tests import odd_checkpoints, odd_inputs
from tests import odd_data as odd
from tests import odd_data_changes as changes
from tests.odd_inputs import Case, Refused, Taken, Values, asking, assert_one_line, cases, taken

TAKEN, REFUSED = cases(odd.KINDS, Taken), cases(odd.KINDS, Refused)

Make = Callable[[Case], Callable[[], Config]]


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good data, beside a checkpoint."""
    folder = tmp_path_factory.mktemp("data")
    odd_checkpoints.good(folder / "checkpoint")
    return changes.good(folder / "good")


@pytest.fixture(scope="session")
def values(cache: Path, good: Path) -> Callable[[str], Values]:
    """A function of a task that gives a configuration with the good data."""

    @lru_cache
    def composed(task: str) -> Values:
        words = ["model=pretrained", f"model.pretrained={good.parent / 'checkpoint'}", f"task={task}",
                 f"data.path={good}", "data.max_length=64", "train=demo", "train.max_steps=2", "tracking=none",
                 "device=cpu"]  # fmt: skip
        return asdict(next(compositions(words, conf_folder(), multirun=False)))

    return composed


@pytest.fixture
def asked(good: Path, values: Callable[[str], Values], tmp_path: Path) -> Make:
    """A function that makes a case's folder, and gives one that asks for an experiment with it."""

    return lambda case: asking(case, values, "data.path", good, tmp_path)


def texts_of(config: Config) -> dict[str, Texts]:
    return corpus.load_texts(config.data, config.task)


@pytest.mark.parametrize("name", TAKEN)
def test_read_as_the_good_one_is(asked: Make, name: str) -> None:
    """Every text and label, in order; classes by the task's numbers."""
    expected, config = TAKEN[name].expected, asked(TAKEN[name])()
    assert isinstance(expected, Taken)
    found = texts_of(config)
    good = changes.PLAIN if config.task.name == "sst2" else changes.PAIRS
    for split, table in {**good, **expected.splits}.items():
        assert found[split].columns == [table[column] for column in config.task.text]
        assert found[split].labels == table["label"]
        assert {type(label) for label in found[split].labels} == {float if config.task.regression else int}
    assert encoder.label(config.model) == (TAKEN[name].settings.get("model.name") or "checkpoint")


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_and_nothing_is_written(asked: Make, tmp_path: Path, name: str) -> None:
    expected, ask = REFUSED[name].expected, asked(REFUSED[name])
    assert isinstance(expected, Refused)
    with pytest.raises(ConfigError) as caught:
        experiment.run(ask())
    assert_one_line(caught.value, expected)
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


ORDERS = [
    "names: in order",
    "names: reversed",
    "names: reversed in validation",
    "README: names reversed",
    "labels: names",
]


@pytest.mark.parametrize("name", ORDERS)
def test_right_answers_score_100_in_whatever_order_the_classes_are(asked: Make, name: str) -> None:
    """And not 0, as where the order of train is taken for that of validation."""
    config = asked(TAKEN[name])()
    dataset, _ = experiment.load_data(config)
    right = np.eye(2, dtype=np.float32)[changes.PLAIN["validation"]["label"]]
    assert scored({"validation": right}, dataset, config.task).glue == 100


def test_one_row_is_trained_on_and_its_score_explained(asked: Make) -> None:
    result = experiment.run(asked(TAKEN["one row"])()).document()
    assert result["score_glue"] in (0, 100)
    assert any(note.startswith("validation: every prediction is ") for note in result["notes"])


# --- files that change ------------------------------------------------------------------------------------------------


def write_others(file: Path, into: Path) -> None:
    """A file with as many bytes and the same times, and the labels the other way round."""
    table, status = pq.read_table(file), file.stat()
    labels = pa.array([1 - label for label in table["label"].to_pylist()])
    pq.write_table(table.set_column(1, "label", labels), into)
    os.utime(into, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (into.stat().st_size, into.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def in_place(file: Path) -> None:
    """The same file with other bytes."""
    time.sleep(0.02)  # clocks of file systems are coarse
    write_others(file, file)


def by_rename(file: Path) -> None:
    """Another file in its place."""
    write_others(file, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def by_link(file: Path) -> None:
    """A link that leads to another file than before."""
    write_others(file, file.with_suffix(".b"))
    file.unlink()
    file.symlink_to(file.with_suffix(".b"))


def by_linked_folder(file: Path) -> None:
    """A folder that is a link, which leads to another folder than before."""
    folder = file.parent
    shutil.copytree(folder, folder.with_name("new"))
    write_others(file, folder.with_name("new") / file.name)
    folder.rename(folder.with_name("old"))
    folder.symlink_to("new")


@pytest.mark.parametrize("replace", [in_place, by_rename, by_link, by_linked_folder])
def test_a_file_that_is_replaced_under_the_same_time_and_size_is_another(
    asked: Make, tmp_path: Path, replace: Callable[[Path], None]
) -> None:
    """The experiment is another one, and so are the rows and the tokens' labels, in one process."""
    ask = asked(taken(lambda folder: None))
    found = []
    for change in (lambda file: None, replace):
        change(tmp_path / "data" / "sst2" / "validation.parquet")
        dataset, _ = experiment.load_data(ask())
        labels = dataset.splits["validation"].labels.tolist()
        assert texts_of(ask())["validation"].labels == labels
        found.append((identity.run_id(ask()), labels))
    (first, labels), (second, others) = found
    assert first != second
    assert others == [1 - label for label in labels]


# --- the document -----------------------------------------------------------------------------------------------------


def test_the_document_is_what_the_cases_give() -> None:
    made = odd_inputs.document(odd_inputs.kinds())
    assert odd_inputs.DOCUMENT.read_text(encoding="utf-8") == made, "python -m tests.odd_inputs writes it anew"


def test_every_kind_is_tested() -> None:
    """By cases, or by a test here."""
    assert all(kind.cases or kind.test in globals() for kind in odd_inputs.kinds())
