"""The experiments of a sweep: the product of the values of all its overrides."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence

from hydra.core.override_parser.types import (
    Glob,
    Override,
    ParsedElementType,
    Quote,
    QuotedString,
    ValueType,
)
from hydra.errors import HydraException

from compress.errors import ConfigError

Options = Callable[[str], Sequence[str]]  # a group -> its options; none: no group

MOST = 100_000  # experiments in one sweep


def jobs(overrides: Sequence[Override], options: Options) -> list[tuple[str, ...]]:
    """The overrides of every experiment of a sweep: the product of its axes.

    Raises:
        ConfigError: an axis has no value, or there are too many.
    """
    every = axes(overrides, options)
    if (count := math.prod(map(len, every))) > MOST:
        raise ConfigError(f"{count} experiments in one sweep; at most {MOST} are possible")
    return list(itertools.product(*every))


def axes(overrides: Sequence[Override], options: Options) -> list[list[str]]:
    """Every override as the list of the single overrides that it stands for.

    Of a key that is given repeatedly, once as a sweep at least, the last counts; without a sweep Hydra takes all.
    """
    counted = []
    for place, override in enumerate(overrides):
        later = [other for other in overrides[place + 1 :] if _axis(other) == _axis(override)]
        if not later or not any(other.is_sweep_override() for other in (override, *later)):
            counted.append(_single(override, options))
    return counted


def _axis(override: Override) -> str:
    return override.get_key_element().lstrip("+")


def _single(override: Override, options: Options) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key = override.get_key_element()
    return [f"{key}={Override._get_value_element_as_str(value)}" for value in swept(override, options)]


def values(override: Override, options: Options) -> list[object]:
    """What an override may set its key to: several values if it sweeps."""
    if override.is_sweep_override():
        return [Override._convert_value(value) for value in swept(override, options)]
    return [override.value()]


def swept(override: Override, options: Options) -> list[ParsedElementType]:
    """The values of an override that sweeps.

    Raises:
        ConfigError: it has none, too many, or cannot be read.
    """
    word = override.input_line
    if override.value_type == ValueType.INTERVAL_SWEEP:
        raise ConfigError(f"{word}: only optimising sweepers take an interval; give values: choice(…), range(…)")
    pattern: object = override._value
    if isinstance(pattern, Glob):
        return list(_matching(override, pattern, options))
    try:
        swept_values: list[ParsedElementType] = list(itertools.islice(override.sweep_iterator(), MOST + 1))
    except (HydraException, ValueError, ArithmeticError) as error:
        raise ConfigError(f"{word}: {error}") from error
    if not swept_values or len(swept_values) > MOST:
        count = f"more than {MOST} values" if swept_values else "no value at all"
        raise ConfigError(f"{word}: has {count}")
    return swept_values


def _matching(override: Override, pattern: Glob, options: Options) -> list[str | QuotedString]:
    key, word = override.key_or_group, override.input_line
    there = list(options(key))
    if not there:
        raise ConfigError(f"{word}: glob is for options of a group; {key} is none")
    if not (names := pattern.filter(there)):
        raise ConfigError(f"{word}: matches no option; there are {', '.join(there)}")
    return [name if re.fullmatch(r"[\w./-]+", name, re.ASCII) else QuotedString(name, Quote.double) for name in names]
