"""What the project's own loop and evaluation take, in CPU seconds of one thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compress import experiment
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.data.batches import collate
from compress.methods import registry
from compress.methods.base import Method
from compress.methods.distill import Distill
from compress.training import loop
from compress.training.evaluate import predict
from tests.conftest import SHARED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compress.config.schema import Config
    from compress.data.tokenization import Dataset

BATCH = 32
BASE = ("model=base", "model.pretrained=null", f"model.tokenizer={SHARED}/weights/standin-tiny")
METHODS = {
    "quantize": ("quantize=int8",),
    # a whole training chooses masks 20 times in thousands of steps, these few steps once
    "prune": ("prune=magnitude", "prune.updates=1"),
    "distill": ("distill=kd", "distill.copies=0", f"distill.teacher={SHARED}/weights/standin-mini"),
}


def checkpoint(shape: str) -> str:
    """The folder of the stand-in checkpoint of a shape."""
    return f"{SHARED}/weights/standin-{shape}"


@dataclass(frozen=True)
class Prepared:
    """All that a training needs but the model."""

    config: Config
    dataset: Dataset
    tokenizer: PreTrainedTokenizerBase

    @property
    def padding(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def model(self, seed: int) -> PreTrainedModel:
        """A new one."""
        torch.manual_seed(seed)
        return experiment.build_model(self.config, self.tokenizer)[0]


@lru_cache
def prepared(
    shape: str, task: str, steps: int, scratch: str, precision: str = "fp32", methods: tuple[str, ...] = ()
) -> Prepared:
    """One epoch of so many steps; `shape` is tiny, mini, or base from scratch."""
    model = BASE if shape == "base" else ("model=pretrained", f"model.pretrained={checkpoint(shape)}")
    words = [*model, f"task={task}", f"data.path={SHARED}/glue", f"data.max_train={steps * BATCH}", "device=cpu"]
    words += ["train.epochs=1", f"train.batch_size={BATCH}", f"train.precision={precision}"]
    words += ["train.learning_rate=3e-4", f"paths.cache={scratch}/cache", *(w for m in methods for w in METHODS[m])]
    config = next(compositions(words, conf_folder(), multirun=False))
    return Prepared(config, *experiment.load_data(config))


def _seconds_per_step(at: Prepared, model: torch.nn.Module, methods: Sequence[Method], seed: int, steps: int) -> float:
    tokens, rows = at.dataset.splits["train"], at.dataset.train_rows
    began = time.process_time()
    training = loop.train(model, tokens, rows, at.config.train, seed=seed, padding=at.padding, methods=methods)
    seconds = time.process_time() - began
    assert training.steps == steps
    return seconds / steps


def train(
    shape: str,
    task: str,
    steps: int,
    seed: int,
    scratch: str,
    precision: str = "fp32",
    methods: Sequence[str] = (),
    asked_at_every_step: bool = False,
) -> float:
    """CPU seconds of a training step, with what the loop does before the first and after the last.

    Args:
        asked_at_every_step: the teacher, a plain BERT of MINI's shape, answers to each batch.
    """
    at = prepared(shape, task, steps, scratch, precision, tuple(methods))
    logits = np.zeros((len(at.dataset.train_rows), at.config.task.outputs), np.float32)
    active = registry.build(at.config.methods, logits)
    if asked_at_every_step:
        active = [AskedAtEveryStep(each, at) if isinstance(each, Distill) else each for each in active]
    return _seconds_per_step(at, at.model(seed), active, seed, steps)


class AskedAtEveryStep(Distill):
    """Distillation without a cache."""

    def __init__(self, distill: Distill, at: Prepared) -> None:
        super().__init__(distill.config, np.array(distill.teacher_logits))
        self.at, self.teacher = at, plain_bert("mini", at.config.task.outputs).eval()

    def loss(self, loss: torch.Tensor, logits: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
        """As it is, on what the teacher answers now."""
        dataset = self.at.dataset
        batch = collate(dataset.splits["train"], dataset.train_rows[rows], self.at.padding, logits.device)
        del batch["labels"]
        with torch.inference_mode():
            self.teacher_logits[rows] = self.teacher(**batch).logits.numpy()
        return super().loss(loss, logits, rows)


def plain_bert(shape: str, outputs: int) -> Any:
    """As transformers loads it."""
    from transformers import AutoModelForSequenceClassification

    folder = checkpoint(shape)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=outputs, dtype=torch.float32)


def train_torchao(shape: str, task: str, steps: int, seed: int, scratch: str, plain: bool) -> float:
    """The same in our loop with torchao's quantization-aware training, of a plain BERT or of our model."""
    at = prepared(shape, task, steps, scratch)
    torch.manual_seed(seed)
    model = plain_bert(shape, at.config.task.outputs) if plain else at.model(seed)
    return _seconds_per_step(at, model, [Torchao()], seed, steps)


class Torchao(Method):
    """What is quantized is what `quantize=int8` does; torchao's ranges of inputs are each token's own."""

    all_embeddings = False

    def prepare(self, model: torch.nn.Module) -> None:
        """Fake-quantize all Linear layers and their inputs, and the embeddings."""
        prepare_torchao(model)


def prepare_torchao(model: torch.nn.Module) -> None:
    """torchao's prepare step: int8 weights per channel, inputs per token, embeddings per row."""
    from torchao.quantization import quantize_
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

    weight = IntxFakeQuantizeConfig(torch.int8, "per_channel", is_symmetric=True)
    inputs = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
    linear = QATConfig(activation_config=inputs, weight_config=weight, step="prepare")
    quantize_(model, linear, filter_fn=lambda module, name: isinstance(module, torch.nn.Linear))
    embedding = QATConfig(weight_config=weight, step="prepare")
    quantize_(model, embedding, filter_fn=lambda module, name: isinstance(module, torch.nn.Embedding))


def save_trained(shape: str, task: str, file: str, scratch: str) -> None:
    """A model's parameters after 50 steps, for `evaluate` here and of the Trainer."""
    at = prepared(shape, task, 50, scratch)
    model = at.model(0)
    _seconds_per_step(at, model, [], 0, 50)
    torch.save(model.state_dict(), file)


def evaluate(shape: str, task: str, file: str, scratch: str) -> tuple[float, list[int]]:
    """CPU seconds of `predict` on the dev set, and the classes that it predicts."""
    at = prepared(shape, task, 50, scratch)
    model = at.model(0)
    model.load_state_dict(torch.load(file))
    began = time.process_time()
    logits = predict(model, at.dataset.splits[at.config.task.validation[0]], at.padding)
    return time.process_time() - began, logits.argmax(axis=1).tolist()


def tokens(shape: str, task: str, steps: int, scratch: str) -> int:
    """In the training rows, so that both can be seen to train on the same."""
    at = prepared(shape, task, steps, scratch)
    return int(at.dataset.splits["train"].lengths[at.dataset.train_rows].sum())
