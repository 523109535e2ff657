"""Linear layers on CPUs: products by the faster of torch's two libraries, and inputs that are rounded on their way.

MKL chooses its instructions by the processor's maker, and on other makers' processors it computes with half as wide
ones as oneDNN, which torch brings along too: there a product of float32 takes 2.0 to 2.3 times as long as here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch.nn import functional

SMALLEST = 2**22  # multiplications of a product, from which it gains more than another way to it costs


class Rounding(NamedTuple):
    """x as eight bits have it: scale · clip(round(x / scale), least, least + 255)."""

    scale: float
    inverse: float
    least: float

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 in the shape of x."""
        return x.mul(self.inverse).round_().clamp_(self.least, self.least + 255).mul_(self.scale)

    def gradient(self, gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The gradient where nothing clips, else 0; in place."""
        ends = (self.least - 0.5) * self.scale, (self.least + 255.5) * self.scale
        torch.ops.aten.hardtanh_backward.grad_input(gradient, x, *ends, grad_input=gradient)
        return gradient


def linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, rounding: Rounding | None = None
) -> torch.Tensor:
    """x · Wᵀ + b: float [..., inputs], [outputs, inputs] and [outputs] to [..., outputs].

    With `rounding`, of an x that is rounded before; only for what `takes_numbers`.
    """
    if torch.is_grad_enabled() and (rounding is not None or _is_faster(x, weight)):
        return cast("torch.Tensor", _Linear.apply(x, weight, bias, rounding))  # type: ignore[no-untyped-call]
    return _product(x if rounding is None else rounding.of(x), weight, bias)


def takes_numbers(x: torch.Tensor) -> bool:
    """Whether Python's numbers may decide about x: nothing waits for them, and no compiler has to follow."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


def _is_faster(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether oneDNN's product is."""
    return (
        takes_numbers(x)
        and weight.dtype == torch.float32
        and x.numel() * weight.shape[0] >= SMALLEST
        and has_unused_avx512()
    )


@cache
def has_unused_avx512() -> bool:
    """Whether oneDNN computes with AVX-512 on this processor, and MKL does not."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"):
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    makers = {line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")}
    return bool(makers) and "GenuineIntel" not in makers


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """By the faster library; oneDNN copies x unless it is contiguous, and never the weight."""
    if not _is_faster(x, weight):
        return functional.linear(x, weight, bias)
    return cast("torch.Tensor", torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, rounding: Rounding | None
    ) -> torch.Tensor:
        rounded = x if rounding is None else rounding.of(x)
        ctx.save_for_backward(x if rounding and ctx.needs_input_grad[0] else None, rounded, weight)
        ctx.rounding = rounding
        return _product(rounded, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, rounded, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _product(gradients[0], weight.t())
            of_x = of_x if x is None else ctx.rounding.gradient(of_x, x)
        inputs, gradient = rounded.flatten(0, -2), gradients[0].flatten(0, -2)
        if ctx.needs_input_grad[1]:  # the narrower one is copied
            if inputs.shape[1] < gradient.shape[1]:
                of_weight = _product(inputs.t(), gradient.t()).t()
            else:
                of_weight = _product(gradient.t(), inputs.t())
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0)
        return of_x, of_weight, of_bias, None
