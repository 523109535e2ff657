"""What finished runs have used, beside what their jobs asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from launch import usage
from tests import grids

RESOURCES = {"gpus": 1, "cpus": 4, "memory_gb": {"tiny": 8, "other": 64}, "timeout_min": 240}


def ran(runs: Path, seed: int, model: str = "tiny", job: str | None = "34_1", **timing: Any) -> Path:
    """The folder of a run that was a job."""
    document = grids.document("rte", model, "none", 50.0, seed=seed)
    document["environment"] |= {"host": "n1", "job": job, "requeues": seed}
    document["timing"] |= {"wall_seconds": 120.0, "cpu_seconds": 180.0, "memory_bytes": 2**30, **timing}
    document["config"]["resources"] = RESOURCES
    return grids.write_run(runs, document)


def test_the_most_that_was_used_stands_beside_what_was_asked_for(tmp_path: Path) -> None:
    folders = [ran(tmp_path, 0), ran(tmp_path, 2, memory_bytes=3 * 2**29, gpu_memory_bytes=2**31),
               ran(tmp_path, 0, "base", cpu_seconds=None)]  # fmt: skip
    rows = [line.split("  ") for line in usage.lines(folders)[1].splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[2:] == [
        ["tiny", "1.5 of 8", "1.5 of 4", "2.0 of 240", "2.0", "2"],
        ["base", "1.0 of 64", "2.0 of 240"],
    ]


def test_what_was_no_job_or_does_not_tell_is_left_out(tmp_path: Path) -> None:
    here, damaged = ran(tmp_path, 0, job=None), ran(tmp_path, 1)
    (damaged / "result.json").write_text("{")
    old = ran(tmp_path, 2, cpu_seconds=None, memory_bytes=None)
    assert usage.lines([here, damaged, tmp_path / "nowhere"]) == []
    document = json.loads((old / "result.json").read_text())
    for name in ("cpu_seconds", "memory_bytes"):
        del document["timing"][name]
    (old / "result.json").write_text(json.dumps(document))
    assert usage.lines([old])[1].splitlines()[-1].split() == ["tiny", "2.0", "of", "240", "2"]
