"""How many operations one training step of TINY's shape dispatches: small models wait for them, not for arithmetic.

Counted with torch's own products on any processor (`compress.model.linear`), so that it is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from compress import experiment
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.methods import registry
from compress.training import loop

SUBSETS = {"plain": (), "quantize": ("quantize",), "all three": ("quantize", "prune", "distill")}
METHODS = {"quantize": "quantize=int8", "prune": "prune=magnitude", "distill": "distill=kd"}
FIRST, LAST = 15, 30  # steps that are counted, of 1000: masks are not chosen at each
TOTAL = 1000
# what neither computes nor is a view by its schema
NOTHING = {
    "_unsafe_view",
    "_reshape_alias",
    "lift_fresh",
    "_local_scalar_dense",
    "empty",
    "empty_like",
    "new_empty",
    "new_empty_strided",
}


class Reached(Exception):  # noqa: N818 - it is no error
    """The last step that is counted."""


class Operations(TorchDispatchMode):
    """Counts the operations that compute something: no views, no allocations, no marks of the profiler."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        namespace, name = func._schema.name.split("::")
        self.count += namespace == "aten" and not func.is_view and name not in NOTHING
        return func(*args, **(kwargs or {}))


def per_step(methods: Sequence[str], cache: Path) -> int:
    """Operations of a training step whose batch is padded: the most of some, without those that choose masks."""
    words = ["model=tiny", "model.pretrained=null", "task=mnli", "data=demo", "device=cpu", "train.epochs=100"]
    words += [f"train.max_steps={TOTAL}", f"paths.cache={cache}", *(METHODS[method] for method in methods)]
    config = next(compositions(words, conf_folder(), multirun=False))
    dataset, tokenizer = experiment.load_data(config)
    torch.manual_seed(0)
    model, _ = experiment.build_model(config, tokenizer)
    active = registry.build(config.methods, np.zeros((len(dataset.train_rows), config.task.outputs), np.float32))
    after: list[int] = []

    def progress(step: int, total: int, loss: float | None) -> None:
        after.append(operations.count)
        if step == LAST:
            raise Reached

    train = replace(config.train, checkpoint_seconds=1e9)
    with Operations() as operations, patch("compress.model.linear.has_unused_avx512", lambda: False):
        try:
            tokens, rows = dataset.splits["train"], dataset.train_rows
            loop.train(
                model, tokens, rows, train, seed=0, padding=int(tokenizer.pad_token_id), methods=active,
                progress=progress,
            )  # fmt: skip
        except Reached:
            pass
    return int(np.diff(after[FIRST - 1 :]).max())
