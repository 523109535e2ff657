"""Results as grids of experiments leave them, without running any: documents, run folders."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.subsets import collected
from compress.runs.result import Compression

PARAMETERS = {
    "tiny": 4_385_920, "mini": 11_170_560, "small": 28_763_648, "medium": 41_373_184, "base": 109_482_240,
    "large": 335_141_888, "huge": 1_200_000_000, "nano": 900_000,
}  # fmt: skip
EMBEDDINGS = 0.25  # of a model's parameters, never pruned
FACTS: dict[str, dict[str, Any]] = {  # of the study's methods, and of two that nobody has: `shave` shrinks, `coach` not
    "quantize": {"option": "int8", "noun": "quantization", "position": 10, "shrinks": True},
    "distill": {"option": "kd", "noun": "distillation", "position": 20, "shrinks": False},
    "prune": {"option": "magnitude", "noun": "pruning", "position": 30, "shrinks": True, "strength": "sparsity"},
    "shave": {"option": "fold", "noun": "shaving", "position": 40, "shrinks": True, "strength": "share"},
    "coach": {"option": "loud", "noun": "coaching", "position": 50, "shrinks": False},
}  # fmt: skip
STRENGTHS = {"prune": 0.4, "shave": 0.5}
SETTINGS: dict[str, dict[str, Any]] = {
    "quantize": {"activations": True, "momentum": 0.05},
    "distill": {"temperature": 2.0, "alpha": 0.9, "teacher": "0" * 12,
                "augmentation": {"copies": 1, "replace": 0.3, "seed": 0, "synonyms": "demo 3", "version": 1}},
    "prune": {"schedule": "linear", "start": 0.1},
    "shave": {"sweeps": 3},
    "coach": {"words": 7},
}  # fmt: skip
STUDY = ("quantize", "distill", "prune")


def entry(method: str, value: float | None = None, option: str | None = None) -> Compression:
    """What a result says of one of its methods."""
    facts = FACTS[method] | ({"option": option} if option else {})
    return Compression(method=method, value=value if value is not None else STRENGTHS.get(method), **facts)


SUBSETS = collected([tuple(entry(method) for method in STUDY)]).subsets


def document(
    task: str,
    model: str,
    methods: str,
    score: float | None,
    *,
    seed: int = 0,
    sparsity: float = 0.4,
    values: Mapping[str, float] | None = None,
    options: Mapping[str, str] | None = None,
    bytes: int | None = None,
    accuracy: float | None = None,
    changes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A result.json.

    Args:
        sparsity: of the pruned, if `methods` has prune.
        values: strengths of other methods.
        options: of methods, if not the usual ones.
        bytes: nominal ones, if not what the paper's arithmetic makes of the model.
        changes: dotted keys of the identity and their values: `train.epochs`, `prune.start`.
    """
    wanted = {"prune": sparsity, **(values or {})}
    active = [method for method in FACTS if method in methods.split("+")]
    entries = [entry(method, wanted.get(method), (options or {}).get(method)) for method in active]
    identity: dict[str, Any] = {
        "model": {"name": model, "layers": 2},
        "task": {"name": task},
        "data": {"source": "demo", "path": None, "max_length": 32, "seed": 0},
        "train": {"epochs": 3, "batch_size": 16, "learning_rate": 0.001},
        **{own.method: {"name": own.option, **copy.deepcopy(SETTINGS[own.method])} for own in entries},
        "seed": seed,
        "schema": 3,
    }
    for own in entries:
        identity[own.method] |= {} if own.strength is None else {own.strength: own.value}
    if "distill" in active:
        identity["distill"]["teacher"] = digest([task, seed])
        identity["distill"]["augmentation"]["seed"] = seed
    for key, value in (changes or {}).items():
        group, name = key.split(".")
        if group in identity:
            identity[group][name] = value
    parameters = PARAMETERS[model]
    encoder = 1 - EMBEDDINGS
    for own in entries:
        encoder *= 1 - (own.value or 0.0)
    nonzero = round(parameters * (EMBEDDINGS + encoder))
    nominal = bytes or nonzero * (1 if "quantize" in active else 4)
    mask = round(parameters * (1 - EMBEDDINGS) / 8) if "prune" in active else 0
    return {
        "schema": 3,
        "run_id": digest(identity),
        "model": model,
        "task": task,
        "methods": active,
        "compression": [vars(own) for own in entries],
        "seed": seed,
        "metrics": {"accuracy": None if score is None else score / 100},
        "score_glue": score,
        "score_accuracy": score if accuracy is None else accuracy,
        "timing": {"train_seconds": 1.0, "steps": 180, "steps_per_second": 180.0, "wall_seconds": 1.5},
        "config": {"distill": {"teacher": "large"}} if "distill" in active else {},
        "identity": identity,
        "teacher_run_id": identity["distill"]["teacher"] if "distill" in active else None,
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
