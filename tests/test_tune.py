"""A search over uncompressed models becomes a recipe: for each model and task a learning rate and a length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from analysis.read.results import from_documents
from compress import experiment
from compress.config import identity
from compress.config.schema import document, teacher_experiment
from compress.errors import ConfigError
from compress.runs.result import from_document
from compress.training.tuned import Choice, Tuned
from launch import tune
from launch.cli import main
from tests.conftest import Compose
from tests.grids import document as result_of

DEMO = ("data=demo", "task=rte", "model=demo/tiny", "train=demo", "train.max_steps=4", "tracking=none", "device=cpu")
RATES, LENGTHS, SEEDS = (1e-3, 3e-3), (1, 3, 9), (1000, 1001)


def found(**changes: Any) -> list[Any]:
    """Results of a whole search of two models on a task; the score rises with the length, and the second rate wins."""
    return [
        from_document(result_of(
            "rte", model, "none", 60 + 10 * (1 - 0.5**epochs) + (rate == RATES[1]) + seed % 2, seed=seed,
            changes={"train.learning_rate": rate, "train.epochs": epochs, **changes},
        ))
        for model, rate, epochs, seed in product(("tiny", "mini"), RATES, LENGTHS, SEEDS)
    ]  # fmt: skip


def test_scores_are_means_over_seeds_of_every_setting() -> None:
    searched = tune.search(found(), Path("runs"))
    assert (searched.learning_rates, searched.epochs, searched.seeds) == (list(RATES), list(LENGTHS), list(SEEDS))
    assert searched.scores.keys() == {("rte", "tiny"), ("rte", "mini")}
    assert searched.scores["rte", "tiny"][RATES[1], 1] == pytest.approx(66.5)
    assert searched.partial == []


SETTINGS = st.tuples(st.sampled_from([1e-4, 1e-3, 1e-2]), st.integers(1, 5))


@given(st.dictionaries(SETTINGS, st.floats(0, 100), min_size=1), st.floats(0, 5))
def test_chosen_is_the_shortest_that_is_good_enough_at_its_best_rate(
    scores: Mapping[tuple[float, int], float], tolerance: float
) -> None:
    chosen = tune.choose(scores, tolerance)
    rate, length, best = chosen["learning_rate"], chosen["epochs"], max(scores.values())
    assert scores[rate, length] >= best - tolerance
    assert scores[rate, length] == max(score for (_, epochs), score in scores.items() if epochs == length)
    assert all(score < best - tolerance for (_, epochs), score in scores.items() if epochs < length)


def test_what_is_missing_leaves_its_model_out_and_is_told() -> None:
    results = found()
    searched = tune.search(results[:-1], Path("runs"))
    assert searched.scores.keys() == {("rte", "tiny")}
    said = "rte mini: left out: 1 run of 12 missing, such as learning rate 0.003, 9 epochs, seed 1001"
    assert searched.partial == [said]


@pytest.mark.parametrize("key", ["train.batch_size", "data.max_length"])
def test_runs_of_two_searches_are_not_mixed(key: str) -> None:
    with pytest.raises(ConfigError, match=f"^runs: its uncompressed runs differ in {key.split('.')[0]}: "):
        tune.search([*found(), *found(**{key: 99})], Path("runs"))


def test_a_search_becomes_an_option_that_grids_take(
    compose: Compose, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    runs = tmp_path / "search"
    for rate, epochs in product((1e-3, 2e-3), (1, 2)):
        words = (f"train.learning_rate={rate}", f"train.epochs={epochs}", "seed=1000", f"paths.runs={runs}")
        for model in ("demo/tiny", "demo/mini"):
            experiment.run(compose(*DEMO, *words, f"model={model}"))
    capsys.readouterr()
    assert main(["tune", str(runs), "--out", str(tmp_path / "conf")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told[:2]] == ["rte mini", "rte tiny"]
    assert told[2].endswith(f"--config-dir {tmp_path / 'conf'} train=tuned")
    table = yaml.safe_load((tmp_path / "conf" / "train" / "tuned.yaml").read_text())["tuned"]
    assert table | {"chosen": None} == {
        "learning_rates": [1e-3, 2e-3],
        "epochs": [1, 2],
        "seeds": [1000],
        "chosen": None,
    }

    others = [word for word in DEMO if not word.startswith("train")]
    own = f"hydra.searchpath=[file://{tmp_path}/conf]"
    tuned = compose(*others, "train=tuned", "distill=kd", "distill.teacher=mini", own)
    for config in (tuned, teacher_experiment(tuned)):
        assert config.model.name
        chosen = table["chosen"]["rte"][config.model.name]
        assert (config.train.learning_rate, config.train.epochs) == (chosen["learning_rate"], chosen["epochs"])
        train = identity.scientific(config)["train"]
        assert isinstance(train, dict)
        assert train["tuned"] == {key: value for key, value in table.items() if key != "chosen"}
    assert json.loads(json.dumps(document(tuned)))["train"]["tuned"] == table
    with pytest.raises(ConfigError, match=r"^seed=1000: .* were chosen by runs with it \(train.tuned.seeds\)"):
        compose(*others, "train=tuned", "seed=1000", own)
    with pytest.raises(ConfigError, match=r"has no learning rate and passes for small on rte \(for rte it"):
        compose(*others, "train=tuned", "model=demo/small", own)


def test_a_search_that_goes_on_with_other_tasks_adds_to_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "conf" / "train" / "tuned.yaml"

    def tuned(results: list[Any]) -> dict[str, Any]:
        monkeypatch.setattr(tune, "results_below", lambda runs: results)
        assert tune.tune(tmp_path, tmp_path / "conf") == 0
        return dict(yaml.safe_load(table.read_text())["tuned"])

    first = tuned(found())
    both = tuned([replace(result, task="mrpc", model="tiny") for result in found() if result.model == "tiny"])
    assert both["chosen"] == {**first["chosen"], "mrpc": {"tiny": first["chosen"]["rte"]["tiny"]}}
    assert tuned(found()) == both  # in place of its own rows
    wider = [result for result in found() if result.identity["train"]["epochs"] > 1]
    with pytest.raises(ConfigError, match=r"has mrpc tiny of a search over other epochs \(\[1, 3, 9\], not \[3, 9\]\)"):
        tuned(wider)
    assert yaml.safe_load(table.read_text())["tuned"] == both
    table.write_text("tuned: {}")
    with pytest.raises(ConfigError, match=r"tuned.yaml: cannot be read \(it has no 'learning_rates'\)"):
        tuned(found())


def test_another_models_row_makes_no_other_experiment(compose: Compose) -> None:
    choice: Choice = {"learning_rate": 1e-3, "epochs": 2}
    table: Tuned = {"learning_rates": [1e-3], "epochs": [2], "seeds": [7], "chosen": {"rte": {"tiny": choice}}}
    more: Tuned = {**table, "chosen": {"rte": {"tiny": choice, "mini": choice}, "sst2": {"tiny": choice}}}
    config = compose(*DEMO)
    ids = {identity.run_id(replace(config, train=replace(config.train, tuned=tuned))) for tuned in (table, more)}
    assert len(ids) == 1
    assert identity.run_id(config) not in ids


def test_models_trained_for_other_lengths_are_compared_where_these_were_searched() -> None:
    """One recipe, which says what was tried; without a search another length is another recipe."""
    tried = {"learning_rates": [1e-3], "epochs": [1, 9], "seeds": [1000]}
    for tuned, kept in ((tried, 4), (None, 2)):
        documents = [
            result_of("rte", model, methods, 70.0, changes={"train.epochs": epochs, "train.tuned": tuned})
            for model, epochs in (("tiny", 1), ("mini", 9)) for methods in ("none", "quantize")
        ]  # fmt: skip
        results = from_documents(documents, [], "a test")
        assert len(results.runs) == kept
        (recipe,) = results.recipes.values()
        assert ("epochs" in recipe["train"]) == (tuned is None)
