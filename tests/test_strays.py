"""Cells that lie far off are run again before anything is said; others are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics.next_runs import Next, next_runs
from analysis.statistics.next_told import sentences
from analysis.statistics.open_claims import ARCHITECTURES
from analysis.statistics.shift_model import fit
from analysis.statistics.strays import far_off
from analysis.statistics.treatments import cells_of
from tests.benchmarks.sequential import CELL
from tests.simulated import FLOOR, Grid
from tests.test_next_runs import CALM, LOUD, collection

STRAY = {"task": "sst2", "model": "small", "methods": "quantize+prune"}
WHOLE = replace(CALM, seeds=5)


def spoiled(seeds: int, collapsed: int, **cell: str) -> Results:
    """A quiet collection of so many seeds; in one cell the first ones have collapsed."""
    results = collection(WHOLE)
    runs = results.runs[results.runs["seed"] < seeds]
    own = (runs[list(cell)] == pd.Series(cell)).all(axis=1) & (runs["seed"] < collapsed)
    runs = runs.assign(score_glue=np.where(own, FLOOR, runs["score_glue"]))
    return replace(results, runs=runs)


def asked(said: Next) -> set[tuple[object, ...]]:
    return {tuple(getattr(run, name) for name in (*CELL, "seed")) for run in said.runs}


def cells(results: Results, **cell: str) -> pd.DataFrame:
    runs = results.runs
    return runs[(runs[list(cell)] == pd.Series(cell)).all(axis=1)]


@pytest.mark.parametrize(("seeds", "collapsed"), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_a_cell_that_lies_far_off_is_run_again_before_anything_is_said(seeds: int, collapsed: int) -> None:
    results = spoiled(seeds, collapsed, **STRAY)
    said = next_runs(results, Options())
    variants = set(cells(results, **STRAY)["variant"])
    assert asked(said) == {(*STRAY.values(), variant, seeds) for variant in variants}
    assert said.open == said.claims
    assert not said.looks
    assert all(claim.reason.startswith("first another seed of ") and not claim.lacks for claim in said.claims)
    assert all("first another seed of " in line for line in sentences(said, 5)[: len(said.claims)])


@pytest.mark.parametrize(("seeds", "collapsed"), [(3, 1), (5, 1), (5, 2), (3, 3), (1, 0), (2, 0)])
def test_where_the_others_tell_or_all_agree_nothing_is_run_for_it(seeds: int, collapsed: int) -> None:
    said = next_runs(spoiled(seeds, collapsed, **STRAY), Options())
    assert said.looks
    assert not any(claim.reason for claim in said.claims)


def test_a_student_that_lies_far_off_brings_its_teacher() -> None:
    student = {"task": "sst2", "model": "small", "methods": "quantize+distill"}
    results = spoiled(1, 1, **student)
    (teacher,) = set(cells(results, **student)["teacher_run_id"])
    (of,) = results.runs.loc[results.runs["run_id"] == teacher, CELL].itertuples(index=False, name=None)
    assert [tuple(getattr(run, name) for name in CELL) for run in next_runs(results, Options()).runs] == [
        of, (*student.values(), *set(cells(results, **student)["variant"])),
    ]  # fmt: skip


def test_what_no_hours_or_seeds_are_left_for_holds_nothing_up() -> None:
    results = spoiled(2, 1, **STRAY)
    limits: Mapping[str, float]
    for limits in ({"hours": 1e-9}, {"seeds": 2}):
        said = next_runs(results, Options(), (), int(limits.get("seeds", 5)), limits.get("hours", math.inf))
        assert said.looks
        assert not said.runs
    failures = pd.DataFrame([{**STRAY, "seed": seed, "run_id": "gone", "cause": "diverged"} for seed in range(2, 9)])
    assert next_runs(replace(results, failures=failures), Options()).looks


def test_where_no_seed_would_help_none_is_asked_for() -> None:
    results = spoiled(2, 1, **STRAY)
    two = replace(results, runs=results.runs[results.runs["model"].isin(["tiny", "small"])])
    said = next_runs(two, Options())
    assert all(claim.lacks == ARCHITECTURES for claim in said.claims)
    assert not said.runs


@pytest.mark.parametrize(
    ("grid", "share"),
    [(LOUD, 0.01), (CALM, 0.01), (Grid(seeds=1), 0.01), (Grid(seeds=2, ceilings=True, uneven=3.0, shared=0.4), 0.05)],
)
def test_of_usual_noise_few_cells_are_called_far_off(grid: Grid, share: float) -> None:
    """More where noise is not the same everywhere: none at a ceiling, most where the curve is steep."""
    called, every = 0, 0
    for seed in range(3):
        model = fit(cells_of(collection(grid, seed), Options()))
        assert model is not None
        for place in range(len(model.tasks)):
            called, every = called + int(far_off(model, place).sum()), every + len(far_off(model, place))
    assert called <= share * every
