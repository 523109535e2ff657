"""What a kind of stored layers is: how it is packed into the weight file, built again, counted and exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

Tensors = Mapping[str, "torch.Tensor"]
Settings = Mapping[str, str | int]


class Kind:
    """One way to store a layer; it overrides what differs from a dense layer.

    Attributes:
        name: in the artifact.
        order: of several kinds of one layer the one of the least number packs last, around what the others packed.
        bits: of each of its numbers, by the study's rule; None: as many as without it.
    """

    name: str
    order: int = 10
    bits: int | None = None

    def describes(self, module: nn.Module) -> bool:
        """Whether a layer of a finished model is of this kind."""
        raise NotImplementedError

    def settings(self, module: nn.Module) -> dict[str, str | int]:
        """What `build` and `unpack` have to know besides the tensors."""
        return {}

    def pack(self, tensors: Tensors) -> Tensors:
        """What the weight file holds of a layer's tensors, by their names in the layer.

        Args:
            tensors: on the CPU; those of layers within it as their kinds have packed them, to be left alone.
        """
        return tensors

    def unpack(self, packed: Tensors, plain: nn.Module, settings: Settings) -> Tensors:
        """The tensors that were packed, exactly.

        Args:
            plain: the layer of the uncompressed model.

        Raises:
            ValueError: they cannot be what was packed.
        """
        return packed

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        """The finished layer, into which the tensors can be loaded; no random numbers are drawn.

        Args:
            layer: the one of the uncompressed model, or what the kinds within this one have made of it.
        """
        return layer

    def count(self, module: nn.Module, within: int) -> int:
        """How many of a layer's numbers survive, without the layers in it.

        Args:
            within: how many, without regard to this kind; of a dense layer, all its parameters.
        """
        return within

    def onnx(self, module: nn.Module, as_float: bool) -> nn.Module:
        """The layer as it is to be exported.

        Args:
            as_float: as the float32 numbers that it stands for.
        """
        return module
