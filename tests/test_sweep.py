"""A sweep on disk: one that is damaged, or of another version, is told of, and keeps nobody from the others."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launch import cli, local, plan
from launch.experiments import Outcome
from launch.processes import Process
from launch.sweep import Sweep, all_sweeps
from tests import grids
from tests.conftest import Compose

WORDS = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "device=cpu", "tracking=none")


@pytest.fixture
def sweep(compose: Compose, tmp_path: Path) -> Sweep:
    """Two experiments: one has finished, one has failed."""
    planned = plan.make([compose(*WORDS, f"seed={seed}") for seed in (0, 1)], lambda runs: [])
    made = Sweep(
        tmp_path / "runs/.sweeps/good", {"name": "local"}, planned.experiments, (e.run_id for e in planned.to_run)
    )
    made.write()
    done, failed = made.to_run
    made.run_folder(done).mkdir(parents=True)
    document = grids.document("rte", "tiny", "none", 50.0) | {"run_id": done}
    (made.run_folder(done) / "result.json").write_text(json.dumps(document))
    made.record(Outcome(done, "finished", 1.0))
    made.record(Outcome(failed, "failed", 1.0, "ValueError: no", "log.txt"))
    return made


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return changed


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "torn": lambda text: text[: len(text) // 2],
    "a list": lambda text: "[]",
    "null": lambda text: "null",
    "deep": lambda text: "[" * 100_000,
    "newer": _changed(lambda plan: plan.update(version=2)),
    "no version": _changed(lambda plan: plan.pop("version")),
    "no experiments": _changed(lambda plan: plan.pop("experiments")),
    "an unknown field": _changed(lambda plan: plan["experiments"][0].update(colour="red")),
    "a missing field": _changed(lambda plan: plan["experiments"][0].pop("folder")),
    "an unknown experiment": _changed(lambda plan: plan["to_run"].append("0" * 12)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.fault(
    "a sweep on this machine",
    "a sweep’s `plan.json` is damaged, or of another version",
    "`status`, `retry`, `cancel`, `sync` say so and do what they do for the others; `retry`, `cancel`: exit code 1",
    "remove that sweep’s folder, or use the version that wrote it",
)
def test_a_plan_that_is_damaged_or_newer_is_told_of_and_the_other_sweeps_go_on(
    sweep: Sweep, damage: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = sweep.folder.with_name("bad")
    shutil.copytree(sweep.folder, bad)
    (bad / "plan.json").write_text(damage((bad / "plan.json").read_text()))
    told = f"a sweep is left out: {bad}/plan.json: cannot be read ("
    assert cli.main(["status", str(sweep.runs), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["counts"] | {"finished": 1, "failed": 1} == json.loads(shown.out)["counts"]
    assert shown.err.startswith(told)
    assert shown.err.endswith(f"); remove {bad}, or use the version that wrote it\n")
    assert shown.err.count("\n") == 1
    assert cli.main(["cancel", str(sweep.runs)]) == 1, "not all is cancelled that was asked for"
    assert capsys.readouterr().err.count(told) == 1
    assert cli.main(["sync", str(sweep.runs)]) == 0
    sweep.record(Outcome(sweep.to_run[1], "finished", 1.0))
    shutil.copytree(sweep.run_folder(sweep.to_run[0]), sweep.run_folder(sweep.to_run[1]))
    file = sweep.run_folder(sweep.to_run[1]) / "result.json"
    file.write_text(file.read_text().replace(sweep.to_run[0], sweep.to_run[1]))
    assert cli.main(["retry", str(sweep.runs)]) == 1
    shown = capsys.readouterr()
    assert "nothing to run again" in shown.out
    assert shown.err.count(told) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"run_id": "x"}', '{"run_id": "x", "state": "lost", "new": 1}']
)
@pytest.mark.fault(
    "a sweep on this machine",
    "the record of how an experiment ended is damaged",
    "the experiment counts as finished if its result is there, otherwise as failed",
    "`launch retry`",
)
def test_an_outcome_that_is_damaged_or_newer_is_told_by_its_experiments_result(sweep: Sweep, text: str) -> None:
    done, failed = sweep.to_run
    for run_id in (done, failed, "stranger"):
        (sweep.folder / "outcomes" / f"{run_id}.json").write_text(text)
    found = Sweep.read(sweep.folder).outcomes()
    assert set(found) == {done, failed}
    assert found[done].state == "finished"
    assert found[failed].state == "failed"
    assert found[failed].cause.startswith(f"{sweep.folder}/outcomes/{failed}.json: cannot be read (")


# --- workers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def worker(sweep: Sweep) -> Iterator[subprocess.Popen[str]]:
    """A process that has signed in and waits."""
    code = "import sys; from pathlib import Path; from launch.sweep import Sweep; "
    code += "lock = Sweep.read(Path(sys.argv[1])).sign_in(0); print(flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(sweep.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def test_a_worker_is_seen_while_it_lives_and_stops_when_cancelled(
    sweep: Sweep, worker: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (process,) = sweep.live_workers().values()
    assert process is not None
    assert (process.pid, process.host) == (worker.pid, socket.gethostname())
    assert cli.main(["cancel", str(sweep.runs)]) == 0
    assert capsys.readouterr().out.startswith("1 worker stopped")
    assert worker.wait(timeout=30) == -signal.SIGTERM
    assert not sweep.live_workers()
    assert [path.name for path in sweep.folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda process: json.dumps(asdict(replace(process, machine="another"))), "process {pid} is on {host}; cancel"),
        (lambda process: "", "its file does not say which process it is"),
        (lambda process: str(process.pid), "its file does not say which process it is"),
        (lambda process: json.dumps({"pid": 0}), "its file does not say which process it is"),
    ],
    ids=["another machine's", "not written yet", "an earlier version's", "no process"],
)  # fmt: skip
@pytest.mark.fault(
    "a sweep on this machine",
    "a worker is on another machine, or its file does not say which process it is",
    "`launch cancel` stops no process that it cannot identify; it says so, and ends with exit code 1",
    "cancel on that machine",
)
def test_cancel_signals_nobody_that_it_has_not_checked(
    sweep: Sweep,
    worker: subprocess.Popen[str],
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Process], str],
    told: str,
) -> None:
    (process,) = sweep.live_workers().values()
    assert process is not None
    (sweep.folder / "worker-0").write_text(change(process))
    assert cli.main(["cancel", str(sweep.runs)]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("0 workers stopped")
    assert f"worker 0 of {sweep.folder}: " + told.format(pid=worker.pid, host=process.host) in shown.err
    assert worker.poll() is None


@pytest.mark.fault(
    "a sweep on this machine",
    "a worker’s process id is another program’s by now",
    "`launch cancel` leaves that program alone",
    "nothing",
)
def test_a_process_of_the_same_number_is_not_signalled_when_the_worker_is_gone(
    sweep: Sweep, worker: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child of the worker still has the lock; the worker's number is another program's by now."""
    monkeypatch.setattr(local, "CANCEL_SECONDS", 0.5)
    (process,) = sweep.live_workers().values()
    assert process is not None
    (sweep.folder / "worker-0").write_text(json.dumps(asdict(replace(process, started=process.started - 1))))
    assert local.cancel([sweep]) == (0, [f"worker 0 of {sweep.folder}: it still writes checkpoints"])
    assert worker.poll() is None


