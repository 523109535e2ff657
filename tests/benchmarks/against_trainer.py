"""Fine-tune with our loop and with transformers.Trainer, the same recipe in turns, and compare scores and speed.

    python tests/benchmarks/against_trainer.py --weights DIR --task sst2 --data DIR [--max-train N] [--max-steps N]

The reference shares nothing with the project but the recipe: its own reading, tokenizing, batching (grouped by
length), loop and metrics (scikit-learn, SciPy). Training time is the time of the loop alone, on one thread each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

COLUMNS = {
    "cola": ["sentence"],
    "sst2": ["sentence"],
    "qqp": ["question1", "question2"],
    "qnli": ["question", "sentence"],
}
METRIC = {"cola": "matthews_correlation"}


def ours(options: argparse.Namespace, seed: int, folder: Path) -> tuple[float, float, int]:
    """Score of the task's first metric, seconds of training and steps."""
    from hydra import compose, initialize_config_dir

    from compress import experiment
    from compress.config.conf_files import conf_folder
    from compress.config.schema import from_hydra

    words = [
        "model=pretrained",
        f"model.pretrained={options.weights}",
        f"task={options.task}",
        f"seed={seed}",
    ]
    words += [f"data.path={options.data}", f"data.max_train={options.max_train or 'null'}", "device=cpu"]
    words += [
        f"train.learning_rate={options.learning_rate}",
        f"paths.runs={folder}",
        f"train.epochs={options.epochs}",
        f"train.max_steps={options.max_steps or 'null'}",
    ]
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        result = experiment.run(from_hydra(compose("config", words))).document()
    score = result["metrics"][METRIC.get(options.task, "accuracy")]
    return score, result["timing"]["train_seconds"], result["timing"]["steps"]


def reference(options: argparse.Namespace, seed: int, folder: Path) -> tuple[float, float, int]:
    """The same by transformers.Trainer."""
    import datasets
    from sklearn.metrics import accuracy_score, matthews_corrcoef
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    files = {split: f"{options.data}/{options.task}/{split}.parquet" for split in ("train", "validation")}
    tokenizer = AutoTokenizer.from_pretrained(options.weights)
    columns = COLUMNS.get(options.task, ["sentence1", "sentence2"])
    data = datasets.load_dataset("parquet", data_files=files, cache_dir=str(folder / "datasets")).map(
        lambda rows: tokenizer(*(rows[name] for name in columns), truncation=True, max_length=128),
        batched=True,
    )
    train = data["train"]
    if options.max_train:
        train = train.select(np.random.default_rng(0).permutation(len(train))[: options.max_train])
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(options.weights, num_labels=2, dtype=torch.float32)
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        seed=seed,
        num_train_epochs=options.epochs,
        max_steps=options.max_steps or -1,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=128,
        learning_rate=options.learning_rate,
        weight_decay=0.01,
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        train_sampling_strategy=options.sampling,
        use_cpu=True,
        save_strategy="no",
        logging_steps=50,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=train,
        eval_dataset=data["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    predicted = trainer.predict(data["validation"])  # in an order of its own, where lengths are grouped
    metric = matthews_corrcoef if options.task == "cola" else accuracy_score
    return float(metric(predicted.label_ids, predicted.predictions.argmax(-1))), seconds, trainer.state.global_step


def main() -> None:
    """Print one JSON document: scores, steps per second, and the paired ratios of speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--max-train", type=int)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--max-steps", type=int, help="stop early: for speed, not for scores")
    parser.add_argument("--sampling", default="group_by_length", choices=["group_by_length", "random"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, list[tuple[float, float, int]]] = {"ours": [], "trainer": []}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            for name, function in (("ours", ours), ("trainer", reference)):
                runs[name].append(function(options, seed, Path(scratch)))
    report: dict[str, Any] = {"task": options.task, "weights": Path(options.weights).name}
    for name, results in runs.items():
        scores = [round(100 * score, 2) for score, _, _ in results]
        report[name] = {
            "scores": scores,
            "mean": round(statistics.mean(scores), 2),
            "deviation": round(statistics.stdev(scores), 2) if len(scores) > 1 else None,
            "steps": results[0][2],
            "steps_per_second": [round(steps / seconds, 1) for _, seconds, steps in results],
        }
    pairs = zip(runs["ours"], runs["trainer"], strict=True)
    report["speed_ratio"] = [round(theirs[1] / mine[1] * mine[2] / theirs[2], 3) for mine, theirs in pairs]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
