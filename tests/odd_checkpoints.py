"""A good checkpoint, and what makes it an odd one.

The good one is a random BERT of two layers. Its weights are multiples of 1/32 up to 7/32: every floating-point type
holds them exactly, so that what is loaded can be compared bit for bit.
"""

from __future__ import annotations

import json
import os
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

from compress.artifact import store
from compress.artifact.layers.kind import MASK
from compress.artifact.plain import matrices
from compress.data import demo
from compress.methods.layers import fake_quantize
from tests.odd_inputs import Make

State = dict[str, torch.Tensor]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = tuple(string.ascii_lowercase)
SMALL_WORDS = ("the", "is", "and", "but", "not", "very", "really", "although", "was")
WORDS = (*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *SMALL_WORDS, *sorted(demo.SYNONYMS))
CASED = tuple(word.capitalize() if word in demo.SYNONYMS and i % 2 else word for i, word in enumerate(WORDS))
CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
}
WEIGHTS, PICKLE, INDEX, PICKLE_INDEX = (
    "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json"
)  # fmt: skip
HIDDEN = CONFIG["hidden_size"]
EMBEDDINGS = "embeddings.word_embeddings.weight"
HEAD = ("classifier.weight", "classifier.bias")
POOLER = ("pooler.dense.weight", "pooler.dense.bias")
NAMED: dict[str, Any] = {"id2label": {"0": "negative", "1": "positive"}}  # SST-2's classes
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 8776008\n".encode()


def _shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in BertModel(BertConfig(**CONFIG)).named_parameters()}


SHAPES = _shapes()


@cache
def weights(seed: int = 0, head: int = 0) -> State:
    """The good one's tensors, or others of its shapes; with a head of so many outputs."""
    generator = torch.Generator().manual_seed(seed)
    sizes = SHAPES | ({HEAD[0]: (head, HIDDEN), HEAD[1]: (head,)} if head else {})
    return {name: torch.randint(-7, 8, size, generator=generator) / 32 for name, size in sizes.items()}


def good(folder: Path) -> Path:
    """Write the good one."""
    folder.mkdir(parents=True)
    _save(folder, weights())
    _write_json(folder / "config.json", CONFIG)
    _write_json(folder / "tokenizer_config.json", {"do_lower_case": True})
    (folder / "vocab.txt").write_text(_lines(WORDS))
    return folder


def _save(folder: Path, state: Mapping[str, torch.Tensor], name: str = WEIGHTS) -> None:
    save_file(
        {key: value.clone().contiguous() for key, value in state.items()}, folder / name, metadata={"format": "pt"}
    )


def _write_json(file: Path, values: object) -> None:
    file.write_text(json.dumps(values))


def _lines(words: Sequence[str]) -> str:
    return "".join(f"{word}\n" for word in words)


def both(*makes: Make) -> Make:
    """One change after the other."""

    def make(folder: Path) -> None:
        for change in makes:
            change(folder)

    return make


def weighing(change: Callable[[State], Mapping[str, torch.Tensor]]) -> Make:
    """With what `change` makes of the tensors."""
    return lambda folder: _save(folder, change(load_file(folder / WEIGHTS)))


def pickled(change: Callable[[State], Any] = dict, **options: Any) -> Make:
    """With `pytorch_model.bin`, which holds what `change` makes of the tensors, in place of safetensors."""

    def make(folder: Path) -> None:
        torch.save(change(load_file(folder / WEIGHTS)), folder / PICKLE, **options)
        (folder / WEIGHTS).unlink()

    return make


def setting(file: str = "config.json", **values: Any) -> Make:
    """With other values in a JSON file, which may be a new one."""

    def make(folder: Path) -> None:
        known = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
        _write_json(folder / file, known | values)

    return make


def lacking(*keys: str, file: str = "config.json") -> Make:
    """Without some values in a JSON file."""

    def make(folder: Path) -> None:
        known = json.loads((folder / file).read_text())
        _write_json(folder / file, {key: value for key, value in known.items() if key not in keys})

    return make


def holding(file: str, content: bytes | Callable[[bytes], bytes]) -> Make:
    """With a file of this content, or of what is made of the one that it has."""

    def make(folder: Path) -> None:
        made = content((folder / file).read_bytes()) if callable(content) else content
        (folder / file).write_bytes(made)

    return make


def without(*files: str) -> Make:
    """Without some files."""

    def make(folder: Path) -> None:
        for file in files:
            (folder / file).unlink()

    return make


def renamed(file: str, new: str) -> Make:
    """With a file under another name."""
    return lambda folder: (folder / file).rename(folder / new)


