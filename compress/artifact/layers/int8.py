"""Layers of int8 weights: each output channel, and each row of an embedding, has a scale."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from compress.artifact.layers.kind import Settings
from compress.artifact.layers.quantized import (
    LOADING,
    Grid,
    Layer,
    Quantized,
    QuantizedEmbedding,
    QuantizedLinear,
    WithRoundedInput,
)

GRID = Grid(largest=127)

SCALED = '    weights[name] = weights[name] * weights.pop(f"{name}_scale")  # a scale for each row'


class Int8(Quantized):
    """A scale per row, float32."""

    name, bits, loading = "int8", 8, LOADING.replace("SCALED", SCALED)

    def grid(self, settings: Settings) -> Grid:
        return GRID

    def exported(self, module: Layer) -> nn.Module:
        """Quantize and dequantize around a float product; of an embedding rows are scaled when looked up anyway."""
        return module if isinstance(module, QuantizedEmbedding) else QdqLinear(module)


KIND = Int8()


class QdqLinear(WithRoundedInput):
    """The product of what is quantized and dequantized; MatMul takes the weight transposed."""

    def __init__(self, layer: QuantizedLinear) -> None:
        super().__init__(layer)
        self.register_buffer("weight", layer.weight.t().contiguous())  # [inputs, outputs]
        self.register_buffer("scale", layer.weight_scale.squeeze(1))
        self.register_buffer("zero_point", torch.zeros(len(layer.weight), dtype=torch.int8))

    def product(self, x: torch.Tensor) -> torch.Tensor:
        ops = torch.ops.quantized_decomposed
        weight = ops.dequantize_per_channel(self.weight, self.scale, self.zero_point, 1, -127, 127, torch.int8)
        return cast("torch.Tensor", x @ weight)
