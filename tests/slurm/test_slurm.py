"""Sweeps on a real SLURM: what is submitted, and every hazard that a mock would not show."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compress.storage.digests import digest
from launch import scheduler
from launch.submitted import arrays
from launch.sweep import Sweep, all_sweeps
from tests.conftest import Command
from tests.slurm.conftest import squeue, wait_for
from tests.wandb_server import HISTORY, WandbServer

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("logs")]

DEMO = ("data=demo", "train=demo", "model=demo/tiny", "task=rte", "resources=cpu", "resources.cpus=1",
        "resources.memory_gb=null", "resources.timeout_min=5", "distill.teacher=mini")  # fmt: skip
SLURM = ("-m", "hydra/launcher=slurm", "hydra.launcher.signal_seconds=30", *DEMO)
LONG = ("train.epochs=60", "train.checkpoint_seconds=1")  # ten seconds or more
ALL = ("quantize=int8", "distill=kd", "distill.weak_teacher=true", "prune=magnitude")
LONG_WITH_ALL = ("train.epochs=20", "train.checkpoint_seconds=1")
REFERENCES: dict[tuple[str, ...], dict[str, str]] = {}  # words -> `undisturbed`
RECORD = Path(__file__).with_name("sbatch.txt")


@pytest.fixture
def tracked(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server that jobs find in their environment."""
    with WandbServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def launched(command: Command, *words: str) -> subprocess.CompletedProcess[str]:
    return command(*SLURM, *words)


def submitted(command: Command, tmp_path: Path, *words: str) -> Sweep:
    """A sweep that nobody waits for."""
    done = launched(command, "hydra.launcher.wait=false", *words)
    assert done.returncode == 0, done.stderr + done.stdout
    return all_sweeps(tmp_path / "runs")[-1]


