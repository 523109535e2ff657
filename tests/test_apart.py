"""Names of experiments of one sweep that have the same task, model, methods and seed."""

from pathlib import Path

import pytest

from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from launch.apart import told_apart
from launch.experiments import Planned
from launch.plan import make

DEMO = ["data=demo", "model=demo/tiny", "train=demo", "task=rte", "tracking=none"]


def planned(tmp_path: Path, *words: str) -> list[Planned]:
    composed = compositions([*DEMO, *words, f"paths.runs={tmp_path}"], conf_folder(), multirun=True)
    return make(composed, lambda _: []).experiments


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["prune=none,magnitude", "seed=0,1"], {""}),  # their names differ
        (["quantize=int4,post"], {"quantize=int4", "quantize=post"}),
        (["train.learning_rate=1e-3,3e-4"], {"train.learning_rate=1e-3", "train.learning_rate=3e-4"}),
        (
            ["prune=none,magnitude", "prune.sparsity=0.4,0.6"],  # without pruning it is one experiment
            {"", "prune.sparsity=0.4", "prune.sparsity=0.6"},
        ),
        (
            ["prune=magnitude,movement", "prune.sparsity=0.4,0.6"],
            {f"prune={option} prune.sparsity={share}" for option in ("magnitude", "movement") for share in (0.4, 0.6)},
        ),
        (
            ["quantize=int8,post", "quantize.embeddings=true,false", "train.epochs=2,3"],
            {f"quantize={option} train.epochs={epochs} quantize.embeddings={embeddings}"
             for option in ("int8", "post") for epochs in (2, 3) for embeddings in ("true", "false")},
        ),
    ],
)  # fmt: skip
def test_what_differs_is_in_the_name(tmp_path: Path, words: list[str], expected: set[str]) -> None:
    experiments = planned(tmp_path, *words)
    assert {one.apart for one in experiments} == expected
    assert len({one.name for one in experiments}) == len(experiments)
    assert all(f" {one.apart} seed" in one.name for one in experiments if one.apart)


def test_settings_that_always_go_together_are_named_once() -> None:
    same = "rte tiny none seed 0"
    configs = {
        "a": {"model": {"rate": 1.0}, "train": {"rate": 1.0}},
        "b": {"model": {"rate": 2.0}, "train": {"rate": 2.0}},
    }
    assert told_apart({run_id: (same, config) for run_id, config in configs.items()}) == {
        "a": "model.rate=1",
        "b": "model.rate=2",
    }
    assert told_apart({"a": (same, configs["a"]), "b": ("another", configs["b"])}) == {}
