"""Which layers a model has for methods, whatever they have made of it by now."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from compress.model.structure import Structure, is_new, structure

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig


def structure_of(model: nn.Module) -> Structure:
    """The structure of the uncompressed model; refuses one of which it cannot be told."""
    return _structure(cast("PreTrainedConfig", model.config).to_json_string())


def matrices(model: nn.Module) -> dict[str, nn.Linear]:
    """The Linear layers that methods may compress, by module name; where another method has split one, its factors."""
    from torch import nn

    return {
        f"{name}.{inner}".rstrip("."): module
        for name in structure_of(model).matrices
        for inner, module in model.get_submodule(name).named_modules()
        if isinstance(module, nn.Linear)
    }


def new_matrices(model: nn.Module) -> set[str]:
    """Of `matrices` those that no checkpoint brought, while it brought the others."""
    fresh = [name for name in structure_of(model).matrices if is_new(model, name)]
    return {name for name in matrices(model) if any(f"{name}.".startswith(f"{new}.") for new in fresh)}


@lru_cache(maxsize=8)
def _structure(config: str) -> Structure:
    from transformers import AutoConfig

    from compress.model import encoder

    return structure(encoder.empty(AutoConfig.for_model(**json.loads(config))))
