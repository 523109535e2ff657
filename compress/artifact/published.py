"""A finished model for who has not this package: weights in safetensors, and the few lines that load them.

A model whose layers are the uncompressed architecture's is a plain checkpoint of transformers (`model.safetensors`);
what a mask took is stored as zeros. Any other is `compressed.safetensors`, a name that transformers does not take for
weights of its own: layers of other shapes, of several factors or of few bits, as they are.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.artifact import kinds
from compress.artifact.store import WEIGHTS
from compress.model import first_token

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compress.artifact.layers.kind import Kind

COMPRESSED = "compressed.safetensors"
EXAMPLE, LENGTH = "EXAMPLE", "LENGTH"  # in a snippet: the texts to answer, and the most tokens

ONE_CALL = """\
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # this folder, or its name on the hub
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
"""
PARTS = """\
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # this folder
weights = load_file(f"{folder}/compressed.safetensors")
model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder)).eval()
"""
SHAPES = """\
for name, layer in list(model.named_modules()):  # Linear layers have the shapes of the file
    if isinstance(layer, torch.nn.Linear):
        rows, columns = weights[f"{name}.weight"].shape
        model.set_submodule(name, torch.nn.Linear(columns, rows, f"{name}.bias" in weights))
"""
FACTORS = """\
for name, layer in list(model.named_modules()):  # Linear layers have the shapes of the file, or are several in a row
    if isinstance(layer, torch.nn.Linear):
        own = [key for key in sorted(weights) if key.startswith(f"{name}.") and key.endswith(".weight")]
        parts = [key.removesuffix(".weight") for key in own]
        linears = [torch.nn.Linear(*weights[f"{part}.weight"].shape[::-1], f"{part}.bias" in weights) for part in parts]
        named = OrderedDict(zip([part.rpartition(".")[2] for part in parts], linears))
        model.set_submodule(name, linears[0] if parts == [name] else torch.nn.Sequential(named))
"""
FILLED = "model.load_state_dict(weights)\n"
ASKED = """\
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer(EXAMPLE, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")
logits = model(**inputs).logits.detach()
"""
ONNX = """\
import onnxruntime
from transformers import AutoTokenizer

folder = "."  # this folder
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")  # exact sums of int8 products on any processor
session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options)
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer(EXAMPLE, padding=True, truncation=True, max_length=LENGTH, return_tensors="np")
logits = session.run(None, {taken.name: inputs[taken.name].astype("int64") for taken in session.get_inputs()})[0]
"""
OPENVINO = """\
import openvino
from transformers import AutoTokenizer

folder = "."  # this folder
settings = {"INFERENCE_PRECISION_HINT": "f32"}  # else some processors compute in bf16, which answers otherwise
model = openvino.Core().compile_model(f"{folder}/openvino_model.xml", "CPU", settings)
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer(EXAMPLE, padding=True, truncation=True, max_length=LENGTH, return_tensors="np")
logits = model({port.any_name: inputs[port.any_name].astype("int64") for port in model.inputs})[0]
"""
SNIPPETS = {"onnx": ONNX, "openvino": OPENVINO}


@dataclass(frozen=True)
class Published:
    """What a folder for others holds of a model.

    Attributes:
        file: of the weights.
        tensors: float32, and what of it kinds of layers pack tighter.
        snippet: the lines that load it and answer `EXAMPLE`, whose logits are `logits`.
        widened: layers that are stored as the float32 numbers that they stand for.
        zeros: share of the marked matrices that is gone, and stored as zeros; 0 without any.
    """

    file: str
    tensors: dict[str, torch.Tensor]
    snippet: str
    widened: list[str]
    zeros: float


def published(model: PreTrainedModel) -> Published:
    """The weights of a model of `store.load`, and how to load them."""
    import torch

    from compress.model import encoder

    model, loading, widened = copy.deepcopy(model).cpu(), dict[str, None](), list[str]()
    marks: dict[str, torch.Tensor] = {}
    for name, module in list(model.named_modules()):
        kinds_of = kinds.of(module)
        marks |= {f"{name}.{kind.marks}": module.get_buffer(kind.marks) for kind in kinds_of if kind.marks}
        if all(kind.loading is not None for kind in kinds_of):
            loading |= dict.fromkeys(_loading(kind, module) for kind in kinds_of if kind.loading)
            continue
        widened.append(name)
        for kind in kinds_of:
            module = kind.onnx(module, as_float=True)
        model.set_submodule(name, module)
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items() if name not in marks}
    gone = sum(int((~mark).count_nonzero()) for mark in marks.values())
    zeros = gone / sum(mark.numel() for mark in marks.values()) if marks else 0.0
    with torch.device("meta"):
        usual = {name: value.shape for name, value in encoder.empty(model.config).state_dict().items()}
    shapes = {name: value.shape for name, value in state.items()}
    if shapes == usual:
        return Published(WEIGHTS, state, ONE_CALL + ASKED, widened, zeros)
    split = any(name not in shapes for name in usual)
    reshaped = SHAPES if any(shapes.get(name) != shape for name, shape in usual.items()) else ""
    code = "".join([PARTS, FACTORS if split else reshaped, *loading, FILLED, ASKED])
    code = f"from collections import OrderedDict\n\n{code}" if split else code
    return Published(COMPRESSED, state, code, widened, zeros)


def _loading(kind: Kind, module: torch.nn.Module) -> str:
    """A kind's lines, with the settings of its layers for their names in capitals."""
    lines = kind.loading or ""
    for key, value in kind.settings(module).items():
        lines = lines.replace(key.upper(), str(value))
    return lines


def write(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Published:
    """Put weights, `config.json` and the tokenizer's files into a folder."""
    from safetensors.torch import save_file

    made = published(model)
    save_file(made.tensors, folder / made.file, metadata={"format": "pt"})
    write_config(folder, model, tokenizer)
    return made


def write_config(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Put `config.json`, as transformers has it, and the tokenizer's files into a folder."""
    from compress.model.architecture import class_of

    about = json.loads(model.config.to_json_string()) | {"architectures": [class_of(model.config).__name__]}
    about.pop(first_token.SETTING, None)
    (folder / "config.json").write_text(json.dumps(about, indent=2) + "\n")
    tokenizer.save_pretrained(folder)


def filled(snippet: str, texts: Sequence[Sequence[str]], length: int) -> str:
    """A snippet that answers these texts, or pairs of them, of so many tokens at most."""
    columns = ", ".join(json.dumps(list(column), ensure_ascii=False) for column in zip(*texts, strict=True))
    return snippet.replace(EXAMPLE, columns).replace(LENGTH, str(length))


def answers(snippet: str, folder: Path) -> NDArray[np.float32]:
    """The logits that a filled snippet computes with the files of a folder, float32 [rows, outputs]."""
    import numpy as np

    code, scope = snippet.replace('folder = "."', f"folder = {str(folder)!r}"), dict[str, Any]()
    exec(compile(code, "snippet", "exec"), scope)  # our own lines, just made
    return np.asarray(scope["logits"], np.float32)
