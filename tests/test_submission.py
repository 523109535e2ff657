"""What would be submitted to SLURM, how much of it at once, and what becomes of the rest; no SLURM is needed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compress.config.resources import Needs
from compress.errors import ConfigError
from launch import sbatch, scheduler
from launch.batches import Batch, SlurmSettings, batches
from launch.commands import Unanswered
from launch.experiments import Outcome, Planned, in_common
from launch.submission import Submission
from launch.submitted import arrays, borrow, confirm, intend, unconfirmed
from launch.sweep import Sweep, accepted, concerned

TEACHERS = 4
REFUSED = "sbatch: error: Batch job submission failed: "
POLICY = f"{REFUSED}Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
NO_ROOM = f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}"


def settings(**changed: Any) -> SlurmSettings:
    plain: dict[str, Any] = dict.fromkeys(
        ("partition", "account", "qos", "constraint", "throttle", "threads", "timeout_min", "python")
    )
    plain |= {"additional": {}, "setup": [], "pack": 1, "per_device": 1, "signal_seconds": 60, "max_requeues": 1}
    return SlurmSettings(**plain | {"array_size": 1000, "wait": True} | changed)


def planned(run_id: str, teacher: str | None = None, minutes: float = 10) -> Planned:
    needs = Needs(1, 4, 8, minutes)
    where = f"rte/tiny/x/{run_id}"
    return Planned(run_id, where, "rte", "tiny", "x", 0, teacher, False, 60.0, needs, {"force": False})


def grid() -> list[Planned]:
    """Teachers, students of each and others, of two classes of resources."""
    names = [f"t{n}" for n in range(TEACHERS)]
    students = [planned(f"s{n}{teacher}", teacher, 10.0 * (1 + n % 2)) for teacher in names for n in range(5)]
    return [*map(planned, names), *students, *(planned(f"other{n}") for n in range(7))]


@pytest.mark.parametrize("pack", [1, 3])
@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("throttle", [1, 2, 5, 29, None])
def test_no_more_elements_than_the_throttle_can_run_at_once(throttle: int | None, size: int, pack: int) -> None:
    to_run = grid()
    found = batches(to_run, settings(throttle=throttle, array_size=size, pack=pack), {f"t{n}" for n in range(TEACHERS)})
    submitted = [run_id for batch in found for element in batch.elements for run_id in element]
    assert sorted(submitted) == sorted(experiment.run_id for experiment in to_run)
    for experiment in to_run:
        assert experiment.teacher is None or submitted.index(experiment.teacher) < submitted.index(experiment.run_id)
    assert max(len(batch.elements) for batch in found) <= size
    assert all(len(element) == 1 for batch in found for element in batch.elements if element[0].startswith("t"))
    if throttle is None or throttle >= sum(len(batch.elements) for batch in found):
        assert {batch.lane for batch in found} == {None}
    else:  # a lane runs one array at a time, and that so many elements
        wide = {batch.lane: batch.at_once or 0 for batch in found}
        assert None not in wide
        assert sum(wide.values()) <= throttle


def test_a_job_asks_for_the_time_of_all_that_follow_one_another_in_it() -> None:
    batch = Batch(Needs(1, 4, 8, 240), (), [["a"] * 8, ["b"] * 3])
    assert batch.minutes(settings()) == 8 * 240
    assert batch.minutes(settings(per_device=3)) == 3 * 240
    assert batch.minutes(settings(timeout_min=0.5)) == 4


class Slurm:
    """Takes so many elements, and arrays of so many, and refuses what has a word in its script."""

    def __init__(self, room: int, largest: int = 1000, refused: str = "never") -> None:
        self.room, self.largest, self.refused, self.calls = room, largest, refused, 0

    def submit(self, script: Path) -> str:
        text = script.read_text()
        array = text.partition("--array=0-")[2].partition("%")[0]
        elements = int(array) + 1 if array else 1
        if self.refused in text:
            raise sbatch._refusal(f"{REFUSED}Requested node configuration is not available")
        if elements > self.largest:
            raise sbatch._refusal(f"{REFUSED}Invalid job array specification")
        if elements > self.room:
            raise sbatch._refusal(NO_ROOM)
        self.room, self.calls = self.room - elements, self.calls + 1
        return str(100 + self.calls)


Start = Callable[..., tuple[Submission, Slurm]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A sweep that is about to be submitted."""
    monkeypatch.setattr(scheduler, "queued_elsewhere", lambda sweep: {})
    monkeypatch.setattr(scheduler, "confirm_submitted", lambda sweep: [])
    monkeypatch.setattr(sbatch, "largest_array", lambda: 1000)

    def made(slurm: Slurm, experiments: list[Planned], **changed: Any) -> tuple[Submission, Slurm]:
        monkeypatch.setattr(sbatch, "submit", slurm.submit)
        run_ids = [experiment.run_id for experiment in experiments]
        sweep = Sweep(tmp_path / "runs" / ".sweeps" / "x", {"name": "slurm"}, experiments, run_ids)
        sweep.write()
        submission = Submission(sweep, settings(**changed))
        submission.go_on()
        return submission, slurm

    return made


