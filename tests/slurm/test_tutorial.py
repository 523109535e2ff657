"""The tutorial of a cluster, on a real SLURM."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.manual import ROOT, run

PAGE = ROOT / "launch" / "tutorials" / "cluster.md"


@pytest.mark.slurm
@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """From top to bottom in an empty folder, and prints what it says."""
    run(PAGE, tmp_path)
