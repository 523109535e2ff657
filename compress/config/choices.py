"""Sweeps over the options of groups: what a choice within one group comes to is composed once for all jobs."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from compress.config.schema import keys
from compress.config.sections import Compose, Section, section
from compress.errors import ConfigError

Key = str | None  # a top-level key that some swept overrides set, and no other; None: all the other keys
Choice = tuple[Key, tuple[str, ...]]  # a key, and the overrides that decide what is under it
APART = "_apart_"  # where options are composed each for itself
_CHOICE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


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
            content = _subtree(tree, choice[0], positions)
            trusted &= contents.setdefault(choice, content) == content  # else some way to change a group was overlooked
    if not trusted:
        yield from ({name: section(name, value) for name, value in compose(job).items()} for job in jobs)
        return
    sections = {
        choice: {name: None if value is ... else section(name, value) for name, value in content.items()}
        for choice, content in contents.items()
    }
    for of_job in choices:
        together = {name: made for choice in of_job for name, made in sections[choice].items()}
        yield {name: made for name, made in together.items() if made is not None}


def _words(job: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    return tuple(job[place] for place in places if place < len(job))


def _subtree(tree: Mapping[str, object], key: Key, keys: Iterable[Key]) -> dict[str, object]:
    """Subtree under one top-level key, shared by jobs with equal overrides for it; of None: that of all other keys.

    The latter has `...` where the others belong.
    """
    if key is not None:
        return {name: value for name, value in tree.items() if name == key}
    return {name: ... if name in keys else value for name, value in tree.items()}


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
    """Positions of swept overrides, grouped by the top-level key they set.

    Under None, and in every group, are those that may change more than one key.
    """
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
        key = None if deciding is None or name in deciding else _only_key(name, words, folders)
        if key is None:
            of_several.append(place)
        else:
            by_key.setdefault(key, []).append(place)
    return {None: of_several} | {key: [*places, *of_several] for key, places in by_key.items()}


def _only_key(name: str, words: Iterable[str], folders: Sequence[Path]) -> Key:
    """The one top-level key these overrides change; None if others may change."""
    if any((folder / name).is_dir() for folder in folders):
        alone = "/" not in name and all(writes_only_its_group(name, word.partition("=")[2], folders) for word in words)
        return name if alone else None
    return name.partition(".")[0] if name in keys() else None


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
    """Groups whose choice is read in some defaults list (`- ${task}_${model}`), and so decides on other files as well.

    None: perhaps any.
    """
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
            words += [_moved(word, group, f"{APART}.{group}._{n}") for word in job if top_level_key(word) == group]
    try:
        tree = compose(words)
    except (HydraException, OmegaConfBaseException, ConfigError):
        return {}  # what is wrong with a choice will be told when a job is composed
    apart = tree.get(APART)
    contents: dict[Choice, dict[str, object]] = {}
    if not isinstance(apart, dict):
        return contents
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
    return (
        len(chosen) == 1
        and len(chosen) + len(values) == len(words)
        and writes_only_its_group(group, chosen[0], folders)
    )


def _moved(word: str, group: str, place: str) -> str:
    """The override of a group for its copy in another place."""
    if word.startswith(f"{group}="):
        return f"+{group}@{place}={word.partition('=')[2]}"
    return word.replace(f"{group}.", f"{place}.", 1)
