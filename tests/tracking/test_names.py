"""What runs and groups are called in W&B: cells apart, seeds together, the study's own as they always were."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from compress import experiment
from compress.config import identity
from compress.config.run_names import ROOM, artifact_name, cell_name, factors, run_name
from compress.config.schema import Config, teacher_experiment
from compress.data.wordnet import FILES
from compress.runs.result import Head
from compress.tracking.tracking_options import LONGEST, shortened
from tests.conftest import Compose, missing

WORDNET = Path("/usr/share/wordnet")
DEMO = ("model=demo/tiny", "data=demo", "train=demo", "task=rte")
KD = (*DEMO, "distill=kd", "distill.teacher=mini")
STUDY = {
    "rte-mini-none-s0": ("model=mini", "task=rte"),
    "sst2-large-quantize-s3": ("model=large", "task=sst2", "quantize=int8", "seed=3"),
    "mnli-tiny-quantize+prune-0.6-s0": (
        "model=tiny", "task=mnli", "quantize=int8", "prune=magnitude", "prune.sparsity=0.6",
    ),
    "rte-mini-quantize+distill-s0": ("model=mini", "task=rte", "quantize=int8", "distill=kd"),
    "rte-tiny-none-demo-s0": DEMO,
    "rte-mini-distill-lr=1e-3-temperature=4-s0": (
        "model=mini", "task=rte", "distill=kd", "distill.temperature=4", "train.learning_rate=1e-3",
    ),
}  # fmt: skip
CELLS: tuple[Sequence[str], ...] = (
    ("model=tiny", "task=rte"),
    ("model=tiny", "task=rte", "train=quick"),
    ("model=tiny", "task=rte", "model.dropout=0.2"),
    ("model=tiny", "task=rte", "model.revision=0123456789012345678901234567890123456789"),
    ("model=tiny", "task=rte", "data.revision=0123456789012345678901234567890123456789"),
    ("model=tiny", "data=demo", "task=rte"),
    DEMO,
    (*DEMO, "train.learning_rate=1e-3"),
    (*DEMO, "train.learning_rate=1.0001e-3"),
    (*DEMO, "train.learning_rate=0.1"),
    (*DEMO, "train.max_steps=40"),
    (*DEMO, "train.max_steps=400"),
    (*DEMO, "train.precision=bf16"),
    (*DEMO, "data.seed=1"),
    (*DEMO, "data.max_train=100"),
    (*DEMO, "data.max_validation=100"),
    (*DEMO, "task.label=other"),
    (*DEMO, "task.more_metrics=[recall]"),
    (*DEMO, "task.class_weights=balanced"),
    (*DEMO, "task.class_weights=[1,2]"),
    (*DEMO, "task.splits={train:training}"),
    (*DEMO, "quantize=int8"),
    (*DEMO, "quantize=int8", "model.start=finished"),
    (*DEMO, "quantize=int8", "model.start=finished", "train.further_epochs=2"),
    (*DEMO, "quantize=int8", "quantize.activations=false"),
    (*DEMO, "prune=magnitude"),
    (*DEMO, "prune=magnitude", "prune.sparsity=0.123456789"),
    (*DEMO, "prune=magnitude", "prune.sparsity=0.12345678"),
    (*DEMO, "prune=magnitude", "prune.schedule=cubic"),
    (*DEMO, "prune=magnitude", "prune.scope=global"),
    (*DEMO, "prune=magnitude", "prune.spare_new=false"),
    KD,
    (*KD, "distill.teacher=small"),
    (*KD, "distill.temperature=4"),
    (*KD, "distill.alpha=0.5"),
    (*KD, "distill.copies=0"),
    (*KD, "distill.copies=2"),
    (*KD, "distill.replace=0.5"),
    (*KD, "distill.rewrite=false"),
    (*KD, "distill.steps=original"),
    (*KD, "train.learning_rate=1e-3", "train.batch_size=7", "train.weight_decay=0.02", "train.warmup=0.15",
     "train.clip=0.7", "train.epochs=9", "distill.alpha=0.123", "distill.temperature=1.234"),
    (*KD, "train.learning_rate=1e-3", "train.batch_size=7", "train.weight_decay=0.02", "train.warmup=0.15",
     "train.clip=0.7", "train.epochs=9", "distill.alpha=0.123", "distill.temperature=1.235"),
)  # fmt: skip


def head_of(compose: Compose, *words: str) -> Head:
    return described(compose(*words))


def described(config: Config) -> Head:
    head = experiment.describe(config, identity.run_id(config))
    return Head(**json.loads(json.dumps(asdict(head))))  # as it is read back


@pytest.mark.parametrize("name", STUDY)
def test_the_study_has_short_names_and_what_differs_is_added(compose: Compose, name: str) -> None:
    if "distill=kd" in STUDY[name] and not all((WORDNET / file).is_file() for file in FILES):
        missing(f"WordNet's files are not in {WORDNET}: Debian's package wordnet-base")
    head = head_of(compose, *STUDY[name])
    assert (run_name(head), f"{cell_name(head)}-s{head.seed}") == (name, name)


def test_cells_are_apart_and_seeds_together(compose: Compose) -> None:
    configs = [compose(*words) for words in CELLS]
    heads = [described(config) for config in configs]
    names = [cell_name(head) for head in heads]
    assert len({head.run_id for head in heads}) == len(CELLS)
    assert len(set(names)) == len(CELLS), [name for name in names if names.count(name) > 1]
    assert len({artifact_name(head) for head in heads}) == len(CELLS)
    for config, head, name in zip(configs, heads, names, strict=True):
        another = described(replace(config, seed=7))
        assert another.run_id != head.run_id
        assert (cell_name(another), run_name(another)) == (name, f"{name}-s7")
        assert len(name) <= LONGEST - ROOM
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", artifact_name(head))
    elsewhere = compose(*KD, "tracking.group=g", "resources=cpu", "train.checkpoint_seconds=1")
    assert cell_name(described(elsewhere)) in names, "what decides no result is in no name"


def test_files_of_ones_own_count_by_what_is_in_them(compose: Compose, glue: Path, weights: Path) -> None:
    words = ("model=pretrained", f"model.pretrained={weights / 'paraphrase-MiniLM-L3-v2'}", "task=mrpc")
    name = cell_name(head_of(compose, *words, f"data.path={glue}"))
    assert re.fullmatch(r"mrpc-paraphrase-MiniLM-L3-v2-none-model=[0-9a-f]{8}-path=[0-9a-f]{8}", name)
    assert cell_name(head_of(compose, *words)) == name.replace(re.findall(r"-path=\w+", name)[0], "")


def test_the_dashboard_can_filter_by_every_setting(compose: Compose) -> None:
    found = factors(head_of(compose, *KD, "quantize=int8", "distill.temperature=4", "train.learning_rate=1e-3"))
    assert found | {"temperature": 4, "learning_rate": 1e-3, "teacher": "mini", "copies": 1, "freeze": 0.8} == found
    assert found | {"epochs": 3, "max_length": 32, "data": "demo", "seed": 0, "sparsity": 0.0, "prune": "none"} == found
    assert found["cell"] == "rte-tiny-quantize+distill-demo-lr=1e-3-teacher=mini-temperature=4"
    assert "scope" not in found, "the default of what is off is no factor"
    assert not [key for key in found if "." in key]


def test_what_a_sweep_varies_of_a_model_is_a_factor_too(compose: Compose) -> None:
    usual = factors(head_of(compose, *KD))
    assert "dropout" not in usual
    assert factors(head_of(compose, *KD, "model.dropout=0.2")) == usual | {
        "dropout": 0.2, "run_id": identity.run_id(compose(*KD, "model.dropout=0.2")),
        "cell": "rte-tiny-distill-demo-dropout=0.2-teacher=mini",
    }  # fmt: skip


def test_a_teacher_is_called_as_its_student_refers_to_it(compose: Compose) -> None:
    config = compose(*KD, "train.learning_rate=1e-3", "data.max_train=100")
    taught = teacher_experiment(config)
    head = experiment.describe(taught, identity.run_id(taught))
    assert run_name(head) == "rte-mini-none-demo-max_train=100-s0"


def test_a_name_that_is_too_long_is_cut_and_told_apart() -> None:
    assert shortened("x" * 128) == "x" * 128
    cut = {shortened("x" * 128 + end) for end in "abc"}
    assert len(cut) == 3
    assert {len(name) for name in cut} == {128}


def test_a_model_that_takes_fewer_tokens_than_usual_has_a_name(compose: Compose) -> None:
    words = ("model=tiny", "model.pretrained=null", "model.positions=64", "data.max_length=64", "task=rte")
    assert re.fullmatch(
        r"rte-tiny-none-max_length=64-(model\.revision=null-)?positions=64-pretrained=null.*",
        cell_name(head_of(compose, *words)),
    )
