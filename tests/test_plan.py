"""What a sweep would run: every cell once, teachers first, nothing that is finished; and how long it would take."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compress import experiment
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.resources import Needs
from compress.config.schema import Config, document, teacher_experiment
from compress.errors import ConfigError
from compress.runs.result import Result, Timing, from_document
from launch import cli, cost, plan, slurm
from launch.experiments import Planned
from launch.plan import Plan, elapsed
from tests import grids
from tests.conftest import Compose
from tests.pace import quiet_seconds
from tests.test_submission import settings as slurm_settings

BASE = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "device=cpu")
GLUE = ("distill.copies=0",)  # needs no WordNet


@pytest.fixture(autouse=True)
def nothing_has_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans look into paths.runs, which is relative: not into the project's own, where `make demo` has finished all."""
    monkeypatch.chdir(tmp_path)


def cells(*words: str) -> list[Config]:
    return list(compositions(words, conf_folder(), multirun=True))


def made(*words: str, past: Callable[[Path], Any] = lambda runs: []) -> Plan:
    return plan.make(cells(*words), past)


def launch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


# --- which ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("+experiment=grid", *GLUE), 384),
        (("+experiment=paper", *GLUE), 576),
        (("+experiment=ablation", "data=demo", "model=demo/tiny,demo/mini"), 2 * 8 * 6),
        (("+experiment=search", *GLUE), 6 * 8 * 4 * 3),
        (("+experiment=demo",), 384),
        (("+experiment=grid", *GLUE, "model=tiny,mini", "task=rte", "seed=0,1,2"), 48),
        (("+experiment=grid", *GLUE, "prune=magnitude", "prune.sparsity=0.4,0.6,0.8"), 576),
        (("+experiment=grid", *GLUE, "quantize=none", "distill=none", "prune=none"), 48),
        (("+experiment=grid", *GLUE, "model=base,large", "train.compile=true"), 128),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_a_named_grid_covers_what_it_says_and_any_axis_can_be_changed(words: tuple[str, ...], count: int) -> None:
    found = made(*words)
    assert found.unique == len({planned.run_id for planned in found.experiments if not planned.added}) == count
    assert len({planned.folder for planned in found.experiments}) == len(found.experiments)


