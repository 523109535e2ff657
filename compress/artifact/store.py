"""The compressed model as a folder: written once, and all that scoring, export and users need.

`model.safetensors`, `config.json` (architecture and label names) and the tokenizer's files. Nothing in it is ever
unpickled. The weight file holds the model's state by name: float32 where float; an int8 `X.weight` with its
`X.weight_scale` per row and, for a Linear, `X.input_scale` and `X.input_zero_point` (see `compress.artifact.int8`); a
pruned one as `pack` says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.storage import atomic
from compress.storage.hub import digest_files, quiet

if TYPE_CHECKING:
    import torch
    from transformers import BertForSequenceClassification, PreTrainedTokenizerBase

FORMAT = "1"
WEIGHTS = "model.safetensors"
METADATA = {"compress_format": FORMAT, "format": "pt"}
TYPES = {
    "float32": "F32",
    "float16": "F16",
    "int8": "I8",
    "uint8": "U8",
    "int32": "I32",
    "int64": "I64",
    "bool": "BOOL",
}


class ArtifactError(Exception):
    """A folder that is no artifact of ours, or not whole."""


def save(folder: Path, model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerBase) -> int:
    """Write the model to `folder`, in place of what is there, whole or not at all.

    Returns:
        The size of the weight file in bytes.
    """
    from safetensors.torch import save_file

    atomic.clear(folder)
    with atomic.new_folder(folder) as scratch:
        (scratch / "config.json").write_text(model.config.to_json_string())
        save_file(pack(model.state_dict()), scratch / WEIGHTS, metadata=METADATA)
        _order_metadata(scratch / WEIGHTS)
        tokenizer.save_pretrained(scratch)
        mode = (
            scratch / "config.json"
        ).stat().st_mode & 0o777  # as the umask has it; libraries have modes of their own
        for file in scratch.iterdir():
            file.chmod(mode)
    return (folder / WEIGHTS).stat().st_size


def pack(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the weight file holds of a state: as it is, but a masked weight as its survivors and a bit per position.

    `X.weight` and `X.weight_mask` become `X.weight.values`, the survivors in row-major order, and `X.weight.mask`,
    uint8 [⌈positions / 8⌉] with the first position in the lowest bit.
    """
    import numpy as np
    import torch

    packed = {}
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        mask = state.get(f"{name}_mask")
        if name.endswith("weight_mask"):
            continue
        if mask is None:
            packed[name] = value
        else:
            bits = np.packbits(mask.cpu().numpy(), bitorder="little")
            packed |= {f"{name}.values": value[mask.cpu()], f"{name}.mask": torch.from_numpy(bits)}
    return packed


