"""What is composed under one top-level key of a configuration, and what its interpolations read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Compose = Callable[[Sequence[str]], dict[str, object]]  # overrides -> what Hydra composes, interpolations unresolved

_PLAIN = re.compile(r"\$\{(?:oc\.env:[^${}]*|\.{0,2}([A-Za-z_]\w*)(?:[.\[][^${}:]*)?)\}")


@dataclass(frozen=True, eq=False)
class Section:
    """What is composed under one top-level key; jobs that make the same choice share it, and what is made of it.

    Attributes:
        values: interpolations unresolved.
        final: whether there is nothing to resolve and nothing missing.
        reads: top-level keys that the interpolations read; None: perhaps any.
    """

    name: str
    values: object
    final: bool
    reads: frozenset[str] | None


def section(name: str, values: object) -> Section:
    """What is composed under a top-level key, with what its interpolations read.

    Those like `${group.key}`, `${..group.key}` and `${oc.env:…}` are understood, nested ones and other resolvers not.
    """
    texts = [text for text in _texts(values) if "${" in text or text == "???"]
    reads = {key for text in texts for key in _PLAIN.findall(text)}
    understood = not any("${" in _PLAIN.sub("", text) for text in texts)
    return Section(name, values, final=not texts, reads=frozenset(reads) if understood else None)


def _texts(values: object) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping | list | tuple):
        for value in values.values() if isinstance(values, Mapping) else values:
            yield from _texts(value)
