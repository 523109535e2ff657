"""Searches with Optuna, whose trials are ordinary experiments; and pairs of values in a grid."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from compress.checked import build
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.words import parse
from compress.errors import ConfigError
from compress.runs.result import from_document
from launch import objective, search
from launch.batches import SlurmSettings
from launch.local import LocalSettings
from launch.search import SearchSettings
from tests import grids
from tests.conftest import Command

DEMO = ("model=demo/tiny", "data=demo", "train=demo", "task=rte", "device=cpu", "tracking=none", "train.max_steps=3")
SPACE = ("train.learning_rate=tag(log, interval(1e-5,1e-1))", "prune=none,magnitude")


def settings(**changed: Any) -> SearchSettings:
    plain = {"n_trials": 12, "n_jobs": 3, "direction": "maximize", "sampler": "tpe", "seed": 0, "storage": None,
             "study_name": None, "params": None}  # fmt: skip
    return build(SearchSettings, plain | changed, "hydra.sweeper.")


class Launcher:
    """Answers with a function of the learning rate, which is greatest at 1e-3; a trial of some numbers fails."""

    def __init__(self, *failing: int, several: bool = False) -> None:
        self.failing, self.several = failing, several
        self.batches: list[list[list[str]]] = []

    def __call__(self, jobs: list[list[str]], first: int) -> Sequence[JobReturn]:
        self.batches.append(jobs)
        returns = []
        for number, words in enumerate(jobs, first):
            rate = float(next(word.partition("=")[2] for word in words if word.startswith("train.learning_rate=")))
            score = -abs(math.log10(rate) + 3)
            answer = JobReturn(overrides=words, working_dir=f"runs/{number}", status=JobStatus.COMPLETED)
            answer.return_value = [score, rate] if self.several else score
            if number in self.failing:
                answer.status, answer.return_value = JobStatus.FAILED, ValueError("the loss is nan")
            returns.append(answer)
        return returns


def searched(folder: Path, launcher: Launcher, words: Sequence[str] = SPACE, **changed: Any) -> int:
    """The exit code of a search."""
    keys = ["score_glue", "size.artifact_bytes"] if launcher.several else "score_glue"
    options = {"prune": ["none", "magnitude"]}
    return search.search(
        parse(["task=rte", *words]), lambda key: options.get(key, []), settings(**changed), keys, launcher, folder
    )


# --- the search -------------------------------------------------------------------------------------------------------


def test_trials_are_launched_so_many_at_a_time_and_the_best_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = Launcher()
    assert searched(tmp_path, launcher, n_trials=20) == 0
    assert [len(batch) for batch in launcher.batches] == [3] * 6 + [2]
    jobs = [words for batch in launcher.batches for words in batch]
    assert {tuple(word.partition("=")[0] for word in words) for words in jobs} == {
        ("task", "train.learning_rate", "prune")
    }
    assert {words[2] for words in jobs} == {"prune=none", "prune=magnitude"}
    rates = [float(words[1].partition("=")[2]) for words in jobs]
    best = min(rates, key=lambda rate: abs(math.log10(rate) + 3))
    assert f"best of 20 trials: score_glue {-abs(math.log10(best) + 3):g}: train.learning_rate={best!r}" in (
        capsys.readouterr().out
    )
    assert f"train.learning_rate: {best!r}" in (tmp_path / search.FILE).read_text()
    assert sum(1e-4 < rate < 1e-2 for rate in rates[10:]) > 6, "it looks where it was good"


def test_the_same_search_asks_for_the_same_trials(tmp_path: Path) -> None:
    first, second, other = Launcher(), Launcher(), Launcher()
    for launcher, seed in ((first, 0), (second, 0), (other, 1)):
        assert searched(tmp_path, launcher, seed=seed) == 0
    assert first.batches == second.batches != other.batches


def test_a_trial_that_fails_stops_no_search_and_is_never_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = Launcher(0, 4)
    assert searched(tmp_path, launcher) == 1
    assert sum(map(len, launcher.batches)) == 12
    out = capsys.readouterr().out
    assert re.findall(r"trial (\d+) failed: the loss is nan", out) == ["0", "4"]
    assert "best of 12 trials" in out
    assert searched(tmp_path, Launcher(*range(12))) == 1
    assert "best" not in capsys.readouterr().out


def test_a_study_that_is_stored_goes_on(tmp_path: Path) -> None:
    kept = {"storage": f"sqlite:///{tmp_path / 'study.db'}", "study_name": "rates"}
    first, second = Launcher(), Launcher()
    assert searched(tmp_path, first, n_trials=3, **kept) == 0
    assert searched(tmp_path, second, n_trials=5, **kept) == 0
    assert [sum(map(len, launcher.batches)) for launcher in (first, second)] == [3, 2]


def test_of_several_objectives_all_are_told_that_none_beats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert searched(tmp_path, Launcher(several=True), direction=["maximize", "minimize"]) == 0
    assert capsys.readouterr().out.count("best of 12 trials: score_glue ") > 1
    with pytest.raises(ConfigError, match=r"direction=maximize: hydra.launcher.objective has 2 keys; give as many"):
        searched(tmp_path, Launcher(several=True), direction=["maximize"])


def test_a_launcher_that_answers_too_little_is_refused(tmp_path: Path) -> None:
    class Silent(Launcher):
        def __call__(self, jobs: list[list[str]], first: int) -> Sequence[JobReturn]:
            return []

    with pytest.raises(ConfigError, match="the launcher answered 0 of 3 trials"):
        searched(tmp_path, Silent())


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("seed=interval(1,4)", IntDistribution(1, 4)),
        ("a.b=interval(0.1,0.5)", FloatDistribution(0.1, 0.5)),
        ("a.b=tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("a.b=tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("train.epochs=tag(log,interval(1,64))", IntDistribution(1, 64, log=True)),
        ("a.b=range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("a.b=range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("a.b=1,2,x", CategoricalDistribution(["1", "2", "x"])),
        ("a.b=true,null", CategoricalDistribution(["True", "null"])),
    ],
)
def test_what_is_swept_is_what_is_drawn_from(word: str, expected: object) -> None:
    (override,) = parse([word])
    assert search.distribution(override, lambda key: [])[0] == expected


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"n_trials": 0}, "hydra.sweeper.n_trials=0: must be greater than or equal to 1"),
        ({"direction": "maximise"}, "hydra.sweeper.direction=maximise: must be maximize or minimize (did you mean max"),
        ({"sampler": "tpa"}, "hydra.sweeper.sampler=tpa: must be of tpe, random, gp, cmaes, nsgaii, qmc (did you mean"),
        (
            {"trials": 3},
            "hydra.sweeper.trials: no such key (did you mean n_trials?); hydra.sweeper has n_trials, n_jobs",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(changed: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(told)}"):
        settings(**changed)


def test_nothing_to_search_over_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing is searched over; give train\.learning_rate="):
        searched(tmp_path, Launcher(), [])
    with pytest.raises(ConfigError, match=r"^a\.b=tag\(log,interval\(0,1\)\): "):
        searched(tmp_path, Launcher(), ["a.b=tag(log,interval(0,1))"])


# --- what it is told --------------------------------------------------------------------------------------------------


def test_the_objective_is_any_number_of_the_result() -> None:
    document = grids.document("rte", "tiny", "none", 60.0, accuracy=61.0) | {"metrics": {"f1": 0.5, "x": None}}
    found = from_document(document)
    assert objective.value(found, "score_accuracy") == 61.0
    assert objective.value(found, "metrics.f1") == 0.5
    assert objective.value(found, "size.artifact_bytes") == document["size"]["artifact_bytes"]
    for key in ("metrics.x", "metrics.none"):
        with pytest.raises(ValueError, match=f"its {key} is undefined"):
            objective.value(found, key)


@pytest.mark.parametrize("kind", [LocalSettings, SlurmSettings])
def test_an_objective_that_is_none_is_refused(kind: type[Any]) -> None:
    from launch.start import settings_of
    from tests.test_local import settings as local_settings
    from tests.test_submission import settings as slurm_settings

    made = local_settings() if kind is LocalSettings else slurm_settings()
    name = "local" if kind is LocalSettings else "slurm"
    for wrong in ("score_accurcy", ["score_glue", "size"]):
        with pytest.raises(
            ConfigError, match=r"hydra.launcher.objective=.*: must be of score_glue, score_accuracy, spar"
        ):
            settings_of(name, vars(made) | {"objective": wrong})
    assert settings_of(name, vars(made) | {"objective": ["metrics.f1", "sparsity"]}).objective[0] == "metrics.f1"


def test_trials_are_experiments_that_are_found_again(command: Command, tmp_path: Path) -> None:
    """Of three trials one fails; a teacher that is added is no answer."""
    words = ["-m", *DEMO, "hydra/sweeper=optuna", "train.learning_rate=1e-3,1e30", "distill=kd", "distill.teacher=mini",
             "distill.weak_teacher=true", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=3",
             "hydra.launcher.objective=score_accuracy"]  # fmt: skip
    first = command(*words)
    assert first.returncode == 1, first.stdout + first.stderr
    scores = {json.loads(file.read_text())["score_accuracy"] for file in tmp_path.glob("runs/rte/tiny/*/*/result.json")}
    assert len(scores) == 1
    assert "missing teacher is added" in first.stdout or "missing teachers are added" in first.stdout
    assert f"best of 3 trials: score_accuracy {scores.pop():g}: train.learning_rate=0.001  (" in first.stdout
    assert re.search(r"trial \d failed: .*", first.stdout)
    before = sorted(tmp_path.glob("runs/*/*/*/*/result.json"))
    again = command(*words, "hydra.sweeper.seed=0")
    assert "1 finished" in again.stdout
    assert sorted(tmp_path.glob("runs/*/*/*/*/result.json")) == before


# --- pairs ------------------------------------------------------------------------------------------------------------


def swept(*words: str) -> list[tuple[str | None, float, int]]:
    """Model, rate and seed of every experiment."""
    made = compositions(["model=demo/tiny", *DEMO[1:], *words], conf_folder(), multirun=True)
    return [(config.model.name, config.train.learning_rate, config.seed) for config in made]


def test_keys_that_go_together_are_pairs_and_not_a_product() -> None:
    words = ("model=demo/tiny,demo/mini,demo/small", "seed=0,1", "train.learning_rate=1e-3,2e-3,3e-3")
    pairs = [("tiny", 1e-3), ("mini", 2e-3), ("small", 3e-3)]
    found = swept(*words, "hydra.sweeper.together=[model,train.learning_rate]")
    assert found == [(model, rate, seed) for model, rate in pairs for seed in (0, 1)]
    assert len(swept(*words)) == 18


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("[model,train.epochs]", "hydra.sweeper.together=[model,train.epochs]: train.epochs is not swept; give"),
        ("[model,seed]", "hydra.sweeper.together=[model,seed]: model has 2, seed has 3; each must have as many values"),
        ("[[model,prune],[prune,quantize]]", "hydra.sweeper.together=[prune,quantize]: a key is named twice"),
        ("model", "hydra.sweeper.together=model: must be a list of swept keys, [model,train.learning_rate]"),
    ],
)
def test_what_cannot_go_together_is_refused(keys: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(told)}"):
        swept("model=demo/tiny,demo/mini", "seed=0,1,2", "prune=none,magnitude", "quantize=none,int8",
              f"hydra.sweeper.together={keys}")  # fmt: skip
