"""The first schema of result.json, which knew three methods and wrote down those that were off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METHODS: Mapping[str, dict[str, object]] = {
    "quantize": {"noun": "quantization", "position": 10, "shrinks": True},
    "distill": {"noun": "distillation", "position": 20, "shrinks": False},
    "prune": {"noun": "pruning", "position": 30, "shrinks": True, "strength": "sparsity"},
}


def upgraded(document: Mapping[str, object]) -> dict[str, object]:
    """The document with what later schemas have: `compression`, and no method that is off; `schema` stays 1.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of the wrong kind.
    """
    active, identity = list(document["methods"]), document["identity"]
    if unknown := [name for name in active if name not in METHODS]:
        raise ValueError(f"its methods {unknown} are none of {', '.join(METHODS)}")
    ordered = [name for name in METHODS if name in active]
    return {
        **document,
        "methods": ordered,
        "compression": [_compression(name, identity[name]) for name in ordered],
        "identity": _without_off(identity, active),
        "config": _without_off(document.get("config") or {}, active),
    }


def _compression(name: str, values: Mapping[str, object]) -> dict[str, object]:
    facts = METHODS[name]
    value = float(values[facts["strength"]]) if "strength" in facts else None
    return {"method": name, "option": values["name"], "value": value, **facts}


def _without_off(values: Mapping[str, object], active: list[str]) -> dict[str, object]:
    return {key: value for key, value in values.items() if key not in METHODS or key in active}
