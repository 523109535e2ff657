"""Predictions of stored models: for files of one's own, and as gluebenchmark.com takes them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from compress import experiment, predict
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import typed
from compress.data import demo, table_writing, tables
from compress.errors import ConfigError
from compress.runs import predictions, result
from compress.storage.files import write_json
from compress.task import submission
from tests.conftest import Compose

DEMO = ("model=demo/tiny", "data=demo", "train=demo", "train.max_steps=20", "device=cpu")


def finished(compose: Compose, *words: str) -> Path:
    config = compose(*DEMO, *words)
    experiment.run(config)
    return identity.run_folder(config)


@pytest.fixture(scope="module")
def trained(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that every test may copy."""
    words = [f"paths.runs={tmp_path_factory.mktemp('trained')}", *DEMO, "task=mnli", "quantize=int8"]
    config = next(compositions(words, conf_folder(), multirun=False))
    experiment.run(config)
    return identity.run_folder(config)


@pytest.fixture
def mnli(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def test_the_dev_set_is_predicted_as_it_was_scored(mnli: Path, capsys: pytest.CaptureFixture) -> None:
    assert predict.main([str(mnli), "--split", "validation", "--device", "cpu"]) == 0
    document, stored = result.read(mnli, mnli.name), predictions.read(mnli, mnli.name)
    assert document is not None
    assert stored is not None
    for split, of_split in stored.splits().items():
        table = pd.read_csv(mnli / "predicted" / f"{split}.csv")
        assert [document.config["task"]["labels"][number] for number in of_split.predictions] == list(table.prediction)
        shares = table[[f"probability_{name}" for name in document.config["task"]["labels"]]]
        assert shares.sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
        assert list(shares.idxmax(axis=1).str.removeprefix("probability_")) == list(table.prediction)
    told = capsys.readouterr().out
    assert f"accuracy {document.metrics['accuracy_mismatched']:.4f}" in told


@pytest.mark.parametrize("suffix", table_writing.FORMATS)
def test_a_file_of_ones_own_keeps_its_columns(mnli: Path, tmp_path: Path, suffix: str, capsys: Any) -> None:
    """Without a label, or with one that the task has; its run's data may be gone."""
    document = json.loads((mnli / "result.json").read_text())
    document["config"]["data"] |= {"source": "glue", "path": str(tmp_path / "gone")}
    write_json(mnli / "result.json", document)
    generated = demo.generate("mnli", 1)["validation_matched"]
    mine: dict[str, list[Any]] = {
        "key": [f"a,{n}" for n in range(5)],
        "premise": ['so "he" said\tit', *generated["premise"][1:5]],
        "hypothesis": generated["hypothesis"][:5],
    }
    file = tmp_path / f"mine{suffix}"
    file.write_bytes(table_writing.content(mine, suffix))
    out = tmp_path / "out"
    assert predict.main([str(mnli), "--split", str(file), "--out", str(out)]) == 0
    assert "5 rows, no labels, so no metrics" in capsys.readouterr().out
    wanted = [*mine, "prediction", "probability_entailment", "probability_neutral", "probability_contradiction"]
    table = tables.read([out / f"mine{suffix}"], "FILE", wanted, "label")
    assert list(table.columns) == wanted
    assert {name: list(table.columns[name]) for name in mine} == mine
    assert predict.main([str(mnli), "--split", str(out / f"mine{suffix}"), "--out", str(out)]) == 2
    assert "mine has a column prediction already; rename it" in capsys.readouterr().err


def test_labels_of_a_file_are_scored_by_name_or_number(mnli: Path, tmp_path: Path, capsys: Any) -> None:
    generated = demo.generate("mnli", 1)["validation_matched"]
    names = ["entailment", "neutral", "contradiction"]
    frame = pd.DataFrame({name: generated[name][:60] for name in ("premise", "hypothesis", "label")})
    told = []
    for labels in (frame.label, [names[int(label)] for label in frame.label]):
        frame.assign(label=labels).to_csv(tmp_path / "mine.csv", index=False)
        assert predict.main([str(mnli), "--split", str(tmp_path / "mine.csv")]) == 0
        told.append(capsys.readouterr().out.partition("60 rows, ")[2])
    assert told[0] == told[1]
    assert told[0].startswith("accuracy 0.")
    frame.assign(label=["maybe", *frame.label[1:]]).to_csv(tmp_path / "mine.csv", index=False)
    assert predict.main([str(mnli), "--split", str(tmp_path / "mine.csv")]) == 0
    assert "no metrics: data: label 'maybe' in row 0 of mnli/mine; must be" in capsys.readouterr().out
    frame.assign(label=[-1, *frame.label[1:]]).to_csv(tmp_path / "mine.csv", index=False)
    assert predict.main([str(mnli), "--split", str(tmp_path / "mine.csv")]) == 0
    assert "59 rows with a label, so no metrics" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "test"], "--split test: data=demo has validation only; give that, or a file"),
        (["--split", "nowhere.csv"], "--split nowhere.csv: no such file; give one, or test or validation"),
        (["--submission"], "--submission: is of --split test and needs --out DIR"),
        (["--seed", "1"], "--seed 1: chooses among runs for --submission; leave it out"),
        (
            ["--split", "test", "data.path=."],
            "data.path=.: needs mnli/test_matched.parquet (or .csv, .tsv, .jsonl), in a folder mnli or not, but it has "
            "no folders; leave data.path out to load from the hub, or use data=demo",
        ),
        (["seed=1"], "seed=1: only data.path=DIR can be given; all else is as the run was made"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    tmp_path: Path, mnli: Path, words: list[str], message: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert predict.main([str(mnli), *words]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def glue_tests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of test splits as the hub has them, of seven rows; the benchmark's rows are as many meanwhile."""
    for (task, split), file in list(submission.FILES.items()):
        source = "mnli" if task == "ax" else task
        rows = next(rows for name, rows in demo.generate(source, 3).items() if name.startswith("validation"))
        made = {name: values[:7] for name, values in rows.items()} | {"label": [-1] * 7, "idx": list(range(7))}
        (folder / task).mkdir(parents=True, exist_ok=True)
        (folder / task / f"{split}.parquet").write_bytes(table_writing.content(made, ".parquet"))
        monkeypatch.setitem(submission.FILES, (task, split), submission.File(file.name, 7, file.labels, file.named))
    return folder


def test_a_submission_has_the_benchmarks_files(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    place, out = glue_tests(tmp_path / "glue", monkeypatch), tmp_path / "out"
    runs = [str(finished(compose, f"task={task}", "train.max_steps=2")) for task in ("mnli", "rte", "cola", "stsb")]
    other = str(finished(compose, "task=rte", "train.max_steps=2", "seed=1"))
    assert predict.main([*runs, other, "--submission", "--out", str(out), f"data.path={place}"]) == 2
    assert "--seed: the runs have the seeds 0, 1; a submission is of one, give it" in capsys.readouterr().err
    assert not out.exists()
    words = [*runs, other, "--submission", "--out", str(out), "--seed", "0", f"data.path={place}", "--device", "cpu"]
    assert predict.main(words) == 0
    told = capsys.readouterr().out
    assert "add SST-2, MRPC, QQP, QNLI, WNLI from its sample submission" in told
    with zipfile.ZipFile(out / "submission.zip") as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(content) == {"MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv", "RTE.tsv", "CoLA.tsv", "STS-B.tsv"}
    allowed = {"MNLI": submission.NLI, "AX": submission.NLI, "RTE": submission.PAIR, "CoLA": ("0", "1")}
    for name, text in content.items():
        assert text == (out / name).read_text()
        rows = list(csv.reader(io.StringIO(text), delimiter="\t"))
        assert rows[0] == ["index", "prediction"]
        assert [row[0] for row in rows[1:]] == [str(number) for number in range(7)]
        if name == "STS-B.tsv":
            assert all(0 <= float(row[1]) <= 5 for row in rows[1:])
        else:
            assert {row[1] for row in rows[1:]} <= set(allowed[name.removesuffix(".tsv").partition("-")[0]])
    config = typed(json.loads((Path(runs[1]) / "result.json").read_text())["config"])
    (answer,) = predict.predict(Path(runs[1]), config, {"test": predict.read_splits(
        predict.config_of(result.read(Path(runs[1]), Path(runs[1]).name), str(place)), "test")["test"]})  # type: ignore[arg-type]  # fmt: skip
    said = [line.split("\t")[1] for line in content["RTE.tsv"].splitlines()[1:]]
    assert said == [submission.PAIR[number] for number in answer.predictions]


def test_a_submissions_texts() -> None:
    """By hand: rows by `idx`, classes by name in whatever order, scores cut, the official number of rows."""
    scores, classes = submission.File("STS-B", 3, None), submission.File("CoLA", 3, ("unacceptable", "acceptable"))
    named = submission.File("RTE", 3, submission.PAIR, named=True)
    assert submission.text(scores, [5.25, -0.1, 2.5], None, []) == "index\tprediction\n0\t5.000\n1\t0.000\n2\t2.500\n"
    assert submission.text(classes, [0, 1, 1], ["acceptable", "unacceptable"], [2, 0, 1]).split() == [
        "index", "prediction", "0", "0", "1", "0", "2", "1",
    ]  # fmt: skip
    assert submission.text(named, [1, 0, 0], submission.PAIR, ["9", "8", "7"]).splitlines()[1:] == [
        "0\tnot_entailment", "1\tentailment", "2\tentailment",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="GLUE's test split has 3 rows, not 2; give the official one, whole"):
        submission.text(scores, [1.0, 2.0], None, [])
    assert submission.zipped({"a.tsv": "x"}) == submission.zipped({"a.tsv": "x"})


def test_several_cells_make_no_submission(compose: Compose, tmp_path: Path, capsys: Any) -> None:
    runs = [finished(compose, "task=rte", "train.max_steps=2", word) for word in ("prune=none", "prune=magnitude")]
    again = finished(compose, "task=rte", "train.max_steps=3")
    assert predict.main([*map(str, runs), "--submission", "--out", str(tmp_path / "out")]) == 2
    assert "compressed in one way; given are tiny none, tiny prune magnitude 0.4" in capsys.readouterr().err
    assert predict.main([str(runs[0]), str(again), "--submission", "--out", str(tmp_path / "out")]) == 2
    assert f"two runs of rte, {runs[0]} and {again}; give one of them" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