def test_the_grid_is_six_sizes_by_eight_tasks_by_eight_subsets() -> None:
    found = made("+experiment=grid", *GLUE).experiments
    for key, count in (("model", 6), ("task", 8), ("methods", 8)):
        assert list(Counter(getattr(planned, key) for planned in found).values()) == [384 // count] * count
    assert not any(planned.added for planned in found), "the teachers are cells of the grid"
    teachers = {planned.teacher for planned in found if planned.teacher}
    assert len(teachers) == 8
    assert {(p.model, p.methods) for p in found if p.run_id in teachers} == {("large", "none")}


def test_values_of_a_method_that_is_off_do_not_multiply_experiments() -> None:
    found = made(*BASE, "prune=none,magnitude", "prune.sparsity=0.4,0.6", "quantize.freeze=0.8,0.9")
    assert (found.asked, found.unique) == (8, 3)
    assert "3 experiments (8 asked for, 5 the same as others): 3 to run" in plan.headline(found)[0]


def test_missing_teachers_are_added_once_and_come_first(compose: Compose) -> None:
    found = made(*BASE, "task=rte,cola", "quantize=none,int8", "distill=kd", "distill.teacher=mini")
    assert [(planned.model, planned.added) for planned in found.to_run] == [("mini", True)] * 2 + [("tiny", False)] * 4
    assert {planned.teacher for planned in found.to_run[2:]} == {planned.run_id for planned in found.to_run[:2]}
    student = compose(*BASE, "distill=kd", "distill.teacher=mini")
    (teacher,) = [p for p in found.teachers if p.task == "rte"]
    assert teacher.config == document(teacher_experiment(student)) | {"paths": teacher.config["paths"]}


def test_what_is_finished_is_not_run_again_nor_are_its_teachers_missed(compose: Compose, tmp_path: Path) -> None:
    words = (
        *BASE,
        "distill=none,kd",
        "distill.teacher=mini",
        "distill.weak_teacher=true",
        "train.max_steps=2",
        f"paths.runs={tmp_path / 'runs'}",
    )
    configs = cells(*words)
    assert len(plan.make(configs, lambda runs: []).to_run) == 3
    experiment.run(configs[0])
    assert [planned.methods for planned in plan.make(configs, lambda runs: []).to_run] == ["none", "distill"]
    experiment.run(configs[1])  # trains its teacher too
    found = plan.make(configs, lambda runs: [])
    assert (found.to_run, found.unique) == ([], 2)
    again = plan.make([replace(config, force=True) for config in configs], lambda runs: [])
    assert sorted(p.methods for p in again.to_run) == ["distill", "none"], "a teacher is not forced"


def test_the_longest_come_first_after_the_teachers() -> None:
    found = made("+experiment=demo").to_run
    teachers, rest = found[:8], found[8:]
    assert {planned.model for planned in teachers} == {"large"}
    for part in (teachers, rest):
        assert [p.seconds for p in part] == sorted((p.seconds for p in part), reverse=True)


def test_two_folders_of_runs_are_refused(compose: Compose) -> None:
    with pytest.raises(ConfigError, match=r"paths.runs=a,b: a sweep has one folder of runs; give one"):
        plan.make([compose(*BASE, f"paths.runs={name}") for name in "ab"], lambda runs: [])


# --- what it needs ----------------------------------------------------------------------------------------------------


def test_resources_are_by_model_and_each_can_be_overridden(compose: Compose) -> None:
    def needs(*words: str) -> Needs:
        (found,) = plan.make([compose(*BASE, *words)], lambda runs: []).experiments
        return found.resources

    assert needs() == Needs(1, 4, 8, 240)
    assert needs("model=demo/large").timeout_min == 2880
    assert needs("resources=cpu").gpus == 0
    assert needs("resources.memory_gb=64", "model=demo/large").memory_gb == 64
    assert needs("resources.timeout_min.tiny=7").timeout_min == 7
    assert needs("model.name=other").memory_gb == 32
    assert needs("resources.partition=gpu", "resources.account=lab") == Needs(1, 4, 8, 240, "gpu", "lab")
    assert needs("+resources.partition.large=bigmem", "+resources.qos.other=low") == Needs(1, 4, 8, 240, qos="low")
    assert needs("+resources.partition.large=bigmem", "model=demo/large").partition == "bigmem"
    with pytest.raises(
        ConfigError, match=r"resources.gpus: has base, but nothing for tiny; give \+resources.gpus.tiny="
    ):
        needs("resources.gpus={base: 1}")


# --- how long ---------------------------------------------------------------------------------------------------------


def planned(run_id: str, seconds: float, teacher: str | None = None) -> Planned:
    return Planned(run_id, "", "rte", "tiny", "none", 0, teacher, False, seconds, Needs(0, 1, None, 10.0), {})


def test_the_time_is_that_of_devices_that_are_never_idle_while_there_is_something_to_do() -> None:
    assert elapsed([], 4) == 0
    assert elapsed([planned(str(n), 10) for n in range(5)], 2) == 30
    assert elapsed([planned("t", 10), planned("s", 5, "t"), planned("x", 12)], 2) == 15
    assert elapsed([planned("s", 5, "finished long ago")], 2) == 5


def test_arithmetic_orders_sizes_tasks_and_methods() -> None:
    found = {(p.model, p.task, p.methods): p.seconds for p in made("+experiment=grid", "distill.copies=1").experiments}
    sizes = [found[(size, "rte", "none")] for size in ("tiny", "mini", "small", "medium", "base", "large")]
    assert sizes == sorted(sizes)
    assert found[("base", "mnli", "none")] > 50 * found[("base", "rte", "none")]
    assert found[("base", "rte", "distill")] > 1.5 * found[("base", "rte", "none")]


def test_measured_runs_count_more_than_arithmetic_and_the_likest_most() -> None:
    (config,) = cells(*BASE)
    alone = cost.arithmetic(config)

    def past(task: str, factor: float, methods: list[str]) -> Result:
        timing = Timing(wall_seconds=factor * cost.arithmetic(config))
        known = from_document(grids.document(task, "tiny", "+".join(methods) or "none", None))
        return replace(known, timing=timing, config=document(config), environment={"device": "cpu"})

    assert cost.Experience([]).seconds(config, "tiny", "none") == alone
    other = cost.Experience([past("cola", 3.0, ["prune"])])
    assert other.seconds(config, "tiny", "none") == pytest.approx(3 * alone)
    known = cost.Experience([past("cola", 3.0, ["prune"]), past("rte", 2.0, []), past("cola", 5.0, [])])
    assert known.seconds(config, "tiny", "none") == pytest.approx(2 * alone)
    sst2 = replace(config, task=replace(config.task, name="sst2"))
    assert known.seconds(sst2, "tiny", "none") == pytest.approx(3.5 * alone)


# --- the command ------------------------------------------------------------------------------------------------------


def test_plan_says_what_would_happen_and_starts_and_writes_nothing(tmp_path: Path) -> None:
    words = [*BASE, "task=rte,cola", "distill=none,kd", "distill.teacher=mini", "hydra.launcher.per_device=2"]
    done = launch(tmp_path, "plan", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 experiments: 4 to run, 0 finished\n2 missing teachers are added\n")
    expected = [
        "stage 1: 2 teachers (1 rte, 1 cola)",
        "stage 2: 4 other experiments, 2 of which wait for their teacher",
    ]
    expected += ["where: the CPU; 2 at once, 1 thread each", "device-hours", "arithmetic", "nothing was started"]
    for told in expected:
        assert told in done.stdout
    assert not list(tmp_path.iterdir())
    document = json.loads(launch(tmp_path, "plan", *words, "--json").stdout)
    assert [document[key] for key in ("asked", "experiments", "to_run", "finished", "added")] == [4, 6, 6, 0, 2]
    assert len(document["cells"]) == 6


def test_plan_for_a_cluster_says_jobs_by_what_they_ask_for(tmp_path: Path) -> None:
    words = ["+experiment=grid", *GLUE, "hydra/launcher=slurm", "hydra.launcher.pack=8", "task=rte,cola",
             "hydra.launcher.per_device=2", "hydra.launcher.throttle=5"]  # fmt: skip
    done = launch(tmp_path, "plan", *words)
    assert done.returncode == 0, done.stderr
    for told in (
        "stage 1: 2 teachers",
        "2 jobs in 2 arrays: 1 GPUs, 4 CPUs, 32 GB, 2880 min\n",
        "1 GPUs, 4 CPUs, 8 GB, 960 min each (8 experiments of 240 min, 2 at once)\n",
        "at most 5 jobs at once\n",
        " from the first job's start, if none waits for a free place; ",
    ):
        assert told in done.stdout


def test_plan_shows_what_sbatch_would_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["model=demo/tiny", "data=demo", "task=rte", "seed=0,1", "distill=none,kd", "hydra/launcher=slurm"]
    more = ["+resources.partition.large=bigmem", "hydra.launcher.account=lab"]
    assert cli.main(["plan", *words, *more, "hydra.launcher.container=apptainer exec x.sif", "--sbatch"]) == 0
    teachers, others, students = capsys.readouterr().out.split("#!/bin/bash")[1:]
    assert "#SBATCH --job-name=rte-large-none-2seeds-SWEEP-NUMBER\n" in teachers
    assert "#SBATCH --partition=bigmem\n" in teachers
    assert "--partition" not in others
    assert "# 2 jobs in 2 arrays like this" in others
    assert "#SBATCH --dependency=afterok:JOB\n" in students
    for text in (teachers, others, students):
        assert "#SBATCH --account=lab\n" in text
        assert re.search(r"^srun .* apptainer exec x.sif python -u -m launch.job ", text, re.MULTILINE)
    assert cli.main(["plan", *words[:-1], "--sbatch"]) == 2
    assert capsys.readouterr().err.startswith("error: --sbatch: hydra/launcher=local calls no sbatch; add hydra/launch")
    assert not list(tmp_path.iterdir())


def test_the_time_of_jobs_that_are_packed_and_throttled() -> None:
    every = [planned("t", 10), *(planned(f"e{n}", 6) for n in range(4)), planned("s", 5, "t")]
    found = Plan(Path("runs"), 6, every, every, 0)
    assert slurm.wall_seconds(found, slurm_settings()) == 10 + 5
    assert slurm.wall_seconds(found, slurm_settings(throttle=1)) == 10 + 4 * 6 + 5
    assert slurm.wall_seconds(found, slurm_settings(pack=4, throttle=1)) == 10 + 4 * 6 + 5
    assert slurm.wall_seconds(found, slurm_settings(pack=4, per_device=2)) == 10 + 5
    assert slurm.wall_seconds(found, slurm_settings(pack=4)) == 24


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan", "task=sst"), "error: task=sst: no such option (did you mean sst2?)"),
        (("plan", "train.epoch=4"), "error: train.epoch=4: no such key (did you mean train.epochs?)"),
        (
            ("plan", "hydra.launcher.per_device=0"),
            "error: hydra.launcher.per_device=0: must be greater than",
        ),
        (
            ("plan", "hydra.launcher.per_devise=2"),
            "error: hydra.launcher.per_devise=2: no such key (did you mean per_device?); hydra.launcher has",
        ),
        (("plan", "resources.gpus=many"), "error: resources.gpus"),
        (("status", "nowhere"), "error: nowhere: no such folder; give the folder of runs"),
        (("retry", "."), "error: .: no sweep was started here"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = launch(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_takes_less_than_a_second(tmp_path: Path) -> None:
    def shown() -> None:
        assert launch(tmp_path, "--help").returncode == 0

    assert statistics.median(quiet_seconds(shown, time.perf_counter) for _ in range(5)) < 1


def test_planning_the_grid_takes_seconds(tmp_path: Path) -> None:
    def planned() -> None:
        assert launch(tmp_path, "plan", "+experiment=grid", *GLUE).returncode == 0

    assert quiet_seconds(planned, time.perf_counter) < 10
