"""What the README of a data set on the hub says of its files and classes, as YAML at its head (the hub's "card")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from compress.storage.repositories import Lacking, Repository

if TYPE_CHECKING:
    from compress.task.config import TaskConfig


def head(repository: Repository) -> dict[str, object]:
    """What the README of a data set says in its head; empty without one.

    Raises:
        Lacking: it is not YAML.
    """
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


def patterns(about: Mapping[str, object], task: TaskConfig) -> dict[str, list[str]]:
    """Split -> patterns of its files, of the README's configuration that is called like the task."""
    configs = _dictionaries(about.get("configs"))
    files = next((config.get("data_files") for config in configs if config.get("config_name") == task.name), None)
    return {str(entry.get("split")): _listed(entry.get("path")) for entry in _dictionaries(files)}


def _dictionaries(value: object) -> list[dict[str, object]]:
    """Those in a list; a single one counts as a list."""
    return [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, dict)]


def _listed(paths: object) -> list[str]:
    return [str(path) for path in paths] if isinstance(paths, list) else [str(paths)]


def class_names(about: Mapping[str, object], task: TaskConfig) -> list[str] | None:
    """The class names that a README gives for the task's labels, in the order of their numbers.

    Raises:
        Lacking: it gives names, but not by number.
    """
    infos = [info for info in _dictionaries(about.get("dataset_info")) if info.get("config_name") == task.name]
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
