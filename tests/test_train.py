"""The loop does what its recipe says, bit for bit again, and calls every method at its moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup

from compress.data.batches import bucketed, collate
from compress.data.tokenization import Tokens
from compress.methods.base import Method
from compress.methods.quantize import Quantize, QuantizeConfig
from compress.model import first_token
from compress.training.loop import TrainConfig, learning_rate_factor, task_loss, train
from compress.training.optimizer import build_optimizer

RECIPE = TrainConfig(
    epochs=2, max_steps=None, batch_size=8, learning_rate=1e-3, weight_decay=0.01, warmup=0.1, clip=1.0,
    precision="fp32", compile=False, select="last", checkpoint_seconds=300,
)  # fmt: skip


@pytest.fixture
def tokens() -> Tokens:
    """100 sentences in which one word decides the class."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(4, 12, 100)
    labels = generator.integers(0, 2, 100)
    rows = [
        np.r_[2, generator.integers(7, 30, length - 3), 5 + label, 3]
        for length, label in zip(lengths, labels, strict=True)
    ]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Tokens(np.concatenate(rows).astype(np.int32), offsets, lengths.astype(np.int32), labels, np.arange(100))


def small_model(outputs: int = 2, dropout: float = 0.1, seed: int = 0) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16, num_labels=outputs, hidden_dropout_prob=dropout, initializer_range=0.1,
            attention_probs_dropout_prob=dropout,
        )
    )  # fmt: skip


def run(tokens: Tokens, recipe: TrainConfig = RECIPE, **more: Any) -> tuple[BertForSequenceClassification, Any]:
    model = more.pop("model", None) or small_model()
    return model, train(model, tokens, np.arange(len(tokens)), recipe, **{"seed": 0, "padding": 0, **more})


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    return all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())


# --- the recipe -------------------------------------------------------------------------------------------------------


def test_it_learns(tokens: Tokens) -> None:
    rows: list[dict[str, float]] = []
    _, training = run(tokens, replace(RECIPE, epochs=30, learning_rate=3e-3), log=rows.append)
    assert rows[-1]["loss"] < 0.1 < 0.6 < rows[0]["loss"]
    assert training.steps == 30 * 13


def test_it_equals_a_plain_loop_of_the_same_recipe_bit_for_bit(tokens: Tokens) -> None:
    ours, _ = run(tokens)

    model = small_model()
    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=3, num_training_steps=26)
    model.train()
    for epoch in range(2):
        for rows in bucketed(tokens.lengths, 8, 0, epoch):
            batch = collate(tokens, rows, 0, torch.device("cpu"))
            model(**batch).loss.backward()
            norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
            optimizer.grad_scale = norm.clamp(min=1.0)  # type: ignore[attr-defined]
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    assert same(ours, model)


@pytest.mark.parametrize(("total", "warmup"), [(26, 0.1), (100, 0.0), (7, 0.5), (1, 0.1), (10, 1.0)])
def test_the_schedule_is_linear_warm_up_and_decay(total: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(total * warmup), total)
    for step in range(total):
        assert learning_rate_factor(step, total, warmup) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()


def test_biases_and_layer_norms_do_not_decay() -> None:
    model = small_model()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, others = (
        {names[id(p)] for p in group["params"]}
        for group in build_optimizer(model, RECIPE.learning_rate, RECIPE.weight_decay).param_groups
    )
    assert others == {name for name in names.values() if name.endswith("bias") or "LayerNorm" in name}
    assert decayed | others == set(names.values())


def test_max_steps_ends_early_and_the_schedule_knows(tokens: Tokens) -> None:
    rows: list[dict[str, float]] = []
    _, training = run(tokens, replace(RECIPE, max_steps=15), log=rows.append)
    assert training.steps == 15
    assert rows[-1]["learning_rate"] == pytest.approx(1e-3 / 13)
    assert run(tokens, replace(RECIPE, max_steps=999))[1].steps == 26


def test_bf16_trains_float32_weights_to_nearly_the_same(tokens: Tokens) -> None:
    recipe = replace(RECIPE, epochs=30, learning_rate=3e-3)
    rows: list[dict[str, float]] = []
    model, _ = run(tokens, replace(recipe, precision="bf16"), log=rows.append)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert rows[-1]["loss"] < 0.1
    assert not same(model, run(tokens, recipe)[0])


# --- the loss ---------------------------------------------------------------------------------------------------------


def test_a_class_loss_is_the_mean_cross_entropy() -> None:
    logits, labels = torch.randn(7, 3), torch.tensor([0, 1, 2, 2, 1, 0, 1])
    expected = -logits.double().log_softmax(1)[range(7), labels].mean()
    assert task_loss(logits, labels).item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_regression_loss_does_not_broadcast() -> None:
    logits, labels = torch.randn(7, 1), torch.randn(7)
    expected = sum((logits[row, 0] - labels[row]) ** 2 for row in range(7)) / 7
    assert task_loss(logits, labels).item() == pytest.approx(float(expected), abs=1e-6)
    broadcast = (logits - labels).square().mean()  # what [7, 1] - [7] would give
    assert abs(task_loss(logits, labels) - broadcast) > 1e-3


def test_a_regression_of_one_row_keeps_its_axis() -> None:
    assert task_loss(torch.ones(1, 1), torch.zeros(1)).item() == 1.0


# --- the same again ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_bit_for_bit(tokens: Tokens) -> None:
    assert same(run(tokens)[0], run(tokens)[0])


