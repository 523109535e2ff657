"""predictions.json.gz: small, exact, and the result's scores follow from it, also in a collection."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.cli import main
from analysis.read import collection
from analysis.read.predictions import read_predictions
from analysis.read.results import COLUMNS, read_runs
from compress import experiment
from compress.artifact import store
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import Config
from compress.errors import ConfigError
from compress.runs import predictions, result
from compress.runs.predictions import FILE, Split, pack
from compress.runs.result import Result
from compress.training.evaluate import predict
from tests.conftest import Compose
from tests.grids import document, write_run

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
WORDS = ("model=demo/tiny", "data=demo", "train.max_steps=20", "device=cpu", "tracking=none")
RUN = "0123456789ab"


def classes(rows: int, count: int, right: float = 0.8, seed: int = 0) -> Split:
    """Labels of so many classes, and predictions that are right on a share of the rows at least."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, count, rows)
    return Split(labels, np.where(random.random(rows) < right, labels, random.integers(0, count, rows)))


def numbers(rows: int) -> Split:
    random = np.random.default_rng(0)
    labels = random.uniform(0, 5, rows).astype(np.float32).round(1)
    return Split(labels, (labels + random.normal(0, 0.8, rows)).astype(np.float32))


def same(ours: Split, theirs: Split) -> bool:
    pairs = ((ours.labels, theirs.labels), (ours.predictions, theirs.predictions))
    return all(one.dtype == other.dtype and np.array_equal(one, other) for one, other in pairs)


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 7, 8, 1043])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 17, 256, 257])
def test_classes_come_back(tmp_path: Path, count: int, rows: int) -> None:
    split = classes(rows, count)
    predictions.write(tmp_path, pack(RUN, count, {"validation": split}))
    kept = predictions.read(tmp_path, RUN)
    assert kept is not None
    assert same(kept.splits()["validation"], split)


def test_the_numbers_of_a_regression_come_back_to_the_last_bit(tmp_path: Path) -> None:
    odd = np.array([0.0, -0.0, 1e-45, -3.4e38, 2.5000002, 1 / 3], np.float32)
    for split in (numbers(1500), Split(odd[::-1].copy(), odd)):
        predictions.write(tmp_path, pack(RUN, None, {"validation": split}))
        kept = predictions.read(tmp_path, RUN)
        assert kept is not None
        assert same(kept.splits()["validation"], split)


@pytest.mark.parametrize(
    ("splits", "count", "most"),
    [
        ({"validation": classes(872, 2)}, 2, 400),
        ({"validation_matched": classes(9815, 3), "validation_mismatched": classes(9832, 3, seed=1)}, 3, 8_000),
        ({"validation": classes(40_430, 2)}, 2, 10_000),
        ({"validation": numbers(1500)}, None, 10_000),
    ],
    ids=["sst2", "mnli", "qqp", "stsb"],
)
def test_the_file_is_small_and_the_same_each_time(
    tmp_path: Path, splits: dict[str, Split], count: int | None, most: int
) -> None:
    contents = []
    for _ in range(2):
        predictions.write(tmp_path, pack(RUN, count, splits))
        contents.append((tmp_path / FILE).read_bytes())
    assert contents[0] == contents[1]
    assert len(contents[0]) <= most
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Have a run folder's file be another."""
    told = json.loads(gzip.decompress((folder / FILE).read_bytes()))
    change(told)
    (folder / FILE).write_bytes(gzip.compress(json.dumps(told).encode()))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(run_id="ffffffffffff"), r"its run_id is ffffffffffff, not 0123456789ab"),
        (lambda d: d.update(format=2), r"its format is 2: Input should be 1"),
        (lambda d: d.pop("predicted"), r"it has no 'predicted'"),
        (lambda d: d["predicted"].update(test="AA=="), r"not of the same splits \(validation, test\)"),
        (lambda d: d["dev"]["rows"].update(validation=101), r"are 25 bytes, and 101 rows take 26"),
        (lambda d: d["dev"]["rows"].update(validation=0), r"its dev.rows.validation is 0: "),
        (lambda d: d["dev"]["labels"].update(validation="A" * 33 + "==="), "the labels of validation are damaged"),
        (lambda d: d["predicted"].update(validation="/" * 33 + "w=="), "of validation name class 3, and there are 3"),
    ],
)  # fmt: skip
def test_what_is_damaged_or_anothers_is_refused_in_one_line(tmp_path: Path, change, told: str) -> None:
    predictions.write(tmp_path, pack(RUN, 3, {"validation": classes(100, 3)}))
    changed(tmp_path, change)
    with pytest.raises(ValueError, match=told) as caught:
        predictions.read(tmp_path, RUN)
    assert "\n" not in str(caught.value)


