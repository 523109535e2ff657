"""An experiment is the hash of all that decides its result, and of nothing else."""

from __future__ import annotations

import json
import random
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from compress.config import identity
from compress.config.schema import groups, keys_of
from compress.methods.registry import registry
from tests.conftest import ROOT, Compose

IDS = ROOT / "tests/records/run_ids.json"

BASE = ("model=demo/tiny", "data=demo", "task=rte")

SCIENTIFIC = [
    "model=demo/mini", "task=cola", "train=quick", "model.name=other", "model.layers=3", "model.hidden=48",
    "model.heads=1", "model.intermediate=99", "model.positions=80", "model.dropout=0.3", "model.initializer_range=0.03",
    "model.learning_rate=1e-2", "task.text=[sentence2,sentence1]", "task.labels=[no,yes]", "task.metrics=[f1]",
    "task.accuracy_metrics=[f1]", "task.validation=[train]", "task.label=other",
    "task.splits={train:training}", "task.class_weights=balanced", "task.more_metrics=[recall]",
    "data.max_validation=9", "data.max_train=9", "data.max_length=16", "data.seed=3",
    "train.epochs=9", "train.max_steps=9", "train.batch_size=9", "train.learning_rate=9e-9", "train.weight_decay=0.9",
    "train.warmup=0.9", "train.clip=9.5", "train.precision=bf16", "train.compile=true", "train.select=best", "seed=9",
]  # fmt: skip
METHODS = {  # what decides the result of a method that is on
    "prune=magnitude": [
        "prune.sparsity=0.6", "prune.schedule=cubic", "prune.scope=global", "prune.start=0.2", "prune.end=0.8",
        "prune.updates=9", "prune.spare_new=false",
    ],
    "factorize=svd": ["factorize.rank=0.3"],
    "quantize=int8": [
        "quantize.activations=false", "quantize.embeddings=false", "quantize.momentum=0.1", "quantize.freeze=0.9",
    ],
    "quantize=int4": ["quantize.group_size=32", "quantize.activations=false", "quantize.freeze=0.9"],
    "quantize=post": ["quantize.calibration=64", "quantize.percentile=99.9", "quantize.embeddings=false"],
    "distill=kd": [
        "distill.teacher=mini", "distill.temperature=9", "distill.alpha=0.1", "distill.copies=3", "distill.replace=0.7",
    ],
}  # fmt: skip
VALUES = [change for change in SCIENTIFIC if "." in change or change.startswith("seed")]
INFRASTRUCTURE = [
    "train.checkpoint_seconds=9",
    "device=cpu",
    "device=cuda:3",
    "force=true",
    "tracking=none",
    "tracking.project=other",
    "tracking.entity=team",
    "tracking.group=sweep",
    "tracking.mode=offline",
    "tracking.log_artifacts=all",
    "tracking.seconds=9",
    "resources=cpu",
    "resources.timeout_min=9",
    "paths.runs=elsewhere",
    "paths.cache=elsewhere",
    "hub_seconds=9",
    "distill.weak_teacher=true",
]


def test_an_id_is_12_hex_digits_and_names_the_folder(compose: Compose, tmp_path: Path) -> None:
    config = compose(*BASE)
    assert re.fullmatch(r"[0-9a-f]{12}", identity.run_id(config))
    assert identity.run_folder(config) == tmp_path / "runs" / "rte" / "tiny" / "none" / identity.run_id(config)


@pytest.mark.parametrize("change", SCIENTIFIC)
def test_every_scientific_value_makes_another_experiment(compose: Compose, change: str) -> None:
    assert identity.run_id(compose(*BASE, change)) != identity.run_id(compose(*BASE))


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_values_count_if_it_is_on(compose: Compose, method: str) -> None:
    on = {identity.run_id(compose(*BASE, method, change)) for change in [method, *METHODS[method]]}
    off = {identity.run_id(compose(*BASE, change)) for change in ["seed=0", *METHODS[method]]}
    assert (len(on), len(off), len(on & off)) == (len(METHODS[method]) + 1, 1, 0)


def test_two_scientific_changes_never_share_an_id(compose: Compose) -> None:
    assert len({identity.run_id(compose(*BASE, change)) for change in SCIENTIFIC}) == len(SCIENTIFIC)


def test_no_scientific_key_is_forgotten_above() -> None:
    without_effect_here = {
        # tested below, and in test_encoders.py
        "model.pretrained", "model.revision", "model.tokenizer", "model.type", "model.first_layers",
        "model.start", "train.further_epochs", "train.further_rate",  # in test_start.py
        "data.source", "data.hub", "data.revision", "data.path",
        "task.hub", "task.subset", "task.revision", "task.held_out",  # in test_own_data.py
        "distill.wordnet", "distill.weak_teacher", "distill.rewrite", "distill.steps",  # in test_distill.py
        "train.tuned",  # in test_tune.py
        "train.checkpoint_seconds",
        "task.name", *(f"{group}.name" for group in registry()),
    }  # fmt: skip
    tested = {change.split("=")[0] for change in sum(METHODS.values(), SCIENTIFIC)}
    scientific = (group for group in groups() if group not in ("paths", "tracking", "resources"))
    assert {f"{group}.{key}" for group in scientific for key in keys_of(group)} - tested == without_effect_here


