"""The structure of the uncompressed model that a model was before methods replaced its layers."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from compress.model.structure import Structure, structure

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig


def structure_of(model: nn.Module) -> Structure:
    """The structure of the uncompressed model, whatever methods have made of it by now.

    Raises:
        ConfigError: it cannot be told.
    """
    return _structure(cast("PreTrainedConfig", model.config).to_json_string())


@lru_cache(maxsize=8)
def _structure(config: str) -> Structure:
    from transformers import AutoConfig

    from compress.model import encoder

    return structure(encoder.empty(AutoConfig.for_model(**json.loads(config))))
