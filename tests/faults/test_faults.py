"""Whatever ends an experiment or a sweep, wherever: run again, it leaves every file as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, missing
from tests.faults import harness
from tests.faults.harness import Quiet, Scenario
from tests.faults.operations import Fault

SEED, POINTS = 16, 30


@pytest.mark.slow
@pytest.mark.fault(
    "one experiment",
    "its process is ended by SIGKILL, SIGTERM, SIGINT or SIGUSR2 before any operation on a file, or amid a write",
    "nothing is half-written; run again it ends with the same bytes, and no scratch, lock or process stays",
    "start it again",
)
@pytest.mark.fault(
    "one experiment",
    "the disk is full, or the system answers ENOSPC or EIO to an operation or a write, once or from then on",
    "it goes on, or one line names `paths.runs` or `paths.cache`, the path and the fix; scratch does not pile up",
    "free disk space; start it again, which ends with the same bytes",
)
@pytest.mark.fault(
    "a sweep on this machine",
    "the command that started it, a worker or an experiment is ended before any operation on a file",
    "if the same command is given again, even while a worker still runs, all results have the same bytes as "
    "without the fault; nothing finished is run twice",
    "start it again",
)
@pytest.mark.fault(
    "a sweep on this machine",
    "the disk is full, or the system answers ENOSPC or EIO to any of its processes",
    "experiments that could not be written fail with the path and the fix; the others finish",
    "free disk space; start it again, which ends with the same bytes",
)
@pytest.mark.fault(
    "Weights & Biases",
    "an experiment whose client writes to disk (`offline`) is ended anywhere, or its disk is full",
    "the same as without W&B; the client’s own processes end too",
    "start it again",
)
def test_a_sample_of_all_faults_leaves_nothing_half_done_and_changes_nothing(tmp_path: Path) -> None:
    """All subsets, a grid with its processes, full disks; `make faults` tries many more."""
    command = [sys.executable, "-m", "tests.faults", "--seed", str(SEED), "--points", str(POINTS), "--jobs", "1"]
    done = subprocess.run([*command, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=600)
    if "no file system can be mounted" in done.stderr:
        missing("a full disk: this user may mount no file system")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{POINTS} points in" in done.stdout


# --- the harness itself: it sees what is wrong ------------------------------------------------------------------------


def careless(root: Path) -> int:
    """Writes a file in place, in two operations, and leaves a scratch of it if it is interrupted."""
    folder = root / "runs"
    folder.mkdir(exist_ok=True)
    scratch = folder / ".config.yaml-01234567"
    scratch.touch()
    for part in ("one\n", "two\n"):
        with (folder / "config.yaml").open("a") as stream:
            stream.write(part)
    scratch.unlink()
    return 0


def careful(root: Path) -> int:
    """Writes with a library that is not Python."""
    import torch
    from safetensors.torch import save_file

    try:
        save_file({"weights": torch.ones(9)}, root / "weights")
    except Exception as error:
        print(error)
        return 1
    return 0


@pytest.fixture(autouse=True)
def orphans() -> None:
    harness.adopt_orphans()


def wrong(work: harness.Work, fault: Fault, folder: Path) -> list[str]:
    with harness.fresh(folder) as root:
        assert harness.in_child(work, root).code == 0
        expected = Quiet(harness.snapshot(root), [], [])
    return harness.attempt(Scenario("", work), fault, expected, folder).wrong


def test_operations_and_writes_are_seen_in_order(tmp_path: Path) -> None:
    with harness.fresh(tmp_path) as root:
        ended = harness.in_child(careless, root)
    assert [told for _, told in ended.seen] == [
        "mkdir runs",
        "open runs/.config.yaml-01234567",
        "open runs/config.yaml",
        "open runs/config.yaml",
        "remove runs/.config.yaml-01234567",
    ]
    assert ended.writes == ["write runs/config.yaml"] * 2


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGUSR2"])
def test_a_signal_comes_before_the_operation(name: str, tmp_path: Path) -> None:
    with harness.fresh(tmp_path) as root:
        count = len(harness.in_child(careless, root).seen)
    with harness.fresh(tmp_path) as root:
        ended = harness.in_child(careless, root, Fault(name, count - 1))
        assert (root / "runs/config.yaml").read_text() == "one\n"
    assert ended.code == (1 if name == "SIGINT" else -getattr(signal, name))


def test_what_is_half_written_left_or_other_is_told(tmp_path: Path) -> None:
    told = "\n".join(wrong(careless, Fault("SIGKILL", 2, by="write"), tmp_path))
    assert "config.yaml is half-written" in told
    assert "at the end runs/config.yaml differs" in told


def test_a_write_of_another_language_fails_as_on_a_full_disk(tmp_path: Path) -> None:
    with harness.fresh(tmp_path) as root:
        first, *_, last = harness.in_child(careful, root).writes
        assert last.startswith("write ")
    for number, name in enumerate((first, last), 1):
        with harness.fresh(tmp_path) as root:
            ended = harness.in_child(careful, root, Fault("ENOSPC", number, by="write"))
            assert ended.code == 1
            assert str(ended.happened).split()[0] == name.split()[0]
            assert "No space left on device" in ended.out


def test_a_process_that_is_left_is_told(tmp_path: Path) -> None:
    def work(root: Path) -> int:
        if not (root / "again").exists():
            (root / "again").touch()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.pause()
        return 0

    with harness.fresh(tmp_path) as root:
        assert harness.in_child(work, root, watched=False).code == 0
        assert len(harness.wait_for_orphans(0.2)) == 1
        assert harness.wait_for_orphans(0.0) == []