def test_a_torn_file_and_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    split = numbers(100)
    predictions.write(tmp_path, pack(RUN, None, {"validation": split}))
    whole = (tmp_path / FILE).read_bytes()
    for damaged in (whole[:-20], b"", b"{}", whole[:50] + bytes(100) + whole[150:]):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(ValueError, match=r"it cannot be read|Invalid JSON"):
            predictions.read(tmp_path, RUN)
    nan = replace(split, predictions=np.full(100, np.nan, np.float32))
    predictions.write(tmp_path, pack(RUN, None, {"validation": nan}))
    with pytest.raises(ValueError, match="predictions of validation are not all finite"):
        predictions.read(tmp_path, RUN)


# --- experiments ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[Config, Result]]]:
    """A folder of runs with an experiment on each task of the demo, their configurations and results by run_id."""
    torch.set_num_threads(1)
    runs = tmp_path_factory.mktemp("finished") / "runs"
    configs = compositions([*WORDS, f"paths.runs={runs}", f"task={','.join(TASKS)}"], conf_folder(), multirun=True)
    return runs, {identity.run_id(config): (config, experiment.run(config)) for config in configs}


def test_every_score_follows_from_what_is_kept_in_a_folder_and_in_a_collection(finished, tmp_path: Path) -> None:
    runs, known = finished
    assert main(["collect", str(runs), "--out", str(tmp_path / "kept.jsonl.gz")]) == 0
    in_folder, collected = read_predictions(runs), read_predictions(tmp_path / "kept.jsonl.gz")
    assert in_folder.keys() == collected.keys() == known.keys()
    assert {found.result.task for found in collected.values()} == set(TASKS)
    for run_id, (_, told) in known.items():
        for found in (in_folder[run_id], collected[run_id]):
            assert found.metrics() == told.metrics
            assert found.score("glue") == told.score_glue
            assert found.score("accuracy") == told.score_accuracy
        assert in_folder[run_id].splits.keys() == collected[run_id].splits.keys()
        assert all(same(split, collected[run_id].splits[name]) for name, split in in_folder[run_id].splits.items())
    assert any(len(found.splits) == 2 for found in collected.values()), "MNLI has two"


def test_what_is_kept_is_what_the_artifact_says_of_each_row(finished) -> None:
    runs, known = finished
    kept = read_predictions(runs)
    for run_id, (config, _) in known.items():
        dataset, tokenizer = experiment.load_data(config)
        loaded = store.load(identity.run_folder(config) / "artifact")
        for name, split in kept[run_id].splits.items():
            logits = predict(loaded, dataset.splits[name], tokenizer.pad_token_id)
            predicted = logits[:, 0] if config.task.regression else logits.argmax(axis=1)
            assert same(split, Split(dataset.splits[name].labels, predicted))


