"""The model: BERT with a classification head, from a checkpoint or from scratch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError
from compress.hub import digest_files, hub_errors, local_folder, located, looks_like_path, quiet

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification, PreTrainedTokenizerBase

    from compress.task import TaskConfig

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
CHECKPOINT_SUFFIXES = (".json", ".txt", ".safetensors", ".bin")
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
ARCHITECTURE = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "intermediate": "intermediate_size",
    "positions": "max_position_embeddings",
}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class ModelConfig:
    """The size of BERT and the checkpoint to start from."""

    name: str | None = Field(description="what results call it; null: the checkpoint's own name")
    pretrained: str | None = Field(description="checkpoint: folder or hub name; null: from scratch")
    revision: str = Field(description="the checkpoint's revision on the hub")
    tokenizer: str | None = Field(description="vocabulary to use from scratch: folder or hub name")
    layers: int | None = Field(description="transformer layers", ge=1)
    hidden: int | None = Field(description="width", ge=1)
    heads: int | None = Field(description="attention heads; divide the width", ge=1)
    intermediate: int | None = Field(description="width of the feed-forward layers", ge=1)
    positions: int | None = Field(description="longest sequence in tokens", ge=8)
    dropout: float | None = Field(description="of hidden states and attention; null: the checkpoint's", ge=0, lt=1)
    initializer_range: float | None = Field(description="standard deviation of new weights", gt=0)
    learning_rate: float = Field(description="of this size; train.learning_rate is it by default", gt=0)


def label(model: ModelConfig) -> str:
    """The name under which results are filed: the configured one, else the checkpoint's own."""
    return model.name or Path(model.pretrained or "scratch").name


def check(model: ModelConfig, max_length: int, builds_vocabulary: bool) -> None:
    """Refuse what cannot be built: no checkpoint and no architecture, a broken folder, another architecture.

    Raises:
        ConfigError: with the key, its value and the fix.
    """
    if model.pretrained is None:
        for key in (*ARCHITECTURE, "dropout", "initializer_range"):
            if getattr(model, key) is None:
                raise ConfigError(
                    f"model.pretrained=null: nothing to start from, and model.{key} is null; "
                    "give a checkpoint (folder or hub name), or choose a size: model=tiny model.pretrained=null"
                )
        if model.tokenizer is None and not builds_vocabulary:
            raise ConfigError("model.tokenizer=null: from scratch needs a vocabulary; give a folder or a hub name")
    if model.hidden and model.heads and model.hidden % model.heads:
        raise ConfigError(f"model.heads={model.heads}: must divide model.hidden={model.hidden}")
    if model.positions and max_length > model.positions:
        raise ConfigError(f"data.max_length={max_length}: must be at most model.positions={model.positions}")
    for key in ("pretrained", "tokenizer"):
        _check_reference(f"model.{key}", getattr(model, key), weights=key == "pretrained")
    if folder := local_folder(model.pretrained):
        _check_architecture(model, json.loads((folder / "config.json").read_text()), max_length)


def _check_reference(key: str, reference: str | None, *, weights: bool) -> None:
    folder = local_folder(reference)
    if reference and folder is None and looks_like_path(reference):
        raise ConfigError(f"{key}={reference}: no such folder; give a checkpoint's folder or its name on the hub")
    if folder:
        wanted = [("config.json",), WEIGHT_FILES, TOKENIZER_FILES] if weights else [TOKENIZER_FILES]
        for names in wanted:
            if not any((folder / name).is_file() for name in names):
                raise ConfigError(f"{key}={reference}: the folder lacks {' or '.join(names)}")


def _check_architecture(model: ModelConfig, found: dict[str, Any], max_length: int) -> None:
    if found.get("model_type") != "bert":
        raise ConfigError(
            f"model.pretrained={model.pretrained}: its model_type is {found.get('model_type')}; must be bert"
        )
    for ours, theirs in ARCHITECTURE.items():
        asked = getattr(model, ours)
        if asked is not None and asked != found[theirs]:
            raise ConfigError(
                f"model.{ours}={asked}: the checkpoint {model.pretrained} has {found[theirs]}; "
                "model=pretrained takes the architecture from the checkpoint"
            )
    if max_length > found["max_position_embeddings"]:
        raise ConfigError(
            f"data.max_length={max_length}: must be at most {found['max_position_embeddings']}, "
            f"the longest that {model.pretrained} takes"
        )


