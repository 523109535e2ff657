"""One experiment from end to end: its folder, its result, and what happens when it is asked for again or fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from compress import experiment
from compress.artifact import store
from compress.config import identity
from compress.config.schema import from_mapping
from compress.experiment import ExperimentError
from compress.runs import result
from compress.training.evaluate import evaluate
from tests.conftest import ROOT, Compose
from tests.odd_checkpoints import good, whole_tokenizer

QUICK = ("model=demo/tiny", "data=demo", "task=rte", "train.max_steps=20", "device=cpu")
RECORD = ROOT / "tests" / "records" / "result.json"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_the_run_folder_holds_what_the_contract_says(compose: Compose) -> None:
    config = compose(*QUICK)
    document = experiment.run(config).document()
    folder = identity.run_folder(config)
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "metrics.jsonl",
        "predictions.json.gz",
        "result.json",
        "artifact",
        "log.txt",
    }
    assert json.loads((folder / "result.json").read_text()) == document
    assert from_mapping(yaml.safe_load((folder / "config.yaml").read_text())) == config
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["global_step"] for row in rows] == list(range(1, 21))
    assert "finished: rte tiny none seed 0" in (folder / "log.txt").read_text()


def shape(value: Any) -> Any:
    """A document with its values replaced by their types; what the machine is like has no types to rely on."""
    if isinstance(value, dict):
        return {key: sorted(inner) if key == "environment" else shape(inner) for key, inner in sorted(value.items())}
    return type(value).__name__


def test_the_results_fields_are_those_on_record(compose: Compose) -> None:
    found = json.dumps(shape(experiment.run(compose(*QUICK)).document()), indent=1) + "\n"
    assert found == RECORD.read_text(), (
        f"result.json has other fields than {RECORD.relative_to(ROOT)}: others read it, so raise identity.SCHEMA if "
        f"a field went or changed its meaning, and write the new record:\n{found}"
    )


def test_metrics_come_from_the_artifact_on_disk(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    save = store.save

    def save_another_head(folder: Path, model: Any, tokenizer: Any) -> int:
        with torch.no_grad():
            model.classifier.weight.zero_()
            model.classifier.bias.copy_(torch.tensor([1.0, 0.0]))
        return save(folder, model, tokenizer)

    monkeypatch.setattr(store, "save", save_another_head)
    config = compose(*QUICK, "task=cola")
    document = experiment.run(config).document()
    labels = experiment.load_data(config)[0].splits["validation"].labels
    assert document["metrics"]["accuracy"] == np.mean(labels == 0)
    assert document["metrics_training"]["accuracy"] != document["metrics"]["accuracy"]
    assert document["notes"] == ["validation: every prediction is 0"]


def test_anyone_can_score_the_artifact_again_from_its_folder_alone(compose: Compose) -> None:
    config = compose(*QUICK, "task=stsb")
    document = experiment.run(config).document()
    dataset, tokenizer = experiment.load_data(config)
    loaded = store.load(identity.run_folder(config) / "artifact")
    assert evaluate(loaded, dataset, config.task, tokenizer.pad_token_id).metrics == document["metrics"]
    assert document["metrics_training"] == document["metrics"]  # nothing was compressed


def test_sizes_are_those_of_the_file_and_of_the_weights(compose: Compose) -> None:
    config = compose(*QUICK)
    document = experiment.run(config).document()
    size, weights = document["size"], store.load(identity.run_folder(config) / "artifact").state_dict()
    assert size["artifact_bytes"] == (identity.run_folder(config) / "artifact" / "model.safetensors").stat().st_size
    assert size["parameters"] == sum(value.numel() for value in weights.values())
    assert size["nominal_bytes"] == 4 * size["nonzero"]
    assert sum(part["parameters"] for part in size["by_part"].values()) == size["parameters"]


def test_a_finished_experiment_is_not_run_again(
    compose: Compose, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = experiment.run(compose(*QUICK)).document()
    monkeypatch.setattr(experiment, "load_data", lambda config: pytest.fail("it ran again"))
    capsys.readouterr()
    assert experiment.run(compose(*QUICK, "device=auto")).document() == first
    assert capsys.readouterr().out.startswith("finished already: rte tiny none seed 0")


def test_force_runs_it_again_to_the_same_end(compose: Compose) -> None:
    config = compose(*QUICK)
    first = experiment.run(config).document()
    file = identity.run_folder(config) / "result.json"
    written = file.stat().st_mtime_ns
    second = experiment.run(compose(*QUICK, "force=true")).document()
    assert file.stat().st_mtime_ns > written
    assert (second["metrics"], second["run_id"]) == (first["metrics"], first["run_id"])


@pytest.mark.parametrize("task", ["sst2", "stsb", "mnli"])
def test_two_runs_leave_bit_identical_artifacts(compose: Compose, tmp_path: Path, task: str) -> None:
    weights = []
    for place in ("a", "b"):
        config = compose(*QUICK, f"task={task}", f"paths.runs={tmp_path / place}")
        experiment.run(config)
        weights.append((identity.run_folder(config) / "artifact" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_failure_leaves_error_json_and_the_next_run_clears_it(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(*QUICK)
    folder = identity.run_folder(config)
    with monkeypatch.context() as patch:
        patch.setattr(store, "save", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
        with pytest.raises(ExperimentError, match=r"^OSError: No space left on device  \(.*log.txt\)$"):
            experiment.run(config)
    failure = json.loads((folder / "error.json").read_text())
    assert (failure["run_id"], failure["type"]) == (identity.run_id(config), "OSError")
    assert "Traceback" in failure["traceback"]
    assert "No space left on device" in (folder / "log.txt").read_text()
    assert result.read(folder, identity.run_id(config)) is None
    experiment.run(config)
    assert not (folder / "error.json").exists()
    assert result.read(folder, identity.run_id(config)) is not None


def test_an_undefined_score_is_null_and_said(compose: Compose) -> None:
    document = experiment.run(
        compose(*QUICK, "task=stsb", "train.learning_rate=1e-12", "model.initializer_range=1e-12")
    ).document()
    assert document["metrics"] == {"pearson": None, "spearman": None}
    assert (document["score_glue"], document["score_accuracy"]) == (None, None)
    assert any("pearson is undefined" in note for note in document["notes"])


def test_select_best_reports_every_epochs_dev_score(compose: Compose) -> None:
    document = experiment.run(compose(*QUICK, "train.select=best", "train.max_steps=null", "train.epochs=2")).document()
    assert len(document["epoch_scores"]) == 2
    assert document["score_glue"] == pytest.approx(max(document["epoch_scores"]), abs=1e-6)


@pytest.mark.parametrize("kind", ["demo", "vocab.txt", "tokenizer.json"])
def test_an_artifact_is_the_same_bytes_with_a_cold_and_a_warm_cache(
    compose: Compose, tmp_path: Path, kind: str
) -> None:
    """The tokenizer too, which remembers how it was called last; also where it comes with a length stored."""
    words = [*QUICK, "train.max_steps=2", "tracking=none", f"paths.cache={tmp_path / 'cold'}", "force=true"]
    if kind != "demo":
        folder = good(tmp_path / "checkpoint")
        if kind == "tokenizer.json":
            whole_tokenizer(
                truncation={"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
            )(folder)
        words += ["model=pretrained", f"model.pretrained={folder}", "data.max_length=16"]
    folder = identity.run_folder(compose(*words)) / "artifact"
    found = []
    for _ in range(2):
        experiment.run(compose(*words))
        found.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert set(found[0]) == {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert found[0] == found[1]
    assert json.loads(found[0]["tokenizer.json"])["truncation"] is None
