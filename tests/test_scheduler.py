"""What is made of SLURM's answers, and of its silence; `tests/slurm` has the real one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from compress.runs.folder import ExperimentLock
from launch import cli, commands, job, losses, progress, scheduler, status, submitted
from launch import slurm as launch_slurm
from launch.commands import Unanswered
from launch.experiments import Outcome
from launch.losses import Watch
from launch.submitted import Array
from launch.sweep import Sweep
from tests.test_status import sweep_of

A, B, C, D = (letter * 12 for letter in "abcd")
AWAY = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
OFF = "Slurm accounting storage is disabled"


@dataclass
class Slurm:
    """SLURM's commands, of which each answers from what is here.

    Attributes:
        jobs: id -> name, state and reason.
        ended: lines of sacct.
        silent: commands that fail, and with what words.
        immortal: jobs that cannot be cancelled.
    """

    jobs: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)
    immortal: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def __call__(self, command: Sequence[str]) -> tuple[str, str | None]:
        self.asked.append(command[0])
        if command[0] in self.silent:
            return "", f"{command[0]}: {self.silent[command[0]]}"
        return getattr(self, command[0])(*command[1:])  # type: ignore[no-any-return]

    def squeue(self, *words: str) -> tuple[str, str | None]:
        (what, _, values) = words[-1].partition("=")
        wanted = set(values.split(","))
        rows = [
            f"{job}|{job.partition('_')[0]}|{state}|{reason}|n1|{name}"
            for job, (name, state, reason) in self.jobs.items()
            if (job.partition("_")[0] if what == "--jobs" else name) in wanted
        ]
        unknown = what == "--jobs" and len(wanted) == 1 and not rows
        return "\n".join(rows), "squeue: slurm_load_jobs error: Invalid job id specified" if unknown else None

    def sacct(self, *words: str) -> tuple[str, str | None]:
        return "\n".join(self.ended), None

    def scancel(self, *jobs: str) -> tuple[str, str | None]:
        refused = [job for job in jobs if job in self.immortal]
        self.jobs = {job: values for job, values in self.jobs.items() if job not in jobs or job in refused}
        return "", f"scancel: Kill job error on job id {refused[-1]}: Access/permission denied" if refused else None

    def scontrol(self, *words: str) -> tuple[str, str | None]:
        return "PrivateData             = accounts,jobs\n", None


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    found = Slurm()
    monkeypatch.setattr(commands, "run", found)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return found


def submit(slurm: Slurm, sweep: Sweep, job: str, *elements: Sequence[str], state: str = "PENDING") -> Array:
    """Have an array in the queue that a sweep has submitted."""
    array = submitted.confirm(sweep.folder, submitted.intend(sweep.folder, elements), job)
    slurm.jobs |= dict.fromkeys(array.job_ids(), (array.name, state, "Priority"))
    return array


def states(runs: Path) -> dict[str, tuple[str, str]]:
    return {entry.run_id: (entry.state, entry.detail) for entry in status.survey(runs).experiments}


# --- the queue --------------------------------------------------------------------------------------------------------


def test_jobs_are_asked_for_by_id_and_known_by_their_name(slurm: Slurm, tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "first", A, B, C)
    submit(slurm, sweep, "34", [A], [B])
    submit(slurm, sweep, "7", [C])
    assert scheduler.queue([sweep]).keys() == {"34_0", "34_1", "7"}
    slurm.jobs["7"] = ("of a stranger, whom SLURM gave this id", "RUNNING", "")
    assert scheduler.queue([sweep]).keys() == {"34_0", "34_1"}
    slurm.jobs["34_1"] = (submitted.arrays(sweep.folder)[0].name_of("rte-tiny-none-s1"), "RUNNING", "")
    assert scheduler.queue([sweep]).keys() == {"34_0", "34_1"}, "an element that runs has a name of its own"
    slurm.jobs.clear()
    assert scheduler.queue([sweep]) == {}, "ids that SLURM has forgotten are an answer"
    sweep.record(Outcome(A, "finished", 1.0))
    sweep.record(Outcome(B, "failed", 1.0))
    assert scheduler.queue([sweep]) == {}, "of one unknown id squeue says that it is invalid"


def test_a_question_is_asked_again_but_not_after_a_long_silence(slurm: Slurm, tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "first", A)
    submit(slurm, sweep, "34", [A])
    slurm.silent = {"squeue": AWAY}
    with pytest.raises(Unanswered, match=r"^SLURM does not answer \(squeue: slurm_load_jobs error: Unable to contact"):
        scheduler.queue([sweep])
    assert len(slurm.asked) == 3
    slurm.silent = {"squeue": f"{commands.SILENT} 60 s"}
    with pytest.raises(Unanswered, match="nothing within 60 s"):
        scheduler.queue([sweep])
    assert len(slurm.asked) == 4


def test_a_command_that_hangs_fails_or_is_not_there_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "ANSWER_SECONDS", 0.1)
    assert commands.run(["sleep", "5"]) == ("", "sleep: nothing within 0.1 s")
    assert commands.run(["no-such-command"]) == ("", "no-such-command: No such file or directory")
    assert commands.run(["false"]) == ("", "false: exit code 1")
    assert commands.run(["sh", "-c", "echo out; echo sh: error: no >&2; exit 2"]) == ("out\n", "sh: no")


def test_what_a_killed_launcher_submitted_is_found_again_by_name(slurm: Slurm, tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "first", A, B, C, D)
    queued = submitted.intend(sweep.folder, [[A], [B]])
    ended = submitted.intend(sweep.folder, [[C]])
    never = submitted.intend(sweep.folder, [[D]])
    assert len({queued.name, ended.name, never.name}) == 3
    slurm.jobs = {"34_0": (queued.name, "RUNNING", ""), "34_1": (queued.name, "PENDING", "Resources")}
    slurm.ended = [f"7|{ended.name}"]
    slurm.silent = {"squeue": AWAY}
    assert {state for state, _ in states(tmp_path).values()} == {"unknown"}
    with pytest.raises(Unanswered):
        scheduler.confirm_submitted(sweep)
    slurm.silent = {}
    assert scheduler.confirm_submitted(sweep) == [never]
    assert sweep.jobs() == {A: "34_0", B: "34_1", C: "7"}
    submitted.withdraw(sweep.folder, never, late=True)
    assert scheduler.confirm_submitted(sweep) == []
    assert submitted.intend(sweep.folder, [[D]]).name != never.name, "an sbatch that is late must not be taken for it"
    job.main(sweep.folder, never.number)  # does nothing


@pytest.mark.fault(
    "a sweep on SLURM",
    "the record of a sweep’s submitted jobs (`arrays/`, `borrowed.json`) is damaged",
    "`status` names it; its other jobs and other sweeps go on",
    "`launch retry` once the queue is empty",
)
def test_a_damaged_note_of_what_was_submitted_is_told_and_stops_nobody(
    slurm: Slurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = sweep_of(tmp_path, "first", A, B)
    for number, run_id in (("34", A), ("35", B)):
        submit(slurm, sweep, number, [run_id])
    (sweep.folder / "arrays" / "0.json").write_text('{"number": 0}')
    (sweep.folder / "borrowed.json").write_text("[")
    assert states(tmp_path) == {A: ("missing", ""), B: ("pending", "Priority")}
    assert {line.partition(": ")[0] for line in capsys.readouterr().err.splitlines()} == {
        str(sweep.folder / "arrays" / "0.json"),
        str(sweep.folder / "borrowed.json"),
    }
    assert cli.main(["cancel", str(tmp_path)]) == 0
    assert slurm.jobs.keys() == {"34"}


def test_a_job_tells_slurm_what_it_runs(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An element that runs has a name and a comment of its own, and can be found although it is renamed."""
    sweep = sweep_of(tmp_path, "first", A, B)
    array = submitted.intend(sweep.folder, [[A], [B]], "rte-tiny-none-s0")
    for name, value in {"JOB_ID": "36", "ARRAY_JOB_ID": "35", "ARRAY_TASK_ID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    told: list[Sequence[str]] = []
    monkeypatch.setattr(commands, "run", told.append)
    job._tell_what_runs(sweep.folder, array)
    assert told == [["scontrol", "update", "JobId=36", "Comment=rte tiny none seed 0", f"JobName={array.name}"]]
    assert array.is_named(array.name_of("anything-else"))
    assert not array.is_named("rte-tiny-none-s0-deadbeef-0")
    assert sweep.jobs() == {A: "35_0", B: "35_1"}


# --- what status makes of it ------------------------------------------------------------------------------------------


def test_what_hangs_on_a_silent_slurm_is_unknown_and_nothing_else(
    slurm: Slurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = sweep_of(tmp_path, "first", A, B, C, D)
    submit(slurm, sweep, "34", [A], [B], [C])
    sweep.record(Outcome(C, "failed", 1.0, "ValueError: no"))
    slurm.silent = {"squeue": AWAY}
    lock = ExperimentLock(tmp_path, A)
    assert lock.take()
    found = states(tmp_path)
    lock.release()
    assert found == {
        A: ("running", "starting"), B: ("unknown", "SLURM does not answer"),
        C: ("failed", "ValueError: no"), D: ("missing", ""),
    }  # fmt: skip
    document = progress.as_document(tmp_path, status.survey(tmp_path))
    assert document["unanswered"] == f"SLURM does not answer (squeue: {AWAY})"
    counts = document["counts"]
    assert isinstance(counts, dict)
    assert (counts["unknown"], counts["missing"]) == (2, 1)
    told = progress.render(status.survey(tmp_path))
    assert told.startswith(f"{document['unanswered']}: what hangs on it is told as unknown")
    assert "2u" in told
    for verb in ("cancel", "retry"):
        assert cli.main([verb, str(tmp_path)]) != 0
        assert f"error: {document['unanswered']}: " in capsys.readouterr().err
    assert slurm.jobs.keys() == {"34_0", "34_1", "34_2"}
    assert [path.name for path in (tmp_path / ".sweeps").iterdir()] == ["first"]


@pytest.mark.parametrize(("at_once", "locked", "running"), [(1, [], [A]), (2, [], [A, B]), (1, [B], [B])])
def test_packed_experiments_that_wait_for_others_are_pending(
    slurm: Slurm, tmp_path: Path, at_once: int, locked: list[str], running: list[str]
) -> None:
    sweep = sweep_of(tmp_path, "first", A, B, C)
    sweep = Sweep(sweep.folder, {"name": "slurm", "per_device": at_once}, sweep.experiments.values(), sweep.to_run)
    sweep.write()
    submit(slurm, sweep, "34", [A, B, C], state="RUNNING")
    locks = [ExperimentLock(tmp_path, run_id) for run_id in locked]
    assert all(lock.take() for lock in locks)
    found = states(tmp_path)
    assert {run_id for run_id, (state, _) in found.items() if state == "running"} == set(running)
    assert {found[run_id] for run_id in {A, B, C} - set(running)} == {("pending", "behind others in job 34")}
    for lock in locks:
        lock.release()


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("PartitionTimeLimit", "smaller hydra.launcher.timeout_min"), ("PartitionConfig", "another hydra.launcher.part"),
     ("QOSMaxWallDurationPerJobLimit", "smaller hydra.launcher.timeout_min"), ("AccountNotAllowed", "launcher.account"),
     ("AssocMaxCpuPerJobLimit", "smaller resources.*"), ("BadConstraints", "constraint"),
     ("DependencyNeverSatisfied", "it waits for failed"),
     ("Priority", None), ("Resources", None), ("JobArrayTaskLimit", None), ("QOSMaxJobsPerUserLimit", None),
     ("AssocGrpCpuLimit", None), ("Licenses", None), ("ReqNodeNotAvail, UnavailableNodes:n1", None)],
)  # fmt: skip
def test_a_job_that_no_waiting_will_start_is_told_once_with_what_helps(
    slurm: Slurm, tmp_path: Path, capsys: pytest.CaptureFixture[str], reason: str, remedy: str | None
) -> None:
    sweep = sweep_of(tmp_path, "first", A, B)
    array = submit(slurm, sweep, "34", [A], [B])
    slurm.jobs = dict.fromkeys(slurm.jobs, (array.name, "PENDING", reason))
    watch = Watch(sweep)
    for _ in range(3):
        assert watch() == {}
    lines = [line for line in capsys.readouterr().out.splitlines() if "job" in line]
    shown = progress.render(status.survey(tmp_path))
    if remedy is None:
        assert lines == []
        assert f"pending: 2 {reason}" in shown
    else:
        (line,) = lines
        assert line.startswith(f"jobs 34_0, 34_1 will not start ({reason}); cancel, and retry")
        assert remedy in line
        assert line.removeprefix("jobs 34_0, 34_1 ") in shown


