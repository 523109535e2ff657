"""The one kind of error that a user's input can cause."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches


class ConfigError(Exception):
    """Wrong input, told in one line: the key, the value, what is allowed and the fix."""


def exit_code(work: Callable[[], int]) -> int:
    """What a command line ends with: what its work returns; 2 for wrong input, 130 for Ctrl-C, told in a line."""
    try:
        return work()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def nearest(word: object, names: Iterable[str]) -> str:
    """` (did you mean …?)` for the name most like `word`, or nothing where none is alike."""
    match = get_close_matches(str(word), list(names), n=1, cutoff=0.6)
    return f" (did you mean {match[0]}?)" if match else ""
