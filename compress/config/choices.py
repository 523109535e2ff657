"""Sweeps over the options of groups: what a choice within one group comes to is composed once for all jobs."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from compress.config.schema import keys
from compress.errors import ConfigError

Compose = Callable[[Sequence[str]], dict[str, object]]  # overrides -> what Hydra composes, interpolations unresolved
Key = str | None  # a top-level key that some swept overrides set, and no other; None: all the other keys
Choice = tuple[Key, tuple[str, ...]]  # a key, and the overrides that decide what is under it
APART = "_apart_"  # where options are composed each for itself
_CHOICE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_PLAIN = re.compile(r"\$\{(?:oc\.env:[^${}]*|\.{0,2}([A-Za-z_]\w*)(?:[.\[][^${}:]*)?)\}")


@dataclass(frozen=True, eq=False)
class Section:
    """What is composed under one top-level key; jobs that make the same choice share it, and what is made of it."""

    name: str
    values: object  # interpolations unresolved
    final: bool  # whether there is nothing to resolve and nothing missing
    reads: frozenset[str] | None  # top-level keys that the interpolations read; None: perhaps any


def section(name: str, values: object) -> Section:
    """What is composed under a top-level key; of interpolations nested ones and resolvers but `oc.env` may read any."""
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


def compose_choices(
    jobs: Sequence[Sequence[str]], compose: Compose, folders: Sequence[Path]
) -> Iterator[dict[str, Section]]:
    """What `compose` gives for every job, from few compositions.

    An override changes one group as a rule: `model=…` the group model, `prune.sparsity=…` the group prune. Where that
    can be shown, each choice within a group needs to be composed only once, and one composition shows a choice in every
    group. Whatever may change more than its group is composed with everything that it may change.
    """
    positions = swept_positions(jobs, folders)
    choices = [[(key, _words(job, places)) for key, places in positions.items()] for job in jobs]
    contents = _compose_largest_groups(jobs, positions, compose, folders)
    chosen = cover([{choice for choice in of_job if choice not in contents} for of_job in choices])
    trusted = len(chosen) < len(jobs)
    for job in chosen if trusted else ():
        tree = compose(jobs[job])
        for choice in choices[job]:
            content = {name: value for name, value in tree.items() if name == choice[0]}
            if choice[0] is None:
                content = {name: ... if name in positions else value for name, value in tree.items()}
            trusted &= contents.setdefault(choice, content) == content  # else some way to change a group was overlooked
    if not trusted:
        yield from ({name: section(name, value) for name, value in compose(job).items()} for job in jobs)
        return
    sections = {choice: {name: None if value is ... else section(name, value) for name, value in content.items()}
                for choice, content in contents.items()}  # fmt: skip
    for of_job in choices:
        together = {name: made for choice in of_job for name, made in sections[choice].items()}
        yield {name: made for name, made in together.items() if made is not None}


def _words(job: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    return tuple(job[place] for place in places if place < len(job))


def cover(choices: Sequence[AbstractSet[Choice]]) -> list[int]:
    """Numbers of a few jobs that between them make every choice: always the one with the most choices not yet made."""
    missing = set().union(*choices)
    chosen = []
    while missing:
        best = max(range(len(choices)), key=lambda job: len(choices[job] & missing))
        chosen.append(best)
        missing -= choices[best]
    return chosen


def swept_positions(jobs: Sequence[Sequence[str]], folders: Sequence[Path]) -> dict[Key, list[int]]:
    """Positions of swept overrides by the top-level key they set; of several keys: under None, and under each."""
    names = {tuple(word.partition("=")[0] for word in job) for job in jobs}
    if len(names) > 1:
        return {None: list(range(max(map(len, names))))}
    columns = {place: dict.fromkeys(words) for place, words in enumerate(zip(*jobs, strict=True))}
    swept = {place: list(words) for place, words in columns.items() if len(words) > 1}
    deciding = groups_read_in_defaults(folders) if swept else frozenset()
    by_key: dict[Key, list[int]] = {}
    of_several = []
    for place, words in swept.items():
        name = words[0].partition("=")[0].lstrip("+")
        alone = name in keys()
        if any((folder / name).is_dir() for folder in folders):
            options = (word.partition("=")[2] for word in words)
            alone = "/" not in name and all(writes_only_its_group(name, option, folders) for option in options)
        if alone and deciding is not None and name not in deciding:
            by_key.setdefault(name.partition(".")[0], []).append(place)
        else:
            of_several.append(place)
    return {None: of_several} | {key: [*places, *of_several] for key, places in by_key.items()}


def writes_only_its_group(group: str, option: str, folders: Sequence[Path], based_on: tuple[str, ...] = ()) -> bool:
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
            if entry != "_self_" and not writes_only_its_group(group, entry, folders, (*based_on, option)):
                return False
    return bool(texts)


def groups_read_in_defaults(folders: Iterable[Path]) -> frozenset[str] | None:
    """Groups on which other files depend, by defaults lists like `- ${task}_${model}`; None: perhaps on any."""
    groups: set[str] = set()
    for folder in folders:
        if not folder.is_dir():
            return None
        for file in glob.iglob(f"{glob.escape(str(folder))}/**/*.yaml", recursive=True):
            text = Path(file).read_text(encoding="utf-8", errors="replace") if Path(file).is_file() else ""
            listed = _defaults(text) if "${" in text else []
            groups |= set(_CHOICE.findall(str(listed)))
            if listed is None or "${" in _CHOICE.sub("", str(listed)):
                return None
    return frozenset(groups)


def _defaults(text: str) -> list[object] | None:
    """The defaults list of a configuration file; None where it cannot be read."""
    try:
        values = yaml.load(text, yaml.BaseLoader) if "defaults" in text else None
    except yaml.YAMLError:
        return None
    listed = values.get("defaults", []) if isinstance(values, dict) else []
    return listed if isinstance(listed, list) else None


def _compose_largest_groups(
    jobs: Sequence[Sequence[str]], positions: Mapping[Key, Sequence[int]], compose: Compose, folders: Sequence[Path]
) -> dict[Choice, dict[str, object]]:
    """Composes the options of the largest swept groups in one Hydra call.

    It has these groups taken out of the defaults list, and each choice of an option and values at a place of its own. A
    group that it has all the same gets values from elsewhere too: then the choice alone does not tell what it comes to.
    """
    if positions[None] or len(positions) == 1:
        return {}
    by_choice: dict[Key, dict[tuple[str, ...], Sequence[str]]] = {key: {} for key in positions}
    for job in jobs:
        for key, places in positions.items():
            by_choice[key].setdefault(_words(job, places), job)
    movable = [key for key in positions if key and _is_movable(key, jobs[0], folders)]
    others = max([2, *(len(choices) for key, choices in by_choice.items() if key not in movable)])
    groups = [group for group in movable if len(by_choice[group]) > others]
    if not groups:
        return {}
    words = [word for word in jobs[0] if top_level_key(word) not in groups] + [f"~{group}" for group in groups]
    for group in groups:
        for n, job in enumerate(by_choice[group].values()):
            place = f"{APART}.{group}._{n}"
            for word in (word for word in job if top_level_key(word) == group):
                chosen = word.startswith(f"{group}=")
                words.append(f"+{group}@{place}={word.partition('=')[2]}" if chosen else word.replace(group, place, 1))
    try:
        tree = compose(words)
    except (HydraException, OmegaConfBaseException, ConfigError):
        return {}  # what is wrong with a choice will be told when a job is composed
    apart = tree.get(APART)
    if not isinstance(apart, dict):
        return {}
    contents: dict[Choice, dict[str, object]] = {}
    for group in groups:
        content = apart.get(group, {})
        for n, choice in enumerate(by_choice[group] if group not in tree else ()):
            contents[group, choice] = {group: content[f"_{n}"]} if f"_{n}" in content else {}
    return contents


def top_level_key(word: str) -> str:
    """The top-level key that an override begins with."""
    return re.split(r"[.@/=]", word.lstrip("+~"))[0]


def _is_movable(group: str, job: Iterable[str], folders: Sequence[Path]) -> bool:
    """Whether a job gives an option of a group that writes into it alone and, besides, at most values."""
    words = [word for word in job if top_level_key(word) == group]
    chosen = [word.partition("=")[2] for word in words if word.startswith(f"{group}=")]
    values = [word for word in words if re.match(rf"\+{{0,2}}{group}\.[\w.]+=", word)]
    return len(chosen) == 1 == len(words) - len(values) and writes_only_its_group(group, chosen[0], folders)
