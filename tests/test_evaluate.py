"""Predictions come back in the rows' own order, and scores say where they are undefined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from compress.data.batches import collate
from compress.data.tokenization import Dataset, Tokens
from compress.task.config import TaskConfig
from compress.training.evaluate import evaluate, predict
from tests.test_train import small_model

TASK = TaskConfig(
    name="rte",
    text=["sentence"],
    labels=["no", "yes"],
    validation=["validation"],
    metrics=["f1"],
    accuracy_metrics=["accuracy"],
)


def tokens_of(rows: int, labels: np.ndarray | None = None) -> Tokens:
    generator = np.random.default_rng(0)
    lengths = generator.integers(3, 16, rows)
    return Tokens(
        ids=generator.integers(1, 30, lengths.sum()).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        seconds=lengths.astype(np.int32),
        labels=generator.integers(0, 2, rows) if labels is None else labels,
        sources=np.arange(rows),
    )


def dataset(**splits: Tokens) -> Dataset:
    return Dataset(splits, np.arange(0), [])


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 300])
def test_every_row_is_predicted_once_and_in_its_place(rows: int) -> None:
    model, tokens = small_model().eval(), tokens_of(rows)
    logits = predict(model, tokens, padding=0)
    assert logits.shape == (rows, 2)
    for row in {0, rows // 2, rows - 1}:
        batch = collate(tokens, np.array([row]), 0, torch.device("cpu"))
        del batch["labels"]
        with torch.inference_mode():
            assert logits[row] == pytest.approx(model(**batch).logits[0].numpy(), abs=1e-5)


def test_predicting_leaves_the_model_as_it_was() -> None:
    model = small_model(dropout=0.5).train()
    before, state = torch.get_rng_state(), {key: value.clone() for key, value in model.state_dict().items()}
    first, second = (predict(model, tokens_of(50), padding=0) for _ in range(2))
    assert (first == second).all()  # no dropout
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_scores_are_the_metrics_of_the_predictions() -> None:
    model, tokens = small_model().eval(), tokens_of(200)
    right = predict(model, tokens, 0).argmax(1) == tokens.labels
    scores = evaluate(model, dataset(validation=tokens), TASK, 0)
    assert scores.metrics["accuracy"] == right.mean()
    assert scores.accuracy == pytest.approx(100 * right.mean())
    assert set(scores.metrics) == {"f1", "accuracy"}


def test_two_validation_splits_are_told_apart_and_an_absent_one_is_left_out() -> None:
    task = replace(TASK, validation=["validation_matched", "validation_mismatched"], metrics=["accuracy"])
    both = evaluate(
        small_model(), dataset(validation_matched=tokens_of(90), validation_mismatched=tokens_of(60)), task, 0
    )
    assert set(both.metrics) == {"accuracy_matched", "accuracy_mismatched"}
    assert both.glue == pytest.approx(50 * sum(value or 0 for value in both.metrics.values()))
    one = evaluate(small_model(), dataset(validation_matched=tokens_of(90)), task, 0)
    assert one.metrics == {"accuracy_matched": both.metrics["accuracy_matched"]}
    assert one.glue == pytest.approx(100 * (one.metrics["accuracy_matched"] or 0))


def test_a_constant_classifier_is_noted() -> None:
    model = small_model()
    torch.nn.init.zeros_(model.classifier.weight)
    model.classifier.bias.data = torch.tensor([0.0, 1.0])
    scores = evaluate(model, dataset(validation=tokens_of(40)), TASK, 0)
    assert scores.notes == ["validation: every prediction is 1"]


def test_a_constant_regressor_has_no_correlation_and_no_score() -> None:
    model = small_model(outputs=1)
    torch.nn.init.zeros_(model.classifier.weight)
    task = replace(TASK, labels=None, metrics=["pearson", "spearman"], accuracy_metrics=["pearson", "spearman"])
    labels = np.random.default_rng(1).random(40).astype(np.float32)
    scores = evaluate(model, dataset(validation=tokens_of(40, labels)), task, 0)
    assert scores.metrics == {"pearson": None, "spearman": None}
    assert scores.glue is None
    assert "validation: pearson is undefined (0/0)" in scores.notes
