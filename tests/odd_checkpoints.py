"""Checkpoints with one oddity each, and what is right for each: as good as the good one, or one line.

The good one is a random BERT of two layers. Its weights are multiples of 1/32 up to 7/32: every floating-point type holds
them exactly, so that what is loaded can be compared bit for bit.
"""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import BertWordPieceTokenizer, Tokenizer, models
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

from compress import artifact, demo
from compress.methods import fake_quantize
from compress.methods.prune import MASK, prunable
from tests.odd_inputs import Case, Kind, Make, Refused, Taken

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
HEAD = ("classifier.weight", "classifier.bias")
POOLER = ("pooler.dense.weight", "pooler.dense.bias")
NAMED = {"id2label": {"0": "negative", "1": "positive"}}  # SST-2's classes
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


# --- changes of the good one ------------------------------------------------------------------------------------------


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
            for layer in prunable(model).values():
                layer.register_buffer(MASK, layer.weight.abs() > 0.1)
        if "quantize" in methods:
            fake_quantize.prepare(model, embeddings=True, momentum=0.05)
            model(torch.arange(12)[None])
            fake_quantize.finalize(model)
        artifact.save(folder, model, tokenizer)

    return make


# --- weights ----------------------------------------------------------------------------------------------------------

KEPT_HEAD = "the head is the checkpoint's, whose labels are the task's"
NEW_POOLER = "the pooler is new: the checkpoint has none"
LAYER_1 = "encoder.layer.1."
EMBEDDINGS = "embeddings.word_embeddings.weight"
PREFIXES = {
    "module": "module.",
    "model": "model.",
    "sentence encoder": "0.auto_model.",
    "module and bert": "module.bert.",
    "bert": "bert.",
}


def _first_shape(name: str) -> str:
    """How a message shows a tensor with one row too many."""
    return " × ".join(map(str, (SHAPES[name][0] + 1, *SHAPES[name][1:])))


