"""Tables as text: CSV for programs, Markdown for pages, LaTeX for papers."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from analysis.tables.presentation import PRESENTED

SPECIAL = str.maketrans(
    {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
     "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "−": "$-$", "–": "--"}
)  # fmt: skip


def write(folder: Path, **tables: pd.DataFrame) -> list[Path]:
    """`<name>.csv` of each table, `.md` and `.tex` of what `presentation` makes of it; which files these are.

    Args:
        tables: by names that `presentation.PRESENTED` knows, or others, which are shown as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in tables.items():
        shown = PRESENTED[name](table) if name in PRESENTED else table
        texts = {"csv": csv(table), "md": markdown(shown), "tex": latex(shown)}
        for suffix, text in texts.items():
            path = folder / f"{name}.{suffix}"
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def csv(table: pd.DataFrame) -> str:
    """Every digit; what is undefined is an empty field."""
    return str(table.to_csv(index=False))


def markdown(table: pd.DataFrame) -> str:
    """A pipe table; columns of numbers to the right."""
    rule = ["---:" if _numeric(table, number) else "---" for number in range(table.shape[1])]
    heading, *rows = (
        [cell.replace("|", "\\|") for cell in row] for row in [[str(name) for name in table.columns], *_texts(table)]
    )
    return "".join(f"| {' | '.join(row)} |\n" for row in [heading, rule, *rows])


def latex(table: pd.DataFrame) -> str:
    r"""A `tabular` with booktabs' rules (`\usepackage{booktabs}`)."""
    columns = "".join("r" if _numeric(table, number) else "l" for number in range(table.shape[1]))
    heading, *rows = (
        " & ".join(cell.translate(SPECIAL) for cell in row) + r" \\"
        for row in [[str(name) for name in table.columns], *_texts(table)]
    )
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", heading, r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def plain(table: pd.DataFrame) -> str:
    """Columns for a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="")
    for place, name in enumerate(table.columns):
        made.add_column(str(name), no_wrap=True, justify="right" if _numeric(table, place) else "left")
    for row in _texts(table):
        made.add_row(*map(Text, row))
    console = Console(width=100_000)
    with console.capture() as captured:
        console.print(made)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _numeric(table: pd.DataFrame, number: int) -> bool:
    return bool(pd.api.types.is_numeric_dtype(table.iloc[:, number].dtype))


def _texts(table: pd.DataFrame) -> list[list[str]]:
    return [[text(value) for value in row] for row in table.itertuples(index=False, name=None)]


def text(value: object) -> str:
    """A cell for people: four significant digits, whole numbers whole, a dash for what is undefined."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() or abs(value) >= 1e4 else f"{value:.4g}"
    return str(value)
