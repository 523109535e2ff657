"""Tables as people read them, few columns, factors for logs; as text: CSV for programs, Markdown, LaTeX for papers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from analysis import names
from analysis.read.results import Row
from analysis.statistics.score_size import as_factor
from analysis.statistics.sensitivity import certainty as certainties
from analysis.statistics.sensitivity import sentence
from analysis.statistics.table1 import OVER_PRODUCT
from compress.wording import megabytes

MODEL_OVER = {"mean": "tasks like these"}
OVER = {"mean": "all tasks", "repeated": "tasks with several seeds", "study": "the study's figure"}
SPECIAL = str.maketrans(
    {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
     "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", "×": r"$\times$",
     "−": "$-$", "–": "--", "—": "---", "±": r"$\pm$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\to$",
     "∞": r"$\infty$", "²": r"$^2$", "…": r"\ldots{}", "’": "'", "“": "``", "”": "''", "\u00a0": "~", "\n": " "}
)  # fmt: skip


def table1(table: pd.DataFrame) -> pd.DataFrame:
    """A row per architecture, a column per subset of methods, and under it the study's numbers where there are any.

    Then the same of combinations over the product of their methods.
    """
    rows: list[dict[str, str]] = []
    for model, rows_of_model in table.groupby("model", sort=False):
        cells = rows_of_model.to_dict("records")
        rule = model == OVER_PRODUCT
        size = "" if rule else megabytes(float(rows_of_model["baseline_bytes"].iloc[0]))
        said = _ratio if rule else _factor
        rows.append({"model": str(model), "MB": size} | {str(row["methods"]): said(row) for row in cells})
        if rows_of_model["paper"].notna().any():
            study = {str(row["methods"]): _number(row["paper"], 2 if rule else 1) for row in cells}
            rows.append({"model": "(study)", "MB": "", **study})
    return pd.DataFrame(rows).fillna("")


def _ratio(row: Row) -> str:
    """`0.80 (0.56 to 1.10)`: the mean over architectures, the least and the greatest."""
    return f"{row['factor']:.2f} ({row['least']:.2f} to {row['greatest']:.2f})"


def _factor(row: Row) -> str:
    """`3.6 (7/8)`: the mean, and of how many tasks where it is not all."""
    if not row["tasks"]:
        return "undefined"
    return f"{row['factor']:.1f}" + ("" if row["tasks"] == row["of"] else f" ({row['tasks']}/{row['of']})")


def interactions(table: pd.DataFrame) -> pd.DataFrame:
    """Reductions as factors, and their ratio with its intervals."""
    rows = [
        {
            **_ways(row),
            "combination": row["contrast"],
            "against": names.against(row["contrast"], row["kind"]),
            "over": OVER.get(row["scope"], row["scope"]),
            "observed": _number(row["observed"]),
            "expected": _number(row["expected"]),
            "ratio": _number(as_factor(row["interaction"])),
            **_intervals(row, as_factor),
            "tasks": row["tasks"],
            "seeds": _seeds(row),
            "verdict": verdict(row),
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows)


def priorities(table: pd.DataFrame) -> pd.DataFrame:
    """Main effects: factors of size at equal score, points at equal architecture."""
    rows = []
    for row in table.to_dict("records"):
        change, on = (as_factor, "size, ×") if row["measure"] == "bytes" else (float, "score, points")
        rows.append(
            {
                **_ways(row),
                "method": row["method"],
                "effect on": on,
                "over": OVER.get(row["scope"], row["scope"]),
                "effect": _number(change(row["effect"])),
                **_intervals(row, change),
                "rank": rank(row),
                "tasks": row["tasks"],
                "seeds": _seeds(row),
            }
        )
    return pd.DataFrame(rows)


def ablation(table: pd.DataFrame) -> pd.DataFrame:
    """What each setting of an option gains, and how that compares with the reference."""

    def points(row: Row, value: str, low: str, high: str) -> str:
        known = "" if math.isnan(row[low]) else f" [{_signed(row[low])}, {_signed(row[high])}]"
        return _signed(row[value]) + known

    rows = [
        {
            "method": row["method"],
            "option": row["option"],
            "settings": row["changes"],
            "gain, points": points(row, "gain", "low", "high"),
            "more than the reference": points(row, "more", "more_low", "more_high"),
            "steps, ×": _number(row["steps"]),
            "bytes, ×": _number(row["bytes"]),
            "tasks": row["tasks"],
            "models": row["models"],
            "seeds": _seeds(row),
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows)


def sensitivity(table: pd.DataFrame) -> pd.DataFrame:
    """Of each claim its verdict, in how many variations that is the same, and what it hangs on."""
    rows = [
        {
            "by": names.ESTIMATORS[row["by"]],
            "claim": names.KINDS[row["kind"]].format(row["claim"]),
            "verdict": row["verdict"],
            "the same in": f"{row['held']} of {row['of']}" if certainty else "–",
            "certainty": certainty or "–",
        }
        for row in certainties(table).to_dict("records")
        for certainty in [sentence(row)]
    ]
    return pd.DataFrame(rows)


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2f}".replace("-", "−")


def equivalent_size(table: pd.DataFrame) -> pd.DataFrame:
    """Main effects as factors of size, combinations as the ratio of observed to expected, each with its two terms."""
    rows = []
    for row in table.to_dict("records"):
        combined = row["kind"] != "main"
        rows.append(
            {
                **_ways(row),
                "methods": row["contrast"],
                "against": names.against(row["contrast"], row["kind"]) if combined else "without it",
                "over": MODEL_OVER.get(row["scope"], row["scope"]),
                "factor or ratio": _with_interval(row, "estimate", "", as_factor),
                "learned": _with_interval(row, "learned", "learned_", as_factor),
                "arithmetic": _with_interval(row, "arithmetic", "arithmetic_", as_factor),
                "points": _with_interval(row, "points", "points_", float),
                "observed": _number(row["observed"]),
                "tasks": row["tasks"] if row["scope"] == "mean" else _share(row["weight"]),
                "seeds": _seeds(row),
                "verdict": row["verdict"],
            }
        )
    return pd.DataFrame(rows)


def _with_interval(row: Row, key: str, prefix: str, change: Callable[[float], float]) -> str:
    if math.isnan(row[key]):
        return "–"
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    interval = "" if math.isnan(low) else f" [{_number(change(low))}, {_number(change(high))}]"
    return _number(change(row[key])) + interval


def _share(weight: float) -> str:
    return "–" if math.isnan(weight) else f"{100 * weight:.0f} %"


PRESENTED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "table1": table1, "interactions": interactions, "priorities": priorities, "ablation": ablation,
    "sensitivity": sensitivity,
    "equivalent_size": equivalent_size,
}  # fmt: skip


def _ways(row: Row) -> dict[str, str]:
    """The way of counting bytes, of a table that has both."""
    return {"bytes": row["bytes"]} if "bytes" in row else {}


def _number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _intervals(row: Row, change: Callable[[float], float]) -> dict[str, str]:
    told = {}
    for by, prefix in (("seeds", ""), ("tasks", "tasks_")):
        low, high = row[f"{prefix}low"], row[f"{prefix}high"]
        told[f"95 %, {by}"] = "–" if math.isnan(low) else f"[{_number(change(low))}, {_number(change(high))}]"
    return told


def _seeds(row: Row) -> str:
    """The number, or the least and the greatest, in the cells of a row; a dash where that is not known."""
    least, most = row["seeds_min"], row["seeds_max"]
    if not most:
        return "–"
    return str(most) if least == most else f"{least} to {most}"


def verdict(row: Row) -> str:
    """From seeds; where they give no interval, from the differences between tasks."""
    across = row["verdict"] == "undefined" and row["tasks_verdict"] != "undefined"
    return f"{row['tasks_verdict']} (by tasks)" if across else str(row["verdict"])


def rank(row: Row) -> str:
    """`2`, or with where replicates put it: `2 (1 to 3)`."""
    if math.isnan(row["rank"]):
        return "–"
    known = not math.isnan(row["rank_low"]) and row["rank_low"] != row["rank_high"]
    return f"{row['rank']:.0f}" + (f" ({row['rank_low']:.0f} to {row['rank_high']:.0f})" if known else "")


def write(folder: Path, **tables: pd.DataFrame) -> list[Path]:
    """`<name>.csv` of each table, `.md` and `.tex` of what `PRESENTED` makes of it; which files these are."""
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
    rule = ["---:" if numeric else "---" for numeric in _numeric(table)]
    heading, *rows = ([cell.replace("|", "\\|") for cell in row] for row in _texts(table))
    return "".join(f"| {' | '.join(row)} |\n" for row in [heading, rule, *rows])


def latex(table: pd.DataFrame) -> str:
    r"""A `tabular` with booktabs' rules (`\usepackage{booktabs}`)."""
    columns = "".join("r" if numeric else "l" for numeric in _numeric(table))
    heading, *rows = (_protected(" & ".join(cell.translate(SPECIAL) for cell in row)) + r" \\" for row in _texts(table))
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", heading, r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _protected(row: str) -> str:
    r"""A row of LaTeX whose first letter is not taken for an argument of the `\\` before it."""
    return f"{{}}{row}" if row.startswith(("[", "*")) else row


def plain(table: pd.DataFrame) -> str:
    """Columns for a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="")
    heading, *rows = _texts(table)
    for name, numeric in zip(heading, _numeric(table), strict=True):
        made.add_column(name, no_wrap=True, justify="right" if numeric else "left")
    for row in rows:
        made.add_row(*map(Text, row))
    console = Console(width=100_000)
    with console.capture() as captured:
        console.print(made)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _numeric(table: pd.DataFrame) -> list[bool]:
    return [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]


def _texts(table: pd.DataFrame) -> list[list[str]]:
    """The names of the columns, and the rows."""
    rows = table.itertuples(index=False, name=None)
    return [list(map(str, table.columns)), *(list(map(text, row)) for row in rows)]


def text(value: object) -> str:
    """A cell for people: four significant digits, whole numbers whole, a dash for what is undefined."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() or abs(value) >= 1e4 else f"{value:.4g}"
    return str(value)
