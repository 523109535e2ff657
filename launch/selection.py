"""Which experiments a command means: by words of their names, by where they are, by the sweep that planned them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.errors import ConfigError, nearest
from compress.wording import plural
from launch.status import STATES, Status
from launch.sweep import SWEEPS, Sweep


@dataclass(frozen=True)
class Selection:
    """What was typed to choose among experiments; nothing of it: all.

    Attributes:
        words: all of these are in an experiment's name (`rte tiny quantize+prune seed 0`), or begin its run id.
        states: it is in one of these.
        sweep: it is planned in the sweep whose folder's name begins like this, or in the `last` one.
    """

    words: Sequence[str] = ()
    states: Sequence[str] = ()
    sweep: str | None = None

    def __bool__(self) -> bool:
        return bool(self.words or self.states or self.sweep)

    def of(self, runs: Path, experiments: Sequence[Status], sweeps: Sequence[Sweep]) -> list[Status]:
        """Those that are meant; ConfigError if no experiment is called so, or there is no such sweep."""
        found = [one for one in experiments if is_called(one, self.words)]
        if not found and self.words:
            names = [one.name for one in experiments]
            called = " ".join(self.words)
            raise ConfigError(
                f"{called}: no experiment in {runs} has all these words in its name{nearest(called, names)}"
            )
        planned = self._planned(runs, sweeps)
        return [one for one in found if (not self.states or one.state in self.states)
                and (planned is None or one.run_id in planned)]  # fmt: skip

    def _planned(self, runs: Path, sweeps: Sequence[Sweep]) -> Mapping[str, object] | None:
        """The experiments of the sweep that is named."""
        if self.sweep is None:
            return None
        named = sweeps[-1:] if self.sweep == "last" else [s for s in sweeps if s.folder.name.startswith(self.sweep)]
        if len(named) != 1:
            names = [sweep.folder.name for sweep in sweeps]
            there = f"must be last, or the beginning of one of {', '.join(names[-5:])}" if names else "there is none"
            cause = f"{len(named)} sweeps in {runs / SWEEPS} have a name that begins like this"
            raise ConfigError(f"--sweep {self.sweep}: {cause}; {there}")
        return named[0].experiments


def is_called(one: Status, words: Sequence[str]) -> bool:
    """Whether all words are in an experiment's name, or begin its run id."""
    said = one.name.split()
    return all(word in said or one.run_id.startswith(word) for word in words)


def states_of(word: str, allowed: Iterable[str] = STATES) -> list[str]:
    """States as they are typed, `pending,waiting`."""
    names, known = word.split(","), list(allowed)
    if wrong := next((name for name in names if name not in known), None):
        raise ConfigError(f"--state {word}: must be of {', '.join(known)}{nearest(wrong, known)}")
    return names


def told(experiments: Sequence[Status]) -> str:
    """`24 experiments (4 running, 20 pending)`, of a few also their names."""
    counted = Counter(one.state for one in experiments)
    states = ", ".join(f"{counted[state]} {state}" for state in STATES if counted[state])
    names = "; ".join(one.name for one in experiments) if len(experiments) <= 3 else ""
    return f"{plural(len(experiments), 'experiment')} ({states})" + (f": {names}" if names else "")


def can_be_asked() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str, *, yes: bool) -> bool:
    """Whether to go on: asked on a terminal; where nobody can answer, or `yes` was typed, it is just said."""
    if yes or not can_be_asked():
        print(question, flush=True)
        return True
    print(f"{question}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
