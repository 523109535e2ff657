"""How large a model is: what survives, the study's bytes, and how sparse it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compress.runs.result import Part, Size

if TYPE_CHECKING:
    import torch


def sizes(model: torch.nn.Module, artifact_bytes: int) -> Size:
    """Parameters, those that survive pruning, and the paper's bytes (4 for each survivor, 1 where the part is int8).

    Args:
        artifact_bytes: size of the weight file.
    """
    import torch

    from compress.model.encoder import parts

    state = model.state_dict()
    by_part = {}
    for part, names in parts(name for name in state if name.endswith(("weight", "bias"))).items():
        parameters = sum(state[name].numel() for name in names)
        pruned = sum(int((~state[f"{name}_mask"]).count_nonzero()) for name in names if f"{name}_mask" in state)
        each = 1 if any(state[name].dtype == torch.int8 for name in names) else 4
        nonzero = parameters - pruned
        by_part[part] = Part(parameters=parameters, nonzero=nonzero, nominal_bytes=each * nonzero)
    totals = (
        sum(getattr(part, key) for part in by_part.values()) for key in ("parameters", "nonzero", "nominal_bytes")
    )
    parameters, nonzero, nominal = totals
    return Size(
        parameters=parameters, nonzero=nonzero, nominal_bytes=nominal, artifact_bytes=artifact_bytes, by_part=by_part
    )


def sparsity(model: torch.nn.Module) -> float:
    """Share of the masked matrices' entries that are pruned; 0 without any."""
    masks = [mask for name, mask in model.named_buffers() if name.endswith("weight_mask")]
    positions = sum(mask.numel() for mask in masks)
    return 1 - sum(int(mask.count_nonzero()) for mask in masks) / positions if positions else 0.0
