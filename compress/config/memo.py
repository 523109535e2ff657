"""A memo of calls, for hundreds of configurations that share most of what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Memo:
    """Memoizes calls by the identity (`id`) of their arguments, which need not be hashable; files are read once."""

    def __init__(self) -> None:
        self._answers: dict[tuple[int, ...], tuple[object, tuple[object, ...]]] = {}

    def __call__(
        self, function: Callable[[*Arguments], T], *arguments: *Arguments, by: tuple[object, ...] | None = None
    ) -> T:
        """The function's answer; `by` is what it depends on, where that is less than the arguments."""
        call = (function, *(arguments if by is None else by))
        key = tuple(map(id, call))
        if key not in self._answers:
            self._answers[key] = function(*arguments), call  # which keeps them alive, lest others get their ids
        return cast(T, self._answers[key][0])
