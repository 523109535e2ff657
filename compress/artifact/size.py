"""How large a model is: what survives, the study's bytes, and how sparse it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from compress.runs.result import Part, Size

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PARTS = ("embeddings", "encoder", "head")


def sizes(model: PreTrainedModel, artifact_bytes: int) -> Size:
    """Parameters of the uncompressed model, the numbers that survive of it, and the study's bytes.

    These are 4 for each float32 number and 1 for each int8 one. Biases and LayerNorm count as the smallest numbers of
    their part: the study counts every parameter of a quantized model as one byte.

    Args:
        artifact_bytes: size of the weight file.
    """
    from compress.artifact import kinds, plain
    from compress.model import encoder

    structure, parameters = plain.structure_of(model), Counter[str]()
    for name, parameter in encoder.empty(model.config).named_parameters():
        parameters[structure.part(name)] += parameter.numel()
    layers = [(structure.part(f"{name}."), module) for name, module in model.named_modules() if name]
    least = {part: min(kinds.bits(module) for inside, module in layers if inside == part) for part in PARTS}
    nonzero, bits = Counter[str](), Counter[str]()
    for part, module in layers:
        survivors = kinds.count(module)
        is_matrix = kinds.of(module) or any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))
        nonzero[part] += survivors
        bits[part] += survivors * (kinds.bits(module) if is_matrix else least[part])
    by_part = {
        part: Part(parameters=parameters[part], nonzero=nonzero[part], nominal_bytes=bits[part] // 8) for part in PARTS
    }
    return Size(
        parameters=parameters.total(),
        nonzero=nonzero.total(),
        nominal_bytes=sum(part.nominal_bytes for part in by_part.values()),
        artifact_bytes=artifact_bytes,
        by_part=by_part,
    )


def sparsity(model: torch.nn.Module) -> float:
    """Share of the masked matrices' entries that are pruned; 0 without any."""
    from compress.artifact.layers.masked import MASK

    masks = [module.get_buffer(MASK) for module in model.modules() if MASK in module._buffers]
    positions = sum(mask.numel() for mask in masks)
    return 1 - sum(int(mask.count_nonzero()) for mask in masks) / positions if positions else 0.0
