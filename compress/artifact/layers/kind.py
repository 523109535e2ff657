"""What a kind of stored layers is: how it is packed into the weight file, built again, counted and exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

Tensors = Mapping[str, "torch.Tensor"]
Settings = Mapping[str, str | int]


def mask_of(pattern: str) -> str:
    """The buffer beside a weight that is pruned in a pattern of its own: bool, true where it survives."""
    return f"weight_{pattern}"


MASK = mask_of("mask")  # of any pattern


class Kind:
    """One way to store a layer; it overrides what differs from a dense layer."""

    name: str  # in the artifact
    order: int = 10  # of several kinds of a layer the one of the least number packs last, around what the others packed
    bits: int | None = None  # of each of its numbers, by the study's rule; None: as many as without it
    # lines of Python for who has torch but not this package: of such layers' tensors they make float32 `weights`, by
    # name, for torch's own layers in `model`; "": they are these already. None: published as `onnx` has them as float.
    # A key of `settings` in capitals stands for its value, the same in all layers
    loading: str | None = None
    marks: str | None = None  # buffer beside a weight, bool, true where it survives; what is gone is published as zeros

    def describes(self, module: nn.Module) -> bool:
        """Whether a layer of a finished model is of this kind."""
        raise NotImplementedError

    def settings(self, module: nn.Module) -> dict[str, str | int]:
        """What `build` and `unpack` have to know besides the tensors."""
        return {}

    def pack(self, tensors: Tensors) -> Tensors:
        """What the file holds of a layer's tensors, by their names in it; those of layers within stay as they are."""
        return tensors

    def unpack(self, packed: Tensors, plain: nn.Module, settings: Settings) -> Tensors:
        """The tensors that were packed, exactly; ValueError if they cannot be. `plain` is of the uncompressed model."""
        return packed

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        """The layer to load the tensors into, of the plain one or what kinds within left; draws no random numbers."""
        return layer

    def count(self, module: nn.Module, within: int) -> int:
        """How many of a layer's numbers survive, without the layers in it; `within`: without regard to this kind."""
        return within

    def pruned(self, module: nn.Module) -> tuple[int, int]:
        """How many of a layer's numbers were pruned, and of how many that might have been."""
        return 0, 0

    def onnx(self, module: nn.Module, as_float: bool) -> nn.Module:
        """The layer as it is to be exported; `as_float`: as the float32 numbers that it stands for."""
        return module
