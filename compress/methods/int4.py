"""Quantization-aware training of weights to four bits, in groups along the input dimension.

As int8's (Jacob et al., 2018, section 3), but the numbers that share a scale are a group of a row, not all of it: with
15 levels a large number among small ones costs too much (groups: Shen et al., 2020, section 3.2; along the inputs:
Frantar et al., 2023). Inputs of Linear layers are rounded to uint8, as int8's are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compress.checked import checked
from compress.methods import quantize
from compress.methods.registry import Option

if TYPE_CHECKING:
    from compress.artifact.layers.quantized import Grid


@checked
class Int4Config(quantize.TrainedConfig):
    """What is rounded, how finely, and until when the ranges of activations move."""

    name: Literal["int4"] = Field(description="the option")
    group_size: int = Field(description="how many neighbouring weights of a row share a scale", ge=2)


class Int4(quantize.Quantize):
    """Quantization-aware training to four bits."""

    def __init__(self, config: Int4Config) -> None:
        super().__init__(config)
        self.group_size = config.group_size

    def grid(self) -> Grid:
        from compress.artifact.layers import int4

        return int4.grid(self.group_size)


OPTION = Option(
    group="quantize", name="int4", noun="quantization", config=Int4Config, build=Int4, acts=30, position=12,
    step_cost=1.2, check=quantize.check, by_columns=True,
)  # fmt: skip
