"""Integers of four bits, two to a byte: how layers store them, around what a mask leaves of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from compress.artifact.layers.kind import Kind, Settings, Tensors
from compress.artifact.layers.quantized import Layer

if TYPE_CHECKING:
    from torch import nn

NAMES = ("weight", "weight.values")  # of what is packed: the whole weight, or the survivors of a mask
FILLING = -8  # the last nibble where there is an odd number of integers, which are from −7 to 7


def pack(integers: torch.Tensor) -> torch.Tensor:
    """uint8 [⌈n / 2⌉] of n integers from −7 to 7, as two's complement, the first of two in the low nibble."""
    flat = integers.flatten()
    if len(flat) % 2:
        flat = torch.cat([flat, flat.new_tensor([FILLING])])
    nibbles = flat.to(torch.uint8) & 15
    return nibbles[::2] | nibbles[1::2] << 4


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """The integers that were packed, int8 [n]; ValueError if it is no such packing."""
    if packed.dtype != torch.uint8 or packed.dim() != 1:
        raise ValueError(f"{packed.dtype} {list(packed.shape)} holds no nibbles")
    nibbles = torch.stack([packed & 15, packed >> 4], dim=1).flatten().to(torch.int8)
    integers = (nibbles ^ 8) - 8
    if len(integers) and integers[-1] == FILLING:
        integers = integers[:-1]
    if bool((integers == FILLING).any()):
        raise ValueError(f"integers of four bits that are {FILLING}")
    return integers


class Nibbles(Kind):
    """Packs what is left of the integers by all other kinds; it is the last to pack."""

    name, order, loading = "nibbles", -10, ""  # published as int8, which torch has

    def describes(self, module: nn.Module) -> bool:
        return isinstance(module, Layer) and module.grid.largest < -FILLING

    def pack(self, tensors: Tensors) -> Tensors:
        return {name: pack(value) if name in NAMES else value for name, value in tensors.items()}

    def unpack(self, packed: Tensors, plain: nn.Module, settings: Settings) -> Tensors:
        tensors = {name: unpack(value) if name in NAMES else value for name, value in packed.items()}
        if "weight" in tensors:
            shape = plain.get_parameter("weight").shape
            if tensors["weight"].numel() != shape.numel():
                raise ValueError(f"{tensors['weight'].numel()} integers of four bits for {list(shape)}")
            tensors["weight"] = tensors["weight"].view(shape)
        return tensors


KIND = Nibbles()