def test_what_slurm_has_no_room_for_is_submitted_when_a_job_has_ended(start: Start) -> None:
    submission, slurm = start(Slurm(room=11, largest=6), [planned(f"e{n:02}") for n in range(20)])
    assert [len(array.elements) for array in arrays(submission.sweep.folder)][:1] == [5]
    assert len(submission.sweep.jobs()) == 11
    assert len(submission.unsubmitted) == 9
    assert submission.waits_for == "QOSMaxSubmitJobPerUserLimit"
    assert submission.keep_up() == 0
    slurm.room = 3
    assert submission.keep_up() == 0, "no job has ended"
    submission.sweep.record(Outcome("e00", "finished", 1.0))
    assert submission.keep_up() == 3
    slurm.room = 100
    submission.sweep.record(Outcome("e01", "finished", 1.0))
    assert submission.keep_up() == 6
    assert (submission.left, submission.refused) == ([], {})
    assert sorted(submission.sweep.jobs()) == submission.sweep.to_run


def test_a_cancelled_sweep_is_submitted_no_further(start: Start) -> None:
    submission, slurm = start(Slurm(room=2), [planned(f"e{n}") for n in range(5)])
    submission.sign_in()
    assert list(submission.sweep.live_workers()) == [0]
    slurm.room, submission.stopped = 100, True
    assert submission.keep_up() == 0
    assert len(submission.sweep.jobs()) == 2
    assert {outcome.cause.partition(":")[0] for outcome in submission.refused.values()} == {"not submitted"}
    assert not submission.sweep.live_workers()


def test_what_is_refused_takes_its_students_with_it_and_nothing_else(start: Start) -> None:
    submission, _ = start(Slurm(room=100, refused="--time=77"),
                          [planned("t", minutes=77), planned("s", "t"), planned("other")])  # fmt: skip
    assert list(submission.sweep.jobs()) == ["other"]
    assert {run_id: outcome.cause for run_id, outcome in submission.refused.items()} == {
        "t": "not submitted, sbatch refused it: Requested node configuration is not available",
        "s": "its teacher rte tiny x seed 0 failed",
    }


def test_students_of_a_teacher_that_failed_meanwhile_are_not_submitted(start: Start) -> None:
    submission, slurm = start(Slurm(room=1), [planned("t"), planned("s", "t")])
    slurm.room = 1
    submission.sweep.record(Outcome("t", "failed", 1.0, "it died"))
    submission.keep_up()
    assert list(submission.sweep.jobs()) == ["t"]
    assert submission.refused["s"].cause == "its teacher rte tiny x seed 0 failed"


