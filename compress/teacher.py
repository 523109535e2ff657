"""What the teacher, an ordinary experiment, answers to the training set: asked once, read by all its students."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress import artifact, augment, data, hub, identity, tokenization
from compress.config import teacher_experiment
from compress.evaluate import evaluate, predict

if TYPE_CHECKING:
    import numpy as np
    import torch

    from compress.config import Config
    from compress.evaluate import Scores
    from compress.task import TaskConfig
    from compress.tokenization import Dataset

FORMAT = 1  # of the cached logits
TOLERANCE = 1e-2  # between a metric now and in the teacher's result; another device may round otherwise


class TeacherError(Exception):
    """A teacher that cannot be right."""


def logits(
    config: Config,
    document: dict[str, Any],
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray[Any, Any]:
    """What the teacher answers to the student's training rows, from the cache; made first where it is not there.

    Many students may ask at once: one lets the teacher answer, the others wait and read. The array is memory-mapped.

    Args:
        config: the student's experiment.
        document: the teacher's result.
        progress: receives the number of rows answered, and of all.

    Returns:
        float32 [rows, outputs], in the order of the student's `Dataset.train_rows`.

    Raises:
        TeacherError: the teacher's labels or score cannot be right.
    """
    from filelock import FileLock

    folder = identity.run_folder(teacher_experiment(config)) / "artifact"
    augmentation = augment.of(config)
    described = {
        "format": FORMAT,
        "teacher": document["run_id"],
        "weights": hub.digest_files([folder / artifact.WEIGHTS]),
        "data": data.identity(config.data, config.task),
        "augmentation": augmentation and augmentation.identity(),
    }
    fingerprint = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    cached = Path(config.paths.cache).expanduser() / "logits" / f"{config.task.name}-{fingerprint}"
    if (found := _read(cached, described)) is None:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(cached.with_suffix(".lock")):
            if (found := _read(cached, described)) is None:
                _write(cached, described, _answers(config, document, folder, device, progress))
                found = _read(cached, described)
    assert found is not None, f"the cached logits {cached} cannot be read right after they were written"
    return found


def _answers(
    config: Config, document: dict[str, Any], folder: Path, device: torch.device, progress: Callable[[int, int], None]
) -> np.ndarray[Any, Any]:
    from transformers import AutoTokenizer

    teacher, tokenizer = artifact.load(folder).to(device), AutoTokenizer.from_pretrained(folder)
    cache = Path(config.paths.cache).expanduser()
    dataset = tokenization.prepare(config.data, config.task, tokenizer, cache, augment.of(config))
    check_labels(teacher.config.id2label, config.task, folder)
    scores = evaluate(teacher, dataset, config.task, tokenizer.pad_token_id)
    check_scores(scores, document["metrics"], folder)
    check_learned(scores, dataset, config.task, folder)
    return predict(teacher, dataset.splits["train"], tokenizer.pad_token_id, dataset.train_rows, progress)


# --- what cannot be right ---------------------------------------------------------------------------------------------


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


def check_learned(scores: Scores, dataset: Dataset, task: TaskConfig, folder: Path) -> None:
    """Refuse a teacher that is clearly worse on the dev set than any constant answer, even that of the rarest class.

    Clearly: by more than three standard errors; so labels in a wrong order are noticed, and a teacher that has learned
    nothing yet passes.
    """
    import numpy as np

    labels = dataset.splits[task.validation[0]].labels
    suffix = "" if len(task.validation) == 1 else task.validation[0].removeprefix("validation")
    name = "pearson" if task.regression else "accuracy"
    value = scores.metrics.get(name + suffix)
    constant = 0.0 if task.regression else float(np.bincount(labels, minlength=task.outputs).min() / len(labels))
    error = 1.0 if task.regression else math.sqrt(constant * (1 - constant))
    if value is not None and value < constant - 3 * error / math.sqrt(len(labels)):
        raise TeacherError(
            f"the teacher in {folder} has {name} {value:.3f} on the dev set, less than the {constant:.3f} of the "
            "worst constant answer: its labels are in another order, or its training failed (lower its learning rate?)"
        )


# --- the cache --------------------------------------------------------------------------------------------------------


def _read(folder: Path, described: dict[str, Any]) -> np.ndarray[Any, Any] | None:
    """The cached logits; None where there are none, or not these, or not all of them."""
    import numpy as np

    try:
        about = json.loads((folder / "about.json").read_text())
        file = folder / "logits.npy"
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if about != described | {"sha256": digest}:
            return None
        answers: np.ndarray[Any, Any] = np.load(file, mmap_mode="r")
        return answers
    except (FileNotFoundError, ValueError):
        return None


def _write(folder: Path, described: dict[str, Any], answers: np.ndarray[Any, Any]) -> None:
    """Write them to a new folder and put it in place whole."""
    import numpy as np

    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    np.save(scratch / "logits.npy", answers)
    digest = hashlib.sha256((scratch / "logits.npy").read_bytes()).hexdigest()
    (scratch / "about.json").write_text(json.dumps(described | {"sha256": digest}))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(scratch, folder)
