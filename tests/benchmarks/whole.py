"""Whole grids: the project's launcher against a fresh process of transformers.Trainer for each run, in CPU seconds."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.children import cpu_seconds
from tests.benchmarks.in_turns import ROOT
from tests.benchmarks.ours import BATCH, checkpoint
from tests.conftest import SHARED

SUBSETS = tuple(
    subset for size in range(4) for subset in itertools.combinations(("quantize", "prune", "distill"), size)
)
OPTIONS = {"quantize": "int8", "prune": "magnitude", "distill": "kd"}
ROWS, STEPS = 512, 512 // BATCH


def launched(shapes: Sequence[str], subsets: Sequence[Sequence[str]], scratch: Path) -> float:
    """CPU seconds of the project's sweeps on CoLA, with new caches; the teacher has MINI's shape."""
    folder = scratch / "launched"
    shutil.rmtree(folder, ignore_errors=True)
    data = ["task=cola", f"data.path={SHARED}/glue", f"data.max_train={ROWS}", "train.epochs=1", "device=cpu"]
    data += ["model=pretrained", f"model.pretrained={','.join(map(checkpoint, shapes))}", "tracking=none"]
    data += ["train.learning_rate=3e-4", "hydra.launcher.threads=1", f"paths.runs={folder}/runs"]
    data += [f"paths.cache={folder}/cache"]
    seconds = 0.0
    for words in _sweeps(subsets):
        seconds += cpu_seconds(["compress", "-m", *data, *words], scratch / "launched.log")
    results = len(list(folder.glob("runs/*/*/*/*/result.json")))
    expected = {(shape, tuple(subset)) for shape in shapes for subset in subsets}
    expected |= {("mini", ())} if any("distill" in subset for subset in subsets) else set()
    assert results == len(expected), f"{results} results"
    return seconds


def _sweeps(subsets: Sequence[Sequence[str]]) -> list[list[str]]:
    """The overrides of a grid of all subsets; of a few, those of each alone."""
    taught = ["distill.copies=0", f"distill.teacher={checkpoint('mini')}", "distill.weak_teacher=true"]
    if len(subsets) == len(SUBSETS):
        return [[*(f"{method}=none,{option}" for method, option in OPTIONS.items()), *taught]]
    return [
        [*(f"{method}={OPTIONS[method]}" for method in subset), *(taught if "distill" in subset else [])]
        for subset in subsets
    ]


def processes(shapes: Sequence[str], subsets: Sequence[Sequence[str]], padding: str, scratch: Path) -> float:
    """CPU seconds of the same runs, each in a process of its own; the texts are tokenized once."""
    folder = scratch / f"processes-{padding}"
    shutil.rmtree(folder, ignore_errors=True)
    taught = any("distill" in subset for subset in subsets)
    first = [("mini", ())] if taught else []
    others = [(shape, tuple(subset)) for shape in shapes for subset in subsets]
    seconds = 0.0
    for shape, subset in dict.fromkeys([*first, *others]):
        words = ["--weights", checkpoint(shape), "--glue", f"{SHARED}/glue", "--task", "cola", "--rows", str(ROWS)]
        words += ["--padding", padding, "--methods", *subset, "--teacher", f"{folder}/mini-none"]
        words += ["--out", f"{folder}/{shape}-{'+'.join(subset) or 'none'}", "--scratch", str(folder)]
        torchao = [ROOT / ".venv" / "torchao"] if "quantize" in subset else []
        seconds += cpu_seconds(["tests.benchmarks.fine_tune", *words], scratch / f"{padding}.log", *torchao)
    return seconds


def demo(seeds: int, scratch: Path) -> tuple[float, int]:
    """CPU seconds of a part of the demo's grid in which every training has one step, and its number of experiments."""
    folder = scratch / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    words = ["+experiment=demo", "model=demo/tiny,demo/large", "task=rte", f"seed=range({seeds})", "train.max_steps=1"]
    words += ["distill.weak_teacher=true", "hydra.launcher.threads=1", f"paths.runs={folder}/runs"]
    seconds = cpu_seconds(["compress", "-m", *words, f"paths.cache={folder}/cache"], scratch / "demo.log")
    experiments = len(list(folder.glob("runs/*/*/*/*/result.json")))
    assert experiments == 16 * seeds, f"{experiments} experiments"
    return seconds, experiments
