"""Checkpoints whose tokenizer is odd, or does not fit the weights, and what becomes of each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer, models
from transformers import BertTokenizerFast

from tests.odd_checkpoints import (
    CASED,
    EMBEDDINGS,
    HIDDEN,
    SPECIAL,
    WORDS,
    as_transformers_saves,
    both,
    holding,
    only_whole_tokenizer,
    replacing,
    setting,
    swapped,
    vocabulary,
    weighing,
    whole_tokenizer,
    with_texts,
    without,
)
from tests.odd_inputs import Case, Kind, Make, Taken, refused, taken

CAPITAL = next(word for word in CASED if word[0].isupper())
KEEPS_CAPITALS = Taken(tokens={f"{CAPITAL} the": [CAPITAL, "the"], CAPITAL.upper(): ["[UNK]"]})
CASED_FILES = {
    "vocab.txt": both(vocabulary(CASED), without("tokenizer_config.json")),
    "tokenizer.json": only_whole_tokenizer(CASED, lower=False),
    "vocab.txt, told": both(vocabulary(CASED), setting("tokenizer_config.json", do_lower_case=False)),
    "all files": both(
        vocabulary(CASED), whole_tokenizer(CASED, lower=False), setting("tokenizer_config.json", do_lower_case=False)
    ),
}
LOWER_FILES = {
    "vocab.txt": without("tokenizer_config.json"),
    "tokenizer.json": only_whole_tokenizer(),
    "tokenizer.json, told": both(whole_tokenizer(), without("vocab.txt")),
    "all files": whole_tokenizer(),
    "all files of transformers": as_transformers_saves(lambda tokenizer: None),
    "without do_lower_case": holding("tokenizer_config.json", b"{}"),
}
ROWS = 512  # as many word embeddings as fill up a block of hardware


def more_embeddings(rows: int) -> Make:
    """With more word embeddings than there are tokens."""

    def grown(value: torch.Tensor) -> torch.Tensor:
        return torch.cat([value, torch.zeros(rows - len(value), HIDDEN)])

    return both(weighing(replacing(EMBEDDINGS, grown)), setting(vocab_size=rows))


def without_word(word: str) -> list[str]:
    """The vocabulary, another word in this one's place."""
    return [f"{word}x" if known == word else known for known in WORDS]


