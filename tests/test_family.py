"""The stored results of the grid on one encoder's layers: what the documented commands run, and what the page says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.names import task_label
from analysis.read import collection
from analysis.read.results import read_runs
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import read_sweep
from compress.wording import enumerated
from tests.conftest import ROOT

FAMILY = ROOT / "analysis" / "reference" / "family"
RESULTS, SEARCH = FAMILY / "results.jsonl.gz", FAMILY / "search.jsonl.gz"
WORDS = " ".join((FAMILY / "README.md").read_text(encoding="utf-8").split())
SLICE = 6 * 8  # sizes × subsets: a task with a seed


@pytest.mark.glue
@pytest.mark.parametrize(
    ("file", "words"),
    [(RESULTS, ["+experiment=family", "train=tuned"]), (SEARCH, ["+experiment=family_search"])],
    ids=["grid", "search"],
)
def test_they_are_those_of_the_documented_commands(
    glue: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, file: Path, words: list[str]
) -> None:
    monkeypatch.chdir(ROOT)
    tasks = ",".join(read_runs(file).tasks)
    configs, _ = read_sweep(["--config-dir", str(FAMILY / "conf"), *words, f"task={tasks}"], conf_folder())
    stored = {document["run_id"] for document in collection.read(file).documents}
    assert stored <= {identity.run_id(config) for config in configs}


def test_the_page_says_what_is_there() -> None:
    held = collection.read(RESULTS)
    assert [*held.failures, *held.remarks] == []
    results = read_runs(RESULTS)
    assert set(results.runs["seed"]) == {0}
    counts = results.runs.groupby("task").size()
    whole = _listed([task for task in results.tasks if counts[task] == SLICE])
    begun = "".join(f", and {counts[task]} of {task_label(task)}" for task in results.tasks if counts[task] < SLICE)
    assert f"Of the grid, with seed 0, all {SLICE} experiments of each of {whole}{begun}." in WORDS
    assert f"the search for {_listed(read_runs(SEARCH).tasks)}." in WORDS


def test_the_page_has_the_scores_of_the_search() -> None:
    searched = pd.DataFrame(collection.read(SEARCH).documents)
    best = searched.groupby(["task", "model"])["score_glue"].max().unstack()
    for task in best.index:
        row = [task_label(task), *(f"{best.loc[task, f'first{layers}']:.1f}" for layers in range(1, 7))]
        assert f"| {' | '.join(row)} |" in WORDS


def _listed(tasks: list[str]) -> str:
    return enumerated([task_label(task) for task in tasks])
