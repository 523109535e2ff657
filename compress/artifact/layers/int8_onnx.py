"""Int8 layers as the exporter to ONNX takes them: pairs of quantize and dequantize around float operations."""

from __future__ import annotations

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch import nn
from torch.nn import functional


class QdqLinear(nn.Module):
    """The product of what was quantized and dequantized; the weight lies as [inputs, outputs], as MatMul takes it.

    Args:
        weight: int8 [outputs, inputs].
        scale: float32 [outputs, 1].
        bias: float32 [outputs], or None.
        seen: scale and zero point of the input, or None for a float input.
    """

    def __init__(
        self, weight: torch.Tensor, scale: torch.Tensor, bias: nn.Parameter | None, seen: tuple[float, int] | None
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.t().contiguous())
        self.register_buffer("scale", scale.squeeze(1))
        self.register_buffer("zero_point", torch.zeros(len(weight), dtype=torch.int8))
        self.bias, self.seen = bias, seen

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [..., inputs] to float32 [..., outputs]."""
        ops = torch.ops.quantized_decomposed
        if self.seen is not None:
            x = ops.quantize_per_tensor(x, *self.seen, 0, 255, torch.uint8)
            x = ops.dequantize_per_tensor(x, *self.seen, 0, 255, torch.uint8)
        weight = ops.dequantize_per_channel(self.weight, self.scale, self.zero_point, 1, -127, 127, torch.int8)
        product: torch.Tensor = x @ weight
        return product if self.bias is None else product + self.bias


class GatheredEmbedding(nn.Module):
    """Rows are looked up as int8 and scaled afterwards."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        return functional.embedding(ids, self.weight).float() * functional.embedding(ids, self.scale)
