"""What transformers.Trainer takes with the same recipe, in CPU seconds of one thread.

It shares nothing with the project but the recipe: its own reading, tokenizing, batching and loop.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

COLUMNS = {
    "cola": ["sentence"],
    "sst2": ["sentence"],
    "qqp": ["question1", "question2"],
    "qnli": ["question", "sentence"],
    "mnli": ["premise", "hypothesis"],
}
MAX_LENGTH = 128
BATCH = 32
POOL = 50  # batches that group_by_length sorts together, of a training set of at least 200

transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()


@lru_cache
def tokenized(weights: str, glue: str, task: str, scratch: str) -> tuple[Any, Any]:
    """A task's train and validation splits as tokens, and the tokenizer."""
    files = {split: f"{glue}/{task}/{split}.parquet" for split in ("train", "validation")}
    tokenizer = AutoTokenizer.from_pretrained(weights)
    columns = COLUMNS.get(task, ["sentence1", "sentence2"])
    data = datasets.load_dataset("parquet", data_files=files, cache_dir=f"{scratch}/datasets").map(
        lambda rows: tokenizer(*(rows[name] for name in columns), truncation=True, max_length=MAX_LENGTH),
        batched=True,
    )
    return data, tokenizer


def some(train: Any, rows: int | None) -> Any:
    """So many training rows, the same that the project takes."""
    return train.select(np.random.default_rng(0).permutation(len(train))[:rows]) if rows else train


def collator(tokenizer: Any, padding: str) -> DataCollatorWithPadding:
    """`dynamic`: to the longest of the batch; `max_length`: to 128 tokens."""
    if padding == "max_length":
        return DataCollatorWithPadding(tokenizer, padding="max_length", max_length=MAX_LENGTH)
    return DataCollatorWithPadding(tokenizer)


def arguments(scratch: str, seed: int, **more: Any) -> TrainingArguments:
    """The project's recipe."""
    recipe = {
        "output_dir": f"{scratch}/trainer",
        "seed": seed,
        "num_train_epochs": 1,
        "per_device_train_batch_size": BATCH,
        "per_device_eval_batch_size": 128,
        "learning_rate": 3e-4,
        "weight_decay": 0.01,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "linear",
        "optim": "adamw_torch_fused",
        "max_grad_norm": 1.0,
        "use_cpu": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    return TrainingArguments(**(recipe | more))


class Clock(TrainerCallback):  # type: ignore[misc]
    """CPU seconds from the first step's beginning to the last one's end."""

    began: float | None = None
    ended = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.process_time() if self.began is None else self.began

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ended = time.process_time()


def train(
    weights: str | None,
    vocabulary: str,
    glue: str,
    task: str,
    steps: int,
    seed: int,
    scratch: str,
    precision: str = "fp32",
    sampling: str = "group_by_length",
    padding: str = "dynamic",
) -> float:
    """CPU seconds of a training step; `weights` None is BERT BASE from scratch, with the tokenizer of `vocabulary`.

    With group_by_length a pool's longest texts come first: its steps are alike only if they are a whole pool.
    """
    data, tokenizer = tokenized(vocabulary, glue, task, scratch)
    outputs = 3 if task == "mnli" else 2
    set_seed(seed)
    if weights is None:
        model = BertForSequenceClassification(BertConfig(num_labels=outputs))
    else:
        model = AutoModelForSequenceClassification.from_pretrained(weights, num_labels=outputs, dtype=torch.float32)
    clock = Clock()
    trainer = Trainer(
        model,
        arguments(scratch, seed, max_steps=steps, train_sampling_strategy=sampling, bf16=precision == "bf16"),
        train_dataset=some(data["train"], 4 * POOL * BATCH),
        data_collator=collator(tokenizer, padding),
        callbacks=[clock],
    )
    trainer.train()
    assert trainer.state.global_step == steps
    assert clock.began is not None
    return (clock.ended - clock.began) / steps


def evaluate(weights: str, glue: str, task: str, file: str, scratch: str) -> tuple[float, list[int]]:
    """CPU seconds of `Trainer.predict` on the dev set in batches of 128, and the classes that it predicts."""
    data, tokenizer = tokenized(weights, glue, task, scratch)
    model = AutoModelForSequenceClassification.from_pretrained(weights, num_labels=2, dtype=torch.float32)
    model.load_state_dict(torch.load(file))
    trainer = Trainer(model, arguments(scratch, 0), data_collator=collator(tokenizer, "dynamic"))
    began = time.process_time()
    predicted = trainer.predict(data["validation"])
    return time.process_time() - began, predicted.predictions.argmax(-1).tolist()


def tokens(vocabulary: str, glue: str, task: str, steps: int, scratch: str) -> int:
    """In the training rows, so that both can be seen to train on the same."""
    data, _ = tokenized(vocabulary, glue, task, scratch)
    return sum(map(len, some(data["train"], steps * BATCH)["input_ids"]))
