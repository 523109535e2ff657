"""How large a weight file must be, by arithmetic: safetensors' layout and what each kind of layer stores."""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from compress.artifact import store
from compress.artifact.layers.kind import MASK
from compress.artifact.layers.two_four import TWO_FOUR

# in the order of the file
TYPES = {torch.float32: "F32", torch.int32: "I32", torch.bfloat16: "BF16", torch.int8: "I8", torch.uint8: "U8"}


def stored_tensors(model: torch.nn.Module) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Types and shapes of what a finished model's file holds: survivors and a bit per position where there is a mask.

    Of each four weights in 2:4 sparsity it holds two, and four bits; weights of four bits, which have scales in
    bfloat16, stand two to a byte. Written down from what the artifact promises, without its own packing.
    """
    tensors: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
    state = model.state_dict()
    for name, value in state.items():
        if name.endswith((MASK, TWO_FOUR)):
            continue
        mask = state.get(f"{name}_mask")
        scale = state.get(f"{name}_scale")
        halves = scale is not None and scale.dtype == torch.bfloat16  # weights of four bits, two to a byte
        two_four = f"{name}_two_four" in state
        count = value.numel() // 2 if two_four else value.numel() if mask is None else int(mask.count_nonzero())
        values = (torch.uint8, (-(-count // 2),)) if halves else (value.dtype, (count,))
        if two_four:
            tensors[f"{name}.values"] = values
            tensors[f"{name}.places"] = (torch.uint8, (-(-value.numel() // 8),))
        elif mask is None:
            tensors[name] = values if halves else (value.dtype, tuple(value.shape))
        else:
            tensors[f"{name}.values"] = values
            tensors[f"{name}.mask"] = (torch.uint8, (-(-mask.numel() // 8),))
    return tensors


def predicted_bytes(model: torch.nn.Module) -> int:
    """8 bytes of length, the header (JSON, padded to 8 bytes), and the tensors, type by type."""
    header: dict[str, Any] = {"__metadata__": store.METADATA}
    offset, tensors, types = 0, stored_tensors(model), list(TYPES)
    for name, (dtype, shape) in sorted(tensors.items(), key=lambda entry: (types.index(entry[1][0]), entry[0])):
        end = offset + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": TYPES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    return 8 + -(-len(json.dumps(header, separators=(",", ":")).encode()) // 8) * 8 + offset
