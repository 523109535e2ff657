"""Which files hold a task's splits: in a folder of its own, or in a data set's repository.

A repository's README may say so, and name the classes, in the YAML at its head (the hub's "card").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from compress.storage.repositories import Lacking, Repository
from compress.task.config import TaskConfig

PARQUET, TEXTUAL = (".parquet",), (".csv", ".tsv", ".jsonl", ".json")
SUFFIXES = (*PARQUET, *(suffix + packed for suffix in TEXTUAL for packed in ("", ".gz")))
SHARD = re.compile(rf"(.+)-(\d{{5}})-of-(\d{{5}})(-[0-9a-f]+)?({'|'.join(map(re.escape, SUFFIXES))})")
FORMATS = ".parquet (or .csv, .tsv, .jsonl)"  # as messages call them


def aliases(task: TaskConfig, only: Sequence[str] = ()) -> dict[str, list[str]]:
    """The names under which a task's splits may be found; its first validation split also as plain `validation`.

    A split that `task.splits` names is found under that name alone. With `only` these splits in place of the task's,
    the first of `test_matched`, `test_mismatched` also as plain `test`.
    """
    first, *others = only or task.validation
    plain = first.partition("_")[0] if only else "validation"
    usual = {first: list(dict.fromkeys([first, plain]))} | {name: [name] for name in others}
    usual = usual if only else {"train": ["train"], **usual}
    return usual | {split: [called] for split, called in (task.splits or {}).items() if not only or split in only}


def split_files(
    names: Collection[str], task: TaskConfig, below: str = "", only: Sequence[str] = ()
) -> dict[str, list[str]]:
    """The files of a task's splits, whose names begin with `below`; Lacking, but for a second validation split.

    `train.parquet`, all of `train-00000-of-00002.parquet` …, or all Parquet files in `train/` or `train.parquet/`. Only
    where there is no such file of a split, those of another format, which are called alike.
    """
    splits = {}
    for number, (split, called) in enumerate(aliases(task, only).items()):
        files = next((files for name in called if (files := _files(names, f"{below}{name}"))), [])
        if files:
            splits[split] = files
        elif _required(number, task, only):
            raise Lacking(" or ".join(f"{below}{name}{FORMATS}" for name in called))
    return splits


def _required(number: int, task: TaskConfig, only: Sequence[str]) -> bool:
    """Whether the files of a split, train being the first, must be there: one for scoring may be cut off train."""
    return number == 0 or (number == 1 and not only and task.held_out is None)


def _files(names: Collection[str], split: str) -> list[str]:
    for suffixes in (PARQUET, SUFFIXES[1:]):
        sets = [files for suffix in suffixes for files in _sets(names, split, suffix)]
        if len(sets) > 1:
            raise Lacking(f"one set of files of {split}: {' or '.join(files[0] for files in sets)} must go")
        if sets:
            return whole(sets[0])
    return []


def _sets(names: Collection[str], split: str, suffix: str) -> list[list[str]]:
    """The sets of files, of one format, that a split may be."""
    one = [name for name in names if name == f"{split}{suffix}"]
    shards = [name for name in sorted(names)
              if (shard := SHARD.fullmatch(name)) and (shard[1], shard[5]) == (split, suffix)]  # fmt: skip
    folder, ending = rf"{re.escape(split)}(\.parquet)?", re.escape(suffix)
    inside = [name for name in sorted(names) if re.fullmatch(rf"{folder}/[^/]+{ending}", name)]
    return [files for files in (one, shards, inside) if files]


def whole(files: list[str]) -> list[str]:
    """The files, if those that are shards (`…-00000-of-00002.parquet`) are all of them, each once; else Lacking."""
    every = [shard for name in files if (shard := SHARD.fullmatch(name))]
    for stem in sorted({shard[1] for shard in every}):
        shards = [shard for shard in every if shard[1] == stem]
        numbers, counts = [int(shard[2]) for shard in shards], {shard[3] for shard in shards}
        if len(set(numbers)) < len(numbers) or len(counts) > 1:
            raise Lacking(f"one set of parts of {stem}: of {', '.join(shard[0] for shard in shards)} some must go")
        if missing := sorted(set(range(int(shards[0][3]))) - set(numbers)):
            raise Lacking(f"{stem}-{missing[0]:05}-of-{shards[0][3]}{shards[0][5]}, a part of {stem}")
    return files


def files_of_repository(repository: Repository, task: TaskConfig, only: Sequence[str] = ()) -> dict[str, list[str]]:
    """The files of a task's splits in a repository: as its README says, else `<subset>/<split>…`; or Lacking.

    The subset is the task's name in a data set of several tasks, `task.subset` in one of its own.
    """
    listed = _listed(repository, task)
    if not listed:
        return _unlisted(repository, task, only)
    splits = {}
    for number, (split, called) in enumerate(aliases(task, only).items()):
        patterns = next((listed[name] for name in called if name in listed), [])
        files = sorted(name for name in repository.names if any(_matches(name, pattern) for pattern in patterns))
        if others := [name for name in files if not name.endswith(SUFFIXES)]:
            raise Lacking(f"files of {split} that can be read (it has {others[0]}; try revision=refs/convert/parquet)")
        if files:
            splits[split] = whole(files)
        elif _required(number, task, only):
            where = f" ({', '.join(patterns)})" if patterns else f" (its README names {', '.join(listed)})"
            raise Lacking(f"files of {split} in its {_subset(task) or 'README.md'}{where}")
    return splits


def _subset(task: TaskConfig) -> str | None:
    """Which configuration of a data set is meant; None for the only one, or the usual one."""
    return task.subset or (None if task.hub else task.name)


def _listed(repository: Repository, task: TaskConfig) -> dict[str, list[str]]:
    """The patterns of each split's files, as the README has them; nothing where it says nothing of the subset."""
    every = [config for config in _dictionaries(_readme(repository).get("configs")) if config.get("data_files")]
    config = _of_subset(every, task)
    if config is None and every and task.hub:
        names = ", ".join(str(config.get("config_name")) for config in every)
        raise Lacking(f"a subset {task.subset or 'that is the usual one'}: it has {names}; give one as task.subset")
    files = config["data_files"] if config else []
    entries = files if isinstance(files, list) else [files]
    plain = [entry for entry in entries if isinstance(entry, str)]  # of train, unless it is said
    paths = {str(entry.get("split")): entry.get("path") for entry in _dictionaries(files)}
    paths |= {"train": plain} if plain and task.hub else {}
    return {split: list(map(str, path if isinstance(path, list) else [path])) for split, path in paths.items()}