def test_predictions_of_an_earlier_training_do_not_outlive_its_result(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    config = compose(*WORDS, "task=rte")
    experiment.run(config)
    folder = identity.run_folder(config)
    monkeypatch.setattr(store, "save", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(experiment.ExperimentError):
        experiment.run(compose(*WORDS, "task=rte", "force=true"))
    assert not (folder / result.FILE).exists()
    assert not (folder / FILE).exists()


def test_a_killed_writers_remains_are_cleared(compose: Compose) -> None:
    torch.set_num_threads(1)
    config = compose(*WORDS, "task=rte")
    experiment.run(config)
    remains = identity.run_folder(config) / f".{FILE}-0a1b2c3d"
    remains.touch()
    experiment.run(config)
    assert not remains.exists()


# --- collections ------------------------------------------------------------------------------------------------------


def write_scored(runs: Path, methods: str, split: Split, labels: tuple[str, ...] = ("no", "yes")) -> Path:
    """A finished run's folder, with predictions of RTE that have its accuracy."""
    task = {"name": "rte", "text": ["sentence1", "sentence2"], "labels": [*labels], "validation": ["validation"],
            "metrics": ["accuracy"], "accuracy_metrics": ["accuracy"]}  # fmt: skip
    accuracy = float((split.predictions == split.labels).mean())
    given = document("rte", "tiny", methods, 100 * accuracy)
    given["metrics"], given["identity"]["task"] = {"accuracy": accuracy}, task
    folder = write_run(runs, given)
    predictions.write(folder, pack(given["run_id"], len(labels), {"validation": split}))
    return folder


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_a_collection_has_the_labels_once_and_stands_for_the_folder(tmp_path: Path) -> None:
    runs, file, again = tmp_path / "runs", tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    first = classes(277, 2)
    worse = replace(first, predictions=np.roll(first.predictions, 1))
    for methods, split in (("none", first), ("prune", worse), ("quantize", first)):
        write_scored(runs, methods, split)
    write_run(runs, document("rte", "mini", "none", 60.0))  # of an old version
    collection.write([runs], file)
    collection.write([file, runs], again)
    assert file.read_bytes() == again.read_bytes()
    told = lines(file)
    assert [line["rows"] for line in told if "dev" in line] == [{"validation": 277}]
    assert sum("predictions" in line for line in told) == 3
    table, expected = read_runs(file), read_runs(runs)
    columns = [column for column in COLUMNS if column != "folder"]
    assert table.runs[columns].equals(expected.runs[columns])
    assert table.notes == expected.notes == []
    kept = read_predictions(file)
    assert kept.keys() == read_predictions(runs).keys()
    assert len(kept) == 3
    (pruned,) = (found for found in kept.values() if found.result.methods == ["prune"])
    assert same(pruned.splits["validation"], worse)


def test_results_without_predictions_are_read_as_ever_and_say_so_when_asked_for_them(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", document("rte", "tiny", "none", 60.0))
    collection.write([tmp_path / "runs"], tmp_path / "old.jsonl.gz")
    (line,) = lines(tmp_path / "old.jsonl.gz")
    assert "predictions" not in line
    for place in (tmp_path / "runs", tmp_path / "old.jsonl.gz"):
        assert read_runs(place).notes == []
        with pytest.raises(ConfigError, match=r"none of its 1 results has predictions; .*force=true"):
            read_predictions(place)


def test_a_folders_damaged_predictions_are_left_out_with_a_note_and_its_result_stays(tmp_path: Path) -> None:
    folder = write_scored(tmp_path / "runs", "none", classes(277, 2))
    (folder / FILE).write_bytes(b"torn")
    collection.write([tmp_path / "runs"], tmp_path / "kept.jsonl.gz")
    for place in (tmp_path / "runs", tmp_path / "kept.jsonl.gz"):
        found = read_runs(place)
        assert len(found.runs) == 1
        (note,) = found.notes
        assert note.startswith(f"rte/tiny/none/{folder.name}/{FILE}: left out: it cannot be read (")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda dev, run: run["predictions"].update(dev="aaaaaaaaaaaa"), r"line 1 .* refer to a dev set that is not"),
        (lambda dev, run: run["predictions"].update(dev=[]), r"line 1 .* refer to a dev set that is not there"),
        (lambda dev, run: run["predictions"].update(format=2), r"line 1 .*: its format is 2: Input should be 1"),
        (lambda dev, run: run.update(predictions=7), r"line 1 .* refer to a dev set that is not there"),
        (lambda dev, run: run["predictions"]["predicted"].update(validation="AAAA"), "3 bytes, and 277 rows take 70"),
        (lambda dev, run: run["predictions"]["predicted"].update(validation="/" * 93 + "w=="), "class 3, and .* 3"),
        (lambda dev, run: run["predictions"]["predicted"].pop("validation"), "not of the same splits"),
        (lambda dev, run: dev["rows"].update(validation=276), r"line 0 \(the labels of dev set \w+ are damaged\)"),
        (lambda dev, run: dev.pop("labels"), r"line 0 \(it has no 'labels'\)"),
    ],
)  # fmt: skip
def test_a_collections_damaged_predictions_are_one_clear_error(tmp_path: Path, change, told: str) -> None:
    file = tmp_path / "kept.jsonl.gz"
    write_scored(tmp_path / "runs", "none", classes(277, 3), ("no", "maybe", "yes"))
    collection.write([tmp_path / "runs"], file)
    whole = lines(file)
    change(*whole)
    file.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in whole).encode()))
    with pytest.raises(ConfigError, match=rf"kept.jsonl.gz: cannot be read after .*{told}.*give a folder of") as caught:
        read_runs(file)
    assert "\n" not in str(caught.value)


