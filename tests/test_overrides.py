"""Many configurations from few compositions, and each the very one that Hydra composes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from compress.config import Config, conf_folder, from_hydra
from compress.errors import ConfigError
from compress.overrides import compositions, product, sweeps

SIZES = ("tiny", "mini", "small", "medium", "base", "large")
TASKS = "cola,sst2,mrpc,stsb,qqp,mnli,qnli,rte"
SUBSETS = ("quantize=none,int8", "distill=none,kd", "prune=none,magnitude")
DEMO = ("data=demo", "train=demo", f"model={','.join(f'demo/{size}' for size in SIZES)}")


def by_hydra(words: Sequence[str]) -> list[Config]:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return [from_hydra(compose("config", overrides=list(choice)))
                for choice in itertools.product(*sweeps(words).values())]  # fmt: skip


@pytest.mark.slow
def test_every_cell_of_the_grid_is_what_hydra_composes() -> None:
    words = [*DEMO, f"task={TASKS}", *SUBSETS]
    found = list(compositions(words, conf_folder(), multirun=True))
    assert len(found) == 6 * 8 * 8
    assert found == by_hydra(words)


@pytest.mark.parametrize(
    "words",
    [
        ("data=demo", "model=demo/tiny,demo/mini", "model.dropout=0.1,0.2", "seed=0,1"),
        ("data=demo", "prune=none,magnitude", "prune.sparsity=0.4,0.6", "prune.scope=layer", "model=demo/tiny"),
        ("train.learning_rate=1e-3,2e-3", "model=tiny,mini", "train=paper,quick", "distill.copies=0", "distill=kd"),
        ("train=paper,quick", "model=tiny,mini", "model.learning_rate=1e-3,2e-3", "device=cpu,auto"),
        ("seed=range(0,3)", "task=sst2"),
        ("task=sst2",),
    ],
)  # fmt: skip
def test_axes_that_touch_the_same_group_are_composed_together(words: tuple[str, ...]) -> None:
    assert list(compositions(words, conf_folder(), multirun=True)) == by_hydra(words)


def test_an_option_that_reaches_into_another_group_is_composed_with_all(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    text = (conf_folder() / "task" / "sst2.yaml").read_text()
    (tmp_path / "task" / "far.yaml").write_text(
        "# @package _global_\ntask:\n"
        + "".join(f"  {line}\n" for line in text.splitlines())
        + "model:\n  dropout: 0.5\n"
    )
    words = ["data=demo", "model=demo/tiny,demo/mini", "task=rte,far", f"hydra.searchpath=[file://{tmp_path}]",
             "train=paper,demo"]  # fmt: skip
    found = list(compositions(words, conf_folder(), multirun=True))
    assert found == by_hydra(words)
    assert {config.model.dropout for config in found if config.task.name == "sst2"} == {0.5}


def test_few_compositions_are_made() -> None:
    made: list[tuple[str, ...]] = []

    def composed(overrides: Sequence[str]) -> dict[str, Any]:
        made.append(tuple(overrides))
        return {word.split("=")[0]: word for word in overrides}

    counts = {"a": 6, "b": 8, "c": 2, "d": 2, "e": 2}
    axes = {group: [f"{group}={value}" for value in range(count)] for group, count in counts.items()}
    trees = list(product(axes, composed))
    assert len(trees) == 384
    assert trees == [{word[0]: word for word in choice} for choice in itertools.product(*axes.values())]
    assert len(made) == 1 + 6 + 8 + 2 + 2 + 2


def test_one_wrong_value_among_many_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^train.warmup=7: must be less than or equal to 1"):
        list(
            compositions(["data=demo", "model=demo/tiny,demo/mini", "train.warmup=0.1,7"], conf_folder(), multirun=True)
        )