WEIGHT_KINDS = [
    Kind(
        "Weights",
        "names with something before them (`module.`, `model.`, `0.auto_model.`, `module.bert.` …)",
        "loaded; `start.prefix` names it",
        {
            f"prefix: {what}": Case(weighing(prefixed(prefix)), Taken({"prefix": prefix}))
            for what, prefix in PREFIXES.items()
        },
    ),
    Kind(
        "Weights",
        "LayerNorm's old names, `gamma` and `beta`, in safetensors or a pickle, with a prefix or without",
        "loaded under the new names",
        {
            "old names": Case(weighing(prefixed("", old_name)), Taken()),
            "old names, bert.": Case(weighing(prefixed("bert.", old_name)), Taken({"prefix": "bert."})),
            "old names, bert., pickled": Case(pickled(prefixed("bert.", old_name)), Taken({"prefix": "bert."})),
        },
    ),
    Kind(
        "Weights",
        "both an old and a new name for one tensor",
        "refused, naming it",
        {
            "old and new name": Case(
                weighing(lambda state: state | prefixed("", old_name)(state)),
                Refused(r"both embeddings\.LayerNorm\.\w+ and embeddings\.LayerNorm\.\w+; leave one"),
            )
        },
    ),
    Kind(
        "Weights",
        "`pytorch_model.bin`, of any version of torch, also of Parameters",
        "loaded, without running anything that is in it",
        {
            "pickle": Case(pickled(), Taken()),
            "pickle of old torch": Case(pickled(_use_new_zipfile_serialization=False), Taken()),
            "pickle of parameters": Case(
                pickled(lambda state: {name: torch.nn.Parameter(value) for name, value in state.items()}), Taken()
            ),
        },
    ),
    Kind(
        "Weights",
        'a training script\'s checkpoint around them: `{"state_dict": …}`, also with an epoch, also twice',
        "loaded",
        {
            "in state_dict": Case(pickled(lambda state: {"state_dict": state}), Taken()),
            "in model_state_dict": Case(pickled(lambda state: {"epoch": 3, "model_state_dict": state}), Taken()),
            "in two dictionaries": Case(
                pickled(lambda state: {"model": {"state_dict": prefixed("bert.")(state)}, "step": 7}),
                Taken({"prefix": "bert."}),
            ),
            "beside a tensor": Case(pickled(lambda state: {"step": torch.tensor(7), "state_dict": state}), Taken()),
        },
    ),
    Kind(
        "Weights",
        "two sets of weights in such a checkpoint",
        "refused",
        {
            "two dictionaries": Case(
                pickled(lambda state: {"model": state, "state_dict": state}),
                Refused(r"no tensors in its weights, but model, state_dict; "),
            )
        },
    ),
    Kind(
        "Weights",
        "a pickled module, or any other object that is not tensors by name",
        "refused; nothing of it is run",
        {
            "a module": Case(
                pickled(lambda state: BertModel(BertConfig(**CONFIG))),
                Refused(r"pytorch_model\.bin .* more than tensors"),
            ),
            "a trap": Case(
                trapped, Refused(r"pytorch_model\.bin .* more than tensors .*; save the model's state_dict")
            ),
            "a list": Case(pickled(lambda state: list(state.values())), Refused(r"pytorch_model\.bin holds a list; ")),
            "a tensor": Case(pickled(lambda state: state[EMBEDDINGS]), Refused(r"pytorch_model\.bin holds a Tensor; ")),
        },
    ),
    Kind(
        "Weights",
        "both safetensors and a pickle, with other values",
        "safetensors count",
        {"safetensors and pickle": Case(lambda folder: torch.save(weights(1), folder / PICKLE), Taken())},
    ),
    Kind(
        "Weights",
        "safetensors without metadata",
        "loaded",
        {"no metadata": Case(lambda folder: save_file(weights(), folder / WEIGHTS), Taken())},
    ),
    Kind(
        "Weights",
        "in parts with an index, safetensors or pickles",
        "loaded",
        {
            "parts of safetensors": Case(sharded("safetensors"), Taken()),
            "parts of pickles": Case(sharded("bin"), Taken()),
        },
    ),
    Kind(
        "Weights",
        "a part is missing, is of another set, or the index says something else than the parts",
        "refused, naming the file",
        {
            "a part is missing": Case(
                both(sharded("safetensors"), without("model-00002-of-00002.safetensors")),
                Refused(r"lacks the shard model-00002-of-00002\.safetensors of its weights; "),
            ),
            "a part of pickles is missing": Case(
                both(sharded("bin"), without("pytorch_model-00001-of-00002.bin")),
                Refused(r"lacks the shard pytorch_model-00001-of-00002\.bin of its weights; "),
            ),
            "all parts are missing": Case(
                both(sharded("bin"), *(without(f"pytorch_model-0000{n}-of-00002.bin") for n in (1, 2))),
                Refused(r"lacks the shard pytorch_model-00001-of-00001\.bin of its weights; "),
            ),
            "the index is missing": Case(both(sharded("bin"), without(PICKLE_INDEX)), Refused(r"lacks weights: .*; ")),
            "the index is no JSON": Case(
                both(sharded("safetensors"), holding(INDEX, b"{")), Refused(r"index\.json cannot be read as JSON .*; ")
            ),
            "the index lists another name": Case(
                sharded("safetensors", other="model-00001-of-00002.safetensors"),
                Refused(r"model\.safetensors\.index\.json does not list what its shards hold; "),
            ),
            "the index lists nothing": Case(
                both(sharded("safetensors"), setting(INDEX, weight_map=None)),
                Refused(r"model\.safetensors\.index\.json does not list what its shards hold; "),
            ),
            "a tensor is in two parts": Case(
                twice_in_shards, Refused(r"model\.safetensors\.index\.json does not list what its shards hold; ")
            ),
        },
    ),
    Kind(
        "Weights",
        "float16, bfloat16, float64",
        "loaded as float32",
        {
            f"in {kind}": Case(both(weighing(all_in(dtype)), setting(**{key: kind})), Taken())
            for kind, dtype, key in (
                ("float16", torch.float16, "dtype"),
                ("bfloat16", torch.bfloat16, "torch_dtype"),
                ("float64", torch.float64, "dtype"),
            )
        },
    ),
    Kind(
        "Weights",
        "float8, integers, sparse tensors, or tensors without values",
        "refused: no plain floating-point weights",
        {
            "in float8": Case(weighing(all_in(torch.float8_e4m3fn)), Refused(r" hold float8_e4m3fn, .*; ")),
            "in float8, pickled": Case(pickled(all_in(torch.float8_e5m2)), Refused(r" hold float8_e5m2, .*; ")),
            "in int8": Case(weighing(all_in(torch.int8)), Refused(r" hold int8, .*; ")),
            "one in int64": Case(
                weighing(replacing(EMBEDDINGS, torch.Tensor.long)), Refused(rf": {EMBEDDINGS} hold int64, .*; ")
            ),
            "complex": Case(weighing(all_in(torch.complex64)), Refused(r" hold complex64, .*; ")),
            "sparse": Case(
                pickled(replacing(f"{LAYER_1}output.dense.weight", torch.Tensor.to_sparse)),
                Refused(rf": {LAYER_1}output\.dense\.weight .*sparse.*; "),
            ),
            "without values": Case(
                pickled(replacing(EMBEDDINGS, lambda value: value.to("meta"))),
                Refused(rf": {EMBEDDINGS} .* have no values; "),
            ),
        },
    ),
    Kind(
        "Weights",
        "a model that this project compressed (int8, pruned)",
        "refused: give the one that it was made of",
        {
            "artifact: quantized": Case(
                compressed("quantize"), Refused(r" hold .*int8.*; a checkpoint that is compressed already")
            ),
            "artifact: pruned": Case(
                compressed("prune"), Refused(r" hold uint8.*; a checkpoint that is compressed already")
            ),
            "artifact: both": Case(
                compressed("quantize", "prune"), Refused(r"; a checkpoint that is compressed already")
            ),
        },
    ),
    Kind(
        "Weights",
        "a model that this project trained without compression",
        "loaded, with its head if the task has the same labels; `notes` says so",
        {
            "artifact: none": Case(compressed(), Taken({"new": [], "prefix": "bert.", "notes": [KEPT_HEAD]})),
            "artifact: none, another task": Case(
                compressed(), Taken({"prefix": "bert.", "unused": sorted(HEAD)}), {"task": "rte"}
            ),
        },
    ),
    Kind(
        "Weights",
        "tensors of other heads, and buffers of old versions (`position_ids`)",
        "left out; `start.unused` names the heads'",
        {
            "other heads": Case(
                weighing(
                    lambda state: (
                        prefixed("bert.")(state)
                        | {"cls.predictions.bias": torch.zeros(9), "qa_outputs.weight": torch.zeros(2, HIDDEN)}
                    )
                ),
                Taken({"prefix": "bert.", "unused": ["cls.predictions.bias", "qa_outputs.weight"]}),
            ),
            "buffers": Case(
                weighing(
                    adding(
                        embeddings__position_ids=torch.arange(128)[None],
                        embeddings__token_type_ids=torch.zeros(1, 128, dtype=torch.int64),
                    )
                ),
                Taken(),
            ),
        },
    ),
    Kind(
        "Weights",
        "without the pooler",
        "loaded; `start.new` has `pooler`, and `notes` says so",
        {"no pooler": Case(weighing(dropping("pooler")), Taken({"new": ["head", "pooler"], "notes": [NEW_POOLER]}))},
    ),
    Kind(
        "Weights",
        "any other tensor is missing: one, a layer, the embeddings, half of the pooler, all but the prefix",
        "refused, naming tensors: they would be random",
        {
            **{
                f"without {name}": Case(
                    weighing(dropping(name)), Refused(rf"1 of its \d+ tensors are missing.*{name}; ")
                )
                for name in SHAPES
                if name != EMBEDDINGS
            },
            f"without {EMBEDDINGS}": Case(weighing(dropping(EMBEDDINGS)), Refused(rf"names end like …{EMBEDDINGS}")),
            "without a layer": Case(
                weighing(dropping(LAYER_1)), Refused(rf"16 of its 39 tensors are missing, such as {LAYER_1}.*; ")
            ),
            "without embeddings": Case(weighing(dropping("embeddings")), Refused(r"its weights have names like .*; ")),
            "one with another prefix": Case(
                weighing(lambda state: {("" if "layer.0" in name else "bert.") + name: v for name, v in state.items()}),
                Refused(r"16 of its 39 tensors are missing, such as encoder\.layer\.0\..*; "),
            ),
        },
    ),
    Kind(
        "Weights",
        "more than config.json says: layers, adapters (LoRA) that were not merged",
        "refused, naming tensors",
        {
            "a layer too many": Case(
                setting(num_hidden_layers=1), Refused(rf"no place for 16 of its tensors, such as {LAYER_1}.*; ")
            ),
            "adapters beside the weights": Case(
                weighing(
                    lambda state: state | {f"{LAYER_1}attention.self.query.lora_A.weight": torch.zeros(2, HIDDEN)}
                ),
                Refused(r"no place for 1 of its tensors, such as .*lora_A.*; .*adapters"),
            ),
            "adapters around the weights": Case(
                weighing(
                    lambda state: {
                        f"base_model.model.bert.{name.replace('query.', 'query.base_layer.')}": value
                        for name, value in state.items()
                    }
                ),
                Refused(r"no place for 4 of its tensors, such as .*query\.base_layer.*; .*adapters"),
            ),
        },
    ),
    Kind(
        "Weights",
        "a tensor of another shape than config.json says",
        "refused, naming the tensor and both shapes",
        {
            f"another shape: {name}": Case(
                weighing(replacing(name, lambda value: torch.cat([value, value[:1]]))),
                Refused(rf"{name} has the shape {_first_shape(name)}, config\.json asks for .*; "),
            )
            for name in SHAPES
        },
    ),
    Kind(
        "Weights",
        "NaN or infinite values, also such as become infinite in float32",
        "refused, naming the tensor",
        {
            f"{value} in {dtype}": Case(
                weighing(replacing(POOLER[1], lambda t, v=value, d=dtype: torch.full_like(t, float(v), dtype=d))),
                Refused(rf"{POOLER[1]} holds NaN, or values that are infinite .*; "),
            )
            for value, dtype in (("nan", torch.float32), ("inf", torch.float16), ("1e300", torch.float64))
        },
    ),
    Kind(
        "Weights",
        "no tensors, none of BERT's names, or two encoders",
        "refused, naming what is there",
        {
            "no tensors": Case(weighing(lambda state: {}), Refused(r"no tensors in its weights.*; ")),
            "no tensors, pickled": Case(pickled(lambda state: {"epoch": 3}), Refused(r"no tensors .*, but epoch; ")),
            "other names": Case(
                weighing(lambda state: {"transformer.wte.weight": state[EMBEDDINGS]}),
                Refused(r"names like transformer\.wte\.weight; they must hold one BERT"),
            ),
            "two encoders": Case(
                weighing(lambda state: prefixed("query.")(state) | prefixed("passage.")(state)),
                Refused(r"several encoders, passage\., query\.; they must hold one BERT"),
            ),
        },
    ),
    Kind(
        "Weights",
        "no weights, or those of another framework",
        "refused: the folder lacks weights",
        {
            "no weights": Case(without(WEIGHTS), Refused(r"the folder lacks weights: model\.safetensors or .*; ")),
            "of TensorFlow": Case(renamed(WEIGHTS, "tf_model.h5"), Refused(r"the folder lacks weights: .*; ")),
            "adapters alone": Case(renamed(WEIGHTS, "adapter_model.safetensors"), Refused(r"the folder lacks weights")),
        },
    ),
    Kind(
        "Weights",
        "a Git LFS pointer in place of a file",
        "refused, naming the file: run git lfs pull",
        {
            "pointer: safetensors": Case(
                holding(WEIGHTS, POINTER), Refused(rf"{WEIGHTS} is a Git LFS pointer.*; run git")
            ),
            "pointer: pickle": Case(
                both(pickled(), holding(PICKLE, POINTER)), Refused(rf"{PICKLE} is a Git LFS pointer.*; run git")
            ),
            **{
                f"pointer: {file}": Case(
                    both(whole_tokenizer(), holding(file, POINTER)), Refused(rf"{file} is a Git LFS pointer.*; run git")
                )
                for file in ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json")
            },
        },
    ),
    Kind(
        "Weights",
        "a file of weights that is cut short, empty or garbled",
        "refused, naming the file",
        {
            "empty": Case(holding(WEIGHTS, b""), Refused(rf"{WEIGHTS} is damaged or cut short \(.*\); ")),
            "garbled": Case(
                holding(WEIGHTS, bytes(range(256)) * 9), Refused(rf"{WEIGHTS} is damaged or cut short \(.*\); ")
            ),
            "cut": Case(
                holding(WEIGHTS, lambda data: data[:-999]), Refused(rf"{WEIGHTS} is damaged or cut short \(.*\); ")
            ),
            "empty pickle": Case(both(pickled(), holding(PICKLE, b"")), Refused(rf"{PICKLE} is damaged")),
            "garbled pickle": Case(
                both(pickled(), holding(PICKLE, bytes(range(256)) * 9)), Refused(rf"{PICKLE} is damaged")
            ),
            "cut pickle": Case(
                both(pickled(), holding(PICKLE, lambda data: data[:-999])), Refused(rf"{PICKLE} is damaged")
            ),
        },
    ),
]

