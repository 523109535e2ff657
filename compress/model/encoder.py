"""The model: an encoder with a classification head, from a checkpoint, or a BERT from scratch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from compress.checked import checked
from compress.errors import ConfigError
from compress.model.checkpoint_files import (
    ALIASES,
    ASSUMED,
    Json,
    check_described,
    check_first_layers,
    check_length,
    checkpoint_files,
    read_json,
    tokenizer_files,
)
from compress.model.pretrained import check_finite, check_fit, first_layers_of, read_weights
from compress.storage.digests import digest_files
from compress.storage.hub import SECONDS, quiet, snapshot
from compress.storage.repositories import Snapshot, local_folder, looks_like_path
from compress.storage.surroundings import check_name
from compress.wording import plural

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from compress.task.config import TaskConfig

CHECKPOINT_SUFFIXES = (".json", ".txt", ".safetensors", ".bin")
ARCHITECTURE = {ours: names[0] for ours, names in ALIASES.items()}  # what BERT calls our sizes


@checked
class ModelConfig:
    """The checkpoint to start from, of any encoder, or the size of a BERT from scratch."""

    name: str | None = Field(description="name in folders and results; null: the checkpoint's own")
    pretrained: str | None = Field(description="checkpoint, a folder or a hub name; null: train from scratch")
    type: str | None = Field(default=None, description="the checkpoint's model_type; null: read from its config.json")
    revision: str = Field(description="branch, tag or commit of the checkpoint on the hub")
    tokenizer: str | None = Field(description="tokenizer of a model from scratch, a folder or a hub name")
    layers: int | None = Field(description="number of transformer layers", ge=1)
    first_layers: int | None = Field(
        default=None, description="keep only this many of the checkpoint's first layers; null: all", ge=1
    )
    hidden: int | None = Field(description="width of the hidden states", ge=1)
    heads: int | None = Field(description="number of attention heads; must divide the width", ge=1)
    intermediate: int | None = Field(description="width of the feed-forward layers", ge=1)
    positions: int | None = Field(description="longest sequence, in tokens", ge=8)
    dropout: float | None = Field(
        description="dropout of hidden states and attention; null: the checkpoint's", ge=0, lt=1
    )
    initializer_range: float | None = Field(description="standard deviation of new weights", gt=0)
    learning_rate: float = Field(description="the default of train.learning_rate for this model", gt=0)
    start: Literal["pretrained", "finished", "head"] = Field(
        default="pretrained",
        description="what training starts from. pretrained: the checkpoint; finished: the fine-tuned uncompressed "
        "model, for compressed runs only; head: the checkpoint with its classification head",
    )


@plain_dataclass(frozen=True)
class Start:
    """What a training starts from; a result tells it."""

    checkpoint: str | None  # folder or hub name; None from scratch
    commit: str | None  # of the repository on the hub
    sha256: str | None  # over the files that were read
    new: list[str]  # parts whose weights are drawn: `all`, or of `head` (the layer with the outputs), `pooler`
    prefix: str  # what stood before the names of the checkpoint's tensors
    unused: list[str]  # names of tensors that have no place here, of other heads
    notes: list[str]  # what a reader of the result should know of it
    run_id: str | None = None  # of the finished experiment whose artifact it is; `sha256` is over that


def from_checkpoint(model: ModelConfig) -> ModelConfig:
    """The same to start from its checkpoint, if it was to start from a finished model."""
    return replace(model, start="pretrained") if model.start == "finished" else model


def label(model: ModelConfig) -> str:
    """The name under which results are filed: the configured one, else the last part of the checkpoint's."""
    if model.name or not model.pretrained:
        return model.name or "scratch"
    folder = local_folder(model.pretrained)
    name = folder.resolve().name if folder and not folder.name.strip(".") else Path(model.pretrained).name
    return f"{name}-first{model.first_layers}" if model.first_layers else name