def test_results_of_one_task_and_data_with_other_labels_are_refused(tmp_path: Path) -> None:
    both, one, other = tmp_path / "both", tmp_path / "one", tmp_path / "other"
    for folder in (both, one):
        write_scored(folder, "none", classes(277, 2))
    for folder in (both, other):
        write_scored(folder, "prune", classes(277, 2, seed=1))
    collection.write([one], tmp_path / "one.jsonl.gz")
    for ask in (
        lambda: read_runs(both),
        lambda: collection.write([both], tmp_path / "both.jsonl.gz"),
        lambda: collection.write([tmp_path / "one.jsonl.gz", other], tmp_path / "both.jsonl.gz"),
    ):
        with pytest.raises(ConfigError, match=r"runs \w{12} and \w{12} are of one task \(rte\) .* labels .* differ"):
            ask()
    assert not (tmp_path / "both.jsonl.gz").exists()


def test_predictions_that_are_not_those_of_the_result_are_refused(tmp_path: Path) -> None:
    folder = write_scored(tmp_path, "none", classes(277, 2))
    predictions.write(folder, pack(folder.name, 2, {"validation": classes(277, 2, right=0.3)}))
    assert len(read_runs(tmp_path).runs) == 1
    with pytest.raises(ConfigError, match=rf"run {folder.name}: its predictions give accuracy 0\.\d+ and its result"):
        read_predictions(tmp_path)


def test_a_result_whose_task_is_not_described_is_refused(tmp_path: Path) -> None:
    given = document("rte", "tiny", "none", 60.0)
    folder = write_run(tmp_path, given)
    predictions.write(folder, pack(folder.name, 2, {"validation": classes(277, 2)}))
    with pytest.raises(
        ConfigError, match=rf"run {folder.name}: its predictions cannot be scored: task.text: has no value"
    ):
        read_predictions(tmp_path)
    more = {"text": ["sentence"], "labels": None, "validation": ["validation"], "accuracy_metrics": ["pearson"]}
    for task in (more | given["identity"]["task"] | {"metrics": ["bleu"]}, "rte"):
        given["identity"]["task"] = task
        (folder / "result.json").write_text(json.dumps(given))
        with pytest.raises(ConfigError, match=r"cannot be scored: .*(task.metrics=bleu: must be of accuracy|sequence)"):
            read_predictions(tmp_path)


def test_a_dev_set_is_named_by_all_that_it_holds() -> None:
    dev = pack(RUN, 2, {"validation": classes(100, 2)}).dev
    others = [pack(RUN, 2, {"validation": classes(100, 2, seed=1)}).dev, replace(dev, classes=3)]
    assert len({each.digest() for each in (dev, *others)}) == 3
    assert asdict(dev).keys() == {"classes", "rows", "labels"}
