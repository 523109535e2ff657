"""`combining-compressions VERB …`: every command under one name, each with the arguments that it has as `python -m …`.

Commands are entry points: of the group `combining_compressions.verbs` those that are told their verb as the first word,
of `combining_compressions.programs` those that are told only what follows it. A package of one's own may add to both.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from compress.called import NAME, as_typed, by_name
from compress.errors import ConfigError, exit_code, nearest

VERBS, PROGRAMS = "combining_compressions.verbs", "combining_compressions.programs"
HEAD = f"""\
{NAME} VERB …; {NAME} VERB --help shows what it takes.

One experiment, or many:

  run OVERRIDES      one experiment, or with -m a sweep (python -m compress)
  grid OVERRIDES     the study's grid: run -m +experiment=grid
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the verb says; without one, what `python -m compress` does. Exit codes are those of the command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with by_name():
        return _do(words)


def _do(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_page())
        return 0
    if words[0] == "-sc" and (asked := words[-1]).startswith("verb="):  # tab completion of the first word
        print("\n".join(verb for verb in verbs() if verb.startswith(asked.removeprefix("verb="))))
        return 0
    found = _command(words[0])
    if found is None and not _is_verb(words[0]):
        return run(words)
    if found is None:
        return exit_code(lambda: _refuse(words[0]))
    command = found.load()
    return int(command(words if found.group == VERBS else words[1:]))


def run(words: Sequence[str]) -> int:
    """`python -m compress`."""
    from compress.cli import main

    return main(words)


def grid(words: Sequence[str]) -> int:
    """The study's grid, or another if `words` name one."""
    return run(of_grid(words))


def of_grid(words: Sequence[str]) -> list[str]:
    """What `python -m compress` takes for `grid`."""
    named = any(word.startswith("+experiment=") for word in words)
    return ["-m", *([] if named else ["+experiment=grid"]), *words]


def _is_verb(word: str) -> bool:
    """Whether it can be nothing else: no override, and no flag."""
    return not (set(word) & set("=@/") or word[:1] in "-+~")


def _command(verb: str) -> EntryPoint | None:
    for group in (VERBS, PROGRAMS):
        for found in entry_points(group=group, name=verb):
            return found
    return None


def verbs() -> list[str]:
    """Every verb, sorted."""
    return sorted({found.name for group in (VERBS, PROGRAMS) for found in entry_points(group=group)})


def _refuse(verb: str) -> int:
    names = verbs()
    raise ConfigError(f"{verb}: must be of {', '.join(names)}, or overrides{nearest(verb, names)}")


def _page() -> str:
    """Every verb, in the words of its own command."""
    rooms = dict.fromkeys(found.module for found in sorted(entry_points(group=VERBS), key=lambda found: found.value))
    pages = [importlib.import_module(module).DESCRIPTION.rstrip() for module in reversed(rooms)]
    programs = []
    for found in entry_points(group=PROGRAMS):
        if found.module != __name__:
            told = (importlib.import_module(found.module).__doc__ or "").splitlines()[0].rpartition("`: ")[2]
            programs.append(f"  {found.name:<18} {told.rstrip('.')}")
    alone = "\n".join(["With files of your own, and with finished experiments:", "", *sorted(programs)])
    return "\n\n".join([HEAD.rstrip(), *map(as_typed, pages), alone])
