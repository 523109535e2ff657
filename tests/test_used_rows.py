"""Training the embeddings of the tokens that occur gives what training all of them gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from compress.data.tokenization import Tokens
from compress.methods.base import Method
from compress.training import used_rows
from compress.training.loop import Training, train
from tests.test_train import RECIPE, small_model
from tests.test_train import tokens as tokens

UNUSED = [1, 4, *range(20, 30)]
USED = [0, 2, 3, *range(5, 20)]


@pytest.fixture
def few(tokens: Tokens) -> Tokens:
    """No text has one of the last ten of the thirty tokens."""
    return replace(tokens, ids=np.where(tokens.ids >= 20, tokens.ids - 10, tokens.ids))


class All(Method):
    """A method that does nothing, but may look at any embedding."""


class Nothing(Method):
    """A method that does nothing and looks at no embedding."""

    all_embeddings = False


def trained(few: Tokens, methods: Sequence[Method], **recipe: Any) -> tuple[BertForSequenceClassification, Training]:
    model = small_model()
    what = replace(RECIPE, weight_decay=0.3, **recipe)
    scores = iter(range(9, 0, -1))
    return model, train(
        model, few, np.arange(len(few)), what, seed=0, padding=0, methods=methods,
        dev_score=lambda: float(next(scores)),
    )  # fmt: skip


def words(model: BertForSequenceClassification) -> torch.Tensor:
    return model.get_input_embeddings().weight.detach()


@pytest.mark.parametrize("select", ["last", "best"])
def test_used_rows_are_the_same_and_unused_ones_decay(few: Tokens, select: str) -> None:
    """With `best` the first epoch's weights are kept, and so the decay until then."""
    (ours, _), (theirs, _) = (trained(few, methods, select=select) for methods in ([Nothing()], [All()]))
    start = words(small_model())
    for name, value in ours.state_dict().items():
        expected = theirs.state_dict()[name]
        if name.endswith("word_embeddings.weight"):
            assert torch.allclose(value[USED], expected[USED], atol=1e-6)
            assert torch.allclose(value[UNUSED], expected[UNUSED], rtol=0, atol=3e-7)
            assert not torch.allclose(value[UNUSED], start[UNUSED], rtol=1e-3)
        else:
            assert torch.allclose(value, expected, atol=1e-6), name


def test_without_clipping_used_rows_are_equal_bit_for_bit(few: Tokens) -> None:
    """The norm of all gradients is summed in another order; nothing else is."""
    (ours, _), (theirs, _) = (trained(few, methods, clip=1e9) for methods in ([Nothing()], [All()]))
    assert words(ours)[USED].equal(words(theirs)[USED])


def test_meanwhile_only_they_are_there_and_afterwards_all_are(few: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[torch.Size] = []

    class Watching(Nothing):
        def after_step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
            shapes.append(model.get_input_embeddings().weight.shape)  # type: ignore[operator]

    model, _ = trained(few, [Watching()])
    assert set(shapes) == {torch.Size([len(np.unique(np.append(few.ids, 0))), 16])}
    embedding = model.get_input_embeddings()
    assert embedding.weight.shape == (30, 16)
    assert embedding.padding_idx == 0
    assert not embedding._forward_pre_hooks
    shapes.clear()
    trained(few, [Watching(), All()])
    assert set(shapes) == {torch.Size([30, 16])}


def test_a_token_that_was_left_out_is_an_error_and_no_other_row(few: Tokens) -> None:
    model = small_model()
    rows = used_rows.used_rows(model, few, np.arange(len(few)), 0)
    assert rows is not None
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[2, 25, 3]]))
    before = words(small_model())
    with rows.all_rows(1.0):
        assert words(model).equal(before)
        model(input_ids=torch.tensor([[2, 25, 3]]))
    rows.put_back(0.5)
    assert words(model)[UNUSED].equal(0.5 * before[UNUSED])
    assert words(model)[USED].equal(before[USED])


@pytest.mark.parametrize("rows", [lambda n: np.arange(n), lambda n: np.arange(0, n, 7), lambda n: np.array([3, 3, 99])])
def test_what_is_looked_up(few: Tokens, rows: Callable[[int], Any]) -> None:
    chosen = rows(len(few))
    ids = {int(each) for row in chosen for each in few.ids[few.offsets[row] : few.offsets[row + 1]]}
    assert used_rows.looked_up(few, chosen, 0, 30).tolist() == sorted(ids | {0})


def test_it_is_left_alone_where_it_gains_nothing_or_is_shared(tokens: Tokens, few: Tokens) -> None:
    model, everything = small_model(), replace(tokens, ids=np.arange(len(tokens.ids), dtype=np.int32) % 30)
    assert used_rows.used_rows(model, everything, np.arange(len(tokens)), 0) is None
    model.register_parameter("tied", model.get_input_embeddings().weight)
    assert used_rows.used_rows(model, few, np.arange(len(few)), 0) is None
