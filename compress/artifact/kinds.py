"""Which kinds of stored layers there are: one for each module of `compress.artifact.layers` that declares a `KIND`.

A layer that no kind describes is dense: stored as it is. Kinds compose: on one layer, such as an int8 weight of which a
mask keeps a share; and in each other, such as the two factors of a factorized layer. A package of one's own declares a
kind as an entry point of the group `combining_compressions.layers`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

from compress.artifact.layers.kind import Kind
from compress.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")


def declared(kind: type[T], package: str, name: str, group: str, told: str) -> Iterator[T]:
    """What a package's modules have under a name, then other packages' entry points, `told` in messages."""
    for found in pkgutil.iter_modules(import_module(package).__path__):
        module = import_module(f"{package}.{found.name}")
        if hasattr(module, name):
            yield getattr(module, name)
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.value):
        where = told.format(name=entry.name, value=entry.value, package=entry.dist.name if entry.dist else "unknown")
        try:
            value = entry.load()
        except Exception as error:  # whatever another's module raises
            raise ConfigError(
                f"{where} cannot be imported ({type(error).__name__}: {error}); mend or remove the package"
            ) from error
        if not isinstance(value, kind):
            raise ConfigError(f"{where} is a {type(value).__name__}, not a {kind.__module__}.{kind.__name__}")
        yield value


@cache
def registry() -> dict[str, Kind]:
    """The kinds by name, in the order in which those of one layer are unpacked: outermost first."""
    named: dict[str, Kind] = {}
    told = "layers stored as {name}: {value}"
    for kind in declared(Kind, "compress.artifact.layers", "KIND", "combining_compressions.layers", told):
        if kind.name in named:
            raise ConfigError(f"layers stored as {kind.name}: two packages do it; remove one of them")
        named[kind.name] = kind
    return dict(sorted(named.items(), key=lambda entry: (entry[1].order, entry[0])))


def of(module: nn.Module) -> list[Kind]:
    """The kinds of a layer, outermost first; none if it is dense."""
    return [kind for kind in registry().values() if kind.describes(module)]


def bits(model: nn.Module) -> int | None:
    """Of the numbers of a model's narrowest layers; None if all are float32."""
    return min((kind.bits for module in model.modules() for kind in of(module) if kind.bits is not None), default=None)


def named(name: str) -> Kind:
    """The kind of that name; ValueError if there is none."""
    if name not in registry():
        raise ValueError(f"stored as {name}, which no module here reads: install the package of the method that did it")
    return registry()[name]
