"""Replicas of what the default path loads from the model hub: BERT checkpoints and `nyu-mll/glue`.

File names and formats, names of weights, columns and labels are those of the real repositories. The weights are random,
the vocabulary is made here, the texts are the demo's. A repository is a value: its files at one commit.

    tiny = sized("tiny")  # google/bert_uncased_L-2_H-128_A-2, at its real shape
    later = tiny.changed({"README.md": b"another"})  # another commit of it
    lay_out([tiny, glue()], home)  # a hub cache: HF_HOME=home HF_HUB_OFFLINE=1
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from compress.data import demo

if TYPE_CHECKING:
    import torch

Kind = Literal["models", "datasets"]
CONF = Path(__file__).resolve().parents[1] / "conf"
SIZES = ("tiny", "mini", "small", "medium", "base", "large")
LFS = (".bin", ".safetensors", ".parquet")  # kept in large file storage, as .gitattributes says
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"  # what git holds instead


@dataclass(frozen=True)
class File:
    """A file of a repository."""

    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        """The digest of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git holds in place of a large file."""
        return POINTER.format(sha256=self.sha256, size=len(self.content)).encode()

    @cached_property
    def blob_id(self) -> str:
        """The id of git's blob: of the content, or of the pointer to it."""
        blob = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    @property
    def etag(self) -> str:
        """By which a download is known, and the name of a blob in the hub's cache."""
        return self.sha256 if self.lfs else self.blob_id


@dataclass(frozen=True)
class Repository:
    """A repository at one commit.

    Attributes:
        name: `owner/name`.
        files: by path.
        commit: 40 hexadecimal digits.
    """

    kind: Kind
    name: str
    files: Mapping[str, File]
    commit: str

    @classmethod
    def of(cls, kind: Kind, name: str, contents: Mapping[str, bytes], commit: str | None = None) -> Repository:
        """A repository with these contents by path; without a commit it has one that follows from them."""
        files = {path: File(contents[path], path.endswith(LFS)) for path in sorted(contents)}
        return cls(kind, name, files, commit or _commit(name, files))

    def changed(self, contents: Mapping[str, bytes | None]) -> Repository:
        """Another commit, with these contents in place of what is at their paths; None removes a file."""
        files = {path: file for path, file in self.files.items() if path not in contents}
        files |= {path: File(new, path.endswith(LFS)) for path, new in contents.items() if new is not None}
        return Repository(self.kind, self.name, dict(sorted(files.items())), _commit(self.name, files))


def _commit(name: str, files: Mapping[str, File]) -> str:
    listing = sorted((path, file.blob_id) for path, file in files.items())
    return hashlib.sha1(json.dumps([name, listing]).encode()).hexdigest()


