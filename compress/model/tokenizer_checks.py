"""What is asked of a checkpoint's tokenizer: that it fits its files, an encoder's way with texts, and the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from compress.errors import ConfigError

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedTokenizerBase

    from compress.task.config import TaskConfig

SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token")
SAMPLES = ("The Café costs 3 dollars, doesn't it?", "Ünïcode 電影 un-believably FINE", "a b")
BLOCKS = (8, 256)  # rows of embeddings are rounded up to whole blocks of so many, or not at all
HUNDRED = 100  # or to hundreds (DeBERTa's 128 100 for 128 001 tokens)


def check_files(
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: Mapping[str, int],
    stored: tokenizers.Tokenizer | None,
    what: str,
) -> None:
    """Refuse a tokenizer with other ids than vocab.txt has, or that makes other tokens than tokenizer.json does."""
    numbers = tokenizer.get_vocab()
    if wrong := next((word for word, number in vocabulary.items() if numbers.get(word) != number), None):
        raise ConfigError(
            f"{what}: the token {wrong!r} is number {vocabulary[wrong]} in vocab.txt, but {numbers.get(wrong)} in the "
            "tokenizer; give the files that belong together"
        )
    if stored is None:
        return
    if other := next(_differences(tokenizer.backend_tokenizer, stored), None):
        raise ConfigError(
            f"{what}: its tokenizer.json has another {other} than its tokenizer_class, which would not be used; set "
            "tokenizer_class to PreTrainedTokenizerFast, and the special tokens, in its tokenizer_config.json"
        )
    for sample in SAMPLES:
        if tokenizer(sample)["input_ids"] != stored.encode(sample).ids:
            raise ConfigError(
                f"{what}: its tokenizer does not make of {sample!r} what tokenizer.json does; "
                "give the files that belong together"
            )


def _differences(made: tokenizers.Tokenizer, stored: tokenizers.Tokenizer) -> Iterator[str]:
    """The parts of two tokenizers that differ and that samples may not show."""
    contents = [json.loads(tokenizer.to_str()) for tokenizer in (made, stored)]
    models = [{key: value for key, value in part["model"].items() if key != "vocab"} for part in contents]
    yield from (part for part in ("normalizer", "pre_tokenizer") if contents[0][part] != contents[1][part])
    yield from (key for key in models[1] if models[0].get(key) != models[1][key])
    numbers = made.get_vocab()
    yield from (f"number of {word!r}" for word, number in stored.get_vocab().items() if numbers.get(word) != number)


def check_special(tokenizer: PreTrainedTokenizerBase, vocabulary: Mapping[str, int], what: str) -> None:
    """Refuse a tokenizer without the special tokens of an encoder."""
    for name in SPECIAL:
        token = getattr(tokenizer, name)
        if token is None or token not in vocabulary:
            raise ConfigError(
                f"{what}: its tokenizer has no {name}{'' if token is None else f': {token} is not in its vocabulary'}; "
                "add it to the vocabulary or to tokenizer_config.json, or give the files that belong together"
            )
    special = [getattr(tokenizer, name) for name in SPECIAL]
    if len(set(special)) < len(special):
        raise ConfigError(
            f"{what}: two of its tokenizer's {', '.join(SPECIAL)} are one: {', '.join(special)}; "
            "set them in its tokenizer_config.json"
        )


def check_pairs(tokenizer: PreTrainedTokenizerBase, types: int, what: str) -> None:
    """Refuse a tokenizer that does not put special tokens around texts as BERT's does, or RoBERTa's.

    Args:
        types: of tokens that the model knows.
    """
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", "b"))
    start, end = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    encoded = tokenizer("a", "b", return_token_type_ids=True)
    made = encoded["input_ids"], encoded["token_type_ids"]
    typed = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    bert, roberta = (start + first + middle + second + end for middle in (end, end + end))
    allowed = [(bert, typed), (roberta, [0] * len(roberta))] + [(bert, [0] * len(bert))] * (types < 2)
    if made not in allowed:
        raise ConfigError(
            f"{what}: its tokenizer makes {tokenizer.convert_ids_to_tokens(made[0])} of a pair of texts, not [CLS] "
            "first [SEP] second [SEP] with types 0 and 1, nor <s> first </s> </s> second </s>; give one of these kinds"
        )


def check_size(tokenizer: PreTrainedTokenizerBase, rows: int, what: str) -> None:
    """Refuse a tokenizer that has ids beyond the word embeddings, or fewer tokens than they have rows.

    More rows are expected where their number was rounded up to whole blocks.
    """
    token, largest = max(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    if largest >= rows:
        raise ConfigError(
            f"{what}: its tokenizer has ids up to {largest} ({token}), its word embeddings {rows} rows "
            f"(0 to {rows - 1}); give the tokenizer that belongs to these weights"
        )
    smallest, greatest = BLOCKS
    block = min(rows & -rows, greatest)  # the largest power of 2 that divides them
    block = max(block if block >= smallest else 1, 1 if rows % HUNDRED else HUNDRED)
    if rows - largest - 1 >= block:
        raise ConfigError(
            f"{what}: its tokenizer has {largest + 1} tokens, its word embeddings {rows} rows: they are not of one "
            "model; give the tokenizer that belongs to these weights"
        )


def check_types(tokenizer: PreTrainedTokenizerBase, task: TaskConfig, types: int, what: str) -> None:
    """Refuse pairs of texts whose tokens are of two types for a model that knows one.

    Args:
        types: that the model knows; 0 if it takes none.
    """
    if len(task.text) == 2 and types == 1 and 1 in tokenizer("a", "b", return_token_type_ids=True)["token_type_ids"]:
        raise ConfigError(
            f"{what}: its type_vocab_size is 1, but {task.name} has pairs of texts, with two types of tokens; "
            "choose a task of single texts, or another checkpoint"
        )