def old_name(name: str) -> str:
    """As the first checkpoints had it."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def prefixed(prefix: str, name: Callable[[str], str] = str) -> Callable[[State], State]:
    """The tensors with something before all names."""
    return lambda state: {prefix + name(key): value for key, value in state.items()}


def dropping(*names: str) -> Callable[[State], State]:
    """The tensors without those in whose names one of these is."""
    return lambda state: {key: value for key, value in state.items() if not any(name in key for name in names)}


def adding(**tensors: torch.Tensor) -> Callable[[State], State]:
    """The tensors with more; `__` in a keyword is a dot."""
    return lambda state: state | {name.replace("__", "."): value for name, value in tensors.items()}


def replacing(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], State]:
    """The tensors with one changed."""
    return lambda state: state | {name: change(state[name])}


def all_in(dtype: torch.dtype) -> Callable[[State], State]:
    """The tensors in another type."""
    return lambda state: {name: value.to(dtype) for name, value in state.items()}


def headed(outputs: int, **values: Any) -> Make:
    """With a head of so many outputs behind a prefix `bert.`, and what config.json says of it."""

    def make(folder: Path) -> None:
        state = weights(head=outputs)
        _save(folder, {name if name in HEAD else f"bert.{name}": value for name, value in state.items()})
        setting(**values)(folder)

    return make


def sharded(kind: str, **index: str) -> Make:
    """In two parts of a kind, and an index, in which `index` may move names to other files."""

    def make(folder: Path) -> None:
        state = load_file(folder / WEIGHTS)
        stem = WEIGHTS if kind == "safetensors" else PICKLE
        files = [stem.replace(".", f"-0000{number}-of-00002.") for number in (1, 2)]
        home = {name: files[position % 2] for position, name in enumerate(state)}
        for file in files:
            part = {name: state[name] for name in state if home[name] == file}
            if kind == "safetensors":
                _save(folder, part, file)
            else:
                torch.save(part, folder / file)
        _write_json(folder / f"{stem}.index.json", {"metadata": {}, "weight_map": home | index})
        (folder / WEIGHTS).unlink()

    return make


def twice_in_shards(folder: Path) -> None:
    """One tensor is in both parts, with other values in the second; the index says that the first has it."""
    sharded("safetensors")(folder)
    first, second = sorted(folder.glob("model-*"))
    name = next(iter(load_file(first)))
    _save(folder, load_file(second) | {name: load_file(first)[name] + 1}, second.name)


def whole_tokenizer(words: Sequence[str] = WORDS, lower: bool = True, **stored: Any) -> Make:
    """With tokenizer.json; `stored` are other values in it."""

    def make(folder: Path) -> None:
        made = json.loads(_wordpiece(words, lower).to_str())
        _write_json(folder / "tokenizer.json", made | stored)

    return make


def _wordpiece(words: Sequence[str], lower: bool) -> BertWordPieceTokenizer:
    return BertWordPieceTokenizer({word: number for number, word in enumerate(words)}, lowercase=lower)


def only_whole_tokenizer(words: Sequence[str] = WORDS, lower: bool = True, **stored: Any) -> Make:
    """With tokenizer.json and no other file of a tokenizer."""
    return both(whole_tokenizer(words, lower, **stored), without("vocab.txt", "tokenizer_config.json"))


def vocabulary(words: Sequence[str]) -> Make:
    """With another vocab.txt."""
    return holding("vocab.txt", _lines(words).encode())


def with_texts(*texts: str) -> Make:
    """With SST-2's files in `texts/`, which have these texts."""

    def make(folder: Path) -> None:
        (folder / "texts" / "sst2").mkdir(parents=True)
        table = pa.table({"sentence": texts, "label": [row % 2 for row in range(len(texts))]})
        for split in ("train", "validation"):
            pq.write_table(table, folder / "texts" / "sst2" / f"{split}.parquet")

    return make


def swapped(words: Sequence[str], first: str, second: str) -> list[str]:
    """The words, two of them in each other's place."""
    places = {first: second, second: first}
    return [places.get(word, word) for word in words]


def as_transformers_saves(change: Callable[[BertTokenizerFast], object]) -> Make:
    """With the files that transformers saves of a changed tokenizer."""

    def make(folder: Path) -> None:
        tokenizer = BertTokenizerFast.from_pretrained(folder)
        change(tokenizer)
        without("vocab.txt", "tokenizer_config.json")(folder)
        tokenizer.save_pretrained(folder)

    return make


class Trap:
    """What runs a command when it is unpickled."""

    def __init__(self, folder: Path):
        self.sprung = folder / "sprung"

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.sprung),)


def trapped(folder: Path) -> None:
    """Weights whose unpickling would make a folder `sprung`."""
    torch.save({"state_dict": load_file(folder / WEIGHTS), "trap": Trap(folder)}, folder / PICKLE)
    (folder / WEIGHTS).unlink()


def _classifier() -> BertForSequenceClassification:
    """A model for SST-2 that has the good one's weights."""
    model = BertForSequenceClassification(BertConfig(**CONFIG, **NAMED))
    model.load_state_dict({name if name in HEAD else f"bert.{name}": v for name, v in weights(head=2).items()})
    return model


def compressed(*methods: str) -> Make:
    """The artifact of a model that was compressed so."""

    def make(folder: Path) -> None:
        model, tokenizer = _classifier(), BertTokenizerFast.from_pretrained(folder)
        if "prune" in methods:
            for layer in matrices(model).values():
                layer.register_buffer(MASK, layer.weight.abs() > 0.1)
        if "quantize" in methods:
            fake_quantize.prepare(model, embeddings=True, momentum=0.05)
            model(torch.arange(12)[None])
            fake_quantize.finalize(model)
        store.save(folder, model, tokenizer)

    return make