def test_a_lane_heeds_an_array_that_sbatch_was_unclear_about(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    submission, slurm = start(Slurm(room=1), [planned("t"), planned("s", "t"), planned("other")], throttle=1)
    slurm.room = 100

    def unclear(script: Path) -> str:
        monkeypatch.setattr(sbatch, "submit", slurm.submit)
        raise sbatch.Unclear("Socket timed out")

    def away(sweep: Sweep) -> list[Any]:
        raise Unanswered("SLURM does not answer")

    monkeypatch.setattr(sbatch, "submit", unclear)
    with monkeypatch.context() as patched:
        patched.setattr(scheduler, "confirm_submitted", lambda sweep: away(sweep) if unconfirmed(sweep.folder) else [])
        submission.go_on()
    assert submission.waits_for == "SLURM does not answer"
    (array,) = unconfirmed(submission.sweep.folder)
    monkeypatch.setattr(scheduler, "confirm_submitted", lambda sweep: [confirm(sweep.folder, array, "777")][1:])
    submission.go_on()
    assert submission.left == []
    text = (submission.sweep.folder / "jobs" / f"{arrays(submission.sweep.folder)[-1].name}.sh").read_text()
    assert "--dependency=afterok:101,afterany:777\n" in text


def test_arrays_of_a_lane_wait_for_one_another(start: Start) -> None:
    submission, _ = start(Slurm(room=100), [planned("t"), planned("s", "t"), planned("other")], throttle=1)
    texts = {array.number: (submission.sweep.folder / "jobs" / f"{array.name}.sh").read_text()
             for array in arrays(submission.sweep.folder)}  # fmt: skip
    waits = [text.partition("--dependency=")[2].partition("\n")[0] if "--dependency" in text else ""
             for _, text in sorted(texts.items())]  # fmt: skip
    assert waits == ["", "afterany:101", "afterok:101,afterany:102"]


def test_a_jobs_name_tells_what_it_runs(start: Start) -> None:
    submission, _ = start(Slurm(room=100), [planned("t"), planned("s", "t"), planned("other")])
    names = [array.name for array in arrays(submission.sweep.folder)]
    assert [name.rsplit("-", 2)[0] for name in names] == ["rte-tiny-x-s0"] * 3
    assert len({name.rsplit("-", 2)[1] for name in names}) == 1
    several = [planned("a"), replace(planned("b"), task="sst 2|x", seed=1), replace(planned("c"), seed=2)]
    assert in_common(several) == "2tasks-tiny-x-3seeds"
    assert in_common(several[1:2]) == "sst_2_x-tiny-x-s1"


# --- the script -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "code", "told"),
    [
        (["true", "false # really"], 1, "error: hydra.launcher.setup: false # really: exit code 1"),
        (
            ["module() {", "  return 3", "}", "module load cuda"],
            3,
            "hydra.launcher.setup: module load cuda: exit code 3",
        ),
        (
            ["cat << END > /dev/null", "text", "END", "ls /nowhere || true", "cd \\", "/nowhere;"],
            1,
            "cd \\ /nowhere;: ",
        ),
        (["if false; then", " x", "else", " exit 7", "fi"], 7, ""),
        (["# a remark", "export A=1 &", "false || true", "if false; then", "exit 9", "fi"], 0, "went on"),
    ],
)
def test_a_line_of_the_setup_that_fails_ends_the_job_and_is_named(lines: list[str], code: int, told: str) -> None:
    text = "\n".join([*sbatch.checked_setup(lines), "echo went on >&2"])
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True)
    assert (done.returncode, "went on" in done.stderr) == (code, code == 0)
    assert told in done.stderr


def test_a_setup_that_bash_does_not_understand_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"hydra.launcher.setup=if true; then x: bash: line \d: syntax error"):
        list(sbatch.checked_setup(["true", "if true; then", "x"]))


