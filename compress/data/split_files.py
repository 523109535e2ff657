"""Which Parquet files hold a task's splits: in a folder of its own, or in a data set's repository.

A repository's README may say so, and name the classes, in the YAML at its head (the hub's "card").
"""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import fnmatchcase

from compress.storage.repositories import Lacking, Repository
from compress.task.config import TaskConfig

SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(-[0-9a-f]+)?\.parquet")


def aliases(task: TaskConfig) -> dict[str, list[str]]:
    """The names under which a task's splits may be found; its first validation split also as plain `validation`."""
    first, *others = task.validation
    return {"train": ["train"], first: list(dict.fromkeys([first, "validation"])), **{name: [name] for name in others}}


def split_files(names: Collection[str], task: TaskConfig, below: str = "") -> dict[str, list[str]]:
    """The Parquet files of a task's splits, whose names begin with `below`; Lacking, but for a second validation split.

    `train.parquet`, all of `train-00000-of-00002.parquet` …, or all Parquet files in `train/` or `train.parquet/`.
    """
    splits = {}
    for number, (split, called) in enumerate(aliases(task).items()):
        files = next((files for name in called if (files := _files(names, f"{below}{name}"))), [])
        if files:
            splits[split] = files
        elif number < 2:
            raise Lacking(" or ".join(f"{below}{name}.parquet" for name in called))
    return splits


def _files(names: Collection[str], split: str) -> list[str]:
    one = [name for name in names if name == f"{split}.parquet"]
    shards = [name for name in sorted(names) if (shard := SHARD.fullmatch(name)) and shard[1] == split]
    inside = [name for name in sorted(names) if re.fullmatch(rf"{re.escape(split)}(\.parquet)?/[^/]+\.parquet", name)]
    sets = [files for files in (one, shards, inside) if files]
    if len(sets) > 1:
        raise Lacking(f"one set of files of {split}: {' or '.join(files[0] for files in sets)} must go")
    return whole(sets[0]) if sets else []


def whole(files: list[str]) -> list[str]:
    """The files, if those that are shards (`…-00000-of-00002.parquet`) are all of them, each once; else Lacking."""
    every = [shard for name in files if (shard := SHARD.fullmatch(name))]
    for stem in sorted({shard[1] for shard in every}):
        shards = [shard for shard in every if shard[1] == stem]
        numbers, counts = [int(shard[2]) for shard in shards], {shard[3] for shard in shards}
        if len(set(numbers)) < len(numbers) or len(counts) > 1:
            raise Lacking(f"one set of parts of {stem}: of {', '.join(shard[0] for shard in shards)} some must go")
        if missing := sorted(set(range(int(shards[0][3]))) - set(numbers)):
            raise Lacking(f"{stem}-{missing[0]:05}-of-{shards[0][3]}.parquet, a part of {stem}")
    return files


def files_of_repository(repository: Repository, task: TaskConfig) -> dict[str, list[str]]:
    """The Parquet files of a task's splits in a repository: as its README says, else `<task>/<split>…`; or Lacking."""
    configs = _dictionaries(_readme(repository).get("configs"))
    files_of = next((config.get("data_files") for config in configs if config.get("config_name") == task.name), None)
    paths = {str(entry.get("split")): entry.get("path") for entry in _dictionaries(files_of)}
    listed = {split: list(map(str, path if isinstance(path, list) else [path])) for split, path in paths.items()}
    if not listed:
        return split_files(repository.names, task, f"{task.name}/")
    splits = {}
    for number, (split, called) in enumerate(aliases(task).items()):
        patterns = next((listed[name] for name in called if name in listed), [])
        files = sorted(name for name in repository.names if any(_matches(name, pattern) for pattern in patterns))
        if others := [name for name in files if not name.endswith(".parquet")]:
            raise Lacking(f"Parquet files of {split} (it has {others[0]}; try data.revision=refs/convert/parquet)")
        if files:
            splits[split] = whole(files)
        elif number < 2:
            raise Lacking(f"files of {split} in its {task.name}" + (f" ({', '.join(patterns)})" if patterns else ""))
    return splits


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
    every = _dictionaries(_readme(repository).get("dataset_info"))
    infos = [info for info in every if info.get("config_name") == task.name]
    features = [feature for info in infos for feature in _dictionaries(info.get("features"))]
    kinds = [kind for feature in features if feature.get("name") == "label" for kind in _dictionaries(feature["dtype"])]
    names = next((label.get("names") for kind in kinds for label in _dictionaries(kind.get("class_label"))), None)
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        names = [numbered.get(str(number)) for number in range(len(names))]
    if not names:
        return None
    if not isinstance(names, list) or None in names:
        raise Lacking(f"the names of {task.name}'s classes by their numbers in its README.md")
    return [str(name) for name in names]
