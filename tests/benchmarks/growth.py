"""What planning, looking at and reporting a grid take as it grows; its results are made up, nothing is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from compress.config.conf_files import conf_folder
from compress.config.overrides import read_sweep
from launch import plan
from tests import crossings
from tests.benchmarks.children import cpu_seconds

GRIDS = {  # experiments -> the overrides that ask for so many
    384: ("+experiment=demo",),
    2880: ("+experiment=demo", "prune.sparsity=0.4,0.6", "seed=range(5)"),
    10368: ("+experiment=demo", "prune.sparsity=0.4,0.6", "seed=range(18)"),
}
ORDER = ("quantize", "distill", "prune")


def seconds(experiments: int, scratch: Path) -> Iterator[tuple[str, float]]:
    """What is done with a grid of so many experiments, as one types it, and the CPU seconds that it takes."""
    runs, report, log = scratch / "runs", scratch / "report", scratch / "growth.log"
    for folder in (runs, report):
        shutil.rmtree(folder, ignore_errors=True)
    words = [*GRIDS[experiments], f"paths.runs={runs}"]
    yield "plan", cpu_seconds(["launch", "plan", *words], log)
    simulate(words)
    yield "sweep, all finished", cpu_seconds(["compress", "-m", *words], log)
    yield "status", cpu_seconds(["launch", "status", str(runs)], log)
    yield "report", cpu_seconds(["analysis", "report", str(runs), "--out", str(report)], log)


def simulate(words: Sequence[str]) -> None:
    """Leave the folders of all the runs of a sweep, with results that follow a simple law."""
    planned = plan.make(read_sweep(words, conf_folder())[0], lambda runs: ())
    for cell in planned.experiments:
        prune = cell.config.get("prune")
        sparsity = prune["sparsity"] if isinstance(prune, dict) and "prune" in cell.methods else 0.4
        methods = "+".join(sorted(cell.methods.split("+"), key=(*ORDER, "none").index))
        document = crossings.run(cell.task, cell.model, methods, cell.seed, sparsity)
        document |= {"run_id": cell.run_id, "teacher_run_id": cell.teacher}
        if cell.teacher:
            document["identity"]["distill"]["teacher"] = cell.teacher
        folder = planned.runs / cell.folder
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(document))
        crossings.write_training(folder)
        crossings.write_latency(folder, document)