def test_another_seed_gives_other_weights(tokens: Tokens) -> None:
    assert not same(run(tokens)[0], run(tokens, seed=1)[0])


def test_logging_and_progress_change_nothing(tokens: Tokens) -> None:
    seen: list[tuple[int, int]] = []
    watched, _ = run(tokens, log=lambda row: None, progress=lambda step, total, loss: seen.append((step, total)))
    assert same(watched, run(tokens)[0])
    assert seen == [(step, 26) for step in range(1, 27)]


# --- selection --------------------------------------------------------------------------------------------------------


def scores_in_turn(values: list[float | None]) -> tuple[Callable[[], float | None], list[int]]:
    calls: list[int] = []

    def score() -> float | None:
        calls.append(len(calls))
        return values[len(calls) - 1]

    return score, calls


def weights_after(tokens: Tokens, values: list[float | None]) -> torch.nn.Module:
    recipe = replace(RECIPE, epochs=len(values), select="best")
    return run(tokens, recipe, dev_score=scores_in_turn(values)[0])[0]


def test_nothing_is_scored_for_selection_by_default(tokens: Tokens) -> None:
    score, calls = scores_in_turn([1.0, 2.0])
    run(tokens, dev_score=score)
    assert not calls


def test_best_keeps_the_epoch_with_the_best_score_even_a_negative_one(tokens: Tokens) -> None:
    last = weights_after(tokens, [-9.0, -8.0, -7.0])
    assert same(last, run(tokens, replace(RECIPE, epochs=3))[0])
    middle = weights_after(tokens, [-9.0, -7.0, -8.0])
    assert not same(middle, last)
    assert same(middle, weights_after(tokens, [None, -7.0, None]))


def test_of_equal_scores_the_earliest_is_kept_and_undefined_ones_never_win(tokens: Tokens) -> None:
    assert same(weights_after(tokens, [5.0, 5.0, 5.0]), weights_after(tokens, [5.0, 1.0, 2.0]))
    assert same(weights_after(tokens, [None, None, None]), run(tokens, replace(RECIPE, epochs=3))[0])


# --- failure and methods ----------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_training_and_says_where(tokens: Tokens) -> None:
    with pytest.raises(FloatingPointError, match=r"the loss is nan by step \d+ of 26; lower train.learning_rate"):
        run(tokens, replace(RECIPE, learning_rate=1e30))


class Diary(Method):
    """Writes down what the loop asks of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.progress: list[float] = []

    def prepare(self, model: torch.nn.Module) -> None:
        self.calls.append("prepare")

    def before_step(self, progress: float) -> None:
        self.calls.append("before_step")
        self.progress.append(progress)

    def loss(self, loss: torch.Tensor, logits: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        self.calls.append("loss")
        assert logits.dtype == torch.float32
        return loss

    def after_step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.calls.append("after_step")

    def finalize(self, model: torch.nn.Module) -> None:
        self.calls.append("finalize")

    def metrics(self) -> dict[str, float]:
        return {"diary": 1.0}


def test_a_method_is_called_at_its_moments_and_an_idle_one_changes_nothing(tokens: Tokens) -> None:
    diary = Diary()
    rows: list[dict[str, float]] = []
    model, _ = run(tokens, methods=[Method(), diary], log=rows.append)
    assert diary.calls == ["prepare", *["before_step", "loss", "after_step"] * 26, "before_step"]
    assert diary.progress == [step / 26 for step in range(27)]
    assert all(row["diary"] == 1.0 for row in rows)
    assert same(model, run(tokens)[0])


def test_best_is_chosen_among_models_that_are_compressed_to_the_end(tokens: Tokens) -> None:
    class Late(Method):
        def __init__(self) -> None:
            self.over = False

        def before_step(self, progress: float) -> None:
            self.over = progress >= 0.5

        def settled(self) -> bool:
            return self.over

    scores = iter([0.9, 0.1])
    _, training = run(
        tokens, replace(RECIPE, epochs=4, select="best"), methods=[Late()], dev_score=lambda: next(scores)
    )
    assert training.epoch_scores == [0.9, 0.1]  # of the third and the fourth epoch


def test_a_methods_loss_is_the_one_that_is_minimized(tokens: Tokens) -> None:
    class Opposite(Method):
        def loss(self, loss: torch.Tensor, logits: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
            return functional.mse_loss(logits, torch.full_like(logits, 3.0))

    model, _ = run(tokens, replace(RECIPE, epochs=40, learning_rate=1e-2), methods=[Opposite()])
    batch = collate(tokens, np.arange(10), 0, torch.device("cpu"))
    del batch["labels"]
    with torch.inference_mode():
        assert (model(**batch).logits - 3).abs().max() < 0.3


# --- compiled ---------------------------------------------------------------------------------------------------------


def test_a_compiled_training_is_the_training(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where layers share what is made once for a step; traced as for any backend, and run as it was traced."""
    real, states = torch.compile, []
    monkeypatch.setattr(torch, "compile", lambda model, **settings: real(model, backend="aot_eager", **settings))
    config = QuantizeConfig(name="int8", activations=True, embeddings=True, momentum=0.05, freeze=0.8)
    for compiled in (False, True):
        model = small_model(dropout=0.0)
        first_token.apply(model)
        recipe = replace(RECIPE, epochs=1, compile=compiled)
        run(tokens, recipe, model=model, methods=[Quantize(config)])
        states.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert torch.allclose(states[0], states[1], atol=1e-3)