def launch(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch", *words]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)


def states(tmp_path: Path) -> dict[str, str]:
    """What `launch status` says, by experiment."""
    document = json.loads(launch(tmp_path, "status", "runs", "--json").stdout)
    return {f"{e['task']} {e['model']} {e['methods']} {e['seed']}": e["state"] for e in document["experiments"]}


def results(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((tmp_path / "runs").glob("*/*/*/*/result.json"))]


def undisturbed(command: Command, tmp_path: Path, *words: str) -> dict[str, str]:
    """The weights of the same experiments, run here once and left alone, by run_id."""
    if words not in REFERENCES:
        runs = tmp_path / "undisturbed"
        done = command("-m", *DEMO, *words, f"paths.runs={runs}", "device=cpu", "tracking=none")
        assert done.returncode == 0, done.stdout + done.stderr
        REFERENCES[words] = weights(runs)
    return REFERENCES[words]


def weights(runs: Path) -> dict[str, str]:
    """Run id -> digest of the weight file."""
    return {file.parts[-3]: digest(file) for file in runs.glob("*/*/*/*/artifact/model.safetensors")}


def running_on_node(sweep: Sweep, run_id: str) -> None:
    """Wait until an experiment trains, and has for a while."""

    def trains() -> bool:
        try:
            at = json.loads((sweep.run_folder(run_id) / "progress.json").read_text())
        except FileNotFoundError:
            return False
        return bool(at["unit"] == "step" and at["done"] > 50)

    wait_for(trains, "a training")


def test_a_grid_with_teachers_runs_as_arrays_and_ends_as_it_does_here(command: Command, tmp_path: Path) -> None:
    words = ("task=rte,sst2", "quantize=none,int8", "distill=none,kd", "distill.weak_teacher=true",
             "prune=none,magnitude", "train.max_steps=20",
             "hydra.launcher.pack=4", "hydra.launcher.per_device=2", "hydra.launcher.throttle=2")  # fmt: skip
    done = launched(command, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 experiments: 18 finished" in done.stdout
    sweep = all_sweeps(tmp_path / "runs")[-1]
    jobs = sweep.jobs()
    assert len(jobs) == 18
    teachers = {planned.teacher for planned in sweep.experiments.values() if planned.teacher}
    assert len({jobs[teacher] for teacher in teachers}) == 2, "teachers have jobs of their own"
    assert len(set(jobs.values())) == 2 + 2 + 2, "8 without teacher in 2 jobs, 4 students of each in 1"
    assert {found["run_id"]: found["environment"]["job"] for found in results(tmp_path)} == jobs
    named = subprocess.check_output(
        ["sacct", "-nXP", "--format=JobID,JobName", "-j", ",".join(jobs.values())], text=True
    )
    names = dict(line.split("|") for line in named.splitlines())
    for teacher in teachers:
        task = sweep.experiments[teacher].task
        assert names[jobs[teacher]].startswith(f"{task}-mini-none-s0-"), "an element that runs has a name of its own"
    assert weights(tmp_path / "runs") == undisturbed(command, tmp_path, *words[:6])
    again = launched(command, *words)
    assert again.returncode == 0
    assert "0 to run, 16 finished" in again.stdout
    assert not squeue()


def test_a_search_has_its_trials_run_as_jobs_and_finds_them_again(command: Command, tmp_path: Path) -> None:
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2",
             "hydra.launcher.objective=score_accuracy", "train.learning_rate=tag(log, interval(1e-4,1e-2))",
             "train.max_steps=20")  # fmt: skip
    done = launched(command, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = results(tmp_path)
    assert len({trial["environment"]["job"] for trial in trials}) == 2
    best = max(trials, key=lambda trial: trial["score_accuracy"])
    assert f"best of 2 trials: score_accuracy {best['score_accuracy']:g}: train.learning_rate=" in done.stdout
    again = launched(command, *words)
    assert again.returncode == 0
    assert "0 to run, 2 finished" in again.stdout
    assert not squeue()


def test_the_sbatch_text_is_the_recorded_one(command: Command, tmp_path: Path) -> None:
    sweep = submitted(
        command, tmp_path, "distill=kd", "distill.weak_teacher=true",
        "seed=0,1,2", "hydra.launcher.partition=cpu", "hydra.launcher.pack=2",
        "hydra.launcher.setup=['module() {','  :','}','module load cuda']", "+hydra.launcher.additional.nice=10",
        "resources.memory_gb=0.5", "hydra.launcher.constraint=null", "resources.gpus=1", "hydra.launcher.throttle=2",
    )  # fmt: skip
    sent = arrays(sweep.folder)
    texts = [(sweep.folder / "jobs" / f"{array.name}.sh").read_text() for array in sent]
    assert len(texts) == 2 + 3, "the teachers of three seeds in two lanes, the students of each apart"
    found = "\n".join(texts).replace(str(sweep.folder), "SWEEP").replace(sys.executable, "PYTHON")
    for array in sent:
        found = found.replace(array.name, f"NAME{array.number}")
        found = re.sub(rf"(after\w+:){array.job}(?!\d)", rf"\1JOB{array.number}", found)
    if os.environ.get("ACCEPT"):
        RECORD.write_text(found)
    assert found == RECORD.read_text(), "if it is meant to be another: ACCEPT=1 make test ARGS=tests/slurm"


@pytest.mark.parametrize(
    ("words", "flag"),
    [(("hydra.launcher.account=lab",), "--account=lab"), (("hydra.launcher.qos=night",), "--qos=night"),
     (("hydra.launcher.constraint=a100",), "--constraint=a100")],
)  # fmt: skip
def test_what_the_cluster_refuses_is_told_in_one_line(
    command: Command, tmp_path: Path, words: tuple[str, ...], flag: str
) -> None:
    done = launched(command, *words)
    sent = [file.read_text() for file in (tmp_path / "runs").rglob("*.sh")]
    if done.returncode == 0:  # this cluster does not mind
        assert any(flag in text for text in sent)
    else:
        assert done.returncode == 2, done.stdout + done.stderr
        key = flag.removeprefix("--")
        assert done.stderr.startswith(f"error: hydra.launcher.{key}: SLURM would never start such a job: Invalid ")
        assert done.stderr.count("\n") == 1
        assert not list(tmp_path.iterdir())


def test_one_failure_never_stops_the_rest(command: Command, tmp_path: Path) -> None:
    done = launched(command, "task=rte,cola", "train.learning_rate=1e-3,1e30", "train.max_steps=5",
                    "hydra.launcher.pack=4")  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "4 experiments: 2 finished" in done.stdout
    assert len(results(tmp_path)) == 2
    failed = r"tiny none train.learning_rate=1e30 seed 0 +FloatingPointError: the loss is nan by step .*log.txt"
    assert len(re.findall(failed, done.stdout)) == 2


def test_a_teacher_that_fails_takes_its_students_with_it_and_retry_runs_both(command: Command, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    words = ("distill=kd", "distill.weak_teacher=true", "train.max_steps=5", "hydra.launcher.max_requeues=0",
             f"hydra.launcher.setup=['if test -e {broken}; then exit 3; fi']")  # fmt: skip
    done = launched(command, *words)
    assert done.returncode == 1
    assert "rte mini none seed 0" in done.stdout
    assert re.search(r"its job \d+ is gone: FAILED 3:0", done.stdout)
    assert "its teacher rte mini none seed 0 failed" in done.stdout
    assert set(states(tmp_path).values()) == {"failed"}
    broken.unlink()
    again = launch(tmp_path, "retry", "runs")
    assert again.returncode == 0, again.stdout + again.stderr
    assert set(states(tmp_path).values()) == {"finished"}
    assert launch(tmp_path, "retry", "runs").stdout.startswith("nothing to run again")


def test_a_pending_element_that_is_cancelled_is_noticed_and_run_by_retry(command: Command, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "compress", *SLURM, "seed=0,1,2", "train.max_steps=5", "hydra.launcher.throttle=1",
         "hydra.launcher.setup=['sleep 4']"],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: any("RUNNING" in line for line in squeue()), "the first element")
    sweep = all_sweeps(tmp_path / "runs")[-1]
    last = sweep.jobs()[sweep.to_run[-1]]
    assert f"{last} PENDING" in squeue()
    subprocess.run(["scancel", last], check=True)
    assert states(tmp_path)["rte tiny none 2"] in ("failed", "missing")
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 1
    assert f"its job {last} is gone: " in out
    assert len(results(tmp_path)) == 2
    assert launch(tmp_path, "retry", "runs").returncode == 0
    assert len(results(tmp_path)) == 3


@pytest.mark.parametrize(
    ("how", "subset"), [("warned", ()), ("requeued", ALL), ("killed", ALL)], ids=["warned", "requeued", "killed"]
)
def test_a_job_that_is_interrupted_goes_on_and_ends_bit_for_bit_the_same(
    command: Command, tmp_path: Path, subset: tuple[str, ...], how: str, tracked: WandbServer
) -> None:
    words = (*subset, *(LONG_WITH_ALL if subset else LONG))
    sweep = submitted(command, tmp_path, *words)
    (run_id,) = [planned.run_id for planned in sweep.experiments.values() if planned.model == "tiny"]
    running_on_node(sweep, run_id)
    job, folder = sweep.jobs()[run_id], sweep.run_folder(run_id)
    if how == "warned":  # as before a time limit, or by a preemption with grace
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
    elif how == "requeued":  # from outside: SIGTERM, then SIGKILL
        subprocess.run(["scontrol", "requeue", job], check=True)
    else:  # as by a preemption without grace, or a node that is lost
        wait_for(lambda: (folder / "checkpoint" / "state.pt").exists(), "a checkpoint")
        pid = json.loads((folder / "progress.json").read_text())["pid"]
        subprocess.run(["scontrol", "update", f"JobId={job}", "Requeue=1"], check=True)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: run_id in sweep.outcomes(), "the kill to be told")
        assert sweep.outcomes()[run_id].cause.startswith("killed by SIGKILL")
        assert launch(tmp_path, "retry", "runs").returncode == 0
    wait_for(lambda: (folder / "result.json").exists(), "the result", 300)
    document = json.loads((folder / "result.json").read_text())
    assert document["timing"]["resumed"] >= 1
    assert weights(tmp_path / "runs") == undisturbed(command, tmp_path, *words)
    wait_for(lambda: not squeue(), "the job's end")
    assert set(states(tmp_path).values()) == {"finished"}
    rows = [json.loads(line)["global_step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    run = tracked.runs[run_id]
    assert [row["global_step"] for row in run.history] == rows
    assert [offset for offset, _ in run.received[HISTORY]] == list(range(len(rows))), "no row was sent twice"
    assert (run.state, run.summary["score_glue"]) == ("finished", document["score_glue"])


@pytest.mark.parametrize("partition", ["preempt", "preempt_now"])
def test_a_preempted_job_goes_on_and_ends_bit_for_bit_the_same(
    command: Command, tmp_path: Path, partition: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "compress", *SLURM, *LONG, f"hydra.launcher.partition={partition}"],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: list((tmp_path / "runs").glob("rte/*/*/*/checkpoint/state.pt")), "a checkpoint")
    everything = [
        "sbatch",
        "--partition=cpu",
        "--nodes=2",
        "--exclusive",
        "--wait",
        "--output=/dev/null",
        "--wrap=sleep 3",
    ]
    subprocess.run(everything, check=True, capture_output=True, timeout=180)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    (document,) = results(tmp_path)
    assert document["timing"]["resumed"] >= 1
    assert weights(tmp_path / "runs") == undisturbed(command, tmp_path, *LONG)


def test_a_lost_node_costs_no_experiment(command: Command, tmp_path: Path) -> None:
    sweep = submitted(command, tmp_path, *LONG)
    (run_id,) = sweep.to_run
    folder, job = sweep.run_folder(run_id), sweep.jobs()[run_id]
    wait_for(lambda: (folder / "checkpoint" / "state.pt").exists(), "a checkpoint")
    node = scheduler.queue([sweep])[job].node
    with power_off(node, job):
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"], check=True)
        wait_for(lambda: (folder / "result.json").exists(), "the result from the other node")
    assert results(tmp_path)[0]["timing"]["resumed"] == 1
    assert weights(tmp_path / "runs") == undisturbed(command, tmp_path, *LONG)


@contextlib.contextmanager
def power_off(node: str, job: str) -> Iterator[None]:
    """Kill a node's daemon and all of a job on it; the daemon comes back afterwards."""
    told = {int(entry.name): entry for entry in Path("/proc").iterdir() if entry.name.isdigit()}

    def mentions(file: str, *words: str) -> list[int]:
        found = []
        for pid, entry in told.items():
            with contextlib.suppress(OSError):
                if all(word.encode() in (entry / file).read_bytes().split(b"\0") for word in words):
                    found.append(pid)
        return found

    (daemon,) = mentions("cmdline", "/usr/sbin/slurmd", "-N", node)
    again = [word.decode() for word in (told[daemon] / "cmdline").read_bytes().split(b"\0") if word]
    for pid in (daemon, *mentions("comm", "slurmstepd\n"), *mentions("environ", f"SLURM_JOB_ID={job}")):
        os.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        subprocess.run(again, check=True)
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False)
        wait_for(lambda: "idle" in subprocess.check_output(["sinfo", "-hn", node, "-o%T"], text=True), "the node")


def test_a_job_that_is_held_is_told(command: Command, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "compress", *SLURM, "seed=0,1", "train.max_steps=5", "hydra.launcher.throttle=1",
         "hydra.launcher.setup=['sleep 3']"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: len(squeue()) == 2, "two jobs")
    sweep = all_sweeps(tmp_path / "runs")[-1]
    held = sweep.jobs()[sweep.to_run[-1]]
    subprocess.run(["scontrol", "hold", held], check=True)
    assert process.stdout is not None
    told = next(line for line in process.stdout if "held" in line)
    assert re.fullmatch(rf"job {held} is held \(JobHeld\w+\); let it go: scontrol release {held}\n", told)
    assert told.removeprefix(f"job {held} is ").strip() in launch(tmp_path, "status", "runs").stdout
    subprocess.run(["scontrol", "release", held], check=True)
    out, _ = process.communicate(timeout=180)
    assert (process.returncode, "2 finished" in out) == (0, True)


def test_two_launches_of_one_grid_submit_each_experiment_once(command: Command, tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "compress",
        *SLURM,
        "seed=0,1,2",
        "distill=kd",
        "distill.weak_teacher=true",
        "train.max_steps=5",
    ]
    both = [subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sorted(re.findall(r"(\d+) experiments submitted", "".join(told))) == ["0", "6"]
    assert "6 are in the queue already" in "".join(told)
    assert len(results(tmp_path)) == 6
    assert all(document["timing"]["resumed"] == 0 for document in results(tmp_path))


def test_status_agrees_with_the_queue_after_the_launching_process_died_and_cancel_stops_all(
    command: Command, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "compress", *SLURM, "train.epochs=240", "seed=0,1", "distill=none,kd",
        "distill.weak_teacher=true",
         "hydra.launcher.throttle=1", "resources.cpus=2"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: list((tmp_path / "runs").glob("rte/mini/none/*/progress.json")), "a training")
    wait_for(lambda: len(squeue()) == 6, "six jobs")
    process.kill()
    process.wait()
    (sweep,) = all_sweeps(tmp_path / "runs")
    queue = dict(line.split() for line in squeue())
    assert states(tmp_path) == {
        f"{planned.task} {planned.model} {planned.methods} {planned.seed}":
        "waiting" if planned.teacher else {"RUNNING": "running", "PENDING": "pending"}[queue[sweep.jobs()[run_id]]]
        for run_id, planned in sweep.experiments.items()
    }  # fmt: skip
    assert "6 experiments: " in launch(tmp_path, "status", "runs").stdout
    at = re.compile(r"rte mini none seed \d +step \d+/\d+ +(\d+ s|\d+ min|\d+\.\d h) ")
    wait_for(lambda: at.search(launch(tmp_path, "status", "runs").stdout), "the time that is left")
    done = launch(tmp_path, "cancel", "runs")
    assert (done.returncode, "6 jobs cancelled" in done.stdout) == (0, True)
    wait_for(lambda: not squeue(), "an empty queue")
    assert "finished" not in states(tmp_path).values()
    assert not list((tmp_path / "runs").glob("rte/*/*/*/result.json"))


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("\n", 1)])
def test_ctrl_c_asks_before_it_cancels(command: Command, tmp_path: Path, answer: str, left: int) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-m", "compress", *SLURM, *LONG])
    wait_for(lambda: any("RUNNING" in line for line in squeue()), "the job")
    time.sleep(1)
    os.write(terminal, b"\x03")
    told = b""
    while b"[y/N]" not in told:
        told += os.read(terminal, 1000)
    assert b"python -m launch cancel" in told
    os.write(terminal, answer.encode())
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        try:
            os.read(terminal, 1000)
        except OSError:
            break
    wait_for(lambda: len([line for line in squeue() if "COMPLETING" not in line]) == left, f"{left} jobs", 30)