def test_sweeps_are_listed_oldest_first(sweep: Sweep) -> None:
    later = sweep.folder.with_name("aaa")
    shutil.copytree(sweep.folder, later)
    os.utime(later / "plan.json", (2e9, 2e9))
    assert [found.folder.name for found in all_sweeps(sweep.runs)] == ["good", "aaa"]


@pytest.mark.parametrize(
    ("said", "free", "told"),
    [
        ("Traceback …\nOSError: of no use\n", 0, ": OSError: of no use"),
        (
            "",
            0,
            r": paths.runs=\S+: 1.05 MB are needed for it and 0.000 MB are free; free some, or give paths.runs=DIR on",
        ),
        ("\n", 10**6, "$"),
    ],
    ids=["last words", "a full disk", "nothing"],
)
def test_why_workers_have_ended_is_told_as_far_as_it_is_known(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, said: str, free: int, told: str
) -> None:
    job: Any = SimpleNamespace(done=lambda: True, stderr=lambda: said, paths=SimpleNamespace(stderr="log.err"))
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bavail=free, f_frsize=4096))
    done, failed = (local._orphans(sweep, [job])[run_id] for run_id in sweep.to_run)
    assert (done.state, failed.state) == ("finished", "failed")
    assert re.match(f"the worker ended before it could run this experiment{told}", failed.cause)
