"""The tokens of a task's texts: made once, cached by content, shared by all experiments."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.data.augmentation import unchanged
from compress.data.corpus import DataConfig, contents, load_texts, placed
from compress.data.texts import Texts
from compress.errors import ConfigError
from compress.model.tokenizer import reset
from compress.storage.cache import Damaged, Entry
from compress.storage.hub import SECONDS
from compress.task.config import stated

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from compress.data.augmentation import Augmentation
    from compress.model.encoder import ModelConfig
    from compress.storage.cache import Arrays
    from compress.task.config import TaskConfig

    Array = np.ndarray[Any, Any]

FORMAT = 3  # of the token cache
CHUNK = 4096  # rows whose texts and copies are held at a time
UNKNOWN, MOSTLY_UNKNOWN = 0.01, 0.2  # share of unknown tokens in the texts that is told, and that is refused
ARRAYS = ("ids", "offsets", "seconds", "labels", "sources")


@dataclass(frozen=True)
class Tokens:
    """One split as flat arrays; the tokens of row i are `ids[offsets[i]:offsets[i + 1]]`."""

    ids: Array  # int32 [sum of lengths]
    offsets: Array  # int64 [rows + 1]
    seconds: Array  # int32 [rows]; tokens of the row before its second text (all of them, where there is no second)
    labels: Array  # int64 [rows] class ids, or float32 [rows]
    sources: Array  # int64 [rows]; for a rewritten row the number of the row that it was made of, else its own

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Array:
        """Tokens per row, int64 [rows]."""
        import numpy as np

        return np.diff(self.offsets)

    def chosen(self, rows: Array) -> Tokens:
        """Those of some rows, int64 [rows]."""
        import numpy as np

        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        places = np.arange(lengths.sum()) + np.repeat(self.offsets[rows] - (ends - lengths), lengths)
        rest = (array[rows] for array in (self.seconds, self.labels, self.sources))
        return Tokens(self.ids[places], np.concatenate([[0], ends]), *rest)

    def rows(self, start: int, end: int) -> Tokens:
        """Those of some rows that follow one another."""
        first, last = self.offsets[start], self.offsets[end]
        rest = (array[start:end] for array in (self.seconds, self.labels, self.sources))
        return Tokens(self.ids[first:last], self.offsets[start : end + 1] - first, *rest)


@dataclass(frozen=True)
class Dataset:
    """A task's tokens by split, the rows of `train` that are used, and what a result should say about them.

    Splits for validation have only the rows that are used.
    """

    splits: dict[str, Tokens]
    train_rows: Array
    notes: list[str]


def has_demo_vocabulary(data: DataConfig, model: ModelConfig) -> bool:
    """Whether the model's tokenizer is the demo's own: for one from scratch on its texts."""
    return data.generated and model.pretrained is None


def load_tokenizer(data: DataConfig, model: ModelConfig, seconds: float = SECONDS) -> PreTrainedTokenizerBase:
    """The demo's own for a model from scratch on its texts, else the checkpoint's; `seconds` as of `hub.snapshot`."""
    from compress.data import demo
    from compress.model import encoder

    if has_demo_vocabulary(data, model):
        return demo.build_tokenizer(data.seed)
    return encoder.build_tokenizer(model, seconds)


def prepare(
    data: DataConfig,
    task: TaskConfig,
    tokenizer: PreTrainedTokenizerBase,
    cache: Path,
    augmentation: Augmentation | None = None,
    *,
    seconds: float = SECONDS,
) -> Dataset:
    """The task's tokens from the cache, made first where they are not there.

    With an augmentation the training split is the enlarged one; the rows that `max_train` leaves come with all copies.
    Many processes may ask at once: one makes them, the others wait and read. Arrays are memory-mapped.
    """
    import numpy as np

    def described() -> dict[str, Any]:
        return {
            "format": FORMAT,
            "data": contents(data.whole, task, seconds),
            "task": stated(task),
            "tokenizer": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
            "augmentation": augmentation and augmentation.identity(),
        }

    def make() -> Arrays:
        arrays: dict[str, Array] = {}
        for split, texts in load_texts(data, task, seconds).items():
            asked = augmentation if split == "train" else None
            with entry.place.config_errors():
                tokens = tokenize_all(texts, tokenizer, data.max_length, asked, entry.folder.parent)
            arrays |= {f"{split}.{array}": getattr(tokens, array) for array in ARRAYS}
        if described() != entry.of:
            raise ConfigError(f"task={task.name}: its texts, or WordNet, changed while they were read; run again")
        return arrays

    entry = Entry(cache, "tokens", task.name, described())
    splits = entry.get(lambda arrays: _splits(arrays, task), make)
    sources = splits["train"].sources
    rows, originals = np.arange(len(sources)), int(sources.max()) + 1
    if data.max_train is not None and data.max_train < originals:
        rows = np.flatnonzero(np.isin(sources, _drawn(originals, data.max_train, data.seed)))
    scored = {split: len(splits[split]) for split in task.validation if split in splits}
    fewer = {split: all_rows for split, all_rows in scored.items() if all_rows > (data.max_validation or math.inf)}
    for split, all_rows in fewer.items():
        splits[split] = splits[split].chosen(np.sort(_drawn(all_rows, data.max_validation, data.seed)))
    notes = [f"{split} is not in the data: scores are of {task.validation[0]} alone"
             for split in task.validation if split not in splits]  # fmt: skip
    notes += _notes(task, data, originals, scored)
    notes += [f"{split}: {len(splits[split])} of its {all_rows} rows are scored" for split, all_rows in fewer.items()]
    of_data = entry.of["data"]
    if isinstance(of_data, Mapping) and (commit := of_data.get("commit")):
        there, key = placed(data, task), "data.hub" if task.hub is None else "task.hub"
        notes.append(f"{key}={there.hub}: its revision {there.revision or 'main'} was commit {commit}")
    return Dataset(splits, rows, notes)


def _notes(task: TaskConfig, data: DataConfig, train: int, scored: Mapping[str, int]) -> list[str]:
    """How the task's own labels and splits were made; of so many rows of train, and of each split for validation."""
    notes = []
    if task.labels and task.numbered and task.labels != list(map(str, range(len(task.labels)))):
        numbers = ", ".join(map(str, range(len(task.labels))))
        notes.append(f"the labels {', '.join(task.labels)} of the data are the classes {numbers}")
    if task.held_out is not None:
        split = task.validation[0]
        rows = f"{scored[split]} of the {train + scored[split]} rows of train"
        notes.append(f"{split} is {rows}, drawn by data.seed={data.seed}")
    return notes


