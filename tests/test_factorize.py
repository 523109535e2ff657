"""Factorization: the best approximation of its rank, in fewer numbers, or the matrix stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from compress import experiment
from compress.artifact import plain, store
from compress.artifact.layers.factorized import FactorizedLinear
from compress.config import identity
from compress.errors import ConfigError
from compress.methods.factorize import Factorize, FactorizeConfig, factorized, rank_of
from compress.methods.layers.fake_quantize import FakeLinear
from compress.methods.quantize import Quantize, QuantizeConfig
from tests.conftest import Compose
from tests.test_train import small_model

DEMO = ("model=demo/mini", "data=demo", "task=rte", "train.max_steps=30", "device=cpu")


def prepared(rank: float) -> tuple[nn.Module, Factorize]:
    model, method = small_model(), Factorize(FactorizeConfig(name="svd", rank=rank))
    method.prepare(model)
    return model, method


@given(st.floats(0.001, 0.999), st.integers(1, 80), st.integers(1, 80))
def test_factors_hold_fewer_numbers_than_their_matrix_or_there_are_none(
    share: float, outputs: int, inputs: int
) -> None:
    rank = rank_of(share, outputs, inputs)
    asked = max(1, round(share * min(outputs, inputs)))
    assert rank in (None, asked)
    assert (rank is not None) == (asked * outputs + asked * inputs < outputs * inputs)


@pytest.mark.parametrize(("outputs", "inputs", "bound"), [(64, 64, 0.5), (64, 256, 0.8), (256, 64, 0.8)])
def test_it_begins_to_save_where_the_documentation_says(outputs: int, inputs: int, bound: float) -> None:
    assert rank_of(bound - 0.01, outputs, inputs) is not None
    assert rank_of(bound + 0.01, outputs, inputs) is None


@pytest.mark.parametrize("shape", [(7, 11), (11, 7), (9, 9)])
@pytest.mark.parametrize("rank", [1, 3])
def test_the_factors_are_the_best_approximation_of_their_rank(shape: tuple[int, int], rank: int) -> None:
    """Eckart & Young, 1936: its error is made of the singular values that are left out."""
    torch.manual_seed(0)
    linear = nn.Linear(shape[1], shape[0])
    made = factorized(linear, rank)
    product = made.second.weight @ made.first.weight
    values = torch.linalg.svdvals(linear.weight)
    assert (linear.weight - product).norm().item() == pytest.approx(values[rank:].norm().item(), rel=1e-4)
    for factor in (made.first.weight @ made.first.weight.t(), made.second.weight.t() @ made.second.weight):
        torch.testing.assert_close(factor, values[:rank].diag(), rtol=1e-4, atol=1e-5)
    x = torch.randn(5, shape[1])
    torch.testing.assert_close(made(x), x @ product.t() + linear.bias)
    assert made.second.bias is linear.bias


def test_a_full_rank_computes_what_the_matrix_does() -> None:
    linear, x = nn.Linear(6, 9), torch.randn(4, 6)
    torch.testing.assert_close(factorized(linear, 6)(x), linear(x))


@pytest.mark.parametrize(("rank", "square"), [(0.25, True), (0.6, False)])
def test_only_matrices_that_get_smaller_are_factorized(rank: float, square: bool) -> None:
    """Those of attention and the pooler are square, those of the feed-forward layers twice as wide as high here."""
    model, method = prepared(rank)
    made = {name for name, module in model.named_modules() if isinstance(module, FactorizedLinear)}
    matrices = plain.structure_of(model).matrices
    wide = {name for name in matrices if "attention" not in name and "pooler" not in name}
    assert len(wide) == 2 * 2
    assert made == method.ranks.keys() == (set(matrices) if square else wide)
    assert method.metrics() == {"factorized": float(len(made))}


def test_a_rank_that_makes_nothing_smaller_is_refused_in_a_line() -> None:
    with pytest.raises(ConfigError, match=r"^factorize.rank=0.9: no matrix of this model .* must be less, below 0.5"):
        prepared(0.9)


def test_no_random_number_is_drawn() -> None:
    model = small_model()
    before = torch.get_rng_state()
    Factorize(FactorizeConfig(name="svd", rank=0.25)).prepare(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_first_factors_of_one_input_share_its_range_and_second_ones_have_their_own() -> None:
    model, method = prepared(0.25)
    Quantize(QuantizeConfig(name="int8", activations=True, embeddings=True, momentum=0.05, freeze=0.8)).prepare(model)
    attention = "bert.encoder.layer.1.attention.self"
    linears = {name: module for name, module in model.named_modules() if isinstance(module, FakeLinear)}
    first = [linears[f"{attention}.{name}.first"].input_range for name in ("query", "key", "value")]
    assert first[0] is not None
    assert first[0].readers == 3
    assert first[0] is first[1] is first[2]
    assert len(linears) == 2 * len(method.ranks) + 1
    assert len({id(linear.input_range) for linear in linears.values()}) == len(linears) - 2 * 2
    model(torch.randint(5, 30, (4, 9)))
    assert not any(linear.input_range is None or linear.input_range.ends.isnan().any() for linear in linears.values())


@pytest.mark.parametrize("words", [(), ("quantize=int8",), ("prune=magnitude",), ("quantize=int8", "prune=movement")])
def test_the_file_holds_two_factors_of_each_matrix(compose: Compose, words: tuple[str, ...]) -> None:
    config = compose(*DEMO, "factorize=svd", "factorize.rank=0.25", *words)
    finished, whole = experiment.run(config), experiment.run(compose(*DEMO, *words))
    folder = identity.run_folder(config) / "artifact"
    stored, held = store.load(folder), load_file(folder / "model.safetensors")
    names = plain.structure_of(stored).matrices
    assert len(names) == 6 * (config.model.layers or 0) + 1
    for name in names:
        layer = stored.get_submodule(name)
        assert isinstance(layer, FactorizedLinear)
        assert layer.rank == max(1, round(0.25 * min(len(layer.second.weight), layer.first.weight.shape[1])))
        assert not {f"{name}.weight", f"{name}.weight.values"} & held.keys()
    assert finished.size.parameters == whole.size.parameters
    assert finished.size.nonzero < whole.size.nonzero
    assert finished.size.artifact_bytes < whole.size.artifact_bytes
    assert finished.metrics == finished.metrics_training
    if any(word.startswith("prune") for word in words):
        assert finished.sparsity == pytest.approx(0.4, abs=1e-4)


def test_tinys_rank_of_a_half_leaves_the_square_matrices(compose: Compose, weights: Path) -> None:
    config = compose(*DEMO, "model=pretrained", f"model.pretrained={weights / 'standin-tiny'}", "factorize=svd",
                     "factorize.rank=0.5", "train.max_steps=1")  # fmt: skip
    finished = experiment.run(config)
    square, wide = 128 * 128, 128 * 512
    saved = 2 * 2 * (wide - 64 * (128 + 512))
    assert square == 64 * (128 + 128)
    assert finished.size.parameters - finished.size.nonzero == saved
