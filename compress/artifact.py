"""The compressed model as a folder: written once, and all that scoring, export and users need.

`model.safetensors` (weights), `config.json` (architecture and label names) and the tokenizer's files. Nothing in it is
ever unpickled.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from compress.hub import quiet

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification, PreTrainedTokenizerBase

FORMAT = "1"
WEIGHTS = "model.safetensors"


class ArtifactError(Exception):
    """A folder that is no artifact of ours, or not whole."""


def save(folder: Path, model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerBase) -> int:
    """Write the model to `folder`, in place of what is there, whole or not at all.

    Returns:
        The size of the weight file in bytes.
    """
    from safetensors.torch import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".artifact-", dir=folder.parent))
    scratch.chmod(0o755)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, scratch / WEIGHTS, metadata={"format": "pt", "compress_format": FORMAT})
    (scratch / WEIGHTS).chmod(0o644)
    _order_metadata(scratch / WEIGHTS)
    (scratch / "config.json").write_text(model.config.to_json_string())
    tokenizer.save_pretrained(scratch)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(scratch, folder)
    return (folder / WEIGHTS).stat().st_size


def _order_metadata(file: Path) -> None:
    """Put the metadata, which safetensors writes in any order, in order of its keys: same model, same bytes."""
    with file.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
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

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            found = (file.metadata() or {}).get("compress_format")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        config = BertConfig.from_json_file(folder / "config.json")
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(f"{folder}: not a whole artifact ({error})") from error
    if found != FORMAT:
        raise ArtifactError(f"{folder}: artifact format {found}; this version reads format {FORMAT}")
    with quiet():
        model, loading = BertForSequenceClassification.from_pretrained(
            None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True
        )
    if wrong := {kind: sorted(map(str, names)) for kind, names in loading.items() if names}:
        raise ArtifactError(f"{folder}: weights do not fit config.json ({wrong})")
    return model.eval()
