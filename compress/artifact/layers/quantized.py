"""Layers of integers and scales, whatever their width: grids of weights, inputs as uint8, and how they are stored.

Weights are symmetric, q = round(w / s) from −n to n with s = max|w| / n of the numbers that share a scale; Linear
inputs are affine uint8 per tensor, q = clip(round(x / s) + z, 0, 255) (Jacob et al., 2018, section 2.1, equation 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from compress.artifact.layers.kind import Kind, Settings, Tensors
from compress.model.blocks import joined_product
from compress.model.linear import Rounding, linear, takes_numbers

Affine = tuple[torch.Tensor, torch.Tensor]  # scale and zero point of an input, scalars
LOADING = """\
for name in [key.removesuffix("_scale") for key in weights if key.endswith(".weight_scale")]:  # integers and scales
SCALED
    layer = name.removesuffix(".weight")
    if f"{layer}.input_scale" in weights:  # its input is rounded to uint8
        grid = (weights.pop(f"{layer}.input_scale").item(), weights.pop(f"{layer}.input_zero_point").item(), 0, 255)
        rounded = lambda _, x, grid=grid: torch.fake_quantize_per_tensor_affine(x[0], *grid)
        model.get_submodule(layer).register_forward_pre_hook(rounded)
"""  # `Kind.loading`, with the lines that make numbers of the integers for SCALED


@dataclass(frozen=True)
class Grid:
    """Integers from −largest to largest times a scale, which `group` numbers of a row share, or None: all of a row.

    The last group of a row may be shorter. Shapes: weights [..., columns], scales [..., groups].
    """

    largest: int
    group: int | None = None
    scale_type: torch.dtype = torch.float32

    def groups(self, columns: int) -> int:
        """How many scales a row of so many numbers has."""
        return 1 if self.group is None else -(-columns // self.group)

    def scales(self, weight: torch.Tensor) -> torch.Tensor:
        """Those with which nothing clips; 1 for numbers that are all zero or too small to divide by."""
        scales = self._grouped(weight.detach().float()).abs().amax(dim=-1).div_(self.largest)
        return scales.masked_fill_(scales < torch.finfo(torch.float32).tiny, 1.0).to(self.scale_type)

    def round(self, weight: torch.Tensor) -> torch.Tensor:
        """What is left of a weight, in its shape: `numbers` of its `integers`."""
        return self._scaled(weight, self.scales(weight), lambda w, scales: (w / scales).round_().mul_(scales))

    def integers(self, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        """int8 in the shape of the weight."""
        rounded = self._scaled(weight.detach().float(), scales, lambda w, scales: (w / scales).round_())
        return rounded.to(torch.int8)

    def numbers(self, integers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        """float32 in the shape of the integers."""
        return self._scaled(integers.float(), scales, torch.mul)

    def _scaled(
        self, x: torch.Tensor, scales: torch.Tensor, compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        done: torch.Tensor = compute(self._grouped(x), scales.float().unsqueeze(-1)).flatten(-2)
        return done[..., : x.shape[-1]]

    def _grouped(self, x: torch.Tensor) -> torch.Tensor:
        """[..., groups, numbers of a group], zeros behind those of a shorter one."""
        if self.group is None:
            return x.unsqueeze(-2)
        if missing := -x.shape[-1] % self.group:
            x = functional.pad(x, (0, missing))
        grouped: torch.Tensor = x.unflatten(-1, (-1, self.group))
        return grouped


# --- inputs as uint8 --------------------------------------------------------------------------------------------------


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


# --- layers -----------------------------------------------------------------------------------------------------------


class QuantizedLinear(nn.Module):
    """A Linear with integer weights and, where its input's range is known, a uint8 input; the rest in float32."""

    weight: torch.Tensor  # int8 [outputs, inputs]
    weight_scale: torch.Tensor  # [outputs, groups]
    input_scale: torch.Tensor | None  # a scalar, as is the zero point; None for a float input
    input_zero_point: torch.Tensor | None

    def __init__(
        self,
        grid: Grid,
        weight: torch.Tensor,
        weight_scale: torch.Tensor,
        bias: torch.Tensor | None,
        seen: Affine | None,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", weight_scale)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        scale, zero_point = seen or (None, None)
        self.register_buffer("input_scale", scale)
        self.register_buffer("input_zero_point", zero_point)

    def dense(self) -> torch.Tensor:
        """The numbers that the weight stands for, float32 [outputs, inputs]."""
        return self.grid.numbers(self.weight, self.weight_scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [..., inputs] to float32 [..., outputs]."""
        return linear(self._rounded(x), self.dense(), self.bias)

    @staticmethod
    def together(layers: Sequence[QuantizedLinear], x: torch.Tensor) -> torch.Tensor | None:
        """What several make of the same input, by one product; None if their inputs have different ranges."""
        if len({layer.input_range() for layer in layers}) > 1:
            return None
        weights = [layer.dense() for layer in layers]
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


class QuantizedEmbedding(nn.Module):
    """An embedding whose rows are integers with scales."""

    weight: torch.Tensor  # int8 [rows, width]
    weight_scale: torch.Tensor  # [rows, groups]

    def __init__(self, grid: Grid, weight: torch.Tensor, weight_scale: torch.Tensor) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", weight_scale)

    def dense(self) -> torch.Tensor:
        """The numbers that the rows stand for, float32 [rows, width]."""
        return self.grid.numbers(self.weight, self.weight_scale)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        rows, scales = functional.embedding(ids, self.weight), functional.embedding(ids, self.weight_scale)
        return self.grid.numbers(rows, scales)


Layer = QuantizedLinear | QuantizedEmbedding


def layers(model: nn.Module) -> dict[str, Layer]:
    """The quantized layers of a finished model, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Layer)}


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in place of the one of that name, with the buffers that the old one has besides its own."""
    old = model.get_submodule(name)
    for buffer, value in old.named_buffers(recurse=False):
        if buffer not in module._buffers and not hasattr(module, buffer):
            module.register_buffer(buffer, value)
    module.train(old.training)
    model.set_submodule(name, module)


# --- storing ----------------------------------------------------------------------------------------------------------


class Quantized(Kind):
    """`weight` is int8 with a `weight_scale` per group; a Linear may have `input_scale` and `input_zero_point`.

    Of a grid's integers; a derived class says which.
    """

    bits: int

    def grid(self, settings: Settings) -> Grid:
        """That of a layer of such settings."""
        raise NotImplementedError

    def describes(self, module: nn.Module) -> bool:
        return isinstance(module, Layer) and module.grid.largest == 2 ** (self.bits - 1) - 1

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        grid, weight, scale = self.grid(settings), tensors["weight"], tensors["weight_scale"]
        rows, columns = shape = layer.get_parameter("weight").shape
        fits = weight.shape == shape and scale.shape == (rows, grid.groups(columns))
        if not fits or weight.dtype != torch.int8 or scale.dtype != grid.scale_type:
            told = f"{weight.dtype} {list(weight.shape)} is no {self.name} weight {list(shape)}"
            raise ValueError(f"{told}, each {'row' if grid.group is None else f'{grid.group} of a row'} with a scale")
        if weight.numel() and not -grid.largest <= int(weight.min()) <= int(weight.max()) <= grid.largest:
            raise ValueError(f"{self.name} weights beyond ±{grid.largest}")
        if isinstance(layer, nn.Embedding):
            return QuantizedEmbedding(grid, weight, scale)
        seen = (tensors["input_scale"], tensors["input_zero_point"]) if "input_scale" in tensors else None
        return QuantizedLinear(grid, weight, scale, cast("nn.Linear", layer).bias, seen)

    def count(self, module: nn.Module, within: int) -> int:
        """The integers, and what else there is; scales are not counted."""
        return within + module.get_buffer("weight").numel()

    def onnx(self, module: nn.Module, as_float: bool) -> nn.Module:
        assert isinstance(module, Layer)
        return as_dense(module) if as_float else self.exported(module)

    def exported(self, module: Layer) -> nn.Module:
        """The layer as it is to be exported, of integers."""
        return module


def as_dense(module: Layer) -> nn.Module:
    """The layer of the float32 numbers that a quantized one stands for; a uint8 input stays as it comes."""
    weight = module.dense()
    rows, columns = weight.shape
    if isinstance(module, QuantizedEmbedding):
        return nn.Embedding(rows, columns, _weight=weight)
    dense = nn.Linear(columns, rows, bias=module.bias is not None, device="meta")
    dense.weight, dense.bias = nn.Parameter(weight), cast("nn.Parameter", module.bias)
    return dense


class WithRoundedInput(nn.Module):
    """A quantized Linear for ONNX: its input quantized and dequantized, if its range is known, then a product."""

    def __init__(self, layer: QuantizedLinear) -> None:
        import torch.ao.quantization.fx._decomposed  # noqa: F401 - registers torch.ops.quantized_decomposed

        super().__init__()
        self.bias, self.seen = layer.bias, layer.input_range()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [..., inputs] to float32 [..., outputs]."""
        ops = torch.ops.quantized_decomposed
        if self.seen is not None:
            x = ops.quantize_per_tensor(x, *self.seen, 0, 255, torch.uint8)
            x = ops.dequantize_per_tensor(x, *self.seen, 0, 255, torch.uint8)
        product = self.product(x)
        return product if self.bias is None else product + self.bias

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """With the weight."""
        raise NotImplementedError