def lay_out(repositories: Iterable[Repository], home: Path) -> None:
    """Write repositories as the hub's clients keep them in HF_HOME, each as its branch `main`."""
    for repository in repositories:
        folder = home / "hub" / f"{repository.kind}--{repository.name.replace('/', '--')}"
        for path, file in repository.files.items():
            blob, link = folder / "blobs" / file.etag, folder / "snapshots" / repository.commit / path
            _write(blob, file.content)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
        _write(folder / "refs" / "main", repository.commit.encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# --- checkpoints ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """The architecture of a checkpoint; small by default."""

    layers: int = 1
    hidden: int = 8
    heads: int = 2
    intermediate: int = 16
    positions: int = 512
    vocabulary: int = 30522


def _option(group: str, name: str) -> dict[str, Any]:
    """A file of the configuration, as it is written."""
    return yaml.safe_load((CONF / group / f"{name}.yaml").read_text())


def shape_of(size: str) -> Shape:
    """The architecture that the configuration demands of a size."""
    option = _option("model", size)
    return Shape(**{name: option[name] for name in asdict(Shape()) if name in option})


@cache
def sized(size: str, shape: Shape | None = None, **options: Any) -> Repository:
    """The checkpoint of a size, under the name and the revision of `conf/model/<size>.yaml`.

    TINY has its real shape by default, the others a small one. Only BASE and LARGE come with the tokenizer's files, and
    with the old names of LayerNorm's weights. `options`: as `bert` takes them.
    """
    option, big = _option("model", size), size in ("base", "large")
    usual: dict[str, Any] = {
        "old_names": big,
        "position_ids": not big,
        "tokenizer": ("tokenizer.json", "tokenizer_config.json") if big else (),
        "commit": option["revision"] if re.fullmatch("[0-9a-f]{40}", option["revision"]) else None,
        "seed": SIZES.index(size),
    }
    return bert(option["pretrained"], shape or (shape_of(size) if size == "tiny" else Shape()), **usual | options)


def bert(
    name: str,
    shape: Shape,
    *,
    model_type: bool = True,
    old_names: bool = False,
    pretraining_head: bool = True,
    position_ids: bool = True,
    weights: tuple[str, ...] = ("model.safetensors", "pytorch_model.bin"),
    tokenizer: tuple[str, ...] = (),
    commit: str | None = None,
    seed: int = 0,
) -> Repository:
    """A BERT with random weights.

    Args:
        name: `owner/name`.
        model_type: whether `config.json` says that it is a BERT.
        old_names: LayerNorm's weights are `gamma` and `beta`, as in the first checkpoints.
        pretraining_head: has the `cls.*` weights too.
        position_ids: has that buffer too.
        weights: which files, with the same weights.
        tokenizer: which of `tokenizer.json` and `tokenizer_config.json` there are, beside `vocab.txt`.
        commit: of the repository; None: follows from the files.
        seed: of the weights.
    """
    state = _state(shape, seed)
    if not pretraining_head:
        state = {key: value for key, value in state.items() if not key.startswith("cls.")}
    if not position_ids:
        del state["bert.embeddings.position_ids"]
    if old_names:
        state = {_old_name(key): value for key, value in state.items()}
    tokens = vocabulary(shape.vocabulary)
    settings: dict[str, Any] = {"do_lower_case": True, "model_max_length": shape.positions}
    contents = {
        "README.md": b"---\nlicense: apache-2.0\n---\n# A BERT with random weights\n",
        ".gitattributes": _attributes(*LFS),
        "config.json": json.dumps(_config(shape) | ({"model_type": "bert"} if model_type else {}), indent=2).encode(),
        "vocab.txt": "".join(f"{token}\n" for token in tokens).encode(),
        "model.safetensors": _safetensors(state) if "model.safetensors" in weights else None,
        "pytorch_model.bin": _pickled(state) if "pytorch_model.bin" in weights else None,
        "tokenizer.json": _tokenizer(tokens) if "tokenizer.json" in tokenizer else None,
        "tokenizer_config.json": json.dumps(settings).encode() if "tokenizer_config.json" in tokenizer else None,
    }
    present = {path: content for path, content in contents.items() if content is not None}
    return Repository.of("models", name, present, commit)


def _attributes(*suffixes: str) -> bytes:
    """Git's list of the files that are in large file storage."""
    return "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in suffixes).encode()


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "hidden_size": shape.hidden,
        "hidden_act": "gelu",
        "initializer_range": 0.02,
        "vocab_size": shape.vocabulary,
        "hidden_dropout_prob": 0.1,
        "num_attention_heads": shape.heads,
        "type_vocab_size": 2,
        "max_position_embeddings": shape.positions,
        "num_hidden_layers": shape.layers,
        "intermediate_size": shape.intermediate,
        "attention_probs_dropout_prob": 0.1,
    }


