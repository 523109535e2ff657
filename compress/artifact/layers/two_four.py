"""Layers that keep two of each four weights that lie side by side in a row: 2:4 sparsity (Mishra et al., 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from compress.artifact.layers.kind import Kind, Settings, Tensors, mask_of

if TYPE_CHECKING:
    from torch import nn

TWO_FOUR = mask_of("two_four")
VALUES, PLACES = "weight.values", "weight.places"


class TwoFour(Kind):
    """`weight` and its mask are packed as the survivors, row by row, and where they stand in their groups of four.

    `weight.places` is uint8 [⌈groups / 2⌉], four bits for each group, the first of two in the lower ones: the place of
    its first survivor, 0…2, and four times that of its second.
    """

    name, order, loading, marks = "two_four", 0, "", TWO_FOUR

    def describes(self, module: nn.Module) -> bool:
        return TWO_FOUR in module._buffers

    def pack(self, tensors: Tensors) -> Tensors:
        kept = {name: value for name, value in tensors.items() if name not in ("weight", TWO_FOUR)}
        mask = tensors[TWO_FOUR].numpy().reshape(-1, 4)
        if (mask.sum(axis=1) != 2).any():
            raise ValueError("not two of each four weights survive")
        first, second = mask.argmax(axis=1), 3 - mask[:, ::-1].argmax(axis=1)
        codes = np.append(first | second << 2, [0] * (len(mask) % 2)).astype(np.uint8)
        places = torch.from_numpy(codes[::2] | codes[1::2] << 4)
        return {**kept, VALUES: tensors["weight"][tensors[TWO_FOUR]], PLACES: places}

    def unpack(self, packed: Tensors, plain: nn.Module, settings: Settings) -> Tensors:
        kept = {name: value for name, value in packed.items() if name not in (VALUES, PLACES)}
        if len(kept) != len(packed) - 2:
            raise ValueError("places without their weights")
        shape = plain.get_parameter("weight").shape
        values, places, positions = packed[VALUES], packed[PLACES].numpy(), shape.numel()
        groups = positions // 4
        codes = np.stack([places & 15, places >> 4], axis=1).reshape(-1)
        if shape[1] % 4 or len(places) != -(-groups // 2) or 2 * len(values) != positions or codes[groups:].any():
            raise ValueError(f"{len(values)} survivors and {len(places)} bytes of places for {positions} positions")
        first, second = codes[:groups] & 3, codes[:groups] >> 2
        if (first >= second).any():
            raise ValueError("the two places of a group are not in order")
        mask = torch.zeros(groups, 4, dtype=torch.bool)
        mask[torch.arange(groups)[:, None], torch.from_numpy(np.stack([first, second], axis=1).astype(np.int64))] = True
        weight = torch.zeros(groups, 4, dtype=values.dtype)
        weight[mask] = values
        return {**kept, "weight": weight.view(shape), TWO_FOUR: mask.view(shape)}

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        layer.register_buffer(TWO_FOUR, tensors[TWO_FOUR])
        return layer

    def count(self, module: nn.Module, within: int) -> int:
        return within - module.get_buffer(TWO_FOUR).numel() // 2

    def pruned(self, module: nn.Module) -> tuple[int, int]:
        positions = module.get_buffer(TWO_FOUR).numel()
        return positions // 2, positions


KIND = TwoFour()
