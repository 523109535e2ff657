"""The layers of a model in quantization-aware training: float weights that are rounded whenever they are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from compress.artifact import plain
from compress.artifact.layers import int8
from compress.model.blocks import joined_product
from compress.model.linear import Rounding, linear, takes_numbers


class RoundWeight(torch.autograd.Function):
    """round(w / s) · s with the rows' scales, of weights of equal width; the gradient passes: nothing clips."""

    @staticmethod
    def forward(
        ctx: Any, on_backward: Callable[[], None], *weights: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        ctx.on_backward = on_backward
        together = weights[0] if len(weights) == 1 else torch.cat(weights)
        scales = int8.row_scales(together)
        rounded = (together / scales).round_().mul_(scales)
        return rounded if len(weights) == 1 else rounded.split([len(weight) for weight in weights])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        ctx.on_backward()
        return None, *gradients


def round_weight(weight: torch.Tensor) -> torch.Tensor:
    """What int8 makes of a weight, row by row."""
    return cast("torch.Tensor", RoundWeight.apply(lambda: None, weight))  # type: ignore[no-untyped-call]


class RoundedWeights:
    """What int8 makes of the weights of some layers: made at once for all, and used until they may have changed.

    They may have after a backward pass: a fused optimizer's step is no change that a tensor's version counts.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self.layers = layers
        self.made_of: dict[int, tuple[object, ...]] = {}  # by the layer's id, as is what was made
        self.rounded: dict[int, torch.Tensor] = {}

    def of(self, layer: nn.Linear) -> torch.Tensor:
        """That of one of the layers, [outputs, inputs]."""
        weight = layer.weight
        if torch.compiler.is_compiling():  # which would keep what the next graph has freed
            return round_weight(weight)
        if self.made_of.get(id(layer)) != self._now(weight):
            weights = [each.weight for each in self.layers]
            for width in {weight.shape[1] for weight in weights}:
                group = [each for each in self.layers if each.weight.shape[1] == width]
                rounded = RoundWeight.apply(self.forget, *(each.weight for each in group))  # type: ignore[no-untyped-call]
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
        return int8.rounding(*ends)

    def _round(self, x: torch.Tensor) -> torch.Tensor:
        """The rounded x, float32, by operations on tensors."""
        if self.training and not self.frozen:
            batch = torch.stack(torch.aminmax(x.detach().float()))
            if not self.started and self.ends.isnan().any():
                self.ends.copy_(batch)
            else:
                self.ends.lerp_(batch, self.momentum)
            self.started = True
        return int8.round_input(x, *int8.scale_and_least(*self.ends.unbind()))


class FakeLinear(nn.Linear):
    """A Linear that rounds its weight and, if it has a range, its input."""

    input_range: InputRange | None
    rounded: RoundedWeights  # of all such layers

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

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Integers [...] to float32 [..., width]."""
        return round_weight(super().forward(ids))


def prepare(model: nn.Module, embeddings: bool, momentum: float | None) -> dict[str, FakeLinear | FakeEmbedding]:
    """Replace the Linear layers of a model, and perhaps its embeddings, by layers that round; these, by name.

    `momentum` is of the ranges of Linear inputs, which those that share an input share; None leaves inputs in float.
    """
    structure, fakes = plain.structure_of(model), dict[str, FakeLinear | FakeEmbedding]()
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            fakes[name] = _like(module, FakeLinear)
            fakes[name].register_module("input_range", None)
        elif embeddings and name in structure.embeddings:
            fakes[name] = _like(module, FakeEmbedding)
        else:
            continue
        int8.replace(model, name, fakes[name])
    rounded = RoundedWeights(linears := _linears(model))
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


def _linears(model: nn.Module) -> list[FakeLinear]:
    return [module for module in model.modules() if isinstance(module, FakeLinear)]


F = TypeVar("F", bound=nn.Module)


def _like(module: nn.Module, kind: type[F]) -> F:
    """The same parameters and settings in a layer of a derived class."""
    fake = kind.__new__(kind)
    fake.__dict__ = {**module.__dict__, "_buffers": dict(module._buffers), "_modules": dict(module._modules)}
    return fake


def finalize(model: nn.Module) -> None:
    """Replace the layers that round by int8 ones with the same outputs."""
    for name, module in list(model.named_modules()):
        if not isinstance(module, FakeLinear | FakeEmbedding):
            continue
        scales = int8.row_scales(module.weight)
        integers = int8.to_int8(module.weight, scales)
        if isinstance(module, FakeLinear):
            observed = module.input_range
            seen = None if observed is None else int8.range_parameters(*observed.ends.unbind())
            finished: nn.Module = int8.Int8Linear(integers, scales, module.bias, seen)
        else:
            finished = int8.Int8Embedding(integers, scales)
        int8.replace(model, name, finished)
