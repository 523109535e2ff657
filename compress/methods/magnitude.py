"""Magnitude pruning during fine-tuning (Han et al., 2015; gradual: Zhu & Gupta, 2017): the least |w| go, for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compress.checked import checked
from compress.methods import pruning
from compress.methods.registry import Option

if TYPE_CHECKING:
    import torch


@checked
class MagnitudeConfig(pruning.WeightsConfig):
    """Which weights go, and when."""

    name: Literal["magnitude"] = Field(description="the option")


class Magnitude(pruning.Pruning):
    """What was pruned once stays pruned: it is 0, and no other weight is less."""

    def scores(self) -> list[torch.Tensor]:
        """|w|; −1 where it is pruned already."""
        return [
            layer.weight.abs().sub_(1 - factor)
            for layer, factor in zip(self.layers.values(), self.factors, strict=True)
        ]


OPTION = Option(
    group="prune", name="magnitude", noun="pruning", config=MagnitudeConfig, build=Magnitude, acts=20, position=30,
    strength="sparsity", weights_until="end", check=pruning.check,
)  # fmt: skip
