"""The methods of a collection, as its results name them: subsets, and variants where a method has several.

A *subset* is written `none`, or names joined by `+` in the methods' order. A *variant* says option and strength of a
subset's methods where these differ within the collection: `prune magnitude 40 %`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from compress.runs.result import Compression

NONE = "none"
Compressions = tuple[Compression, ...]


@dataclass(frozen=True)
class Method:
    """A method, as the collection has it (see `Compression`); each option and strength that it was used with."""

    name: str
    noun: str
    shrinks: bool
    entries: Compressions

    def variant(self, entry: Compression) -> str:
        """What tells an entry from the others: its option, its strength, both or nothing.

        A strength is `40 %` or `rank 16`: a key whose values all lie in [0, 1] holds shares.
        """
        words = [entry.option] if len({other.option for other in self.entries}) > 1 else []
        if len({other.value for other in self.entries}) > 1 and entry.value is not None:
            values = [other.value for other in self.entries if other.strength == entry.strength]
            share = all(value is not None and 0 <= value <= 1 for value in values)
            words.append(f"{100 * entry.value:g} %" if share else f"{entry.strength} {entry.value:g}")
        return " ".join(words)

    @property
    def variants(self) -> list[str]:
        """What tells each of several entries from the others, in their order."""
        return list(dict.fromkeys(filter(None, map(self.variant, self.entries))))


@dataclass(frozen=True)
class Methods:
    """All methods of a collection, in their order."""

    methods: tuple[Method, ...]

    @property
    def names(self) -> list[str]:
        return [method.name for method in self.methods]

    @cached_property
    def subsets(self) -> list[str]:
        """All 2^k, by size, then by the methods' order."""
        names = self.names
        return [joined(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size)]

    def variant(self, compressions: Compressions) -> str:
        """Of a run: the methods that have several entries, each with what tells its own; empty without any."""
        entries = {entry.method: entry for entry in compressions}
        there = [method for method in self.methods if method.name in entries]
        told = {method.name: method.variant(entries[method.name]) for method in there}
        return ", ".join(f"{name} {words}" for name, words in told.items() if words)

    def rank(self, compressions: Compressions) -> tuple[int, ...]:
        """Sorts runs by subset, then by entries."""
        entries = {entry.method: entry for entry in compressions}
        subset = joined(name for name in self.names if name in entries)
        places = (of.entries.index(entries[of.name]) if of.name in entries else 0 for of in self.methods)
        return (self.subsets.index(subset), *places)


def collected(runs: Iterable[Compressions]) -> Methods:
    """The methods that runs used; of options that differ in noun or position the first counts."""
    entries = {entry for compressions in set(runs) for entry in compressions}
    by_name: dict[str, list[Compression]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.position, entry.option, entry.value or 0.0)):
        by_name.setdefault(entry.method, []).append(entry)
    ordered = sorted(by_name.items(), key=lambda item: (item[1][0].position, item[0]))
    return Methods(
        tuple(Method(name, of[0].noun, any(entry.shrinks for entry in of), tuple(of)) for name, of in ordered)
    )


def joined(names: Iterable[str]) -> str:
    return "+".join(names) or NONE


def split(subset: str) -> list[str]:
    return [] if subset == NONE else subset.split("+")


def variant_of(subset: str, variant: str) -> str:
    """What a variant of more methods says of a subset's."""
    return ", ".join(words for words in variant.split(", ") if words.split(" ")[0] in split(subset))
