"""The layers of a model in quantization-aware training: float weights that are rounded whenever they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from compress.artifact import plain
from compress.artifact.layers import int8, quantized
from compress.artifact.layers.quantized import Grid
from compress.model.blocks import joined_product
from compress.model.linear import Rounding, linear, takes_numbers


class RoundWeight(torch.autograd.Function):
    """What a grid makes of weights of equal width; the gradient passes: nothing clips."""

    @staticmethod
    def forward(
        ctx: Any, grid: Grid, on_backward: Callable[[], None], *weights: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        ctx.on_backward = on_backward
        if len(weights) == 1:
            return grid.round(weights[0])
        apart = grid.round(torch.cat(weights)).split([len(weight) for weight in weights])
        return cast("tuple[torch.Tensor, ...]", apart)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        ctx.on_backward()
        return None, None, *gradients


def round_weight(weight: torch.Tensor, grid: Grid = int8.GRID) -> torch.Tensor:
    """What a grid makes of a weight, row by row; the gradient passes."""
    return cast("torch.Tensor", RoundWeight.apply(grid, lambda: None, weight))  # type: ignore[no-untyped-call]


class RoundedWeights:
    """What a grid makes of the weights of some layers: made at once for all, and used until they may have changed.

    They may have after a backward pass: a fused optimizer's step is no change that a tensor's version counts.
    """

    def __init__(self, grid: Grid, layers: Sequence[nn.Linear]) -> None:
        self.grid, self.layers = grid, layers
        self.made_of: dict[int, tuple[object, ...]] = {}  # by the layer's id, as is what was made
        self.rounded: dict[int, torch.Tensor] = {}

    def of(self, layer: nn.Linear) -> torch.Tensor:
        """That of one of the layers, [outputs, inputs]."""
        weight = layer.weight
        if torch.compiler.is_compiling():  # which would keep what the next graph has freed
            return round_weight(weight, self.grid)
        if self.made_of.get(id(layer)) != self._now(weight):
            weights = [each.weight for each in self.layers]
            for width in {weight.shape[1] for weight in weights}:
                group = [each for each in self.layers if each.weight.shape[1] == width]
                chosen = [each.weight for each in group]
                rounded = RoundWeight.apply(self.grid, self.forget, *chosen)  # type: ignore[no-untyped-call]
                self.rounded |= zip(map(id, group), rounded if len(group) > 1 else [rounded], strict=True)
            self.made_of = {id(each): self._now(weight) for each, weight in zip(self.layers, weights, strict=True)}
        return self.rounded[id(layer)]

    def _now(self, weight: torch.Tensor) -> tuple[object, ...]:
        return id(weight), weight._version, torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def forget(self) -> None:
        """Have them made anew when they are asked for next."""
        self.made_of = {}


class InputRange(nn.Module):
    """Rounds its input to uint8 by a range: the moving average of the batches' least and largest values.

    The range moves in training mode until it is frozen, and never in eval mode; once for an input that several layers
    read one after the other.
    """

    ends: torch.Tensor  # the least and the largest value, [2]; not numbers before the first batch

    def __init__(self, momentum: float, readers: int = 1) -> None:
        super().__init__()
        self.momentum, self.readers, self.frozen, self.started = momentum, readers, False, False
        self.last: tuple[torch.Tensor, torch.Tensor | Rounding, int] | None = None  # input, how, readers still to come
        self.register_buffer("ends", torch.full((2,), torch.nan))

    def product(
        self, x: torch.Tensor, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor | None]
    ) -> torch.Tensor:
        """What layers of these weights, that many of the readers, make of the rounded x, one behind the other."""
        if self.last is not None and self.last[0] is x:
            _, made, left = self.last
        else:
            made, left = self._numbers(x) if takes_numbers(x) else self._round(x), self.readers
        left -= len(weights)
        self.last = (x, made, left) if left > 0 else None
        x, rounding = (made, None) if isinstance(made, torch.Tensor) else (x, made)
        return joined_product(weights, biases, x, rounding)

    def _numbers(self, x: torch.Tensor) -> Rounding:
        """How x is to be rounded, by arithmetic of numbers, which a CPU is done with at once."""
        ends = self.ends.numpy()
        if self.training and not self.frozen:
            batch = np.array([each.item() for each in torch.aminmax(x.detach())], dtype=np.float32)
            if not self.started and np.isnan(ends).any():
                ends[:] = batch
            else:
                ends[:] = batch - (batch - ends) * np.float32(1 - self.momentum)
            self.started = True
        return quantized.rounding(*ends)

    def _round(self, x: torch.Tensor) -> torch.Tensor:
        """The rounded x, float32, by operations on tensors."""
        if self.training and not self.frozen:
            batch = torch.stack(torch.aminmax(x.detach().float()))
            if not self.started and self.ends.isnan().any():
                self.ends.copy_(batch)
            else:
                self.ends.lerp_(batch, self.momentum)
            self.started = True
        return quantized.round_input(x, *quantized.scale_and_least(*self.ends.unbind()))


class FakeLinear(nn.Linear):
    """A Linear that rounds its weight and, if it has a range, its input."""

    input_range: InputRange | None
    rounded: RoundedWeights  # of all such layers

    @property
    def grid(self) -> Grid:
        """What its weight is rounded to."""
        return self.rounded.grid

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [..., inputs] to float [..., outputs]."""
        if self.input_range is None:
            return linear(x, self.rounded.of(self), self.bias)
        return self.input_range.product(x, [self.rounded.of(self)], [self.bias])

    @staticmethod
    def together(layers: Sequence[FakeLinear], x: torch.Tensor) -> torch.Tensor | None:
        """What several make of the same input, by one product; None if each has a range of its own."""
        seen = layers[0].input_range
        if any(layer.input_range is not seen for layer in layers):
            return None
        weights, biases = [layer.rounded.of(layer) for layer in layers], [layer.bias for layer in layers]
        return joined_product(weights, biases, x) if seen is None else seen.product(x, weights, biases)


