"""A finished model as ONNX.

Each kind of layers says what they become: int8 ones QuantizeLinear and DequantizeLinear pairs around a float product,
which ONNX Runtime fuses into an int8 product; embeddings stay integers in the file. Batch and length are dynamic.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from compress.artifact import kinds
from compress.errors import ConfigError
from compress.model.structure import takes

if TYPE_CHECKING:
    import onnxruntime
    from transformers import PreTrainedModel


def to_onnx(model: PreTrainedModel, path: Path, *, as_float: bool = False) -> None:
    """Write a model of `artifact.load`: what it takes, int64 [batch, length], to `logits`, float32 [batch, outputs].

    With `as_float`, integers are written as the float32 numbers that they stand for.
    """
    model, inputs = copy.deepcopy(model).cpu(), takes(model)
    model.set_attn_implementation("eager")
    for name, module in list(model.named_modules()):
        exported = module
        for kind in kinds.of(module):
            exported = kind.onnx(exported, as_float)
        if exported is not module:
            model.set_submodule(name, exported)
    examples = tuple(torch.ones(2, 16, dtype=torch.long) for _ in inputs)  # the same one would be taken for one input
    dynamic = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    try:
        with _quiet():
            torch.onnx.export(
                _Logits(model, inputs).eval(),
                examples,
                str(path),
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=inputs,
                output_names=["logits"],
                dynamic_shapes=((dynamic,) * len(inputs),),
            )
    except torch.onnx.OnnxExporterError as error:
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        cause = f"{type(first).__name__}: {(str(first).strip().splitlines() or [''])[0][:160]}"
        raise ConfigError(
            f"--format onnx: torch {torch.__version__} cannot export {model.config.model_type} ({cause}); "
            "use the artifact itself, or try another version of torch"
        ) from error
    _tidy(path)


def session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU; 0 threads: as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # without VNNI, sums of u8 × s8 products saturate at 16 bits; this takes the slower, exact products there
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inputs_of(session: onnxruntime.InferenceSession) -> list[str]:
    """What an exported model takes, in its order."""
    return [value.name for value in session.get_inputs()]


class _Logits(nn.Module):
    """A classifier with plain tensors in and out."""

    def __init__(self, model: nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs = model, inputs

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self.inputs, tensors, strict=True))).logits
        return logits


def _tidy(path: Path) -> None:
    """Give each product a dequantization of its own, with its own weight and zero points; drop the exporter's notes.

    ONNX Runtime rewrites these together, shared ones only once. A layer that is called twice has its weight twice. The
    notes on where each node came from are more bytes than a small model's weights.
    """
    import onnx

    written = onnx.load(str(path))
    graph = written.graph
    for item in (written, graph, *graph.node, *graph.input, *graph.output):
        item.ClearField("metadata_props")
    graph.ClearField("value_info")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weights = {node.output[0]: node for node in graph.node
               if node.op_type == "DequantizeLinear" and node.input[0] in tensors}  # fmt: skip
    seen: set[str] = set()
    places = [(node, place) for node in graph.node for place, name in enumerate(node.input) if name in weights]
    for number, (node, place) in enumerate(places):
        source = weights[node.input[place]]
        if source.input[0] in seen:
            copied = onnx.NodeProto()
            copied.CopyFrom(source)
            copied.name = copied.output[0] = node.input[place] = f"{source.output[0]}_for_{number}"
            graph.node.insert(0, copied)
            source = graph.node[0]
        for part in (0, 2):
            if source.input[part] in seen:
                tensor = graph.initializer.add()
                tensor.CopyFrom(tensors[source.input[part]])
                tensor.name = source.input[part] = f"{source.output[0]}_{part}"
                tensors[tensor.name] = tensor
            seen.add(source.input[part])
    onnx.save(written, str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter says about itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
