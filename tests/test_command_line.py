"""Whatever is written on the command line or in a user's own YAML: it does what it says, or one line tells why not."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import launch.cli
import launch.prepare
from compress import cli
from compress.config.arguments import Arguments, read
from compress.config.composing import Composer, opened
from compress.config.conf_files import conf_folder, options
from compress.config.overrides import Request, check_words, read_one, read_request, read_sweep, sweep_jobs
from compress.config.schema import Config, keys
from compress.config.words import quoted
from compress.errors import ConfigError, one_line
from launch import local
from launch.retry import Changes
from launch.start import Settings
from launch.sweep import Sweep
from tests.conftest import Command

DEMO = ("data=demo", "model=demo/tiny", "task=rte", "tracking=none")

OWN = {
    "own.yaml": "defaults:\n  - config\n  - _self_\n  - override model: demo/tiny\n  - override data: demo\n"
    "  - override train: demo\n  - override task: rte\n  - override tracking: none\n"
    "seed: 7\ntrain:\n  max_steps: 2\n",
    "grid.yaml": "defaults: [own, _self_]\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
    "      model: glob(mine/*)\n      seed: 0,1\n",
    "elsewhere.yaml": "defaults: [own, _self_]\nhydra:\n  searchpath: [file:///no/such/folder]\n",
    "empty.yaml": "",
    "model/mine/a.yaml": "defaults: [/model/demo/tiny@_here_, _self_]\nname: a\n",
    "model/mine/deep/b.yaml": "defaults: [/model/demo/mini@_here_, _self_]\nname: b\n",
    "experiment/both.yaml": "# @package _global_\nhydra:\n  sweeper:\n    params:\n"
    "      task: rte,cola\n      seed: 0,1\n",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of configuration, beside the folder where commands are typed."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return write(tmp_path / "own", OWN)


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def told(*words: str, check: Callable[..., Any] = check_words) -> str:
    """The one line that a command line is refused with."""
    with pytest.raises(ConfigError) as error:
        check(words, conf_folder())
    message = one_line(str(error.value))
    assert message.isprintable()
    return message


def asked(words: Sequence[str], look: Callable[[Request], Any]) -> Any:
    arguments = read(words)
    with opened(arguments, conf_folder()) as composer:
        return look(read_request(composer, arguments))


# --- flags ------------------------------------------------------------------------------------------------------------


def test_flags_may_stand_anywhere_between_overrides() -> None:
    words = ["seed=1", "-m", "task=rte", "--config-dir", "D", "model=tiny", "-cn=mine", "--", "-odd"]
    assert read(words) == Arguments(
        overrides=("seed=1", "task=rte", "model=tiny", "-odd"), multirun=True, config_dir="D", config_name="mine"
    )
    assert read(["--info", "seed=1"]) == Arguments(overrides=("seed=1",), info="all")
    assert read(["-m", "-m"]) == Arguments(multirun=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--multirum", "--multirum: no such flag (did you mean --multirun?); there are --cfg, --config-dir, "),
        ("--seed=1", "--seed=1: no such flag; keys are written without dashes: seed=1; there are --cfg, "),
        ("-x", "-x: no such flag; there are --cfg, "),
        (
            "--experimental-rerun x",
            "--experimental-rerun: not possible here; an experiment that was",
        ),
        ("--cfg", "--cfg: has no value; must be of job, hydra, all"),
        ("--cfg jbo", "--cfg jbo: must be of job, hydra, all (did you mean job?)"),
        ("--info nope", "--info nope: must be of all, config, defaults, defaults-tree, plugins, searchpath"),
        ("--resolve", "--resolve: belongs to --cfg; add --cfg job"),
        ("-m --resolve", "--resolve: belongs to --cfg; add --cfg job"),
        ("--package train", "--package: belongs to --cfg; add --cfg job"),
        ("--run -m", "--run with --multirun: only one of them is possible"),
        ("--cfg job --info", "--cfg with --info: only one of them is possible"),
        ("--config-name", "--config-name: has no value; give one"),
        ("--config-dir a --config-dir b", "--config-dir: given twice; give one, further folders as hydra.searchpath="),
        ("--config-dir nowhere", "--config-dir nowhere: no such folder"),
        ("--config-path nowhere", "--config-path nowhere: no such folder"),
        ("--config-name confg", "--config-name confg: no such file (did you mean config?); in "),
        ("--config-name ../a/b", "--config-name ../a/b: is a path; write --config-dir ../a --config-name b"),
    ],
)
def test_a_mistaken_flag_is_told(words: str, message: str) -> None:
    assert told(*shlex.split(words)).startswith(message)


@pytest.mark.parametrize("word", ["", " ", "seed", "=", "+=", "~", "+", "seed:1", "seed =1", "1=2", "è=1"])
def test_a_word_that_is_no_override_is_told(word: str) -> None:
    shown = word if word.strip() else repr(word)
    if word != "~":
        assert told(word) == f"{shown}: not understood as key=value; write for example train.epochs=4"


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (
            "plann",
            "error: plann: no such command; must be one of plan, prepare, status, logs, retry, extend, cancel, tune, ",
        ),
        ("", "error: no command; must be one of plan, prepare, status, logs, retry, extend, cancel, tune, sync\n"),
        ("status", "error: the following arguments are required: runs; python -m launch status --help shows what it"),
        ("status --bad .", "error: unrecognized arguments: --bad; python -m launch --help shows what it takes\n"),
        ("plan --unknown", "error: --unknown: no such flag; there are --cfg, "),
        ("plan --cfg job", "error: --cfg with -m: it shows the configuration of one experiment"),
        ("prepare --json", "error: unrecognized arguments: --json; python -m launch --help shows what it takes\n"),
        ("plan seed=0,", "error: seed=0,: not understood as key=value; write for example train.epochs=4\n"),
    ],
)
def test_the_launchers_mistakes_are_one_line_too(verb: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.cli.main(shlex.split(verb)) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(message)
    assert (printed.err.count("\n"), printed.out) == (1, "")


def test_what_is_shown_is_what_is_composed(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*words: str) -> str:
        assert cli.main(["--config-dir", str(own), "-cn", "own", *words]) == 0
        return capsys.readouterr().out

    assert "\nseed: 7\n" in shown("--cfg", "job")
    assert shown("-c", "job", "-p", "train.max_steps") == "2\n"
    assert shown("--cfg", "job", "--resolve", "--package", "train").startswith("# @package train\nepochs: 3\n")
    assert "sweep:\n    dir: runs/.sweeps/" in shown("--cfg", "hydra", "--resolve")
    assert "Provider" in shown("--info", "searchpath")
    assert "== Flags ==" in shown("--hydra-help")
    assert "combining-compressions " in shown("--version")
    assert cli.main([*DEMO, "--cfg", "job", "-p", "trian"]) == 2
    assert capsys.readouterr().err == "error: --package trian: there is no such part; --cfg job alone shows all\n"


# --- sweeps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("model=glob(demo/m*)", ["medium", "mini"]),
        ("model=glob([demo/t*,demo/s*],exclude=*small)", ["tiny"]),
        ("model=glob(mine/*)", ["a", "b"]),
        ("model=choice(demo/tiny,mine/deep/b)", ["tiny", "b"]),
        ("model=sort(demo/tiny,demo/mini)", ["mini", "tiny"]),
        ("seed=range(3)", [0, 1, 2]),
        ("seed=sort(2,0,1,reverse=true)", [2, 1, 0]),
        ("seed=shuffle(4,4)", [4]),
        ("seed=tag(once,choice(5))", [5]),
        ("seed=int(choice(1.0,2.0))", [1, 2]),
        ("+experiment=glob(both)", [0]),
    ],
)
def test_what_hydras_sweeper_understands_is_swept_checked_and_planned_alike(
    own: Path, word: str, values: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config-dir", str(own), *DEMO, word]
    found, _ = read_sweep(words, conf_folder())
    key = word.partition("=")[0]
    assert list(dict.fromkeys(c.model.name if key == "model" else c.seed for c in found)) == values
    check_words(["-m", *words], conf_folder())
    assert launch.cli.main(["plan", "--json", *words]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert {cell["model" if key == "model" else "seed"] for cell in cells} == set(values)
    without = told(*words)
    assert without.startswith(f"{key.lstrip('+')}: {len(found)} values are a sweep; add -m to run each of them")


@pytest.mark.parametrize(
    "words",
    [
        ("model=glob(mine/*)", "seed=range(2)"),
        ("-cn", "grid"),
        ("-cn", "grid", "seed=5"),
        ("-cn", "grid", "+train={epochs:2}", "train={batch_size:4}", "task=rte", "task=cola"),
        ("+experiment=both", "seed=3", "task=sst2,mrpc"),
        ("+experiment=both", "seed=0,1,2", "++seed=4", "~prune"),
        ("hydra/sweeper=basic", "model=glob(mine/*)", "seed=1,2"),
    ],
)
def test_the_sweeper_runs_the_very_jobs_that_were_checked(own: Path, words: Sequence[str]) -> None:
    def by_the_sweeper(found: Request) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        hydra = found.composer.hydra
        composed = hydra.compose_config("grid" if "-cn" in words else "config", found.words, RunMode.MULTIRUN)
        assert composed.hydra.sweeper._target_.endswith("GridSweeper")
        task = OmegaConf.to_container(composed.hydra.overrides.task)
        return found.jobs, sweep_jobs(task, composed.hydra, hydra.config_loader)  # type: ignore[arg-type]

    checked, run = asked(["-m", "--config-dir", str(own), *words], by_the_sweeper)
    assert len(checked) > 1 or "seed=5" in words
    assert [[word for word in job if not word.startswith("hydra")] for job in checked] == [list(job) for job in run]


def test_of_a_repeated_key_the_last_counts_and_narrows_what_a_file_sweeps(own: Path) -> None:
    def seeds(*words: str) -> list[tuple[str, int]]:
        given = ["--config-dir", str(own), "data=demo", "model=demo/tiny", "+experiment=both", *words]
        return [(config.task.name, config.seed) for config in read_sweep(given, conf_folder())[0]]

    assert seeds() == [("rte", 0), ("rte", 1), ("cola", 0), ("cola", 1)]
    assert seeds("seed=2") == [("rte", 2), ("cola", 2)]
    assert seeds("seed=0,1,2", "++seed=4", "task=sst2") == [("sst2", 4)]
    (config,) = read_sweep([*DEMO, "train={epochs:2}", "train={batch_size:4}", "seed=1", "seed=2"], conf_folder())[0]
    assert (config.train.epochs, config.train.batch_size, config.seed) == (2, 4, 2)
    assert config == read_one([*DEMO, "train={epochs:2}", "train={batch_size:4}", "seed=1", "seed=2"], conf_folder())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.learning_rate=interval(0,1)", "train.learning_rate=interval(0,1): only optimising sweepers take an"),
        ("seed=tag(a,interval(0,1))", "seed=tag(a,interval(0,1)): only optimising sweepers take an interval"),
        ("model=glob(nothing*)", "model=glob(nothing*): matches no option; there are base, demo/base, demo/large, "),
        ("seed=glob(*)", "seed=glob(*): glob is for options of a group; seed is none"),
        ("seed=range(3,0)", "seed=range(3,0): has no value at all"),
        ("seed=range(0,5,0)", "seed=range(0,5,0): range() arg 3 must not be zero"),
        ("train.clip=range(0,1,0.0)", "train.clip=range(0,1,0.0): Invalid range values (start:0, stop:1, step:0)"),
        ("seed=range(0,1e9)", "seed=range(0,1e9): has more than 100000 values"),
        ("train.clip=range(0,inf)", "train.clip=range(0,inf): has more than 100000 values"),
        ("train.clip=range(nan,1)", "train.clip=range(nan,1): "),
        ("seed=range(a,b)", "seed=range(a,b): not understood as key=value (mismatch type argument start: str is "),
        ("seed=choice()", "seed=choice(): not understood as key=value (empty choice is not legal); write for example"),
        ("seed=foo(1)", "seed=foo(1): not understood as key=value (Unknown function 'foo'); write for example"),
        ("model=demo/tiny,demo/tny", "model=demo/tny: no such option (did you mean demo/tiny?); must be of base, "),
        ("hydra/launcher=local,slurm", "hydra/launcher=local,slurm: Hydra's settings are those of the whole"),
        ("~seed=0,1", "~seed=0,1: what is taken away cannot be swept; leave the values out"),
        ("hydra.sweeper.max_batch_size=2", "hydra.sweeper.max_batch_size: a sweep is launched as a whole; "),
        ("hydra.sweeper.params=x", "hydra.sweeper.params=x: must be keys with values, such as seed: 0,1"),
        ("hydra.sweeper.params={seed:[0,1]}", "hydra.sweeper.params.seed=[0, 1]: must be a text, such as 0,1"),
        ("hydra.sweeper.params={train:{epochs:2}}", "hydra.sweeper.params.train={'epochs': 2}: must be a text"),
        ("hydra.sweeper.params={sed:'0,1'}", "sed=0,1: no such key (did you mean seed?); there are "),
        ("hydra.sweeper.params={seed:null}", "seed=null: must be a valid integer"),
        ("hydra/launcher=slrum", "hydra/launcher=slrum: no such option (did you mean slurm?); must be of"),
        ("hydra/sweeper=nevergrad", "hydra/sweeper=nevergrad: no such option; must be of basic, grid, optuna"),
        ("~hydra/launcher", "hydra.launcher._target_=None: is no launcher; must be hydra/launcher of basic, lo"),
        ("hydra.launcher._target_=os.system", "hydra.launcher._target_=os.system: is no launcher; must be "),
        ("hydra.sweeper._target_=a.B", "hydra.sweeper._target_=a.B: is no sweeper; must be hydra/sweeper of ba"),
        ("hydra.launcher.per_devise=1", "hydra.launcher.per_devise=1: no such key (did you mean per_device?)"),
    ],
)  # fmt: skip
def test_a_mistaken_sweep_is_told(word: str, message: str) -> None:
    assert told("-m", *DEMO, word).startswith(message)


def test_another_sweeper_gets_what_only_it_understands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Composer, "check_plugins", lambda composer, composed: None)
    words = [*DEMO, "hydra.sweeper._target_=hydra_plugins.other.Sweeper", "seed=interval(0,1)"]
    assert asked(["-m", *words], lambda found: (found.jobs, list(found.configs()))) == ([], [])
    message = told(*words, check=read_sweep)
    assert message == "hydra.sweeper._target_=hydra_plugins.other.Sweeper: only a grid can be planned"
    assert told("-m", *words, "task=sst").startswith("task=sst: no such option (did you mean sst2?)")


def test_more_experiments_than_any_grid_has_are_refused_before_they_are_made() -> None:
    words = [f"{key}=range(1,1000)" for key in ("seed", "train.epochs", "train.batch_size", "data.max_train")]
    assert told("-m", *DEMO, *words) == f"{999**4} experiments in one sweep; at most 100000 are possible"


def test_a_sweep_of_two_folders_of_runs_leaves_none(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["-m", *DEMO, "paths.runs=a,b"])
    assert ended.value.code == 2
    assert capfd.readouterr().err == "error: paths.runs=a,b: a sweep has one folder of runs; give one\n"
    assert not list(Path.cwd().iterdir())


# --- a user's own files -----------------------------------------------------------------------------------------------


def test_a_primary_configuration_in_a_further_folder_is_found_by_every_command(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared: list[Config] = []
    monkeypatch.setattr(launch.prepare, "prepare", prepared.extend)
    words = ["--config-dir", str(own), "-cn", "grid"]
    expected = [(model, seed, 2) for model in ("a", "b") for seed in (0, 1)]
    found, _ = read_sweep(words, conf_folder())
    assert [(config.model.name, config.seed, config.train.max_steps) for config in found] == expected
    assert launch.cli.main(["prepare", *words]) == 0
    assert prepared == found
    assert launch.cli.main(["plan", *words]) == 0
    assert capsys.readouterr().out.startswith("4 experiments: 4 to run, 0 finished\n")
    assert read_one(["--config-dir", str(own), "-cn", "own.yaml"], conf_folder()).seed == 7
    message = told("--config-dir", str(own), "-cn", "gird")
    assert message.startswith("--config-name gird: no such file (did you mean grid?); in ")


def test_a_folder_of_configuration_may_take_the_place_of_the_projects_own(own: Path) -> None:
    copied = {str(file.relative_to(conf_folder())): file.read_bytes() for file in conf_folder().rglob("*.yaml")}
    mine = write(own.parent / "whole", copied | {"seed.yaml": "defaults: [config, _self_]\nseed: 12\n"})
    assert read_one(["--config-path", str(mine), "-cn", "seed", *DEMO], conf_folder()).seed == 12
    message = told("-cp", str(own), *DEMO)
    assert message.startswith(f"--config-name config: no such file; in {own} there are elsewhere, empty, grid, own;")
    assert f"{own / 'own.yaml'}, line 2: Could not load 'config'." in told("-cp", str(own), "-cn", "own")


def test_one_run_of_a_users_own_sweep_is_what_was_planned(
    own: Path, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["device=cpu", "--config-dir", str(own), "seed=3", "-cn", "grid", "-m"]
    assert launch.cli.main(["plan", "--json", *words]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert {file.parent.name for file in tmp_path.rglob("result.json")} == {cell["run_id"] for cell in cells}
    (asked_for,) = tmp_path.glob("runs/.sweeps/*/multirun.yaml")
    assert "model: glob(mine/*)" in asked_for.read_text()


FAULTS: dict[str, tuple[str | bytes, str]] = {
    "malformed": ("name: [1\nlayers: 2\n", ", line 2: while parsing a flow sequence: expected ',' or ']', but got ':'"),
    "unclosed": ("# a comment\nname: [1\n", ", line 2: while parsing a flow sequence: expected ',' or ']', but got"),
    "repeated": ("defaults: [rte]\nname: rte\nname: cola\n", ", line 3: name is there twice"),
    "inside": ("defaults: [rte, _self_]\ntext: {a: 1, a: 2}\n", ", line 2: a is there twice"),
    "list": ("- a\n- b\n", ", line 1: must be keys with values, not a list"),
    "scalar": ("just words\n", ", line 1: must be keys with values, not a single value"),
    "tabs": ("name:\n\trte\n", ", line 2: while scanning for the next token: found character '\\t' that"),
    "latin1": ("name: x\ntext: caf\xe9\n".encode("latin-1"), ", line 2: not UTF-8 (byte 0xe9)"),
    "binary": (b"\x00\x01\x02", ", line 1: special characters are not allowed"),
    "mapping": ("defaults:\n  rte: 1\n", ", line 2: defaults must be a list: - OPTION, or - GROUP: OPTION"),
    "text": ("name: x\ndefaults: rte\n", ", line 2: defaults must be a list: - OPTION, or - GROUP: OPTION"),
    "number": ("defaults: [1]\n", ", line 1: an entry of defaults must be a text; 1 is read as int, '1' is not"),
    "boolean": ("defaults:\n  - /prune@x: off\n", ", line 2: an option in defaults must be a text; off is read as bo"),
    "pairs": ("defaults:\n  - {a: b, c: d}\n", ", line 2: an entry of defaults must be one OPTION or one GROUP"),
    "itself": ("defaults: [itself]\n", ": is based on itself: task/itself → task/itself"),
    "round": ("defaults: [trip]\n", ": is based on itself: task/trip → task/round → task/trip"),
    "nowhere": ("defaults:\n  - missing\n", ", line 2: Could not load 'task/missing'."),
    "alias": ("name: *x\n", ", line 1: found undefined alias 'x'"),
    "tag": ("name: !!python/object:os.system x\n", ", line 1: could not determine a constructor for the tag"),
    "documents": ("name: a\n---\nname: b\n", ", line 2: expected a single document in the stream: but found another"),
    "package": ("# @package a b c\nname: rte\n", ", line 1: Too many components in '@package a b c'"),
    "interpolation": ("defaults: [rte, _self_]\nname: ${x\n", ", line 2: no viable alternative at input '${x'"),
    "key": ("defaults: [rte, _self_]\n1: x\n", ", line 2: a name must be a text; 1 is read as int, '1' is not"),
    "merge": ("defaults: [rte, _self_]\ntext:\n  a: 1\n", ", line 2: task.text must be a list, not keys with values"),
}  # fmt: skip
WITH_LINE_BEHIND = {
    "typo": ("defaults: [rte, _self_]\n\nnaem: x\n", "task.naem: no such key (did you mean name?)", "line 3"),
    "type": ("defaults: [rte, _self_]\nname: [1]\n", "task.name=[1]: must be a valid string", "line 2"),
    "lost": ("defaults: [rte, _self_]\nname: ${no}\n", "task.name: Interpolation key 'no' not found", "line 2"),
}  # fmt: skip


@pytest.fixture
def faulty(own: Path) -> Path:
    """A folder in which nearly every file has its own fault."""
    tasks = {name: text for name, (text, _) in FAULTS.items()} | {
        name: text for name, (text, *_) in WITH_LINE_BEHIND.items()
    }
    files = {f"task/{name}.yaml": text for name, text in tasks.items()} | {"task/trip.yaml": "defaults: [round]\n"}
    fine = {"model/good.yaml": "defaults: [demo/tiny@_here_, _self_]\nname: good\n"}
    return write(own.parent / "faulty", files | fine | {f"model/{name}.yaml": text for name, text in tasks.items()})


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_a_file_is_told_with_file_line_and_cause(faulty: Path, name: str) -> None:
    further = f"hydra.searchpath=[file://{faulty}]" if len(name) % 2 else f"--config-dir={faulty}"
    message = told(*DEMO, further, f"task={name}")
    file = "trip" if name == "round" else name
    assert message.startswith(f"{faulty}/task/{file}.yaml{FAULTS[name][1]}")


@pytest.mark.parametrize("name", WITH_LINE_BEHIND)
def test_a_wrong_value_in_a_file_is_told_with_the_file_and_the_line(faulty: Path, name: str) -> None:
    _, start, line = WITH_LINE_BEHIND[name]
    for words in (["-m", f"task={name},rte"], [f"task={name}"]):
        message = told("--config-dir", str(faulty), *DEMO, *words)
        assert message.startswith(start)
        assert message.endswith(f" ({faulty}/task/{name}.yaml, {line})")


@pytest.mark.parametrize("name", ["malformed", "latin1", "list", "itself"])
def test_a_faulty_teacher_is_told_likewise(faulty: Path, name: str) -> None:
    words = ["--config-dir", str(faulty), *DEMO, "distill=kd", f"distill.teacher={name}"]
    cause = FAULTS[name][1].partition(": task/")[0]
    assert told(*words).startswith(f"{faulty}/model/{name}.yaml{cause}")


def test_faults_in_files_that_are_not_used_harm_nothing(faulty: Path) -> None:
    words = ["--config-dir", str(faulty), *DEMO, "model=good,demo/mini", "distill=none,kd", "distill.teacher=good"]
    found, _ = read_sweep([*words, "seed=0,1"], conf_folder())
    assert [config.model.name for config in found] == ["good"] * 4 + ["mini"] * 4
    assert {config.teacher.name for config in found if config.teacher is not None} == {"good"}


EXPERIMENTS = {
    "typo": ("train:\n  epoch: 3\n", "train.epoch: no such key (did you mean epochs?); train has epochs, "),
    "value": ("seed: many\n", "seed=many: must be a valid integer ("),
    "scalar": ("train: 3\n", "train=3: must be keys with values ("),
    "list": ("train: [1]\n", "{file}, line 2: train must be keys with values, not a list"),
    "option": ("defaults: [override /prune: magnitud]\n", "{file}, line 2: Could not find 'prune/magnitud' Available"),
    "group": ("defaults: [override /modl: tiny]\n", "{file}, line 2: Could not override 'modl'. No match in "),
    "twice": ("defaults: [/model: tiny]\n", "model appears more than once in the final defaults list; a file "),
    "launcher": ("defaults: [override /hydra/launcher: slurm]\n", "{file}, line 2: Hydra does not heed it, "
                 "since config.yaml chooses hydra/launcher=local; give hydra/launcher=slurm on the command line"),
    "mode": ("hydra:\n  mode: MULTIRAN\n", "{file}, line 3: hydra.mode: ValidationError raised while compos"),
    "hydra": ("hydra:\n  sweper: 1\n", "{file}, line 3: hydra.sweper: ConfigKeyError raised while composing "),
    "searchpath": ("hydra:\n  searchpath: [x]\n", "{file}: Overriding hydra.searchpath is only supported from "),
    "params": ("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      modle: a,b\n", "modle=a,b: no such key (d"),
    "order": ("defaults:\n  - override /model: tiny\n  - grid\n", "{file}, line 3: Override 'model : tiny' is "),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_mistake_in_an_experiment_of_ones_own_is_told(own: Path, name: str) -> None:
    text, message = EXPERIMENTS[name]
    text = text.replace("defaults: [", "defaults: [{").replace("]\n", "}]\n") if "defaults: [" in text else text
    file = write(own, {f"experiment/{name}.yaml": f"# @package _global_\n{text}"}) / f"experiment/{name}.yaml"
    for flags in ((), ("-m",)):
        words = [*flags, "--config-dir", str(own), "data=demo", "task=rte", f"+experiment={name}"]
        assert told(*words).startswith(message.format(file=file))


def test_an_experiment_without_its_package_is_told(own: Path) -> None:
    file = write(own, {"experiment/bare.yaml": "seed: 3\n"}) / "experiment/bare.yaml"
    message = told("--config-dir", str(own), *DEMO, "+experiment=bare")
    assert message.startswith("experiment: no such key; ")
    assert message.endswith(f" ({file} sets it: begin that with # @package _global_ for keys of all groups)")


def test_a_file_that_hydra_would_not_read_for_another_of_its_name_is_told(own: Path) -> None:
    write(
        own,
        {
            "task/rte.yaml": "defaults: [cola, _self_]\n",
            "model/tiny.yaml": (conf_folder() / "model/tiny.yaml").read_text(),
        },
    )
    for words in (["task=rte"], ["-m", "task=rte,cola"], ["task=glob(*)", "-m"]):
        message = told("--config-dir", str(own), "data=demo", "model=demo/tiny", *words)
        assert message.startswith(f"{own}/task/rte.yaml: is hidden by ")
        assert message.endswith("; give it another name, or its folder as --config-path in place of the other")
    check_words(["--config-dir", str(own), "data=demo", "model=tiny", "task=cola"], conf_folder())  # the very same file


def test_primary_configurations_that_lack_something_are_told(own: Path) -> None:
    assert told("--config-dir", str(own), "-cn", "empty").startswith(
        "--config-name empty: has no model, task, data, train, tracking, resources, paths; "
        "begin empty.yaml with defaults: [config, _self_]"
    )
    message = told("--config-dir", str(own), "-cn", "empty", *DEMO)
    assert message.endswith(" (or begin empty.yaml with defaults: [config, _self_])")
    assert told("--config-dir", str(own), "-cn", "elsewhere") == "hydra.searchpath: /no/such/folder: no such folder"
    for places in ("[nowhere]", "[file://nowhere]", "[pkg://no.such]", "[ftp://x]", "x", "[1]"):
        assert told(*DEMO, f"hydra.searchpath={places}").startswith("hydra.searchpath")
    place = f"hydra.searchpath=[{own}]"
    assert told(*DEMO, place, place).startswith(f"{place}: write all places in one list, hydra.searchpath=[file://DIR,")


# --- what Hydra would do silently -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("hydra.job.chdir=true", "hydra.job.chdir=true: relative paths are meant from where the command is typed"),
        ("hydra.run.dir=x", "hydra.run.dir=x: cannot be changed; paths.runs=DIR says where everything goes"),
        ("hydra.sweep.dir=x", "hydra.sweep.dir=x: cannot be changed; paths.runs=DIR says where everything goes"),
        ("hydra.sweep.subdir=x", "hydra.sweep.subdir=x: cannot be changed; paths.runs=DIR says where everything goes"),
        ("hydra.output_subdir=x", "hydra.output_subdir=x: cannot be changed; paths.runs=DIR says where"),
        ("hydra.job.env_copy=[NO_SUCH]", "hydra.job.env_copy: 'NO_SUCH' is not in the environment"),
        ("+hydra.job.env_set.A=b", "hydra.job.env_set, env_copy: have no effect in a sweep; set variables"),
        ("+hydra.x=1", "hydra.x=1: no such key; hydra has callbacks, defaults, "),
        ("hydra.mode=x", "Error merging override hydra.mode=x Invalid value 'x', expected one of [RUN, MULTI"),
    ],
)
def test_settings_of_hydra_that_have_no_place_here_are_told(word: str, message: str) -> None:
    assert told("-m", *DEMO, word).startswith(message)
    if "env_set" not in word:
        assert told(*DEMO, word).startswith(message)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model=demo", "model=demo: no such option (did you mean demo/tiny?); must be of base, demo/base, "),
        ("model=demo/", "model=demo/: no such option (did you mean demo/tiny?)"),
        ("model=../../x", "model=../../x: no such option; must be of base, "),
        ("model=demo/../tiny", "model=demo/../tiny: no such option (did you mean demo/tiny?)"),
        ("task=rte.yaml", "task=rte.yaml: no such option (did you mean rte?)"),
        ("model=", "model=: no such option; must be of base, "),
        ("task=null", "task=null: no such option; must be of cola, "),
        ("model=[demo/tiny]", "model=['demo/tiny']: no such option (did you mean demo/tiny?)"),
        ("model/demo=tiny", "model/demo=tiny: no such key; options in folders are model=demo/OPTION"),
        ("+model/demo=tiny", "+model/demo=tiny: no such key; options in folders are model=demo/OPTION"),
        ("hydra=x", "hydra=x: no such key; there are data, "),
        ("+model=demo/mini", "model appears more than once in the final defaults list; a file writes over"),
        ("+seed=1", "Could not append to config. An item is already at 'seed'. Either remove + prefix: 'seed=1'"),
        ("~seed", "seed: has no value; give seed=…"),
        ("~model", "model: has no value; give model=…"),
        ("~model ~task", "model: has no value; give model=…"),
        ("~train.epochs", "train.epochs: has no value; give train.epochs=…"),
        ("~nope", "nope: no such key; there are data, "),
        ("~seed=1", "Could not delete from config. The value of 'seed' is 0 and not 1."),
        ("seed=", "seed=: must be a valid integer"),
        ("seed=null", "seed=null: must be a valid integer"),
        ("seed=1.0", "seed=1.0: must be a valid integer"),
        ("seed=1e9999", "seed=inf: must be a valid integer"),
        ("seed=-1", "seed=-1: must be greater than or equal to 0"),
        (f"seed={2**64}", f"seed={2**64}: must be at most {2**64 - 1}"),
        (f"seed={'9' * 5000}", f"seed={'9' * 395}…{'9' * 19}: not understood as key=value"),
        ("seed=\u0661", "seed=\u0661: not understood as key=value; write for example train.epochs=4"),
        ("seed=1\nforce=true", "seed=1\\nforce=true: not understood as key=value; its value has line breaks"),
        ("seed=${seed}", "seed: Recursive interpolation detected"),
        ("seed=${oc.env:NO_SUCH}", "seed: KeyError raised while resolving interpolation: \"Environment variable"),
        ("hydra.mode=${oc.env:NO_SUCH}", 'KeyError raised while resolving interpolation: "Environment variable'),
        ("seed=${nope:1}", "seed: Unsupported interpolation type nope"),
        ("seed=???", "seed: has no value; give seed=…"),
        ("force=yes", "force=yes: must be a valid boolean, true or false"),
        ("force=1", "force=1: must be a valid boolean, true or false"),
        ("device='cpu\n'", "device=cpu\\n: must be auto, cpu, cuda or cuda:N"),
        (f"device={'x' * 10000}", f"device={'x' * 393}…{'x' * 19}: must be auto, cpu, cuda or cuda:N"),
        ("train.learning_rate=nan", "train.learning_rate=nan: must be greater than 0"),
        ("train.learning_rate=inf", "train.learning_rate=inf: must be a finite number"),
        ("train.learning_rate=1e-400", "train.learning_rate=0.0: must be greater than 0"),
        ("train.learning_rate='1e-4'", "train.learning_rate=1e-4: must be a valid number"),
        ("resources.gpus=[1]", "resources.gpus=[1]: must be a valid integer"),
        ("resources.gpus={base: many}", "resources.gpus.base=many: must be a valid integer"),
        ("resources.gpus.nope=4", "resources.gpus.nope=4: no such key; resources.gpus is 1, not keys with values"),
        ("task.text=[]", "task.text=[]: must have at least 1 item after validation, not 0"),
        ("train={epoch: 2}", "train={epoch: 2}: no such key (did you mean epochs?); train has epochs, "),
        ("resources.memory_gb.nope=4", "resources.memory_gb.nope=4: no such key; resources.memory_gb has tiny, "),
        ("data.path=" + "x" * 5000, f"data.path={'x' * 390}…"),
        ("+experiment=demo +experiment=grid", "+experiment=demo +experiment=grid: one of them at a time; a"),
        ("++experiment=demo", "force-add of config groups is not supported: '++experiment=demo'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told(word: str, message: str) -> None:
    words = word.split(" ") if word.startswith(("+experiment", "~model")) else [word]
    base = [given for given in DEMO if not word.startswith("data.path") or "data" not in given]
    assert told(*base, *words).startswith(message)


def test_values_that_may_be_given_are() -> None:
    def found(*words: str) -> Config:
        return read_one([*DEMO, *words], conf_folder())

    assert found("seed=0", "seed=1").seed == found("seed=+1").seed == found("seed= 1 ").seed == 1
    assert found("seed=1_000").seed == 1000
    assert found(f"seed={2**64 - 1}").seed == 2**64 - 1
    assert found("force=TRUE").force
    assert found("task=rte", "task=cola").task.name == "cola"
    assert found("train.epochs=2", "train=quick").train == found("train=quick", "train.epochs=2").train
    assert found("train={epochs:2}").train.epochs == found("++train.epochs=2").train.epochs == 2
    assert found("paths={runs:x}").paths.runs == "x"
    assert found("'model=\"demo/mini\"'".strip("'")).model.name == "mini"


# --- quotes -----------------------------------------------------------------------------------------------------------

TEXTS = st.text(
    st.one_of(
        st.sampled_from("\\\"'${}()[],=:~!# \tab"), st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"])
    ),
    max_size=12,
)


def read_back(line: str) -> str:
    """What bash, then Hydra and OmegaConf make of a word that is pasted."""
    (word,) = shlex.split(line)
    override = OverridesParser.create().parse_override(word)
    value = OmegaConf.create({"value": override.value()}).value
    assert isinstance(value, str)
    return value


@settings(max_examples=200, deadline=None)
@given(TEXTS)
@example("\\${x")
@example('it\'s "both" \\')
@example("")
def test_a_word_that_is_written_for_a_text_is_read_as_just_that_text(text: str) -> None:
    assert read_back(quoted("data.path", text)) == text


@pytest.mark.parametrize(
    "text",
    ["è", "a(b", "a)b", "#x", "a=b", "a,b", "a'b", 'a"b', "[x", "x]", "{a", "a}", "~/x", "!x", "a;b", "`x`", "${x",
     " lead", "trail ", "日本", "true", "12", "1e3", "1_000", "[a,b]", "{a:b}", "nan", "a,b c(", "it's \"both\""],
)  # fmt: skip
def test_a_text_that_hydra_reads_otherwise_is_told_with_the_word_to_write(text: str) -> None:
    message = told("model=tiny", "task=rte", f"data.path={text}")
    assert message.startswith("data.path")
    line = message.partition(" write ")[2] or message.partition(" written ")[2]
    assert read_back(line) == text


def test_options_may_have_any_name_that_a_file_may(own: Path) -> None:
    write(own, {"model/mün chen (2).yaml": "defaults: [/model/demo/tiny@_here_, _self_]\nname: x\n"})
    word = told("--config-dir", str(own), *DEMO, "model=mün chen (2)").partition(" write ")[2]
    for words in ([*shlex.split(word), "seed=1"], ["-m", "model=glob(m*2*)", "seed=0,1,2"]):
        found = asked(["--config-dir", str(own), "data=demo", "task=rte", *words], lambda found: list(found.configs()))
        assert "x" in {config.model.name for config in found}


def test_texts_that_hydra_reads_as_they_are_need_no_quotes(own: Path) -> None:
    for text in ("a b", "a:b", "a$b", "100%", "a|b", "*", "a+b@c", "a\\b", "..", "- x"):
        assert read_one([*DEMO, f"paths.runs={text}"], conf_folder()).paths.runs == text


def test_printed_commands_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "my runs (old)"
    runs.mkdir()
    assert launch.cli.main(["cancel", str(runs)]) == 0
    line = capsys.readouterr().out.partition("later: ")[2]
    assert shlex.split(line) == ["python", "-m", "launch", "retry", str(runs)]
    local.run(Sweep(runs / ".sweeps" / "x", {}, [], []), local.LocalSettings(
        devices="cpu", per_device=None, threads=None, timeout_min=None, wait=False))  # fmt: skip
    line = capsys.readouterr().out.partition("; follow them: ")[2]
    assert shlex.split(line) == ["python", "-m", "launch", "status", str(runs), "--watch"]


def changed(launched: dict[str, Any], words: list[str]) -> Settings:
    changes = Changes(words)
    changes.require_use([launched])
    return changes.launcher(launched)


def test_settings_for_a_retry_are_read_as_those_of_a_sweep() -> None:
    before = {"name": "local", "devices": "cpu", "per_device": 2, "threads": None, "timeout_min": None, "wait": True}
    found = changed(before, ["hydra.launcher.timeout_min=1e1", "devices=[0,'1']", "hydra.launcher.wait=false"])
    assert found == local.LocalSettings(devices=[0, "1"], per_device=2, threads=None, timeout_min=10.0, wait=False)
    later = changed(before, ["hydra.launcher.objective=score_accuracy"])
    assert later.objective == "score_accuracy", "a sweep of an earlier version has no such setting"
    for word, message in {
        "x": "x: not understood; must be hydra.launcher.KEY=VALUE or resources.KEY=VALUE",
        "hydra.launcher.device=1": "hydra.launcher.device=1: no such key (did you mean devices?); hydra.launcher has ",
        "hydra.launcher.per_device=1,2": "hydra.launcher.per_device=1,2: several values have no use here; give one",
        "resources.memory=1": "resources.memory=1: no such key (did you mean resources.memory_gb?); resources has gpus",
        "resources.cpus=two": "resources.cpus=two: must be a valid integer",
        "hydra.launcher.devices=[0": "hydra.launcher.devices=[0: not understood as key=value; if the value is just",
        "hydra.launcher.per_device=0": "hydra.launcher.per_device=0: must be greater than or equal to 1",
    }.items():
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
            changed(before, [word])


# --- anything ---------------------------------------------------------------------------------------------------------

GROUPS = options(conf_folder())
KEYS = st.sampled_from(
    [*keys(), *GROUPS, "hydra/launcher", "hydra/sweeper", "hydra.launcher.wait", "hydra.mode", "hydra.sweeper.params",
     "hydra.searchpath", "model@x", "nope", ""]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([option for found in GROUPS.values() for option in found]),
    st.sampled_from(
        ["0", "1,2", "1.5", "true", "null", "", "???", "[1,2]", "{a:1}", "${seed}", "${train.epochs}", "${oc.env:X}",
         "glob(*)", "glob(demo/*)", "range(3)", "range(1,0)", "choice(a,b)", "interval(0,1)", "shuffle(1,2)",
         "sort(b,a)", "tag(t,choice(1))", "int(x)", "str(1)", "'a b'", '"', "a,b,", "1e999", "9" * 25, "file://x",
         "[file://x]", "~", "\\", "ü"]
    ),
    TEXTS,
)  # fmt: skip
PREFIXES = st.sampled_from(["", "", "", "", "+", "++", "~"])
EQUALS = st.sampled_from(["=", "=", "=", "=", "", "=="])
WORDS = st.builds(lambda *parts: "".join(parts), PREFIXES, KEYS, EQUALS, VALUES)
LETTERS = st.sampled_from(["", "=", ",", ".", "x", "'", "(", "$", " ", "\n"])
MUTATED = st.builds(
    lambda word, place, letter: word[: place % (len(word) + 1)] + letter + word[place % (len(word) + 1) + 1 :],
    WORDS, st.integers(0, 40), LETTERS,
)  # fmt: skip
FLAGS = st.sampled_from(["-m", "-m", "--cfg", "job", "--resolve", "--info", "-cn", "--config-dir", "--", "--no"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(WORDS, WORDS, WORDS, MUTATED, FLAGS), max_size=4))
def test_whatever_is_written_is_checked_or_refused_in_one_line(words: list[str]) -> None:
    try:
        count = asked([*DEMO, *words], lambda found: sum(1 for _ in found.configs()))
    except ConfigError as error:
        message = one_line(str(error))
    else:
        assert count >= 1
        message = "fine"
    assert message
    assert message.isprintable()
