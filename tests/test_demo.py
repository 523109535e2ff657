"""Eight generated tasks in GLUE's schema: the same everywhere, learnable, and harder for small models."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
from collections import Counter

import pytest
import torch

from compress import experiment
from compress.data import demo
from tests.conftest import ROOT, Compose

SIZES = ("tiny", "mini", "small", "medium", "base", "large")


@pytest.mark.parametrize("task", demo.TASKS)
def test_a_task_has_glues_columns_labels_and_splits(compose: Compose, task: str) -> None:
    config = compose(f"task={task}", "data=demo").task
    splits = demo.generate(task)
    assert list(splits) == ["train", *config.validation]
    for columns in splits.values():
        assert set(columns) == {*config.text, "label", "idx"}
        assert len({len(values) for values in columns.values()}) == 1
        assert columns["idx"] == list(range(len(columns["idx"])))
        for name in config.text:
            assert all(str(text).isascii() and text == str(text).lower().strip() and text for text in columns[name])
        if config.labels is None:
            assert all(isinstance(label, float) and 0 <= label <= 5 for label in columns["label"])
        else:
            counts = Counter(columns["label"])
            assert set(counts) == set(range(len(config.labels)))
            assert min(counts.values()) > 0.25 / len(config.labels) * sum(counts.values())


@pytest.mark.parametrize("task", demo.TASKS)
def test_no_row_is_both_trained_on_and_scored(compose: Compose, task: str) -> None:
    names = compose(f"task={task}", "data=demo").task.text
    seen = [set(zip(*(columns[name] for name in names), strict=True)) for columns in demo.generate(task).values()]
    for number, split in enumerate(seen):
        assert not any(split & other for other in seen[number + 1 :])


def test_rows_and_vocabulary_are_the_same_in_every_process() -> None:
    code = """
import hashlib, json
from compress.data import demo
rows = {task: demo.generate(task) for task in demo.TASKS}
print(hashlib.sha256((json.dumps(rows) + demo.build_tokenizer().backend_tokenizer.to_str()).encode()).hexdigest())
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(found) == 1


def test_rows_change_only_with_the_version() -> None:
    """Cached tokens and the identities of experiments rely on it: raise demo.VERSION and write the new digest."""
    rows = json.dumps({task: demo.generate(task) for task in demo.TASKS})
    assert (demo.VERSION, hashlib.sha256(rows.encode()).hexdigest()[:16]) == (5, "cc5410db2c399b4e")


@pytest.mark.parametrize("task", demo.TASKS)
def test_some_training_labels_are_mistaken_and_no_others(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = demo.generate(task)
    monkeypatch.setattr(demo, "_MISTAKEN", 0.0)
    right = demo.generate(task)
    for split, columns in splits.items():
        pairs = list(zip(columns.pop("label"), right[split].pop("label"), strict=True))
        share = sum(one != other for one, other in pairs) / len(pairs)
        assert 0.12 < share < 0.32 if split == "train" else share == 0
        assert columns == right[split]


def test_another_seed_makes_other_rows() -> None:
    assert demo.generate("rte", 0) != demo.generate("rte", 1)


def test_the_vocabulary_is_wordpiece_with_rare_words_in_pieces() -> None:
    tokenizer = demo.build_tokenizer()
    assert 300 < len(tokenizer) < 1500
    assert [tokenizer.pad_token, tokenizer.cls_token] == ["[PAD]", "[CLS]"]
    tokens = Counter(
        token for text in demo.generate("sst2")["validation"]["sentence"] for token in tokenizer.tokenize(text)
    )
    assert tokens["[UNK]"] == 0
    pieces = sum(count for token, count in tokens.items() if token.startswith("##"))
    assert 0 < pieces < 0.5 * sum(tokens.values())


def test_synonyms_are_words_that_the_tasks_use() -> None:
    words = {word for task in demo.TASKS for columns in demo.generate(task).values() for name, texts in columns.items()
             if name not in ("label", "idx") for text in texts for word in str(text).split()}  # fmt: skip
    assert len(demo.SYNONYMS) > 50
    for word, others in demo.SYNONYMS.items():
        assert others
        assert word not in others
    assert len({word for word in demo.SYNONYMS if word in words}) > 0.8 * len(demo.SYNONYMS)


def test_the_six_sizes_keep_the_order_of_googles(compose: Compose) -> None:
    sizes = [compose(f"model=demo/{name}", "data=demo").model for name in SIZES]
    assert [size.name for size in sizes] == list(SIZES)
    costs = [(size.layers or 0) * (size.hidden or 0) ** 2 for size in sizes]
    assert costs == sorted(set(costs))
    assert all(size.intermediate == 4 * (size.hidden or 0) for size in sizes)


@pytest.mark.slow
def test_scores_rise_with_size_and_with_data_and_stay_off_the_ends(compose: Compose) -> None:
    """Means over four tasks of four kinds: single sentence, pair, three classes, regression."""
    torch.set_num_threads(1)

    def mean(size: str, *more: str) -> float:
        words = [f"model=demo/{size}", "data=demo", "train=demo", "device=cpu", *more]
        tasks = ("sst2", "qqp", "mnli", "stsb")
        return statistics.mean(experiment.run(compose(*words, f"task={task}")).score_accuracy or 0.0 for task in tasks)

    tiny, large = mean("tiny"), mean("large")
    assert 65 < tiny < large - 4
    assert large < 97
    assert mean("small", "data.max_train=300") < mean("small") - 5
