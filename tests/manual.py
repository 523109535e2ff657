"""The manual's pages, and a runner of tutorials: `python -m tests.manual PAGE.md …`.

A tutorial is run from top to bottom in a fresh folder. Its `sh` blocks share one bash session, which ends at the first
error. Each `python` block is a script, run in that session. A block with title="FILE" is written to that file. A `text`
block that follows a `sh` or `python` block is what that one prints: its lines in this order, `…` stands for anything.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w-]*)[ ]*(?P<attributes>.*)$")
MARK = "\x1e"  # ASCII's record separator: no command prints it
SECONDS = 900  # that a whole tutorial may take


class ManualError(Exception):
    """A page that is not as it says, with its name and line."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  # of its first line of text
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        """Where it is, as `page:line`."""
        return f"{shown(self.page)}:{self.line}"

    def commands(self) -> Iterator[Command]:
        """What a reader types: all of `sh`; of a session what stands behind `$ `, with what it printed."""
        session = self.language == "console" or (not self.language and self.text.startswith("$ "))
        if self.language not in ("sh", "bash") and not session:
            return
        lines = self.text.splitlines()
        place = 0
        while place < len(lines):
            begin, typed = place, lines[place]
            place += 1
            if session and not typed.startswith("$ "):
                continue
            while (more := typed.endswith("\\")) or not _is_whole(typed):
                if place == len(lines):
                    raise ManualError(f"{shown(self.page)}:{self.line + begin}: this command does not end: {typed}")
                typed = (typed[:-1] if more else typed + "\n") + lines[place]
                place += 1
            printed = itertools.takewhile(lambda line: not line.startswith("$ "), lines[place:]) if session else ()
            yield Command(self.line + begin, typed.removeprefix("$ ") if session else typed, tuple(printed))


@dataclass(frozen=True)
class Command:
    """A line of bash, with what a page says that it prints."""

    line: int
    text: str
    printed: tuple[str, ...]


def tracked() -> list[str]:
    """The files of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def slug(text: str, separator: str = "-") -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)


def shown(page: Path) -> str:
    """A page as it is named in messages."""
    return str(page.relative_to(ROOT) if page.is_relative_to(ROOT) else page)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, lines = [], page.read_text(encoding="utf-8").splitlines()
    opened: re.Match[str] | None = None
    begin = 0
    for number, line in enumerate(lines, 1):
        if opened is None:
            if opened := FENCE.match(line):
                begin = number + 1
        elif line.strip() == opened["ticks"]:
            title = re.search(r'title="([^"]+)"', opened["attributes"])
            text = "\n".join(inside.removeprefix(opened["indent"]) for inside in lines[begin - 1 : number - 1])
            found.append(Block(page, begin, opened["language"], title[1] if title else "", text))
            opened = None
    if opened is not None:
        raise ManualError(f"{shown(page)}:{begin - 1}: this block is not closed")
    return found


def words(command: str) -> list[list[str]]:
    """The words of each simple command in a line of bash, without comments."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";|&<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    simple: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(";|&"):
            simple.append([])
        else:
            simple[-1].append(word)
    return [found for found in simple if found]


def _is_whole(command: str) -> bool:
    try:
        words(command)
    except ValueError:  # no closing quotation
        return False
    return True


def run(page: Path, folder: Path) -> None:
    """Run a tutorial in an empty folder, and print what its commands print.

    Raises:
        ManualError: a command failed, or did not print what the page says.
    """
    parts = [block for block in blocks(page) if block.language != "console"]
    inside = folder / "work"
    inside.mkdir()
    steps = [step for number, block in enumerate(parts) if (step := _step(block, folder / f"block{number}", number))]
    script = folder / "page.sh"
    report = shlex.quote(f"printf '{MARK}failed %s\\n' $LINENO")
    script.write_text("\n".join(["set -eEuo pipefail", f"trap {report} ERR", *steps, f"printf '{MARK}end\\n'", ""]))
    printed: dict[int, list[str]] = {}
    current, failed, ended = -1, 0, False
    session = subprocess.Popen(
        ["timeout", str(SECONDS), "bash", str(script)],
        cwd=inside, env=environment(folder), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    assert session.stdout is not None
    for line in session.stdout:
        before, mark, told = line.rstrip("\n").partition(MARK)
        if before or not mark:
            print(before, flush=True)
            printed.setdefault(current, []).append(before)
        if told.startswith("block"):
            current = int(told.removeprefix("block"))
            print(f"--- {parts[current].place}", flush=True)
        elif told.startswith("failed"):
            failed = failed or int(told.split()[1])
        ended = ended or told == "end"
    code = session.wait()
    if code or not ended:
        block = parts[current]
        place = failed if block.language in ("sh", "bash") and failed >= block.line else block.line
        said = "".join(f"\n    {line}" for line in printed.get(current, [])[-15:])
        what = f"took longer than {SECONDS} seconds" if code == 124 else f"failed with exit code {code}"
        raise ManualError(f"{shown(page)}:{place}: {what}; it printed:{said}")
    for number, (block, after) in enumerate(itertools.pairwise(parts)):
        if block.language in ("sh", "bash", "python") and not block.title and _is_output(after):
            _compare(after, printed.get(number, []))


def _is_output(block: Block) -> bool:
    return block.language == "text" and not block.title


def _step(block: Block, file: Path, number: int) -> str:
    """What bash does with a block, which is written to a file with the lines that it has in the page."""
    begin = f"printf '{MARK}block{number}\\n'\n"
    if block.title:
        file.write_text(block.text + "\n", encoding="utf-8")
        title = shlex.quote(block.title)
        return f'{begin}mkdir -p "$(dirname {title})"\ncp {file} {title}'
    if block.language in ("sh", "bash"):
        file.write_text("\n" * (block.line - 1) + block.text + "\n", encoding="utf-8")
        return f"{begin}source {file}"
    if block.language == "python":
        file.write_text("\n" * (block.line - 1) + textwrap.dedent(block.text) + "\n", encoding="utf-8")
        return f"{begin}python {file}"
    return ""


def _compare(expected: Block, printed: Sequence[str]) -> None:
    """Look for each line of a block in what was printed, behind the one before."""
    left = iter([piece.rstrip() for line in printed for piece in line.split("\r")])
    for offset, line in enumerate(expected.text.splitlines()):
        if not line.strip(" …"):
            continue
        pattern = ".*".join(re.escape(piece) for piece in line.rstrip().split("…"))
        if not any(re.fullmatch(pattern, there) for there in left):
            said = "".join(f"\n    {there}" for there in printed[-40:])
            place = f"{shown(expected.page)}:{expected.line + offset}"
            raise ManualError(f"{place}: not printed (in this order): {line.strip()}\n  printed was:{said}")


def environment(folder: Path) -> dict[str, str]:
    """Of a tutorial: this Python first on the path, no network, a cache of its own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    modules = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "").strip(".")]))
    offline = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "COMPRESS_CACHE": str(folder / "cache")}
    return os.environ | offline | {"PATH": path, "PYTHONPATH": modules, "COLUMNS": "120"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run tutorials, each in a folder of its own; 0 if all are as they say."""
    parser = argparse.ArgumentParser(prog="python -m tests.manual", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("page", type=Path, nargs="+", help="tutorial to run")
    code = 0
    for page in parser.parse_args(arguments).page:
        with tempfile.TemporaryDirectory() as folder:
            try:
                run(page.resolve(), Path(folder))
                print(f"{page}: runs, and prints what it says")
            except ManualError as error:
                print(f"\n{error}", file=sys.stderr)
                code = 1
    return code


if __name__ == "__main__":
    raise SystemExit(main())