# --- heads ------------------------------------------------------------------------------------------------------------

LABEL2ID = {"negative": 0, "positive": 1}
NO_HEAD_KEPT = {"prefix": "bert.", "unused": sorted(HEAD)}
A_HEAD_KEPT = {"prefix": "bert.", "new": [], "notes": [KEPT_HEAD]}


def names(*classes: str) -> dict[str, str]:
    """`id2label` as config.json has it."""
    return {str(number): name for number, name in enumerate(classes)}


HEAD_KINDS = [
    Kind(
        "Head",
        "as many classes as the task's, with their names in their order, in any case",
        "kept: the model computes what the checkpoint does; `notes` says so",
        {
            "head: the task's classes": Case(headed(2, **NAMED, label2id=LABEL2ID), Taken(A_HEAD_KEPT)),
            "head: in capitals": Case(headed(2, id2label=names("NEGATIVE", "Positive")), Taken(A_HEAD_KEPT)),
            "head: a regression's": Case(headed(1, id2label=names("score")), Taken(A_HEAD_KEPT), {"task": "stsb"}),
            "head: in float16": Case(both(headed(2, **NAMED), weighing(all_in(torch.float16))), Taken(A_HEAD_KEPT)),
        },
    ),
    Kind(
        "Head",
        "classes in another order, of other names or number, without names, or a regression's",
        "new: `start.new` has `head`, and `start.unused` names what is left out",
        {
            "head: reversed": Case(headed(2, id2label=names("positive", "negative")), Taken(NO_HEAD_KEPT)),
            "head: no names": Case(headed(2, id2label=names("LABEL_0", "LABEL_1")), Taken(NO_HEAD_KEPT)),
            "head: a number alone": Case(headed(5, num_labels=5), Taken(NO_HEAD_KEPT)),
            "head: three classes": Case(
                headed(3, id2label=names("CONTRADICTION", "NEUTRAL", "ENTAILMENT")), Taken(NO_HEAD_KEPT)
            ),
            "head: three outputs, two names": Case(headed(3, **NAMED), Taken(NO_HEAD_KEPT)),
            "head: a regression's for classes": Case(headed(1, id2label=names("LABEL_0")), Taken(NO_HEAD_KEPT)),
            "head: classes for a regression": Case(headed(2, **NAMED), Taken(NO_HEAD_KEPT), {"task": "stsb"}),
            "head: another task's": Case(headed(2, **NAMED), Taken(NO_HEAD_KEPT), {"task": "rte"}),
        },
    ),
    Kind(
        "Head",
        "names that contradict each other (`label2id`), are no names, or have no numbers",
        "new",
        {
            "head: contradiction": Case(
                headed(2, **NAMED, label2id={"negative": 1, "positive": 0}), Taken(NO_HEAD_KEPT)
            ),
            "head: a list of names": Case(headed(2, id2label=["negative", "positive"]), Taken(NO_HEAD_KEPT)),
            "head: names without numbers": Case(
                headed(2, id2label={"a": "negative", "b": "positive"}), Taken(NO_HEAD_KEPT)
            ),
            "head: other numbers": Case(headed(2, id2label={"1": "negative", "2": "positive"}), Taken(NO_HEAD_KEPT)),
            "head: a text for names": Case(headed(2, id2label="negative, positive"), Taken(NO_HEAD_KEPT)),
        },
    ),
    Kind(
        "Head",
        "names, but no head, half of one, or one without the pooler before it (as of token classification)",
        "new",
        {
            "head: names alone": Case(setting(**NAMED), Taken()),
            "head: no bias": Case(
                both(headed(2, **NAMED), weighing(dropping(HEAD[1]))), Taken({"prefix": "bert.", "unused": [HEAD[0]]})
            ),
            "head: no pooler": Case(
                both(headed(2, **NAMED), weighing(dropping("pooler"))),
                Taken(NO_HEAD_KEPT | {"new": ["head", "pooler"], "notes": [NEW_POOLER]}),
            ),
        },
    ),
    Kind(
        "Head",
        "one that fits, with NaN in it",
        "refused, naming the tensor",
        {
            "head: NaN": Case(
                both(headed(2, **NAMED), weighing(replacing(HEAD[1], lambda value: value * torch.nan))),
                Refused(rf"{HEAD[1]} holds NaN, .*; "),
            )
        },
    ),
]

