"""Blocks of which heads and feed-forward columns are gone: their matrices are smaller, and dense."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compress.artifact.layers.kind import Kind, Settings, Tensors
from compress.model import narrowing

if TYPE_CHECKING:
    from torch import nn


class NarrowedBlock(Kind):
    """Holds no tensors itself: its layers are of kinds of their own, which see the smaller ones as the plain ones."""

    name, loading = "narrowed", ""

    def describes(self, module: nn.Module) -> bool:
        return narrowing.narrowed(module) is not None

    def settings(self, module: nn.Module) -> dict[str, str | int]:
        """Which heads are left, by their numbers, and how many columns."""
        left = narrowing.narrowed(module)
        assert left is not None
        return {"heads": " ".join(map(str, left.heads)), "columns": left.columns}

    def build(self, layer: nn.Module, tensors: Tensors, settings: Settings) -> nn.Module:
        form = narrowing.form_of(layer)
        heads, columns = [int(number) for number in str(settings["heads"]).split()], int(settings["columns"])
        of_heads, of_columns = form.heads.units(layer), form.columns.units(layer)
        if not heads or heads != sorted({*heads} & {*range(of_heads)}) or not 1 <= columns <= of_columns:
            raise ValueError(
                f"heads {settings['heads']} and {columns} columns are not left of {of_heads} and {of_columns}"
            )
        narrowing.narrow(layer, heads, range(columns))
        return layer

    def pruned(self, module: nn.Module) -> tuple[int, int]:
        left, form = narrowing.narrowed(module), narrowing.form_of(module)
        assert left is not None
        head, column = form.heads.weights(module), form.columns.weights(module)
        gone = (left.of_heads - len(left.heads)) * head + (left.of_columns - left.columns) * column
        return gone, left.of_heads * head + left.of_columns * column


KIND = NarrowedBlock()
