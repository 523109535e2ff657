"""The command line as a user meets it: help, mistakes, exit codes, sweeps, completion."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import compress.cli
from compress.errors import exit_code
from launch.retry import Changes
from tests.conftest import ROOT, Command
from tests.pace import quiet_seconds

DEMO = ("model=demo/tiny", "data=demo", "task=rte", "train.max_steps=3")

MISTAKES = {
    "task=sst": "task=sst: no such option (did you mean sst2?); must be of cola, mnli,",
    "train.epoch=4": "train.epoch=4: no such key (did you mean train.epochs?); train has epochs, max_steps,",
    "trian.epochs=4": "trian.epochs=4: no such key (did you mean train.epochs?); there are data, device,",
    "+train.typo=4": "train.typo=4: no such key",
    "train.epochs=many": "train.epochs=many: must be a valid integer",
    "~train.epochs": "train.epochs: has no value; give train.epochs=",
    "train.epochs": "train.epochs: not understood as key=value",
    "train.epochs=[1": "train.epochs=[1: not understood as key=value",
    "task=sst2,rte": "task: 2 values are a sweep; add -m",
    "data.path=nowhere": "data.path=nowhere: needs sst2/train.parquet",
    "hydra.run.dri=x": "hydra.run.dri=x: no such key (did you mean dir?); hydra.run has dir",
    "hydra/launcher=slrum": "hydra/launcher=slrum: no such option (did you mean slurm?); must be of",
    "model=pretrained": "model.pretrained: has no value; give model.pretrained=",
}


@pytest.mark.parametrize(("word", "told"), MISTAKES.items())
def test_a_mistake_is_one_clear_line_exit_2_and_nothing_written(
    command: Command, tmp_path: Path, word: str, told: str
) -> None:
    done = command(word)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {told}")
    assert done.stderr.count("\n") == 1
    assert not done.stdout
    assert not list(tmp_path.iterdir())


def test_one_wrong_value_stops_a_whole_sweep_before_it_starts(command: Command, tmp_path: Path) -> None:
    done = command("-m", *DEMO, "train.batch_size=8,none")
    assert (done.returncode, done.stderr) == (2, "error: train.batch_size=none: must be a valid integer\n")
    assert not list(tmp_path.iterdir())


def test_a_mistake_under_cfg_is_told_as_well(command: Command) -> None:
    done = command("train.epochs=-1", "--cfg", "job")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_sweep_under_cfg_is_told_to_be_none(command: Command) -> None:
    done = command("-m", *DEMO, "seed=0,1", "--cfg", "job")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --cfg with -m: it shows the configuration of one experiment; leave -m out")
    assert done.stderr.count("\n") == 1


def test_help_names_every_group_option_and_key(command: Command) -> None:
    done = command("--help")
    assert done.returncode == 0
    for word in ("tiny", "demo/large", "pretrained", "stsb", "data.path=null", "train.precision=fp32", "Examples:"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_help_takes_less_than_a_second() -> None:
    words = [sys.executable, "-m", "compress", "-h"]
    shown = partial(subprocess.run, words, cwd=ROOT, capture_output=True, check=True)
    assert statistics.median(quiet_seconds(shown, time.perf_counter) for _ in range(5)) < 1


def test_cfg_shows_the_resolved_configuration(command: Command) -> None:
    done = command("model=mini", "--cfg", "job", "--resolve", "--package", "train")
    assert done.returncode == 0
    assert "learning_rate: 0.0001" in done.stdout


def test_without_hub_and_without_folder_one_line_names_the_ways_out(command: Command, tmp_path: Path) -> None:
    done = command("model=tiny", "task=sst2", HF_HOME=str(tmp_path / "empty"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for word in ("error: model.pretrained=google/bert", "data.path=DIR", "data=demo", "HF_HOME"):
        assert word in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_data_sets_absence_is_told_likewise(command: Command, weights: Path, tmp_path: Path) -> None:
    done = command("task=sst2", f"model.pretrained={weights / 'standin-tiny'}", HF_HOME=str(tmp_path / "empty"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for word in ("error: data.hub=nyu-mll/glue", "data.path=DIR", "data=demo", "HF_HOME"):
        assert word in done.stderr


def test_a_missing_gpu_is_told_before_anything_is_written(command: Command, tmp_path: Path) -> None:
    done = command(*DEMO, "device=cuda:7")
    assert done.returncode == 2
    assert done.stderr.startswith("error: device=cuda:7: this machine has ")
    assert not list(tmp_path.iterdir())


def test_an_experiment_runs_once_then_says_so(command: Command, tmp_path: Path) -> None:
    first, second = command(*DEMO), command(*DEMO)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "finished: rte tiny none seed 0" in first.stdout
    assert second.stdout.startswith("finished already: rte tiny none seed 0")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_sweep_runs_every_combination_and_goes_on_after_a_failure(command: Command, tmp_path: Path) -> None:
    done = command("-m", *DEMO, "seed=0,1", "train.learning_rate=1e-3,1e30")
    assert done.returncode == 1
    assert len(list(tmp_path.rglob("result.json"))) == 2
    assert len(list(tmp_path.rglob("error.json"))) == 2
    table = done.stdout[done.stdout.index("2 failed") :]
    assert table.count("FloatingPointError: the loss is nan") == 2


@pytest.mark.parametrize(
    "program", [f"{sys.executable} -m compress", str(Path(sys.executable).with_name("combining-compressions"))]
)
def test_completion_offers_options_and_keys_in_a_real_shell(program: str, tmp_path: Path) -> None:
    def complete(line: str) -> list[str]:
        script = f'''
            eval "$({program} -sc install=bash)"
            COMP_LINE="{line}"; COMP_WORDS=($COMP_LINE)
            COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); COMP_POINT=${{#COMP_LINE}}
            _compress_completion {program.split()[0]}; printf "%s\\n" "${{COMPREPLY[@]}}"'''
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, env=dict(os.environ))
        return done.stdout.split()

    assert complete(f"{program} task=s") == ["task=sst2", "task=stsb"]
    assert "train.epochs=" in complete(f"{program} train.e")
    assert complete(f"{program} model=demo/ti") == ["model=demo/tiny"]
    assert complete(f"{program} seed=1 task=rte,cola,m") == ["task=rte,cola,mnli", "task=rte,cola,mrpc"]
    assert complete(f"{program} train.precision=") == ["train.precision=fp32", "train.precision=bf16"]
    assert complete(f"{program} +exp") == ["+experiment="]
    assert complete(f"{program} data.path=tes") == ["data.path=tests/"]
    if program.endswith("combining-compressions"):
        assert complete(f"{program} pla") == ["plan"]
        assert complete(f"{program} plan task=s") == complete(f"{program} run task=s") == ["task=sst2", "task=stsb"]
        assert complete(f"{program} status ru") == [], "the shell completes names of folders"
        assert {"status", "report", "run"} <= set(complete(f"{program} "))


def imports(package: str) -> Callable[[], int]:
    return lambda: int(bool(__import__(package)))


def test_what_was_left_out_of_an_installation_is_told(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    """Without the extras: W&B is refused before anything is written, and a command names the extra that it lacks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert compress.cli.main([*DEMO, "tracking=wandb"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "error: tracking=wandb: the package wandb is not installed; in the project's folder: pip install"
    )
    assert told.endswith(", or give tracking=none\n")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for package, extra in {"matplotlib": "analysis", "onnxscript": "export", "wandb_workspaces": "tracking"}.items():
        monkeypatch.setitem(sys.modules, package, None)
        assert exit_code(imports(package)) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"error: the package {package} is not installed; in the project's folder: pip install ")
        assert told.endswith(f"'.[{extra}]'\n")
    Changes(["resources.cpus=2"])  # of a retry of runs that are not tracked
    assert not list(tmp_path.iterdir())
