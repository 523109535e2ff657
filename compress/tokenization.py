"""The tokens of a task's texts: made once, cached by content, shared by all experiments."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.data import DataConfig, Texts, identity, load_texts

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from compress.augment import Augmentation
    from compress.task import TaskConfig

FORMAT = 2  # of the token cache
ARRAYS = ("ids", "offsets", "seconds", "labels", "sources")


@dataclass(frozen=True)
class Tokens:
    """One split as flat arrays; the tokens of row i are `ids[offsets[i]:offsets[i + 1]]`.

    Attributes:
        ids: int32 [sum of lengths].
        offsets: int64 [rows + 1].
        seconds: int32 [rows]; tokens of the row before its second text (all of them, where there is no second).
        labels: int64 [rows] class ids, or float32 [rows].
        sources: int64 [rows]; for a rewritten row the number of the row that it was made of, else its own.
    """

    ids: np.ndarray[Any, Any]
    offsets: np.ndarray[Any, Any]
    seconds: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    sources: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray[Any, Any]:
        """Tokens per row, int64 [rows]."""
        import numpy as np

        return np.diff(self.offsets)


@dataclass(frozen=True)
class Dataset:
    """A task's tokens by split, the rows of `train` that are used, and what a result should say about them."""

    splits: dict[str, Tokens]
    train_rows: np.ndarray[Any, Any]
    notes: list[str]


def prepare(
    data: DataConfig,
    task: TaskConfig,
    tokenizer: PreTrainedTokenizerBase,
    cache: Path,
    augmentation: Augmentation | None = None,
) -> Dataset:
    """The task's tokens from the cache, made first where they are not there.

    With an augmentation the training split is the enlarged one; the rows that `max_train` leaves come with all copies.
    Many processes may ask at once: one makes them, the others wait and read. Arrays are memory-mapped.
    """
    import numpy as np
    from filelock import FileLock

    used = identity(replace(data, max_train=None), task)
    described = [FORMAT, used, asdict(task), tokenizer.backend_tokenizer.to_str()]
    described += [augmentation.identity()] if augmentation else []
    fingerprint = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / "tokens" / f"{task.name}-{fingerprint}"
    splits = _read(folder)
    if splits is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            splits = _read(folder)
            if splits is None:
                _write(folder, _tokens(load_texts(data, task, cache), tokenizer, data.max_length, augmentation))
                splits = _read(folder)
    assert splits is not None, f"the token cache {folder} cannot be read right after it was written"
    sources = splits["train"].sources
    rows, originals = np.arange(len(sources)), int(sources.max()) + 1
    if data.max_train is not None and data.max_train < originals:
        chosen = np.random.default_rng(data.seed).permutation(originals)[: data.max_train]
        rows = np.flatnonzero(np.isin(sources, chosen))
    missing = [split for split in task.validation if split not in splits]
    notes = [f"{split} is not in the data: scores are of {task.validation[0]} alone" for split in missing]
    return Dataset(splits, rows, notes)


def _tokens(
    texts: Mapping[str, Texts],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    augmentation: Augmentation | None,
) -> dict[str, Tokens]:
    splits = {}
    for split, rows in texts.items():
        enlarged = augmentation.apply(rows) if augmentation and split == "train" else (rows, None)
        splits[split] = tokenize(enlarged[0], tokenizer, max_length, enlarged[1])
    return splits


def tokenize(
    texts: Texts, tokenizer: PreTrainedTokenizerBase, max_length: int, sources: Sequence[int] | None = None
) -> Tokens:
    """Encode a split: [CLS] first [SEP], or [CLS] first [SEP] second [SEP], the longer text cut first."""
    import numpy as np

    encoded = tokenizer(*texts.columns, truncation=True, max_length=max_length, return_token_type_ids=True)
    lengths = [len(row) for row in encoded["input_ids"]]
    is_class = isinstance(texts.labels[0], int)
    return Tokens(
        ids=np.fromiter((token for row in encoded["input_ids"] for token in row), np.int32, sum(lengths)),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        seconds=np.array([row.count(0) for row in encoded["token_type_ids"]], np.int32),
        labels=np.array(texts.labels, np.int64 if is_class else np.float32),
        sources=np.arange(len(texts.labels)) if sources is None else np.array(sources, np.int64),
    )


def _read(folder: Path) -> dict[str, Tokens] | None:
    """The cached splits; None where there are none or a file has not the size that was written."""
    import numpy as np

    try:
        sizes: dict[str, int] = json.loads((folder / "sizes.json").read_text())
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return None
        names = dict.fromkeys(name.split(".")[0] for name in sizes)
        return {
            split: Tokens(*(np.load(folder / f"{split}.{array}.npy", mmap_mode="r") for array in ARRAYS))
            for split in names
        }
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _write(folder: Path, splits: Mapping[str, Tokens]) -> None:
    """Write all splits to a new folder and put it in place whole."""
    import numpy as np

    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    for split, tokens in splits.items():
        for array in ARRAYS:
            np.save(scratch / f"{split}.{array}.npy", getattr(tokens, array))
    sizes = {file.name: file.stat().st_size for split in splits for file in sorted(scratch.glob(f"{split}.*.npy"))}
    (scratch / "sizes.json").write_text(json.dumps(sizes))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(scratch, folder)