def unpack(packed: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
    """The state that was packed, exactly.

    Args:
        shapes: of the weights, by name.

    Raises:
        ValueError: bits and survivors do not fit each other or the shape.
    """
    import numpy as np
    import torch

    state = {name: value for name, value in packed.items() if not name.endswith((".values", ".mask"))}
    for name in (name.removesuffix(".mask") for name in packed if name.endswith(".mask")):
        if name not in shapes or f"{name}.values" not in packed:
            raise ValueError(f"{name}: a mask without its weight")
        bits, positions = packed[f"{name}.mask"].numpy(), shapes[name].numel()
        mask = torch.from_numpy(np.unpackbits(bits, bitorder="little")[:positions].astype(bool))
        values = packed[f"{name}.values"]
        if len(bits) != -(-positions // 8) or int(mask.count_nonzero()) != len(values):
            raise ValueError(f"{name}: {len(values)} survivors and {len(bits)} bytes of mask for {positions} positions")
        weight = torch.zeros(positions, dtype=values.dtype)
        weight[mask] = values
        state |= {name: weight.view(shapes[name]), f"{name}_mask": mask.view(shapes[name])}
    return state


def digest(folder: Path) -> str:
    """SHA-256 over all files of an artifact."""
    return digest_files([file for file in folder.iterdir() if file.is_file()])


def check(folder: Path, promised: str | None) -> None:
    """Refuse an artifact that is not the one that a result is about.

    Args:
        promised: `artifact_sha256` of the result; None in results of old versions, which do not say.

    Raises:
        ArtifactError: it was changed or damaged since.
    """
    if promised is not None and digest(folder) != promised:
        raise ArtifactError(f"{folder}: changed or damaged since it was scored; train it anew: force=true")


def predicted_bytes(tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> int:
    """Size of a weight file with these packed tensors, before it is written.

    8 bytes of length, the header (JSON, padded to a multiple of 8 bytes), and the tensors without gaps, the ones of the
    widest type first (the format of safetensors).
    """
    header: dict[str, Any] = {"__metadata__": METADATA}
    offset = 0
    for name, (dtype, shape) in sorted(tensors.items(), key=lambda entry: (-entry[1][0].itemsize, entry[0])):
        end = offset + math.prod(shape) * dtype.itemsize
        kind = TYPES[str(dtype).removeprefix("torch.")]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    return 8 + -(-len(_encoded(header)) // 8) * 8 + offset


def _encoded(header: Mapping[str, Any]) -> bytes:
    """A header as safetensors writes it, without its padding."""
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()


def _order_metadata(file: Path) -> None:
    """Put the metadata, which safetensors writes in any order, in order of its keys: same model, same bytes."""
    with file.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = _encoded(header)
        assert len(ordered) <= length, "the order of keys cannot make a header longer"
        stream.seek(8)
        stream.write(ordered.ljust(length))


def load(folder: Path) -> BertForSequenceClassification:
    """The model in a folder, float32 on the CPU, ready to predict.

    Raises:
        ArtifactError: the folder is not whole, not ours or of a newer format.
    """
    import torch
    from safetensors import SafetensorError, safe_open
    from transformers import BertConfig, BertForSequenceClassification

    from compress.artifact import int8

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            found = (file.metadata() or {}).get("compress_format")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        config = BertConfig.from_json_file(folder / "config.json")
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(f"{folder}: not a whole artifact ({error})") from error
    if found != FORMAT:
        raise ArtifactError(f"{folder}: artifact format {found}; this version reads format {FORMAT}")
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in BertForSequenceClassification(config).named_parameters()}
    try:
        state = unpack(weights, shapes)
    except ValueError as error:
        raise ArtifactError(f"{folder}: {error}") from error
    masks = {name: state.pop(name) for name in list(state) if name.endswith("weight_mask")}
    finished = _take_int8(state)
    with quiet():
        model, loading = BertForSequenceClassification.from_pretrained(
            None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
        )
    if wrong := {kind: sorted(map(str, names)) for kind, names in loading.items() if names}:
        raise ArtifactError(f"{folder}: weights do not fit config.json ({wrong})")
    for name, module in finished.items():
        int8.replace(model, name, module)
    for name, mask in masks.items():
        parent, _, buffer = name.rpartition(".")
        model.get_submodule(parent).register_buffer(buffer, mask)
    return model.eval()


def _take_int8(state: dict[str, torch.Tensor]) -> dict[str, torch.nn.Module]:
    """The int8 layers in a state, by name; in the state float weights are left in their place."""
    from compress.artifact.int8 import Int8Embedding, Int8Linear, from_int8

    layers: dict[str, torch.nn.Module] = {}
    for name in [name.removesuffix(".weight_scale") for name in state if name.endswith(".weight_scale")]:
        weight, scale = state[f"{name}.weight"], state.pop(f"{name}.weight_scale")
        known = state.pop(f"{name}.input_scale", None), state.pop(f"{name}.input_zero_point", None)
        seen = None if known[0] is None or known[1] is None else (known[0], known[1])
        if name.endswith("_embeddings"):
            layers[name] = Int8Embedding(weight, scale)
        else:
            layers[name] = Int8Linear(weight, scale, state.get(f"{name}.bias"), seen)
        state[f"{name}.weight"] = from_int8(weight, scale)
    return layers
