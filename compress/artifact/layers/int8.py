"""Int8 arithmetic and the layers that a finished model computes with.

Weights are symmetric, q = round(w / s) in [−127, 127] with s = max|w| / 127 per row (output channel or embedding);
Linear inputs are affine uint8 per tensor, q = clip(round(x / s) + z, 0, 255) (Jacob et al., 2018, section 2.1,
equation 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from compress.artifact.layers.kind import Kind, Settings, Tensors
from compress.model.blocks import joined_product
from compress.model.linear import Rounding, linear, takes_numbers

LARGEST = 127
Affine = tuple[torch.Tensor, torch.Tensor]  # scale and zero point of an input, scalars


def row_scales(weight: torch.Tensor) -> torch.Tensor:
    """Scale of each row, float32 [..., 1]; 1 where a row is all zeros or too small to divide by."""
    scales = weight.detach().float().abs().amax(dim=-1, keepdim=True).div_(LARGEST)
    return scales.masked_fill_(scales < torch.finfo(torch.float32).tiny, 1.0)


def to_int8(weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """int8 in the shape of the weight; with scales of `row_scales` nothing clips."""
    return (weight.detach().float() / scales).round().to(torch.int8)


def from_int8(quantized: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """float32 in the shape of the integers."""
    return quantized.float() * scales


def range_parameters(low: torch.Tensor, high: torch.Tensor) -> Affine:
    """Scale (float32) and zero point (int32) that map a range, widened to hold 0, to 0…255."""
    scale, least = scale_and_least(low, high)
    return scale, least.neg().to(torch.int32)


def scale_and_least(low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale, and minus the zero point: how many scales the range begins below 0, in −255…0; both float32."""
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = (high - low).div_(255).clamp_(min=torch.finfo(torch.float32).tiny)
    return scale, low.div_(scale).round_()


