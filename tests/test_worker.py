"""A worker runs what can run, and one experiment's crash is one experiment's crash."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch  # as a worker that is warm

from compress import experiment
from compress.config.schema import Config
from compress.errors import ConfigError
from launch import plan, worker
from launch.child import STOPPING
from launch.experiments import CANCELLED, Outcome
from launch.sweep import Sweep
from launch.worker import Worker
from tests.conftest import Compose

BASE = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "device=cpu")


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker takes signals for itself; these tests have to go on."""
    before = {signum: signal.getsignal(signum) for signum in STOPPING}
    where = Path.cwd()
    monkeypatch.setattr(experiment, "warm_up", lambda config: None)
    yield
    os.chdir(where)
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def sweep(compose: Compose, tmp_path: Path) -> Callable[..., Sweep]:
    """A planned sweep of experiments that differ in the seed, or of given ones."""

    def made(*words: str, seeds: int = 1, configs: list[Config] | None = None) -> Sweep:
        cells = configs or [compose(*BASE, *words, f"seed={seed}") for seed in range(seeds)]
        planned = plan.make(cells, lambda runs: [])
        found = Sweep(
            planned.runs / ".sweeps" / "s", {"name": "local"}, planned.experiments, (e.run_id for e in planned.to_run)
        )
        found.write()
        return found

    return made


def by_seed(sweep: Sweep) -> dict[int, Any]:
    return {sweep.experiments[run_id].seed: outcome for run_id, outcome in sweep.outcomes().items()}


def misbehaving(monkeypatch: pytest.MonkeyPatch, acts: dict[int, Callable[[], None]]) -> None:
    """Have experiments do something else, by their seed; the others do nothing."""

    def run(config: Config, *, locked: bool, teaches: bool, command: Sequence[str] | None) -> None:
        assert locked
        acts.get(config.seed, lambda: None)()

    monkeypatch.setattr(experiment, "run", run)


def raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def hangs_for_good() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


