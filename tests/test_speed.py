"""What a training step dispatches does not grow unseen: small models wait for operations; and how speed is compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.benchmarks.in_turns import Spread, measure, rows
from tests.benchmarks.operations import SUBSETS, Operations, per_step

MOST = {"plain": 156, "quantize": 270, "all three": 292}  # may sink, and is then to be written down; may not rise


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_training_step_has_no_more_operations_than_it_had(subset: str, cache: Path) -> None:
    count = per_step(SUBSETS[subset], cache)
    assert count <= MOST[subset]
    assert count >= 0.8 * MOST[subset], f"{count}: write it down in {__file__}"


def test_operations_are_the_same_each_time(cache: Path) -> None:
    assert per_step((), cache) == per_step((), cache)


def test_views_and_allocations_are_not_counted() -> None:
    with Operations() as operations:
        x = torch.empty(3, 4).zero_()
        _ = (x.t().reshape(-1)[:6] + 1).view(2, 3) @ x.transpose(0, 1)[:3].detach()
    assert operations.count == 4  # zero_, a copy in reshape, add, a matrix product


def test_contenders_are_asked_in_turns_and_compared_round_by_round() -> None:
    asked: list[tuple[str, int]] = []

    def contender(name: str, seconds: float) -> Callable[[int], float]:
        def ask(number: int) -> float:
            asked.append((name, number))
            return seconds * (number or 100)  # what warms up does not count

        return ask

    measured = measure({"ours": contender("ours", 2.0), "theirs": contender("theirs", 3.0)}, rounds=2)
    assert asked == [("ours", 0), ("theirs", 0), ("theirs", 1), ("ours", 1), ("ours", 2), ("theirs", 2)]
    ours, theirs = rows("step", "tiny", "s", measured, "ours", "ours", "theirs")
    assert (ours.value, ours.ratio) == (Spread(3.0, 2.0, 4.0), None)
    assert (theirs.value, theirs.ratio) == (Spread(4.5, 3.0, 6.0), Spread(1.5, 1.5, 1.5))
