"""Many configurations from few compositions, and each the very one that Hydra composes."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from compress.config import identity
from compress.config.choices import (
    Compose,
    cover,
    groups_read_in_defaults,
    section,
    swept_positions,
    writes_only_its_group,
)
from compress.config.conf_files import conf_folder
from compress.config.configurations import configurations
from compress.config.memo import Memo
from compress.config.overrides import compositions
from compress.config.schema import Config, from_hydra, teacher_experiment
from compress.config.words import jobs, parse
from compress.data import wordnet
from compress.errors import ConfigError

SIZES = ("tiny", "mini", "small", "medium", "base", "large")
TASKS = "cola,sst2,mrpc,stsb,qqp,mnli,qnli,rte"
SUBSETS = ("quantize=none,int8", "distill=none,kd", "prune=none,magnitude")
GRID = (f"model={','.join(SIZES)}", f"task={TASKS}", *SUBSETS)
DEMO = ("data=demo", "train=demo", f"model={','.join(f'demo/{size}' for size in SIZES)}")


@contextmanager
def hydra(conf: Path | None = None) -> Iterator[tuple[Compose, list[Sequence[str]]]]:
    """What composes overrides, none of them twice, and the list of those that it composed."""
    made: list[Sequence[str]] = []

    @cache
    def composed(words: tuple[str, ...]) -> dict[str, Any]:
        made.append(words)
        tree: Any = OmegaConf.to_container(compose("config", overrides=list(words)), resolve=False)
        return dict(tree)

    with initialize_config_dir(str(conf or conf_folder()), version_base="1.3"):
        yield lambda words: composed(tuple(words)), made


def jobs_of(words: Sequence[str]) -> list[tuple[str, ...]]:
    return jobs(parse(words), lambda group: [])


def by_hydra(jobs: Sequence[Sequence[str]], conf: Path | None = None) -> list[Config]:
    with initialize_config_dir(str(conf or conf_folder()), version_base="1.3"):
        return [from_hydra(compose("config", overrides=list(job))) for job in jobs]


def ids(configs: Sequence[Config], once: Memo | None = None) -> list[tuple[str, str | None]]:
    return [
        (
            identity.run_id(config, once),
            identity.run_id(teacher_experiment(config), once) if config.teacher is not None else None,
        )
        for config in configs
    ]


@pytest.fixture
def synonyms(tmp_path: Path) -> str:
    """The override for a folder that passes for WordNet where none is installed."""
    folder = tmp_path / "wordnet"
    folder.mkdir()
    for name in wordnet.FILES:
        (folder / name).touch()
    return f"distill.wordnet={folder}"


# --- equal to Hydra's -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_cell_of_the_grid_is_what_hydra_composes(synonyms: str) -> None:
    words = [*GRID, synonyms, "model=tiny,large"]  # sizes are files of values alone; each has a test of its own
    found = list(compositions(words, conf_folder(), multirun=True))
    assert len(found) == 2 * 8 * 8
    expected = by_hydra(jobs_of(words))
    assert found == expected
    assert ids(found, Memo()) == ids(expected)


@pytest.mark.parametrize(
    "words",
    [
        ("data=demo", "model=demo/tiny,demo/mini", "model.dropout=0.1,0.2", "seed=0,1"),
        ("data=demo", "prune=none,magnitude", "prune.sparsity=0.4,0.6", "prune.scope=layer", "model=demo/tiny"),
        ("train.learning_rate=1e-3,2e-3", "model=tiny,mini", "train=paper,quick", "distill.copies=0", "distill=kd"),
        ("train=paper,quick", "model=tiny,mini", "model.learning_rate=1e-3,2e-3", "device=cpu,auto"),
        (*DEMO, "distill=none,kd", "seed=3"),
        ("model=tiny,mini,small", "train.learning_rate=${model.dropout},${.warmup}", "train.clip=${data.max_length}"),
        ("model=tiny,mini,small", "model.dropout=0.1", "data.revision=${task.name}-${..seed}", "seed=0,1"),
        ("seed=range(0,3)", "task=sst2"),
        ("seed=0,1,2", "prune=none,magnitude", "prune.sparsity=0.4,0.5,0.6"),
        ("train.epochs=1,2,3", "++train={epochs:7}", "seed=0,1,2"),
        ("train.learning_rate=1e-3,2e-3,3e-3,${model.learning_rate}", "seed=7,8,9,7"),
        ("train.max_steps=null,5,6", "data.revision=a,'1','b c','null'", "train.clip=1,2.5,1e2"),
        ("model.layers=1,2,3", "train.epochs=${model.layers}", "device=cpu,auto,cuda"),
        ("train=paper,quick", "train.warmup=0,0.1,0.2", "train.max_steps=4,5,6"),
        ("task=sst2",),
    ],
)  # fmt: skip
def test_axes_that_touch_the_same_group_are_composed_together(words: tuple[str, ...]) -> None:
    found = list(compositions(words, conf_folder(), multirun=True))
    expected = by_hydra(jobs_of(words))
    assert found == expected
    assert ids(found, Memo()) == ids(expected)


OWN = {
    "task/deep.yaml": "defaults: [rte]\nvalidation: [layers]",
    "task/wide.yaml": "defaults:\n  - rte\n  - _self_\nvalidation: [heads]",
    "train/fitted.yaml": "defaults: [paper]\nmax_steps: ${model.${task.validation[0]}}\nclip: ${.weight_decay}\n"
    "epochs: ${..model.layers}\nbatch_size: ${.epochs}",
    "data/named.yaml": "defaults: [demo]\nrevision: ${task.name} ${model.name} ${data.source} ${train.epochs}",
    # these reach into the group model
    "task/sized.yaml": "defaults: [rte, /model/demo/large@_global_.model]",
    "prune/dropping.yaml": "# @package _global_\ndefaults: [/prune/magnitude@prune]\nmodel:\n  dropout: 0.5",
    "experiment/dropping.yaml": "# @package _global_\nmodel:\n  dropout: 0.0\n  layers: 3",
    "experiment/short.yaml": "# @package _global_\ndefaults: [override /train: quick]\npaths:\n  runs: ${task.name}",
}  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's configuration folder."""
    for name, text in OWN.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(f"{text}\n")
    return tmp_path / "own"


