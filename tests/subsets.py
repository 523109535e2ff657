"""Experiments with any subset of the study's methods, small enough for a test."""

from __future__ import annotations

import itertools

import pytest
import torch

METHODS = {"quantize": "quantize=int8", "distill": "distill=kd", "prune": "prune=magnitude"}
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(METHODS, size)]
DEMO = ("model=demo/tiny", "data=demo", "train=demo", "train.max_steps=12", "device=cpu", "distill.teacher=mini",
        "distill.weak_teacher=true")  # fmt: skip

every_subset = pytest.mark.parametrize("subset", SUBSETS, ids=lambda subset: "+".join(subset) or "none")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def words(subset: tuple[str, ...], *more: str) -> list[str]:
    """The overrides of an experiment."""
    return [*DEMO, *(METHODS[group] for group in subset), *more]
