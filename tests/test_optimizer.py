"""The optimizer's steps are torch's, bit for bit, whatever it has collected, and its clipping is torch's."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch

from compress.training.optimizer import AdamW, clip

SHAPES = ((5, 7), (7,), (3, 3), (4,))
GROUPS = ((0, 2), (1, 3))


def optimizer_of(kind: type[torch.optim.AdamW]) -> torch.optim.AdamW:
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    groups = [{"params": [parameters[index] for index in group]} for group in GROUPS]
    groups[0] |= {"weight_decay": 0.1}  # type: ignore[dict-item]
    return kind(groups, lr=0.01, weight_decay=0.0, fused=True)


def parameters_of(optimizer: torch.optim.AdamW) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def take(optimizer: torch.optim.AdamW, step: int, with_gradient: Sequence[bool]) -> None:
    generator = torch.Generator().manual_seed(step)
    optimizer.zero_grad()
    for parameter, has in zip(parameters_of(optimizer), with_gradient, strict=True):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = gradient if has else None
    optimizer.param_groups[0]["lr"] = 0.01 / (step + 1)
    optimizer.step()


# which parameters have a gradient, at each step
HISTORIES = {
    "all, always": [(True,) * 4] * 6,
    "one never has": [(True, False, True, True)] * 6,
    "one later": [(True, True, True, False)] * 3 + [(True,) * 4] * 3,
    "one no longer": [(True,) * 4] * 3 + [(False, True, True, True)] * 3,
    "a whole group never has": [(True, True, False, False)] * 4,
    "one and another": [(True, False, True, True), (False, True, True, True)] * 3,
}


@pytest.mark.parametrize("history", HISTORIES)
def test_steps_are_torchs_bit_for_bit(history: str) -> None:
    ours, theirs = optimizer_of(AdamW), optimizer_of(torch.optim.AdamW)
    for step, having in enumerate(HISTORIES[history]):
        take(ours, step, having)
        take(theirs, step, having)
        for our, their in zip(parameters_of(ours), parameters_of(theirs), strict=True):
            assert torch.equal(our, their)


def test_it_goes_on_from_a_saved_state() -> None:
    whole = optimizer_of(AdamW)
    for step in range(4):
        take(whole, step, (True,) * 4)
    saved = copy.deepcopy(whole.state_dict())
    weights = [parameter.detach().clone() for parameter in parameters_of(whole)]
    take(whole, 4, (True,) * 4)
    take(whole, 5, (True,) * 4)

    for before in (0, 3):  # steps that it has behind it
        resumed = optimizer_of(AdamW)
        for step in range(before):
            take(resumed, step, (True,) * 4)
        resumed.load_state_dict(copy.deepcopy(saved))
        with torch.no_grad():
            for parameter, weight in zip(parameters_of(resumed), weights, strict=True):
                parameter.copy_(weight)
        take(resumed, 4, (True,) * 4)
        take(resumed, 5, (True,) * 4)
        for our, their in zip(parameters_of(resumed), parameters_of(whole), strict=True):
            assert torch.equal(our, their)
        assert {float(state["step"]) for state in resumed.state.values()} == {6.0}


@pytest.mark.parametrize("largest", [0.1, 1.0, 100.0])
def test_clipping_is_torchs_but_for_rounding(largest: float) -> None:
    ours, theirs = optimizer_of(AdamW), optimizer_of(torch.optim.AdamW)
    for step in range(4):
        for optimizer in (ours, theirs):
            generator = torch.Generator().manual_seed(step)
            for parameter in parameters_of(optimizer):
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        assert isinstance(ours, AdamW)
        norm = clip(ours, parameters_of(ours), largest)
        assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(parameters_of(theirs), largest)), rel=1e-6)
        ours.step()
        theirs.step()
    for our, their in zip(parameters_of(ours), parameters_of(theirs), strict=True):
        assert torch.allclose(our, their, rtol=1e-5)
