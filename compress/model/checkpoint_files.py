"""What a checkpoint's folder holds, and what its config.json says of the architecture, checked without transformers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from compress.errors import ConfigError
from compress.storage.repositories import POINTER, Lacking, Repository

Json = dict[str, Any]  # an object in a JSON file

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.(safetensors|bin)")

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


def checkpoint_files(repository: Repository) -> list[str]:
    """The files of a checkpoint that are read: configuration, weights, tokenizer; Lacking if one is not there."""
    if "config.json" not in repository.names:
        hint = " (its bert_config.json must be called so)" if "bert_config.json" in repository.names else ""
        raise Lacking(f"config.json{hint}")
    return ["config.json", *weight_files(repository.names), *tokenizer_files(repository)]


def weight_files(names: Collection[str]) -> list[str]:
    """The one file with all weights, or the index with all shards; safetensors rather than pickles."""
    first = next((name for name in WEIGHT_FILES if name in names), None)
    if first is None:
        raise Lacking("weights: " + " or ".join(WEIGHT_FILES[::2]))
    if not first.endswith(".index.json"):
        return [first]
    stem, suffix = first.removesuffix(".index.json").rsplit(".", 1)
    shards = {name: SHARD.fullmatch(name) for name in names}
    present = sorted(name for name, shard in shards.items() if shard and (shard[1], shard[4]) == (stem, suffix))
    count = int(shards[present[0]][3]) if present else 1  # type: ignore[index]
    expected = [f"{stem}-{number:05}-of-{count:05}.{suffix}" for number in range(1, count + 1)]
    if missing := [name for name in expected if name not in present]:
        raise Lacking(f"the shard {missing[0]} of its weights")
    return [first, *present]


def tokenizer_files(repository: Repository) -> list[str]:
    """The tokenizer's files; Lacking without a whole tokenizer or a vocabulary."""
    if not set(repository.names) & set(TOKENIZER_FILES):
        hint = " (transformers makes one of its other files: AutoTokenizer.from_pretrained, then save_pretrained)"
        raise Lacking(f"a tokenizer: {' or '.join(TOKENIZER_FILES)}{hint}")
    return [name for name in (*TOKENIZER_FILES, *TOKENIZER_SETTINGS) if name in repository.names]


def check_fetched(file: Path, what: str) -> None:
    """Refuse what Git LFS leaves in place of a file."""
    with file.open("rb") as stream:
        if stream.read(len(POINTER)) == POINTER:
            raise ConfigError(f"{what}: {file.name} is a Git LFS pointer, not the file itself; run git lfs pull there")


def read_json(file: Path, what: str) -> Json:
    """A JSON object in a file; `what` is the key and value that messages begin with, here and in this folder."""
    try:
        check_fetched(file, what)
        values = json.loads(file.read_bytes(), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{what}: {file.name} cannot be read as JSON ({error}); fetch it again") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{what}: {file.name} holds no JSON object; fetch it again")
    return values


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def sizes(described: Json) -> dict[str, int]:
    """The sizes in a config.json, by our keys; those that it does not say, or calls otherwise, are left out."""
    named = {ours: next((name for name in names if name in described), None) for ours, names in ALIASES.items()}
    return {ours: described[name] for ours, name in named.items() if name}


def check_described(
    asked: Mapping[str, int | None], reference: str, described: Json, max_length: int, what: str
) -> None:
    """Refuse a config.json with values that cannot be, or of other sizes than those asked for, by our keys."""
    for name, value in described.items():
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        if name in COUNTS and not (isinstance(number, int) and number >= (name != "type_vocab_size")):
            raise refused(what, name, value, "a whole number above 0")
        if RATE.search(name) and not 0 <= number < 1 and not (name.startswith("classifier") and value is None):
            raise refused(what, name, value, "a number from 0 to below 1")
        if name in PLAIN and value != PLAIN[name]:
            raise refused(what, name, value, json.dumps(PLAIN[name]))
    stated = sizes(described)
    if stated.get("hidden", 0) % (heads := stated.get("heads", 1)):
        raise ConfigError(
            f"{what}: num_attention_heads in its config.json is {heads}; must divide hidden_size, {stated['hidden']}"
        )
    for ours, size in asked.items():
        if size is not None and size != stated.get(ours, size):
            raise ConfigError(
                f"model.{ours}={size}: the checkpoint {reference} has {stated[ours]}; "
                "model=pretrained takes the architecture from the checkpoint"
            )
    check_length(max_length, stated.get("positions", max_length), reference)


def check_first_layers(count: int | None, described: Json, reference: str) -> None:
    """Refuse to keep more layers than a checkpoint has."""
    layers = sizes(described).get("layers")
    if count is not None and layers is not None and count > layers:
        raise ConfigError(
            f"model.first_layers={count}: the checkpoint {reference} has {layers}; must be from 1 to {layers}, "
            "or null for all of them"
        )


def check_length(max_length: int, longest: int, reference: str) -> None:
    """Refuse texts that may be longer than what a checkpoint takes."""
    if max_length > longest:
        raise ConfigError(
            f"data.max_length={max_length}: the longest that {reference} takes is {longest}; must be at most that"
        )


def refused(what: str, name: str, value: object, allowed: str) -> ConfigError:
    """The error that names a value of config.json and what it must be."""
    return ConfigError(f"{what}: {name} in its config.json is {json.dumps(value)}; must be {allowed}")
