"""What a checkpoint's folder holds, and the JSON files in it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
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


def checkpoint_files(repository: Repository) -> list[str]:
    """The files of a checkpoint that are read: configuration, weights, tokenizer.

    Raises:
        Lacking: one of them is not there.
    """
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
    """The tokenizer's files.

    Raises:
        Lacking: neither a whole tokenizer nor a vocabulary.
    """
    if not set(repository.names) & set(TOKENIZER_FILES):
        hint = " (transformers makes one of its other files: AutoTokenizer.from_pretrained, then save_pretrained)"
        raise Lacking(f"a tokenizer: {' or '.join(TOKENIZER_FILES)}{hint}")
    return [name for name in (*TOKENIZER_FILES, *TOKENIZER_SETTINGS) if name in repository.names]


def read_json(file: Path, what: str) -> Json:
    """A JSON object in a file.

    Args:
        what: the key and value that messages begin with.

    Raises:
        ConfigError: it cannot be read, or is no object.
    """
    try:
        data = file.read_bytes()
        if data.startswith(POINTER):
            raise ConfigError(f"{what}: {file.name} is a Git LFS pointer, not the file itself; run git lfs pull there")
        values = json.loads(data, parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{what}: {file.name} cannot be read as JSON ({error}); fetch it again") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{what}: {file.name} holds no JSON object; fetch it again")
    return values


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")