def check(model: ModelConfig, max_length: int, builds_vocabulary: bool) -> None:
    """Refuse what cannot be built: no checkpoint and no architecture, a broken folder, another architecture."""
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
    for key, reference, choose in (
        ("model.pretrained", model.pretrained, checkpoint_files),
        ("model.tokenizer", model.tokenizer, tokenizer_files),
    ):
        if reference == "":
            raise ConfigError(f"{key}=: no folder here and no name on the hub; give one of them, or null")
        if reference and local_folder(reference):
            snapshot(key, reference, None, choose)
        elif reference and looks_like_path(reference):
            cause = "no such folder that you may enter; give a checkpoint's folder or its name on the hub"
            raise ConfigError(f"{key}={reference}: {cause}")
    if model.type is not None and model.pretrained is None:
        raise ConfigError(
            f"model.type={model.type}: is of a checkpoint; from scratch there is BERT alone: leave it out"
        )
    if model.first_layers is not None and model.pretrained is None:
        raise ConfigError(
            f"model.first_layers={model.first_layers}: is of a checkpoint; from scratch give model.layers instead"
        )
    if model.start == "head":
        _check_has_head(model)
    if folder := local_folder(model.pretrained):
        _described(model, folder, max_length)


def _check_has_head(model: ModelConfig) -> None:
    """Refuse to take over a head where there can be none."""
    if model.pretrained is None:
        raise ConfigError(
            "model.start=head: from scratch there is none; give a checkpoint that was fine-tuned for the task, "
            "model=pretrained model.pretrained=FOLDER-or-hub-name"
        )
    if model.first_layers is not None:
        raise ConfigError(
            f"model.start=head: a head reads what the last layer writes, and model.first_layers={model.first_layers} "
            "leaves that out; give model.first_layers=null, or model.start=pretrained"
        )


def _what(model: ModelConfig) -> str:
    """What messages call the checkpoint."""
    return f"model.pretrained={model.pretrained}"


def _described(model: ModelConfig, folder: Path, max_length: int = 0) -> Json:
    """A checkpoint's config.json, checked against the configuration, whose `model_type` it may lack."""
    what = _what(model)
    described = read_json(folder / "config.json", what)
    stated = described.setdefault("model_type", model.type or ASSUMED)
    if model.type not in (None, stated):
        raise ConfigError(f"model.type={model.type}: config.json says {json.dumps(stated)}; leave model.type out")
    asked = {key: getattr(model, key) for key in ALIASES}
    check_described(asked, str(model.pretrained), described, max_length, what)
    check_first_layers(model.first_layers, described, str(model.pretrained))
    return described


def identity(model: ModelConfig, builds_vocabulary: bool) -> dict[str, object]:
    """What of the model decides a result: folders count by their contents, not by where they lie."""
    folder, vocabulary = local_folder(model.pretrained), local_folder(model.tokenizer)
    deciding = asdict(model) | {"name": label(model)}
    del deciding["learning_rate"]  # it works through train.learning_rate, which has it already
    for added_later in ("type", "first_layers"):  # their null changes no identity
        if deciding[added_later] is None:
            del deciding[added_later]
    if model.start != "head":  # a finished model counts by its run
        del deciding["start"]
    if folder:
        files = [file for file in folder.iterdir() if file.is_file() and file.suffix in CHECKPOINT_SUFFIXES]
        deciding["pretrained"] = digest_files(files)
    if folder or not model.pretrained:
        deciding["revision"] = None
    if model.pretrained or builds_vocabulary:
        deciding["tokenizer"] = None
    elif vocabulary:
        files = [file for file in vocabulary.iterdir() if file.name.startswith(("vocab", "tokenizer"))]
        deciding["tokenizer"] = digest_files(files)
    return deciding


def build_tokenizer(model: ModelConfig, seconds: float = SECONDS) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, or the configured one for a model from scratch; `seconds` as of `hub.snapshot`."""
    from compress.model import architecture, tokenizer

    if model.pretrained:
        folder, what = fetch(model, seconds).folder, _what(model)
        return tokenizer.build(folder, what, architecture.read(_described(model, folder), what))
    assert model.tokenizer, "check() lets no model without a vocabulary through"
    key = "model.tokenizer"
    folder = snapshot(key, model.tokenizer, "main", tokenizer_files, seconds=seconds).folder
    return tokenizer.build(folder, f"{key}={model.tokenizer}")


def fetch(model: ModelConfig, seconds: float = SECONDS) -> Snapshot:
    """The checkpoint's folder, all of it there."""
    assert model.pretrained, "from scratch there is none"
    return snapshot("model.pretrained", model.pretrained, model.revision, checkpoint_files, seconds=seconds)