@pytest.mark.parametrize("change", INFRASTRUCTURE)
def test_where_and_whether_it_runs_makes_no_other_experiment(compose: Compose, change: str) -> None:
    assert identity.run_id(compose(*BASE, change)) == identity.run_id(compose(*BASE))


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_overrides_and_written_out_defaults_do_not_matter(compose: Compose, seed: int) -> None:
    rng = random.Random(seed)
    flat = {change.split("=")[0]: change for change in rng.sample(VALUES, 6)}
    plain = compose(*BASE, *flat.values())
    written = [
        f"{group}.{key}={value}"
        for group in ("train", "data")
        for key, value in asdict(plain)[group].items()
        if value is not None and f"{group}.{key}" not in flat
    ]
    shuffled = [*BASE, *flat.values(), *written]
    rng.shuffle(shuffled)
    assert identity.run_id(compose(*shuffled)) == identity.run_id(plain)


def test_the_way_a_number_is_written_does_not_matter(compose: Compose) -> None:
    written = ["train.learning_rate=1e-4", "train.learning_rate=0.0001", "model.learning_rate=1.0e-4"]
    assert len({identity.run_id(compose(*BASE, word)) for word in written}) == 1
    assert identity.run_id(compose(*BASE, "train.clip=2")) == identity.run_id(compose(*BASE, "train.clip=2.0"))


def test_values_that_nothing_reads_make_no_other_experiment(compose: Compose) -> None:
    plain = identity.run_id(compose(*BASE))
    assert identity.run_id(compose(*BASE, "model.tokenizer=anything")) == plain  # demo brings its vocabulary
    both = [compose("task=rte", "data=glue", f"data.seed={seed}") for seed in (0, 1)]
    assert identity.run_id(both[0]) == identity.run_id(both[1])  # no rows are drawn
    for drawing in ("data.max_train=9", "data.max_validation=9"):
        drawn = [compose("task=rte", drawing, f"data.seed={seed}") for seed in (0, 1)]
        assert identity.run_id(drawn[0]) != identity.run_id(drawn[1])


def test_hub_names_and_revisions_count(compose: Compose) -> None:
    words = ["task=rte", "task=sst2", "data.hub=other/glue", "data.revision=main", "model.pretrained=some/other"]
    words += ["model.revision=v2", "model=base", "model.pretrained=null"]
    assert len({identity.run_id(compose("task=rte", word)) for word in words}) == len(words)


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def test_local_files_count_by_their_contents_not_by_their_place(
    compose: Compose, tmp_path: Path, glue, weights
) -> None:
    def run_id(data: Path, checkpoint: Path) -> str:
        return identity.run_id(compose("task=rte", f"data.path={data}", f"model.pretrained={checkpoint}"))

    data, checkpoint = glue, weights / "standin-tiny"
    moved = copied(glue / "rte", tmp_path / "data" / "rte").parent, copied(checkpoint, tmp_path / "checkpoint")
    assert run_id(*moved) == run_id(data, checkpoint)
    vocabulary = moved[1] / "vocab.txt"
    vocabulary.chmod(0o644)
    vocabulary.write_text(vocabulary.read_text().replace("film", "movi"))
    assert run_id(data, moved[1]) != run_id(data, checkpoint)
    (moved[0] / "rte" / "validation.parquet").unlink()
    shutil.copy(glue / "mrpc" / "validation.parquet", moved[0] / "rte" / "validation.parquet")
    assert run_id(moved[0], checkpoint) != run_id(data, checkpoint)


RECORDED = {
    "the smallest": ("model=tiny", "task=rte"),
    "the largest": ("model=large", "task=mnli", "seed=2"),
    "quantized": ("model=mini", "task=cola", "quantize=int8"),
    "pruned": ("model=small", "task=qqp", "prune=magnitude", "prune.sparsity=0.6"),
    "both": ("model=medium", "task=stsb", "quantize=int8", "prune=magnitude"),
    "distilled": ("model=base", "task=sst2", "distill=kd", "distill.copies=0"),
    "all three": ("model=tiny", "task=qnli", "quantize=int8", "distill=kd", "distill.copies=0", "prune=magnitude"),
    "on generated data": ("model=demo/mini", "data=demo", "train=demo", "task=mrpc", "quantize=int8", "distill=kd"),
    "of the hub": ("model=pretrained", "model.pretrained=some/checkpoint", "task=rte", "data.max_train=100"),
}


def test_no_identity_ever_changes(compose: Compose) -> None:
    """Results are filed under them, for years: what is added later may not count where it is off."""
    ids = {name: identity.run_id(compose(*words)) for name, words in RECORDED.items()}
    assert ids == json.loads(IDS.read_text()), (
        f"{IDS.relative_to(ROOT)} has other run ids: finished experiments would not be found again. If the schema must "
        f"change, raise result.SCHEMA, and write the new record:\n{json.dumps(ids, indent=1)}"
    )
