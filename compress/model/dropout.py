"""Dropout on a CPU with sixteen random bits for each element, where torch draws a float: a fifth of the time.

A rate is rounded to a whole number of 1/65 536. On other devices it is torch's own dropout.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

LEVELS = 2**16


def draw(shapes: Sequence[Sequence[int]], rates: Sequence[float]) -> list[torch.Tensor]:
    """Masks of these shapes and rates, from torch's CPU generator: 0 for what is dropped, else what it is scaled by."""
    sizes = [torch.Size(shape).numel() for shape in shapes]
    bits = torch.empty(-(-sum(sizes) // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    masks = bits[: sum(sizes)].float()
    parts = [part.view(shape) for part, shape in zip(masks.split(sizes), shapes, strict=True)]
    together = [(masks, rates[0])] if len(set(rates)) == 1 else zip(parts, rates, strict=True)
    for part, rate in together:
        dropped = round(rate * LEVELS)
        part.ge_(dropped - LEVELS / 2).mul_(LEVELS / (LEVELS - dropped))
    return parts


def dropout(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Each element 0 with probability `rate`, else scaled so that the mean stays; as x."""
    if rate in (0.0, 1.0) or x.device.type != "cpu":
        return functional.dropout(x, rate)
    return (x * draw([x.shape], [rate])[0]).to(x.dtype)
