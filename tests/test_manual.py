"""The manual: its commands are taken by the programs, its links lead somewhere, its tutorials run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from compress.errors import ConfigError
from tests import configuration_page, manual_commands
from tests.manual import FENCE, ROOT, blocks, run, slug, tracked

TRACKED = tracked()
NO_MANUAL = ("CHANGELOG.md", "tests/odd_inputs.md", "tests/faults.md")  # a history, and tables made from tests
MANUAL = [
    name for name in TRACKED if name.endswith(".md") and name not in NO_MANUAL and not name.startswith(".github/")
]
TUTORIALS = [name for name in MANUAL if Path(name).parent.name == "tutorials"]
ON_A_CLUSTER = "launch/tutorials/cluster.md"  # run by tests/slurm
WITH_SHARED = ("CONTRIBUTING.md", "tests/README.md")  # may name what only a developer's machine has
EXAMPLES = {"compress/methods/snap.py"}  # files that a reader makes

LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the manual's placeholders are."""
    made = tmp_path_factory.mktemp("manual")
    manual_commands.placeholders(made)
    return made


@pytest.mark.parametrize("name", [name for name in MANUAL if name not in TUTORIALS])
def test_commands_are_taken(name: str, folder: Path) -> None:
    """Each command composes or parses; one that is shown with its error is refused with that."""
    _report(_wrong_commands(name, folder))


def _wrong_commands(name: str, folder: Path) -> Iterator[str]:
    for block in blocks(ROOT / name):
        for command in block.commands():
            expected = next(iter(command.printed), "")
            refused = ""
            try:
                manual_commands.check(command.text, folder)
            except ConfigError as error:
                refused = f"error: {error}"
            if expected.startswith("error: "):
                pattern = ".*".join(re.escape(piece) for piece in expected.split("…"))
                if not re.fullmatch(pattern, refused):
                    yield f"{name}:{command.line}: {command.text}\n    says {refused or 'nothing'}, not {expected}"
            elif refused:
                yield f"{name}:{command.line}: {command.text}\n    {refused}"


@pytest.mark.parametrize("name", MANUAL)
def test_links_lead_to_tracked_files_and_headings(name: str) -> None:
    """On a fresh clone, as GitHub shows it."""
    _report(_wrong_links(name))


def _wrong_links(name: str) -> Iterator[str]:
    for number, line in _prose(name):
        for target in LINK.findall(re.sub(r"`[^`]*`", "``", line)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = _relative((ROOT / name).parent / path) if path else name
            if there not in TRACKED and not any(file.startswith(f"{there}/") for file in TRACKED):
                yield f"{name}:{number}: {target}: no such file in the repository"
            elif anchor and there.endswith(".md") and anchor not in _anchors(there):
                yield f"{name}:{number}: {target}: no such heading in {there}"


def _relative(path: Path) -> str:
    parts: list[str] = []
    for part in path.relative_to(ROOT).parts:
        if part == "..":
            parts = parts[:-1] if parts else ["(outside)"]
        else:
            parts.append(part)
    return "/".join(parts)


@pytest.mark.parametrize("name", MANUAL)
def test_files_that_are_named_are_there(name: str) -> None:
    """Of the repository; what lies outside a clone is named for developers alone."""
    _report(_wrong_files(name))


def _wrong_files(name: str) -> Iterator[str]:
    for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
        if name not in WITH_SHARED and re.search(r"(^|[\s`=(])(\.\./)*shared/", line):
            yield f"{name}:{number}: names shared/, which no clone has"
    for number, line in _prose(name):
        for file in re.findall(r"`((?:compress|launch|analysis|tests|\.ci|\.github)/[\w./-]+\.\w+)`", line):
            if file not in TRACKED and file not in EXAMPLES:
                yield f"{name}:{number}: {file}: no such file in the repository"


def _prose(name: str) -> Iterator[tuple[int, str]]:
    """The lines of a page outside its blocks."""
    inside = ""
    for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
        if inside:
            inside = "" if line.strip() == inside else inside
        elif fence := FENCE.match(line):
            inside = fence["ticks"]
        else:
            yield number, line


def _anchors(name: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found: set[str] = set()
    for _, line in _prose(name):
        if heading := re.match(r"#{1,6} +(.*?)[ #]*$", line):
            text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            anchor = slug(text)
            repeated = (f"{anchor}-{count}" for count in range(1, 1000))
            found.add(anchor if anchor not in found else next(name for name in repeated if name not in found))
    return found


def test_the_readme_is_short() -> None:
    """What a first reader needs; all else is in the manual."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


def test_the_page_of_the_configuration_is_made_from_it() -> None:
    """`make manual` writes it."""
    assert configuration_page.PAGE.read_text(encoding="utf-8") == configuration_page.page(), "run make manual"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TUTORIALS if name != ON_A_CLUSTER])
def test_tutorials_run(name: str, tmp_path: Path) -> None:
    """From top to bottom in an empty folder, and print what they say."""
    run(ROOT / name, tmp_path)


def _report(wrong: Iterator[str]) -> None:
    told = "\n".join(wrong)
    assert not told, f"\n{told}"
