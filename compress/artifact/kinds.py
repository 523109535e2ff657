"""Which kinds of stored layers there are: one for each module of `compress.artifact.layers` that declares a `KIND`.

A layer that no kind describes is dense: stored as it is. Kinds compose: on one layer, such as an int8 weight of which a
mask keeps a share; and in each other, such as the two factors of a factorized layer. A package of one's own declares a
kind as an entry point:

    [project.entry-points."combining_compressions.layers"]
    ternary = "my_package.my_layers:KIND"
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from compress.artifact.layers.kind import Kind
from compress.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

ENTRY_POINTS = "combining_compressions.layers"
FLOAT_BITS = 32


@cache
def registry() -> dict[str, Kind]:
    """The kinds by name, in the order in which those of one layer are unpacked: outermost first.

    Raises:
        ConfigError: another package's kind cannot be imported, or is there twice.
    """
    package = import_module("compress.artifact.layers")
    modules = [import_module(f"{package.__name__}.{module.name}") for module in pkgutil.iter_modules(package.__path__)]
    kinds: list[Kind] = [module.KIND for module in modules if hasattr(module, "KIND")]
    kinds += [_loaded(entry) for entry in entry_points(group=ENTRY_POINTS)]
    names = [kind.name for kind in kinds]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"layers stored as {twice[0]}: two packages do it; remove one of them")
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: (kind.order, kind.name))}


def _loaded(entry: EntryPoint) -> Kind:
    try:
        kind: Kind = entry.load()
    except Exception as error:  # whatever another's module raises
        raise ConfigError(
            f"layers stored as {entry.name}: {entry.value} cannot be imported ({type(error).__name__}: {error}); "
            "mend or remove the package"
        ) from error
    return kind


def of(module: nn.Module) -> list[Kind]:
    """The kinds of a layer, outermost first; none if it is dense."""
    return [kind for kind in registry().values() if kind.describes(module)]


def named(name: str) -> Kind:
    """The kind of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in registry():
        raise ValueError(f"stored as {name}, which no module here reads: install the package of the method that did it")
    return registry()[name]


def count(module: nn.Module) -> int:
    """How many of a layer's numbers survive, without the layers in it."""
    numbers = sum(parameter.numel() for parameter in module.parameters(recurse=False))
    for kind in reversed(of(module)):
        numbers = kind.count(module, numbers)
    return numbers


def bits(module: nn.Module) -> int:
    """Of each of a layer's numbers, by the study's rule."""
    return min((kind.bits for kind in of(module) if kind.bits is not None), default=FLOAT_BITS)


def for_onnx(module: nn.Module, as_float: bool) -> nn.Module:
    """A layer as it is to be exported; itself if there is nothing to change."""
    for kind in of(module):
        module = kind.onnx(module, as_float)
    return module
