"""Fine-tune with our loop and with transformers.Trainer, the same recipe in turns, and compare scores and speed.

    python -m tests.benchmarks.scores --weights DIR --task sst2 --data DIR [--max-train N] [--max-steps N]

Unlike the benchmarks of speed these are whole trainings: the Trainer scores with scikit-learn, we as every experiment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import accuracy_score, matthews_corrcoef
from transformers import AutoModelForSequenceClassification, Trainer, set_seed

from compress import experiment
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from tests.benchmarks.trainer import arguments, collator, some, tokenized

METRIC = {"cola": "matthews_correlation"}
Run = tuple[float, float, int]  # score of the task's first metric, seconds of training, steps


def ours(options: argparse.Namespace, seed: int, folder: Path) -> Run:
    """By the project."""
    words = ["model=pretrained", f"model.pretrained={options.weights}", f"task={options.task}", f"seed={seed}"]
    words += [f"data.path={options.data}", f"data.max_train={options.max_train or 'null'}", "device=cpu"]
    words += [f"train.learning_rate={options.learning_rate}", f"train.epochs={options.epochs}", "tracking=none"]
    words += [f"train.max_steps={options.max_steps or 'null'}", f"paths.runs={folder}"]
    result = experiment.run(next(compositions(words, conf_folder(), multirun=False)))
    score, timing = result.metrics[METRIC.get(options.task, "accuracy")], result.timing
    assert score is not None
    assert timing.train_seconds is not None
    assert timing.steps is not None
    return score, timing.train_seconds, timing.steps


def reference(options: argparse.Namespace, seed: int, folder: Path) -> Run:
    """By transformers.Trainer."""
    data, tokenizer = tokenized(options.weights, options.data, options.task, str(folder))
    recipe = {"num_train_epochs": options.epochs, "max_steps": options.max_steps or -1}
    recipe |= {"learning_rate": options.learning_rate, "train_sampling_strategy": options.sampling}
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(options.weights, num_labels=2, dtype=torch.float32)
    trainer = Trainer(
        model,
        arguments(str(folder), seed, **recipe),
        train_dataset=some(data["train"], options.max_train),
        data_collator=collator(tokenizer, "dynamic"),
    )
    seconds = trainer.train().metrics["train_runtime"]
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
    runs: dict[str, list[Run]] = {"ours": [], "trainer": []}
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
