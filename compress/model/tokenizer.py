"""A checkpoint's tokenizer, built from its folder; it must fit its files, an encoder's way with texts, the weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import ConfigError, first_line
from compress.model.checkpoint_files import TOKENIZER_FILES, TOKENIZER_SETTINGS, Json, check_fetched, read_json
from compress.storage.hub import quiet

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from compress.task.config import TaskConfig

CASED = 0.01  # share of words with capitals, from which on a vocabulary is one that keeps them
SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token")
SAMPLES = ("The Café costs 3 dollars, doesn't it?", "Ünïcode 電影 un-believably FINE", "a b")
BLOCKS = (8, 256)  # rows of embeddings are rounded up to whole blocks of so many, or not at all
HUNDRED = 100  # or to hundreds (DeBERTa's 128 100 for 128 001 tokens)


def build(folder: Path, what: str, config: PreTrainedConfig | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder: of `tokenizer.json`, or of BERT's kind with a `vocab.txt` alone.

    One of words and their pieces (WordPiece) keeps capitals or does not as `tokenizer_config.json` says, else as
    `tokenizer.json` does, else as the vocabulary itself has it; any other is what `tokenizer.json` holds. The model
    that it is for has this `config`; without one it is a BERT. Messages begin with `what`, here and below.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, BertConfig, PreTrainedTokenizerFast

    config, stored = config or BertConfig(), None
    settings, whole = (
        read_json(folder / name, what) if (folder / name).is_file() else {}
        for name in ("tokenizer_config.json", "tokenizer.json")
    )
    vocabulary = _vocabulary(folder / "vocab.txt", what)
    if settings.get("auto_map"):
        raise ConfigError(
            f"{what}: auto_map in its tokenizer_config.json names code of its own, which is not run here; "
            "give a tokenizer.json that makes the same tokens, and leave auto_map out"
        )
    try:
        lower = _lower_case(settings, whole, vocabulary, what)
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, config=config, do_lower_case=lower)
            if whole:
                stored = Tokenizer.from_file(str(folder / "tokenizer.json"))
                stored.no_truncation()
                stored.no_padding()
                if type(stored.model).__name__ != "WordPiece":
                    tokenizer = PreTrainedTokenizerFast(tokenizer_object=stored, **tokenizer.special_tokens_map)
        tokenizer.truncation_side = tokenizer.padding_side = "right"
        reset(tokenizer)
        check_files(tokenizer, vocabulary, stored, what)
        check_special(tokenizer, vocabulary or tokenizer.get_vocab(), what)
        check_pairs(tokenizer, getattr(config, "type_vocab_size", 0), what)
    except ConfigError:
        raise
    except BaseException as error:  # over files that make no sense the libraries raise anything, and panic
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        kind = settings.get("tokenizer_class")
        there = [name for name in (*TOKENIZER_FILES, *TOKENIZER_SETTINGS) if (folder / name).is_file()]
        raise ConfigError(
            f"{what}: no tokenizer can be made of its {', '.join(there)} ({first_line(error)[:160]}); fetch them again"
            + (f", or give a tokenizer of the model's kind, not tokenizer_class {kind!r:.60}" if kind else "")
        ) from error
    return tokenizer


def reset(tokenizer: PreTrainedTokenizerBase) -> None:
    """Forget the truncation and padding of earlier calls, which are stored with a tokenizer."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()


def _vocabulary(file: Path, what: str) -> dict[str, int]:
    """Token -> id of a `vocab.txt`; empty without one."""
    if not file.is_file():
        return {}
    check_fetched(file, what)
    try:
        words = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what}: vocab.txt is no text in UTF-8 ({error}); fetch it again") from error
    if words[0].startswith("\ufeff"):
        raise ConfigError(f"{what}: vocab.txt begins with a byte order mark; save it as plain UTF-8")
    return {word.rstrip("\r"): number for number, word in enumerate(words)}


def _lower_case(settings: Json, whole: Json, vocabulary: Mapping[str, int], what: str) -> bool:
    stated, stored = settings.get("do_lower_case"), _lowers(whole.get("normalizer") or {}) if whole else None
    model = whole.get("model") or {}  # of words and their pieces, unless it merges bytes or letters
    words = vocabulary or (model["vocab"] if isinstance(model.get("vocab"), dict) and "merges" not in model else {})
    if stated is not None and stored is not None and bool(stated) != stored:
        raise ConfigError(
            f"{what}: do_lower_case is {json.dumps(stated)} in tokenizer_config.json, but tokenizer.json "
            f"{'makes' if stored else 'does not make'} texts lower case; give the files that belong together"
        )
    lower = next((bool(value) for value in (stated, stored) if value is not None), not _keeps_capitals(words))
    if lower and _keeps_capitals(words):
        raise ConfigError(
            f"{what}: its vocabulary has words with capitals, which would never be found, since its tokenizer makes "
            "texts lower case; set do_lower_case to false in its tokenizer_config.json, or give the vocabulary that "
            "belongs to it"
        )
    return lower


def _lowers(normalizer: Json) -> bool:
    """Whether a normalizer of tokenizer.json, or one in its sequence, makes texts lower case."""
    inner = any(_lowers(part) for part in normalizer.get("normalizers") or ())
    return inner or bool(normalizer.get("lowercase")) or normalizer.get("type") == "Lowercase"


def _keeps_capitals(words: Iterable[str]) -> bool:
    """Whether a vocabulary has words with capitals; special tokens are in brackets and do not count."""
    letters = [word for word in words if any(map(str.isalpha, word)) and word[:1] not in "[<"]
    return sum(word != word.lower() for word in letters) > CASED * len(letters)


# --- what must fit ----------------------------------------------------------------------------------------------------


def check_files(
    tokenizer: PreTrainedTokenizerBase, vocabulary: Mapping[str, int], stored: tokenizers.Tokenizer | None, what: str
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
    special = [getattr(tokenizer, name) for name in SPECIAL]
    for name, token in zip(SPECIAL, special, strict=True):
        if token is None or token not in vocabulary:
            raise ConfigError(
                f"{what}: its tokenizer has no {name}{'' if token is None else f': {token} is not in its vocabulary'}; "
                "add it to the vocabulary or to tokenizer_config.json, or give the files that belong together"
            )
    if len(set(special)) < len(special):
        raise ConfigError(
            f"{what}: two of its tokenizer's {', '.join(SPECIAL)} are one: {', '.join(special)}; "
            "set them in its tokenizer_config.json"
        )


def check_pairs(tokenizer: PreTrainedTokenizerBase, types: int, what: str) -> None:
    """Refuse a tokenizer that puts no special tokens around texts as BERT's or RoBERTa's does, of so many types."""
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


def check_model(tokenizer: PreTrainedTokenizerBase, task: TaskConfig, rows: int, types: int, what: str) -> None:
    """Refuse a tokenizer with ids beyond the word embeddings, far fewer than their rows, or too many types of tokens.

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
    if len(task.text) == 2 and types == 1 and 1 in tokenizer("a", "b", return_token_type_ids=True)["token_type_ids"]:
        raise ConfigError(
            f"{what}: its type_vocab_size is 1, but {task.name} has pairs of texts, with two types of tokens; "
            "choose a task of single texts, or another checkpoint"
        )