def rounding(low: np.float32, high: np.float32) -> Rounding:
    """The same of numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
        scale = np.maximum((high - low) / np.float32(255), np.finfo(np.float32).tiny)
        return Rounding(float(scale), float(1 / scale), float(np.rint(low / scale)))


class RoundInput(torch.autograd.Function):
    """`torch.fake_quantize_per_tensor_affine` to 0…255, bit for bit, of operations that are vectorized on CPUs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
        rounded = x.mul(scale.reciprocal()).round_().sub_(least)
        clipped = rounded.clamp(0, 255)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(rounded)
        return clipped.add_(least).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The gradient where nothing clipped."""
        (rounded,) = ctx.saved_tensors  # whole numbers
        return torch.ops.aten.hardtanh_backward(gradients[0], rounded, -0.5, 255.5), None, None


def round_input(x: torch.Tensor, scale: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    """The input as uint8 would have it, in float32, of what `scale_and_least` gives; gradients pass unless it clips."""
    if takes_numbers(x) and not (torch.is_grad_enabled() and x.requires_grad):
        return Rounding(scale.item(), scale.reciprocal().item(), least.item()).of(x)
    if x.device.type != "cpu":
        return torch.fake_quantize_per_tensor_affine(x.float(), scale, least.neg().to(torch.int32), 0, 255)
    return cast("torch.Tensor", RoundInput.apply(x.float(), scale, least))  # type: ignore[no-untyped-call]


class Int8Linear(nn.Module):
    """A Linear with int8 weights and, where its input's range is known, a uint8 input; the rest in float32."""

    weight: torch.Tensor  # int8 [outputs, inputs]
    weight_scale: torch.Tensor  # float32 [outputs, 1]
    input_scale: torch.Tensor | None  # a scalar, as is the zero point; None for a float input
    input_zero_point: torch.Tensor | None

    def __init__(
        self, weight: torch.Tensor, weight_scale: torch.Tensor, bias: torch.Tensor | None, seen: Affine | None
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", weight_scale)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        scale, zero_point = seen or (None, None)
        self.register_buffer("input_scale", scale)
        self.register_buffer("input_zero_point", zero_point)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [..., inputs] to float32 [..., outputs]."""
        return linear(self._rounded(x), from_int8(self.weight, self.weight_scale), self.bias)

    @staticmethod
    def together(layers: Sequence[Int8Linear], x: torch.Tensor) -> torch.Tensor | None:
        """What several make of the same input, by one product; None if their inputs have different ranges."""
        if len({layer.input_range() for layer in layers}) > 1:
            return None
        weights = [from_int8(layer.weight, layer.weight_scale) for layer in layers]
        return joined_product(weights, [layer.bias for layer in layers], layers[0]._rounded(x))

    def _rounded(self, x: torch.Tensor) -> torch.Tensor:
        if self.input_scale is None or self.input_zero_point is None:
            return x
        return round_input(x, self.input_scale, -self.input_zero_point.float())

    def input_range(self) -> tuple[float, int] | None:
        """Scale and zero point of its input as numbers; None for a float input."""
        if self.input_scale is None or self.input_zero_point is None:
            return None
        return self.input_scale.item(), int(self.input_zero_point)


class Int8Embedding(nn.Module):
    """An embedding whose rows are int8, each with its scale."""

    weight: torch.Tensor  # int8 [rows, width]
    weight_scale: torch.Tensor  # float32 [rows, 1]

    def __init__(self, weight: torch.Tensor, weight_scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", weight_scale)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        return from_int8(functional.embedding(ids, self.weight), functional.embedding(ids, self.weight_scale))


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in place of the one of that name, with the buffers that the old one has besides its own."""
    old = model.get_submodule(name)
    for buffer, value in old.named_buffers(recurse=False):
        if buffer not in module._buffers and not hasattr(module, buffer):
            module.register_buffer(buffer, value)
    module.train(old.training)
    model.set_submodule(name, module)


LOADING = """\
for name in [key.removesuffix("_scale") for key in weights if key.endswith(".weight_scale")]:  # int8, a scale per row
    weights[name] = weights[name] * weights.pop(f"{name}_scale")
    layer = name.removesuffix(".weight")
    if f"{layer}.input_scale" in weights:  # its input is rounded to uint8
        grid = (weights.pop(f"{layer}.input_scale").item(), weights.pop(f"{layer}.input_zero_point").item(), 0, 255)
        rounded = lambda _, x, grid=grid: torch.fake_quantize_per_tensor_affine(x[0], *grid)
        model.get_submodule(layer).register_forward_pre_hook(rounded)
"""


class Int8(Kind):
    """`weight` is int8 with a `weight_scale` per row; a Linear may have `input_scale` and `input_zero_point`."""

    name, bits, loading = "int8", 8, LOADING

    def describes(self, module: nn.Module) -> bool:
        return isinstance(module, Int8Linear | Int8Embedding)

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        weight, scale = tensors["weight"], tensors["weight_scale"]
        shape = layer.get_parameter("weight").shape
        if weight.dtype != torch.int8 or weight.shape != shape or scale.shape != (shape[0], 1):
            raise ValueError(
                f"{weight.dtype} {list(weight.shape)} is no int8 weight {list(shape)}, each row with a scale"
            )
        if isinstance(layer, nn.Embedding):
            return Int8Embedding(weight, scale)
        seen = (tensors["input_scale"], tensors["input_zero_point"]) if "input_scale" in tensors else None
        return Int8Linear(weight, scale, cast("nn.Linear", layer).bias, seen)

    def count(self, module: nn.Module, within: int) -> int:
        """The integers, and what else there is; scales are not counted."""
        return within + module.get_buffer("weight").numel()

    def onnx(self, module: nn.Module, as_float: bool) -> nn.Module:
        """Quantize and dequantize around a float product; of an embedding rows are scaled when looked up anyway."""
        assert isinstance(module, Int8Linear | Int8Embedding)
        weight = from_int8(module.weight, module.weight_scale)
        rows, columns = weight.shape
        if isinstance(module, Int8Embedding):
            return nn.Embedding(rows, columns, _weight=weight) if as_float else module
        if not as_float:
            return QdqLinear(module)
        dense = nn.Linear(columns, rows, bias=module.bias is not None, device="meta")
        dense.weight, dense.bias = nn.Parameter(weight), cast("nn.Parameter", module.bias)
        return dense


KIND = Int8()


class QdqLinear(nn.Module):
    """An int8 layer for ONNX: the product of what is quantized and dequantized; MatMul takes the weight transposed."""

    def __init__(self, layer: Int8Linear) -> None:
        import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed

        super().__init__()
        self.register_buffer("weight", layer.weight.t().contiguous())  # [inputs, outputs]
        self.register_buffer("scale", layer.weight_scale.squeeze(1))
        self.register_buffer("zero_point", torch.zeros(len(layer.weight), dtype=torch.int8))
        self.bias, self.seen = layer.bias, layer.input_range()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [..., inputs] to float32 [..., outputs]."""
        ops = torch.ops.quantized_decomposed
        if self.seen is not None:
            x = ops.quantize_per_tensor(x, *self.seen, 0, 255, torch.uint8)
            x = ops.dequantize_per_tensor(x, *self.seen, 0, 255, torch.uint8)
        weight = ops.dequantize_per_channel(self.weight, self.scale, self.zero_point, 1, -127, 127, torch.int8)
        product: torch.Tensor = x @ weight
        return product if self.bias is None else product + self.bias
