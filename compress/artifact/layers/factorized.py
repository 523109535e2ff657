"""Linear layers whose weight is the product of two smaller ones."""

from __future__ import annotations

import torch
from torch import nn

from compress.artifact.layers.kind import Kind, Settings, Tensors
from compress.model.blocks import product


class FactorizedLinear(nn.Module):
    """y = W₂ (W₁ x) + b: `first` is a Linear of W₁, [rank, inputs], `second` one of W₂, [outputs, rank], and of b."""

    def __init__(self, first: nn.Linear, second: nn.Linear) -> None:
        super().__init__()
        self.first, self.second = first, second

    @property
    def rank(self) -> int:
        """How many numbers lie between the factors."""
        return self.second.weight.shape[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [..., inputs] to float32 [..., outputs]."""
        return product(self.second, product(self.first, x))


def unfilled(layer: nn.Linear, rank: int) -> FactorizedLinear:
    """The factors of a Linear, without memory for their numbers."""
    first = nn.Linear(layer.in_features, rank, bias=False, device="meta")
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None, device="meta")
    return FactorizedLinear(first, second)


class Factorized(Kind):
    """Holds no tensors itself: the factors are layers of kinds of their own."""

    name, loading = "factorized", ""

    def describes(self, module: nn.Module) -> bool:
        return isinstance(module, FactorizedLinear)

    def settings(self, module: nn.Module) -> dict[str, str | int]:
        """The rank, which no shape tells where both factors are packed."""
        assert isinstance(module, FactorizedLinear)
        return {"rank": module.rank}

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        if not isinstance(layer, nn.Linear):
            raise ValueError(f"a {type(layer).__name__} has no factors")
        return unfilled(layer, int(settings["rank"]))


KIND = Factorized()