@pytest.mark.parametrize("reason", ["JobHeldUser", "JobHoldMaxRequeue", "launch_failed_requeued_held"])
def test_of_many_jobs_that_are_held_a_line_names_the_first(
    slurm: Slurm, tmp_path: Path, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    run_ids = [f"{number:012x}" for number in range(12)]
    sweep = sweep_of(tmp_path, "first", *run_ids)
    array = submit(slurm, sweep, "34", *([run_id] for run_id in run_ids))
    slurm.jobs = dict.fromkeys(slurm.jobs, (array.name, "PENDING", reason))
    Watch(sweep)()
    assert capsys.readouterr().out == (
        f"jobs 34_0, 34_1, 34_2, 34_3, 34_4 and 7 more are held ({reason}); let it go: scontrol release 34\n"
    )


def test_who_watches_is_told_once_that_slurm_is_away_and_once_that_it_is_back(
    slurm: Slurm, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_of(tmp_path, "first", A)
    submit(slurm, sweep, "34", [A])
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch = Watch(sweep)
    slurm.silent, slurm.jobs = {"squeue": AWAY}, {}
    for _ in range(100):
        assert watch() == {}, "nothing is lost while nothing is known"
        now += 3.0
    assert capsys.readouterr().out == (
        f"SLURM does not answer (squeue: {AWAY}); its jobs go on, and this goes on waiting for them\n"
    )
    assert len(slurm.asked) < 50, "it is asked less often"
    slurm.silent = {}
    now += 6 * losses.AWAY_SECONDS
    assert watch() == {}
    assert capsys.readouterr().out == "SLURM answers again\n"
    now += losses.PATIENCE_SECONDS + 1
    assert watch()[A].state == "failed"


def test_slurm_is_asked_less_and_less_often_and_soon_of_what_is_missing(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_of(tmp_path, "first", A)
    submit(slurm, sweep, "34", [A])
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch, asked = Watch(sweep), []
    while now < 7200.0:
        before = len(slurm.asked)
        watch()
        asked += [now] * (len(slurm.asked) - before)
        now += 3.0
    assert asked[:4] == [0.0, 3.0, 6.0, 9.0]
    assert asked[-1] - asked[-2] == 180.0
    assert len(asked) < 120
    slurm.jobs.clear()
    waited = 0.0
    while not (lost := watch()):
        now, waited = now + 3.0, waited + 3.0
    assert lost[A].state == "failed"
    assert waited < 180.0 + losses.PATIENCE_SECONDS + 6.0


# --- why an experiment is lost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "silent", "log", "cause"),
    [(["34_0|FAILED|2:0"], {}, "slurmstepd: error: execve(): /no: No such file or directory\nsrun: error: n2: task 0: "
      "Exited with exit code 2", "FAILED 2:0 (slurmstepd: error: execve(): /no: No such file or directory)"),
     (["34_[0-1%2]|CANCELLED by 0|0:0"], {}, None, "CANCELLED by 0 0:0"),
     (["34_1|COMPLETED|0:0"], {}, None, "SLURM's accounting has no record of it; it wrote no log"),
     ([], {"sacct": OFF}, None, f"how it ended is not known, SLURM's accounting does not answer (sacct: {OFF}); "
      "it wrote no log"),
     ([], {"sacct": OFF}, "Killed", f"how it ended is not known, SLURM's accounting does not answer (sacct: {OFF}) "
      "(Killed)")],
    ids=["failed", "cancelled with others", "no record", "no accounting", "no accounting but a log"],
)  # fmt: skip
@pytest.mark.fault(
    "a sweep on SLURM",
    "there is no accounting (`sacct`), or it does not answer",
    "if a job has left the queue, the cause says that there is no accounting, and quotes the job’s log; "
    "nothing is guessed",
    "see the log; `launch retry`",
)
def test_the_cause_of_a_loss_says_what_is_known_and_no_more(
    slurm: Slurm, tmp_path: Path, ended: list[str], silent: dict[str, str], log: str | None, cause: str
) -> None:
    sweep = sweep_of(tmp_path, "first", A, B)
    submit(slurm, sweep, "34", [A], [B])
    slurm.jobs, slurm.ended, slurm.silent = {}, ended, silent
    file = sweep.folder / "jobs" / "34_0_0_log.out"
    if log is not None:
        file.write_text(log)
    entry, _ = status.survey(tmp_path).experiments
    assert (entry.state, entry.detail) == ("failed", f"its job 34_0 is gone: {cause}")
    assert entry.log == ("" if log is None else str(file)), "a log is named only if it is there"


@pytest.mark.parametrize(
    ("log", "line"),
    [("", ""), ("one\ntwo\n\n", "two"),
     ("Traceback (most recent call last):\n  File x\n    raise ValueError('no')\nValueError: no\nsrun: error: n1: "
      "task 0: Exited with exit code 1\n", "ValueError: no"),
     ("slurm_script: line 9: module: command not found\nsrun: error: n1: task 0: Exited with exit code 127",
      "slurm_script: line 9: module: command not found"),
     ("going on\nslurmstepd: error: *** STEP 34.0 ON n1 CANCELLED AT 2025 DUE TO TIME LIMIT ***\nbye",
      "slurmstepd: error: *** STEP 34.0 ON n1 CANCELLED AT 2025 DUE TO TIME LIMIT ***"),
     ("slurmstepd: error: *** JOB 34 ON n1 CANCELLED DUE TO PREEMPTION ***\nsubmitit INFO (now) - Starting with "
      "JobEnvironment(x)\ntraining", "training"),
     ("srun: error: n1: task 0: Killed", "srun: error: n1: task 0: Killed"),
     ("the error is small\nstep 3", "step 3"),
     ("MemoryError\nsrun: error: n1: tasks 0-1: Exited with exit code 1", "MemoryError")],
)  # fmt: skip
def test_the_telling_line_of_a_log_is_the_last_error_that_is_no_consequence(log: str, line: str) -> None:
    assert losses.telling(log) == line


# --- several sweeps ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two(slurm: Slurm, tmp_path: Path) -> tuple[Sweep, Sweep]:
    """Two sweeps: the second leaves `B` to a job of the first, and has submitted `C` and `D` itself."""
    first, second = sweep_of(tmp_path, "first", A, B), sweep_of(tmp_path, "second", B, C, D)
    submit(slurm, first, "34", [A], [B])
    assert scheduler.queued_elsewhere(second) == {A: "34_0", B: "34_1"}
    submitted.borrow(second.folder, {B: "34_1"})
    submit(slurm, second, "35", [C], [D])
    return first, second


@pytest.mark.fault(
    "a sweep on SLURM",
    "Ctrl-C in a sweep that has experiments in common with another one, and `y` to the question whether to "
    "cancel its jobs",
    "only this sweep’s own jobs are cancelled, except those that another sweep waits for; a line says how many go on",
    "`launch cancel RUNS` cancels those of all sweeps",
)
def test_a_sweep_cancels_only_its_own_jobs(slurm: Slurm, two: tuple[Sweep, Sweep]) -> None:
    first, second = two
    done, _ = launch_slurm.cancel([second], second.others())
    assert done == "2 jobs cancelled; 1 of its experiments goes on in jobs of another sweep"
    assert slurm.jobs.keys() == {"34_0", "34_1"}
    done, _ = launch_slurm.cancel([first], first.others())
    assert done == "1 job cancelled; job 34_1 left alone: another sweep waits for experiments in it"
    assert slurm.jobs.keys() == {"34_1"}
    submitted.return_borrowed(second.folder)
    assert launch_slurm.cancel([first], first.others()) == ("1 job cancelled", [])
    assert not slurm.jobs


def test_cancelling_a_folder_of_runs_cancels_the_jobs_of_all_its_sweeps(
    slurm: Slurm, two: tuple[Sweep, Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["cancel", str(two[0].runs)]) == 0
    assert "4 jobs cancelled" in capsys.readouterr().out
    assert not slurm.jobs


def test_what_scancel_refuses_is_told_as_still_in_the_queue(
    slurm: Slurm, two: tuple[Sweep, Sweep], capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.immortal = {"34_0", "35_1"}
    assert cli.main(["cancel", str(two[0].runs)]) == 1
    shown = capsys.readouterr()
    assert "2 jobs cancelled" in shown.out
    assert shown.err.endswith(
        "error: jobs 34_0, 35_1 still in the queue (scancel: Kill job error on job id 35_1: Access/permission denied)\n"
    )
    slurm.silent = {"scancel": "Socket timed out on send/recv operation"}
    assert cli.main(["cancel", str(two[0].runs)]) == 1
    assert "0 jobs cancelled" in capsys.readouterr().out


def test_what_an_experiment_that_was_left_to_another_sweep_died_of_is_read_there(
    slurm: Slurm, two: tuple[Sweep, Sweep]
) -> None:
    first, second = two
    (first.folder / "jobs" / "34_1_0_log.out").write_text("Killed")
    del slurm.jobs["34_1"]
    lost = losses.lost(second, scheduler.queue([second]))
    assert lost.keys() == {B}
    assert (lost[B].cause, lost[B].log) == (
        "its job 34_1 is gone: SLURM's accounting has no record of it (Killed)",
        str(first.folder / "jobs" / "34_1_0_log.out"),
    )
    first.record(Outcome(B, "failed", 1.0, "ValueError: no"))
    assert losses.lost(second, scheduler.queue([second]))[B].cause == "ValueError: no"
    slurm.jobs["34_1"] = (submitted.arrays(first.folder)[0].name, "RUNNING", "")
    assert states(first.runs)[B] == ("failed", "ValueError: no"), "its job goes on with others"
    assert B not in scheduler.queued_elsewhere(second)


# --- other users ------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "a sweep on SLURM",
    "SLURM hides the jobs of other users (`PrivateData=jobs`)",
    "a colleague’s jobs are `unknown`, not lost: they are neither submitted again nor reported as cancelled",
    "ask who submitted them",
)
def test_jobs_of_others_that_slurm_hides_are_unknown_and_not_lost(
    slurm: Slurm, two: tuple[Sweep, Sweep], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = two
    monkeypatch.setattr("os.getuid", lambda: submitted.arrays(first.folder)[0].user + 1)
    slurm.jobs.clear()
    assert {state for state, _ in states(first.runs).values()} == {"unknown"}
    assert f"unknown: 4 {scheduler.HIDDEN.reason}" in progress.render(status.survey(first.runs))
    assert Watch(first)() == Watch(second)() == {}
    assert "jobs 34_0, 34_1 are not shown: SLURM hides the jobs of other users" in capsys.readouterr().out
    assert scheduler.queued_elsewhere(second) == {A: "34_0", B: "34_1"}
    assert launch_slurm.cancel([first, second], []) == (
        "0 jobs cancelled", [f"jobs 34_0, 34_1, 35_0, 35_1 still in the queue ({scheduler.HIDDEN.reason})"]
    )  # fmt: skip
    assert cli.main(["retry", str(first.runs)]) == 0
    assert "nothing to run again" in capsys.readouterr().out


def test_a_launch_is_refused_where_slurm_does_not_answer_or_is_not_there(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda command: command)
    scheduler.require()
    slurm.silent = {"squeue": AWAY}
    with pytest.raises(Unanswered, match="nothing was submitted"):
        scheduler.require()
    monkeypatch.setattr("shutil.which", lambda command: None)
    with pytest.raises(Exception, match="there is no sbatch here"):
        scheduler.require()