@pytest.mark.fault(
    "a sweep on this machine",
    "an experiment crashes, is killed, hangs or raises",
    "that experiment fails with its cause and its log; the others run",
    "see the cause; `launch retry`",
)
def test_a_crash_a_kill_a_hang_and_an_error_are_one_failed_experiment_each(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GRACE_SECONDS", 0.3)
    misbehaving(monkeypatch, {
        1: lambda: ctypes.string_at(0),  # type: ignore[dict-item, return-value]
        2: lambda: os.kill(os.getpid(), signal.SIGKILL),
        3: lambda: time.sleep(600),
        4: raises(ValueError("of no use")),
        5: raises(ConfigError("data.path=x: gone")),
        6: raises(SystemExit(3)),
        7: hangs_for_good,
    })  # fmt: skip
    made = sweep("resources.timeout_min=0.03", seeds=9)
    assert Worker(made, slots=3).run() is None
    ended = by_seed(made)
    assert {seed: outcome.state for seed, outcome in ended.items()} == {
        seed: "failed" if 0 < seed < 8 else "finished" for seed in range(9)
    }
    assert ended[1].cause == "killed by SIGSEGV"
    assert ended[2].cause == "killed by SIGKILL (out of memory?)"
    assert ended[3].cause == ended[7].cause == "took longer than 0.03 minutes; raise resources.timeout_min"
    assert ended[4].cause == "ValueError: of no use"
    assert ended[5].cause == "data.path=x: gone"
    assert ended[6].cause == "its process ended with exit code 1: SystemExit: 3"
    assert "Segmentation fault" in Path(ended[1].log).read_text()
    assert "ValueError: of no use" in Path(ended[4].log).read_text()
    for run_id, outcome in made.outcomes().items():
        error = made.run_folder(run_id) / "error.json"
        assert error.exists() == (outcome.state == "failed")
        assert not error.exists() or json.loads(error.read_text())["run_id"] == run_id
    assert not list((made.runs / ".locks").iterdir())


def test_students_wait_for_their_own_teacher_only_and_fail_with_it(
    compose: Compose, sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    started.mkdir()

    def run(config: Config, *, locked: bool, teaches: bool, command: Sequence[str] | None) -> None:
        task, student = config.task.name, "distill" in config.methods
        (started / f"{task}-{'student' if student else 'teacher'}").touch()
        if student:
            assert (started / f"{task}-ready").exists(), "its teacher was not finished"
            assert task != "cola" or not (started / "sst2-ready").exists(), "it waited for another's teacher"
        elif task == "rte":
            raise ValueError("no good")
        else:
            time.sleep(4 if task == "sst2" else 0)
            (started / f"{task}-ready").touch()

    monkeypatch.setattr(experiment, "run", run)
    configs = [
        compose(*BASE, "distill=kd", "distill.weak_teacher=true", "distill.teacher=mini", f"task={task}")
        for task in ("rte", "sst2", "cola")
    ]
    plain = compose(*BASE, "task=qqp", "seed=3")
    made = sweep(configs=[*configs, plain])
    assert len(made.to_run) == 7
    Worker(made, slots=2).run()
    ended = {made.experiments[run_id].name: outcome for run_id, outcome in made.outcomes().items()}
    assert {name for name, outcome in ended.items() if outcome.state == "failed"} == {
        "rte mini none seed 0", "rte tiny distill seed 0"
    }  # fmt: skip
    assert ended["rte tiny distill seed 0"].cause == "its teacher rte mini none seed 0 failed"
    assert ended["rte tiny distill seed 0"].log == ended["rte mini none seed 0"].log
    assert not (started / "rte-student").exists()


def test_two_workers_never_run_an_experiment_twice(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def run(config: Config, *, locked: bool, teaches: bool, command: Sequence[str] | None) -> None:
        with log.open("a") as stream:
            stream.write(f"{config.seed}\n")
        time.sleep(0.02)

    monkeypatch.setattr(experiment, "run", run)
    made = sweep(seeds=40)
    others = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            Worker(Sweep.read(made.folder), slots=2).run()
            os._exit(0)
        others.append(pid)
    for pid in others:
        assert os.waitpid(pid, 0)[1] == 0
    assert sorted(map(int, log.read_text().split())) == list(range(40))
    assert {outcome.state for outcome in made.outcomes().values()} == {"finished"}


def test_an_experiment_that_another_sweep_is_at_is_left_to_it_and_found_finished(
    sweep: Callable[..., Sweep], compose: Compose
) -> None:
    made = sweep("train.max_steps=3")
    config = made.config(made.to_run[0])
    lock = experiment.lock_of(config)
    assert lock.take()
    code = "import sys; from pathlib import Path; from launch.sweep import Sweep; from launch.worker import Worker;"
    code += "Worker(Sweep.read(Path(sys.argv[1]))).run()"
    process = subprocess.Popen([sys.executable, "-c", code, str(made.folder)])
    time.sleep(1)
    assert process.poll() is None
    document = experiment.run(config, locked=True).document()
    lock.release()
    assert process.wait(timeout=60) == 0
    assert made.outcomes()[made.to_run[0]].state == "finished"
    assert document["timing"]["resumed"] == 0
    assert not list((made.folder / "logs").iterdir()), "it was run a second time"


@pytest.mark.parametrize("signum", STOPPING, ids=lambda signum: signum.name)
@pytest.mark.fault(
    "a sweep on this machine",
    "a worker gets SIGTERM or SIGUSR2",
    "its experiments write checkpoints and stop",
    "`launch retry`, which goes on from there",
)
def test_a_signal_stops_the_children_with_their_checkpoints_and_a_second_worker_goes_on(
    sweep: Callable[..., Sweep], signum: signal.Signals
) -> None:
    made = sweep("train.epochs=6", seeds=3)
    pid = os.fork()
    if pid == 0:
        found = Worker(made, slots=2).run()
        os._exit(found or 0)
    deadline = time.monotonic() + 60
    while len(list(made.runs.glob("rte/*/*/*/progress.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(pid, signum)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == signum
    assert not made.outcomes()
    stopped = list(made.runs.glob("rte/*/*/*/checkpoint/state.pt"))
    assert len(stopped) == 2
    assert not list(made.runs.glob("rte/*/*/*/error.json"))
    Worker(made, slots=2).run()
    assert [outcome.state for outcome in made.outcomes().values()] == ["finished"] * 3
    resumed = [json.loads(file.read_text())["timing"]["resumed"] for file in made.runs.glob("rte/*/*/*/result.json")]
    assert sorted(resumed) == [0, 1, 1]


@pytest.mark.fault(
    "a sweep on this machine",
    "a worker is killed",
    "its experiments write checkpoints and stop",
    "`launch retry`, which goes on from there",
)
def test_children_do_not_outlive_a_worker_that_is_killed(sweep: Callable[..., Sweep]) -> None:
    made = sweep("train.epochs=40")
    pid = os.fork()
    if pid == 0:
        Worker(made).run()
        os._exit(0)
    while not (found := list(made.runs.glob("rte/*/*/*/progress.json"))):
        time.sleep(0.05)
    child = json.loads(found[0].read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + 20
    while experiment.lock_of(made.config(made.to_run[0])).taken() and time.monotonic() < deadline:
        time.sleep(0.05)
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
    assert (found[0].parent / "checkpoint" / "state.pt").is_file(), "its last step is not lost"


def test_what_an_experiment_says_is_in_its_log(sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch) -> None:
    def talk() -> None:
        print("to stdout")
        os.write(2, b"to stderr\n")

    misbehaving(monkeypatch, {0: talk})
    made = sweep()
    Worker(made).run()
    said = (made.folder / "logs" / f"{made.to_run[0]}.txt").read_text()
    assert sorted(said.splitlines()) == ["to stderr", "to stdout"]


def test_forced_experiments_run_once_more_and_once_only(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, compose: Compose, tmp_path: Path
) -> None:
    config = compose(*BASE, "train.max_steps=2")
    experiment.run(config)
    log = tmp_path / "log"

    def run(config: Config, *, locked: bool, teaches: bool, command: Sequence[str] | None) -> None:
        log.write_text(log.read_text() + "x" if log.exists() else "x")

    monkeypatch.setattr(experiment, "run", run)
    made = sweep(configs=[replace(config, force=True)])
    Worker(made).run()
    Worker(Sweep.read(made.folder)).run()
    assert log.read_text() == "x"


def test_a_worker_that_is_given_some_runs_those(sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch) -> None:
    misbehaving(monkeypatch, {})
    made = sweep(seeds=4)
    Worker(made, only=made.to_run[1:3]).run()
    assert set(made.outcomes()) == set(made.to_run[1:3])


def test_libraries_that_look_for_gpus_before_the_forks_do_not_start_cuda(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)
    monkeypatch.setattr(experiment, "warm_up", lambda config: seen.append(torch.cuda._nvml_based_avail()))
    misbehaving(monkeypatch, {})
    Worker(sweep()).run()
    assert seen == [True]


def test_a_crash_costs_little_and_the_next_one_starts_at_once(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    misbehaving(monkeypatch, {})
    made = sweep(seeds=20)
    started = time.monotonic()
    Worker(made).run()
    assert time.monotonic() - started < 20 * 0.5


@pytest.mark.fault(
    "a sweep on this machine",
    "a run folder cannot be written",
    "that experiment fails with its cause, even where `error.json` cannot be left; the others run",
    "have it made writable; `launch retry`",
)
def test_a_folder_that_cannot_be_written_is_one_failed_experiment(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made = sweep(seeds=4)
    folders = {planned.seed: made.run_folder(run_id) for run_id, planned in made.experiments.items()}

    def in_the_way(seed: int, then: Callable[[], None]) -> Callable[[], None]:
        def act() -> None:
            folders[seed].parent.mkdir(parents=True, exist_ok=True)
            folders[seed].write_text("a file where the run folder should be")
            then()

        return act

    misbehaving(monkeypatch, {
        0: in_the_way(0, lambda: os.kill(os.getpid(), signal.SIGKILL)),
        1: in_the_way(1, raises(ValueError("of no use"))),
    })  # fmt: skip
    Worker(made).run()
    ended = by_seed(made)
    assert {seed: outcome.cause for seed, outcome in ended.items()} == {
        0: "killed by SIGKILL (out of memory?)", 1: "ValueError: of no use", 2: "", 3: "",
    }  # fmt: skip
    assert f"{folders[0]}: error.json cannot be written" in capfd.readouterr().err
    assert all(Path(outcome.log).is_file() for outcome in ended.values() if outcome.log)


@pytest.mark.fault(
    "a sweep on this machine",
    "what an experiment starts from is gone by now",
    "that experiment fails with its cause; the others run",
    "bring it back; `launch retry`",
)
def test_an_experiment_that_cannot_be_started_is_one_failed_experiment(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sweep(seeds=4)
    real = Sweep.config

    def config(self: Sweep, run_id: str) -> Config:
        if self.experiments[run_id].seed < 2:
            raise ConfigError("model.pretrained=x: gone")
        return real(self, run_id)

    monkeypatch.setattr(Sweep, "config", config)
    misbehaving(monkeypatch, {})
    Worker(made).run()
    assert [outcome.cause for _, outcome in sorted(by_seed(made).items())] == ["model.pretrained=x: gone"] * 2 + [
        ""
    ] * 2
    assert not list((made.runs / ".locks").iterdir())


@pytest.mark.fault(
    "a sweep on this machine",
    "the record of how an experiment ended cannot be written for a while",
    "it is written as soon as that is possible; a finished experiment stays finished",
    "free the disk",
)
def test_what_cannot_be_written_for_a_while_is_written_later(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the children, whose results stay unsaid, and in the worker."""
    made, full = sweep(seeds=3), tmp_path / "full"
    full.touch()
    real = Sweep.record

    def record(self: Sweep, outcome: Any) -> None:
        if full.exists():
            raise OSError(28, "No space left on device")
        real(self, outcome)

    monkeypatch.setattr(Sweep, "record", record)
    misbehaving(monkeypatch, {2: full.unlink})
    Worker(made).run()
    told = f"its process ended with exit code 1: compress.errors.ConfigError: paths.runs={made.runs}: No space left on "
    told += "device; free some, or give paths.runs=DIR on another disk"
    assert {seed: outcome.cause for seed, outcome in by_seed(made).items()} == {0: told, 1: told, 2: ""}


@pytest.mark.fault(
    "a sweep on this machine",
    "an experiment is killed after its result is there",
    "it is finished, and its students start; files that it left behind are deleted",
    "nothing",
)
def test_an_experiment_that_is_killed_after_its_result_is_finished_and_its_students_start(
    compose: Compose, sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sweep(configs=[compose(*BASE, "distill=kd", "distill.teacher=mini", "distill.weak_teacher=true",
                                   "train.max_steps=2")])  # fmt: skip
    (teacher,) = made.teachers
    real = experiment.run

    def run(config: Config, *, locked: bool, teaches: bool, command: Sequence[str] | None) -> None:
        if teaches:
            real(config, locked=locked, teaches=teaches, command=command)
            (made.run_folder(teacher) / "checkpoint").mkdir()
            (made.run_folder(teacher) / "error.json").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(experiment, "run", run)
    Worker(made).run()
    assert {outcome.state for outcome in made.outcomes().values()} == {"finished"}
    assert len(made.outcomes()) == 2
    assert not {"checkpoint", "error.json"} & set(os.listdir(made.run_folder(teacher)))


def test_a_forced_experiment_that_is_killed_before_its_new_result_has_failed(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, compose: Compose
) -> None:
    config = compose(*BASE, "train.max_steps=2")
    experiment.run(config)
    time.sleep(0.02)  # file systems round times
    misbehaving(monkeypatch, {0: lambda: os.kill(os.getpid(), signal.SIGKILL)})
    made = sweep(configs=[replace(config, force=True)])
    assert not made.finished(made.to_run[0])
    Worker(made).run()
    assert by_seed(made)[0].state == "failed"


def test_a_worker_stops_what_is_cancelled_and_starts_nothing_of_it(
    sweep: Callable[..., Sweep],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first experiment runs and is cancelled, the second waits and is; the third goes on."""
    made = sweep(seeds=3)
    first, second, third = made.to_run

    def run(config: Config, *, locked: bool, teaches: bool, command: Sequence[str] | None) -> None:
        if config.seed == made.experiments[first].seed:
            for run_id in (first, second):
                made.record(Outcome(run_id, "failed", 0.0, CANCELLED))
            time.sleep(600)

    monkeypatch.setattr(experiment, "run", run)
    started = time.monotonic()
    Worker(made).run()
    assert time.monotonic() - started < 300
    found = Sweep.read(made.folder).outcomes()
    assert {run_id: (found[run_id].state, found[run_id].cause) for run_id in made.to_run} == {
        first: ("failed", CANCELLED), second: ("failed", CANCELLED), third: ("finished", "")
    }  # fmt: skip
    assert not (made.folder / "logs" / f"{second}.txt").exists()