REPLACING = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Replace", "pattern": {"String": "film"}, "content": "movie"},
        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
         "lowercase": True},
    ],
}  # fmt: skip
SPECIAL_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def short_words(folder: Path) -> None:
    """Words of more than four letters are unknown."""
    only_whole_tokenizer()(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    setting("tokenizer.json", model=model | {"max_input_chars_per_word": 4})(folder)


def turn_left(tokenizer: BertTokenizerFast) -> None:
    """Cut and pad at the beginning of texts."""
    tokenizer.truncation_side = tokenizer.padding_side = "left"


def bpe(folder: Path) -> None:
    """A tokenizer of another kind."""
    without("vocab.txt", "tokenizer_config.json")(folder)
    Tokenizer(models.BPE({word: number for number, word in enumerate(WORDS)}, [])).save(str(folder / "tokenizer.json"))


TRUNCATION = {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
PADDING = {
    "strategy": {"Fixed": 40}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 7, "pad_type_id": 0,
    "pad_token": "c",
}  # fmt: skip

TOKENIZER_KINDS = [
    Kind(
        "Tokenizer",
        "lower-case words in `vocab.txt` or `tokenizer.json`, alone, together, or with `tokenizer_config.json`",
        "texts are made lower case",
        {f"lower: {what}": taken(make) for what, make in LOWER_FILES.items()},
    ),
    Kind(
        "Tokenizer",
        "words with capitals, in the same files",
        "capitals are kept",
        {f"cased: {what}": Case(make, KEEPS_CAPITALS) for what, make in CASED_FILES.items()},
    ),
    Kind(
        "Tokenizer",
        "files that contradict each other on capitals, or capitals in a vocabulary for lower-case texts",
        "refused, naming both",
        {
            "config lower, tokenizer.json not": refused(
                both(whole_tokenizer(lower=False), without("vocab.txt")),
                r"do_lower_case is true in tokenizer_config\.json, but tokenizer\.json does not make .*; ",
            ),
            "config not lower, tokenizer.json is": refused(
                both(whole_tokenizer(), setting("tokenizer_config.json", do_lower_case=False)),
                r"do_lower_case is false in tokenizer_config\.json, but tokenizer\.json makes .*; ",
            ),
            "config lower, vocab.txt not": refused(vocabulary(CASED), r"vocabulary has words with capitals, .*; "),
            "tokenizer.json lower, its words not": refused(
                only_whole_tokenizer(CASED), r"vocabulary has words with capitals, .*; "
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "`vocab.txt` and `tokenizer.json` with other words or numbers",
        "refused, naming a token and both numbers",
        {
            "two words swapped": refused(
                both(whole_tokenizer(), vocabulary(swapped(WORDS, "film", "movie"))),
                r"the token '(film|movie)' is number \d+ in vocab\.txt, but \d+ in the tokenizer; ",
            ),
            "a word more in vocab.txt": refused(
                both(whole_tokenizer(WORDS[:-1])), rf"the token '{WORDS[-1]}' is number .*, but None .*; "
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "`vocab.txt` with Windows line ends, without a last line end, or shorter than `tokenizer.json`",
        "loaded; `tokenizer.json` counts",
        {
            "CRLF": taken(holding("vocab.txt", lambda data: data.replace(b"\n", b"\r\n"))),
            "CRLF, alone": taken(
                both(holding("vocab.txt", lambda data: data.replace(b"\n", b"\r\n")), without("tokenizer_config.json"))
            ),
            "no last line end": taken(holding("vocab.txt", lambda data: data[:-1])),
            "a word more in tokenizer.json": taken(both(whole_tokenizer(), vocabulary(WORDS[:-1]))),
        },
    ),
    Kind(
        "Tokenizer",
        "`vocab.txt` with a word on two lines, or an empty line in place of a word",
        "read as transformers does: the last of equal lines counts",
        {
            "a word twice": taken(
                vocabulary(["film" if word == "movie" else word for word in WORDS]),
                tokens={"film": ["film"], "movie": ["m", "##o", "##v", "##i", "##e"]},
            ),
            "an empty line inside": taken(
                vocabulary(["" if word == "movie" else word for word in WORDS]),
                tokens={"film": ["film"], "movie": ["m", "##o", "##v", "##i", "##e"]},
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "`vocab.txt` that is empty, not UTF-8, begins with a byte order mark, or ends with empty lines",
        "refused",
        {
            "byte order mark": refused(
                holding("vocab.txt", lambda data: b"\xef\xbb\xbf" + data), r"vocab\.txt .* byte order.*; "
            ),
            "empty lines at the end": refused(
                holding("vocab.txt", lambda data: data + b"\n\n"), r"ids up to 471 \(\), its word embeddings 470 rows"
            ),
            "Latin-1": refused(
                holding("vocab.txt", lambda data: data.replace(b"film\n", b"f\xeelm\n")),
                r"vocab\.txt is no text in UTF-8 .*; ",
            ),
            "no words": refused(holding("vocab.txt", b""), r"no pad_token: \[PAD\] is not in its vocabulary; "),
        },
    ),
    Kind(
        "Tokenizer",
        "`[PAD]`, `[UNK]`, `[CLS]` or `[SEP]` is missing or null, or two of them are the same token",
        "refused, naming it",
        {
            "two special tokens are one": refused(
                setting("special_tokens_map.json", cls_token="[SEP]"),
                r"two of its tokenizer's .* are one: .*\[SEP\].*; ",
            ),
            **{
                f"without {word}": refused(vocabulary(without_word(word)), rf"no {key}.*{re.escape(word)}.*; ")
                for key, word in zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=False)
            },
            **{
                f"{key} is null": refused(setting("tokenizer_config.json", **{key: None}), rf"no {key}; ")
                for key in ("pad_token", "unk_token", "cls_token", "sep_token")
            },
            "pad_token is null, with tokenizer.json": refused(
                both(as_transformers_saves(lambda t: None), setting("tokenizer_config.json", pad_token=None)),
                r"no pad_token; ",
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "more than 1 % of the tokens of the texts are unknown to it",
        "noted in the result; above 20 % refused",
        {
            "unknown texts": refused(
                with_texts("電影很好", "電影不好"),
                r"^data: 67% of the tokens in train are unknown \(\[UNK\]\): .*; check",
                settings={"data.path": "{folder}/texts"},
            )
        },
    ),
    Kind(
        "Tokenizer",
        "special tokens under other names, which `tokenizer_config.json` gives; added tokens that have a row "
        "in the word embeddings",
        "used",
        {
            "an added token of the vocabulary": taken(
                as_transformers_saves(lambda tokenizer: tokenizer.add_tokens(["film"])),
                tokens={"filmx": ["film", "x"], "moviex": ["movie", "##x"]},
            ),
            "renamed special tokens": taken(
                both(
                    vocabulary(["<pad>", "<unk>", "<s>", "</s>", "<mask>", *WORDS[5:]]),
                    setting(
                        "tokenizer_config.json",
                        pad_token="<pad>",
                        unk_token="<unk>",
                        cls_token="<s>",
                        sep_token="</s>",
                        mask_token="<mask>",
                    ),
                ),
                tokens={"the film": ["the", "film"], "É": ["e"], "東": ["<unk>"]},
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "stored settings for truncation, padding, their sides, or a length",
        "ignored: texts are cut at their ends, at `data.max_length`",
        {
            "stored truncation": taken(only_whole_tokenizer(truncation=TRUNCATION, padding=PADDING)),
            "left sides": taken(as_transformers_saves(turn_left)),
            "model_max_length": taken(setting("tokenizer_config.json", model_max_length=20)),
        },
    ),
    Kind(
        "Tokenizer",
        "tokens beyond the word embeddings (added, of a larger vocabulary, or `[MASK]` where it is missing)",
        "refused, naming both numbers",
        {
            "without [MASK]": refused(
                vocabulary(without_word("[MASK]")), r"ids up to 470 \(\[MASK\]\), its word embeddings 470 rows"
            ),
            "added token": refused(
                as_transformers_saves(lambda tokenizer: tokenizer.add_tokens(["wonderfilm"])),
                rf"ids up to {len(WORDS)} \(wonderfilm\), its word embeddings {len(WORDS)} rows .*; ",
            ),
            "added padding": refused(
                both(
                    as_transformers_saves(lambda tokenizer: tokenizer.add_special_tokens({"pad_token": "<pad>"})),
                ),
                rf"{len(WORDS)}.* word embeddings {len(WORDS)} rows.*; ",
            ),
            "larger vocabulary": refused(
                both(weighing(replacing(EMBEDDINGS, lambda value: value[:300])), setting(vocab_size=300)),
                r"ids up to 469 \(yards\), its word embeddings 300 rows \(0 to 299\); ",
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "more word embeddings than tokens, because the vocabulary was padded to a multiple of 8, 16, 64 …",
        "loaded",
        {"rows for hardware": taken(more_embeddings(ROWS))},
    ),
    Kind(
        "Tokenizer",
        "fewer tokens than word embeddings otherwise: `vocab.txt` that was cut short, or of another model",
        "refused, naming both numbers",
        {
            "a few words short": refused(
                vocabulary(WORDS[:-3]), rf"has {len(WORDS) - 3} tokens, its word embeddings {len(WORDS)} rows.*; "
            ),
            "many words short": refused(
                more_embeddings(1024), rf"has {len(WORDS)} tokens, its word embeddings 1024 rows.*; "
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "no tokenizer, one without special tokens around texts, or `tokenizer.json` damaged",
        "refused",
        {
            "no tokenizer": refused(without("vocab.txt"), r"the folder lacks a tokenizer: tokenizer\.json or vocab"),
            "BPE": refused(bpe, r"its tokenizer makes \[.*\] of a pair of texts, not \[CLS\] .*; give"),
            "no post-processor": refused(
                only_whole_tokenizer(post_processor=None),
                r"does not make of '?\"?The Café.* what tokenizer\.json does; give",
            ),
            "tokenizer.json: cut": refused(
                both(whole_tokenizer(), holding("tokenizer.json", lambda data: data[:-300])),
                r"tokenizer\.json cannot be read as JSON",
            ),
            "tokenizer.json: one brace": refused(holding("tokenizer.json", b"{"), r"tokenizer\.json cannot be read"),
            "tokenizer.json: an object": refused(
                holding("tokenizer.json", b"{}"), r"no tokenizer can be made of its tokenizer\.json, .* \(.*\); fetch"
            ),
            "tokenizer.json: other types": refused(
                holding("tokenizer.json", b'{"model": "x", "normalizer": [1]}'),
                r"no tokenizer can be made of its tokenizer\.json, .*; ",
            ),
            "tokenizer_config.json: cut": refused(
                holding("tokenizer_config.json", b'{"do_lower'), r"tokenizer_config\.json cannot be read as JSON"
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "`tokenizer.json` that prepares or splits texts otherwise than its class does",
        "used if `tokenizer_class` is PreTrainedTokenizerFast; otherwise refused, since transformers would "
        "ignore the file",
        {
            "another normalizer, used": taken(
                both(
                    whole_tokenizer(normalizer=REPLACING),
                    setting("tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", **SPECIAL_TOKENS),
                ),
                tokens={"the film": ["the", "movie"]},
            ),
            "another normalizer": refused(
                only_whole_tokenizer(normalizer=REPLACING), r"another normalizer than .*; set"
            ),
            "another splitting": refused(
                only_whole_tokenizer(pre_tokenizer={"type": "WhitespaceSplit"}), r"another pre_tokenizer than .*; set"
            ),
            "shorter words": refused(short_words, r"another max_input_chars_per_word than .*; set"),
        },
    ),
    Kind(
        "Tokenizer",
        "`tokenizer_class` names a tokenizer of the model's kind",
        "used",
        {
            f"tokenizer_class: {kind}": taken(setting("tokenizer_config.json", tokenizer_class=kind))
            for kind in ("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizer")
        },
    ),
    Kind(
        "Tokenizer",
        "`tokenizer_class` names one of another kind or an unknown one, or there is code of its own (`auto_map`)",
        "refused",
        {
            **{
                f"tokenizer_class: {kind}": refused(setting("tokenizer_config.json", tokenizer_class=kind), told)
                for kind, told in (
                    ("MyTokenizer", r"no tokenizer can be made .*; .* not tokenizer_class 'MyTokenizer'"),
                    ("RobertaTokenizer", r"the token '.*' is number .*, but .* in the tokenizer; "),
                )
            },
            "tokenizer of its own": refused(
                setting("tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization.MyTokenizer", None]}),
                r"auto_map in its tokenizer_config\.json .*; ",
            ),
        },
    ),
]

KINDS = TOKENIZER_KINDS
