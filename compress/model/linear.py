"""Linear layers' products in float32 on processors whose AVX-512 torch's own library of products leaves unused.

MKL chooses its instructions by the processor's maker, and on other makers' processors it computes with half as wide
ones as oneDNN, which torch brings along too: there a product takes 2.0 to 2.3 times as long as here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn import functional

SMALLEST = 2**22  # multiplications of a product, from which it gains more than another way to it costs


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x · Wᵀ + b: float [..., inputs], [outputs, inputs] and [outputs] to [..., outputs]."""
    if not _is_faster(x, weight):
        return functional.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return cast("torch.Tensor", _Linear.apply(x, weight, bias))  # type: ignore[no-untyped-call]
    return _product(x, weight, bias)


def _is_faster(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() * weight.shape[0] >= SMALLEST
        and has_unused_avx512()
        and not torch.is_autocast_enabled("cpu")
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
    """By oneDNN; x is copied unless it is contiguous, the weight is not."""
    return cast("torch.Tensor", torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _product(gradients[0], weight.t())
        rows, gradient = x.flatten(0, -2), gradients[0].flatten(0, -2)
        if ctx.needs_input_grad[1]:  # the narrower one is copied
            if rows.shape[1] < gradient.shape[1]:
                of_weight = _product(rows.t(), gradient.t()).t()
            else:
                of_weight = _product(gradient.t(), rows.t())
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0)
        return of_x, of_weight, of_bias
