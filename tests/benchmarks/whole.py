"""Whole grids: the project's launcher against a fresh process of transformers.Trainer for each run, in CPU seconds."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.children import cpu_seconds
from tests.benchmarks.in_turns import ROOT
from tests.benchmarks.ours import checkpoint
from tests.conftest import SHARED

SUBSETS = tuple(
    subset for size in range(4) for subset in itertools.combinations(("quantize", "prune", "distill"), size)
)
OPTIONS = {"quantize": "int8", "prune": "magnitude", "distill": "kd"}
ROWS = 512  # 16 steps


def launched(shapes: Sequence[str], subsets: Sequence[Sequence[str]], scratch: Path) -> float:
    """CPU seconds of the project's sweep on CoLA, with new caches; the teacher has MINI's shape."""
    folder = scratch / "launched"
    shutil.rmtree(folder, ignore_errors=True)
    words = ["task=cola", f"data.path={SHARED}/glue", f"data.max_train={ROWS}", "train.epochs=1", "device=cpu"]
    words += ["model=pretrained", f"model.pretrained={','.join(map(checkpoint, shapes))}", "tracking=none"]
    words += ["hydra.launcher.threads=1", f"paths.runs={folder}/runs", f"paths.cache={folder}/cache"]
    words += ["distill.copies=0", f"distill.teacher={checkpoint('mini')}", "distill.weak_teacher=true"]
    for method, option in OPTIONS.items():
        values = {option if method in subset else "none" for subset in subsets}
        words.append(f"{method}={','.join(sorted(values))}")
    seconds = cpu_seconds(["compress", "-m", *words], scratch / "launched.log")
    results = len(list(folder.glob("runs/*/*/*/*/result.json")))
    assert results == len(_runs(shapes, subsets)), f"{results} results"
    return seconds


def _runs(shapes: Sequence[str], subsets: Sequence[Sequence[str]]) -> list[tuple[str, tuple[str, ...]]]:
    """Of a grid, which is the product of its methods' options; the teacher first, if there is one."""
    teacher: list[tuple[str, tuple[str, ...]]] = [("mini", ())] if any("distill" in each for each in subsets) else []
    return list(dict.fromkeys([*teacher, *((shape, tuple(subset)) for shape in shapes for subset in subsets)]))


def processes(shapes: Sequence[str], subsets: Sequence[Sequence[str]], padding: str, scratch: Path) -> float:
    """CPU seconds of the same runs, each in a process of its own; the texts are tokenized once."""
    folder = scratch / f"processes-{padding}"
    shutil.rmtree(folder, ignore_errors=True)
    seconds = 0.0
    for shape, subset in _runs(shapes, subsets):
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
