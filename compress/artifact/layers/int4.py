"""Layers of weights of four bits, in groups along the input dimension, each with a scale.

Scales are bfloat16: with float32's exponents nothing overflows or vanishes at any magnitude of weights, and rounding a
scale by up to 2⁻⁹ of it moves no largest weight to another integer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

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
from compress.errors import ConfigError

SCALED = """\
    scales = weights.pop(f"{name}_scale").float().repeat_interleave(GROUP, dim=1)  # of GROUP numbers of a row
    weights[name] = weights[name] * scales[:, : weights[name].shape[1]]"""
LEAST_BLOCK = 16  # ONNX Runtime has blocks of a power of two of numbers from here on


def grid(group: int) -> Grid:
    """Integers from −7 to 7, of which so many share a scale."""
    return Grid(largest=7, group=group, scale_type=torch.bfloat16)


class Int4(Quantized):
    """A scale per group of a row, bfloat16."""

    name, bits, loading = "int4", 4, LOADING.replace("SCALED", SCALED)

    def grid(self, settings: Settings) -> Grid:
        if (group := int(settings["group"])) < 1:
            raise ValueError(f"groups of {group}")
        return grid(group)

    def settings(self, module: nn.Module) -> dict[str, str | int]:
        """How many numbers share a scale, which no shape tells."""
        assert isinstance(module, Layer)
        assert module.grid.group is not None
        return {"group": module.grid.group}

    def exported(self, module: Layer) -> nn.Module:
        """Operators of ONNX Runtime, which take weights of four bits as they are."""
        group = module.grid.group
        assert group is not None
        if group < LEAST_BLOCK or group & (group - 1):
            raise ConfigError(
                f"--format onnx: weights of 4 bits in groups of {group}: ONNX Runtime takes groups of a power of two "
                f"from {LEAST_BLOCK} on; use the artifact itself, or train with quantize.group_size=64"
            )
        return BlockEmbedding(module, group) if isinstance(module, QuantizedEmbedding) else BlockLinear(module, group)


KIND = Int4()


def blocks(integers: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 [rows, ⌈columns / size⌉ · size / 2]: q + 8, two to a byte, rows filled with zeros to whole blocks."""
    shifted = functional.pad(integers, (0, -integers.shape[1] % size)).add(8).to(torch.uint8)
    return shifted[:, ::2] | shifted[:, 1::2] << 4


def operator(name: str, inputs: Sequence[torch.Tensor], shape: Sequence[int], **settings: int) -> torch.Tensor:
    """One of ONNX Runtime's own, of weights of four bits, with a float32 output of that shape; for export alone."""
    return torch.onnx.ops.symbolic(
        f"com.microsoft::{name}", inputs, {"bits": 4, **settings}, dtype=torch.float32, shape=shape, version=1
    )


class BlockLinear(WithRoundedInput):
    """MatMulNBits: a product in float32 with a weight of four bits, whose blocks are unpacked on the way."""

    weight: torch.Tensor  # uint8 [outputs, groups, bytes of a group]
    scale: torch.Tensor  # float32 [outputs, groups]

    def __init__(self, layer: QuantizedLinear, group: int) -> None:
        super().__init__(layer)
        self.outputs, self.inputs = layer.weight.shape
        self.group = group
        self.register_buffer("weight", blocks(layer.weight, group).view(self.outputs, -1, group // 2))
        self.register_buffer("scale", layer.weight_scale.float())

    def product(self, x: torch.Tensor) -> torch.Tensor:
        settings = {"K": self.inputs, "N": self.outputs, "block_size": self.group}
        return operator("MatMulNBits", (x, self.weight, self.scale), (*x.shape[:-1], self.outputs), **settings)


class BlockEmbedding(nn.Module):
    """GatherBlockQuantized: rows of four bits that are unpacked when they are looked up."""

    weight: torch.Tensor  # uint8 [rows, bytes of a row]
    scale: torch.Tensor  # float32 [rows, groups]

    def __init__(self, layer: QuantizedEmbedding, group: int) -> None:
        super().__init__()
        self.width, self.group = layer.weight.shape[1], group
        self.register_buffer("weight", blocks(layer.weight, 2))
        self.register_buffer("scale", layer.weight_scale.float())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        inputs, shape = (self.weight, ids, self.scale), (*ids.shape, 2 * self.weight.shape[1])
        settings = {"block_size": self.group, "gather_axis": 0, "quantize_axis": 1}
        return operator("GatherBlockQuantized", inputs, shape, **settings)[..., : self.width]
