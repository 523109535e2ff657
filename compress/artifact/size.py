"""How large a model is: what survives, the study's bytes, and how sparse it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from compress.runs.result import Part, Size

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PARTS = ("embeddings", "encoder", "head")
FLOAT_BITS = 32


def sizes(model: PreTrainedModel, artifact_bytes: int) -> Size:
    """Parameters of the uncompressed model, the numbers that survive of it, the study's bytes and the weight file's.

    The study's are 4 for each float32 number and 1 for each int8 one, so half of one for each of four bits; a half that
    is left over in a part counts as a whole byte. LayerNorm counts as the matrices of its part do,
    the largest numbers where they differ: the study counts every parameter of a quantized model as one byte.
    """
    import torch

    from compress.artifact import plain
    from compress.model import encoder

    structure, parameters = plain.structure_of(model), Counter[str]()
    with torch.device("meta"):
        uncompressed = encoder.empty(model.config)
    for name, parameter in uncompressed.named_parameters():
        parameters[structure.part(name)] += parameter.numel()
    layers = [(structure.part(f"{name}."), *_counted(module)) for name, module in model.named_modules() if name]
    by_part = {}
    for part in PARTS:
        counted = [(survivors, bits) for where, survivors, bits in layers if where == part]
        of_vectors = max((bits for survivors, bits in counted if survivors and bits), default=FLOAT_BITS)
        by_part[part] = Part(
            parameters=parameters[part],
            nonzero=sum(survivors for survivors, _ in counted),
            nominal_bytes=-(-sum(survivors * (bits or of_vectors) for survivors, bits in counted) // 8),
        )
    return Size(
        parameters=parameters.total(),
        nonzero=sum(part.nonzero for part in by_part.values()),
        nominal_bytes=sum(part.nominal_bytes for part in by_part.values()),
        artifact_bytes=artifact_bytes,
        by_part=by_part,
    )


def _counted(module: torch.nn.Module) -> tuple[int, int | None]:
    """How many of a layer's numbers survive, not counting the layers in it, and their bits; None of vectors."""
    from compress.artifact import kinds

    parameters, kinds_of = list(module.parameters(recurse=False)), kinds.of(module)
    survivors = sum(parameter.numel() for parameter in parameters)
    for kind in reversed(kinds_of):
        survivors = kind.count(module, survivors)
    if not kinds_of and all(parameter.dim() < 2 for parameter in parameters):
        return survivors, None
    return survivors, min((kind.bits for kind in kinds_of if kind.bits is not None), default=FLOAT_BITS)


def _left(model: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """Of the pruned layers by name: how many of their numbers are left, and of how many."""
    from compress.artifact import kinds

    counts = {name: [kind.pruned(module) for kind in kinds.of(module)] for name, module in model.named_modules()}
    return {name: (of - gone, of) for name, pairs in counts.items() for gone, of in pairs if of}


def sparsity(model: torch.nn.Module) -> float:
    """Share of the prunable numbers that are pruned; 0 without any."""
    counts = _left(model).values()
    positions = sum(of for _, of in counts)
    return 1 - sum(left for left, _ in counts) / positions if positions else 0.0


def emptied(model: torch.nn.Module, share: float = 0.9) -> dict[str, float]:
    """Pruned matrices that lost more than a share of their entries: name -> share lost, the most first."""
    matrices = {name: pair for name, pair in _left(model).items() if hasattr(model.get_submodule(name), "weight")}
    lost = {name: 1 - left / of for name, (left, of) in matrices.items()}
    return {name: lost[name] for name in sorted(lost, key=lambda name: -lost[name]) if lost[name] > share}
