"""How a command was typed, for the lines that name it: `combining-compressions plan`, or `python -m launch plan`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NAME = "combining-compressions"
MODULE = re.compile(r"python -m (?:compress\.(?=\w)|(?:compress|launch|analysis)\b( ?))")
_by_name: ContextVar[bool] = ContextVar("by_name", default=False)


@contextmanager
def by_name() -> Iterator[None]:
    """While this lasts, commands are those of the one program for all, not those of the modules."""
    token = _by_name.set(True)
    try:
        yield
    finally:
        _by_name.reset(token)


def as_typed(text: str) -> str:
    """A text that names commands by their modules, with the names under which the user calls them."""
    if not _by_name.get():
        return text
    return MODULE.sub(lambda found: NAME + (" " if found[1] is None else found[1]), text)
