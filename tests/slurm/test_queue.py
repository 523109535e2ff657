"""A real SLURM that does not answer, refuses, or is asked by another user: what is told, and what is left alone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch import cli
from launch.sweep import all_sweeps
from tests import users
from tests.conftest import Command
from tests.slurm.conftest import squeue, wait_for
from tests.slurm.test_slurm import SLURM, launch, launched, results, running_on_node, states, submitted

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("logs")]

HELD = ("+hydra.launcher.additional.hold=true", "train.max_steps=3")
AWAY = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"


class Commands:
    """Commands of SLURM that are the first in PATH and do something else than they should."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, os.environ["PATH"]
        folder.mkdir()

    def break_(self, name: str, text: str) -> None:
        """Have a command do this; `$real` is what it should be."""
        file = self.folder / name
        file.write_text(f"#!/bin/bash\nreal={shutil.which(name, path=self.path)}\n{text}\n")
        file.chmod(0o755)

    def mend(self, name: str) -> None:
        """Have it be itself again."""
        (self.folder / name).unlink()


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    found = Commands(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{found.folder}:{found.path}")
    return found


def configured(tmp_path: Path, **changes: str) -> str:
    """A configuration of SLURM that differs in some lines, for commands only."""
    text = Path(os.environ["SLURM_CONF"]).read_text()
    for key, value in changes.items():
        text = re.sub(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
    file = tmp_path / f"{'-'.join(changes)}.conf"
    file.write_text(text)
    return str(file)


@pytest.mark.fault(
    "a sweep on SLURM",
    "SLURM does not answer, or its controller is down",
    "`status` says so, and shows experiments as `unknown` if only SLURM knows their state; `cancel`, `retry` "
    "and a new sweep are refused and change nothing (exit code 1 or 2)",
    "the same command when it answers",
)
@pytest.mark.fault(
    "a sweep on SLURM",
    "`scancel` fails",
    "`cancel` names the jobs that are still in the queue and what SLURM says, and ends with exit code 1",
    "the same command again",
)
def test_a_slurm_that_does_not_answer_is_no_empty_queue(
    command: Command, tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(command, tmp_path, *HELD, "seed=0,1,2")
    commands.break_("squeue", f"echo '{AWAY}' >&2; exit 1")
    document = json.loads(launch(tmp_path, "status", "runs", "--json").stdout)
    assert document["unanswered"] == f"SLURM does not answer (squeue: {AWAY})"
    assert {entry["state"] for entry in document["experiments"]} == {"unknown"}
    refused = [(1, launch(tmp_path, "cancel", "runs")), (2, launch(tmp_path, "retry", "runs")),
               (2, launched(command, "seed=7", *HELD))]  # fmt: skip
    for code, done in refused:
        assert done.returncode == code, done.stdout
        assert re.search(rf"^error: SLURM does not answer \(squeue: {re.escape(AWAY)}\)", done.stderr, re.MULTILINE)
        assert re.search(r"no job was cancelled|nothing was submitted", done.stderr)
    assert len(all_sweeps(tmp_path / "runs")) == 1
    commands.mend("squeue")
    commands.break_("scancel", "echo 'scancel: error: Kill job error: Socket timed out' >&2; exit 1")
    done = launch(tmp_path, "cancel", "runs")
    assert (done.returncode, "0 jobs cancelled" in done.stdout) == (1, True)
    assert re.fullmatch(
        r"error: jobs \d+_0, \d+_1, \d+_2 still in the queue \(scancel: .* Socket timed out\)\n", done.stderr
    )
    commands.mend("scancel")
    assert len(squeue()) == 3
    with monkeypatch.context() as patched:
        patched.setenv("SLURM_CONF", configured(tmp_path, SlurmctldPort="1", MessageTimeout="1"))
        assert set(states(tmp_path).values()) == {"unknown"}
    (by_hand, *_) = all_sweeps(tmp_path / "runs")[0].jobs().items()
    subprocess.run(["scancel", by_hand[1]], check=True)
    wait_for(lambda: len(squeue()) == 2, "one that is gone")
    assert "2 jobs cancelled" in launch(tmp_path, "cancel", "runs").stdout
    monkeypatch.setenv("SLURM_CONF", configured(tmp_path, AccountingStorageType="accounting_storage/none"))
    document = json.loads(launch(tmp_path, "status", "runs", "--json").stdout)
    details = {entry["run_id"]: entry["detail"] for entry in document["experiments"]}
    assert details.pop(by_hand[0]).endswith(
        "how it ended is not known, SLURM's accounting does not answer (sacct: Slurm accounting storage is "
        "disabled); it wrote no log"
    )
    assert list(details.values()) == ["cancelled"] * 2


@pytest.mark.fault(
    "a sweep on SLURM",
    "the launching process is killed between `sbatch` and its note of the job",
    "the jobs are found again by their names: `status` shows them, `cancel` cancels them, and they are not "
    "submitted again",
    "nothing",
)
def test_jobs_whose_launcher_was_killed_are_found_again_and_run_once(
    command: Command, tmp_path: Path, commands: Commands
) -> None:
    commands.break_("sbatch", '"$real" "$@" || exit; if [[ "$*" == *.sh ]]; then kill -9 $PPID; fi')
    words = (*HELD, "seed=0,1", "hydra.launcher.wait=false")
    assert launched(command, *words).returncode == -signal.SIGKILL
    commands.mend("sbatch")
    assert [line.split()[1] for line in squeue()] == ["PENDING", "PENDING"]
    assert launch(tmp_path, "retry", "runs").stdout.startswith("nothing to run again")
    assert set(states(tmp_path).values()) == {"pending"}
    again = launched(command, *words)
    assert (again.returncode, "2 are in the queue already" in again.stdout) == (0, True), again.stderr
    (array,) = {line.partition("_")[0] for line in squeue()}
    subprocess.run(["scontrol", "release", array], check=True)
    wait_for(lambda: not squeue(), "the jobs' end")
    assert set(states(tmp_path).values()) == {"finished"}
    assert len(results(tmp_path)) == 2


def test_ctrl_c_in_one_sweep_leaves_the_jobs_of_another_alone(command: Command, tmp_path: Path) -> None:
    first = submitted(command, tmp_path, *HELD, "seed=0,1,2")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-m", "compress", *SLURM, *HELD, "seed=2,3"])
    wait_for(lambda: len(squeue()) == 4, "the fourth job")
    told = _read_until(terminal, b"held")
    assert b"1 experiment submitted in 1 job; 1 is in the queue already" in told
    os.write(terminal, b"\x03")
    _read_until(terminal, b"[y/N]")
    os.write(terminal, b"y\n")
    told = _read_until(terminal, b"interrupted")
    assert b"1 job cancelled; 1 of its experiments goes on in jobs of another sweep" in told
    os.waitpid(pid, 0)
    assert {line.split()[0] for line in squeue()} == set(first.jobs().values())


def _read_until(terminal: int, word: bytes) -> bytes:
    told = b""
    while word not in told:
        told += os.read(terminal, 1000)
    return told


@pytest.fixture
def strict_partition() -> Iterator[str]:
    """A partition whose time limit can be lowered, and is as before afterwards."""
    yield "gpu"
    subprocess.run(["scontrol", "update", "PartitionName=gpu", "MaxTime=INFINITE"], check=True)


@pytest.mark.fault(
    "a sweep on SLURM",
    "a job can never start: a limit of its partition, account or quality of service, or someone holds it",
    "the waiting command says it once, with the reason and what helps; `status` says the same",
    "as told: `launch cancel`, `launch retry` with other settings; `scontrol release`",
)
@pytest.mark.fault(
    "a sweep on SLURM",
    "SLURM is away while a sweep is waited for",
    "one line says so, and one that SLURM is back; no experiment is given up meanwhile",
    "nothing",
)
def test_who_waits_is_told_of_jobs_that_never_start_and_of_a_slurm_that_is_away(
    tmp_path: Path, commands: Commands, strict_partition: str
) -> None:
    words = [*SLURM, *HELD, "seed=0,1", f"hydra.launcher.partition={strict_partition}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "compress", *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = iter(process.stdout)
    told = next(line for line in lines if "held" in line)
    found = re.fullmatch(r"jobs (\d+)_0, \1_1 are held \(JobHeldUser\); let it go: scontrol release \1_0,\1_1\n", told)
    assert found, told
    subprocess.run(["scontrol", "update", f"PartitionName={strict_partition}", "MaxTime=1"], check=True)
    subprocess.run(["scontrol", "release", f"{found[1]}_0,{found[1]}_1"], check=True)
    cause = "will not start (PartitionTimeLimit); cancel, and retry with a smaller hydra.launcher.timeout_min"
    assert next(lines) == f"jobs {found[1]}_0, {found[1]}_1 {cause}\n"
    assert f"pending: 2 {cause}" in launch(tmp_path, "status", "runs").stdout
    commands.break_("squeue", f"echo '{AWAY}' >&2; exit 1")
    assert next(lines).startswith(f"SLURM does not answer (squeue: {AWAY})")
    commands.mend("squeue")
    assert next(lines) == "SLURM answers again\n"
    process.kill()
    process.communicate()


@pytest.mark.fault(
    "a sweep on SLURM",
    "another user looks at the same runs, or starts the same sweep",
    "all jobs are shown, whoever submitted them, and none is submitted again; `cancel` names the jobs that "
    "SLURM does not let this user cancel, with exit code 1",
    "ask who submitted them",
)
def test_another_user_sees_the_jobs_and_cannot_cancel_them(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with users.common_folder() as folder:
        words = ("train.epochs=240", "seed=0,1", "hydra.launcher.throttle=1", "hydra.launcher.wait=false")
        done = launched(command, f"paths.runs={folder / 'runs'}", *words)
        assert done.returncode == 0, done.stderr
        (sweep,) = all_sweeps(folder / "runs")
        running_on_node(sweep, sweep.to_run[0])
        monkeypatch.setenv("COMPRESS_CACHE", str(folder / "cache"))
        for verb in ("status", "retry"):  # what they import may not be for others to read
            assert _said(folder, verb)[0] == 0
        code, out, _ = users.as_user(users.SECOND, lambda: _said(folder, "status"))
        assert (code, "1 running, 1 pending" in out, "pending: 1 JobArrayTaskLimit" in out) == (0, True, True), out
        code, out, err = users.as_user(users.SECOND, lambda: _said(folder, "cancel"))
        assert (code, "0 workers stopped, 0 jobs cancelled" in out) == (1, True)
        assert re.fullmatch(r"error: jobs \S+, \S+ still in the queue \(scancel: .*permission denied\)\n", err), err
        code, out, err = users.as_user(users.SECOND, lambda: _said(folder, "retry"))
        assert (code, out.startswith("nothing to run again")) == (0, True), err
        assert len(squeue()) == 2
        assert _said(folder, "cancel")[0] == 0
        wait_for(lambda: not squeue(), "the jobs' end")


def _said(folder: Path, verb: str) -> tuple[int, str, str]:
    """What `python -m launch` would end with and print, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([verb, "runs"])
    return code, out.getvalue(), err.getvalue()


@pytest.mark.fault(
    "a sweep on SLURM",
    "a job cannot start its Python, or dies before its experiments begin",
    "its experiments fail with SLURM’s exit code and the line of the job’s log that says why",
    "mend it; `launch retry`",
)
def test_the_cause_quotes_what_the_job_died_of(command: Command, tmp_path: Path) -> None:
    submitted(command, tmp_path, "train.max_steps=3", "hydra.launcher.python=/no/python")
    wait_for(lambda: not squeue(), "the job's end")
    (entry,) = json.loads(launch(tmp_path, "status", "runs", "--json").stdout)["experiments"]
    assert re.fullmatch(
        r"its job \d+ is gone: FAILED 2:0 \(.*execve\(\): /no/python: No such file.*\)", entry["detail"]
    )
    assert Path(entry["log"]).is_file()
