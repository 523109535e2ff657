"""What is submitted to a real SLURM: no more at once than asked for, as much as it takes, nothing it never starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launch.submitted import arrays
from launch.sweep import all_sweeps
from tests.conftest import Command
from tests.slurm.conftest import squeue, wait_for
from tests.slurm.test_slurm import launch, launched, results, states, submitted

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("logs")]

QUIET = ("hydra.launcher.wait=false", "train.max_steps=3")
EMPTY = "hydra.launcher.setup=['sleep 1','exit 0']"  # the job succeeds and runs nothing


@contextmanager
def limited(submit: int, array: int) -> Iterator[None]:
    """A SLURM that lets this user submit so many jobs, in arrays of so many elements."""
    conf = Path(os.environ["SLURM_CONF"])
    before = conf.read_text()
    text = re.sub(r"^MaxArraySize=.*$", f"MaxArraySize={array}", before, flags=re.MULTILINE)
    try:
        conf.write_text(f"{text}AccountingStorageEnforce=limits\n")
        _most(submit)
        _restart()
        yield
    finally:
        conf.write_text(before)
        _most(-1)
        _restart()


def _most(jobs: int) -> None:
    command = ["sacctmgr", "--immediate", "modify", "user", "root", "set", f"maxsubmitjobs={jobs}"]
    subprocess.run(command, capture_output=True, check=True)


def _restart() -> None:
    """Start the controller anew: what it enforces is read then only."""
    conf = Path(os.environ["SLURM_CONF"])
    pid = int((conf.parent.parent / "run" / "slurmctld.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the controller's end", 30)
    command = shutil.which("slurmctld") or "/usr/sbin/slurmctld"
    subprocess.run([command, "-f", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    nodes = ["sinfo", "--noheader", "--format=%T"]
    wait_for(lambda: subprocess.run(nodes, capture_output=True, text=True).stdout.startswith("idle"), "nodes", 30)


def running() -> int:
    return sum(line.endswith(" RUNNING") for line in squeue())


def sent(tmp_path: Path) -> list[str]:
    """The scripts of all that was submitted."""
    found = (file.read_text() for file in sorted((tmp_path / "runs").glob(".sweeps/*/jobs/*.sh")))
    return list(found)


def causes(tmp_path: Path) -> dict[int, str]:
    """By seed, what `launch status` says of those that failed."""
    document = json.loads(launch(tmp_path, "status", "runs", "--json").stdout)
    return {entry["seed"]: entry["detail"] for entry in document["experiments"] if entry["state"] == "failed"}


def ended(jobs: Iterable[str]) -> Counter[str]:
    """How often SLURM's accounting has jobs in each state."""
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", "--format=State", "-j"]
    done = subprocess.run([*command, ",".join(jobs)], capture_output=True, text=True, check=True)
    return Counter(done.stdout.split())


def test_a_throttle_holds_for_the_sweep_with_nobody_there_and_jobs_that_are_requeued(
    command: Command, tmp_path: Path
) -> None:
    sweep = submitted(
        command, tmp_path, *QUIET, EMPTY, "task=rte,sst2", "distill=none,kd", "distill.weak_teacher=true",
        "quantize=none,int8", "hydra.launcher.throttle=2",
    )  # fmt: skip
    assert len(arrays(sweep.folder)) > 4, "teachers, others, and the students of each teacher"
    first = sweep.jobs()[sweep.to_run[0]]
    wait_for(lambda: f"{first} RUNNING" in squeue(), "the first job")
    subprocess.run(["scontrol", "requeue", first], check=True)
    at_once = {running()}
    while squeue():
        at_once.add(running())
        time.sleep(0.05)
    assert max(at_once) == 2
    expected = Counter(COMPLETED=10, REQUEUED=1)
    wait_for(lambda: ended(array.job or "" for array in arrays(sweep.folder)) == expected, "SLURM's records", 30)


@pytest.mark.fault(
    "a sweep on SLURM",
    "SLURM takes no more jobs (`MaxSubmitJobs`), or no arrays of that size",
    "the command submits as many jobs as SLURM takes, in smaller arrays, and says so; it submits the rest as "
    "jobs end; with `wait=false` it does not wait for that and ends with exit code 1",
    "`launch retry` submits the rest",
)
def test_as_much_as_slurm_takes_is_submitted_and_the_rest_as_room_appears(command: Command, tmp_path: Path) -> None:
    with limited(submit=3, array=2):
        done = launched(command, *QUIET, EMPTY.replace("1", "60"), "seed=0,1,2,3")
        assert done.returncode == 1, done.stderr
        assert "3 experiments submitted in 3 jobs" in done.stdout
        assert "SLURM takes no more jobs now (AssocMaxSubmitJobLimit): 1 experiment is not submitted; " in done.stdout
        assert [len(array.elements) for array in arrays(all_sweeps(tmp_path / "runs")[0].folder)] == [2, 1]
        assert sorted(states(tmp_path).values()) == ["missing"] + ["pending"] * 3 or running()
        refused = launch(tmp_path, "retry", "runs")
        assert refused.returncode == 2, refused.stdout
        assert "SLURM takes no job now (AssocMaxSubmitJobLimit); nothing was submitted; launch again" in refused.stderr
        assert len(all_sweeps(tmp_path / "runs")) == 1
        subprocess.run(["scancel", "--me"], check=True)
        wait_for(lambda: not squeue(), "an empty queue")
        waiting = launch(tmp_path, "retry", "runs", "hydra.launcher.setup=[]", "hydra.launcher.wait=true")
        assert waiting.returncode == 0, waiting.stdout + waiting.stderr
    assert (
        "SLURM takes no more jobs now (AssocMaxSubmitJobLimit); 1 experiment is submitted as jobs end" in waiting.stdout
    )
    assert "1 more submitted, 0 left" in waiting.stdout
    assert len(results(tmp_path)) == 4