def build_model(
    model: ModelConfig, task: TaskConfig, tokenizer: PreTrainedTokenizerBase, max_length: int, seconds: float = SECONDS
) -> tuple[PreTrainedModel, Start]:
    """The model to train, for the tokenizer's texts of up to `max_length` tokens, and what it starts from."""
    from compress.model import first_token
    from compress.model.architecture import longest
    from compress.model.structure import structure, takes
    from compress.model.tokenizer import check_model

    built, start = build(model, task, len(tokenizer), int(tokenizer.pad_token_id), seconds)
    if model.pretrained:
        types = built.config.type_vocab_size if "token_type_ids" in takes(built) else 0
        check_model(tokenizer, task, built.config.vocab_size, types, _what(model))
        check_length(max_length, longest(built.config), model.pretrained)
        structure(built)
    first_token.apply(built)
    return built, start


def build(
    model: ModelConfig, task: TaskConfig, vocabulary: int, padding: int, seconds: float = SECONDS
) -> tuple[PreTrainedModel, Start]:
    """A classifier for the task, in float32, and what it starts from; new weights are drawn from torch's generator.

    `vocabulary` is the rows of the word embeddings of a model from scratch, `padding` the id of the padding token.
    """
    from transformers import BertConfig, BertForSequenceClassification

    classes = task.labels or ["score"]
    settings: dict[str, Any] = {
        "num_labels": task.outputs,
        "id2label": dict(enumerate(classes)),
        "label2id": {name: index for index, name in enumerate(classes)},
        "problem_type": "regression" if task.regression else "single_label_classification",
        "pad_token_id": padding,
    }
    if model.pretrained is not None:
        return _from_checkpoint(model, task, settings, fetch(model, seconds))
    settings |= {theirs: getattr(model, ours) for ours, theirs in ARCHITECTURE.items()}
    settings |= {"hidden_dropout_prob": model.dropout, "attention_probs_dropout_prob": model.dropout}
    config = BertConfig(vocab_size=vocabulary, initializer_range=model.initializer_range, **settings)
    return BertForSequenceClassification(config), Start(None, None, None, ["all"], "", [], [])


def _from_checkpoint(
    model: ModelConfig, task: TaskConfig, settings: Mapping[str, Any], source: Snapshot
) -> tuple[PreTrainedModel, Start]:
    import torch

    from compress.model import architecture
    from compress.model.structure import mark_new

    what, described = _what(model), _described(model, source.folder)
    config = _for_training(model, architecture.read(described, what), settings)
    layout = architecture.layout(config)
    weights = read_weights(source.folder, layout, what)
    check_fit(weights.tensors, layout, what)
    if model.first_layers:
        config = architecture.with_first_layers(config, model.first_layers, what)
        layout = architecture.layout(config)
        weights = first_layers_of(weights, layout)
    pooled = layout.pooler.keys() <= weights.tensors.keys()
    kept, reordered = _kept_head(model, task, weights.head, layout.head, class_names(described), pooled=pooled)
    fits = bool(kept)
    check_finite(kept, what)
    state = weights.tensors | kept
    new = ([] if fits else ["head"]) + ([] if pooled else ["pooler"])
    notes = [source.note] if source.note else []
    notes += [f"of the checkpoint only the first {plural(model.first_layers, 'layer')}"] if model.first_layers else []
    notes += [f"the head is the checkpoint's, whose labels are the task's{reordered}"] if fits else []
    notes += ["the pooler is new: the checkpoint has none"] if "pooler" in new else []
    digest = digest_files([source.folder / file for file in source.files])
    unused = weights.unused + ([] if fits else sorted(weights.head))
    start = Start(model.pretrained, source.commit, digest, new, weights.prefix, unused, notes)
    with quiet():  # float32; of the rest only what is meant to be new is drawn
        built, loading = architecture.class_of(config).from_pretrained(
            None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
        )
    drawn = {*layout.head, *layout.pooler} - state.keys()
    if set(loading.pop("missing_keys")) != drawn or any(loading.values()):
        raise ConfigError(f"{what}: its weights were not loaded as they should be ({loading}); please report this")
    mark_new(built, drawn)
    return built, start


