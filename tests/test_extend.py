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
from compress.runs import folder as run_folders
from compress.runs import result
from compress.runs.folder import ExperimentLock
from launch import extend as module
from launch.batches import SlurmSettings
from launch.cli import main
from launch.experiments import Outcome
from launch.extend import LOOKS, extend
from launch.start import Group, Settings, plan_for, settings_of
from launch.sweep import SWEEPS, Sweep, all_sweeps
from tests.grids import PARAMETERS
from tests.grids import document as result_of

SETTINGS = {"devices": "cpu", "per_device": 1, "threads": 1, "timeout_min": None, "wait": True}
WALL_SECONDS = result_of("rte", "tiny", "none", 50.0)["timing"]["wall_seconds"]
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
        return finished_sweep(tmp_path / "runs", settings_of("local", SETTINGS), scores, seeds)

    return make


def finished_sweep(
    runs: Path, settings: Settings, scores: Scores, seeds: Sequence[int] = (0,), words: Sequence[str] = ()
) -> Path:
    """A folder of runs, as a sweep by a launcher with these settings would leave it."""
    words = ["data=demo", "train=demo", "device=cpu", "tracking=none", f"paths.runs={runs}", "task=rte,sst2",
             "model=demo/tiny,demo/mini,demo/small,demo/medium", "quantize=none,int8", "prune=none,magnitude",
             f"seed={','.join(map(str, seeds))}", *words]  # fmt: skip
    configs = list(compositions(words, conf_folder(), multirun=True))
    launcher = "slurm" if isinstance(settings, SlurmSettings) else "local"
    planned = plan_for(configs, settings)
    Sweep(runs / SWEEPS / "first", {"name": launcher, **vars(settings)}, planned.experiments, []).write()
    for config in configs:
        finish(config, scores)
    return runs


class Launches:
    """In place of `launch_all`: what was launched, each finished at once with a score.

    Attributes:
        scores: None if nothing is finished.
        fails, stops: of which experiments leave an error, or nothing.
    """

    def __init__(self, scores: Scores | None) -> None:
        self.scores, self.rounds = scores, list[list[Group]]()
        self.fails: Callable[[Config], bool] = lambda _: False
        self.stops: Callable[[Config], bool] = lambda _: False

    def __call__(self, groups: Sequence[Group]) -> int:
        self.rounds.append(list(groups))
        for number, group in enumerate(groups):
            planned = plan_for(group.configs, group.settings)
            folder = planned.runs / SWEEPS / f"round {len(self.rounds)} {number}"
            sweep = Sweep(folder, {"name": "local", **vars(group.settings)}, planned.experiments,
                          [each.run_id for each in planned.to_run])  # fmt: skip
            sweep.write()
            for config in group.configs:
                run_id = identity.run_id(config)
                if self.scores is None or self.fails(config):
                    folder = sweep.run_folder(run_id)
                    run_folders.write_failure(folder, run_id, "RuntimeError", "diverged")
                    (folder / "config.yaml").write_text(f"seed: {config.seed}\n")
                    sweep.record(Outcome(run_id, "failed", 36.0, "diverged"))
                elif not self.stops(config):
                    finish(config, self.scores)
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
    runs = start(noisy, (5,))  # whose failures are others
    made.scores = noisy
    answer = module._asked(runs, Path.cwd(), [])
    monkeypatch.setattr(module, "_asked", lambda *_: answer)  # which would go on for ever
    assert extend(runs, rounds=1) == 1
    assert len(made.rounds) == 2
    assert "stopped after 1 round, open: " in capsys.readouterr().out


def test_what_fails_is_left_out_and_its_time_is_spent(
    start: Callable[[Scores, Sequence[int]], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, made, asked = start(noisy, (0,)), launches(monkeypatch, noisy), list[Sequence[str]]()
    made.fails = lambda config: config.model.name == "tiny"
    ask = module._asked

    def noted(runs: Path, here: Path, options: Sequence[str]) -> dict[str, Any]:
        asked.append(options)
        return ask(runs, here, options)

    monkeypatch.setattr(module, "_asked", noted)
    extend(runs, hours=5.0, rounds=2)
    first = [config for group in made.rounds[0] for config in group.configs]
    failed = [config for config in first if made.fails(config)]
    assert 0 < len(failed) < len(first)
    took = 36.0 * len(failed) + WALL_SECONDS * (len(first) - len(failed))
    assert [float(options[1]) for options in asked[:2]] == pytest.approx([5.0, 5.0 - took / 3600])
    assert len({identity.run_id(config) for config in made.configs}) == len(made.configs)  # nothing twice


def test_a_round_of_which_something_was_stopped_is_the_last(
    start: Callable[[Scores, Sequence[int]], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, made = start(noisy, (0,)), launches(monkeypatch, noisy)
    made.stops = lambda config: config.model.name == "tiny" and config.task.name == "rte"
    assert extend(runs) == 1
    stopped = sum(made.stops(config) for config in made.configs)
    last = [config for group in made.rounds[-1] for config in group.configs]
    assert 0 < stopped == sum(made.stops(config) for config in last) < len(last)
    assert f"{stopped} runs of this round stopped, refused or lost" in capsys.readouterr().out


def test_rounds_are_waited_for_whatever_the_last_sweep_did(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = finished_sweep(tmp_path / "runs", settings_of("local", {**SETTINGS, "wait": False}), noisy)
    made = launches(monkeypatch, noisy)
    assert main(["extend", str(runs), "hydra.launcher.wait=false"]) == 2
    assert "hydra.launcher.wait=false: extend waits for each round" in capsys.readouterr().err
    assert not made.rounds
    extend(runs, rounds=1)
    assert [group.settings.wait for groups in made.rounds for group in groups] == [True]


def test_what_was_launched_before_is_waited_for_first(
    start: Callable[[Scores, Sequence[int]], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, made = start(noisy, (0,)), launches(monkeypatch, noisy)
    (sweep,) = all_sweeps(runs)
    run_id = next(iter(sweep.experiments))
    lock, waited = ExperimentLock(runs, run_id), list[float]()
    result_file = sweep.run_folder(run_id) / result.FILE
    text = result_file.read_text()
    result_file.unlink()
    assert lock.take()

    def sleep(seconds: float) -> None:
        assert not made.rounds
        waited.append(seconds)
        result_file.write_text(text)
        lock.release()

    monkeypatch.setattr("launch.extend.time.sleep", sleep)
    extend(runs, rounds=1)
    assert len(waited) == 1
    assert "waiting for 1 experiment launched before" in capsys.readouterr().out
    assert run_id not in {identity.run_id(config) for config in made.configs}


def test_what_is_typed_wrong_is_told_before_anything_is_run(
    start: Callable[[Scores, Sequence[int]], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["extend", str(empty)]) == 2
    assert "no sweep was started here" in capsys.readouterr().err
    runs = start(noisy, (0,))
    for words, said in (
        (["--rounds", "1", "hydra.launcher.per_devise=2", "--seeds", "3"], "did you mean per_device?"),
        (["--round-robin"], "--round-robin"),
        (["hydra.launcher.per_devise=2"], "did you mean per_device?"),
        (["--hours", "0"], "must be more than 0"),
        (["--rounds", "0"], "must be 1 or more"),
        (["--score", "f1"], "f1"),
    ):
        assert main(["extend", str(runs), *words]) == 2
        assert said in capsys.readouterr().err
