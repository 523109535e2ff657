"""What breaks and what becomes of it: tests/faults.md, made of the marks of the tests that show it.

    @pytest.mark.fault("this machine", "a worker is killed", "its experiments write …", "`launch retry`")

python -m tests.fault_table      # writes tests/faults.md anew
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE / "faults.md"
WHERE = ("one experiment", "a sweep on this machine", "a sweep on SLURM", "Weights & Biases")
HEAD = """\
# What breaks, and what becomes of it

Nothing that is finished is lost or run twice, and nobody is told of a result that is not there. Each row is shown by a
test in the file that it names; `python -m tests.fault_table` writes this page from the tests' marks.
"""


@dataclass(frozen=True)
class Fault:
    """A row: what breaks, what is seen of it, what to do, and the test that shows it."""

    where: str
    what: str
    outcome: str
    fix: str
    test: str


def faults() -> list[Fault]:
    """All that tests are marked with, in the order of the files and of the tests in them."""
    files = sorted(HERE.rglob("test_*.py"))
    return [fault for file in files for fault in _in_file(file)]


def _in_file(file: Path) -> Iterator[Fault]:
    name = file.relative_to(HERE).as_posix()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
                    where, what, outcome, fix = map(ast.literal_eval, decorator.args)
                    yield Fault(where, what, outcome, fix, f"{name}::{node.name}")


def document(rows: Iterable[Fault]) -> str:
    """The rows as Markdown, a table for each place."""
    rows = list(rows)
    parts = [HEAD]
    for where in WHERE:
        shown = sorted((row for row in rows if row.where == where), key=lambda row: row.test.count("/"))
        lines = "\n".join(f"| {row.what} | {row.outcome} | {row.fix} | {_short(row.test)} |" for row in shown)
        titles = "| what breaks | what becomes of it | what to do | shown by |\n| --- | --- | --- | --- |"
        parts.append(f"## {where[0].upper()}{where[1:]}\n\n{titles}\n{lines}\n")
    return "\n".join(parts)


def _short(test: str) -> str:
    """A link to the test's file."""
    file = test.partition("::")[0]
    return f"[{file}]({file})"


if __name__ == "__main__":
    DOCUMENT.write_text(document(faults()), encoding="utf-8")
