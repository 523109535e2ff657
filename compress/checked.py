"""Checked dataclasses: what users give is refused in one line that names the key, the value and what is allowed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import Field as DataclassField
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from compress.errors import ConfigError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic_core import ErrorDetails

    D = TypeVar("D", bound=DataclassInstance)

T = TypeVar("T")
LARGEST = 2**64 - 1  # integer, the largest seed that torch takes

STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def checked(kind: type[T]) -> type[T]:
    """A frozen dataclass of keywords whose values pydantic checks strictly; unknown ones are refused."""
    return cast(type[T], dataclass(frozen=True, kw_only=True, config=STRICT)(kind))


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def stored(kind: type[T]) -> type[T]:
    """As `checked`, of what a file of ours holds: fields may be given by position, too."""
    return cast(type[T], dataclass(frozen=True, config=STRICT)(kind))


def read(kind: type[T], file: Path) -> T:
    """What a JSON file holds of a `stored` dataclass; ValueError of one line if damaged, or of another version."""
    return parsed(kind, file.read_bytes())


def parsed(kind: type[T], text: bytes) -> T:
    """The same of a file's text."""
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from error


def first_mistake(refused: ValidationError) -> str:
    """What is wrong with a document, as the end of a sentence about it: `it has no 'seed'`, `its seed is 'x': …`."""
    first = refused.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"].startswith("missing"):
        return f"it has no '{key}'"
    message = first["msg"].removeprefix("Value error, ")
    if message.startswith("its ") or not key:
        return message
    return f"its {key} is {first['input']!r:.80}: {message}"


def description(field: DataclassField[object]) -> str:
    """What a field of a checked dataclass says of itself."""
    assert isinstance(field.default, FieldInfo)
    return field.default.description or ""


def default_of(field: DataclassField[object]) -> object:
    """A field's default; pydantic's mark of having none, which equals no value, without one."""
    assert isinstance(field.default, FieldInfo)
    return field.default.default


def build(kind: type[D], values: Mapping[str, object], prefix: str) -> D:
    """A checked dataclass of plain values, with a prefix before its fields' names on the command line."""
    if strange := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{prefix}{strange[0]}: no such key; names are texts")
    try:
        built = kind(**values)
    except ValidationError as error:
        raise ConfigError(_refusal(kind, values, prefix, error)) from error
    for field in fields(kind):
        _check_numbers(f"{prefix}{field.name}", getattr(built, field.name))
    return built


def _refusal(kind: type[DataclassInstance], values: Mapping[str, object], prefix: str, refused: ValidationError) -> str:
    """The key, the value and what is allowed."""
    errors = refused.errors()
    alike = (error for error in errors if error["loc"][:1] == errors[0]["loc"][:1])  # one for each type of a union
    first = max(alike, key=lambda error: len(_path(error["loc"], values)))
    key, descriptions = ".".join(_path(first["loc"], values)), {field.name: field for field in fields(kind)}
    if first["type"] == "unexpected_keyword_argument":
        where = f"{prefix[:-1]} has" if prefix else "there are"
        return f"{prefix}{key}: no such key{nearest(key, descriptions)}; {where} {', '.join(descriptions)}"
    if first["type"].startswith("missing"):
        return f"{prefix}{key}: has no value; give {prefix}{key}=…"
    pattern = first["type"] == "string_pattern_mismatch"
    allowed = f"must be {description(descriptions[key])}" if pattern else _allowed(first)
    value = first["input"]
    choices = first.get("ctx", {}).get("expected", "").replace("'", "").replace(" or ", ", ").split(", ")
    written = json.dumps(value) if value is None or isinstance(value, bool) else value
    return f"{prefix}{key}={written}: {allowed}{nearest(value, choices)}"


def _allowed(error: ErrorDetails) -> str:
    """What pydantic says of the values that it takes, in the words of a command line."""
    allowed = error["msg"].replace("Value error, ", "").replace("a valid boolean", "a valid boolean, true or false")
    allowed = re.sub(r"^(Input|List|String|Dictionary) should", "must", allowed)
    return re.sub(r"a dictionary or an instance of \w+|an instance of \w+", "keys with values", allowed)


def _path(loc: tuple[int | str, ...], values: object) -> list[str]:
    """The keys and indices of a place in nested values, without the types of unions that pydantic puts between."""
    path: list[str] = []
    for part in loc:
        pairs = dict(enumerate(values)) if isinstance(values, list) else values if isinstance(values, Mapping) else {}
        if part in pairs or not path:
            path.append(str(part))
        values = pairs.get(part, values)
    return path


def _check_numbers(key: str, value: object) -> None:
    """Refuse numbers that JSON and 64 bits have not."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}={value}: must be a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"{key}={value}: must be at most {LARGEST}")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _check_numbers(key, inner)