@pytest.mark.fault(
    "a sweep on SLURM",
    "the partition, account or qos is not there, or no node has what a job asks for",
    "one line with the key, its value and what SLURM says; nothing is submitted or written",
    "another value",
)
def test_what_would_never_start_is_refused_before_anything_is_submitted_or_written(
    command: Command, tmp_path: Path
) -> None:
    for words, told in {
        ("hydra.launcher.partition=nope",): "hydra.launcher.partition=nope: SLURM would never start such a job: inv",
        ("resources.memory_gb=900000",): "resources.memory_gb=900000: SLURM would never start such a job: Memory sp",
        ("resources.cpus=64", "resources.gpus=1"): "resources.cpus=64: SLURM would never start such a job: ",
        ("hydra.launcher.setup=['if true']",): "hydra.launcher.setup=if true: bash: ",
    }.items():
        done = launched(command, "seed=0,1", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {told}")
        assert done.stderr.count("\n") == 1
    subprocess.run(["scontrol", "update", "PartitionName=gpu", "MaxTime=10"], check=True)
    try:
        done = launched(command, "seed=0,1,2", "hydra.launcher.partition=gpu", "hydra.launcher.pack=3")
    finally:
        subprocess.run(["scontrol", "update", "PartitionName=gpu", "MaxTime=INFINITE"], check=True)
    assert "resources.timeout_min=5 (15 min a job, with hydra.launcher.pack=3): gpu allows 10 min" in done.stderr
    assert not list(tmp_path.iterdir())
    assert not squeue()


@pytest.mark.fault(
    "a sweep on SLURM",
    "a line of `hydra.launcher.setup` fails",
    "the job fails before it runs anything; the cause names the line",
    '`launch retry runs "hydra.launcher.setup=[…]"`',
)
@pytest.mark.fault(
    "a sweep on SLURM",
    "SLURM refuses a `launch retry`",
    "nothing changes: `status` shows the causes as before, and the refused command’s new settings are forgotten",
    "another value",
)
def test_retry_keeps_what_each_was_launched_with_and_a_refused_one_leaves_no_trace(
    command: Command, tmp_path: Path
) -> None:
    submitted(
        command, tmp_path, *QUIET, "hydra.launcher.partition=cpu", "hydra.launcher.setup=['false; true','ls /no']"
    )
    submitted(command, tmp_path, *QUIET, "seed=1,2", "hydra.launcher.partition=gpu", "hydra.launcher.signal_seconds=40",
              "hydra.launcher.setup=['for x in 1; do','  false','done']")  # fmt: skip
    wait_for(lambda: len([cause for cause in causes(tmp_path).values() if "FAILED" in cause]) == 3, "SLURM's records")
    before = causes(tmp_path)
    assert "error: hydra.launcher.setup: ls /no: exit code 2" in before[0]
    assert "error: hydra.launcher.setup: for x in 1; do   false done: exit code 1" in before[1]
    for words in ("hydra.launcher.partition=nope",), ("resources.memory_gb=900000",):
        refused = launch(tmp_path, "retry", "runs", *words)
        assert (refused.returncode, words[0] in refused.stderr) == (2, True)
    assert len(all_sweeps(tmp_path / "runs")) == 2
    assert causes(tmp_path) == before
    again = launch(tmp_path, "retry", "runs", EMPTY, "resources.timeout_min=7", "resources.memory_gb=0.5")
    assert again.returncode == 0, again.stderr
    by_partition = {name: [text for text in sent(tmp_path) if f"--partition={name}" in text] for name in ("cpu", "gpu")}
    for name, seconds in (("cpu", 30), ("gpu", 40)):
        _, text = by_partition[name]
        for option in (f"--signal=USR2@{seconds}", "--time=7", "--mem=512MB"):
            assert option in text
    assert {entry.resources.timeout_min for entry in all_sweeps(tmp_path / "runs")[-1].experiments.values()} == {7}


@pytest.mark.fault(
    "a sweep on SLURM",
    "`sbatch` fails although SLURM has taken the job (`Socket timed out`)",
    "the job is found by its name and counts as submitted; if SLURM has none, it is submitted again as room appears",
    "nothing",
)
def test_an_sbatch_that_fails_after_it_has_submitted_submits_nothing_twice(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    text = f'#!/bin/bash\n{shutil.which("sbatch")} "$@" || exit; [[ "$*" == *.sh ]] || exit 0\n'
    text += 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1\n'
    (folder / "sbatch").write_text(text)
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    done = launched(command, *QUIET, EMPTY, "seed=0,1", "+hydra.launcher.additional.hold=true")
    assert (done.returncode, "2 experiments submitted in 2 jobs" in done.stdout) == (0, True), done.stderr
    assert len(squeue()) == 2