def identity(model: ModelConfig, builds_vocabulary: bool) -> dict[str, Any]:
    """What of the model decides a result: folders count by their contents, not by where they lie.

    The learning rate of a size works only through train.learning_rate, which has it already.
    """
    folder, vocabulary = local_folder(model.pretrained), local_folder(model.tokenizer)
    known = asdict(model) | {"name": label(model)}
    del known["learning_rate"]
    if folder:
        files = [file for file in folder.iterdir() if file.is_file() and file.suffix in CHECKPOINT_SUFFIXES]
        known |= {"pretrained": digest_files(files), "revision": None}
    if model.pretrained or builds_vocabulary:
        known["tokenizer"] = None
    elif vocabulary:
        known["tokenizer"] = digest_files(
            [file for file in vocabulary.iterdir() if file.name.startswith(("vocab", "tokenizer"))]
        )
    if not model.pretrained:
        known["revision"] = None
    return known


def build_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, or the configured one for a model from scratch."""
    from transformers import AutoTokenizer

    folder = None if model.pretrained else local_folder(model.tokenizer)
    if folder and not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return _from_vocabulary(folder / "vocab.txt")
    if model.pretrained:
        key, reference, revision = "model.pretrained", model.pretrained, model.revision
    else:
        assert model.tokenizer, "check() lets no model without a vocabulary through"
        key, reference, revision = "model.tokenizer", model.tokenizer, "main"
    with hub_errors(key, reference):
        return AutoTokenizer.from_pretrained(located(reference), revision=revision)


def _from_vocabulary(file: Path) -> PreTrainedTokenizerBase:
    """BERT's tokenizer with a bare vocabulary; it keeps capitals if the vocabulary has any."""
    from transformers import BertTokenizerFast

    tokens = file.read_text(encoding="utf-8").splitlines()
    lower = all(token == token.lower() for token in tokens if not token.startswith("["))
    return BertTokenizerFast(vocab={token: index for index, token in enumerate(tokens)}, do_lower_case=lower)


def build(model: ModelConfig, task: TaskConfig, vocabulary: int, padding: int) -> BertForSequenceClassification:
    """BERT with a new head for the task, in float32; new weights are drawn from torch's global generator.

    Args:
        vocabulary: rows of the word embeddings of a model from scratch.
        padding: id of the padding token.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    settings: dict[str, Any] = {
        "num_labels": task.outputs,
        "id2label": dict(enumerate(task.labels or ["score"])),
        "label2id": {name: index for index, name in enumerate(task.labels or ["score"])},
        "problem_type": "regression" if task.regression else "single_label_classification",
    }
    if model.dropout is not None:
        settings |= {"hidden_dropout_prob": model.dropout, "attention_probs_dropout_prob": model.dropout}
    if model.initializer_range is not None:
        settings |= {"initializer_range": model.initializer_range}
    if model.pretrained is None:
        settings |= {theirs: getattr(model, ours) for ours, theirs in ARCHITECTURE.items()}
        return BertForSequenceClassification(BertConfig(vocab_size=vocabulary, pad_token_id=padding, **settings))
    with hub_errors("model.pretrained", model.pretrained), quiet():
        reference = located(model.pretrained)
        config = BertConfig.from_pretrained(reference, revision=model.revision, **settings)
        _check_architecture(model, config.to_dict(), max_length=0)
        return BertForSequenceClassification.from_pretrained(
            reference, revision=model.revision, config=config, dtype=torch.float32
        )


def parts(names: Iterable[str]) -> dict[str, list[str]]:
    """Parameter names by part: embeddings, encoder, head (pooler and classifier)."""
    found: dict[str, list[str]] = {"embeddings": [], "encoder": [], "head": []}
    for name in names:
        part = next((part for part in ("embeddings", "encoder") if f".{part}." in name), "head")
        found[part].append(name)
    return found
