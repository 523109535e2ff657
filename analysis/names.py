"""How a subset of the methods looks, alike on paper and on the page.

Hue and marker tell quantize × prune, filled and solid tells distill: four colours instead of eight, so that they stay
apart for colour-blind readers, and a legend that can be reasoned about. In greyscale markers, fill and dashes remain.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """One subset of the methods.

    Attributes:
        light: colour on a white ground.
        dark: colour on a dark ground.
        marker: matplotlib's name: circle, square, triangle, diamond.
        distilled: marker filled and line solid; otherwise hollow and dashed.
    """

    light: str
    dark: str
    marker: str
    distilled: bool


_HUES = {
    (False, False): ("#2f3237", "#e6e6e6", "o"),
    (True, False): ("#1f6fd0", "#5c9cff", "s"),
    (False, True): ("#a85400", "#e39a2d", "^"),
    (True, True): ("#d6308f", "#f0659f", "D"),
}


def look(methods: str) -> Look:
    """How a subset looks, `none` or names joined by `+`."""
    active = methods.split("+")
    return Look(*_HUES["quantize" in active, "prune" in active], distilled="distill" in active)


def label(methods: str) -> str:
    """As people read it."""
    if methods == "none":
        return "uncompressed"
    active = methods.split("+")
    return "all three" if len(active) == 3 else " + ".join(active)


def contrast_label(contrast: str, kind: str) -> str:
    """A combination whose interaction is told; of three methods also the term beyond the three pairs."""
    return {"total": "all three", "pure": "three-way term"}.get(kind, label(contrast))


def task_label(task: str) -> str:
    """As the field writes it: CoLA, SST-2, …; another task by its own name."""
    known = {"cola": "CoLA", "sst2": "SST-2", "mrpc": "MRPC", "stsb": "STS-B", "qqp": "QQP", "mnli": "MNLI"}
    return (known | {"qnli": "QNLI", "rte": "RTE"}).get(task, task)


def plural(count: int, what: str, many: str | None = None) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {what if count == 1 else many or what + 's'}"


def megabytes(size: float) -> str:
    """Decimal MB with three digits that count: 1341, 44.7, 0.086."""
    shown = size / 1e6
    digits = 0 if shown >= 100 else 1 if shown >= 10 else 2 if shown >= 1 else 3
    return f"{shown:.{digits}f}"


def hue_rules() -> str:
    """The colours as CSS: one class for each hue, for light and dark grounds."""
    names = {
        "-".join(name for name, on in zip(("quantize", "prune"), key, strict=True) if on) or "plain": colours
        for key, colours in _HUES.items()
    }
    return "".join(
        f".hue-{name} {{ --hue: light-dark({light}, {dark}); }}\n" for name, (light, dark, _) in names.items()
    )
