"""The six sizes are Google's, checkpoints load whole, and new weights follow the seed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertForSequenceClassification, BertModel

from compress.model import encoder
from tests.conftest import Compose, shared

# Backbone with pooler: Turc et al. (2019), Devlin et al. (2019); the study's sizes in MB are 4 bytes for each
PARAMETERS = {
    "tiny": 4_385_920,
    "mini": 11_170_560,
    "small": 28_763_648,
    "medium": 41_373_184,
    "base": 109_482_240,
    "large": 335_141_888,
}
VOCABULARY = 30_522


@pytest.mark.parametrize(("size", "parameters"), PARAMETERS.items())
def test_a_size_has_exactly_googles_parameters(compose: Compose, size: str, parameters: int) -> None:
    config = compose(f"model={size}", "model.pretrained=null")
    with torch.device("meta"):
        built, _ = encoder.build(config.model, config.task, VOCABULARY, padding=0)
    assert sum(weight.numel() for weight in built.bert.parameters()) == parameters
    assert built.classifier.weight.shape == (2, config.model.hidden)
    assert built.dtype == torch.float32


def test_the_checkpoints_are_googles_by_their_hub_names(compose: Compose) -> None:
    names = {size: compose(f"model={size}").model.pretrained for size in PARAMETERS}
    assert names == {
        "tiny": "google/bert_uncased_L-2_H-128_A-2",
        "mini": "google/bert_uncased_L-4_H-256_A-4",
        "small": "google/bert_uncased_L-4_H-512_A-8",
        "medium": "google/bert_uncased_L-8_H-512_A-8",
        "base": "google-bert/bert-base-uncased",
        "large": "google-bert/bert-large-uncased",
    }


def built(compose: Compose, *overrides: str, seed: int = 0) -> BertForSequenceClassification:
    config = compose("task=mrpc", *overrides)
    torch.manual_seed(seed)
    return encoder.build(config.model, config.task, VOCABULARY, padding=0)[0]


@pytest.mark.parametrize("name", ["standin-tiny", "standin-mini", "all-MiniLM-L6-v2", "paraphrase-MiniLM-L3-v2"])
def test_every_weight_of_a_checkpoint_arrives(compose: Compose, weights: Path, name: str) -> None:
    ours = built(compose, "model=pretrained", f"model.pretrained={weights / name}").state_dict()
    stored = load_file(weights / name / "model.safetensors")
    missing = {key for key in stored if f"bert.{key}" not in ours}
    assert not missing - {"embeddings.position_ids"}
    for key, value in stored.items():
        if key not in missing:
            assert torch.equal(ours[f"bert.{key}"], value.float()), key


def test_a_size_takes_a_local_checkpoint_of_its_shape(compose: Compose, weights: Path) -> None:
    words = ("model=tiny", f"model.pretrained={weights / 'standin-tiny'}")
    assert sum(weight.numel() for weight in built(compose, *words).bert.parameters()) == PARAMETERS["tiny"]
    assert encoder.label(compose(*words).model) == "tiny"
    words = ("model=pretrained", f"model.pretrained={weights / 'standin-tiny'}")
    assert encoder.label(compose(*words).model) == "standin-tiny"


def test_a_checkpoint_computes_what_it_computes_in_transformers(compose: Compose, weights: Path) -> None:
    folder = weights / "all-MiniLM-L6-v2"
    ours = built(compose, "model=pretrained", f"model.pretrained={folder}").eval()
    reference = BertModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(1000, 20_000, (3, 17), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(ours.bert(ids).last_hidden_state, reference(ids).last_hidden_state)


@pytest.mark.parametrize("source", ["scratch", "checkpoint"])
def test_new_weights_follow_the_seed(compose: Compose, weights: Path, source: str) -> None:
    words = ["model=tiny", "model.pretrained=" + ("null" if source == "scratch" else str(weights / "standin-tiny"))]
    heads = [built(compose, *words, seed=seed).state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(value, heads[1][key]) for key, value in heads[0].items())
    assert not torch.equal(heads[0]["classifier.weight"], heads[2]["classifier.weight"])


def test_dropout_is_the_configured_one(compose: Compose, weights: Path) -> None:
    words = ("model=tiny", f"model.pretrained={weights / 'standin-tiny'}", "model.dropout=0.25")
    found = [module.p for module in built(compose, *words).modules() if isinstance(module, torch.nn.Dropout)]
    assert set(found) == {0.25}


def test_a_regression_has_one_output_and_three_classes_three(compose: Compose) -> None:
    for task, outputs in (("stsb", 1), ("mnli", 3)):
        config = compose("model=tiny", "model.pretrained=null", f"task={task}")
        assert encoder.build(config.model, config.task, 99, padding=0)[0].classifier.out_features == outputs


def test_the_papers_uncompressed_sizes_come_out(compose: Compose) -> None:
    table = shared("paper") / "figure1.csv"
    rows = {row["model"]: float(row["nominal_mb"]) for row in csv.DictReader(table.open()) if row["methods"] == "none"}
    for size, megabytes in rows.items():
        config = compose(f"model={size}", "model.pretrained=null")
        with torch.device("meta"):
            parameters = sum(w.numel() for w in encoder.build(config.model, config.task, VOCABULARY, 0)[0].parameters())
        assert 4 * parameters / 1e6 == pytest.approx(megabytes, abs=0.006), size


def test_a_bare_vocabulary_makes_the_same_tokenizer(compose: Compose, weights: Path) -> None:
    words = ("model=tiny", "model.pretrained=null", "task=rte")
    bare, whole = (
        encoder.build_tokenizer(compose(*words, f"model.tokenizer={weights / name}").model)
        for name in ("bert-base-uncased", "standin-tiny")
    )
    text = "Ünhäppily, NAÏVE readers — 東京 in 1999 — said: «don't»!"
    assert bare(text, "Another one.") == whole(text, "Another one.")
    assert len(bare) == len(whole) == 30522
