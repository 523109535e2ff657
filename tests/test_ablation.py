"""What a setting of a method gains, beside runs that differ in the method alone."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from analysis.options import Options
from analysis.read.results import Results, from_documents
from analysis.statistics import ablation
from tests.grids import document

TASKS, MODELS, SEEDS = ("sst2", "rte", "cola"), ("tiny", "mini"), (0, 1, 2)
GAINS = {"kd": 3.0, "cool": 1.0, "labels": 0.5}  # of the settings
CHANGES: dict[str, dict[str, Any]] = {
    "kd": {}, "cool": {"distill.temperature": 1.0}, "labels": {"distill.alpha": 0.0, "distill.temperature": 1.0},
}  # fmt: skip


def collection(noise: float = 0.0, tasks: tuple[str, ...] = TASKS, seeds: tuple[int, ...] = SEEDS) -> Results:
    """Three settings of distillation beside none, alone and with quantization; noise that a task's seed shares."""
    random = np.random.default_rng(0)
    documents = []
    for task, seed in product(tasks, seeds):
        luck = dict(zip(GAINS, noise * random.standard_normal(len(GAINS)), strict=True))
        for model, place in zip(MODELS, (60.0, 70.0), strict=True):
            for with_it in ("", "quantize+"):
                plain = with_it.rstrip("+") or "none"
                documents.append(document(task, model, plain, place - 0.5 * len(with_it), seed=seed))
                documents += [
                    document(task, model, f"{with_it}distill", place - 0.5 * len(with_it) + gain + luck[setting],
                             seed=seed, changes=CHANGES[setting])
                    for setting, gain in GAINS.items()
                ]  # fmt: skip
    return from_documents(documents, [], "a test")


def test_a_gain_is_over_the_run_that_lacks_the_method_alone() -> None:
    table = ablation.table(collection(), Options()).set_index("changes")
    reference, *others = table.index
    assert reference == "reference (alpha 0.9, temperature 1)"  # two others differ from it in one value each
    assert others == ["alpha 0", "temperature 2"]
    expected = {reference: GAINS["cool"], "alpha 0": GAINS["labels"], "temperature 2": GAINS["kd"]}
    for changes, row in table.iterrows():
        assert row["gain"] == pytest.approx(expected[str(changes)])
        assert (row["low"], row["high"]) == pytest.approx((row["gain"], row["gain"]))
        assert (row["tasks"], row["models"], row["pairs"]) == (3, 2, 3 * 2 * 3 * 2)
        assert (row["seeds_min"], row["seeds_max"]) == (3, 3)
        assert row["steps"] == row["bytes"] == pytest.approx(1.0)
        if changes != reference:
            assert row["more"] == pytest.approx(expected[str(changes)] - GAINS["cool"])
    assert math.isnan(table.loc[reference, "more"])


def test_seeds_give_the_interval_and_one_seed_gives_none() -> None:
    """The t interval of what tasks' seeds vary by, models that share a seed counting once."""
    table = ablation.table(collection(noise=1.0), Options())
    pairs = ablation.paired(collection(noise=1.0).settings, "distill=kd", Options())
    for _, row in table.iterrows():
        assert row["low"] < row["gain"] < row["high"]
    setting = pairs["setting"].iloc[0]
    luck = pairs[pairs["setting"] == setting].groupby(["task", "seed"])["gain"].first().unstack()
    error = math.sqrt(float((luck.var(axis=1, ddof=1) / 3).sum()) / 9)
    found = ablation.mean(pairs[pairs["setting"] == setting])
    assert found.value == pytest.approx(float(luck.mean(axis=1).mean()))
    assert found.interval.error == pytest.approx(error)
    assert 2 <= found.interval.freedom <= 6
    alone = ablation.table(collection(noise=1.0, seeds=(0,)), Options())
    assert alone["low"].isna().all()
    assert (alone["unsure"] != "").all()
    assert alone["gain"].notna().all()


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random, inside = np.random.default_rng(1), []
    pairs = ablation.paired(collection().settings, "distill=kd", Options())
    here = pairs[pairs["setting"] == pairs["setting"].iloc[0]]
    keys = here[["task", "seed"]].apply(tuple, axis=1)
    scale = dict(zip(TASKS, (0.3, 1.0, 2.0), strict=True))
    for _ in range(400):
        luck = {key: scale[key[0]] * random.standard_normal() for key in set(keys)}
        found = ablation.mean(here.assign(gain=[2.0 + luck[key] for key in keys])).interval
        inside.append(found.low <= 2.0 <= found.high)
    assert 0.92 <= np.mean(inside) <= 0.98


def test_settings_stand_beside_the_grid_and_do_not_enter_it() -> None:
    """Runs with another setting are left out of all other numbers, as another recipe's; other data are not compared."""
    documents = [document(task, "tiny", methods, 70.0) for task in TASKS for methods in ("none", "distill", "prune")]
    other = [document(task, "tiny", "distill", 60.0, changes={"distill.alpha": 0.0}) for task in TASKS[:1]]
    longer = [document("sst2", "tiny", methods, 90.0, changes={"train.epochs": 9, "distill.alpha": 0.3})
              for methods in ("none", "distill")]  # fmt: skip
    results = from_documents([*documents, *other, *longer], [], "a test")
    assert len(results.runs) == len(documents)
    assert results.runs["score_glue"].eq(70.0).all()
    table = ablation.table(results, Options())
    assert list(table["changes"]) == ["reference (alpha 0.9)", "alpha 0"]
    assert list(table["gain"]) == [0.0, -10.0]
    assert list(table["more"].iloc[1:]) == [-10.0]
    assert list(table["tasks"]) == [3, 1]


def test_one_setting_is_no_ablation() -> None:
    documents = [document("rte", "tiny", methods, 70.0, sparsity=share) for methods in ("none", "prune", "distill")
                 for share in (0.4, 0.6)]  # fmt: skip
    assert ablation.table(from_documents(documents, [], "a test"), Options()).empty