def _kept_head(
    model: ModelConfig,
    task: TaskConfig,
    head: dict[str, torch.Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    classes: Sequence[str],
    *,
    pooled: bool,
) -> tuple[dict[str, torch.Tensor], str]:
    """The checkpoint's head in the order of the task's labels, and a word if that was another; none if it is not kept.

    By itself a head is kept that fits as it is. With `start=head` one that does not fit is refused.

    Args:
        head: the tensors of the layer with the outputs, [outputs, …] each.
        shapes: that they should have.
        classes: what config.json calls the outputs.
        pooled: whether the checkpoint has all that the head reads.
    """
    ours, theirs = [name.lower() for name in task.labels or ["score"]], [name.lower() for name in classes]
    same = {name: tuple(value.shape) for name, value in head.items()} == dict(shapes)
    if model.start != "head":
        return (head, "") if pooled and same and theirs == ours and not model.first_layers else ({}, "")
    what = f"model.start=head: {_what(model)}"
    instead = "give a checkpoint that was fine-tuned for the task, or model.start=pretrained for a new head"
    if not head or not pooled:
        raise ConfigError(f"{what} has no {'pooler that a head reads' if head else 'head'}; {instead}")
    if not same:
        outputs = plural(len(next(iter(head.values()))), "output")
        raise ConfigError(f"{what} has a head of {outputs}, {task.name} wants {task.outputs}; {instead}")
    if task.regression or theirs == ours:
        return head, ""
    if sorted(theirs) != sorted(ours):
        named = f"calls its outputs {', '.join(classes)}" if classes else "does not say what its outputs are"
        raise ConfigError(
            f"{what} {named}, {task.name} has {', '.join(task.labels or ())}; write their names in order to id2label "
            f"(and label2id) in its config.json, or {instead}"
        )
    order = [theirs.index(name) for name in ours]
    return {name: value[order] for name, value in head.items()}, ", put in their order"


def _for_training(model: ModelConfig, config: PreTrainedConfig, settings: Mapping[str, Any]) -> PreTrainedConfig:
    """A checkpoint's architecture with the task's head, the tokenizer's padding and what the configuration asks for."""
    from compress.model.architecture import DROPOUT, GENERAL, longest

    asked = dict(settings)
    for key, names in (
        ("dropout", [name for name in vars(config) if DROPOUT.search(name)]),
        ("initializer_range", [name for name in vars(config) if name == "initializer_range"]),
    ):
        if (value := getattr(model, key)) is not None:
            asked |= dict.fromkeys(names, value)
            if not names:
                raise ConfigError(f"model.{key}={value}: {config.model_type} has none that can be set; give null")
    padding = settings["pad_token_id"]
    if padding >= config.vocab_size:
        raise ConfigError(
            f"{_what(model)}: its tokenizer's padding has the number {padding}, its word embeddings "
            f"{config.vocab_size} rows; give the tokenizer that belongs to these weights"
        )
    if padding != config.pad_token_id and longest(config) < config.max_position_embeddings:
        raise ConfigError(
            f"{_what(model)}: its positions count from behind padding's id, {config.pad_token_id} by its config.json, "
            f"but {padding} by its tokenizer; give the tokenizer that belongs to these weights"
        )
    kept = {name: value for name, value in vars(config).items() if name not in GENERAL and not name.startswith("_")}
    return type(config)(**(kept | asked))


def class_names(described: Json) -> list[str]:
    """The names of a checkpoint's classes in the order of its outputs; none where config.json is not clear on them."""
    names, numbers = described.get("id2label"), described.get("label2id")
    if not isinstance(names, dict) or names.keys() != {str(number) for number in range(len(names))}:
        return []
    ordered = [str(names[str(number)]) for number in range(len(names))]
    others = numbers if isinstance(numbers, dict) else {}
    contradicts = any(others.get(name, number) != number for number, name in enumerate(ordered))
    return [] if contradicts else ordered


def empty(config: PreTrainedConfig) -> PreTrainedModel:
    """A classifier of an architecture on the CPU, float32: buffers are right, weights are whatever lies in memory."""
    import torch
    from transformers.initialization import no_init_weights

    from compress.model import first_token
    from compress.model.architecture import class_of

    with torch.random.fork_rng(devices=[]), no_init_weights():
        model = class_of(config)(config).eval()
    if getattr(config, first_token.SETTING, False):
        first_token.cut(model)
    return model
