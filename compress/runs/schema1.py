"""The first schema of result.json, which knew three methods and wrote down those that were off."""

from __future__ import annotations

from collections.abc import Mapping

METHODS: Mapping[str, Mapping[str, object]] = {  # what later schemas say of each in `compression`
    "quantize": {"noun": "quantization", "position": 10, "shrinks": True, "strength": None},
    "distill": {"noun": "distillation", "position": 20, "shrinks": False, "strength": None},
    "prune": {"noun": "pruning", "position": 30, "shrinks": True, "strength": "sparsity"},
}


def upgraded(document: Mapping[str, object]) -> dict[str, object]:
    """The document with what later schemas have: `compression`, and no method that is off; `schema` stays 1."""
    active, identity = document["methods"], _mapping(document["identity"])
    if not isinstance(active, list):
        raise TypeError(f"its methods are {active!r}, not a list")
    if unknown := [name for name in active if name not in METHODS]:
        raise ValueError(f"its methods {unknown} are none of {', '.join(METHODS)}")
    ordered = [name for name in METHODS if name in active]
    return {
        **document,
        "methods": ordered,
        "compression": [_compression(name, _mapping(identity[name])) for name in ordered],
        "identity": _without_off(identity, active),
        "config": _without_off(_mapping(document.get("config") or {}), active),
    }


def _mapping(values: object) -> Mapping[str, object]:
    if not isinstance(values, Mapping):
        raise TypeError(f"it has {values!r:.40} where keys with values belong")
    return values


def _compression(method: str, values: Mapping[str, object]) -> dict[str, object]:
    strength = METHODS[method]["strength"]
    value = None if strength is None else values[str(strength)]
    return {"method": method, "option": values["name"], "value": value, **METHODS[method]}


def _without_off(values: Mapping[str, object], active: list[str]) -> dict[str, object]:
    return {key: value for key, value in values.items() if key not in METHODS or key in active}
