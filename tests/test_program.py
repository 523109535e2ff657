"""Every command under one name."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Sequence

import pytest

import analysis.cli
import compress.cli
import compress.task_file
import launch.cli
from compress import called, program
from tests.conftest import ROOT

DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]


def test_it_has_every_verb_of_the_launcher_and_the_analysis() -> None:
    verbs = DECLARED[program.VERBS]
    assert {verb for verb, place in verbs.items() if place.startswith("launch.")} == set(launch.cli.VERBS)
    of_analysis = {verb for verb, place in verbs.items() if place.startswith("analysis.")}
    assert of_analysis == {*analysis.cli.VERBS, *analysis.cli.ALONE}


def test_it_has_every_command_that_is_called_by_a_module() -> None:
    places = {place.partition(":")[0] for place in DECLARED[program.PROGRAMS].values()}
    ends = 'if __name__ == "__main__":'
    called = {path for path in (ROOT / "compress").glob("*.py") if ends in path.read_text(encoding="utf-8")}
    assert called
    assert {f"compress.{path.stem}" for path in called} <= places | {"compress.__main__"}


def test_help_shows_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in (*DECLARED[program.VERBS], *DECLARED[program.PROGRAMS]):
        assert f"\n  {verb} " in shown


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["plan", "task=sst"], lambda: launch.cli.main(["plan", "task=sst"])),
        (["table", "nowhere"], lambda: analysis.cli.main(["table", "nowhere"])),
        (["table", "--help"], lambda: analysis.cli.main(["table", "--help"])),
        (["task", "nowhere.csv"], lambda: compress.task_file.main(["nowhere.csv"])),
        (["run", "task=sst"], lambda: compress.cli.main(["task=sst"])),
        (["task=sst"], lambda: compress.cli.main(["task=sst"])),
        (["grid", "task=sst"], lambda: compress.cli.main(["-m", "+experiment=grid", "task=sst"])),
        (
            ["grid", "+experiment=papr"],
            lambda: compress.cli.main(["-m", "+experiment=papr"]),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_verb_is_what_its_own_command_is(words: Sequence[str], same, capsys: pytest.CaptureFixture[str]) -> None:
    ends = []
    for call in (lambda: program.main(words), same):
        try:
            ends.append((call(), *capsys.readouterr()))
        except SystemExit as end:  # argparse's --help
            ends.append((end.code, *capsys.readouterr()))
    with called.by_name():
        expected = tuple(called.as_typed(text) if isinstance(text, str) else text for text in ends[1])
    assert [str(end).split() for end in ends[0]] == [str(end).split() for end in expected], "but for where lines break"
    assert ends[0][1] or ends[0][2]
    assert "python -m" not in ends[0][1] + ends[0][2]


@pytest.mark.parametrize("verb", sorted({*DECLARED[program.VERBS], *DECLARED[program.PROGRAMS]}))
def test_the_help_of_a_verb_names_the_command_as_it_was_typed(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert program.main([verb, "--help"]) == 0
    usage = capsys.readouterr().out.splitlines()[0]
    assert usage.startswith(f"usage: {called.NAME} " + (f"{verb} " if verb not in ("run", "grid") else "")), usage


def test_another_word_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["reprot"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: reprot: must be of ablation, ")
    assert told.endswith("(did you mean report?)\n")
