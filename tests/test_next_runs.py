"""What is run next: laws of the proposal, of the claims and of the looks, on simulated collections."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import cli
from analysis.options import Options
from analysis.read.results import FAILURE_COLUMNS, Results
from analysis.statistics import equivalent_size
from analysis.statistics import next_runs as module
from analysis.statistics.next_runs import Next, next_runs
from analysis.statistics.next_told import looks_document, read_looks, sentences
from analysis.statistics.open_claims import ARCHITECTURES, OTHER, TASKS
from compress.errors import ConfigError
from tests.benchmarks.sequential import CELL, with_costs
from tests.grids import document, write_run
from tests.simulated import Grid

LOUD = Grid(interaction=0.1, tasks=3, sizes=4, seeds=2, noise=(2.0, 2.0), linear=True)
CALM = Grid(interaction=0.3, tasks=4, sizes=4, seeds=3, noise=(0.1, 0.1), linear=True)
FEW_TASKS = Grid(interaction=0.05, tasks=3, sizes=4, seeds=4, noise=(0.1, 0.1), linear=True)


@cache
def collection(grid: Grid, seed: int = 0) -> Results:
    runs = with_costs(grid.runs(np.random.default_rng(seed)))
    return Results(runs, pd.DataFrame(columns=list(FAILURE_COLUMNS)), [], "a simulation")


@cache
def loud(hours: float = math.inf, seeds: int = 5) -> Next:
    return next_runs(collection(LOUD), Options(), (), seeds, hours)


def keys(table: pd.DataFrame) -> set[tuple[object, ...]]:
    return set(table[[*CELL, "seed"]].itertuples(index=False, name=None))


def proposed(said: Next) -> set[tuple[object, ...]]:
    return keys(pd.DataFrame([vars(run) for run in said.runs]))


def test_the_collection_of_the_tests_leaves_something_open() -> None:
    assert loud().open
    assert loud().runs


def test_what_is_proposed_is_new_once_of_cells_that_are_there_and_within_the_seeds() -> None:
    runs, said = collection(LOUD).runs, loud(seeds=4)
    assert not proposed(said) & keys(runs)
    assert len(proposed(said)) == len(said.runs)
    of_run = runs.set_index("run_id")
    for run in said.runs:
        like = of_run.loc[run.like]
        assert [getattr(run, name) for name in CELL] == [like[name] for name in CELL]
        assert run.seconds == pytest.approx(like["wall_seconds"])
        assert run.seed < 4


def test_students_bring_their_teachers_before_them() -> None:
    runs = collection(LOUD).runs
    there = keys(runs)
    of_run = runs.set_index("run_id")
    students = [run for run in loud().runs if of_run.loc[run.like]["teacher_run_id"]]
    assert students
    for run in loud().runs:
        teacher = of_run.loc[run.like]["teacher_run_id"]
        key = (run.task, run.model, run.methods, run.variant, run.seed)
        if teacher:
            assert (*of_run.loc[teacher][CELL], run.seed) in there, key
        there.add(key)


def test_a_task_and_a_model_get_a_seed_for_all_that_is_compared() -> None:
    table = pd.DataFrame([vars(run) for run in loud().runs])
    table = table[table["model"] != "medium"]  # the teacher
    whole = collection(LOUD).runs.drop_duplicates(CELL).groupby(["task", "model"]).size()
    for (task, model, _), runs in table.groupby(["task", "model", "seed"]):
        assert len(runs) == whole[task, model]


@pytest.mark.parametrize("hours", [1e-9, 0.05, 0.5])
def test_hours_are_kept(hours: float) -> None:
    said = loud(hours)
    assert said.hours <= hours
    assert said.hours == pytest.approx(sum(run.seconds for run in said.runs) / 3600)


def test_a_round_goes_half_way_unless_little_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = collection(replace(LOUD, seeds=3))
    some = replace(whole, runs=whole.runs[whole.runs["seed"] < 1])
    half = next_runs(some, Options())
    monkeypatch.setattr(module, "LITTLE", math.inf)
    every = next_runs(some, Options())
    assert 0.25 * len(every.runs) <= len(half.runs) < 0.75 * len(every.runs)
    assert half.runs == every.runs[: len(half.runs)]


def test_what_is_dear_is_run_less() -> None:
    results = collection(LOUD)
    for model in ("tiny", "medium"):
        dear = np.where(results.runs["model"] == model, 100.0, 1.0)
        runs = results.runs.assign(wall_seconds=results.runs["wall_seconds"] * dear)
        said = next_runs(replace(results, runs=runs), Options())
        before, after = ([run.model for run in told.runs].count(model) for told in (loud(), said))
        assert after < before or not before


def test_the_model_predicts_what_more_seeds_make_of_an_error() -> None:
    """Between two and four seeds, and over several collections, errors shrink as the information says."""
    ratios = []
    for seed in range(4):
        whole = collection(replace(LOUD, seeds=4), seed)
        half = replace(whole, runs=whole.runs[whole.runs["seed"] < 2])
        claims = next_runs(half, Options(), seeds=4).claims
        assert all(claim.information < 0.95 for claim in claims)
        ratios += [claim.information for claim in claims]
    assert 0.45 < np.mean(ratios) < 0.65  # all noise is of seeds: half of the information


def test_a_verdict_is_settled_at_its_own_level_only() -> None:
    for grid in (LOUD, CALM, FEW_TASKS):
        said = next_runs(collection(grid), Options())
        told = equivalent_size.table(collection(grid), Options())
        told = told[(told["scope"] == "mean") & (told["kind"] != "main")].set_index(["contrast", "kind"])
        for claim in said.claims:
            row = told.loc[(claim.methods, claim.kind)]
            assert claim.estimate == pytest.approx(row["estimate"])
            assert claim.low <= row["low"]
            assert row["high"] <= claim.high
            assert 0 < claim.level <= 0.05
            assert 0 < claim.information <= 1


def test_with_all_seeds_run_this_is_the_last_look_and_its_level_five_percent() -> None:
    said = next_runs(collection(replace(CALM, seeds=5)), Options())
    assert [claim.level for claim in said.claims] == pytest.approx([0.05] * len(said.claims))
    assert all(claim.information == 1 for claim in said.claims)


def test_nothing_is_proposed_where_all_is_settled() -> None:
    said = next_runs(collection(CALM), Options())
    assert not said.open
    assert not said.runs
    assert said.why == "all verdicts are settled"
    assert sentences(said, 5)[-1] == "nothing to run: all verdicts are settled"


def test_where_tasks_differ_seeds_do_not_help_and_that_is_told() -> None:
    grid = replace(FEW_TASKS, differ=0.4)
    said = next_runs(collection(grid), Options())
    lacking = [claim for claim in said.open if claim.lacks == TASKS]
    assert lacking
    assert all(claim.chance < 0.1 and claim.needed > grid.tasks for claim in lacking)
    if all(claim.lacks for claim in said.open):
        assert not said.runs
        assert "more tasks would be needed" in said.why


def test_two_sizes_want_more_architectures() -> None:
    said = next_runs(collection(replace(LOUD, sizes=2)), Options())
    assert all(claim.lacks == ARCHITECTURES and claim.verdict == "undefined" for claim in said.claims)
    assert not said.runs
    assert "more architectures would be needed" in said.why


def test_what_was_never_run_is_told_and_nothing_breaks() -> None:
    results = collection(LOUD)
    alone = replace(results, runs=results.runs[results.runs["methods"].str.count(r"\+") == 0])
    assert "runs of all that is compared are missing" in next_runs(alone, Options()).why
    bare = replace(results, runs=results.runs[results.runs["methods"].isin(["quantize", "quantize+prune"])])
    said = next_runs(bare, Options())
    assert not said.runs
    assert all(claim.lacks == OTHER for claim in said.claims)


def test_one_seed_of_one_task_wants_a_second() -> None:
    grid = replace(LOUD, tasks=1, seeds=1)
    said = next_runs(collection(grid), Options())
    assert {run.seed for run in said.runs} == {1}
    assert said.open
    assert {(run.model, run.methods) for run in said.runs} == set(
        collection(grid).runs[["model", "methods"]].itertuples(index=False, name=None)
    )


def test_what_failed_is_not_proposed_again() -> None:
    results = collection(LOUD)
    first = loud().runs
    failures = pd.DataFrame([vars(run) for run in first]).reindex(columns=list(FAILURE_COLUMNS))
    said = next_runs(replace(results, failures=failures), Options())
    failed = {(run.task, run.model, run.methods, run.seed) for run in first}
    assert not failed & {(run.task, run.model, run.methods, run.seed) for run in said.runs}


def test_to_look_again_changes_nothing_and_is_not_recorded_twice() -> None:
    first = loud()
    again = next_runs(collection(LOUD), Options(), first.looks)
    assert (again.claims, again.runs, again.looks) == (first.claims, first.runs, first.looks)


def test_intervals_only_become_narrower() -> None:
    said = loud()
    history = [{claim.name: {"information": claim.information / 2, "low": claim.estimate - 0.01,
                             "high": claim.estimate + 0.01} for claim in said.claims}]  # fmt: skip
    for claim in next_runs(collection(LOUD), Options(), history).claims:
        assert claim.estimate - 0.01 <= claim.low <= claim.high <= claim.estimate + 0.01


def test_looks_are_kept_on_disk(tmp_path: Path) -> None:
    file = tmp_path / "extend.json"
    assert read_looks(file, Options()) == []
    file.write_text(json.dumps(looks_document(loud(), Options())))
    assert read_looks(file, Options()) == loud().looks
    with pytest.raises(ConfigError, match="these looks were at --score glue --bytes nominal"):
        read_looks(file, Options(bytes="artifact"))
    for text in ("{", "[]", '{"looks": [{"a": 1}]}', '{"looks": [], "score": "glue"}'):
        file.write_text(text)
        with pytest.raises(ConfigError, match="not looks as `python -m launch extend` records them"):
            read_looks(file, Options())


def test_the_command_tells_the_same_in_words_and_as_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {"tiny": 70.0, "mini": 76.0, "small": 81.0, "medium": 84.0}
    for task in ("sst2", "rte"):
        for number, (model, score) in enumerate(scores.items()):
            for methods in ("none", "quantize", "prune", "quantize+prune"):
                for seed in (0, 1):
                    noise = 1.5 * math.sin(7.3 * (number + 1) * (len(methods) + 1) * (seed + 1) * len(task))
                    write_run(tmp_path, document(task, model, methods, score + noise, seed=seed))
    assert cli.main(["next", str(tmp_path)]) == 0
    words = capsys.readouterr().out
    assert cli.main(["next", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["next"]
    assert [claim["name"] for claim in told["claims"]] == ["quantize+prune (pair)"]
    assert ("to run: " in words) == bool(told["runs"])
    assert not told["settled"]
    assert cli.main(["next", str(tmp_path), "--seeds", "0"]) == 2