@pytest.mark.parametrize("outside", [True, False], ids=["apptainer", "srun"])
def test_a_job_runs_in_its_container_and_is_requeued_from_outside(tmp_path: Path, outside: bool) -> None:
    """With stand-ins for srun, apptainer and scontrol that run, or note, what they are given."""
    for name, text in {
        "srun": 'echo "srun $*" >> said; while [[ "$1" == -* ]]; do [[ "$1" == --output ]] && shift; shift; done; "$@"',
        "apptainer": '[[ "$1 $2 $3" == "exec --nv an image.sif" ]] || exit 9; shift 3; INSIDE=1 "$@"',
        "python": 'echo "python $* inside $INSIDE" >> said; touch $SLURM_JOB_ID.requeue; exit 3',
        "scontrol": 'echo "scontrol $*" >> said',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    container = "apptainer exec --nv 'an image.sif'" if outside else "--container-image=x.sqsh --container-mounts=/data"
    batch = Batch(Needs(1, 4, 8, 240), (), [["a"]])
    text = sbatch.script(tmp_path, "name", batch, settings(container=container), "-m launch.job SWEEP 0", ())
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "34"}
    done = subprocess.run(["bash", "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "")
    srun, python, scontrol = (tmp_path / "said").read_text().splitlines()
    assert ("--container-image=x.sqsh --container-mounts=/data python" in srun) != outside
    assert python == f"python -m launch.job SWEEP 0 inside {'1' if outside else ''}"
    assert scontrol == "scontrol requeue 34"
    assert not (tmp_path / "34.requeue").exists()


def test_a_container_that_bash_does_not_understand_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be words as bash reads them \(no closing quotation\)"):
        settings(container="apptainer exec 'x")


@pytest.mark.parametrize(
    ("told", "kind", "said"),
    [
        (NO_ROOM, sbatch.NoRoom, "QOSMaxSubmitJobPerUserLimit"),
        (f"{REFUSED}Resource temporarily unavailable", sbatch.NoRoom, "temporarily unavailable"),
        (f"{REFUSED}Invalid job array specification", sbatch.TooLarge, "Invalid job array specification"),
        (f"{REFUSED}Socket timed out", sbatch.Unclear, "Socket timed out"),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", sbatch.Refused,
         f"QOSMaxWallDurationPerJobLimit: {POLICY.removeprefix(REFUSED)}"),
        ("", sbatch.Refused, "nothing"),
    ],
)  # fmt: skip
def test_a_limit_that_passes_is_told_from_a_refusal_for_good(told: str, kind: type[sbatch.Refused], said: str) -> None:
    found = sbatch._refusal(told)
    assert (type(found), str(found)) == (kind, said)


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("infinite", float("inf")), ("30:00", 30), ("1:00:00", 60), ("2-01:30:30", 2970.5), ("n/a", float("inf"))],
)
def test_a_partitions_time_limit_is_read(limit: str, minutes: float) -> None:
    assert sbatch._minutes(limit) == minutes


def test_the_options_that_jobs_are_followed_by_are_the_launchers() -> None:
    with pytest.raises(ValueError, match="job_name is set by the launcher; leave it out"):
        settings(additional={"job_name": "x"})


# --- which sweep speaks for an experiment -----------------------------------------------------------------------------


def test_a_sweep_that_came_to_nothing_hides_no_other(tmp_path: Path, start: Start) -> None:
    def swept(name: str, launcher: str, run_ids: str) -> Sweep:
        folder = tmp_path / "runs" / ".sweeps" / name
        found = Sweep(folder, {"name": launcher}, map(planned, run_ids), run_ids)
        found.write()
        return found

    first, second, third = swept("1", "slurm", "abc"), swept("2", "slurm", "abcd"), swept("3", "local", "b")
    first.record(Outcome("a", "failed", 1.0, "it died"))
    second.record(Outcome("b", "failed", 1.0, "it died"))
    confirm(first.folder, intend(first.folder, [["c"]]), "34")
    borrow(second.folder, {"c": "34"})
    every = [first, second, third]
    assert concerned(every) == {"a": first, "b": second, "c": first, "d": second}
    assert accepted(every) == {"a": first, "b": third, "c": first, "d": second}
    third.sign_in(0)
    assert concerned(every)["b"] is third