def _of_subset(described: list[dict[str, object]], task: TaskConfig) -> dict[str, object] | None:
    """That of a subset, of what a README says of each; the usual one if none is asked for."""
    name = _subset(task)
    if name is not None:
        return next((one for one in described if one.get("config_name") == name), None)
    usual = [one for one in described if one.get("default") is True or one.get("config_name") in (None, "default")]
    return usual[0] if usual else described[0] if len(described) == 1 else None


def _unlisted(repository: Repository, task: TaskConfig, only: Sequence[str]) -> dict[str, list[str]]:
    """The files that lie where they usually do; of a data set of its own in any of the usual folders."""
    subset = _subset(task)
    folders = [f"{subset}/"] if subset else ["", "data/", "default/"]
    for below in folders:
        with suppress(Lacking):
            return split_files(repository.names, task, below, only)
    return split_files(repository.names, task, folders[0], only)


def _matches(name: str, pattern: str) -> bool:
    """Whether a path is one that a pattern means: `*` is within a folder, `**` is any number of folders."""

    def match(parts: list[str], patterns: list[str]) -> bool:
        if not patterns:
            return not parts
        if patterns[0] == "**":
            return match(parts, patterns[1:]) or (bool(parts) and match(parts[1:], patterns))
        return bool(parts) and fnmatchcase(parts[0], patterns[0]) and match(parts[1:], patterns[1:])

    return match(name.split("/"), pattern.removeprefix("./").split("/"))


def _readme(repository: Repository) -> dict[str, object]:
    """What the README of a data set says in its head; empty without one. Raises Lacking if that is no YAML."""
    import yaml

    if "README.md" not in repository.names:
        return {}
    text = repository.get("README.md").read_text(encoding="utf-8", errors="replace")
    yaml_block = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        values = yaml.safe_load(yaml_block[1]) if yaml_block else {}
    except yaml.YAMLError as error:
        raise Lacking(f"a README.md with YAML at its head ({' '.join(str(error).split())[:160]})") from error
    return values if isinstance(values, dict) else {}


def _dictionaries(value: object) -> list[dict[str, object]]:
    """Those in a list; a single one counts as a list."""
    return [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, dict)]


def class_names(repository: Repository, task: TaskConfig) -> list[str] | None:
    """The class names that a README gives for the task's labels, by their numbers; Lacking if not by numbers."""
    info = _of_subset(_dictionaries(_readme(repository).get("dataset_info")), task)
    labels = [feature for feature in _dictionaries(info and info.get("features")) if feature.get("name") == task.label]
    kinds = [kind for feature in labels for kind in _dictionaries(feature.get("dtype"))]
    names = next((label.get("names") for kind in kinds for label in _dictionaries(kind.get("class_label"))), None)
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        names = [numbered.get(str(number)) for number in range(len(names))]
    if not names:
        return None
    if not isinstance(names, list) or None in names:
        raise Lacking(f"the names of {task.name}'s classes by their numbers in its README.md")
    return [str(name) for name in names]
