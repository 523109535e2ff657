"""Checked dataclasses: what users give is refused in one line that names the key, the value and what is allowed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from compress.errors import ConfigError, nearest

T = TypeVar("T")
LARGEST = 2**64 - 1  # integer, the largest seed that torch takes


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def checked(kind: type[T]) -> type[T]:
    """A frozen dataclass of keywords whose values pydantic checks strictly; unknown ones are refused."""
    made: object = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))(kind)
    return cast(type[T], made)


def build(kind: type[T], values: Mapping[str, object], prefix: str) -> T:
    """A checked dataclass of plain values.

    Args:
        prefix: what stands before its fields' names on the command line.

    Raises:
        ConfigError: a value is missing, unknown, of the wrong type or out of range.
    """
    if strange := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{prefix}{strange[0]}: no such key; names are texts")
    try:
        built = kind(**values)
    except ValidationError as error:
        raise ConfigError(_first_mistake(kind, values, prefix, error)) from error
    for name in _fields(kind):
        _check_numbers(f"{prefix}{name}", getattr(built, name))
    return built


def _fields(kind: type[object]) -> dict[str, object]:
    fields: dict[str, object] = kind.__dataclass_fields__
    return fields


def _first_mistake(kind: type[object], values: Mapping[str, object], prefix: str, refused: ValidationError) -> str:
    """The key, the value and what is allowed."""
    errors = refused.errors()
    alike = (
        mistake for mistake in errors if mistake["loc"][:1] == errors[0]["loc"][:1]
    )  # one for each type of a union
    first = max(alike, key=lambda mistake: len(_path(mistake["loc"], values)))
    key, names = ".".join(_path(first["loc"], values)), list(_fields(kind))
    if first["type"] == "unexpected_keyword_argument":
        where = f"{prefix[:-1]} has" if prefix else "there are"
        return f"{prefix}{key}: no such key{nearest(key, names)}; {where} {', '.join(names)}"
    if first["type"].startswith("missing"):
        return f"{prefix}{key}: has no value; give {prefix}{key}=…"
    allowed = first["msg"].replace("Value error, ", "").replace("a valid boolean", "a valid boolean, true or false")
    allowed = re.sub(r"^(Input|List|String|Dictionary) should", "must", allowed)
    allowed = re.sub(r"a dictionary or an instance of \w+|an instance of \w+", "keys with values", allowed)
    if first["type"] == "string_pattern_mismatch":
        allowed = f"must be {_fields(kind)[key].default.description}"
    value = first["input"]
    choices = first.get("ctx", {}).get("expected", "").replace("'", "").replace(" or ", ", ").split(", ")
    shown = json.dumps(value) if value is None or isinstance(value, bool) else value
    return f"{prefix}{key}={shown}: {allowed}{nearest(value, choices)}"


def _path(loc: tuple[int | str, ...], values: object) -> list[str]:
    """The keys and indices of a place in nested values, without the types of unions that pydantic puts between."""
    path: list[str] = []
    for part in loc:
        inside = range(len(values)) if isinstance(values, list) else values if isinstance(values, Mapping) else ()
        if part in inside:
            values = values[part]
        if part in inside or not path:
            path.append(str(part))
    return path


def _check_numbers(key: str, value: object) -> None:
    """Refuse numbers that JSON and 64 bits have not."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}={value}: must be a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"{key}={value}: must be at most {LARGEST}")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _check_numbers(key, inner)
