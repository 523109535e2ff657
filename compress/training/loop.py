"""The training loop: fine-tune a model on one task, with any methods, in one function that reads downward."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compress.checked import checked
from compress.training.checkpoint import Checkpoint, Position, State, random_state, set_random_state
from compress.training.tuned import Tuned, choice

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch.optim import Optimizer

    from compress.data.tokenization import Tokens
    from compress.methods.base import Method

LOG_POINTS = 100  # rows of metrics.jsonl that one training leaves, evenly spread


@checked
class TrainConfig:
    """How a model is fine-tuned."""

    epochs: int = Field(description="passes over the training set", ge=1)
    max_steps: int | None = Field(description="stop after this many steps; null: after the epochs", ge=1)
    batch_size: int = Field(description="training rows per step", ge=1)
    learning_rate: float = Field(description="peak learning rate, reached after the warm-up", gt=0)
    weight_decay: float = Field(description="AdamW's weight decay; not applied to biases and LayerNorm", ge=0)
    warmup: float = Field(description="share of the steps in which the learning rate rises from 0", ge=0, le=1)
    clip: float = Field(description="largest norm of the gradients; larger ones are scaled down to it", gt=0)
    precision: Literal["fp32", "bf16"] = Field(description="precision of matrix products; weights are always fp32")
    compile: bool = Field(description="use torch.compile; it starts slowly and pays off in long runs on GPUs")
    select: Literal["last", "best"] = Field(
        description="weights to keep: those of the last step, or of the epoch with the best dev score"
    )
    checkpoint_seconds: float = Field(
        description="seconds between checkpoints; a killed run continues from the last one", gt=0
    )
    further_epochs: int = Field(
        default=1, description="epochs of a run that starts from a fine-tuned model (model.start)", ge=1
    )
    further_rate: float = Field(
        default=1.0, description="factor on learning_rate for a run that starts from a fine-tuned model", gt=0
    )
    tuned: Tuned | None = Field(
        default=None, description="learning rates and epochs by task and model, written by `launch tune`"
    )

    def for_cell(self, task: str, model: str, learning_rate: float) -> TrainConfig:
        """With what is chosen for a task and a model, or else this learning rate; ConfigError if nothing is."""
        if self.tuned is None:
            return replace(self, learning_rate=learning_rate)
        chosen = choice(self.tuned, task, model)
        return replace(self, learning_rate=chosen["learning_rate"], epochs=chosen["epochs"])

    def further(self) -> TrainConfig:
        """The training of a model that is fine-tuned already."""
        return replace(self, epochs=self.further_epochs, learning_rate=self.learning_rate * self.further_rate)


@dataclass(frozen=True)
class Training:
    """What a training took, and the dev scores after each epoch if it selected by them."""

    steps: int
    seconds: float
    epoch_scores: list[float | None]
    resumed: int  # how often it went on from a checkpoint


def task_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Cross-entropy, in whose mean classes may have weights, or mean squared error where the head has one output.

    Args:
        logits: [batch, outputs]; squeezed to [batch] for a regression, lest the difference broadcast to a matrix.
        labels: int64 [batch] classes, or float32 [batch].
        weights: float32 [outputs] of the classes.
    """
    from torch.nn import functional

    if logits.shape[-1] == 1:
        return functional.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
    return functional.cross_entropy(logits, labels, weights)


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Linear rise over the first `warmup` share of the steps, then linear decay to 0 at `total`."""
    rising = math.ceil(total * warmup)
    return step / rising if step < rising else (total - step) / max(1, total - rising)


def decay(steps: int, total: int, config: TrainConfig) -> float:
    """What so many steps of `total` leave of a weight that is decayed and has no gradient, as a share of it."""
    factors = (learning_rate_factor(step, total, config.warmup) for step in range(steps))
    return math.prod(1 - config.learning_rate * factor * config.weight_decay for factor in factors)


def train(
    model: torch.nn.Module,
    tokens: Tokens,
    rows: NDArray[np.int64],
    config: TrainConfig,
    *,
    seed: int,
    padding: int,
    class_weights: Sequence[float] | None = None,
    methods: Sequence[Method] = (),
    dev_score: Callable[[], float | None] | None = None,
    log: Callable[[dict[str, float]], None] = lambda row: None,
    progress: Callable[[int, int, float | None], None] = lambda step, total, loss: None,
    checkpoint: Checkpoint | None = None,
) -> Training:
    """Fine-tune `model` in place on the given rows of the training split; `finalize` of the methods is the caller's.

    Deterministic on a CPU for a given seed and number of threads: the global generator is the caller's to seed, the
    order of the batches depends on `seed` alone.

    Args:
        class_weights: of the classes in the loss on the labels, which methods add theirs to.
        dev_score: scores the model on the dev set; called after every epoch if `select=best`, once compression is done.
        log: receives about `LOG_POINTS` rows of numbers.
        progress: receives every step, the total, and where it is known the mean loss since it last was.
        checkpoint: where to go on from, and to save to when it is due.

    Raises:
        FloatingPointError: the loss is infinite or no number.
        Stopped: the checkpoint was asked to stop, and the state is saved.
    """
    import torch

    from compress.data.batches import bucketed, collate, steps_per_epoch
    from compress.model.first_token import added_mask
    from compress.model.structure import takes
    from compress.training.evaluate import some_batches
    from compress.training.optimizer import build_optimizer, clip, set_learning_rate
    from compress.training.used_rows import used_rows

    device, inputs = next(model.parameters()).device, takes(model)
    added = added_mask(model)
    weights = None if class_weights is None else torch.tensor(class_weights, device=device)
    epoch_steps = steps_per_epoch(len(rows), config.batch_size)
    total = min(config.epochs * epoch_steps, config.max_steps or config.epochs * epoch_steps)
    for method in methods:
        method.prepare(model)
    words = None if any(method.all_embeddings for method in methods) else used_rows(model, tokens, rows, padding)
    optimizer = build_optimizer(model, config.learning_rate, config.weight_decay)
    parameters = list(model.parameters())
    at = resume(checkpoint, model, optimizer, methods)
    forward = torch.compile(model, dynamic=True) if config.compile else model
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")
    lengths = tokens.lengths[rows]
    log_every = max(1, total // LOG_POINTS)
    started = time.perf_counter() - at.seconds

    for epoch in range(at.step // epoch_steps, -(-total // epoch_steps)):
        model.train()
        first = epoch * epoch_steps
        for picked in bucketed(lengths, config.batch_size, seed, epoch)[at.step - first : total - first]:
            if checkpoint is not None and checkpoint.due():
                at.seconds = time.perf_counter() - started
                save(checkpoint, at, model, optimizer, methods)
            batch = collate(tokens, rows[picked], padding, device, inputs, added_mask=added)
            labels = batch.pop("labels")
            rate = config.learning_rate * learning_rate_factor(at.step, total, config.warmup)
            set_learning_rate(optimizer, rate)
            for method in methods:
                method.before_step(at.step / total)
            with autocast:
                logits = forward(**batch).logits
            logits = logits.float()
            loss = task_loss(logits, labels, weights)
            for method in methods:
                loss = method.loss(loss, logits, picked)
            loss.backward()
            for method in methods:
                method.after_backward(model)
            norm = clip(optimizer, parameters, config.clip)
            optimizer.step()
            optimizer.zero_grad()
            for method in methods:
                method.after_step(model, optimizer)
            at.advance(lengths[picked], loss)

            if at.step % log_every and at.step < total:  # a GPU is asked for numbers only now and then: it has to wait
                progress(at.step, total, None)
                continue
            mean_loss, elapsed = at.mean_loss(total), time.perf_counter() - started
            progress(at.step, total, mean_loss)
            row = {"global_step": at.step, "epoch": at.step / epoch_steps, "loss": mean_loss, "learning_rate": rate}
            log(row | {"gradient_norm": norm.item(), **_throughput(at, elapsed, device), **_metrics(methods)})

        if at.step == total:
            for method in methods:
                method.before_step(1.0)
        if config.select == "best" and dev_score is not None and all(method.settled() for method in methods):
            with contextlib.nullcontext() if words is None else words.all_rows(decay(at.step, total, config)):
                score = dev_score()
                at.score_epoch(score, model)
            logged = math.nan if score is None else score
            log({"global_step": at.step, "epoch": at.step / epoch_steps, "dev_score": logged})

    if words is not None:
        words.put_back(decay(at.step, total, config))
    seconds = time.perf_counter() - started
    if at.best_weights is not None:
        model.load_state_dict(at.best_weights)
    model.eval()
    with torch.no_grad():
        for method in methods:
            method.calibrate(model, lambda count: some_batches(model, tokens, rows, padding, seed, count))
    return Training(at.step, seconds, at.epoch_scores, at.resumed)


def _throughput(at: Position, seconds: float, device: torch.device) -> dict[str, float]:
    import torch

    rates = {"examples_per_second": at.rows / seconds, "tokens_per_second": at.tokens / seconds, "seconds": seconds}
    memory = {"memory_bytes": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {}
    return rates | memory


def _metrics(methods: Sequence[Method]) -> dict[str, float]:
    return {name: value for method in methods for name, value in method.metrics().items()}


def save(
    checkpoint: Checkpoint, at: Position, model: torch.nn.Module, optimizer: Optimizer, methods: Sequence[Method]
) -> None:
    """Save all that decides how training goes on, but for what its configuration says."""
    checkpoint.save(_state(at, model, optimizer, methods), at.step)


def _state(at: Position, model: torch.nn.Module, optimizer: Optimizer, methods: Sequence[Method]) -> State:
    return {
        "progress": vars(at),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "methods": [method.state_dict() for method in methods],
        "random": random_state(),
    }


def resume(
    checkpoint: Checkpoint | None, model: torch.nn.Module, optimizer: Optimizer, methods: Sequence[Method]
) -> Position:
    """Put everything back as it was saved, and say where that was; the beginning, if nothing that fits was saved."""
    if checkpoint is None:
        return Position()

    def apply(state: State) -> Position:
        before = copy.deepcopy(_state(Position(), model, optimizer, methods))
        try:
            return _put_back(state, model, optimizer, methods)
        except Exception:
            _put_back(before, model, optimizer, methods)
            raise

    at = checkpoint.restore(apply)
    if at is None:
        return Position()
    at.resumed += 1
    checkpoint.say(f"going on from the checkpoint after step {at.step}")
    return at


def _put_back(state: State, model: torch.nn.Module, optimizer: Optimizer, methods: Sequence[Method]) -> Position:
    """Put a state in force; an error where it does not fit, and part of it may be in force."""
    at = Position(**state["progress"])
    at.losses = [loss.to(next(model.parameters()).device) for loss in at.losses]
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for parameter, kept in optimizer.state.items():
        if any(value.shape not in (parameter.shape, ()) for value in kept.values()):
            raise ValueError("the optimizer's state is of other parameters")
    for method, saved in zip(methods, state["methods"], strict=True):
        method.load_state_dict(saved)
    set_random_state(state["random"])
    return at
