"""The one kind of error that a user's input can cause."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ConfigError(Exception):
    """Wrong input, told in one line: the key, the value, what is allowed and the fix."""


def nearest(word: object, names: Iterable[str]) -> str:
    """` (did you mean …?)` for the name most like `word`, or nothing where none is alike."""
    match = get_close_matches(str(word), list(names), n=1, cutoff=0.6)
    return f" (did you mean {match[0]}?)" if match else ""