# --- configuration ----------------------------------------------------------------------------------------------------

NEEDED = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings",
    "vocab_size", "type_vocab_size",
)  # fmt: skip
NO_COUNTS: dict[str, Any] = {"a text": "2", "a fraction": 2.0, "null": None, "zero": 0, "negative": -1, "true": True}
MEANT_OTHERWISE: dict[str, Any] = {
    "position_embedding_type": "relative_key",
    "is_decoder": True,
    "add_cross_attention": True,
}
NO_VALUES: dict[str, Any] = {
    "hidden_act": ["gelu"],
    "hidden_dropout_prob": "0.1",
    "attention_probs_dropout_prob": 2,
    "layer_norm_eps": None,
    "initializer_range": -1,
}
HARMLESS: dict[str, Any] = {
    "num_labels": 5,
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "return_dict": False,
    "pad_token_id": 7,
    "use_cache": None,
    "output_attentions": True,
    "output_hidden_states": True,
    "torchscript": True,
    "problem_type": "multi_label_classification",
    "dtype": "int8",
    "attn_implementation": "flash_attention_2",
    "transformers_version": "99.0",
    "_name_or_path": "/nowhere",
    "finetuning_task": "mnli",
}

CONFIGURATION_KINDS = [
    Kind(
        "Configuration",
        "no `config.json`, or one called `bert_config.json`",
        "refused: the folder lacks config.json",
        {
            "no config.json": Case(without("config.json"), Refused(r"the folder lacks config\.json; ")),
            "Google's name": Case(
                renamed("config.json", "bert_config.json"),
                Refused(r"the folder lacks config\.json \(its bert_config\.json must be called so\); "),
            ),
        },
    ),
    Kind(
        "Configuration",
        "`config.json` that is no JSON, no object, or has NaN in it",
        "refused",
        {
            "config: cut": Case(
                holding("config.json", lambda data: data[:-20]), Refused(r"config\.json .* JSON .*; fetch")
            ),
            "config: empty": Case(
                holding("config.json", b""), Refused(r"config\.json cannot be read as JSON .*; fetch")
            ),
            "config: not UTF-8": Case(
                holding("config.json", b'{"model_type": "b\xe9rt"}'), Refused(r"config\.json cannot be read as JSON")
            ),
            "config: a list": Case(holding("config.json", b"[]"), Refused(r"config\.json holds no JSON object; fetch")),
            "config: NaN": Case(
                setting(layer_norm_eps=float("nan")), Refused(r"config\.json cannot be read as JSON \(.*NaN.*\); ")
            ),
            "config: nested without end": Case(
                holding("config.json", b"[" * 100_000), Refused(r"config\.json cannot be read as JSON")
            ),
        },
    ),
    Kind(
        "Configuration",
        "a size is missing, or no whole number above 0 (layers, width, heads, positions, vocabulary …)",
        "refused, naming the key and its value",
        {
            **{
                f"config: without {key}": Case(lacking(key), Refused(rf"{key} in its config\.json is null; must be"))
                for key in NEEDED
            },
            **{
                f"config: {key} is {what}": Case(
                    setting(**{key: value}),
                    Refused(rf"{key} in its config\.json is {json.dumps(value)}; must be a whole number above 0"),
                )
                for key in NEEDED
                for what, value in NO_COUNTS.items()
            },
            "config: heads do not divide": Case(
                setting(num_attention_heads=3),
                Refused(r"num_attention_heads in its config\.json is 3; must divide hidden_size, 16"),
            ),
        },
    ),
    Kind(
        "Configuration",
        "another value that cannot be (dropout, epsilon, activation, padding token …)",
        "refused, naming the key",
        {
            **{
                f"config: {key}={json.dumps(value)}": Case(setting(**{key: value}), Refused(rf"{key}.*; "))
                for key, value in NO_VALUES.items()
            },
            "config: another activation": Case(
                setting(hidden_act="gelu2"), Refused(r"hidden_act in its config\.json is .?gelu2.?; must be of gelu, ")
            ),
        },
    ),
    Kind(
        "Configuration",
        "no `model_type`",
        "taken for BERT, whose tensors must all be there",
        {"config: no model_type": Case(lacking("model_type"), Taken())},
    ),
    Kind(
        "Configuration",
        "another `model_type`, relative positions, a decoder, or code of its own (`auto_map`)",
        "refused, naming the key",
        {
            "config: another model": Case(
                setting(model_type="roberta"), Refused(r"its model_type is .?roberta.?; must be bert")
            ),
            "config: no model": Case(setting(model_type=None), Refused(r"its model_type is null; must be bert")),
            "config: its own code": Case(
                setting(auto_map={"AutoModel": "modeling.MyBert"}), Refused(r"auto_map in its config\.json.*; ")
            ),
            **{
                f"config: {key}": Case(setting(**{key: value}), Refused(rf"{key} in its config\.json is .*; must be "))
                for key, value in MEANT_OTHERWISE.items()
            },
        },
    ),
    Kind(
        "Configuration",
        "what it says of heads, outputs, types or other software",
        "without effect",
        {f"config: with {key}": Case(setting(**{key: value}), Taken()) for key, value in HARMLESS.items()},
    ),
    Kind(
        "Configuration",
        "fewer positions than `data.max_length`, or one type of tokens for a task of pairs",
        "refused, naming the key; a task of single texts is fine with one type",
        {
            "short positions": Case(
                both(
                    weighing(replacing("embeddings.position_embeddings.weight", lambda value: value[:64])),
                    setting(max_position_embeddings=64),
                ),
                Refused(r"^data\.max_length=100: the longest that .* takes is 64; must be at most that"),
                {"data.max_length": 100},
            ),
            "one type, single texts": Case(
                both(
                    weighing(replacing("embeddings.token_type_embeddings.weight", lambda value: value[:1])),
                    setting(type_vocab_size=1),
                ),
                Taken(),
            ),
            "one type, pairs": Case(
                both(
                    weighing(replacing("embeddings.token_type_embeddings.weight", lambda value: value[:1])),
                    setting(type_vocab_size=1),
                ),
                Refused(r"its type_vocab_size is 1, but rte has pairs of texts, .*; choose a task of single texts"),
                {"task": "rte"},
            ),
        },
    ),
    Kind(
        "Configuration",
        "an architecture that `model.…` asks for, and that the checkpoint has not",
        "refused, naming both",
        {
            f"model.{key}": Case(
                lambda folder: None,
                Refused(rf"^model\.{key}=99: the checkpoint .* has {CONFIG[theirs]}; "),
                {f"model.{key}": 99, "data.max_length": 16},
            )
            for key, theirs in (
                ("layers", "num_hidden_layers"),
                ("intermediate", "intermediate_size"),
                ("positions", "max_position_embeddings"),
            )
        },
    ),
]

