"""Many configurations from few compositions: what jobs have in common is composed, resolved, built and checked once."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from compress.config.schema import Config, Once, check_paths, conf_folder, from_hydra, from_mapping, keys
from compress.errors import ConfigError
from compress.tracking import tracking_options

Composed = Callable[[Sequence[str]], dict[str, object]]  # overrides -> what Hydra composes, interpolations unresolved
Part = str | None  # a top-level key that some swept overrides have to themselves; None: all the other keys
Choice = tuple[Part, tuple[str, ...]]  # a part and the overrides that decide it
APART = "_apart_"  # where options are composed each for itself


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


def configurations(jobs: Sequence[Sequence[str]], composed: Composed, folders: Sequence[Path] = ()) -> Iterator[Config]:
    """The checked configuration of every job, in order; each the very one that `from_hydra` makes of its composition.

    What jobs have in common is composed, resolved, built and checked once, so hundreds take hardly longer than a few.

    Args:
        jobs: the overrides of each, as Hydra's sweepers give them to launchers.
        composed: takes most of the time, and is called as seldom as the configuration's files allow.
        folders: all folders of configuration files; by default the project's own. Teachers are looked up there.

    Raises:
        ConfigError: at the first that is wrong.
    """
    once, places = Once(), tuple(folders) or (conf_folder(),)
    for sections in compose_all(jobs, composed, places):
        yield _configuration(sections, places, once)


def compose_all(
    jobs: Sequence[Sequence[str]], composed: Composed, folders: Sequence[Path]
) -> Iterator[dict[str, Section]]:
    """What `composed` gives for every job, from few compositions.

    Of the values of a key (`seed=0,1,2,…`) only two are composed; the others are put where the first is, if that is all
    that the second changes. The rest is done by `compose_choices`.
    """
    axes = value_axes(jobs)
    few = list(dict.fromkeys(_with_composed_values(job, axes) for job in jobs))
    trees = dict(zip(few, compose_choices(few, composed, folders), strict=True)) if len(few) < len(jobs) else {}
    put = _Put(axes)
    if not trees or not all(_alike(put(trees[_with_first(job, axes)], job), tree) for job, tree in trees.items()):
        yield from compose_choices(jobs, composed, folders)
        return
    yield from (put(trees[_with_composed_values(job, axes)], job) for job in jobs)


# --- values -----------------------------------------------------------------------------------------------------------

Axes = dict[int, list[str]]  # place of an override that only gives a key a value -> its words in all jobs


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


def _with_composed_values(job: Sequence[str], axes: Axes) -> tuple[str, ...]:
    """A job with the first value in place of every one that is not composed."""
    return tuple(axes[place][0] if place in axes and word not in axes[place][:2] else word
                 for place, word in enumerate(job))  # fmt: skip


def _with_first(job: Sequence[str], axes: Axes) -> tuple[str, ...]:
    return tuple(axes[place][0] if place in axes else word for place, word in enumerate(job))


def _alike(sections: Mapping[str, Section], others: Mapping[str, Section]) -> bool:
    return {name: section.values for name, section in sections.items()} == {
        name: section.values for name, section in others.items()
    }


class _Put:
    """Puts the values of a job where those of another are; jobs that put the same into the same section share it."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._values = {word: _value(word) for words in axes.values() for word in words}
        self._made: dict[tuple[int, tuple[str, ...]], tuple[Section, Section]] = {}

    def __call__(self, sections: Mapping[str, Section], job: Sequence[str]) -> dict[str, Section]:
        words: dict[str, tuple[str, ...]] = {}
        for place in self._axes:
            top = _top(job[place])
            words[top] = (*words.get(top, ()), job[place])
        return {name: self._put(section, words[name]) if name in words else section
                for name, section in sections.items()}  # fmt: skip

    def _put(self, old: Section, words: tuple[str, ...]) -> Section:
        known = self._made.get((id(old), words))
        if known is None:
            values = old.values
            for word in words:
                name = word.partition("=")[0].partition(".")[2]
                values = {**values, name: self._values[word]} if name else self._values[word]
            known = self._made[id(old), words] = section(old.name, values), old  # which keeps it alive
        return known[0]


# --- options ----------------------------------------------------------------------------------------------------------