@pytest.mark.parametrize(
    "words",
    [
        ("task=deep,wide", "train=fitted"),
        ("task=deep,wide", "train=fitted,paper", "prune=none,magnitude"),
        ("task=deep,wide", "train=fitted", "train.epochs=3,4", "data=named"),
        ("task=deep,wide", "train=fitted,quick", "model=demo/tiny,demo/small,demo/large"),
        ("task=rte,sized", "prune=none,magnitude"),
        ("task=rte,sst2,sized", "train=demo,quick", "seed=0,1"),
        ("prune=none,magnitude,dropping", "train=paper,quick", "task=rte,sst2"),
        ("+experiment=short,dropping", "task=rte,sst2"),
        ("+experiment=dropping", "task=rte,sst2", "model=demo/tiny,demo/mini,demo/small,demo/medium"),
        ("task=rte,sst2", "prune=dropping", "prune.sparsity=0.4,0.5,0.6"),
        ("prune=magnitude,none", "prune.sparsity=0.4,0.6", "++prune.end=${train.warmup}", "prune.start=0"),
        ("+experiment=short", "task=rte,sst2,cola", "model=demo/tiny,demo/mini,demo/small"),
    ],
)
def test_a_users_own_configuration_is_what_hydra_composes(own: Path, words: tuple[str, ...]) -> None:
    words = (*(word for word in ("data=demo", "model=demo/tiny,demo/mini") if not _sets(words, word)), *words)
    words = (f"hydra.searchpath=[file://{own}]", *words)
    asked, folders = jobs_of(words), [conf_folder(), own]
    with hydra() as (composed, _):
        found = list(configurations(asked, composed, folders))
        expected = [from_hydra(OmegaConf.create(composed(job)), folders) for job in asked]
    assert found == expected
    assert ids(found, Memo()) == ids(expected)


