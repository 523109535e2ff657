"""Ranges of what the Linear layers of a trained model read, for quantization after training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

BINS = 4096  # of a histogram from the least to the largest value

Watch = Callable[[str, torch.Tensor], None]


def ranges(
    model: nn.Module, batches: Callable[[], Iterable[Mapping[str, torch.Tensor]]], percentile: float
) -> dict[str, torch.Tensor]:
    """By the name of each Linear the ends of its input's range, float32 [2].

    With a percentile of 100 they are the least and the largest value; else the values, to a bin of a histogram, below
    which (100 − percentile) % and above which as many lie. The model computes in float meanwhile.
    """
    ends: dict[str, torch.Tensor] = {}

    def widen(name: str, x: torch.Tensor) -> None:
        low, high = torch.aminmax(x.float())
        if name in ends:
            low, high = torch.minimum(low, ends[name][0]), torch.maximum(high, ends[name][1])
        ends[name] = torch.stack([low, high])

    _run(model, batches(), widen)
    if percentile == 100:
        return ends
    counts = {name: torch.zeros(BINS, dtype=torch.float64, device=end.device) for name, end in ends.items()}

    def count(name: str, x: torch.Tensor) -> None:
        low, high = ends[name].tolist()
        counts[name] += torch.histc(x.float(), BINS, low, high) if low < high else 0

    _run(model, batches(), count)
    return {name: within(ends[name], counts[name], 1 - percentile / 100) for name in ends}


def within(ends: torch.Tensor, counts: torch.Tensor, outside: float) -> torch.Tensor:
    """What is left of a range, [2], whose values a histogram counts, [bins], without a share at either end."""
    total, below = counts.sum(), counts.cumsum(0)
    if not total:  # all values are the same
        return ends
    width = (ends[1] - ends[0]) / len(counts)
    first = int((below <= outside * total).count_nonzero())
    last = int((total - below > outside * total).count_nonzero())
    return torch.stack([ends[0] + first * width, ends[0] + (last + 1) * width])


def _run(model: nn.Module, batches: Iterable[Mapping[str, torch.Tensor]], watch: Watch) -> None:
    with _watched(model, watch):
        for batch in batches:
            model(**batch)


@contextmanager
def _watched(model: nn.Module, watch: Watch) -> Iterator[None]:
    """Have every Linear tell its name and its input."""
    linears = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: watch(name, inputs[0]))
        for name, module in linears.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
