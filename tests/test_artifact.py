"""What is stored is what was trained, whole or refused, and never unpickled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification

import compress
from compress import experiment
from compress.artifact import store
from compress.artifact.store import ArtifactError
from compress.config import identity
from compress.data import demo
from compress.errors import ConfigError
from tests.conftest import Compose
from tests.test_train import small_model
from tests.weight_files import predicted_bytes


@pytest.fixture
def model() -> BertForSequenceClassification:
    return small_model(outputs=3)


@pytest.fixture
def folder(model: BertForSequenceClassification, tmp_path: Path) -> Path:
    store.save(tmp_path / "artifact", model, demo.build_tokenizer())
    return tmp_path / "artifact"


def test_every_weight_comes_back_bit_for_bit(model: BertForSequenceClassification, folder: Path) -> None:
    loaded = store.load(folder)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())
    assert not loaded.training


def test_loading_draws_no_random_numbers(folder: Path) -> None:
    before = torch.get_rng_state()
    store.load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_size_is_that_of_the_file(model: BertForSequenceClassification, tmp_path: Path) -> None:
    size = store.save(tmp_path / "a", model, demo.build_tokenizer())
    assert size == (tmp_path / "a" / "model.safetensors").stat().st_size
    assert 0 < size - 4 * sum(value.numel() for value in model.state_dict().values()) < 8192


def test_the_size_is_known_before_the_file_is_written(model: BertForSequenceClassification, tmp_path: Path) -> None:
    assert store.save(tmp_path / "a", model, demo.build_tokenizer()) == predicted_bytes(model)


def test_transformers_reads_an_uncompressed_artifact_too(model: BertForSequenceClassification, folder: Path) -> None:
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = torch.randint(5, 30, (2, 9))
    with torch.inference_mode():
        assert torch.equal(theirs(ids).logits, model.eval()(ids).logits)
    assert (
        AutoTokenizer.from_pretrained(folder)("the teacher").input_ids
        == demo.build_tokenizer()("the teacher").input_ids
    )


def test_saving_again_replaces_the_whole_folder(model: BertForSequenceClassification, folder: Path) -> None:
    (folder / "left-over").touch()
    store.save(folder, model, demo.build_tokenizer())
    assert not (folder / "left-over").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["artifact"]


def test_a_truncated_file_is_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="not a whole artifact"):
        store.load(folder)


def test_a_pickle_is_refused_unread(folder: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(ArtifactError, match="not a whole artifact"):
        store.load(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match="not a whole artifact"):
        store.load(folder)


@pytest.mark.parametrize("metadata", [{}, {"compress_format": "99"}])
def test_a_foreign_or_newer_file_is_refused(folder: Path, metadata: dict[str, str]) -> None:
    file = folder / "model.safetensors"
    save_file(load_file(file), file, metadata={"format": "pt", **metadata})
    with pytest.raises(ArtifactError, match=rf"artifact format {metadata.get('compress_format')}; .* reads 1 and 2$"):
        store.load(folder)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ArtifactError, match="weights do not fit"):
        store.load(folder)


def test_a_run_and_its_artifact_elsewhere_are_loaded_in_one_call(compose: Compose, tmp_path: Path) -> None:
    """As the manual's five lines do; a folder that is neither, and a run whose artifact was changed, are refused."""
    words = ("model=demo/tiny", "data=demo", "train=demo", "train.max_steps=2", "task=rte", "quantize=int8")
    config = compose(*words, "device=cpu")
    experiment.run(config)
    run = identity.run_folder(config)
    shutil.copytree(run / "artifact", tmp_path / "elsewhere")
    answers = []
    for folder in (run, str(tmp_path / "elsewhere")):
        model, tokenizer = compress.load(folder)
        inputs = tokenizer(["a cat sat"], ["a cat"], padding=True, truncation=True, max_length=32, return_tensors="pt")
        with torch.inference_mode():
            answers.append(model(**inputs).logits)
        assert model.config.id2label == {0: "entailment", 1: "not_entailment"}
    assert torch.equal(*answers)
    with pytest.raises(ConfigError, match="no finished experiment; give a run folder"):
        compress.load(tmp_path)
    (run / "artifact" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="changed or damaged since it was scored"):
        compress.load(run)
