"""The layers of a model in quantization-aware training: float weights that are rounded whenever they are used."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from compress.artifact import int8


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
        for known, new in ((self.low, low), (self.high, high)):
            known.copy_(torch.where(known.isnan(), new, known).lerp(new, self.momentum))

    def parameters_of_range(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and zero point, scalars."""
        return int8.range_parameters(self.low, self.high)


class FakeLinear(nn.Linear):
    """A Linear that rounds its weight and, if it has a range of its own, its input."""

    own: InputRange | None  # None: the input is float, or rounded before it comes here

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [..., inputs] to float [..., outputs]."""
        x = x if self.own is None else self.own(x)
        return functional.linear(x, round_weight(self.weight), self.bias)


class FakeEmbedding(nn.Embedding):
    """An embedding that rounds the rows that are looked up."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        return round_weight(super().forward(ids))


def round_shared_input(attention: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """A hook that rounds the first argument of attention once, for its query, key and value."""
    return (cast("InputRange", attention.shared)(arguments[0]), *arguments[1:])


PROJECTIONS = ("query", "key", "value")


def prepare(model: nn.Module, embeddings: bool, momentum: float | None) -> list[InputRange]:
    """Replace the layers of a model by ones that round.

    Args:
        embeddings: replace embeddings too.
        momentum: of the ranges of Linear inputs; None leaves the inputs in float.

    Returns:
        The ranges.
    """
    ranges: list[InputRange] = []
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            fake: nn.Module = _like(module, FakeLinear)
            fake.register_module("own", None)
        elif embeddings and type(module) is nn.Embedding:
            fake = _like(module, FakeEmbedding)
        else:
            continue
        int8.replace(model, name, fake)
    if momentum is None:
        return ranges
    device = next(model.parameters()).device
    for name, module in list(model.named_modules()):
        if isinstance(module, FakeLinear) and name.rpartition(".")[2] not in PROJECTIONS:
            module.own = InputRange(momentum).to(device)
            ranges.append(module.own)
        elif all(isinstance(getattr(module, projection, None), FakeLinear) for projection in PROJECTIONS):
            module.shared = InputRange(momentum).to(device)
            module.hook = module.register_forward_pre_hook(round_shared_input)
            ranges.append(module.shared)
    return ranges


def _like(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """The same parameters and settings in a layer of a derived class."""
    fake = kind.__new__(kind)
    fake.__dict__ = {**module.__dict__, "_buffers": dict(module._buffers), "_modules": dict(module._modules)}
    return fake


def finalize(model: nn.Module) -> None:
    """Replace the layers that round by int8 ones with the same outputs."""
    for name, module in list(model.named_modules()):
        if isinstance(module, FakeLinear):
            scales = int8.row_scales(module.weight)
            parent = model.get_submodule(name.rpartition(".")[0])
            seen = module.own if module.own is not None else getattr(parent, "shared", None)
            known = None if seen is None else seen.parameters_of_range()
            finished: nn.Module = int8.Int8Linear(int8.to_int8(module.weight, scales), scales, module.bias, known)
        elif isinstance(module, FakeEmbedding):
            scales = int8.row_scales(module.weight)
            finished = int8.Int8Embedding(int8.to_int8(module.weight, scales), scales)
        else:
            continue
        int8.replace(model, name, finished)
    for module in model.modules():
        if hasattr(module, "shared"):
            cast("Any", module).hook.remove()
            del module.hook, module.shared
