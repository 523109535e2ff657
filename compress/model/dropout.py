"""Dropout on a CPU with sixteen random bits for each element, where torch draws a float: a fifth of the time.

A rate is rounded to a whole number of 1/65 536. On other devices it is torch's own dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch.nn import functional

LEVELS = 2**16


class Noise(NamedTuple):
    """Which elements are dropped."""

    numbers: torch.Tensor  # whole numbers from −LEVELS/2 on, each equally likely, float32
    highest: float  # elements up to this number are dropped
    scale: float  # of the others

    def kept(self, x: torch.Tensor) -> torch.Tensor:
        """0 where x is dropped, else x, not scaled; float32."""
        return cast("torch.Tensor", torch.ops.aten.threshold_backward(x.float(), self.numbers, self.highest))


def draw(shapes: Sequence[Sequence[int]], rates: Sequence[float]) -> list[Noise]:
    """Noise of these shapes and rates, from torch's CPU generator."""
    sizes = [torch.Size(shape).numel() for shape in shapes]
    bits = torch.empty(-(-sum(sizes) // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    numbers = bits[: sum(sizes)].float().split(sizes)
    dropped = [round(rate * LEVELS) for rate in rates]
    return [
        Noise(each.view(shape), count - LEVELS / 2 - 0.5, LEVELS / (LEVELS - count))
        for each, shape, count in zip(numbers, shapes, dropped, strict=True)
    ]


class _Dropout(torch.autograd.Function):
    """The dropped x, and with a residual their sum."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, residual: torch.Tensor | None, numbers: torch.Tensor, *settings: float
    ) -> torch.Tensor:
        ctx.save_for_backward(numbers)
        ctx.settings, ctx.dtype, ctx.adds = settings, x.dtype, residual is not None
        noise = Noise(numbers, *settings)
        if residual is None:
            return noise.kept(x).mul_(noise.scale).to(x.dtype)
        return torch.add(residual, noise.kept(x), alpha=noise.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        noise = Noise(*ctx.saved_tensors, *ctx.settings)
        of_x = noise.kept(gradients[0]).mul_(noise.scale).to(ctx.dtype)
        return of_x, gradients[0] if ctx.adds else None, None, None, None


def dropout(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Each element 0 with probability `rate`, else scaled so that the mean stays; as x."""
    if rate in (0.0, 1.0) or x.device.type != "cpu":
        return functional.dropout(x, rate)
    return _apply(x, None, draw([x.shape], [rate])[0])


def dropout_add(x: torch.Tensor, residual: torch.Tensor, noise: Noise) -> torch.Tensor:
    """residual + dropout(x)."""
    return _apply(x, residual, noise)


def _apply(x: torch.Tensor, residual: torch.Tensor | None, noise: Noise) -> torch.Tensor:
    return cast("torch.Tensor", _Dropout.apply(x, residual, *noise))  # type: ignore[no-untyped-call]
