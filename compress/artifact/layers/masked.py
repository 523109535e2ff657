"""Layers of whose weight a mask keeps a share: stored as the survivors and a bit per position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from compress.artifact.layers.kind import MASK, Kind, Settings, Tensors

if TYPE_CHECKING:
    from torch import nn


class Masked(Kind):
    """`weight` and `weight_mask` are packed as `weight.values`, the survivors in row-major order, and `weight.mask`.

    The latter is uint8 [⌈positions / 8⌉] with the first position in the lowest bit.
    """

    name, order, loading, marks = "masked", 0, "", MASK

    def describes(self, module: nn.Module) -> bool:
        return MASK in module._buffers

    def pack(self, tensors: Tensors) -> Tensors:
        kept = {name: value for name, value in tensors.items() if name not in ("weight", MASK)}
        bits = torch.from_numpy(np.packbits(tensors[MASK].numpy(), bitorder="little"))
        return {**kept, "weight.values": tensors["weight"][tensors[MASK]], "weight.mask": bits}

    def unpack(self, packed: Tensors, plain: nn.Module, settings: Settings) -> Tensors:
        kept = {name: value for name, value in packed.items() if name not in ("weight.values", "weight.mask")}
        if len(kept) != len(packed) - 2:
            raise ValueError("a mask without its weight")
        shape = plain.get_parameter("weight").shape
        bits, values, positions = packed["weight.mask"], packed["weight.values"], shape.numel()
        mask = torch.from_numpy(np.unpackbits(bits.numpy(), bitorder="little")[:positions].astype(bool))
        if len(bits) != -(-positions // 8) or int(mask.count_nonzero()) != len(values):
            raise ValueError(f"{len(values)} survivors and {len(bits)} bytes of mask for {positions} positions")
        weight = torch.zeros(positions, dtype=values.dtype)
        weight[mask] = values
        return {**kept, "weight": weight.view(shape), MASK: mask.view(shape)}

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        layer.register_buffer(MASK, tensors[MASK])
        return layer

    def count(self, module: nn.Module, within: int) -> int:
        return within - self.pruned(module)[0]

    def pruned(self, module: nn.Module) -> tuple[int, int]:
        mask = module.get_buffer(MASK)
        return int((~mask).count_nonzero()), mask.numel()


KIND = Masked()
