"""Sweeps over the values of a key: two of the values are composed, the others are substituted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from compress.config.choices import compose_choices, top_level_key
from compress.config.schema import keys
from compress.config.sections import Compose, Section, section

Axes = dict[int, list[str]]  # place of an override that only gives a key a value -> its words in all jobs


def compose_all(
    jobs: Sequence[Sequence[str]], compose: Compose, folders: Sequence[Path]
) -> Iterator[dict[str, Section]]:
    """What `compose` gives for every job, from few compositions.

    Of the values of a key (`seed=0,1,2,…`) only two are composed; the others are substituted for the first, if that is
    all that the second changes. The rest is done by `compose_choices`.
    """
    axes = value_axes(jobs)
    few = list(dict.fromkeys(_with_two_values(job, axes) for job in jobs))
    trees = dict(zip(few, compose_choices(few, compose, folders), strict=True)) if len(few) < len(jobs) else {}
    substituted = _Substitution(axes)
    if not trees or not all(
        _alike(substituted(trees[_with_first_value(job, axes)], job), tree) for job, tree in trees.items()
    ):
        yield from compose_choices(jobs, compose, folders)
        return
    yield from (substituted(trees[_with_two_values(job, axes)], job) for job in jobs)


def value_axes(jobs: Sequence[Sequence[str]]) -> Axes:
    """The overrides that differ in nothing but the value of a key, of at least three values."""
    if len({tuple(word.partition("=")[0] for word in job) for job in jobs}) != 1:
        return {}
    columns = {place: list(dict.fromkeys(words)) for place, words in enumerate(zip(*jobs, strict=True))}
    return {place: words for place, words in columns.items()
            if len(words) > 2 and words[0].partition("=")[0] in keys() and all(map(_is_value, words))}  # fmt: skip


_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)", re.ASCII)


def _is_value(word: str) -> bool:
    value = _value(word)
    return value is None or (isinstance(value, str | int | float) and "${" not in str(value) and value != "???")


def _value(word: str) -> object:
    """What an override gives its key."""
    written = word.partition("=")[2]
    return int(written) if _NUMBER.fullmatch(written) else OverridesParser.create().parse_override(word).value()


def _with_two_values(job: Sequence[str], axes: Axes) -> tuple[str, ...]:
    """A job with the first value in place of every one but the first two, which are composed."""
    return tuple(axes[place][0] if place in axes and word not in axes[place][:2] else word
                 for place, word in enumerate(job))  # fmt: skip


def _with_first_value(job: Sequence[str], axes: Axes) -> tuple[str, ...]:
    return tuple(axes[place][0] if place in axes else word for place, word in enumerate(job))


def _alike(sections: Mapping[str, Section], others: Mapping[str, Section]) -> bool:
    return {name: section.values for name, section in sections.items()} == {
        name: section.values for name, section in others.items()
    }


class _Substitution:
    """Replaces the values in a composition by those of another job; equal replacements in a section are made once."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._values = {word: _value(word) for words in axes.values() for word in words}
        self._sections: dict[tuple[int, tuple[str, ...]], tuple[Section, Section]] = {}

    def __call__(self, sections: Mapping[str, Section], job: Sequence[str]) -> dict[str, Section]:
        words: dict[str, tuple[str, ...]] = {}
        for place in self._axes:
            key = top_level_key(job[place])
            words[key] = (*words.get(key, ()), job[place])
        return {name: self._substitute(section, words[name]) if name in words else section
                for name, section in sections.items()}  # fmt: skip

    def _substitute(self, old: Section, words: tuple[str, ...]) -> Section:
        if (id(old), words) not in self._sections:
            values = old.values
            for word in words:
                name = word.partition("=")[0].partition(".")[2]
                values = {**_mapping(values), name: self._values[word]} if name else self._values[word]
            self._sections[id(old), words] = section(old.name, values), old  # which keeps it alive
        return self._sections[id(old), words][0]


def _mapping(values: object) -> Mapping[str, object]:
    assert isinstance(values, Mapping), "a dotted key is in a mapping"
    return values
