"""Results as grids of experiments leave them, without running any: documents, run folders."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

PARAMETERS = {
    "tiny": 4_385_920, "mini": 11_170_560, "small": 28_763_648, "medium": 41_373_184, "base": 109_482_240,
    "large": 335_141_888, "huge": 1_200_000_000, "nano": 900_000,
}  # fmt: skip
EMBEDDINGS = 0.25  # of a model's parameters, never pruned
METHODS = ("quantize", "distill", "prune")
OPTIONS: dict[str, dict[str, Any]] = {
    "quantize": {"name": "int8", "activations": True, "momentum": 0.05},
    "distill": {"name": "kd", "temperature": 2.0, "alpha": 0.9, "teacher": "0" * 12,
                "augmentation": {"copies": 1, "replace": 0.3, "seed": 0, "synonyms": "demo 2", "version": 1}},
    "prune": {"name": "magnitude", "schedule": "linear", "start": 0.1},
}  # fmt: skip


def document(
    task: str,
    model: str,
    methods: str,
    score: float | None,
    *,
    seed: int = 0,
    sparsity: float = 0.4,
    bytes: int | None = None,
    accuracy: float | None = None,
    changes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A result.json.

    Args:
        sparsity: of the pruned, if `methods` has prune.
        bytes: nominal ones, if not what the paper's arithmetic makes of the model.
        changes: dotted keys of the identity and their values: `train.epochs`, `prune.start`.
    """
    active = [method for method in METHODS if method in methods.split("+")]
    identity: dict[str, Any] = {
        "model": {"name": model, "layers": 2},
        "task": {"name": task},
        "data": {"source": "demo", "path": None, "max_length": 32, "seed": 0},
        "train": {"epochs": 3, "batch_size": 16, "learning_rate": 0.001},
        **{method: copy.deepcopy(OPTIONS[method]) if method in active else {"name": "none"} for method in METHODS},
        "seed": seed,
        "schema": 1,
    }
    if "prune" in active:
        identity["prune"]["sparsity"] = sparsity
    if "distill" in active:
        identity["distill"]["teacher"] = digest([task, seed])
        identity["distill"]["augmentation"]["seed"] = seed
    for key, value in (changes or {}).items():
        group, name = key.split(".")
        if identity[group] != {"name": "none"}:
            identity[group][name] = value
    parameters = PARAMETERS[model]
    nonzero = round(parameters * (1 - (1 - EMBEDDINGS) * (sparsity if "prune" in active else 0)))
    nominal = bytes or nonzero * (1 if "quantize" in active else 4)
    mask = round(parameters * (1 - EMBEDDINGS) / 8) if "prune" in active else 0
    return {
        "schema": 1,
        "run_id": digest(identity),
        "model": model,
        "task": task,
        "methods": active,
        "seed": seed,
        "metrics": {"accuracy": None if score is None else score / 100},
        "score_glue": score,
        "score_accuracy": score if accuracy is None else accuracy,
        "timing": {"train_seconds": 1.0, "steps": 180, "steps_per_second": 180.0, "wall_seconds": 1.5},
        "config": {"distill": {"teacher": "large"}},
        "identity": identity,
        "teacher_run_id": identity["distill"].get("teacher"),
        "size": {"parameters": parameters, "nonzero": nonzero, "nominal_bytes": nominal,
                 "artifact_bytes": nominal + mask + 4096, "by_part": {}},
        "environment": {"device": "cpu"},
    }  # fmt: skip


def digest(what: Any) -> str:
    """Twelve hex digits."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def run_folder(runs: Path, document: dict[str, Any]) -> Path:
    """Where a run of these results lies."""
    methods = "+".join(document["methods"]) or "none"
    return runs / document["task"] / document["model"] / methods / document["run_id"]


def write_run(runs: Path, document: dict[str, Any]) -> Path:
    """A finished run's folder."""
    folder = run_folder(runs, document)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(document))
    return folder


def write_failure(runs: Path, document: dict[str, Any], message: str, type: str = "RuntimeError") -> Path:
    """The folder that a run leaves which fails."""
    folder = run_folder(runs, document)
    folder.mkdir(parents=True, exist_ok=True)
    error = {"run_id": document["run_id"], "type": type, "message": message, "traceback": "…"}
    (folder / "error.json").write_text(json.dumps(error))
    (folder / "config.yaml").write_text(f"data:\n  seed: 9\nseed: {document['seed']}\ndevice: auto\n")
    return folder
