"""Word embeddings in training without the rows that no text looks up.

Such a row has no gradient: in a step of AdamW it only decays, by 1 − learning rate · weight decay, which one product
over all steps tells. So the rows that are looked up are trained alone, and the others are put back at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compress.data.tokenization import Tokens

STRETCH = 1 << 24  # ids that are looked at together: there may be billions
WORTHWHILE = 0.9  # share of the rows that are looked up, from which all of them are trained


class UsedRows:
    """The embedding of token ids, its weight cut down to the rows of `ids` until all are put back.

    `weight` is the same parameter before, meanwhile and afterwards. Of the ids, ascending, the padding's is one.
    """

    def __init__(self, embedding: nn.Embedding, ids: NDArray[np.int64]) -> None:
        self.embedding, self.all = embedding, embedding.weight.data
        self.ids = torch.from_numpy(ids).to(self.all.device)
        slots = torch.full((len(self.all),), len(ids), device=self.all.device)  # an id without a row is an error
        slots[self.ids] = torch.arange(len(ids), device=self.all.device)
        self.slots, self.padding = slots, embedding.padding_idx
        self._cut(self.all[self.ids])

    def _cut(self, kept: torch.Tensor) -> None:
        self.embedding.weight.data = kept
        if self.padding is not None:
            self.embedding.padding_idx = int(self.slots[self.padding])
        self.hook = self.embedding.register_forward_pre_hook(lambda module, inputs: (self.slots[inputs[0]],))

    def put_back(self, decay: float) -> None:
        """Have all rows again: those that were trained, and the others times `decay`."""
        trained, self.embedding.weight.data = self.embedding.weight.data, self.all * decay
        self.embedding.weight.data[self.ids] = trained
        self.embedding.padding_idx = self.padding
        self.hook.remove()

    @contextmanager
    def all_rows(self, decay: float) -> Iterator[None]:
        """Have all rows for a while."""
        trained = self.embedding.weight.data
        self.put_back(decay)
        try:
            yield
        finally:
            self._cut(trained)


def looked_up(tokens: Tokens, rows: NDArray[np.int64], padding: int, size: int) -> NDArray[np.int64]:
    """Those of `size` ids that these rows hold, and the padding's, ascending."""
    seen = np.zeros(size, dtype=bool)
    seen[padding] = True
    if len(rows) == len(tokens):  # each once
        for start in range(0, len(tokens.ids), STRETCH):
            seen[tokens.ids[start : start + STRETCH]] = True
    else:
        for row in np.unique(rows):
            seen[tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]] = True
    return np.flatnonzero(seen)


def used_rows(model: Any, tokens: Tokens, rows: NDArray[np.int64], padding: int) -> UsedRows | None:
    """Cut the model's word embeddings down to what these rows look up; None if it cannot be done or gains little."""
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding):
        return None
    shared = sum(parameter is embedding.weight for _, parameter in model.named_parameters(remove_duplicate=False))
    ids = looked_up(tokens, rows, padding, embedding.num_embeddings)
    if shared > 1 or embedding.max_norm is not None or len(ids) > WORTHWHILE * embedding.num_embeddings:
        return None
    return UsedRows(embedding, ids)