def _sets(words: Sequence[str], other: str) -> bool:
    return any(word.partition("=")[0] == other.partition("=")[0] for word in words)


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
    assert found == by_hydra(jobs_of(words))
    assert {config.model.dropout for config in found if config.task.name == "sst2"} == {0.5}


def test_a_file_for_one_pair_of_options_changes_that_pair_only(tmp_path: Path) -> None:
    """Hydra's pattern `optional …: ${task}_${model}`: what no change of a single override would show."""
    conf = tmp_path / "conf"
    shutil.copytree(conf_folder(), conf)
    text = (conf / "config.yaml").read_text()
    pair = "  - optional pair@_global_: ${task}_${quantize}\n  - tracking:"
    (conf / "config.yaml").write_text(text.replace("  - tracking:", pair))
    (conf / "pair").mkdir()
    (conf / "pair" / "sst2_int8.yaml").write_text("train:\n  epochs: 9\n")
    words = ["data=demo", "model=demo/tiny,demo/mini", "task=rte,sst2", "quantize=none,int8", "prune=none,magnitude"]
    found = list(compositions(words, conf, multirun=True))
    assert found == by_hydra(jobs_of(words), conf)
    assert [config.train.epochs == 9 for config in found] == [
        config.task.name == "sst2" and "quantize" in config.methods for config in found
    ]


def test_a_teacher_is_what_hydra_makes_of_the_model_of_that_name(own: Path, synonyms: str) -> None:
    models = {
        "taught": "defaults: [mini, _self_]\nname: taught\nhidden: 64\n",
        "small": "defaults: [mini, _self_]\nname: behind the project's own\n",
        "under": "defaults: [demo/mini@_here_, _self_]\nname: under\npositions: 128\n",
        "whole": "defaults: [/model/demo/mini@_here_, _self_]\nname: whole\npositions: 128\n",
        "demo/beside": "defaults: [mini@_here_, _self_]\nname: demo-beside\n",
        "twice": "defaults: [demo/beside@_here_, _self_]\nname: twice\npositions: 128\n",
    }
    (own / "model" / "demo").mkdir(parents=True)
    for name, text in models.items():
        (own / "model" / f"{name}.yaml").write_text(text)
    words = [f"hydra.searchpath=[file://{own}]", synonyms]
    for name in models:
        (expected,) = by_hydra([[*words, f"model={name}"]])
        (found,) = compositions([*words, "distill=kd", f"distill.teacher={name}"], conf_folder(), multirun=False)
        assert found.teacher == expected.model
        assert expected.model.name == name.replace("/", "-")
    (own / "model" / "lost.yaml").write_text("defaults: [nowhere]\nname: lost\n")
    with pytest.raises(ConfigError, match=r"^model=nowhere: no such option; looked for in "):
        list(compositions([*words, "distill=kd", "distill.teacher=lost"], conf_folder(), multirun=False))


def test_jobs_with_different_keys_are_composed_one_by_one() -> None:
    tiny, mini = ["data=demo", "model=demo/tiny"], ["model=demo/mini", "data=demo"]
    jobs = [tiny, mini, [*tiny, "seed=1"], tiny]
    with hydra() as (composed, made):
        found = list(configurations(jobs, composed))
    assert found == by_hydra(jobs)
    assert sorted(map(list, made)) == sorted(jobs[:3])


def test_an_option_without_any_value_is_told(own: Path) -> None:
    (own / "task" / "empty.yaml").write_text("# nothing\n")
    words = ["task=rte,sst2,cola,empty", "data=demo", "model=demo/tiny", f"hydra.searchpath=[file://{own}]", "seed=0,1"]
    with pytest.raises(ConfigError, match=r"^task.name: has no value; give task.name=…$"):
        by_hydra(jobs_of(words))
    with pytest.raises(ConfigError, match=r"^task.name: has no value; give task.name=…$"):
        list(compositions(words, conf_folder(), multirun=True))


