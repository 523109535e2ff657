"""The architecture that a checked config.json describes, as transformers builds it.

Nothing of config.json is used but what decides what is computed: no data type, no code, no other software's settings.
"""

from __future__ import annotations

import copy
import inspect
import json
import re
import sys
from dataclasses import dataclass, fields

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from compress.errors import ConfigError, first_line, nearest
from compress.model.checkpoint_files import ALIASES, COUNTS, PLAIN, RATE, Json, refused

Shapes = dict[str, tuple[int, ...]]  # by name of a parameter

DROPOUT = re.compile(r"^((hidden|attention|attention_probs|embedding|mlp)_)?dropout(_prob)?$")  # not the head's
ACTIVATION = re.compile(r"(^|_)act(ivation)?$")
WITHOUT_EFFECT = re.compile(r"_token_id$|^(use_cache|tie_word_embeddings|gradient_checkpointing)$")
GENERAL = {field.name for field in fields(PreTrainedConfig)} | {"model_type", "torch_dtype", *PLAIN}
ENCODERS: dict[str, str] = {  # the kinds of models that transformers both fills masks and classifies texts with
    kind: name
    for kind, name in modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.items()
    if kind in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
}


def read(described: Json, what: str) -> PreTrainedConfig:
    """The architecture of a checked config.json, an encoder with a classification head; all else in it is left out."""
    kind = described["model_type"]
    if not isinstance(kind, str) or kind not in ENCODERS:
        told = kind if isinstance(kind, str) else json.dumps(kind)
        raise ConfigError(
            f"{what}: its model_type is {told}{nearest(told, ENCODERS)}; must be of {', '.join(sorted(ENCODERS))}"
        )
    try:
        config = _configured(CONFIG_MAPPING[kind], described, what)
    except ConfigError:
        raise
    except Exception as error:  # of any class: over values that make no sense
        named = re.search(r"field '(\w+)'", str(error))
        if named and named[1] in described:
            allowed = f"of the type that {kind} has for it"
            raise refused(what, named[1], described[named[1]], allowed) from error
        raise ConfigError(
            f"{what}: no {kind} can be built by its config.json ({first_line(error)[:160]}); fetch it again"
        ) from error
    if config.is_encoder_decoder:
        raise ConfigError(f"{what}: its model_type is {kind}, an encoder with a decoder; must be an encoder alone")
    return config


def _configured(family: type[PreTrainedConfig], described: Json, what: str) -> PreTrainedConfig:
    """Of a config.json what its class declares, and what the model looks for besides (DeBERTa: `position_buckets`)."""
    declared = {field.name: field.default for field in fields(family) if field.name not in GENERAL}
    given = {name: value for name, value in described.items() if not (name in GENERAL or WITHOUT_EFFECT.search(name))}
    given |= {name: float(value) for name, value in given.items() if RATE.search(name) and value is not None}
    for name, default in declared.items():
        if name in COUNTS and name not in given:
            raise refused(what, name, None, "a whole number above 0")
        if name == "type_vocab_size" and given[name] == 0 != default:
            raise refused(what, name, 0, "a whole number above 0")
        if ACTIVATION.search(name) and isinstance(given.get(name), str) and given[name] not in ACT2FN:
            raise refused(what, name, given[name], f"of {', '.join(ACT2FN)}")
    padding = described.get("pad_token_id", family.pad_token_id)
    if not (isinstance(padding, int) and 0 <= padding < given.get("vocab_size", 1)):
        padding = 0  # the tokenizer tells it in the end
    given["pad_token_id"] = padding
    translated = family(**given)  # older names into today's
    kept = {name: getattr(translated, name) for name in declared if not WITHOUT_EFFECT.search(name)}
    kept["pad_token_id"] = given["pad_token_id"]
    while more := {name: given[name] for name in _looked_for(family, kept) if name in given}:
        kept |= more
    return family(**kept)


def _looked_for(family: type[PreTrainedConfig], values: Json) -> set[str]:
    """Names that a model asks its configuration for in vain when it is built."""
    missing: set[str] = set()

    def miss(config: PreTrainedConfig, name: str) -> None:
        missing.add(name)
        raise AttributeError(name)

    config = type(family.__name__, (family,), {"__getattr__": miss})(**values)
    missing.clear()
    on_meta(config)
    return missing


def with_first_layers(config: PreTrainedConfig, count: int, what: str) -> PreTrainedConfig:
    """The architecture with no more than its first `count` layers; what it lists for each layer is cut likewise."""
    key = next((name for name in ALIASES["layers"] if name in vars(config)), None)
    if key is None:
        raise ConfigError(f"{what}: {config.model_type} does not count its layers one by one; give no first_layers")
    every = getattr(config, key)
    listed = {name: value[:count] for name, value in vars(config).items() if isinstance(value, list)
              and len(value) == every and name not in GENERAL}  # fmt: skip
    cut = copy.deepcopy(config)
    for name, value in {**listed, key: count}.items():
        setattr(cut, name, value)
    return cut


def class_of(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The classifier of an architecture."""
    classifier: type[PreTrainedModel] = getattr(transformers, ENCODERS[config.model_type])
    return classifier


def on_meta(config: PreTrainedConfig) -> PreTrainedModel:
    """A classifier whose tensors have shapes and no values."""
    with torch.device("meta"):
        return class_of(config)(config)


@dataclass(frozen=True)
class Layout:
    """The parameters of a classifier, by name."""

    base: str  # what stands before the encoder's names: `bert.`
    words: str  # the word embeddings' matrix, without that
    encoder: Shapes
    pooler: Shapes  # what makes one vector of the encoder's output, the base model's or the head's own
    head: Shapes  # the layer with the outputs
    buffers: frozenset[str]  # of the encoder, without `base`: arithmetic, not weights


def layout(config: PreTrainedConfig) -> Layout:
    """Where parameters belong: the head's shapes follow the number of labels, a base model's pooler can be left out."""
    model, base = on_meta(config), f"{class_of(config).base_model_prefix}."
    wider = copy.deepcopy(config)
    wider.num_labels = config.num_labels + 1
    shapes, others = _shapes(model), _shapes(on_meta(wider))
    head = {name: shape for name, shape in shapes.items() if others[name] != shape}
    alone = model.base_model
    if "add_pooling_layer" in inspect.signature(type(alone).__init__).parameters:
        with torch.device("meta"):
            alone = type(alone)(alone.config, add_pooling_layer=False)
    bare = {base + name for name, _ in alone.named_parameters()}
    encoder = {name: shape for name, shape in shapes.items() if name in bare}
    pooler = {name: shape for name, shape in shapes.items() if name not in head and name not in bare}
    embeddings = model.get_input_embeddings()
    words = next(name for name, module in model.base_model.named_modules() if module is embeddings)
    buffers = frozenset(name for name, _ in model.base_model.named_buffers())
    return Layout(base, f"{words}.weight", encoder, pooler, head, buffers)


def _shapes(model: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in model.named_parameters()}


def longest(config: PreTrainedConfig) -> int:
    """Tokens of the longest sequence that a model takes; without a limit that it would state, `sys.maxsize`.

    RoBERTa counts positions from behind its padding's id on, and marks that row of its position embeddings.
    """
    rows = getattr(config, "max_position_embeddings", None)
    if not isinstance(rows, int):
        return sys.maxsize
    model = on_meta(config)
    words = model.get_input_embeddings()
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding) and module is not words]
    marked = (table.padding_idx for table in tables if table.num_embeddings == rows and table.padding_idx is not None)
    return rows - next((padding + 1 for padding in marked), 0)
