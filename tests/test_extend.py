"""`python -m launch extend`: rounds of what `analysis next` proposes, until all is settled or nothing helps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.config.schema import Config, document
from compress.runs import result
from launch import extend as module
from launch.cli import main
from launch.extend import LOOKS, extend
from launch.start import Group, plan_for, settings_of
from launch.sweep import SWEEPS, Sweep
from tests.grids import PARAMETERS
from tests.grids import document as result_of

SETTINGS = {"devices": "cpu", "per_device": 1, "threads": 1, "timeout_min": None, "wait": True}
Scores = Callable[[Config], float]


def calm(config: Config) -> float:
    """Linear in ln(bytes), each seed a little off; compression costs a little."""
    size = math.log(PARAMETERS[str(config.model.name).removeprefix("demo/")] / PARAMETERS["tiny"])
    return 60 + 6 * size - 0.8 * len(config.methods) + 1e-3 * config.seed


def noisy(config: Config) -> float:
    """With luck."""
    at = 12.9 * config.seed + 7.1 * len(config.methods) + 3.3 * calm(config) + len(config.task.name)
    return calm(config) + 2.5 * math.sin(at)


def finish(config: Config, scores: Scores) -> None:
    """Leave the result that an experiment would, with what `tests.grids` has for a model of its name."""
    folder = identity.run_folder(config)
    name = str(config.model.name).removeprefix("demo/")
    plain = result_of(config.task.name, name, "+".join(config.methods) or "none", scores(config), seed=config.seed)
    whole = {**plain, "run_id": folder.name, "config": document(config), "model": folder.parent.parent.name,
             "identity": {**plain["identity"], "seed": config.seed}}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / result.FILE).write_text(json.dumps(whole))


@pytest.fixture
def start(tmp_path: Path, cache: Path) -> Callable[[Scores, Sequence[int]], Path]:
    """A sweep's folder of finished runs: two tasks, four sizes, four subsets, and these seeds."""

    def make(scores: Scores, seeds: Sequence[int]) -> Path:
        runs = tmp_path / "runs"
        words = ["data=demo", "train=demo", "device=cpu", "tracking=none", f"paths.runs={runs}", "task=rte,sst2",
                 "model=demo/tiny,demo/mini,demo/small,demo/medium", "quantize=none,int8", "prune=none,magnitude",
                 f"seed={','.join(map(str, seeds))}"]  # fmt: skip
        configs = list(compositions(words, conf_folder(), multirun=True))
        settings = settings_of("local", SETTINGS)
        planned = plan_for(configs, settings)
        Sweep(runs / SWEEPS / "first", {"name": "local", **vars(settings)}, planned.experiments, []).write()
        for config in configs:
            finish(config, scores)
        return runs

    return make


class Launches:
    """In place of `launch_all`: what was launched, each finished at once with a score; or none."""

    def __init__(self, scores: Scores | None) -> None:
        self.scores, self.rounds = scores, list[list[Group]]()

    def __call__(self, groups: Sequence[Group]) -> int:
        self.rounds.append(list(groups))
        for group in groups if self.scores else ():
            for config in group.configs:
                finish(config, self.scores)  # type: ignore[arg-type]
        return 0

    @property
    def configs(self) -> list[Config]:
        return [config for groups in self.rounds for group in groups for config in group.configs]


def launches(monkeypatch: pytest.MonkeyPatch, scores: Scores | None) -> Launches:
    made = Launches(scores)
    monkeypatch.setattr(module, "launch_all", made)
    return made


def told(runs: Path) -> list[Any]:
    return list(json.loads((runs / SWEEPS / LOOKS).read_text())["looks"])


def test_rounds_are_run_until_nothing_more_helps(
    start: Callable[[Scores, Sequence[int]], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, made = start(noisy, (0, 1)), launches(monkeypatch, noisy)
    code = extend(runs, ["hydra.launcher.per_device=2", "resources.memory_gb=3"], options=["--seeds", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == [f"round {n + 1}" for n in range(len(made.rounds))]
    assert made.rounds
    assert code == (0 if "all verdicts are settled" in lines[-1] else 1)
    assert len({identity.run_id(config) for config in made.configs}) == len(made.configs)  # nothing twice
    assert {config.seed for config in made.configs} == {2}
    assert all(config.resources.memory_gb == 3 and not config.force for config in made.configs)
    assert all(group.settings.per_device == 2 for groups in made.rounds for group in groups)
    assert 1 <= len(told(runs)) <= len(made.rounds) + 1
    assert main(["extend", str(runs), "--seeds", "3"]) == code  # again: it is known where it stands
    assert len(made.rounds) == len(lines) - 1


def test_what_is_settled_is_left_alone_and_what_fails_ends_it(
    start: Callable[[Scores, Sequence[int]], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = start(calm, (0, 1, 2))
    made = launches(monkeypatch, None)
    assert extend(runs) == 0
    assert "1 of 1 verdict settled; all verdicts are settled" in capsys.readouterr().out
    assert not made.rounds


def test_nothing_finished_and_spent_budgets_end_it(
    start: Callable[[Scores, Sequence[int]], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, made = start(noisy, (0,)), launches(monkeypatch, None)
    assert extend(runs, hours=1e-6) == 1
    assert not made.rounds
    assert "hours" in capsys.readouterr().out
    assert extend(runs) == 1
    assert len(made.rounds) == 1
    assert "nothing of this round is finished" in capsys.readouterr().out
    made.scores = noisy
    answer = module._asked(runs, Path.cwd(), [])
    monkeypatch.setattr(module, "_asked", lambda *_: answer)  # which would go on for ever
    assert extend(runs, rounds=1) == 1
    assert len(made.rounds) == 2
    assert "stopped after 1 round, open: " in capsys.readouterr().out


def test_what_is_typed_wrong_is_told_before_anything_is_run(
    start: Callable[[Scores, Sequence[int]], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["extend", str(empty)]) == 2
    assert "no sweep was started here" in capsys.readouterr().err
    runs = start(noisy, (0,))
    for words, said in (
        (["hydra.launcher.per_devise=2"], "did you mean per_device?"),
        (["--hours", "0"], "must be more than 0"),
        (["--rounds", "0"], "must be 1 or more"),
        (["--score", "f1"], "f1"),
    ):
        assert main(["extend", str(runs), *words]) == 2
        assert said in capsys.readouterr().err