def _drawn(rows: int, count: int | None, seed: int) -> Array:
    import numpy as np

    return np.random.default_rng(seed).permutation(rows)[:count]


def tokenize_all(
    texts: Texts, tokenizer: PreTrainedTokenizerBase, max_length: int, augmentation: Augmentation | None, place: Path
) -> Tokens:
    """The tokens of a split, and behind them those of its copies, in memory that does not grow with the ids.

    `CHUNK` rows at a time are rewritten and encoded. Their ids wait in files without a name in the folder `place`, one
    for the rows and one for each copy, and are memory-mapped in the end.
    """
    import numpy as np

    made: list[list[Tokens]] = [[] for _ in range(1 + (augmentation.copies if augmentation else 0))]
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=place)) for _ in made]
        for first in range(0, len(texts.labels), CHUNK):
            rows = texts[first : first + CHUNK]
            enlarged = augmentation.apply(rows) if augmentation else unchanged(rows)
            tokens = tokenize(enlarged.texts, tokenizer, max_length, [first + row for row in enlarged.sources])
            ends = np.searchsorted(enlarged.copies, range(len(made)), side="right")
            for copy, (start, end) in enumerate(itertools.pairwise([0, *ends])):
                part = tokens.rows(start, end)
                files[copy].write(part.ids.tobytes())
                made[copy].append(replace(part, ids=part.ids[:0]))
        for file in files[1:]:
            file.seek(0)
            shutil.copyfileobj(file, files[0])
        files[0].flush()
        ids = np.memmap(files[0], np.int32, mode="r")
    parts = [part for of_copy in made for part in of_copy]
    seconds, labels, sources = (np.concatenate([getattr(part, array) for part in parts]) for array in ARRAYS[2:])
    lengths = np.concatenate([part.lengths for part in parts])
    return Tokens(ids, np.concatenate([[0], np.cumsum(lengths)]), seconds, labels, sources)


