"""Encoders of several families: small ones with random weights, as repositories on the hub have them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from compress.data import demo

Head = Literal["none", "masked", "classes"]

POSITIONS = 130
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": POSITIONS,
}
DEBERTA: dict[str, Any] = {
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES | {"type_vocab_size": 1},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": POSITIONS},
    "electra": SIZES | {"embedding_size": 8},
    "mpnet": SIZES,
    "deberta-v2": SIZES | DEBERTA,
    "modernbert": SIZES | {"layer_types": ["full_attention", "sliding_attention"], "local_attention": 8},
    "albert": SIZES | {"embedding_size": 8},
}
BYTES, PIECES = ("roberta", "modernbert"), ("deberta-v2", "albert")  # kinds of tokens; the others have BERT's


def config(family: str, **changes: Any) -> Any:
    """The architecture, for the family's tokenizer."""
    made = tokenizer(family)
    special = {"vocab_size": made.get_vocab_size(), "pad_token_id": made.token_to_id(padding(family))}
    return AutoConfig.for_model(family, **(special | CONFIGS[family] | changes))


def model(family: str, head: Head = "classes", seed: int = 0, **changes: Any) -> PreTrainedModel:
    """One with random weights, and a head: of two classes, to fill masks with, or none."""
    kinds = {"none": AutoModel, "masked": AutoModelForMaskedLM, "classes": AutoModelForSequenceClassification}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made: PreTrainedModel = kinds[head].from_config(config(family, **changes))
    return made.eval()


def checkpoint(folder: Path, family: str, head: Head = "masked", seed: int = 0, **changes: Any) -> Path:
    """A repository with such a model, by default as they are published: with a head to fill masks with."""
    model(family, head, seed, **changes).save_pretrained(folder)
    made = tokenizer(family)
    if family in (*BYTES, *PIECES):
        made.save(str(folder / "tokenizer.json"))
    else:
        words = sorted(made.get_vocab().items(), key=lambda entry: entry[1])
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))
    if family == "modernbert":  # its class has no special tokens of its own
        special = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
        (folder / "tokenizer_config.json").write_text(json.dumps(special))
    return folder


def padding(family: str) -> str:
    """The token that fills up rows."""
    return "<pad>" if family in (*BYTES, "mpnet", "albert") else "[PAD]"


@cache
def tokenizer(family: str) -> Tokenizer:
    """The tokenizer that the family's checkpoints have, of demo texts."""
    if family in BYTES:
        return _bytes(pairs="roberta" if family == "roberta" else "bert")
    if family in PIECES:
        return _pieces(padding(family), "<unk>" if family == "albert" else "[UNK]")
    words = demo.build_tokenizer().get_vocab()
    if family == "mpnet":
        names = {"[PAD]": "<s>", "[UNK]": "<pad>", "[CLS]": "</s>", "[SEP]": "[UNK]", "[MASK]": "<mask>"}
        words = {names.get(word, word): number for word, number in words.items()}
    return Tokenizer(models.WordPiece(words, unk_token="[UNK]"))


def _bytes(pairs: str) -> Tokenizer:
    """Of bytes and what they are merged to; no texts are unknown."""
    made = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(_texts(), trainer)
    if pairs == "roberta":
        made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    else:
        made.post_processor = _around("<s>", "</s>", made)
    return made


def _pieces(pad: str, unknown: str) -> Tokenizer:
    """SentencePiece's, as an English Unigram model."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = [pad, "[CLS]", "[SEP]", unknown, "[MASK]"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token=unknown, show_progress=False)
    made.train_from_iterator(_texts(), trainer)
    made.post_processor = _around("[CLS]", "[SEP]", made)
    return made


def _around(start: str, end: str, made: Tokenizer) -> processors.TemplateProcessing:
    numbers = [(token, made.token_to_id(token)) for token in (start, end)]
    return processors.TemplateProcessing(
        single=f"{start}:0 $A:0 {end}:0", pair=f"{start}:0 $A:0 {end}:0 $B:1 {end}:1", special_tokens=numbers
    )


def _texts() -> list[str]:
    columns = demo.generate("rte")["train"]
    return [str(text) for name in ("sentence1", "sentence2") for text in columns[name][:300]]
