"""Texts from three places through one door; tokens made once, whole, and for all."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compress import experiment
from compress.data import corpus, demo, tokenization
from compress.data.augmentation import Augmentation, unchanged
from compress.data.corpus import DataConfig
from compress.data.tables import Table
from compress.data.texts import Texts, checked_texts
from compress.errors import ConfigError
from compress.task.config import TaskConfig
from tests.conftest import Compose

PAIRS: dict[str, list[Any]] = {
    "sentence1": ["a dog sleeps .", "the cat runs far away .", "it rains"],
    "sentence2": ["an animal rests .", "the cat sits", "it is dry and very sunny"],
    "label": [0, 1, 1],
    "idx": [0, 1, 2],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three rows of RTE in GLUE's local layout."""
    (tmp_path / "local" / "rte").mkdir(parents=True)
    for split in ("train", "validation"):
        pq.write_table(pa.table(PAIRS), tmp_path / "local" / "rte" / f"{split}.parquet")
    return tmp_path / "local"


def rewrite(file: Path, **columns: list[object]) -> None:
    pq.write_table(pa.table(PAIRS | columns), file)


def load(compose: Compose, *overrides: str) -> dict[str, Texts]:
    config = compose("model=demo/tiny", "task=rte", "data.max_length=64", *overrides)
    return corpus.load_texts(config.data, config.task)


def test_a_local_folder_gives_its_rows_in_order(compose: Compose, folder: Path) -> None:
    texts = load(compose, f"data.path={folder}")
    assert texts["train"].columns == [PAIRS["sentence1"], PAIRS["sentence2"]]
    assert texts["validation"].labels == [0, 1, 1]


@pytest.mark.parametrize("task", ["rte", "stsb", "mnli"])
def test_the_hub_and_a_local_folder_give_the_same(compose: Compose, glue: Path, tmp_path: Path, task: str) -> None:
    """A folder laid out like the data set's repository is read as the repository is."""
    hub = tmp_path / "hub"
    (hub / task).mkdir(parents=True)
    names = {"train": "train", "validation": "validation_matched" if task == "mnli" else "validation"}
    for file, split in names.items():
        shutil.copy(glue / task / f"{file}.parquet", hub / task / f"{split}-00000-of-00001.parquet")
    files = "".join(f"  - split: {split}\n    path: {task}/{split}-*\n" for split in names.values())
    (hub / "README.md").write_text(f"---\nconfigs:\n- config_name: {task}\n  data_files:\n{files}---\n")
    local = compose("model=tiny", f"task={task}", f"data.path={glue}")
    hubbed = compose("model=tiny", f"task={task}", f"data.hub={hub}")
    assert corpus.load_texts(hubbed.data, hubbed.task) == corpus.load_texts(local.data, local.task)


def test_absent_mismatched_mnli_is_noted_and_the_rest_is_scored(compose: Compose, glue: Path) -> None:
    config = compose("model=tiny", "data=glue", "task=mnli", f"data.path={glue}")
    tokenizer = demo.build_tokenizer()
    dataset = tokenization.prepare(config.data, config.task, tokenizer, Path(config.paths.cache))
    assert set(dataset.splits) == {"train", "validation_matched"}
    assert dataset.notes == ["validation_mismatched is not in the data: scores are of validation_matched alone"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"label": [0, 1, 2]}, r"label 2 in row 2 of rte/train; must be 0 to 1"),
        ({"label": [0, -1, 1]}, r"label -1 in row 1 of rte/train"),
        ({"label": [0, None, 1]}, r"label null in row 1 of rte/train"),
        ({"label": [0.5, 1.0, 0.0]}, r"label 0.5 in row 0 of rte/train"),
    ],
)
def test_labels_outside_the_tasks_are_refused(compose: Compose, folder: Path, columns: dict, told: str) -> None:
    rewrite(folder / "rte" / "train.parquet", **columns)
    with pytest.raises(ConfigError, match=told):
        load(compose, f"data.path={folder}")


def test_a_missing_column_is_named(compose: Compose, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"task.text=.*: train has the columns sentence1, .*, no premise"):
        load(compose, f"data.path={folder}", "task.text=[premise,hypothesis]")


