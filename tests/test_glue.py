"""Real GLUE and real checkpoints, for a few hundred steps: better than guessing by a clear margin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from compress import experiment
from compress.config import identity
from tests.conftest import Command, Compose

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
pytestmark = pytest.mark.glue


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_runs_from_a_local_folder(compose: Compose, glue: Path, weights: Path, task: str) -> None:
    config = compose(
        "model=tiny", f"model.pretrained={weights / 'standin-tiny'}", f"task={task}", f"data.path={glue}",
        "train.max_steps=5", "data.max_train=160", "device=cpu",
    )  # fmt: skip
    document = experiment.run(config).document()
    assert document["timing"]["steps"] == 5
    assert set(config.task.metrics + config.task.accuracy_metrics) == {
        name.split("_m")[0] if task == "mnli" else name for name in document["metrics"]
    }
    assert ("validation_mismatched is not in the data" in " ".join(document["notes"])) == (task == "mnli")
    assert (identity.run_folder(config) / "artifact" / "model.safetensors").is_file()


@pytest.mark.parametrize("task", TASKS)
def test_every_task_runs_with_all_three_methods(compose: Compose, glue: Path, weights: Path, task: str) -> None:
    """WordNet's synonyms, a teacher of the same shape, float teacher and int8 student scored from their files."""
    config = compose(
        "model=tiny", f"model.pretrained={weights / 'standin-tiny'}", f"task={task}", f"data.path={glue}",
        "quantize=int8", "distill=kd", "distill.weak_teacher=true",
        f"distill.teacher={weights / 'standin-tiny'}", "prune=magnitude",
        "train.max_steps=6", "data.max_train=160", "data.max_validation=1000", "device=cpu",
    )  # fmt: skip
    document = experiment.run(config).document()
    assert document["methods"] == ["quantize", "distill", "prune"]
    assert document["teacher_run_id"]
    assert document["sparsity"] == pytest.approx(0.4, abs=1e-4)
    assert document["size"]["nominal_bytes"] == document["size"]["nonzero"]
    dataset, _ = experiment.load_data(config)
    assert 160 < len(dataset.train_rows) <= 320
    assert document["score_glue"] is not None or task == "stsb"


# What 400 steps of TINY's stand-in must reach, in points of score_accuracy, and what the majority class has
MARGINS = {"sst2": (50.9, 70.0), "qqp": (64.1, 67.5), "qnli": (50.5, 55.0)}


@pytest.mark.parametrize("task", MARGINS)
def test_a_few_hundred_steps_beat_the_majority_class(compose: Compose, glue: Path, weights: Path, task: str) -> None:
    majority, bar = MARGINS[task]
    config = compose(
        "model=tiny", f"model.pretrained={weights / 'standin-tiny'}", f"task={task}", f"data.path={glue}",
        "train.max_steps=400", "data.max_length=64", "device=cpu",
    )  # fmt: skip
    document = experiment.run(config).document()
    labels = experiment.load_data(config)[0].splits["validation"].labels
    assert 100 * max(labels.mean(), 1 - labels.mean()) == pytest.approx(majority, abs=0.1)
    assert document["score_accuracy"] > bar


def test_the_readmes_command_fine_tunes_mrpc(command: Command, glue: Path, weights: Path, tmp_path: Path) -> None:
    done = command(
        "model=pretrained", f"model.pretrained={weights / 'paraphrase-MiniLM-L3-v2'}", "task=mrpc", f"data.path={glue}",
        "train.max_steps=3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "runs" / "mrpc" / "paraphrase-MiniLM-L3-v2" / "none").glob("*/result.json")
    assert set(json.loads(file.read_text())["metrics"]) == {"f1", "accuracy"}