def compose_choices(
    jobs: Sequence[Sequence[str]], composed: Composed, folders: Sequence[Path]
) -> Iterator[dict[str, Section]]:
    """What `composed` gives for every job, from few compositions.

    An override changes one group as a rule: `model=…` the group model, `prune.sparsity=…` the group prune. Where that
    can be shown, each choice within a group needs to be composed only once, and one composition shows a choice in every
    group. Whatever may change more than its group is composed with everything that it may change.
    """
    parts = scopes(jobs, folders)
    choices = [[(part, _words(job, places)) for part, places in parts.items()] for job in jobs]
    known = _apart(jobs, parts, composed, folders)
    chosen = cover([{choice for choice in made if choice not in known} for made in choices])
    trusted = len(chosen) < len(jobs)
    for job in chosen if trusted else ():
        tree = composed(jobs[job])
        for choice in choices[job]:
            content = _content(tree, choice[0], parts)
            trusted &= known.setdefault(choice, content) == content  # else some way to change a group was overlooked
    if not trusted:
        yield from ({name: section(name, value) for name, value in composed(job).items()} for job in jobs)
        return
    shared = {
        choice: {name: None if value is ... else section(name, value) for name, value in content.items()}
        for choice, content in known.items()
    }
    for made in choices:
        together = {name: found for choice in made for name, found in shared[choice].items()}
        yield {name: found for name, found in together.items() if found is not None}


