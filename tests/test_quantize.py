"""Int8 quantization-aware training: what is trained is stored, to the bit, and ranges move only when they may."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compress import experiment
from compress.artifact import store
from compress.artifact.layers import int8, quantized
from compress.artifact.layers.kind import MASK
from compress.config import identity
from compress.errors import ConfigError
from compress.methods.layers.fake_quantize import FakeEmbedding, FakeLinear, InputRange, round_weight
from compress.methods.magnitude import Magnitude, MagnitudeConfig
from compress.methods.quantize import Quantize, QuantizeConfig
from compress.model.linear import linear
from compress.training.evaluate import predict
from tests.conftest import Compose
from tests.test_train import small_model
from tests.weight_files import predicted_bytes

DEMO = ("model=demo/mini", "data=demo", "task=rte", "train.max_steps=30", "device=cpu")


def recipe(**changes: object) -> QuantizeConfig:
    known = {"name": "int8", "activations": True, "embeddings": True, "momentum": 0.05, "freeze": 0.8}
    return QuantizeConfig(**{**known, **changes})  # type: ignore[arg-type]


def trained(config: QuantizeConfig, steps: int = 8, prune: MagnitudeConfig | None = None) -> torch.nn.Module:
    """A small BERT after some steps on random tokens, not finalized, in eval mode."""
    model = small_model()
    methods = ([Magnitude(prune)] if prune else []) + [Quantize(config)]
    for method in methods:
        method.prepare(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        for method in methods:
            method.before_step(step / steps)
        model(torch.randint(5, 30, (4, 9))).logits.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        for method in methods:
            method.after_step(model, optimizer)
    for method in methods:
        method.before_step(1.0)
    return model.eval()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@given(st.integers(0, 2**31), st.floats(-44, 38), st.integers(1, 6))
@settings(deadline=None)
def test_weights_stay_within_127_and_half_a_step_at_any_magnitude(seed: int, exponent: float, rows: int) -> None:
    weight = torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weight = (weight.clamp(-3, 3) / 3 * 10**exponent).float()
    scales = int8.GRID.scales(weight)
    quantized = int8.GRID.integers(weight, scales)
    assert quantized.abs().max() <= 127
    normal = weight.abs().amax(1, keepdim=True) / 127 >= torch.finfo(torch.float32).tiny
    assert ((int8.GRID.numbers(quantized, scales) - weight).abs() <= scales * 0.5001)[normal.expand_as(weight)].all()
    assert torch.isfinite(int8.GRID.numbers(quantized, scales)).all()


@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_torchs_fake_quantization_with_a_straight_gradient(seed: int) -> None:
    torch.manual_seed(seed)
    weight = (torch.randn(8, 33) * torch.logspace(-4, 4, 8)[:, None]).requires_grad_()
    theirs = weight.detach().clone().requires_grad_()
    scales, zeros = int8.GRID.scales(weight).squeeze(1), torch.zeros(8, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(theirs, scales, zeros, 0, -127, 127)
    rounded = round_weight(weight)
    # torch multiplies by the inverse of the scale: where that decides a tie, one step apart
    apart = ((rounded - expected).abs() / scales[:, None]).round()
    assert apart.max() <= 1
    assert apart.count_nonzero() <= 1
    gradient = torch.randn(8, 33)
    rounded.backward(gradient)
    expected.backward(gradient)
    assert torch.equal(weight.grad, gradient)  # type: ignore[arg-type]
    assert torch.equal(theirs.grad, gradient)  # type: ignore[arg-type]


def test_a_row_of_zeros_stays_zero() -> None:
    assert not round_weight(torch.zeros(2, 3)).any()


def test_ranges_follow_the_moving_average_and_map_to_0_to_255() -> None:
    observed, low, high = InputRange(0.25), None, None
    generator = np.random.default_rng(0)
    for _ in range(6):
        x = generator.normal(3, 2, (5, 7)).astype(np.float32)
        rounded = observed.product(torch.from_numpy(x), [torch.eye(7)], [None]).numpy()
        low = x.min() if low is None else np.float32(low + 0.25 * (x.min() - low))
        high = x.max() if high is None else np.float32(high + 0.25 * (x.max() - high))
        assert tuple(observed.ends.tolist()) == pytest.approx((low, high), rel=1e-6)
        scale = (max(high, 0) - min(low, 0)) / 255
        zero = round(-min(low, 0) / scale)
        expected = (np.clip(np.round(x / scale) + zero, 0, 255) - zero) * scale
        assert np.abs(rounded - expected).max() < scale * 1.001
        assert np.mean(np.abs(rounded - expected) > scale / 2) < 0.05


def test_neither_evaluation_nor_a_frozen_range_moves() -> None:
    model = trained(recipe())
    before = copy.deepcopy(model.state_dict())
    ranges = [module for module in model.modules() if isinstance(module, InputRange)]
    for observed in ranges:
        observed.frozen = False
    with torch.inference_mode():
        model(torch.randint(5, 30, (64, 9)))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    for observed in ranges:
        observed.frozen = True
    model.train()
    model(torch.randint(5, 30, (64, 9)))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    ranges[0].frozen = False
    model(torch.randint(5, 30, (64, 9)))
    assert not all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-5.0], [1e-30, 0.0], [1e30, -1e30]])
def test_any_range_holds_zero_exactly(values: list[float]) -> None:
    x = torch.tensor(values)
    scale, zero_point = quantized.range_parameters(x.min(), x.max())
    assert scale > 0
    assert 0 <= zero_point <= 255
    assert quantized.round_input(torch.zeros(3), scale, -zero_point.float()).eq(0).all()
    assert torch.isfinite(quantized.round_input(x, scale, -zero_point.float())).all()


def test_query_key_and_value_round_their_input_once() -> None:
    model = trained(recipe())
    ranges = [name for name, module in model.named_modules() if isinstance(module, InputRange)]
    assert len(ranges) == 2 * (1 + 3) + 2  # per layer attention, its output, two of feed-forward; pooler, classifier
    shared = [module for module in model.modules() if isinstance(module, InputRange) and module.readers > 1]
    assert len(shared) == 2
    assert not any(module.last for module in shared), "nothing of a step stays"


# --- the finished model -----------------------------------------------------------------------------------------------

OPTIONS = [{}, {"activations": False}, {"embeddings": False}, {"activations": False, "embeddings": False}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("pruned", [False, True])
def test_the_finished_model_computes_what_was_trained_bit_for_bit(options: dict[str, bool], pruned: bool) -> None:
    ramp = MagnitudeConfig(
        name="magnitude", sparsity=0.6, schedule="linear", scope="global", start=0.0, end=0.7, updates=3
    )
    model = trained(recipe(**options), prune=ramp if pruned else None)
    rounded = {name: round_weight(module.weight).detach() for name, module in model.named_modules()
               if isinstance(module, FakeLinear | FakeEmbedding)}  # fmt: skip
    ids = torch.randint(5, 30, (8, 9))
    with torch.inference_mode():
        expected = model(ids, output_hidden_states=True)
    Quantize(recipe()).finalize(model)
    for name, weight in rounded.items():
        layer = model.get_submodule(name)
        assert isinstance(layer, quantized.Layer)
        assert torch.equal(layer.dense(), weight)
        if MASK in layer._buffers:
            assert not layer.weight[~layer.get_buffer(MASK)].any()
    with torch.inference_mode():
        found = model(ids, output_hidden_states=True)
    assert torch.equal(found.logits, expected.logits)
    assert all(torch.equal(a, b) for a, b in zip(found.hidden_states, expected.hidden_states, strict=True))
    assert not {kind for kind in map(type, model.modules()) if kind.__module__.startswith("compress.methods")}
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("words", [(), ("prune=magnitude", "prune.sparsity=0.6"), ("task=stsb",), ("task=mnli",)])
def test_what_is_stored_predicts_as_what_was_trained(compose: Compose, words: tuple[str, ...]) -> None:
    config = compose(*DEMO, "quantize=int8", *words)
    document = experiment.run(config).document()
    assert document["metrics"] == document["metrics_training"]
    stored = store.load(identity.run_folder(config) / "artifact")
    assert predicted_bytes(stored) == document["size"]["artifact_bytes"]
    dataset, tokenizer = experiment.load_data(config)
    split = config.task.validation[0]
    logits = predict(stored, dataset.splits[split], tokenizer.pad_token_id)
    assert logits.shape == (400, config.task.outputs)
    int8_layers = [m for m in stored.modules() if isinstance(m, quantized.Layer)]
    assert len(int8_layers) == (config.model.layers or 0) * 6 + 2 + 3
    assert document["size"]["nominal_bytes"] == document["size"]["nonzero"]
    assert document["methods"] == ["quantize"] + ["prune"] * ("prune=magnitude" in words)


def test_tinys_file_is_as_small_as_its_information(compose: Compose, weights: Path) -> None:
    """8 bits per survivor, 1 bit per position of a pruned matrix, 32 per float; the rest is the header."""
    config = compose(*DEMO, "model=tiny", f"model.pretrained={weights / 'standin-tiny'}", "quantize=int8",
                     "prune=magnitude", "prune.sparsity=0.6", "train.max_steps=2")  # fmt: skip
    document = experiment.run(config).document()
    stored = store.load(identity.run_folder(config) / "artifact").state_dict()
    masks = {name: mask for name, mask in stored.items() if name.endswith(MASK)}
    integers = {name: value for name, value in stored.items() if value.dtype == torch.int8}
    survivors = sum(
        int(masks.get(f"{name}_mask", torch.ones_like(value)).count_nonzero()) for name, value in integers.items()
    )
    floats = sum(4 * value.numel() for name, value in stored.items() if name not in masks and name not in integers)
    information = survivors + sum(mask.numel() for mask in masks.values()) / 8 + floats
    assert information < document["size"]["artifact_bytes"] <= 1.02 * information


def test_quantization_that_is_off_changes_nothing(compose: Compose) -> None:
    assert identity.run_id(compose(*DEMO, "quantize.freeze=0.9")) == identity.run_id(compose(*DEMO))


def test_bf16_trains_too_and_rounds_in_float32(compose: Compose) -> None:
    document = experiment.run(compose(*DEMO, "quantize=int8", "train.precision=bf16")).document()
    assert document["metrics"] == document["metrics_training"]


def test_ranges_that_freeze_while_weights_still_go_are_refused(compose: Compose) -> None:
    words = ("quantize=int8", "prune=magnitude", "quantize.freeze=0.5")
    with pytest.raises(ConfigError, match=r"^quantize.freeze=0.5: must be at least prune.end=0.7"):
        compose(*DEMO, *words)
    compose(*DEMO, "quantize=int8", "quantize.freeze=0.5")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by", ["tensors", "numbers"])
def test_rounding_an_input_is_torchs_fake_quantization_bit_for_bit(by: str, seed: int) -> None:
    torch.manual_seed(seed)
    x = (torch.randn(70, 1000) * torch.logspace(-6, 3, 70)[:, None]).requires_grad_()
    theirs = x.detach().clone().requires_grad_()
    low, high = torch.randn(2).mul(10).sort().values
    scale, zero_point = quantized.range_parameters(low, high)
    if by == "tensors":
        rounded = quantized.round_input(x, scale, -zero_point.float())
    else:
        rounding = quantized.rounding(low.numpy(), high.numpy())
        assert (rounding.scale, -rounding.least) == (scale.item(), zero_point.item())
        with torch.no_grad():
            assert torch.equal(quantized.round_input(x, scale, -zero_point.float()), rounding.of(x))
        rounded = linear(x, torch.eye(1000), None, rounding)  # products with 0 and 1 are exact
    expected = torch.fake_quantize_per_tensor_affine(theirs, scale, zero_point, 0, 255)
    assert torch.equal(rounded, expected)
    gradient = torch.randn(70, 1000)
    rounded.backward(gradient)
    expected.backward(gradient)
    assert torch.equal(x.grad, theirs.grad)  # type: ignore[arg-type]
    assert 0 < x.grad.count_nonzero() < x.numel()  # type: ignore[union-attr]


def test_a_compiled_model_rounds_as_it_is() -> None:
    model = trained(recipe())
    compiled = torch.compile(model, dynamic=True, backend="eager")  # traced as train.compile does; no C++ is built
    ids = torch.randint(5, 30, (4, 9))
    found = {}
    for name, forward in (("plain", model), ("compiled", compiled)):
        logits = forward(ids).logits
        logits.square().sum().backward()
        found[name] = [logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
        model.zero_grad()
    assert len(found["plain"]) == len(found["compiled"]) > 10
    assert torch.equal(found["plain"][0], found["compiled"][0])
    largest = max(float(gradient.abs().max()) for gradient in found["plain"][1:])
    for plain, traced in zip(found["plain"], found["compiled"], strict=True):  # gradients are summed in another order
        assert torch.allclose(plain, traced, rtol=1e-5, atol=1e-7 * largest)
