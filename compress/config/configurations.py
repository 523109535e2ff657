"""Many configurations from few compositions: what jobs have in common is composed, resolved, built and checked once.

Sweeps over the options of groups are the work of `choices`. Of the values of a key (`seed=0,1,2,…`) only two are
composed; the others are substituted for the first, if that is all that the second changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from compress.config.choices import Compose, Section, compose_choices, section, top_level_key
from compress.config.conf_files import conf_folder
from compress.config.memo import Memo
from compress.config.schema import Config, check_paths, from_hydra, from_mapping, keys
from compress.tracking import tracking_options

Axes = dict[int, list[str]]  # place of an override that only gives a key a value -> its words in all jobs

_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)", re.ASCII)


def configurations(jobs: Sequence[Sequence[str]], compose: Compose, folders: Sequence[Path] = ()) -> Iterator[Config]:
    """The checked configuration of every job, in order; each the very one that `from_hydra` makes of its composition.

    Args:
        jobs: the overrides of each, as Hydra's sweepers give them to launchers.
        compose: takes most of the time, and is called as seldom as the configuration's files allow.
        folders: all folders of configuration files, in which teachers are looked up; by default the project's own.
    """
    memo, places = Memo(), tuple(folders) or (conf_folder(),)
    for sections in _compose_all(jobs, compose, places, memo):
        yield _configuration(sections, places, memo)


def _compose_all(
    jobs: Sequence[Sequence[str]], compose: Compose, folders: Sequence[Path], memo: Memo
) -> Iterator[dict[str, Section]]:
    """What `compose` gives for every job, from few compositions."""
    axes = _value_axes(jobs)
    few = list(dict.fromkeys(_with_first_values(job, axes, 2) for job in jobs))
    trees = dict(zip(few, compose_choices(few, compose, folders), strict=True)) if len(few) < len(jobs) else {}
    if not trees or not all(
        _values(_substituted(trees[_with_first_values(job, axes, 1)], job, axes, memo)) == _values(tree)
        for job, tree in trees.items()
    ):
        yield from compose_choices(jobs, compose, folders)
        return
    yield from (_substituted(trees[_with_first_values(job, axes, 2)], job, axes, memo) for job in jobs)


def _values(sections: Mapping[str, Section]) -> dict[str, object]:
    return {name: section.values for name, section in sections.items()}


def _value_axes(jobs: Sequence[Sequence[str]]) -> Axes:
    """The overrides that differ in nothing but the value of a key, of at least three values."""
    if len({tuple(word.partition("=")[0] for word in job) for job in jobs}) != 1:
        return {}
    columns = {place: list(dict.fromkeys(words)) for place, words in enumerate(zip(*jobs, strict=True))}
    return {place: words for place, words in columns.items()
            if len(words) > 2 and words[0].partition("=")[0] in keys() and all(map(_is_value, words))}  # fmt: skip


def _is_value(word: str) -> bool:
    value = _value(word)
    return value is None or (isinstance(value, str | int | float) and "${" not in str(value) and value != "???")


def _value(word: str) -> object:
    """What an override gives its key."""
    written = word.partition("=")[2]
    return int(written) if _NUMBER.fullmatch(written) else OverridesParser.create().parse_override(word).value()


def _with_first_values(job: Sequence[str], axes: Axes, count: int) -> tuple[str, ...]:
    """A job with the first value of every axis in place of all but the first few."""
    return tuple(axes[place][0] if place in axes and word not in axes[place][:count] else word
                 for place, word in enumerate(job))  # fmt: skip


def _substituted(sections: Mapping[str, Section], job: Sequence[str], axes: Axes, memo: Memo) -> dict[str, Section]:
    """What was composed for another job, with this one's values; equal replacements in a section are made once."""
    words: dict[str, tuple[str, ...]] = {}
    for place in axes:
        key = top_level_key(job[place])
        words[key] = (*words.get(key, ()), job[place])
    return {name: memo(_with_values, old, words[name], by=(old, *words[name])) if name in words else old
            for name, old in sections.items()}  # fmt: skip


def _with_values(old: Section, words: Sequence[str]) -> Section:
    values = old.values
    for word in words:
        name = word.partition("=")[0].partition(".")[2]
        values = {**cast(Mapping[str, object], values), name: _value(word)} if name else _value(word)
    return section(old.name, values)


def _read_by(name: str, sections: Mapping[str, Section]) -> Iterator[Section]:
    """The section of that name and all that its interpolations read, directly or not, in the order of the sections."""
    needed: set[str] = set()
    left = [name]
    while left:
        key = left.pop()
        if key in sections and key not in needed:
            needed.add(key)
            reads = sections[key].reads
            left += sections if reads is None else reads
    return (section for key, section in sections.items() if key in needed)


def _resolved(*sections: Section) -> dict[str, object]:
    tree = OmegaConf.create({section.name: section.values for section in sections})
    return cast(dict[str, object], OmegaConf.to_container(tree, resolve=True, throw_on_missing=True))


def _configuration(sections: Mapping[str, Section], folders: Sequence[Path], memo: Memo) -> Config:
    try:
        values = {
            name: section.values if section.final else memo(_resolved, *_read_by(name, sections))[name]
            for name, section in sections.items()
        }
    except OmegaConfBaseException:  # to be told as it is for a single experiment
        return from_hydra(OmegaConf.create(_values(sections)), folders)
    config = from_mapping(values, folders, memo)
    memo(check_paths, config.paths)
    memo(tracking_options.check, config.tracking)
    return config