def _words(job: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    return tuple(job[place] for place in places if place < len(job))


def _content(tree: Mapping[str, object], part: Part, parts: Iterable[Part]) -> dict[str, object]:
    """A part of a composition; the one of all other keys has `...` where the named parts belong."""
    if part is not None:
        return {name: value for name, value in tree.items() if name == part}
    return {name: ... if name in parts else value for name, value in tree.items()}


def cover(choices: Sequence[AbstractSet[Choice]]) -> list[int]:
    """Numbers of a few jobs that between them make every choice: always the one with the most choices not yet made."""
    missing = set().union(*choices)
    chosen = []
    while missing:
        best = max(range(len(choices)), key=lambda job: len(choices[job] & missing))
        chosen.append(best)
        missing -= choices[best]
    return chosen


def scopes(jobs: Sequence[Sequence[str]], folders: Sequence[Path]) -> dict[Part, list[int]]:
    """Places in a job of the overrides that differ between jobs, by the part that they decide.

    An override that may change more than one top-level key counts for all parts.
    """
    names = {tuple(word.partition("=")[0] for word in job) for job in jobs}
    if len(names) > 1:
        return {None: list(range(max(map(len, names))))}
    columns = {place: dict.fromkeys(words) for place, words in enumerate(zip(*jobs, strict=True))}
    swept = {place: list(words) for place, words in columns.items() if len(words) > 1}
    decisive = choices_read(folders) if swept else frozenset()
    own: dict[Part, list[int]] = {}
    far = []
    for place, words in swept.items():
        key = words[0].partition("=")[0].lstrip("+")
        part = None if decisive is None or key in decisive else _own_part(key, words, folders)
        if part is None:
            far.append(place)
        else:
            own.setdefault(part, []).append(place)
    return {None: far} | {part: [*places, *far] for part, places in own.items()}


def _own_part(key: str, words: Iterable[str], folders: Sequence[Path]) -> Part:
    """The top-level key that is all that these overrides of a key change; None if that cannot be shown."""
    if any((folder / key).is_dir() for folder in folders):
        apart = "/" not in key and all(keeps_to_itself(key, word.partition("=")[2], folders) for word in words)
        return key if apart else None
    return key.partition(".")[0] if key in keys() else None


def keeps_to_itself(group: str, option: str, folders: Sequence[Path], based_on: tuple[str, ...] = ()) -> bool:
    """Whether an option's file, and those that its defaults list names, write into their group and nowhere else."""
    files = [folder / group / f"{option}.yaml" for folder in folders]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
    for text in texts:
        listed = _defaults(text)
        if listed is None or "@package" in text:
            return False
        for entry in listed:
            if not isinstance(entry, str) or not re.fullmatch(r"[\w-]+", entry) or entry in based_on:
                return False
            if entry != "_self_" and not keeps_to_itself(group, entry, folders, (*based_on, option)):
                return False
    return bool(texts)


def choices_read(folders: Iterable[Path]) -> frozenset[str] | None:
    """Groups whose choice is read in some defaults list (`- ${task}_${model}`), and so decides on other files as well.

    None: perhaps any.
    """
    found: set[str] = set()
    for folder in folders:
        if not folder.is_dir():
            return None
        for file in glob.iglob(f"{glob.escape(str(folder))}/**/*.yaml", recursive=True):
            text = Path(file).read_text(encoding="utf-8", errors="replace") if Path(file).is_file() else ""
            listed = _defaults(text) if "${" in text else []
            found |= set(_CHOICE.findall(str(listed)))
            if listed is None or "${" in _CHOICE.sub("", str(listed)):
                return None
    return frozenset(found)


_CHOICE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


def _defaults(text: str) -> list[object] | None:
    """The defaults list of a configuration file; None where it cannot be read."""
    try:
        values = yaml.load(text, yaml.BaseLoader) if "defaults" in text else None
    except yaml.YAMLError:
        return None
    listed = values.get("defaults", []) if isinstance(values, dict) else []
    return listed if isinstance(listed, list) else None


def _apart(
    jobs: Sequence[Sequence[str]], parts: Mapping[Part, Sequence[int]], composed: Composed, folders: Sequence[Path]
) -> dict[Choice, dict[str, object]]:
    """What the choices of those groups come to that have the most of them, all from one composition.

    It has these groups taken out of the defaults list, and each choice of an option and values at a place of its own. A
    group that it has all the same gets values from elsewhere too: then the choice alone does not tell what it comes to.
    """
    if parts[None] or len(parts) == 1:
        return {}
    made: dict[Part, dict[tuple[str, ...], Sequence[str]]] = {part: {} for part in parts}
    for job in jobs:
        for part, places in parts.items():
            made[part].setdefault(_words(job, places), job)
    movable = [part for part in parts if part and _is_movable(part, jobs[0], folders)]
    others = max([2, *(len(choices) for part, choices in made.items() if part not in movable)])
    groups = [part for part in movable if len(made[part]) > others]
    if not groups:
        return {}
    words = [word for word in jobs[0] if _top(word) not in groups] + [f"~{group}" for group in groups]
    for group in groups:
        for n, job in enumerate(made[group].values()):
            words += [_moved(word, group, f"{APART}.{group}._{n}") for word in job if _top(word) == group]
    try:
        tree = composed(words)
    except (HydraException, OmegaConfBaseException, ConfigError):
        return {}  # what is wrong with a choice will be told when a job is composed
    found: dict[Choice, dict[str, object]] = {}
    for group in groups if APART in tree else ():
        content = tree[APART].get(group, {})
        for n, choice in enumerate(made[group] if group not in tree else ()):
            found[group, choice] = {group: content[f"_{n}"]} if f"_{n}" in content else {}
    return found


def _top(word: str) -> str:
    return re.split(r"[.@/=]", word.lstrip("+~"))[0]


def _is_movable(group: str, job: Iterable[str], folders: Sequence[Path]) -> bool:
    """Whether a job gives an option of a group that keeps to itself and, besides, at most values."""
    words = [word for word in job if _top(word) == group]
    chosen = [word.partition("=")[2] for word in words if word.startswith(f"{group}=")]
    values = [word for word in words if re.match(rf"\+{{0,2}}{group}\.[\w.]+=", word)]
    return len(chosen) == 1 and len(chosen) + len(values) == len(words) and keeps_to_itself(group, chosen[0], folders)


def _moved(word: str, group: str, place: str) -> str:
    """The override of a group for its copy in another place."""
    if word.startswith(f"{group}="):
        return f"+{group}@{place}={word.partition('=')[2]}"
    return word.replace(f"{group}.", f"{place}.", 1)


# --- interpolations ---------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"\$\{(?:oc\.env:[^${}]*|\.{0,2}([A-Za-z_]\w*)(?:[.\[][^${}:]*)?)\}")


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


def _read_by(name: str, sections: Mapping[str, Section]) -> Iterator[Section]:
    """The section of that name and all that its interpolations read, directly or not, in the order of the sections."""
    found: set[str] = set()
    left = [name]
    while left:
        key = left.pop()
        if key in sections and key not in found:
            found.add(key)
            reads = sections[key].reads
            left += sections if reads is None else reads
    return (section for key, section in sections.items() if key in found)


def _resolved(*sections: Section) -> dict[str, object]:
    from omegaconf import OmegaConf

    tree = OmegaConf.create({section.name: section.values for section in sections})
    return cast(dict[str, object], OmegaConf.to_container(tree, resolve=True, throw_on_missing=True))


def _configuration(sections: Mapping[str, Section], folders: Sequence[Path], once: Once) -> Config:
    from omegaconf import OmegaConf

    try:
        values = {
            name: section.values if section.final else once(_resolved, *_read_by(name, sections))[name]
            for name, section in sections.items()
        }
    except OmegaConfBaseException:  # to be told as it is for a single experiment
        return from_hydra(OmegaConf.create({name: section.values for name, section in sections.items()}), folders)
    config = from_mapping(values, folders, once)
    once(check_paths, config.paths)
    once(tracking_options.check, config.tracking)
    return config