def test_no_job_is_no_configuration() -> None:
    assert list(configurations([], lambda words: {})) == []


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("train.learning_rate=1e-3,${model.nothing}",),
        ("train.clip=1,${nothing.clip}", "train.epochs=0"),
        ("model=demo/tiny,demo/mini,demo/small,pretrained", "train.warmup=7"),
        ("prune=magnitude", "prune.end=0.7,0.05", "task=rte,sst2"),
        ("prune=none,magnitude", "quantize=none,int8", "quantize.freeze=0.3"),
        ("data.max_length=32,80", "distill=kd"),
        ("distill=none,kd", "distill.teacher=larg"),
        ("train.epochs=1,~", "seed=0,1"),
        ("data.path=null,x", "distill=kd", "distill.teacher=nobody"),
        ("prune=none,magnitude", "prune.sparsity=0.4,0.6,7", "seed=0,1"),
    ],
)
def test_a_mistake_among_many_is_told_as_it_is_for_one_job(words: tuple[str, ...]) -> None:
    words = (*(word for word in ("data=demo", "model=demo/tiny") if not _sets(words, word)), *words)
    with pytest.raises(ConfigError) as expected:
        by_hydra(jobs_of(words))
    with pytest.raises(ConfigError) as found:
        list(compositions(words, conf_folder(), multirun=True))
    assert str(found.value) == str(expected.value)


def test_one_wrong_value_among_many_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^train.warmup=7: must be less than or equal to 1"):
        list(
            compositions(["data=demo", "model=demo/tiny,demo/mini", "train.warmup=0.1,7"], conf_folder(), multirun=True)
        )


# --- how few ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "most"),
    [
        ((*DEMO, f"task={TASKS}", *SUBSETS), 3),
        ((*DEMO, f"task={TASKS}", *SUBSETS, "prune.sparsity=0.4,0.6"), 3),
        ((*DEMO, f"task={TASKS}", *SUBSETS, "seed=0,1,2"), 4),
        ((*DEMO, "model.dropout=0.1,0.2", "seed=0,1"), 3),
        ((f"task={TASKS}", "train.epochs=1,2,3"), 4),
        ((*DEMO, "seed=range(1000)"), 3),
        ((*DEMO, "seed=range(40)", "train.epochs=range(1,40)"), 5),
    ],
)
def test_few_compositions_are_made(words: tuple[str, ...], most: int) -> None:
    with hydra() as (composed, made):
        for _ in configurations(jobs_of(words), composed):
            pass
    assert len(made) <= most


def test_a_later_override_of_the_same_key_is_noticed_though_not_every_value_is_composed() -> None:
    words = ["data=demo", "model=demo/tiny", "train.epochs=1,2,3", "seed=0,1,2", "++train={epochs:9}"]
    with hydra() as (composed, _):
        found = [(config.train.epochs, config.seed) for config in configurations(jobs_of(words), composed)]
    assert found == [(9, seed) for _ in range(3) for seed in range(3)]


def test_hundreds_of_jobs_are_planned_in_the_time_of_a_few_compositions(synonyms: str) -> None:
    words, jobs = [*GRID, synonyms], jobs_of(GRID)
    with hydra() as (composed, _):
        composed(jobs[0])  # the first takes longer
        started = time.process_time()
        for job in jobs[1:4]:
            composed(job)
        one = (time.process_time() - started) / 3
    started = time.process_time()
    ids(list(compositions(words, conf_folder(), multirun=True)), Memo())
    assert time.process_time() - started < 20 * one  # of which three are made


