"""Odd inputs that people really have, and what becomes of each; the tests and tests/odd_inputs.md are made of it.

python -m tests.odd_inputs      # writes tests/odd_inputs.md anew
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.config.schema import Config, from_mapping
from compress.errors import ConfigError, one_line

DOCUMENT = Path(__file__).with_name("odd_inputs.md")
Make = Callable[[Path], object]  # changes a folder that holds the good input
Values = Mapping[str, Any]  # of a configuration
FOLDERS = {"model.pretrained": "checkpoint", "data.path": "data"}
Settings = Mapping[str, Any]  # by name
NOTHING: Settings = {}


@dataclass(frozen=True)
class Taken:
    """It is loaded; what is said here is all in which it differs from the good input.

    Attributes:
        start: fields of a result's `start`.
        tokens: of a text, where they are other ones.
        splits: columns of a split, where they are other ones.
    """

    start: Mapping[str, Any] = field(default_factory=dict)
    tokens: Mapping[str, list[str]] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """It ends in one line.

    Attributes:
        told: what the line must have, a regular expression: what is wrong, where, and the fix.
    """

    told: str


@dataclass(frozen=True)
class Case:
    """One odd input.

    Attributes:
        settings: configuration besides the folder, by key.
    """

    make: Make
    expected: Taken | Refused
    settings: Mapping[str, Any] = field(default_factory=dict)


def taken(make: Make, start: Settings = NOTHING, *, settings: Settings = NOTHING, **differences: Any) -> Case:
    """A case that is loaded; of what differs see `Taken`."""
    return Case(make, Taken(start, **differences), settings)


def refused(make: Make, told: str, *, settings: Settings = NOTHING) -> Case:
    """A case that is refused in a line that has this."""
    return Case(make, Refused(told), settings)


@dataclass(frozen=True)
class Kind:
    """Odd inputs of one kind, as the document has them in a row.

    Attributes:
        group: its heading.
        what: the input, in words.
        outcome: what becomes of it, in words.
        cases: by name.
        test: that of a kind without cases.
    """

    group: str
    what: str
    outcome: str
    cases: Mapping[str, Case] = field(default_factory=dict)
    test: str = ""


def cases(kinds: Iterable[Kind], expected: type[Taken | Refused]) -> dict[str, Case]:
    """All cases with such an outcome, by a name that is theirs alone."""
    named = [(name, case) for kind in kinds for name, case in kind.cases.items()]
    assert len(named) == len(dict(named)), "two cases have one name"
    return {name: case for name, case in named if isinstance(case.expected, expected)}


def changed(values: Mapping[str, Any], settings: Settings) -> Config:
    """The checked configuration of nested values, with some of them changed.

    Raises:
        ConfigError: as the command line does.
    """
    nested = dict(values)
    for key, value in settings.items():
        group, _, name = key.partition(".")
        nested[group] = {**nested[group], name: value}
    return from_mapping(nested)


def asking(case: Case, values: Callable[[str], Values], key: str, good: Path, place: Path) -> Callable[[], Config]:
    """Make a case's folder; a function that asks for an experiment with it.

    Args:
        values: of a task: a configuration with the good input.
        key: names the folder in it.
        good: the folder with the good input.
        place: where the case's folder and the runs are made.
    """
    folder = shutil.copytree(good, place / FOLDERS[key])
    case.make(folder)
    settings = {key: str(folder), "paths.runs": str(place / "runs")} | filled(case.settings, folder)
    task = settings.pop("task", "sst2")
    return lambda: changed(values(task), settings)


def assert_one_line(error: ConfigError, expected: Refused) -> None:
    """A refusal is one line, begins with the key, says what is meant, and ends with what to do."""
    told = str(error)
    assert one_line(told) == told
    assert re.match(r"(model\.\w+|data(\.\w+)?|task\.\w+)(=|: )", told), told
    assert re.search(expected.told, told), told
    assert re.search(r"; \w", told), told


def filled(settings: Settings, folder: Path) -> dict[str, Any]:
    """Settings with the folder of the odd input in place of `{folder}`."""
    return {
        key: value.replace("{folder}", str(folder)) if isinstance(value, str) else value
        for key, value in settings.items()
    }


def document(kinds: Iterable[Kind]) -> str:
    """The kinds as Markdown, a table for each group."""
    groups: dict[str, list[Kind]] = {}
    for kind in kinds:
        groups.setdefault(kind.group, []).append(kind)
    parts = [HEAD]
    for group, members in groups.items():
        rows = "\n".join(f"| {kind.what} | {kind.outcome} |" for kind in members)
        parts.append(f"## {group}\n\n| what is given | what becomes of it |\n| --- | --- |\n{rows}\n")
    return "\n".join(parts)


HEAD = """\
# Odd inputs

What becomes of checkpoints and data sets that are not quite as they should be. The checkpoints here are BERT's; [other
encoders](../compress/model/README.md) are read and checked in the same way, with their own tokenizers. Either the
numbers are those of a good input, or nothing is trained: one line on stderr names the key, the file, what is wrong with
it and what to do, and the exit code is 2. `start` and `notes` are fields of `result.json`. Every row is tested, with
the examples in `tests/odd_weights.py`, `odd_tokenizers.py` and `odd_data.py`; `python -m tests.odd_inputs` writes this
file from them.
"""


def kinds() -> list[Kind]:
    """All of them, in the order of the document."""
    from tests import odd_data, odd_tokenizers, odd_weights

    return [*odd_weights.KINDS, *odd_tokenizers.KINDS, *odd_data.KINDS]


if __name__ == "__main__":
    DOCUMENT.write_text(document(kinds()), encoding="utf-8")
