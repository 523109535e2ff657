"""The model: BERT with a classification head, from a checkpoint or from scratch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from compress.checked import checked
from compress.errors import ConfigError
from compress.model.pretrained import (
    HEAD,
    POOLER,
    check_finite,
    check_fit,
    checkpoint_files,
    read_json,
    read_weights,
    tokenizer_files,
)
from compress.model.tokenizer import check_types
from compress.storage.hub import SECONDS, Choose, Snapshot, digest_files, local_folder, looks_like_path, quiet, snapshot
from compress.storage.names import check_name

if TYPE_CHECKING:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerBase

    from compress.task.config import TaskConfig

CHECKPOINT_SUFFIXES = (".json", ".txt", ".safetensors", ".bin")
ARCHITECTURE = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "intermediate": "intermediate_size",
    "positions": "max_position_embeddings",
}
SHAPE = (*ARCHITECTURE.values(), "vocab_size", "type_vocab_size")  # what a config.json must say
PLAIN = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False, "auto_map": None}
RATES = (  # from 0 to below 1; with SHAPE and the activation all of a config.json that decides what is computed
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "layer_norm_eps",
    "initializer_range",
)


@checked
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


@plain_dataclass(frozen=True)
class Start:
    """What a training starts from; a result tells it.

    Attributes:
        checkpoint: folder or hub name; None from scratch.
        commit: of the repository on the hub.
        sha256: over the files that were read.
        new: parts whose weights are drawn: `all`, or of `head`, `pooler`.
        prefix: what stood before the names of the checkpoint's tensors.
        unused: names of tensors that have no place here, of other heads.
        notes: what a reader of the result should know of it.
    """

    checkpoint: str | None
    commit: str | None
    sha256: str | None
    new: list[str]
    prefix: str
    unused: list[str]
    notes: list[str]


FROM_SCRATCH = Start(None, None, None, ["all"], "", [], [])


def label(model: ModelConfig) -> str:
    """The name under which results are filed: the configured one, else the checkpoint's own."""
    return model.name or (_own_name(model.pretrained) if model.pretrained else "scratch")


def _own_name(reference: str) -> str:
    """The last part of a hub name, or that of a folder, also one given as `.` or `..`."""
    folder = local_folder(reference)
    return folder.resolve().name if folder and not folder.name.strip(".") else Path(reference).name


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
    check_name("model.name", label(model), "model.name=NAME")
    for key in ("pretrained", "tokenizer"):
        _check_reference(
            f"model.{key}", getattr(model, key), checkpoint_files if key == "pretrained" else tokenizer_files
        )
    if folder := local_folder(model.pretrained):
        check_architecture(model, _what(model), read_json(folder / "config.json", _what(model)), max_length)


def _what(model: ModelConfig) -> str:
    """What messages call the checkpoint."""
    return f"model.pretrained={model.pretrained}"


def _check_reference(key: str, reference: str | None, choose: Choose) -> None:
    """Refuse a path that leads nowhere, and a folder without what it needs."""
    if reference is None:
        return
    if not reference:
        raise ConfigError(f"{key}=: no folder here and no name on the hub; give one of them, or null")
    if local_folder(reference):
        snapshot(key, reference, None, choose)
    elif looks_like_path(reference):
        raise ConfigError(
            f"{key}={reference}: no such folder that you may enter; give a checkpoint's folder or its name on the hub"
        )


def check_architecture(model: ModelConfig, what: str, found: Mapping[str, Any], max_length: int) -> None:
    """Refuse a checkpoint that is no plain BERT encoder, or not the one that the configuration says.

    Args:
        what: the key and value that messages begin with.
        found: its config.json.

    Raises:
        ConfigError: with the key, its value and the fix.
    """
    if (kind := found.get("model_type", "bert")) != "bert":
        raise ConfigError(
            f"{what}: its model_type is {kind if isinstance(kind, str) else json.dumps(kind)}; must be bert"
        )
    for name in SHAPE:
        value = found.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(
                f"{what}: {name} in its config.json is {json.dumps(value)}; must be a whole number above 0"
            )
    hidden, heads = found["hidden_size"], found["num_attention_heads"]
    if hidden % heads:
        raise ConfigError(
            f"{what}: num_attention_heads in its config.json is {heads}; must divide hidden_size, {hidden}"
        )
    for name in RATES:
        value = found.get(name, 0)
        if not _is_rate(value) and not (name == "classifier_dropout" and value is None):
            raise ConfigError(
                f"{what}: {name} in its config.json is {json.dumps(value)}; must be a number from 0 to below 1"
            )
    for name, plain in PLAIN.items():
        if found.get(name, plain) != plain:
            raise ConfigError(
                f"{what}: {name} in its config.json is {json.dumps(found[name])}; must be {json.dumps(plain)}"
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
            f"data.max_length={max_length}: the longest that {model.pretrained} takes is "
            f"{found['max_position_embeddings']}; must be at most that"
        )


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


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


def build_tokenizer(model: ModelConfig, seconds: float = SECONDS) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, or the configured one for a model from scratch.

    Args:
        seconds: see `hub.snapshot`.

    Raises:
        ConfigError: it cannot be had, or its files do not fit each other.
    """
    from compress.model import tokenizer

    if model.pretrained:
        return tokenizer.build(fetch(model, seconds).folder, _what(model))
    assert model.tokenizer, "check() lets no model without a vocabulary through"
    key = "model.tokenizer"
    folder = snapshot(key, model.tokenizer, "main", tokenizer_files, seconds=seconds).folder
    return tokenizer.build(folder, f"{key}={model.tokenizer}")


def fetch(model: ModelConfig, seconds: float = SECONDS) -> Snapshot:
    """The checkpoint's folder, all of it there."""
    assert model.pretrained, "from scratch there is none"
    return snapshot("model.pretrained", model.pretrained, model.revision, checkpoint_files, seconds=seconds)