def tokenize(
    texts: Texts, tokenizer: PreTrainedTokenizerBase, max_length: int, sources: Sequence[int] | None = None
) -> Tokens:
    """Encode a split: [CLS] first [SEP], or [CLS] first [SEP] second [SEP], the longer text cut first."""
    import numpy as np

    encoded = tokenizer(*texts.columns, truncation=True, max_length=max_length, return_token_type_ids=True)
    reset(tokenizer)
    lengths = [len(row) for row in encoded["input_ids"]]
    is_class = isinstance(texts.labels[0], int)
    return Tokens(
        ids=np.fromiter((token for row in encoded["input_ids"] for token in row), np.int32, sum(lengths)),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        seconds=np.array([row.count(0) for row in encoded["token_type_ids"]], np.int32),
        labels=np.array(texts.labels, np.int64 if is_class else np.float32),
        sources=np.arange(len(texts.labels)) if sources is None else np.array(sources, np.int64),
    )


def check_texts(dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Refuse texts that are mostly unknown to the tokenizer; notes for the result of what is in no small part."""
    notes = []
    for split, tokens in dataset.splits.items():
        share = _share(tokens.ids, tokenizer.unk_token_id)
        told = f"{share:.0%} of the tokens in {split} are unknown ({tokenizer.unk_token})"
        if share > MOSTLY_UNKNOWN:
            cause = "the checkpoint's vocabulary is not one for these texts"
            raise ConfigError(f"data: {told}: {cause}; check that both are of the same language, and cased or not")
        notes += [told] if share > UNKNOWN else []
    return notes


def _share(ids: Array, token: int | None) -> float:
    """Of all tokens those that are this one; a stretch at a time, since there may be billions."""
    import numpy as np

    stretch = 1 << 24
    found = (np.count_nonzero(ids[start : start + stretch] == token) for start in range(0, len(ids), stretch))
    return sum(map(int, found)) / len(ids)


def _splits(arrays: Arrays, task: TaskConfig) -> dict[str, Tokens]:
    """The splits of a cache entry; Damaged if one is missing or not the task's, or arrays cannot be those of tokens."""
    found = [split for split in ("train", *task.validation) if f"{split}.ids" in arrays]
    if missing := {"train", task.validation[0]} - set(found):
        raise Damaged(f"it has no {min(missing)}")
    if odd := set(arrays) ^ {f"{split}.{array}" for split in found for array in ARRAYS}:
        raise Damaged(f"{min(odd)} is missing or too much")
    splits = {split: Tokens(*(arrays[f"{split}.{array}"] for array in ARRAYS)) for split in found}
    for split, tokens in splits.items():
        if not _fits(tokens, task):
            raise Damaged(f"the arrays of {split} do not fit each other or the task")
    return splits


def _fits(tokens: Tokens, task: TaskConfig) -> bool:
    """Whether arrays are of the right types and shapes, and all that they point at is there."""
    import numpy as np

    types: dict[str, Any] = {"ids": np.int32, "offsets": np.int64, "seconds": np.int32, "sources": np.int64}
    types["labels"] = np.float32 if task.regression else np.int64
    if any((found := getattr(tokens, array)).dtype != kind or found.ndim != 1 for array, kind in types.items()):
        return False
    rows, offsets, labels = len(tokens), tokens.offsets, tokens.labels
    if not rows == len(offsets) - 1 == len(tokens.seconds) == len(tokens.sources) > 0:
        return False
    return bool(
        offsets[0] == 0
        and offsets[-1] == len(tokens.ids)
        and (tokens.lengths > 0).all()
        and ((tokens.seconds >= 0) & (tokens.seconds <= tokens.lengths)).all()
        and ((tokens.sources >= 0) & (tokens.sources < rows)).all()
        and (np.isfinite(labels) if task.labels is None else (labels >= 0) & (labels < len(task.labels))).all()
    )