def test_class_names_in_another_order_are_mapped(compose: Compose, folder: Path) -> None:
    labels = json.dumps({"info": {"features": {
        "sentence1": {"dtype": "string", "_type": "Value"},
        "sentence2": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["not_entailment", "entailment"], "_type": "ClassLabel"},
        "idx": {"dtype": "int64", "_type": "Value"},
    }}})  # fmt: skip
    for file in (folder / "rte").iterdir():
        pq.write_table(pa.table(PAIRS).replace_schema_metadata({"huggingface": labels}), file)
    assert load(compose, f"data.path={folder}")["train"].labels == [1 - label for label in PAIRS["label"]]


def test_a_damaged_file_is_one_clear_line(compose: Compose, folder: Path) -> None:
    file = folder / "rte" / "train.parquet"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(
        ConfigError, match=r"^data.path=.*train.parquet is no whole Parquet file \(.*\); fetch or write it again$"
    ):
        load(compose, f"data.path={folder}")


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_are_the_tokenizers_own(compose: Compose) -> None:
    tokenizer, texts = demo.build_tokenizer(), Texts([PAIRS["sentence1"], PAIRS["sentence2"]], [0, 1, 1])
    tokens = tokenization.tokenize(texts, tokenizer, max_length=12)
    for row in range(3):
        expected = tokenizer(texts.columns[0][row], texts.columns[1][row], truncation=True, max_length=12)
        start, end = tokens.offsets[row : row + 2]
        assert tokens.ids[start:end].tolist() == expected["input_ids"]
        assert tokens.seconds[row] == expected["token_type_ids"].count(0)
    assert tokens.lengths.max() <= 12


@pytest.mark.parametrize("copies", [0, 1, 4])
def test_a_few_rows_at_a_time_give_the_same_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    """As if all texts and their copies were rewritten and encoded at once; nothing is left where ids waited."""
    tokenizer, texts = demo.build_tokenizer(), corpus_texts("qqp")
    asked = Augmentation(copies, 0.5, 3, None) if copies else None
    enlarged = asked.apply(texts) if asked else unchanged(texts)
    whole = tokenization.tokenize(enlarged.texts, tokenizer, 32, enlarged.sources)
    for chunk in (7, 10_000):
        monkeypatch.setattr(tokenization, "CHUNK", chunk)
        tokens = tokenization.tokenize_all(texts, tokenizer, 32, asked, tmp_path)
        for array in tokenization.ARRAYS:
            one, other = getattr(tokens, array), getattr(whole, array)
            assert one.dtype == other.dtype, array
            assert np.array_equal(one, other), array
        assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what each row has besides its ids: 8 bytes of an offset, 20 of source, label and second text."""
    monkeypatch.setattr(tokenization, "CHUNK", 100)
    tokenizer, texts = demo.build_tokenizer(), corpus_texts("qqp")
    peaks, rows = [], []
    for copies in (1, 20):
        tracemalloc.start()
        tokens = tokenization.tokenize_all(texts, tokenizer, 32, Augmentation(copies, 0.5, 3, None), tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        rows.append(len(tokens))
        tracemalloc.stop()
    assert rows[1] > 6 * rows[0]
    numbers = 3 * 28 * (rows[1] - rows[0])  # while they are put together
    of_a_chunk = 20 * 100 * 2000  # texts, lists of ids and of types
    assert peaks[1] - peaks[0] < numbers + of_a_chunk < tokens.ids.nbytes * 4


def corpus_texts(task: str) -> Texts:
    """The demo's training set of pairs."""
    train = demo.generate(task)["train"]
    return Texts([list(map(str, train[f"question{number}"])) for number in (1, 2)], list(map(int, train["label"])))


def prepared(compose: Compose, cache: Path, *overrides: str) -> tokenization.Dataset:
    config = compose("model=demo/tiny", "data=demo", "task=rte", f"paths.cache={cache}", *overrides)
    return experiment.load_data(config)[0]