def build(
    model: ModelConfig, task: TaskConfig, vocabulary: int, padding: int, seconds: float = SECONDS
) -> tuple[BertForSequenceClassification, Start]:
    """BERT with a head for the task, in float32, and what it starts from; new weights are drawn from torch's generator.

    Args:
        vocabulary: rows of the word embeddings of a model from scratch.
        padding: id of the padding token.
        seconds: see `hub.snapshot`.

    Raises:
        ConfigError: the checkpoint cannot be had, is damaged, or is not all there.
    """
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
    settings["pad_token_id"] = padding
    if model.pretrained is None:
        settings |= {theirs: getattr(model, ours) for ours, theirs in ARCHITECTURE.items()}
        return BertForSequenceClassification(BertConfig(vocab_size=vocabulary, **settings)), FROM_SCRATCH
    return _from_checkpoint(model, task, settings, fetch(model, seconds))


def _from_checkpoint(
    model: ModelConfig, task: TaskConfig, settings: Mapping[str, Any], source: Snapshot
) -> tuple[BertForSequenceClassification, Start]:
    what = _what(model)
    found = read_json(source.folder / "config.json", what)
    check_architecture(model, what, found, max_length=0)
    check_types(task, found["type_vocab_size"], what)
    weights = read_weights(source.folder, what)
    config = _config(found, settings, what)
    check_fit(weights.tensors, _encoder_shapes(config), what)
    fits = POOLER[0] in weights.tensors and head_fits(weights.head, class_names(found), task, config.hidden_size)
    check_finite(weights.head if fits else {}, what)
    state = {f"bert.{name}": value for name, value in weights.tensors.items()} | (weights.head if fits else {})
    new = ([] if fits else ["head"]) + ([] if POOLER[0] in weights.tensors else ["pooler"])
    notes = [source.note] if source.note else []
    notes += ["the head is the checkpoint's, whose labels are the task's"] if fits else []
    notes += ["the pooler is new: the checkpoint has none"] if "pooler" in new else []
    digest = digest_files([source.folder / file for file in source.files])
    unused = weights.unused + ([] if fits else sorted(weights.head))
    start = Start(model.pretrained, source.commit, digest, new, weights.prefix, unused, notes)
    return _loaded(config, state, new, what), start


def _config(found: Mapping[str, Any], settings: Mapping[str, Any], what: str) -> BertConfig:
    """The architecture of a checked config.json with the task's head; all else that it says is left out."""
    from transformers import BertConfig
    from transformers.activations import ACT2FN

    activation, rows, padding = found.get("hidden_act", "gelu"), found["vocab_size"], settings["pad_token_id"]
    if not isinstance(activation, str) or activation not in ACT2FN:
        shown = json.dumps(activation)
        raise ConfigError(f"{what}: hidden_act in its config.json is {shown}; must be of {', '.join(ACT2FN)}")
    if padding >= rows:
        raise ConfigError(
            f"{what}: its tokenizer's padding has the number {padding}, its word embeddings {rows} rows; "
            "give the tokenizer that belongs to these weights"
        )
    kept: dict[str, Any] = {name: found[name] for name in SHAPE} | {"hidden_act": activation}
    kept |= {name: float(found[name]) for name in RATES if found.get(name) is not None}
    return BertConfig(**(kept | dict(settings)))


def _encoder_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of all weights of the encoder and the pooler."""
    import torch
    from transformers import BertModel

    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in BertModel(config).named_parameters()}


def class_names(found: Mapping[str, Any]) -> list[str]:
    """The names of a checkpoint's classes in the order of its outputs; none where config.json is not clear on them."""
    names, numbers = found.get("id2label"), found.get("label2id")
    if not isinstance(names, dict) or names.keys() != {str(number) for number in range(len(names))}:
        return []
    ordered = [str(names[str(number)]) for number in range(len(names))]
    others = numbers if isinstance(numbers, dict) else {}
    contradicts = any(others.get(name, number) != number for number, name in enumerate(ordered))
    return [] if contradicts else ordered


def head_fits(head: Mapping[str, torch.Tensor], names: Sequence[str], task: TaskConfig, hidden: int) -> bool:
    """Whether a checkpoint's head is one for the task: as many outputs, and for the very labels in their order."""
    ours = task.labels or ["score"]
    return (
        [name.lower() for name in names] == [label.lower() for label in ours]
        and len(head) == 2
        and tuple(head["classifier.weight"].shape) == (len(ours), hidden)
        and tuple(head["classifier.bias"].shape) == (len(ours),)
    )


def _loaded(
    config: BertConfig, state: Mapping[str, torch.Tensor], new: Sequence[str], what: str
) -> BertForSequenceClassification:
    """The model with these weights, float32; of the rest only what is meant to be new is drawn."""
    import torch
    from transformers import BertForSequenceClassification

    with quiet():
        model, loading = BertForSequenceClassification.from_pretrained(
            None, config=config, state_dict=dict(state), dtype=torch.float32, output_loading_info=True
        )
    meant = {f"bert.{name}" for name in POOLER if "pooler" in new} | {name for name in HEAD if "head" in new}
    if set(loading.pop("missing_keys")) != meant or any(loading.values()):
        raise ConfigError(f"{what}: its weights were not loaded as they should be ({loading}); please report this")
    return model


def parts(names: Iterable[str]) -> dict[str, list[str]]:
    """Parameter names by part: embeddings, encoder, head (pooler and classifier)."""
    found: dict[str, list[str]] = {"embeddings": [], "encoder": [], "head": []}
    for name in names:
        part = next((part for part in ("embeddings", "encoder") if f".{part}." in name), "head")
        found[part].append(name)
    return found