class FakeEmbedding(nn.Embedding):
    """An embedding that rounds the rows that are looked up."""

    grid: Grid

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        return round_weight(super().forward(ids), self.grid)


def prepare(
    model: nn.Module, embeddings: bool, momentum: float | None, grid: Grid = int8.GRID
) -> dict[str, FakeLinear | FakeEmbedding]:
    """Replace the Linear layers of a model, and perhaps its embeddings, by layers that round; these, by name.

    `momentum` is of the ranges of Linear inputs, which those that share an input share; None leaves inputs in float.
    """
    structure, fakes = plain.structure_of(model), dict[str, FakeLinear | FakeEmbedding]()
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            fakes[name] = _like(module, FakeLinear)
            fakes[name].register_module("input_range", None)
        elif embeddings and name in structure.embeddings:
            fakes[name] = embedding = _like(module, FakeEmbedding)
            embedding.grid = grid
        else:
            continue
        quantized.replace(model, name, fakes[name])
    rounded = RoundedWeights(grid, linears := _linears(model))
    for layer in linears:
        layer.rounded = rounded
    if momentum is not None:
        device = next(model.parameters()).device
        # of a factorized layer, the first factor reads the input
        shared = [[_linears(model.get_submodule(name))[0] for name in names] for names in structure.shared_inputs]
        alone = [[layer] for layer in linears if not any(layer in group for group in shared)]
        for group in shared + alone:
            observed = InputRange(momentum, len(group)).to(device)
            for layer in group:
                layer.input_range = observed
    return fakes


def set_ranges(fakes: Mapping[str, FakeLinear | FakeEmbedding], ranges: Mapping[str, torch.Tensor]) -> None:
    """Have these layers round their inputs by ranges, [2], from now on; where several share one, by all of theirs."""
    for name, ends in ranges.items():
        observed = cast("FakeLinear", fakes[name]).input_range
        assert observed is not None
        before = ends if observed.ends.isnan().any() else observed.ends
        observed.ends = torch.stack([torch.minimum(before[0], ends[0]), torch.maximum(before[1], ends[1])])
        observed.frozen = True


def _linears(model: nn.Module) -> list[FakeLinear]:
    return [module for module in model.modules() if isinstance(module, FakeLinear)]


F = TypeVar("F", bound=nn.Module)


def _like(module: nn.Module, kind: type[F]) -> F:
    """The same parameters and settings in a layer of a derived class."""
    fake = kind.__new__(kind)
    fake.__dict__ = {**module.__dict__, "_buffers": dict(module._buffers), "_modules": dict(module._modules)}
    return fake


def finalize(model: nn.Module) -> None:
    """Replace the layers that round by layers of integers with the same outputs."""
    for name, module in list(model.named_modules()):
        if not isinstance(module, FakeLinear | FakeEmbedding):
            continue
        grid = module.grid
        scales = grid.scales(module.weight)
        integers = grid.integers(module.weight, scales)
        if isinstance(module, FakeLinear):
            observed = module.input_range
            seen = None if observed is None else quantized.range_parameters(*observed.ends.unbind())
            finished: nn.Module = quantized.QuantizedLinear(grid, integers, scales, module.bias, seen)
        else:
            finished = quantized.QuantizedEmbedding(grid, integers, scales)
        quantized.replace(model, name, finished)
