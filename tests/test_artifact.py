"""What is stored is what was trained, whole or refused, and never unpickled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification

from compress.artifact import store
from compress.artifact.store import ArtifactError
from compress.data import demo
from compress.methods.prune import MASK, prunable
from tests.test_train import small_model


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


@pytest.mark.parametrize("pruned", [False, True])
def test_the_size_is_known_before_the_file_is_written(
    model: BertForSequenceClassification, tmp_path: Path, pruned: bool
) -> None:
    if pruned:
        for layer in prunable(model).values():
            layer.register_buffer(MASK, torch.rand_like(layer.weight) > 0.6)
    layout = {name: (value.dtype, tuple(value.shape)) for name, value in store.pack(model.state_dict()).items()}
    assert store.save(tmp_path / "a", model, demo.build_tokenizer()) == store.predicted_bytes(layout)


@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_packing_is_undone_exactly(positions: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(positions, 3, generator=generator) > 0.5
    weight = torch.randn(positions, 3, generator=generator) * mask
    state = {"a.weight": weight, "a.weight_mask": mask, "a.bias": torch.ones(2)}
    packed = store.pack(state)
    assert set(packed) == {"a.weight.values", "a.weight.mask", "a.bias"}
    unpacked = store.unpack(packed, {"a.weight": weight.shape})
    assert unpacked.keys() == state.keys()
    assert all(torch.equal(unpacked[name], state[name]) for name in state)


def test_a_mask_that_does_not_fit_its_survivors_is_refused(
    model: BertForSequenceClassification, tmp_path: Path
) -> None:
    for layer in prunable(model).values():
        layer.register_buffer(MASK, torch.rand_like(layer.weight) > 0.6)
    store.save(tmp_path / "a", model, demo.build_tokenizer())
    file = tmp_path / "a" / "model.safetensors"
    held = load_file(file)
    name = next(name for name in held if name.endswith(".mask"))
    save_file(held | {name: held[name] ^ 1}, file, metadata=store.METADATA)
    with pytest.raises(ArtifactError, match="survivors"):
        store.load(tmp_path / "a")


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
    with pytest.raises(ArtifactError, match=rf"artifact format {metadata.get('compress_format')}; this version reads"):
        store.load(folder)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ArtifactError, match="weights do not fit"):
        store.load(folder)
