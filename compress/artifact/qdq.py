"""A finished model as ONNX.

Quantized layers become QuantizeLinear and DequantizeLinear pairs around a float product, which ONNX Runtime fuses into
an int8 product; embeddings stay int8 in the file. Batch and length are dynamic.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch import nn
from torch.nn import functional

from compress.artifact.layers.int8 import Int8Embedding, Int8Linear, from_int8

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def to_onnx(model: BertForSequenceClassification, path: Path, *, as_float: bool = False) -> None:
    """Write a model of `artifact.load`: `INPUTS`, int64 [batch, length], to `logits`, float32 [batch, outputs].

    Args:
        as_float: write what is int8 as the float32 numbers that it stands for.
    """
    model = copy.deepcopy(model).cpu()
    model.set_attn_implementation("eager")
    for name, module in list(model.named_modules()):
        if isinstance(module, Int8Linear):
            model.set_submodule(name, _float_linear(module) if as_float else QdqLinear(module))
        elif isinstance(module, Int8Embedding):
            model.set_submodule(name, _float_embedding(module) if as_float else GatheredEmbedding(module))
    examples = tuple(
        torch.ones(2, 16, dtype=torch.long) for _ in INPUTS
    )  # one tensor thrice would be taken for one input
    dynamic = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    with _quiet():
        torch.onnx.export(
            _Logits(model).eval(),
            examples,
            str(path),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=INPUTS,
            output_names=["logits"],
            dynamic_shapes=(dynamic,) * len(INPUTS),
        )
    _strip(path)


def session(path: Path, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU; 0 threads: as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # without VNNI, sums of u8 × s8 products saturate at 16 bits; this takes the slower, exact products there
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class QdqLinear(nn.Module):
    """The product of what was quantized and dequantized; the weight lies as [inputs, outputs], as MatMul takes it."""

    def __init__(self, layer: Int8Linear) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.t().contiguous())
        self.register_buffer("scale", layer.weight_scale.squeeze(1))
        self.register_buffer("zero_point", torch.zeros(len(layer.weight), dtype=torch.int8))
        self.bias = layer.bias
        self.input: tuple[float, int] | None = None  # scale and zero point
        if layer.input_scale is not None and layer.input_zero_point is not None:
            self.input = layer.input_scale.item(), int(layer.input_zero_point)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [..., inputs] to float32 [..., outputs]."""
        ops = torch.ops.quantized_decomposed
        if self.input is not None:
            x = ops.quantize_per_tensor(x, *self.input, 0, 255, torch.uint8)
            x = ops.dequantize_per_tensor(x, *self.input, 0, 255, torch.uint8)
        weight = ops.dequantize_per_channel(self.weight, self.scale, self.zero_point, 1, -127, 127, torch.int8)
        product: torch.Tensor = x @ weight
        return product if self.bias is None else product + self.bias


class GatheredEmbedding(nn.Module):
    """Rows are looked up as int8 and scaled afterwards."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, layer: Int8Embedding) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight)
        self.register_buffer("scale", layer.weight_scale)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        return functional.embedding(ids, self.weight).float() * functional.embedding(ids, self.scale)


class _Logits(nn.Module):
    """BERT with plain tensors in and out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=types
        ).logits
        return logits


def _float_linear(layer: Int8Linear) -> nn.Linear:
    outputs, inputs = layer.weight.shape
    plain = nn.Linear(inputs, outputs, bias=layer.bias is not None)
    plain.weight = nn.Parameter(from_int8(layer.weight, layer.weight_scale))
    if layer.bias is not None:
        plain.bias = layer.bias
    return plain


def _float_embedding(layer: Int8Embedding) -> nn.Embedding:
    rows, width = layer.weight.shape
    return nn.Embedding(rows, width, _weight=from_int8(layer.weight, layer.weight_scale))


def _strip(path: Path) -> None:
    """Leave out what the exporter notes about where each node came from: more bytes than a small model's weights."""
    import onnx

    written = onnx.load(str(path))
    for item in (written, written.graph, *written.graph.node, *written.graph.input, *written.graph.output):
        item.ClearField("metadata_props")
    written.graph.ClearField("value_info")
    _part_zero_points(written.graph)
    onnx.save(written, str(path))


def _part_zero_points(graph: Any) -> None:
    """Give each weight zero points of its own: ONNX Runtime rewrites them with the weight, shared ones only once."""
    known = {tensor.name: tensor for tensor in graph.initializer}
    seen: set[str] = set()
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in known:
            continue
        shared = known[node.input[2]]
        if shared.name in seen:
            copy = graph.initializer.add()
            copy.CopyFrom(shared)
            copy.name = node.input[2] = f"{node.input[0]}_zero_point"
        seen.add(shared.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
