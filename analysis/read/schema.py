"""One result, as result.json or a tracker has it, made into a row of the table of runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis.read.recipe import METHODS, model_recipe

SCHEMA = 1
MALFORMED = (KeyError, TypeError, ValueError, AttributeError)  # what reading a document that is none raises


def told(error: Exception) -> str:
    """What is wrong, in words."""
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def row(document: Mapping[str, Any]) -> dict[str, Any]:
    """One document's row, without what needs the others; with `model_recipe`.

    Raises:
        one of MALFORMED: of another schema, or something is missing or of the wrong kind.
    """
    if document["schema"] != SCHEMA:
        raise ValueError(f"its schema is {document['schema']!r}, and {SCHEMA} is what is read here")
    methods, size, timing = list(document["methods"]), document["size"], document.get("timing") or {}
    if unknown := [name for name in methods if name not in METHODS]:
        raise ValueError(f"its methods {unknown} are none of {', '.join(METHODS)}")
    name = "+".join(method for method in METHODS if method in methods) or "none"
    counts = {key: _positive(size, key) for key in ("parameters", "nonzero", "nominal_bytes", "artifact_bytes")}
    identity = document["identity"]
    pruned = "prune" in methods
    return {
        "run_id": str(document["run_id"]),
        "task": str(document["task"]),
        "model": str(document["model"]),
        "methods": name,
        **{method: method in methods for method in METHODS},
        "sparsity": float(identity["prune"]["sparsity"]) if pruned else 0.0,
        "seed": int(document["seed"]),
        "score_glue": _score(document, "score_glue"),
        "score_accuracy": _score(document, "score_accuracy"),
        "metrics": dict(document.get("metrics") or {}),
        **counts,
        "by_part": dict(size.get("by_part") or {}),
        **{key: _number(timing.get(key)) for key in ("train_seconds", "steps", "steps_per_second", "wall_seconds")},
        "teacher_run_id": document.get("teacher_run_id"),
        "device": (document.get("environment") or {}).get("device"),
        "folder": document.get("folder"),
        "url": document.get("url"),
        "model_recipe": model_recipe(document),
    }


def _positive(size: Mapping[str, Any], key: str) -> int:
    value = size[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0 or math.isinf(value):
        raise ValueError(f"its size.{key} is {value!r}, not a positive number")
    return int(value)


def _score(document: Mapping[str, Any], key: str) -> float:
    value = _number(document[key])
    if not math.isnan(value) and not -100.0 <= value <= 100.0:
        raise ValueError(f"its {key} is {value!r}, not between -100 and 100")
    return value


def _number(value: Any) -> float:
    """NaN for what is undefined: null, or what a tracker makes of NaN."""
    if value is None or (isinstance(value, str) and value.lower() in ("nan", "infinity", "-infinity")):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
