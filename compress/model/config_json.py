"""What a checkpoint's config.json says of its architecture, checked without transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from compress.errors import ConfigError
from compress.model.checkpoint_files import Json

ASSUMED = "bert"  # of a config.json without model_type: the first repositories of BERT have none
ALIASES = {  # keys of the configuration -> what families call them in config.json
    "layers": ("num_hidden_layers", "n_layers"),
    "hidden": ("hidden_size", "dim", "emb_dim"),
    "heads": ("num_attention_heads", "n_heads"),
    "intermediate": ("intermediate_size", "hidden_dim"),
    "positions": ("max_position_embeddings",),
}
COUNTS = (*(name for names in ALIASES.values() for name in names), "vocab_size", "type_vocab_size", "embedding_size")
PLAIN = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False, "auto_map": None}
RATE = re.compile(r"dropout(_prob)?$|(^|_)eps$|^initializer_range$")  # from 0 to below 1


def sizes(described: Json) -> dict[str, int]:
    """The sizes in a config.json, by our keys; those that it does not say, or calls otherwise, are left out."""
    named = {ours: next((name for name in names if name in described), None) for ours, names in ALIASES.items()}
    return {ours: described[name] for ours, name in named.items() if name}


def check_described(
    asked: Mapping[str, int | None], reference: str, described: Json, max_length: int, what: str
) -> None:
    """Refuse a config.json with values that cannot be, or that is not of the architecture that is asked for.

    Args:
        asked: sizes that the configuration names, by its keys.
        reference: the checkpoint.
        what: the key and value that messages begin with.

    Raises:
        ConfigError: with the key, its value and the fix.
    """
    for name, value in described.items():
        if allowed := _allowed(name, value):
            raise refused(what, name, value, allowed)
    stated = sizes(described)
    if stated.get("hidden", 0) % (heads := stated.get("heads", 1)):
        raise ConfigError(
            f"{what}: num_attention_heads in its config.json is {heads}; must divide hidden_size, {stated['hidden']}"
        )
    for ours, number in asked.items():
        if number is not None and number != stated.get(ours, number):
            raise ConfigError(
                f"model.{ours}={number}: the checkpoint {reference} has {stated[ours]}; "
                "model=pretrained takes the architecture from the checkpoint"
            )
    check_length(max_length, stated.get("positions", max_length), reference)


def check_length(max_length: int, longest: int, reference: str) -> None:
    """Refuse texts that may be longer than what a checkpoint takes.

    Raises:
        ConfigError: with the key, its value and the fix.
    """
    if max_length > longest:
        raise ConfigError(
            f"data.max_length={max_length}: the longest that {reference} takes is {longest}; must be at most that"
        )


def _allowed(name: str, value: object) -> str | None:
    """What a value of config.json must be, where it is not."""
    if name in COUNTS and not _is_count(value, 0 if name == "type_vocab_size" else 1):
        return "a whole number above 0"
    if RATE.search(name) and not _is_rate(value) and not (name.startswith("classifier") and value is None):
        return "a number from 0 to below 1"
    return json.dumps(PLAIN[name]) if PLAIN.get(name, value) != value else None


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def refused(what: str, name: str, value: object, allowed: str) -> ConfigError:
    """The error that names a value of config.json and what it must be."""
    return ConfigError(f"{what}: {name} in its config.json is {json.dumps(value)}; must be {allowed}")
