"""What each method adds to a training step: subsets in turns in one process, on one thread.

    python tests/benchmarks/cost.py --weights DIR --data DIR [--task sst2] [--steps 20] [--rounds 5]

Prints milliseconds per step (median of the rounds) and the ratio to a plain step, round by round. Masks are chosen once
in these few steps; a whole training chooses them `prune.updates` times in thousands.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from compress import experiment
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import Config
from compress.methods import registry
from compress.training.loop import train

SUBSETS = {
    "none": (),
    "prune": ("prune=magnitude",),
    "quantize": ("quantize=int8",),
    "quantize, weights only": ("quantize=int8", "quantize.activations=false"),
    "distill": ("distill=kd", "distill.weak_teacher=true", "distill.copies=0"),
    "quantize+prune": ("quantize=int8", "prune=magnitude"),
    "quantize+distill+prune": (
        "quantize=int8",
        "distill=kd",
        "distill.weak_teacher=true",
        "distill.copies=0",
        "prune=magnitude",
    ),
}


def compose(options: argparse.Namespace, *words: str) -> Config:
    """The configuration of one subset."""
    known = [f"model.pretrained={options.weights}", f"data.path={options.data}", f"task={options.task}", "device=cpu"]
    return next(
        compositions(
            ["model=pretrained", *known, f"train.max_steps={options.steps}", "prune.updates=1", *words],
            conf_folder(),
            multirun=False,
        )
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plain = compose(options)
    dataset, tokenizer = experiment.load_data(plain)
    start, _ = experiment.build_model(plain, tokenizer)
    answers = np.lib.format.open_memmap(  # where a teacher's logits lie too: in a file
        Path(tempfile.mkdtemp()) / "logits.npy", "w+", np.float32, (len(dataset.train_rows), plain.task.outputs)
    )
    seconds: dict[str, list[float]] = {name: [] for name in SUBSETS}
    for number in range(options.rounds + 1):
        for name, words in SUBSETS.items():
            config = compose(options, *words)
            model, active = copy.deepcopy(start), registry.build(config.methods, answers)
            rows = dataset.train_rows
            torch.manual_seed(0)
            began = time.perf_counter()
            train(model, dataset.splits["train"], rows, config.train, seed=number, padding=0, methods=active)
            if number:  # the first round warms up
                seconds[name].append((time.perf_counter() - began) / options.steps)
    for name, measured in seconds.items():
        ratios = [mine / none for mine, none in zip(measured, seconds["none"], strict=True)]
        shown = " ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{name:24} {1000 * statistics.median(measured):8.1f} ms  ×{statistics.median(ratios):.3f}  ({shown})")


if __name__ == "__main__":
    main()
