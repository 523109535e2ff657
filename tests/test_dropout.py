"""Dropout of sixteen random bits has the rate, the mean and the gradient of torch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from compress.model.dropout import LEVELS, draw, dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, 1 / LEVELS])
def test_rate_and_mean_are_as_asked(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    count = 1_000_003  # no multiple of four
    x = torch.ones(count, dtype=dtype, requires_grad=True)
    y = dropout(x, rate)
    y.backward(torch.ones_like(y))
    assert y.dtype == dtype
    dropped = int((y == 0).count_nonzero())
    assert abs(dropped - rate * count) < 5 * (count * rate * (1 - rate)) ** 0.5 + 1
    assert y.float().unique().tolist() == pytest.approx(
        [0, 1 / (1 - rate)], rel=2**-8 if dtype == torch.bfloat16 else 1e-4
    )
    assert x.grad is not None
    assert x.grad.equal(y.detach())


def test_it_draws_from_torchs_generator() -> None:
    x = torch.randn(50)
    torch.manual_seed(3)
    state, first, second = torch.get_rng_state(), dropout(x, 0.5), dropout(x, 0.5)
    assert not first.equal(second)
    torch.set_rng_state(state)
    assert dropout(x, 0.5).equal(first)


def test_elements_are_dropped_independently() -> None:
    """Neighbours share a 64-bit number: no pair of its quarters may be tied."""
    torch.manual_seed(0)
    kept = (draw([(250_000, 4)], [0.5])[0] > 0).double()
    correlations = torch.corrcoef(kept.T) - torch.eye(4)
    assert correlations.abs().max() < 0.01


@pytest.mark.parametrize("rates", [(0.25, 0.25), (0.25, 0.5)])
def test_masks_that_are_drawn_together_have_their_own_rates(rates: tuple[float, float]) -> None:
    torch.manual_seed(0)
    masks = draw([(300, 1000), (7, 11, 4001)], rates)
    assert [tuple(mask.shape) for mask in masks] == [(300, 1000), (7, 11, 4001)]
    for mask, rate in zip(masks, rates, strict=True):
        assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])
        assert mask.mean() == pytest.approx(1, abs=0.01)


def test_the_rarest_and_the_commonest_number_decide_alone() -> None:
    """Of 65 536 equally likely numbers one is dropped, or one is kept."""
    torch.manual_seed(0)
    rare, common = draw([(100 * LEVELS,), (100 * LEVELS,)], [1 / LEVELS, 1 - 1 / LEVELS])
    assert 50 < int((rare == 0).sum()) < 150
    assert 50 < int((common > 0).sum()) < 150


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_all_or_nothing(rate: float) -> None:
    x = torch.randn(9)
    assert dropout(x, rate).equal(functional.dropout(x, rate))
