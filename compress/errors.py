"""The one kind of error that a user's input can cause, and how it is told: in one line."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

from compress import extras
from compress.called import as_typed

LONG = 500  # characters of a word; longer ones are shown shortened


class ConfigError(Exception):
    """Wrong input, told in one line: the key, the value, what is allowed and the fix. Who refuses input raises it."""


class LacksWordNet(ConfigError):  # noqa: N818 - says what is not there
    """WordNet is in none of the usual places; `cache` is `paths.cache`, into which it can be fetched."""

    def __init__(self, told: str, cache: str | None) -> None:
        super().__init__(told)
        self.cache = cache


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose mistakes are ConfigErrors; argparse prints its usage over several lines.

    Its texts name the command as the user typed it.
    """

    def __init__(self, **options: Any) -> None:
        texts = {name: as_typed(text) for name, text in options.items() if isinstance(text, str)}
        super().__init__(**(options | texts))

    def error(self, message: str) -> NoReturn:
        """Refuse a command line."""
        raise ConfigError(f"{message}; {self.prog} --help shows what it takes")


def exit_code(work: Callable[[], int]) -> int:
    """What a command line ends with: what its work returns; 2 for wrong input, 130 for Ctrl-C, told in a line."""
    try:
        os.getcwd()
    except OSError as error:  # no relative path means anything in a folder that is gone
        cause = f"the current folder cannot be used ({error.strerror}); change to one that exists"
        tell(ConfigError(cause))
        return 2
    try:
        return work()
    except ConfigError as error:
        tell(error)
        return 2
    except ModuleNotFoundError as error:  # of an extra that was left out
        if str(error.name).partition(".")[0] in ("compress", "launch", "analysis"):
            raise
        tell(ConfigError(extras.missing(str(error.name))))
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:  # a disk that is full or broken, a file that may not be read
        tell(error)
        return 1


def tell(error: Exception) -> None:
    """Print an error as the one line that it is."""
    print(f"error: {one_line(as_typed(str(error)))}", file=sys.stderr)


def one_line(text: str) -> str:
    """A text without line breaks and other control characters, which are written `\\n`, and without endless words."""
    written = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return re.sub(rf"\S{{{LONG},}}", lambda word: f"{word[0][: LONG - 100]}…{word[0][-20:]}", written)


def first_line(error: BaseException) -> str:
    """What an error says first; its kind, if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def nearest(word: object, names: Iterable[str]) -> str:
    """` (did you mean …?)` for the name most like `word`, or nothing where none is alike."""
    match = get_close_matches(str(word)[:LONG], [name for name in names if name], n=1, cutoff=0.6)
    return f" (did you mean {match[0]}?)" if match else ""
