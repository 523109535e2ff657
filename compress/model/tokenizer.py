"""A checkpoint's tokenizer, built from its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import ConfigError
from compress.model.checkpoint_files import TOKENIZER_FILES, TOKENIZER_SETTINGS, Json, read_json
from compress.model.tokenizer_checks import check_files, check_pairs, check_special
from compress.storage.hub import quiet

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

CASED = 0.01  # share of words with capitals, from which on a vocabulary is one that keeps them


def build(folder: Path, what: str, config: PreTrainedConfig | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder: of `tokenizer.json`, or of BERT's kind with a `vocab.txt` alone.

    One of words and their pieces (WordPiece) keeps capitals or does not as `tokenizer_config.json` says, else as
    `tokenizer.json` does, else as the vocabulary itself has it; any other is what `tokenizer.json` holds.

    Args:
        what: the key and value that messages begin with.
        config: of the model that it is for; None: a BERT.

    Raises:
        ConfigError: a file is damaged, or the files contradict each other or do not fit the model.
    """
    from transformers import AutoTokenizer, BertConfig, PreTrainedTokenizerFast

    settings, whole = (_read(folder / name, what) for name in ("tokenizer_config.json", "tokenizer.json"))
    vocabulary = _vocabulary(folder / "vocab.txt", what)
    if settings.get("auto_map"):
        raise ConfigError(
            f"{what}: auto_map in its tokenizer_config.json names code of its own, which is not run here; "
            "give a tokenizer.json that makes the same tokens, and leave auto_map out"
        )
    try:
        lower = _lower_case(settings, whole, vocabulary, what)
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, config=config or BertConfig(), do_lower_case=lower)
            stored = _stored(folder) if whole else None
            if stored is not None and type(stored.model).__name__ != "WordPiece":
                tokenizer = PreTrainedTokenizerFast(tokenizer_object=stored, **tokenizer.special_tokens_map)
        tokenizer.truncation_side = tokenizer.padding_side = "right"
        reset(tokenizer)
        check_files(tokenizer, vocabulary, stored, what)
        check_special(tokenizer, vocabulary or tokenizer.get_vocab(), what)
        check_pairs(tokenizer, getattr(config or BertConfig(), "type_vocab_size", 0), what)
    except ConfigError:
        raise
    except BaseException as error:  # over files that make no sense the libraries raise anything, and panic
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        cause = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        kind = settings.get("tokenizer_class")
        there = [name for name in (*TOKENIZER_FILES, *TOKENIZER_SETTINGS) if (folder / name).is_file()]
        raise ConfigError(
            f"{what}: no tokenizer can be made of its {', '.join(there)} ({cause}); fetch them again"
            + (f", or give a tokenizer of the model's kind, not tokenizer_class {kind!r:.60}" if kind else "")
        ) from error
    return tokenizer


def reset(tokenizer: PreTrainedTokenizerBase) -> None:
    """Forget the truncation and padding of earlier calls, which are stored with a tokenizer."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()


def _stored(folder: Path) -> tokenizers.Tokenizer:
    """What tokenizer.json holds, without the truncation and padding that are stored with it."""
    import tokenizers

    stored = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    stored.no_truncation()
    stored.no_padding()
    return stored


def _read(file: Path, what: str) -> Json:
    return read_json(file, what) if file.is_file() else {}


def _vocabulary(file: Path, what: str) -> dict[str, int]:
    """Token -> id of a `vocab.txt`; empty without one."""
    if not file.is_file():
        return {}
    try:
        words = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what}: vocab.txt is no text in UTF-8 ({error}); fetch it again") from error
    if words[0].startswith("version https://git-lfs"):
        raise ConfigError(f"{what}: vocab.txt is a Git LFS pointer, not the file itself; run git lfs pull there")
    if words[0].startswith("\ufeff"):
        raise ConfigError(f"{what}: vocab.txt begins with a byte order mark; save it as plain UTF-8")
    return {word.rstrip("\r"): number for number, word in enumerate(words)}


def _lower_case(settings: Json, whole: Json, vocabulary: Mapping[str, int], what: str) -> bool:
    stated, stored = settings.get("do_lower_case"), _lowers(whole.get("normalizer") or {}) if whole else None
    words = vocabulary or _words(whole)
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


def _words(whole: Json) -> Mapping[str, int]:
    """The vocabulary of a tokenizer.json whose entries are words and their pieces, not bytes or merged letters."""
    model = whole.get("model") or {}
    return model["vocab"] if isinstance(model.get("vocab"), dict) and "merges" not in model else {}


def _keeps_capitals(words: Iterable[str]) -> bool:
    """Whether a vocabulary has words with capitals; special tokens are in brackets and do not count."""
    letters = [word for word in words if any(map(str.isalpha, word)) and word[:1] not in "[<"]
    return sum(word != word.lower() for word in letters) > CASED * len(letters)
