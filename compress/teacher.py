"""What the teacher, an ordinary experiment, answers to the training set: asked once, read by all its students."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.artifact import store
from compress.config import identity
from compress.config.schema import teacher_experiment
from compress.data import augmentation, corpus, tokenization
from compress.errors import ConfigError
from compress.methods.base import LearnsFromTeacher
from compress.methods.registry import group_of, the_one
from compress.storage.cache import Damaged, Entry
from compress.task.metrics import METRICS, named
from compress.training.evaluate import evaluate, predict

if TYPE_CHECKING:
    import numpy as np
    import torch

    from compress.config.schema import Config
    from compress.data.tokenization import Dataset
    from compress.runs.result import Result
    from compress.storage.cache import Arrays
    from compress.task.config import TaskConfig
    from compress.training.evaluate import Scores

FORMAT = 2  # of the cached logits
LOGITS = "logits"  # their name there
TOLERANCE = 1e-2  # between a metric now and in the teacher's result; another device may round otherwise


class TeacherError(Exception):
    """A teacher that cannot be right."""


def logits(
    config: Config, result: Result, device: torch.device, progress: Callable[[int, int], None]
) -> np.ndarray[Any, Any]:
    """What the teacher of this result answers to the student's training rows, from the cache; made first if not there.

    Many students may ask at once: one lets the teacher answer, the others wait and read. The array is memory-mapped,
    float32 [rows, outputs], in the order of the student's `Dataset.train_rows`. `progress` receives the number of rows
    answered, and of all.
    """
    from transformers import AutoTokenizer

    folder, entry = _entry(config, result)

    def make() -> Arrays:
        store.check(folder, result.artifact_sha256)
        teacher, tokenizer = store.load(folder).to(device), AutoTokenizer.from_pretrained(folder)
        cache = Path(config.paths.cache).expanduser()
        asked = augmentation.of(config.methods, config.data, config.seed, config.paths.cache)
        dataset = tokenization.prepare(config.data, config.task, tokenizer, cache, asked, seconds=config.hub_seconds)
        check_labels(teacher.config.id2label, config.task, folder)
        check_scores(evaluate(teacher, dataset, config.task, tokenizer.pad_token_id), result.metrics, folder)
        train = dataset.splits["train"]
        answers = predict(teacher, train, tokenizer.pad_token_id, dataset.train_rows, progress)
        if _entry(config, result)[1].of != entry.of:
            raise TeacherError(f"the teacher in {folder}, or its texts, changed while it answered; run again")
        return {LOGITS: answers}

    return entry.get(lambda arrays: _logits(arrays, config.task), make)


def check_labels(named: dict[int, str], task: TaskConfig, folder: Path) -> None:
    """Refuse a teacher whose outputs are not the task's labels in their order."""
    ours = task.labels or ["score"]
    theirs = [named[index] for index in sorted(named)]
    if theirs != ours:
        raise TeacherError(
            f"the teacher in {folder} answers {theirs}, {task.name} has {ours}; train it anew: force=true"
        )


def check_scores(scores: Scores, stored: dict[str, float | None], folder: Path) -> None:
    """Refuse a teacher whose file does not score what its result says."""
    for name, value in scores.metrics.items():
        before = stored.get(name)
        same = value is before if value is None or before is None else math.isclose(value, before, abs_tol=TOLERANCE)
        if not same:
            raise TeacherError(
                f"the teacher in {folder} has {name} {value}, but its result says {before}; train it anew: force=true"
            )


def check_learned(
    result: Result, dataset: Dataset, task: TaskConfig, group: str, learns: LearnsFromTeacher
) -> list[str]:
    """Refuse a teacher that by no metric of its score is better on the dev set than the best constant answer.

    So one is found that answers the most frequent class always, has learned nothing or has its labels in another order.
    One that is better by Matthews correlation only, as rare classes make it, is taken. What `weak_teacher` allows is
    noted for the student's result.
    """
    split = task.validation[0]
    shown = []
    for metric in task.metrics:
        name = named(metric, split, task.validation)
        value, constant = result.metrics.get(name), _best_constant(metric, dataset.splits[split].labels, task)
        if value is not None and value > constant:
            return []
        shown.append(f"{name} {'undefined' if value is None else f'{value:.3f}'} (constant {constant:.3f})")
    told = (
        f"the teacher {result.model} (run {result.run_id}) is no better on the dev set than the best constant answer, "
        f"by {', '.join(shown)}"
    )
    if learns.weak_teacher:
        return [f"{told}; allowed by {group}.weak_teacher"]
    raise TeacherError(
        f"{told}: its training failed or was too short, or its labels are in another order; train it better "
        f"(model.learning_rate, train.epochs), choose another ({group}.teacher), or accept it with "
        f"{group}.weak_teacher=true"
    )


def _best_constant(name: str, labels: np.ndarray[Any, Any], task: TaskConfig) -> float:
    """A metric of the best answer that is the same for every row; 0 where that is undefined."""
    import numpy as np

    metric = METRICS[name]
    if task.regression:
        return 0.0
    if metric.takes_logits:
        return metric.compute(np.zeros((len(labels), task.outputs), np.float32), labels) or 0.0
    answers = (metric.compute(np.full(len(labels), answer), labels) for answer in range(task.outputs))
    return max(value or 0.0 for value in answers)


def check_cache(config: Config, result: Result) -> None:
    """Refuse a cache that neither holds the teacher's answers nor can take them up, before anything is trained."""
    _, entry = _entry(config, result)
    if not os.path.lexists(entry.folder):
        entry.place.require_writable(entry.folder.parent)


def _entry(config: Config, result: Result) -> tuple[Path, Entry]:
    """The teacher's artifact, and where its answers are kept."""
    folder = identity.run_folder(teacher_experiment(config)) / "artifact"
    if not folder.is_dir():
        learns = the_one(config.methods, LearnsFromTeacher)
        key = "" if learns is None else f"{group_of(config.methods, learns)}.teacher={learns.teacher}"
        raise ConfigError(
            f"{key}: {folder.parent} has its result but no artifact any more; "
            "remove that folder, and it is trained anew"
        )
    asked = augmentation.of(config.methods, config.data, config.seed, config.paths.cache)
    described = {
        "format": FORMAT,
        "teacher": result.run_id,
        "artifact": store.digest(folder),
        "data": corpus.contents(config.data, config.task, config.hub_seconds),
        "augmentation": asked and asked.identity(),
    }
    return folder, Entry(Path(config.paths.cache).expanduser(), "logits", config.task.name, described)


def _logits(arrays: Arrays, task: TaskConfig) -> np.ndarray[Any, Any]:
    """The logits of a cache entry, unless they are not there, or not of the task's labels."""
    answers = arrays.get(LOGITS)
    if answers is None or answers.dtype.name != "float32" or answers.ndim != 2 or answers.shape[1] != task.outputs:
        raise Damaged(f"they are not {task.outputs} numbers for each row")
    return answers
