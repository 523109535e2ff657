"""torchao as an oracle of the int8 arithmetic.

It lies in a folder of its own (see the Makefile): where it is installed, transformers imports it too, for seconds.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from compress.artifact.layers import int8, quantized
from compress.methods.layers.fake_quantize import round_weight
from tests.conftest import ROOT, missing

FOLDER = ROOT / ".venv" / "torchao"


@pytest.fixture(scope="module")
def torchao() -> ModuleType:
    """Its primitives; the tests are skipped without it, and fail without it in CI."""
    if not FOLDER.is_dir():
        missing(f"torchao is not in {FOLDER}; make .venv/tested puts it there")
    sys.path.append(str(FOLDER))
    try:
        from torchao.quantization import quant_primitives
    finally:
        sys.path.remove(str(FOLDER))
    return quant_primitives


@pytest.mark.parametrize("seed", range(20))
def test_scales_and_integers_of_weights_are_torchaos(torchao: ModuleType, seed: int) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(16, 33) * torch.logspace(-6, 6, 16)[:, None]
    symmetric, block = torchao.MappingType.SYMMETRIC, (1, 33)
    scales, zeros = torchao.choose_qparams_affine(weight, symmetric, block, torch.int8, -127, 127, eps=1e-30)
    ours = int8.GRID.scales(weight)
    assert torch.equal(ours.squeeze(1), scales)
    integers = torchao.quantize_affine(weight, block, scales, zeros, torch.int8, -127, 127)
    apart = (
        int8.GRID.integers(weight, ours).int() - integers.int()
    ).abs()  # it multiplies by 1 / scale: ties may differ
    assert apart.max() <= 1
    assert apart.count_nonzero() <= 1
    back = torchao.dequantize_affine(integers, block, scales, zeros, torch.int8, -127, 127)
    assert torch.equal(back, int8.GRID.numbers(integers, ours))


@pytest.mark.parametrize("seed", range(20))
def test_rounded_weights_and_their_gradient_are_torchaos(torchao: ModuleType, seed: int) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(16, 33).requires_grad_()
    theirs = weight.detach().clone().requires_grad_()
    scales, zeros = int8.GRID.scales(weight).squeeze(1), torch.zeros(16, dtype=torch.int32)
    expected = torchao._fake_quantize_affine(theirs, (1, 33), scales, zeros, torch.int8, -127, 127)
    rounded = round_weight(weight)
    assert ((rounded - expected).abs() > scales[:, None] / 2).count_nonzero() <= 1
    gradient = torch.randn(16, 33)
    rounded.backward(gradient)
    expected.backward(gradient)
    assert weight.grad is not None
    assert theirs.grad is not None
    apart = (weight.grad - theirs.grad).abs() > 1e-6 * gradient.abs()
    assert apart.count_nonzero() <= 1  # where its division lands beyond ±127


@pytest.mark.parametrize("seed", range(20))
def test_ranges_of_inputs_are_torchaos(torchao: ModuleType, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(7, 9) * 10 ** torch.empty(1).uniform_(-3, 3) + torch.randn(1)
    whole, asymmetric = (7, 9), torchao.MappingType.ASYMMETRIC
    scale, zero = torchao.choose_qparams_affine(x, asymmetric, whole, torch.uint8, 0, 255, eps=1e-30)
    ours = quantized.range_parameters(x.min(), x.max())
    assert torch.equal(ours[0], scale)
    assert torch.equal(ours[1], zero)
    expected = torchao._fake_quantize_affine(x, whole, scale, zero, torch.uint8, 0, 255)
    apart = ((quantized.round_input(x, ours[0], -ours[1].float()) - expected).abs() / scale).round()
    assert apart.max() <= 1
    assert apart.count_nonzero() <= 1
