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

    These are 4 for each float32 number and 1 for each int8 one. LayerNorm counts as the matrices of its part do, the
    largest numbers where they differ: the study counts every parameter of a quantized model as one byte.

    Args:
        artifact_bytes: size of the weight file.
    """
    import torch

    from compress.artifact import kinds, plain
    from compress.model import encoder

    structure, parameters = plain.structure_of(model), Counter[str]()
    with torch.device("meta"):
        uncompressed = encoder.empty(model.config)
    for name, parameter in uncompressed.named_parameters():
        parameters[structure.part(name)] += parameter.numel()
    layers = [(structure.part(f"{name}."), module) for name, module in model.named_modules() if name]
    matrices = [(part, kinds.bits(module)) for part, module in layers if kinds.count(module) and _is_matrix(module)]
    nonzero, bits = Counter[str](), Counter[str]()
    for part, module in layers:
        of_part = max((each for other, each in matrices if other == part), default=kinds.FLOAT_BITS)
        survivors = kinds.count(module)
        nonzero[part] += survivors
        bits[part] += survivors * (kinds.bits(module) if _is_matrix(module) else of_part)
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


def _is_matrix(module: torch.nn.Module) -> bool:
    from compress.artifact import kinds

    return bool(kinds.of(module)) or any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))


def sparsity(model: torch.nn.Module) -> float:
    """Share of the masked matrices' entries that are pruned; 0 without any."""
    from compress.artifact.layers.masked import MASK

    masks = [module.get_buffer(MASK) for module in model.modules() if MASK in module._buffers]
    positions = sum(mask.numel() for mask in masks)
    return 1 - sum(int(mask.count_nonzero()) for mask in masks) / positions if positions else 0.0