def _state(shape: Shape, seed: int) -> dict[str, torch.Tensor]:
    """All weights of BERT with its pretraining head, by their new names."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    state = {"bert.embeddings.position_ids": torch.arange(shape.positions)[None]}
    for name, size in _sizes(shape).items():
        is_scale = name.endswith("LayerNorm.weight")
        state[name] = torch.randn(size, generator=generator).mul_(0.03).add_(1.0 if is_scale else 0.0)
    return state


def _sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Name of each weight -> its shape."""
    hidden, wide = shape.hidden, shape.intermediate
    sizes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, outputs: int, inputs: int) -> None:
        sizes.update({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})

    def norm(name: str) -> None:
        sizes.update({f"{name}.LayerNorm.weight": (hidden,), f"{name}.LayerNorm.bias": (hidden,)})

    for rows, table in ((shape.vocabulary, "word"), (shape.positions, "position"), (2, "token_type")):
        sizes[f"bert.embeddings.{table}_embeddings.weight"] = (rows, hidden)
    norm("bert.embeddings")
    for number in range(shape.layers):
        layer = f"bert.encoder.layer.{number}"
        for name in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{name}", hidden, hidden)
        linear(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output")
        linear(f"{layer}.intermediate.dense", wide, hidden)
        linear(f"{layer}.output.dense", hidden, wide)
        norm(f"{layer}.output")
    linear("bert.pooler.dense", hidden, hidden)
    sizes["cls.predictions.bias"] = (shape.vocabulary,)
    linear("cls.predictions.transform.dense", hidden, hidden)
    norm("cls.predictions.transform")
    linear("cls.seq_relationship", 2, hidden)
    return sizes


def _old_name(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def _safetensors(state: Mapping[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    return save(dict(state), metadata={"format": "pt"})


def _pickled(state: Mapping[str, torch.Tensor]) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(dict(state), file)
    return file.getvalue()


def _tokenizer(tokens: tuple[str, ...]) -> bytes:
    from tokenizers import BertWordPieceTokenizer

    return BertWordPieceTokenizer({token: number for number, token in enumerate(tokens)}).to_str().encode()


@cache
def vocabulary(size: int = 30522) -> tuple[str, ...]:
    """A vocabulary laid out like BERT's: distinct, in lower case, the special tokens at their places.

    It has all ASCII characters, the words of the demo's texts, and made-up words up to the size.
    """
    unused = [f"[unused{number}]" for number in range(994)]
    special = ["[PAD]", *unused[:99], "[UNK]", "[CLS]", "[SEP]", "[MASK]", *unused[99:]]
    inside = string.digits + string.ascii_lowercase
    characters = [*string.punctuation, *inside, *("##" + character for character in inside)]
    known = dict.fromkeys([*special, *characters, *_demo_words()])
    syllables = ["".join(pair) for pair in product("bcdfghjklmnpqrstvwxyz", "aeiou")]
    made_up = (word for word in map("".join, product(syllables, repeat=3)) if word not in known)
    return tuple([*known, *islice(made_up, max(0, size - len(known)))][:size])


def _demo_words() -> list[str]:
    """Every word of the demo's texts."""
    tables = [table for task in demo.TASKS for table in _generated(task, 0).values()]
    columns = [column for table in tables for name, column in table.items() if name not in ("label", "idx")]
    return sorted({word for column in columns for text in column for word in text.split()})


@cache
def _generated(task: str, seed: int) -> dict[str, dict[str, list[Any]]]:
    """The demo's splits of a task, made once."""
    return demo.generate(task, seed)


# --- GLUE -------------------------------------------------------------------------------------------------------------


@cache
def glue(rows: int = 200, seed: int = 0) -> Repository:
    """`nyu-mll/glue` at the revision of `conf/data/glue.yaml`, with the demo's texts.

    Args:
        rows: of each training split, 400 at most; the others have half of that, each with texts of its own.
    """
    data = _option("data", "glue")
    contents: dict[str, bytes] = {".gitattributes": _attributes(".parquet")}
    card: dict[str, Any] = {"license": ["other"], "language": ["en"], "pretty_name": "GLUE"}
    infos, configs = [], []
    for task in sorted(demo.TASKS):
        option, tables = _option("task", task), _splits(task, rows, seed)
        files = {f"{task}/{split}-00000-of-00001.parquet": split for split in tables}
        contents |= {path: _parquet(tables[split], option) for path, split in files.items()}
        infos.append(_info(option, tables, sum(len(contents[path]) for path in files)))
        paths = [{"split": split, "path": f"{task}/{split}-*"} for split in tables]
        configs.append({"config_name": task, "data_files": paths})
    card |= {"config_names": sorted(demo.TASKS), "dataset_info": infos, "configs": configs}
    front = yaml.safe_dump(card, sort_keys=False)
    contents["README.md"] = f"---\n{front}---\n# GLUE's eight tasks, generated\n".encode()
    return Repository.of("datasets", data["hub"], contents, data["revision"])


def _splits(task: str, rows: int, seed: int) -> dict[str, dict[str, list[Any]]]:
    """Split -> column -> values; a test split has the last of the held-out texts, and no labels."""
    held_out = dict(_generated(task, seed))
    splits = {"train": _part(held_out.pop("train"), slice(rows))}
    splits |= {name: _part(table, slice(rows // 2)) for name, table in held_out.items()}
    for name, table in held_out.items():
        test = _part(table, slice(-(rows // 2), None))
        test |= {"label": [type(label)(-1) for label in test["label"]], "idx": list(range(rows // 2))}
        splits[name.replace("validation", "test")] = test
    return splits


def _part(table: Mapping[str, list[Any]], rows: slice) -> dict[str, list[Any]]:
    return {name: column[rows] for name, column in table.items()}


def _parquet(table: dict[str, list[Any]], option: Mapping[str, Any]) -> bytes:
    """The file that `datasets` writes: it names the features, labels and all, in the schema."""
    import pyarrow as pa
    from pyarrow import parquet

    labels, texts = option["labels"], option["text"]
    features = {name: {"dtype": "string", "_type": "Value"} for name in texts}
    label = {"names": labels, "_type": "ClassLabel"} if labels else {"dtype": "float32", "_type": "Value"}
    features |= {"label": label, "idx": {"dtype": "int32", "_type": "Value"}}
    types = [(name, pa.string()) for name in texts]
    types += [("label", pa.int64() if labels else pa.float32()), ("idx", pa.int32())]
    schema = pa.schema(types, metadata={"huggingface": json.dumps({"info": {"features": features}})})
    file = io.BytesIO()
    parquet.write_table(pa.table(table, schema=schema), file)
    return file.getvalue()


def _info(option: Mapping[str, Any], tables: Mapping[str, Any], download_size: int) -> dict[str, Any]:
    """What the data set's card says of a task."""
    names = dict(enumerate(option["labels"] or []))
    label = {"class_label": {"names": {str(number): name for number, name in names.items()}}} if names else "float32"
    features: list[dict[str, Any]] = [{"name": name, "dtype": "string"} for name in option["text"]]
    features += [{"name": "label", "dtype": label}, {"name": "idx", "dtype": "int32"}]
    sizes = {split: len(json.dumps(table)) for split, table in tables.items()}
    splits = [
        {"name": split, "num_bytes": sizes[split], "num_examples": len(table["label"])}
        for split, table in tables.items()
    ]
    return {
        "config_name": option["name"],
        "features": features,
        "splits": splits,
        "download_size": download_size,
        "dataset_size": sum(sizes.values()),
    }
