"""The layers of a model in quantization-aware training: float weights that are rounded whenever they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional

from compress.artifact import plain
from compress.artifact.layers import int8


class RoundWeight(torch.autograd.Function):
    """round(w / s) · s with the scales of the rows; the gradient passes as it is, since nothing clips."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor) -> torch.Tensor:
        """Float32 in the shape of the weight."""
        scales = int8.row_scales(weight)
        return (weight / scales).round_().mul_(scales)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """The gradient of the rounded weight."""
        return gradients[0]


def round_weight(weight: torch.Tensor) -> torch.Tensor:
    """What int8 makes of a weight, row by row."""
    return cast("torch.Tensor", RoundWeight.apply(weight))  # type: ignore[no-untyped-call]


class InputRange(nn.Module):
    """Rounds its input to uint8 by a range: the moving average of the batches' least and largest values.

    The range moves in training mode until it is frozen, and never in eval mode.
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.momentum, self.frozen = momentum, False
        self.register_buffer("low", torch.tensor(torch.nan))
        self.register_buffer("high", torch.tensor(torch.nan))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 in the shape of x."""
        if self.training and not self.frozen:
            self._move(*torch.aminmax(x.detach().float()))
        return int8.fake_quantize(x, *self.parameters_of_range())

    def _move(self, low: torch.Tensor, high: torch.Tensor) -> None:
        for end, new in ((self.low, low), (self.high, high)):
            end.copy_(torch.where(end.isnan(), new, end).lerp(new, self.momentum))

    def parameters_of_range(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and zero point, scalars."""
        return int8.range_parameters(self.low, self.high)


class SharedRange(InputRange):
    """Rounds an input once for several layers that read it one after the other, and moves once for all.

    Args:
        readers: how many read each input.
    """

    def __init__(self, momentum: float, readers: int) -> None:
        super().__init__(momentum)
        self.readers = readers
        # the last input, what became of it, and how many are still to read it
        self.last: tuple[torch.Tensor, torch.Tensor, int] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 in the shape of x."""
        if self.last is not None and self.last[0] is x:
            _, rounded, left = self.last
        else:
            rounded, left = super().forward(x), self.readers
        self.last = (x, rounded, left - 1) if left > 1 else None
        return rounded


class FakeLinear(nn.Linear):
    """A Linear that rounds its weight and, if it has a range, its input."""

    input_range: InputRange | None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [..., inputs] to float [..., outputs]."""
        x = x if self.input_range is None else self.input_range(x)
        return functional.linear(x, round_weight(self.weight), self.bias)


class FakeEmbedding(nn.Embedding):
    """An embedding that rounds the rows that are looked up."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        return round_weight(super().forward(ids))


def prepare(model: nn.Module, embeddings: bool, momentum: float | None) -> dict[str, FakeLinear | FakeEmbedding]:
    """Replace the layers of a model by ones that round.

    Args:
        embeddings: replace embeddings too.
        momentum: of the ranges of Linear inputs; None leaves the inputs in float.

    Returns:
        The new layers, by name.
    """
    structure, fakes = plain.structure_of(model), dict[str, FakeLinear | FakeEmbedding]()
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            fakes[name] = _like(module, FakeLinear)
            fakes[name].register_module("input_range", None)
        elif embeddings and name in structure.embeddings:
            fakes[name] = _like(module, FakeEmbedding)
        else:
            continue
        int8.replace(model, name, fakes[name])
    if momentum is not None:
        _observe_inputs(model, structure.shared_inputs, momentum)
    return fakes


def _observe_inputs(model: nn.Module, shared_inputs: Sequence[Sequence[str]], momentum: float) -> None:
    """Give every Linear a range of its input, the same one to those that share it."""
    device = next(model.parameters()).device
    for names in shared_inputs:
        shared = SharedRange(momentum, len(names)).to(device)
        for name in names:
            _linears(model.get_submodule(name))[0].input_range = shared  # of a factorized one, what reads the input
    for linear in _linears(model):
        if linear.input_range is None:
            linear.input_range = InputRange(momentum).to(device)


def _linears(model: nn.Module) -> list[FakeLinear]:
    return [module for module in model.modules() if isinstance(module, FakeLinear)]


F = TypeVar("F", bound=nn.Module)


def _like(module: nn.Module, kind: type[F]) -> F:
    """The same parameters and settings in a layer of a derived class."""
    fake = kind.__new__(kind)
    fake.__dict__ = {**module.__dict__, "_buffers": dict(module._buffers), "_modules": dict(module._modules)}
    return fake


def finalize(model: nn.Module) -> None:
    """Replace the layers that round by int8 ones with the same outputs."""
    for name, module in list(model.named_modules()):
        if not isinstance(module, FakeLinear | FakeEmbedding):
            continue
        scales = int8.row_scales(module.weight)
        integers = int8.to_int8(module.weight, scales)
        if isinstance(module, FakeLinear):
            seen = None if module.input_range is None else module.input_range.parameters_of_range()
            finished: nn.Module = int8.Int8Linear(integers, scales, module.bias, seen)
        else:
            finished = int8.Int8Embedding(integers, scales)
        int8.replace(model, name, finished)
