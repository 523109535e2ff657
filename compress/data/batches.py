"""Batches of similar length: what a short text costs is its own length, not the longest of the data."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compress.model.structure import INPUTS

if TYPE_CHECKING:
    from compress.data.tokenization import Tokens

    Rows = np.ndarray[Any, np.dtype[np.int64]]

POOL = 50  # batches that are sorted by length together


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Batches in one pass; the last may be smaller."""
    return -(-rows // batch_size)


def bucketed(lengths: Rows, batch_size: int, seed: int, epoch: int) -> list[Rows]:
    """One epoch's batches of row numbers: every row once, similar lengths together, otherwise at random.

    The rows are shuffled and dealt into pools of `POOL` batches; a pool is sorted by length and cut into batches,
    and the batches of all pools are shuffled. A pure function of its arguments, so that a resumed run goes on alike;
    `lengths` are tokens per row, [rows].
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    batches: list[Rows] = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches.extend(pool[first : first + batch_size] for first in range(0, len(pool), batch_size))
    return [batches[index] for index in generator.permutation(len(batches))]


def by_length(lengths: Rows, tokens: int) -> Iterator[Rows]:
    """Batches for evaluation: every row once, shortest first, as many as fit into so many tokens when padded."""
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        sizes = np.arange(1, len(order) - first + 1)[:tokens]
        fitting = int(np.searchsorted(lengths[order[first : first + len(sizes)]] * sizes, tokens, side="right"))
        yield order[first : first + max(1, fitting)]
        first += max(1, fitting)


def collate(
    tokens: Tokens,
    rows: Rows,
    padding: int,
    device: torch.device,
    inputs: Collection[str] = INPUTS,
    *,
    added_mask: bool = False,
) -> dict[str, torch.Tensor]:
    """The rows padded: the `INPUTS` that the model takes, int64 [batch, length]; and `labels` [batch]."""
    starts, ends = tokens.offsets[rows], tokens.offsets[rows + 1]
    columns = np.arange(int((ends - starts).max()))
    where = starts[:, None] + columns
    mask = where < ends[:, None]
    arrays = {
        "input_ids": np.where(mask, tokens.ids[np.minimum(where, ends[:, None] - 1)], padding),
        "token_type_ids": mask & (columns >= tokens.seconds[rows][:, None]),
        "attention_mask": mask,
    }
    if mask.all():
        del arrays["attention_mask"]
    batch = {name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items() if name in inputs}
    if added_mask and "attention_mask" in batch:
        batch["attention_mask"] = torch.from_numpy(np.where(mask, np.float32(0), -np.float32(np.inf))[:, None, None])
    batch["labels"] = torch.from_numpy(np.asarray(tokens.labels[rows]))
    if device.type == "cpu":
        return batch
    return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in batch.items()}
