"""Every row once per epoch, at random, among rows of its own length."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.data.batches import POOL, bucketed, by_length, collate, steps_per_epoch
from compress.data.tokenization import Tokens

sizes = st.integers(1, 5000)


def lengths_of(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).geometric(0.08, rows).clip(3, 128)


@given(rows=sizes, batch_size=st.integers(1, 70), seed=st.integers(0, 2**32), epoch=st.integers(0, 9))
def test_every_row_comes_once_and_only_one_batch_is_smaller(rows: int, batch_size: int, seed: int, epoch: int) -> None:
    batches = bucketed(lengths_of(rows), batch_size, seed, epoch)
    assert sorted(np.concatenate(batches)) == list(range(rows))
    assert len(batches) == steps_per_epoch(rows, batch_size)
    assert sum(len(batch) < batch_size for batch in batches) <= 1


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    lengths = lengths_of(500)
    np.random.seed(1)
    first = np.concatenate(bucketed(lengths, 32, seed=3, epoch=1))
    np.random.seed(2)
    assert (first == np.concatenate(bucketed(lengths, 32, seed=3, epoch=1))).all()
    assert (first != np.concatenate(bucketed(lengths, 32, seed=3, epoch=2))).any()
    assert (first != np.concatenate(bucketed(lengths, 32, seed=4, epoch=1))).any()


def test_neighbours_change_between_epochs() -> None:
    lengths = lengths_of(5000)
    batches = [{frozenset(batch.tolist()) for batch in bucketed(lengths, 32, 0, epoch)} for epoch in (0, 1)]
    assert not batches[0] & batches[1]


def test_long_and_short_batches_are_mixed_over_the_epoch() -> None:
    means = np.array([lengths_of(20000)[batch].mean() for batch in bucketed(lengths_of(20000), 32, 0, 0)])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.1
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.1


def test_padding_is_a_small_share_of_what_random_batches_pad() -> None:
    lengths = lengths_of(POOL * 32)

    def padding(batches: list[np.ndarray]) -> int:
        return sum(int(len(batch) * lengths[batch].max() - lengths[batch].sum()) for batch in batches)

    random = np.random.default_rng(0).permutation(len(lengths)).reshape(-1, 32)
    assert padding(bucketed(lengths, 32, 0, 0)) < 0.1 * padding(list(random))


@given(rows=sizes, tokens=st.integers(1, 4000))
def test_evaluation_sees_every_row_once_in_batches_of_so_many_tokens(rows: int, tokens: int) -> None:
    lengths = lengths_of(rows)
    batches = list(by_length(lengths, tokens))
    assert sorted(np.concatenate(batches)) == list(range(rows))
    assert all(len(batch) == 1 or len(batch) * lengths[batch].max() <= tokens for batch in batches)
    for batch, after in itertools.pairwise(batches):  # one more row would not have fitted
        assert (len(batch) + 1) * lengths[after].min() > tokens


@pytest.fixture
def tokens() -> Tokens:
    rows = [[2, 10, 11, 3], [2, 12, 3, 13, 14, 15, 3], [2, 16, 3]]
    return Tokens(
        ids=np.concatenate(rows).astype(np.int32),
        offsets=np.array([0, 4, 11, 14]),
        seconds=np.array([4, 3, 3], np.int32),
        labels=np.array([0, 1, 1]),
        sources=np.arange(3),
    )


def test_collated_rows_are_padded_to_the_longest_of_them(tokens: Tokens) -> None:
    batch = collate(tokens, np.array([2, 0]), padding=9, device=torch.device("cpu"))
    assert batch["input_ids"].tolist() == [[2, 16, 3, 9], [2, 10, 11, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["token_type_ids"].tolist() == [[0] * 4, [0] * 4]
    assert batch["labels"].tolist() == [1, 0]


def test_the_second_text_has_the_second_token_type(tokens: Tokens) -> None:
    batch = collate(tokens, np.array([1, 0]), padding=0, device=torch.device("cpu"))
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1, 1], [0] * 7]