def test_a_cover_makes_every_choice() -> None:
    grid = [{("a", (a,)), ("b", (b,)), (None, ())} for a, b in itertools.product("123", "12345")]
    chosen = cover(grid)
    assert chosen[0] == 0
    assert len(chosen) == 5
    assert set().union(*(grid[job] for job in chosen)) == set().union(*grid)
    assert cover([]) == []


def test_what_a_swept_override_decides() -> None:
    folders = [conf_folder()]

    def found(*words: str) -> dict[str | None, list[int]]:
        return swept_positions(jobs_of(words), folders)

    assert found("task=rte", "seed=0") == {None: []}
    assert found("task=rte,sst2", "seed=0,1") == {None: [], "task": [0], "seed": [1]}
    assert found("prune=none,magnitude", "seed=0", "prune.sparsity=0.4,0.6") == {None: [], "prune": [0, 2]}
    assert found("task=rte,sst2", "+experiment=demo,paper") == {None: [1], "task": [0, 1]}
    assert found("hydra.verbose=true,false", "seed=0,1") == {None: [0], "seed": [1, 0]}


def test_options_that_keep_to_their_group(own: Path) -> None:
    folders = [conf_folder(), own]
    for group, option in (("train", "quick"), ("model", "demo/tiny"), ("task", "deep"), ("train", "fitted")):
        assert writes_only_its_group(group, option, folders), option
    for group, option in (("task", "sized"), ("prune", "dropping"), ("experiment", "short"), ("task", "nowhere")):
        assert not writes_only_its_group(group, option, folders), option
    (own / "task" / "round.yaml").write_text("defaults: [trip]\n")
    (own / "task" / "trip.yaml").write_text("defaults: [round]\n")
    (own / "task" / "broken.yaml").write_text("defaults: [rte\n")
    assert not writes_only_its_group("task", "round", folders)
    assert not writes_only_its_group("task", "broken", folders)


def test_choices_that_defaults_lists_read(own: Path) -> None:
    assert groups_read_in_defaults([conf_folder(), own]) == frozenset()
    (own / "pair.yaml").write_text("defaults: [{optional pair: '${task}_${model}'}]\n")
    assert groups_read_in_defaults([own]) == frozenset({"task", "model"})
    (own / "pair.yaml").write_text("defaults: [{optional pair: '${oc.env:PAIR}'}]\n")
    assert groups_read_in_defaults([own]) is None
    assert groups_read_in_defaults([own / "nowhere"]) is None


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("plain", set()),
        ("${model.layers}", {"model"}),
        ("${model[layers]} ${..task.name} ${seed}", {"model", "task", "seed"}),
        ("${.layers}", {"layers"}),
        ("${oc.env:HOME,'~'}/${paths.runs}", {"", "paths"}),
        ("${model.${task.name}}", None),
        ("${oc.env:A,${model.name}}", None),
        ("${oc.select:model.name}", None),
        ("${...model.name}", None),
        ("${oc.env:A,'}${x:}'}", None),
    ],
)
def test_what_interpolations_read(text: str, reads: set[str] | None) -> None:
    found = section("train", {"key": [text, 1, None]})
    assert found.reads == reads
    assert found.final == (text == "plain")
    assert not section("model", {"pretrained": "???"}).final


# --- identities -------------------------------------------------------------------------------------------------------


def test_an_identity_is_the_hash_of_the_whole_canonical_document(synonyms: str) -> None:
    once = Memo()
    for words in (["data=demo", "model=demo/tiny", *SUBSETS, "seed=0,1"], ["distill=kd", synonyms, "prune=magnitude"]):
        for config in compositions(words, conf_folder(), multirun=True):
            document = identity.scientific(config)
            canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
            expected = hashlib.sha256(canonical.encode()).hexdigest()[:12]
            assert identity.scientific(config, once) == document
            assert identity.run_id(config) == identity.run_id(config, once) == expected
            assert identity.run_folder(config, once).name == expected
            if "distill" in config.methods:
                distill = document["distill"]
                assert isinstance(distill, dict)
                assert distill["teacher"] == identity.run_id(teacher_experiment(config))