# --- tokenizer --------------------------------------------------------------------------------------------------------

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


def padded_rows_taken(folder: Path) -> None:
    more_embeddings(ROWS)(folder)


def without_word(word: str) -> list[str]:
    """The vocabulary, another word in this one's place."""
    return [f"{word}x" if known == word else known for known in WORDS]


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
        "lower-case words in `vocab.txt` or `tokenizer.json`, alone or together, with `tokenizer_config.json` or without",
        "texts are made lower case",
        {f"lower: {what}": Case(make, Taken()) for what, make in LOWER_FILES.items()},
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
            "config lower, tokenizer.json not": Case(
                both(whole_tokenizer(lower=False), without("vocab.txt")),
                Refused(r"do_lower_case is true in tokenizer_config\.json, but tokenizer\.json does not make .*; "),
            ),
            "config not lower, tokenizer.json is": Case(
                both(whole_tokenizer(), setting("tokenizer_config.json", do_lower_case=False)),
                Refused(r"do_lower_case is false in tokenizer_config\.json, but tokenizer\.json makes .*; "),
            ),
            "config lower, vocab.txt not": Case(
                vocabulary(CASED), Refused(r"vocabulary has words with capitals, .*; ")
            ),
            "tokenizer.json lower, its words not": Case(
                only_whole_tokenizer(CASED), Refused(r"vocabulary has words with capitals, .*; ")
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "`vocab.txt` and `tokenizer.json` with other words or numbers",
        "refused, naming a token and both numbers",
        {
            "two words swapped": Case(
                both(whole_tokenizer(), vocabulary(swapped(WORDS, "film", "movie"))),
                Refused(r"the token '(film|movie)' is number \d+ in vocab\.txt, but \d+ in the tokenizer; "),
            ),
            "a word more in vocab.txt": Case(
                both(whole_tokenizer(WORDS[:-1])), Refused(rf"the token '{WORDS[-1]}' is number .*, but None .*; ")
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "`vocab.txt` with Windows line ends, without a last line end, or shorter than `tokenizer.json`",
        "loaded; `tokenizer.json` counts",
        {
            "CRLF": Case(holding("vocab.txt", lambda data: data.replace(b"\n", b"\r\n")), Taken()),
            "CRLF, alone": Case(
                both(holding("vocab.txt", lambda data: data.replace(b"\n", b"\r\n")), without("tokenizer_config.json")),
                Taken(),
            ),
            "no last line end": Case(holding("vocab.txt", lambda data: data[:-1]), Taken()),
            "a word more in tokenizer.json": Case(both(whole_tokenizer(), vocabulary(WORDS[:-1])), Taken()),
        },
    ),
    Kind(
        "Tokenizer",
        "`vocab.txt` with a word on two lines, or an empty line in place of a word",
        "read as transformers does: the last of equal lines counts",
        {
            "a word twice": Case(
                vocabulary(["film" if word == "movie" else word for word in WORDS]),
                Taken(tokens={"film": ["film"], "movie": ["m", "##o", "##v", "##i", "##e"]}),
            ),
            "an empty line inside": Case(
                vocabulary(["" if word == "movie" else word for word in WORDS]),
                Taken(tokens={"film": ["film"], "movie": ["m", "##o", "##v", "##i", "##e"]}),
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "`vocab.txt` that is empty, not UTF-8, begins with a byte order mark, or ends with empty lines",
        "refused",
        {
            "byte order mark": Case(
                holding("vocab.txt", lambda data: b"\xef\xbb\xbf" + data), Refused(r"vocab\.txt .* byte order.*; ")
            ),
            "empty lines at the end": Case(
                holding("vocab.txt", lambda data: data + b"\n\n"),
                Refused(r"ids up to 471 \(\), its word embeddings 470 rows"),
            ),
            "Latin-1": Case(
                holding("vocab.txt", lambda data: data.replace(b"film\n", b"f\xeelm\n")),
                Refused(r"vocab\.txt is no text in UTF-8 .*; "),
            ),
            "no words": Case(holding("vocab.txt", b""), Refused(r"no pad_token: \[PAD\] is not in its vocabulary; ")),
        },
    ),
    Kind(
        "Tokenizer",
        "no files of a tokenizer",
        "refused: the folder lacks a tokenizer",
        {
            "no tokenizer": Case(
                without("vocab.txt"), Refused(r"the folder lacks a tokenizer: tokenizer\.json or vocab")
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "without `[PAD]`, `[UNK]`, `[CLS]` or `[SEP]`, or one of them null",
        "refused, naming it",
        {
            **{
                f"without {word}": Case(vocabulary(without_word(word)), Refused(rf"no {key}.*{re.escape(word)}.*; "))
                for key, word in zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=False)
            },
            **{
                f"{key} is null": Case(setting("tokenizer_config.json", **{key: None}), Refused(rf"no {key}; "))
                for key in ("pad_token", "unk_token", "cls_token", "sep_token")
            },
            "pad_token is null, with tokenizer.json": Case(
                both(as_transformers_saves(lambda t: None), setting("tokenizer_config.json", pad_token=None)),
                Refused(r"no pad_token; "),
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "special tokens under other names, which `tokenizer_config.json` gives",
        "used",
        {
            "renamed special tokens": Case(
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
                Taken(tokens={"the film": ["the", "film"], "É": ["e"], "東": ["<unk>"]}),
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "truncation, padding or sides stored with it, or a length of its own",
        "without effect: texts are cut at their ends, at `data.max_length`",
        {
            "stored truncation": Case(only_whole_tokenizer(truncation=TRUNCATION, padding=PADDING), Taken()),
            "left sides": Case(
                as_transformers_saves(
                    lambda t: [setattr(t, f"{what}_side", "left") for what in ("padding", "truncation")]
                ),
                Taken(),
            ),
            "model_max_length": Case(setting("tokenizer_config.json", model_max_length=20), Taken()),
        },
    ),
    Kind(
        "Tokenizer",
        "tokens beyond the word embeddings (added, of a larger vocabulary, or `[MASK]` where it is missing)",
        "refused, naming both numbers",
        {
            "without [MASK]": Case(
                vocabulary(without_word("[MASK]")), Refused(r"ids up to 470 \(\[MASK\]\), its word embeddings 470 rows")
            ),
            "added token": Case(
                as_transformers_saves(lambda tokenizer: tokenizer.add_tokens(["wonderfilm"])),
                Refused(rf"ids up to {len(WORDS)} \(wonderfilm\), its word embeddings {len(WORDS)} rows .*; "),
            ),
            "added padding": Case(
                both(
                    as_transformers_saves(lambda tokenizer: tokenizer.add_special_tokens({"pad_token": "<pad>"})),
                ),
                Refused(rf"{len(WORDS)}.* word embeddings {len(WORDS)} rows.*; "),
            ),
            "larger vocabulary": Case(
                both(weighing(replacing(EMBEDDINGS, lambda value: value[:300])), setting(vocab_size=300)),
                Refused(r"ids up to 469 \(yards\), its word embeddings 300 rows \(0 to 299\); "),
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "more word embeddings than tokens, as many as round their number up to a multiple of 8 or more",
        "loaded",
        {"rows for hardware": Case(more_embeddings(ROWS), Taken())},
    ),
    Kind(
        "Tokenizer",
        "fewer tokens than word embeddings otherwise: `vocab.txt` that was cut short, or of another model",
        "refused, naming both numbers",
        {
            "a few words short": Case(
                vocabulary(WORDS[:-3]),
                Refused(rf"has {len(WORDS) - 3} tokens, its word embeddings {len(WORDS)} rows.*; "),
            ),
            "many words short": Case(
                more_embeddings(1024), Refused(rf"has {len(WORDS)} tokens, its word embeddings 1024 rows.*; ")
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "a tokenizer of another kind (BPE, other special tokens around texts), or `tokenizer.json` that is damaged",
        "refused",
        {
            "BPE": Case(bpe, Refused(r"tokenizer.*; ")),
            "no post-processor": Case(only_whole_tokenizer(post_processor=None), Refused(r"tokenizer.*; ")),
            "tokenizer.json: cut": Case(
                both(whole_tokenizer(), holding("tokenizer.json", lambda data: data[:-300])),
                Refused(r"tokenizer\.json cannot be read as JSON"),
            ),
            "tokenizer.json: one brace": Case(
                holding("tokenizer.json", b"{"), Refused(r"tokenizer\.json cannot be read")
            ),
            "tokenizer.json: an object": Case(holding("tokenizer.json", b"{}"), Refused(r"tokenizer.*; ")),
            "tokenizer.json: other types": Case(
                holding("tokenizer.json", b'{"model": "x", "normalizer": [1]}'), Refused(r"tokenizer.*; ")
            ),
            "tokenizer_config.json: cut": Case(
                holding("tokenizer_config.json", b'{"do_lower'),
                Refused(r"tokenizer_config\.json cannot be read as JSON"),
            ),
        },
    ),
    Kind(
        "Tokenizer",
        "`tokenizer_class` names a tokenizer of BERT's kind",
        "used",
        {
            f"tokenizer_class: {kind}": Case(setting("tokenizer_config.json", tokenizer_class=kind), Taken())
            for kind in ("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizer")
        },
    ),
    Kind(
        "Tokenizer",
        "`tokenizer_class` names another or an unknown one, or there is code of its own (`auto_map`)",
        "refused",
        {
            **{
                f"tokenizer_class: {kind}": Case(setting("tokenizer_config.json", tokenizer_class=kind), Refused(told))
                for kind, told in (
                    ("MyTokenizer", r"no tokenizer can be made .*; .* not tokenizer_class 'MyTokenizer'"),
                    ("RobertaTokenizer", r"the token '.*' is number .*, but .* in the tokenizer; "),
                )
            },
            "tokenizer of its own": Case(
                setting("tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization.MyTokenizer", None]}),
                Refused(r"auto_map in its tokenizer_config\.json .*; "),
            ),
        },
    ),
]

KINDS = [*WEIGHT_KINDS, *HEAD_KINDS, *CONFIGURATION_KINDS, *TOKENIZER_KINDS]