def test_the_second_time_tokens_come_from_the_cache(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(compose, tmp_path)
    monkeypatch.setattr(corpus, "load_texts", lambda *_: pytest.fail("texts were read again"))
    second = prepared(compose, tmp_path)
    for split, tokens in first.splits.items():
        for array in tokenization.ARRAYS:
            assert (getattr(tokens, array) == getattr(second.splits[split], array)).all()


@pytest.mark.parametrize("change", ["data.max_length=16", "data.seed=1"])
def test_other_data_is_other_tokens(compose: Compose, tmp_path: Path, change: str) -> None:
    prepared(compose, tmp_path)
    prepared(compose, tmp_path, change)
    assert len(list((tmp_path / "tokens").glob("*/about.json"))) == 2


@pytest.mark.parametrize("damage", ["truncated", "missing", "no description", "garbled description"])
def test_a_damaged_cache_is_noticed_and_made_again(compose: Compose, tmp_path: Path, damage: str) -> None:
    first = prepared(compose, tmp_path).splits["train"].ids.tolist()
    (file,) = (tmp_path / "tokens").glob("*/train.ids.npy")
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-8])
    elif damage == "missing":
        file.unlink()
    elif damage == "no description":
        (file.parent / "about.json").unlink()
    else:
        (file.parent / "about.json").write_text("{")
    assert prepared(compose, tmp_path).splits["train"].ids.tolist() == first
    assert not list((tmp_path / "tokens").glob(".*"))


def _prepare_and_sum(arguments: tuple[DataConfig, TaskConfig, str]) -> int:
    config, task, cache = arguments
    return int(tokenization.prepare(config, task, demo.build_tokenizer(), Path(cache)).splits["train"].ids.sum())


def test_many_processes_may_ask_at_once(compose: Compose, tmp_path: Path) -> None:
    config = compose("model=demo/tiny", "data=demo", "task=rte")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        sums = pool.map(_prepare_and_sum, [(config.data, config.task, str(tmp_path))] * 8)
    assert len(set(sums)) == 1
    assert len(list((tmp_path / "tokens").glob("*/"))) == 1


def test_max_train_draws_the_same_rows_whatever_the_experiments_seed(compose: Compose, tmp_path: Path) -> None:
    rows = [prepared(compose, tmp_path, "data.max_train=50", f"seed={seed}").train_rows for seed in (0, 1)]
    assert (rows[0] == rows[1]).all()
    assert len(rows[0]) == len(set(rows[0].tolist())) == 50
    assert rows[0].max() > 100  # no mere head of the file
    whole = len(prepared(compose, tmp_path).splits["train"])
    assert (prepared(compose, tmp_path, "data.max_train=999999").train_rows == np.arange(whole)).all()


def test_max_validation_scores_the_same_rows_whatever_the_experiments_seed(compose: Compose, tmp_path: Path) -> None:
    whole = prepared(compose, tmp_path).splits["validation"]
    drawn = [prepared(compose, tmp_path, "data.max_validation=50", f"seed={seed}") for seed in (0, 1)]
    first, second = (dataset.splits["validation"] for dataset in drawn)
    assert (first.ids == second.ids).all()
    assert drawn[0].notes == [f"validation: 50 of its {len(whole)} rows are scored"]
    rows = np.random.default_rng(0).permutation(len(whole))[:50]
    for place, row in enumerate(sorted(rows)):
        one, same = first.rows(place, place + 1), whole.rows(row, row + 1)
        assert (one.ids == same.ids).all()
        assert (one.labels, one.seconds, one.sources) == (same.labels, same.seconds, same.sources)
    assert len(list((tmp_path / "tokens").glob("*/"))) == 1  # all rows are in the cache
    every = prepared(compose, tmp_path, "data.max_validation=999999")
    assert (every.splits["validation"].ids == whole.ids).all()
    assert every.notes == []


def test_a_regressions_labels_are_floats_and_classes_are_integers(compose: Compose, tmp_path: Path) -> None:
    config = compose("model=demo/tiny", "data=demo", "task=stsb", f"paths.cache={tmp_path}")
    assert experiment.load_data(config)[0].splits["train"].labels.dtype == np.float32
    task = replace(config.task, labels=["a", "b", "c", "d", "e", "f"])
    table = Table({"sentence1": ["x"], "sentence2": ["y"], "label": [5.0]})
    assert checked_texts({"train": table}, task)["train"].labels == [5]
