"""What people read and see: every label, unit, colour and marker, once, for paper, page and dashboard.

Hue and marker tell which of the methods that make the stored model smaller are on, fill and dashes which of the others
(README.md, Looks); without any of these the marker is hollow and the line dashed, the first alone has a solid line.
In greyscale markers, fill and dashes remain. The marker's size tells the options and strengths of a method.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.subsets import Method, Methods, split
from compress.wording import enumerated, plural

TASKS = {
    "cola": "CoLA", "sst2": "SST-2", "mrpc": "MRPC", "stsb": "STS-B", "qqp": "QQP", "mnli": "MNLI", "qnli": "QNLI",
    "rte": "RTE",
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """What a score or a way of counting bytes is called: on axes, in little room, under a figure, after the word by."""

    label: str
    short: str
    meaning: str
    by: str


SCORES = {
    "glue": Measure("GLUE score", "GLUE", "the tasks' official GLUE metrics", "GLUE's metrics"),
    "accuracy": Measure(
        "accuracy-style score", "accuracy-style", "accuracies (STS-B: Pearson and Spearman correlation)", "accuracies"
    ),
}
OF_OTHERS = {  # where tasks of one's own are among them
    "glue": Measure("score", "score", "the tasks' own metrics", "the tasks' metrics"),
    "accuracy": Measure("accuracy-style score", "accuracy-style", "accuracies or the like", "accuracies"),
}


def score_of(key: str, tasks: Iterable[str]) -> Measure:
    """What a score of these tasks is called."""
    return SCORES[key] if set(tasks) <= TASKS.keys() else OF_OTHERS[key]


SIZES = {
    "nominal": Measure(
        "Model size",
        "nominal bytes",
        "size: surviving weights at 4 bytes, fewer where they are stored in fewer bits",
        "nominal bytes",
    ),
    "artifact": Measure(
        "File size", "file on disk", "bytes of the weight file, masks and scales included", "the file's bytes"
    ),
}
LOG_MEGABYTES = "MB, log scale"


@dataclass(frozen=True)
class Paint:
    """A name and its colours, on a white and on a dark ground."""

    label: str
    light: str
    dark: str


PARTS = {
    "embeddings": Paint("embeddings", "#31446b", "#8ea6dc"),
    "encoder": Paint("encoder", "#6f9bd1", "#4a76b4"),
    "head": Paint("head", "#7a4a12", "#d9a441"),
    "rest": Paint("masks, scales, header", "#b9bdc4", "#5d646f"),
}
INTERVAL = "#1f6fd0"
HUES = (
    ("#2f3237", "#e6e6e6"), ("#1f6fd0", "#5c9cff"), ("#a85400", "#e39a2d"), ("#d6308f", "#f0659f"),
    ("#125936", "#99ff33"), ("#7300e6", "#7a995c"), ("#800000", "#ffcc99"), ("#2121a6", "#66d9ff"),
)  # fmt: skip
MARKERS = {  # matplotlib's name -> SVG path around 0, of radius 1
    "o": "M-1,0a1,1 0 1,0 2,0a1,1 0 1,0 -2,0Z",
    "s": "M-1,-1H1V1H-1Z",
    "^": "M0,-1.25L1.2,.85H-1.2Z",
    "D": "M0,-1.35L1.35,0L0,1.35L-1.35,0Z",
    "v": "M0,1.25L1.2,-.85H-1.2Z",
    "P": "M-.45,-1.25H.45V-.45H1.25V.45H.45V1.25H-.45V.45H-1.25V-.45H-.45Z",
    "X": "M-1.1,-.55L-.55,-1.1L0,-.55L.55,-1.1L1.1,-.55L.55,0L1.1,.55L.55,1.1L0,.55L-.55,1.1L-1.1,.55L-.55,0Z",
    "*": "M0,-1.5L.36,-.48L1.43,-.46L.57,.19L.88,1.21L0,.6L-.88,1.21L-.57,.19L-1.43,-.46L-.36,-.48Z",
}
Dash = tuple[float, ...]
HOLLOW: Dash = (3.2, 1.6)  # on, off, in widths of the line
DASHES: tuple[Dash, ...] = ((), (1.0, 1.2), (4.5, 1.3, 1.0, 1.3))
SMALLEST = 0.55  # of the markers that tell a method's options and strengths apart
SIGNS = {
    "super-multiplicative": "▲", "multiplicative": "=", "sub-multiplicative": "▼", "inconclusive": "?",
    "undefined": "–",
}  # fmt: skip
EFFECT_SIGNS = {"smaller": "+", "larger": "−", "better": "+", "worse": "−"}  # at equal score; at equal architecture
ESTIMATORS = {"model": "One model of all tasks", "curves": "Score-size curves"}  # that make claims
KINDS = {  # of claims, as `Names.claim` tells them
    "pair": "{}", "total": "{}", "pure": "{}, pure term", "bytes": "{}, size", "score": "{}, points",
    "rank bytes": "{}, place by size", "rank score": "{}, place by points",
}  # fmt: skip
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


@dataclass(frozen=True)
class Look:
    """How a subset is drawn: the hue's place in `HUES` and its colours there, a key of `MARKERS`, the line's dashes."""

    hue: int
    light: str
    dark: str
    marker: str
    filled: bool
    dash: Dash


@dataclass(frozen=True)
class Names:
    """What a collection's subsets of methods are called, and how they look."""

    methods: Methods

    def look(self, subset: str) -> Look:
        """By the rule at the top of this file."""
        shrinking, others = self._number(subset, True), self._number(subset, False)
        marker = list(MARKERS)[(shrinking + shrinking // len(HUES)) % len(MARKERS)]
        dash = DASHES[(others - 1) % len(DASHES)] if others else HOLLOW
        hue = shrinking % len(HUES)
        return Look(hue, *HUES[hue], marker, bool(others), dash)

    def label(self, subset: str) -> str:
        """As people read a subset; `all three` where these are all methods of the collection."""
        active = split(subset)
        if len(active) == 3 == len(self.methods.names):
            return "all three"
        return " + ".join(active) or "uncompressed"

    def cell(self, subset: str, variant: str) -> str:
        """A subset with its options and strengths: `quantize + prune 40 %`."""
        label = self.label(subset)
        if not variant or label.startswith("all "):
            return f"{label}, {variant}" if variant else label
        told = {words.split(" ")[0]: words for words in variant.split(", ")}
        return " + ".join(told.get(name, name) for name in split(subset))

    @property
    def variants(self) -> list[str]:
        """Each option and strength of the methods that have several: `prune 40 %`, `prune 60 %`."""
        return [f"{method.name} {words}" for method in self.methods.methods for words in method.variants]

    def scale(self, variant: str) -> float:
        """A marker's relative size, from 1 to `SMALLEST` in equal ratios over all combinations of `variants`."""
        told, place, count = variant.split(", "), 0, 1
        for method in reversed(self.methods.methods):
            names = [f"{method.name} {words}" for words in method.variants]
            place += count * next((names.index(words) for words in told if words in names), 0)
            count *= max(1, len(names))
        return float(SMALLEST ** (place / max(1, count - 1)))

    def contrast(self, combination: str, kind: str) -> str:
        """A combination whose interaction is told; `pure` is the term beyond its smaller combinations."""
        if kind != "pure":
            return self.label(combination)
        term = f"{_in_words(len(split(combination)))}-way term"
        return term if len(self.methods.names) == 3 else f"{term} of {self.label(combination)}"

    def claim(self, subject: str, kind: str) -> str:
        """What is claimed something of: a contrast, or a method's effect or place."""
        return self.contrast(subject, kind) if kind in ("pair", "total", "pure") else KINDS[kind].format(subject)

    def legend(self) -> str:
        """What hue, marker and fill tell, in a sentence; empty without methods."""
        shrinking, others = ([method.noun for method in self._that_shrink(shrinks)] for shrinks in (True, False))
        dashes = "a solid line" if len(others) == 1 else "the line's dashes"
        told = [f"hue and marker show {enumerated(shrinking)}"] if shrinking else []
        told += [f"a filled marker and {dashes} show {enumerated(others)}"] if others else []
        sentence = "; ".join(told)
        return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""

    def _number(self, subset: str, shrinks: bool) -> int:
        """A number for each set of the methods that shrink, or that do not: the sum of 2^place."""
        return sum(2**place for place, method in enumerate(self._that_shrink(shrinks)) if method.name in split(subset))

    def _that_shrink(self, shrinks: bool) -> list[Method]:
        return [method for method in self.methods.methods if method.shrinks == shrinks]


def _in_words(count: int) -> str:
    return WORDS[count] if count < len(WORDS) else str(count)


def against(combination: str, kind: str) -> str:
    """What a combination is compared with, in few words."""
    size = len(split(combination))
    if kind == "pure":
        return "what pairs explain" if size == 3 else "what smaller ones explain"
    return "the product" if kind == "pair" else f"the product of {_in_words(size)}"


def task_label(task: str) -> str:
    """As the field writes it: CoLA, SST-2, …; another task by its own name."""
    return TASKS.get(task, task)


def seeds(least: int, most: int) -> str:
    """`1 seed`, `1 to 3 seeds`."""
    return plural(most, "seed") if least == most else f"{least} to {most} seeds"


def colour_rules() -> str:
    """Colours as CSS: a class for each hue and part, for light and dark grounds."""
    hues = (f".hue-{place} {{ --hue: light-dark({light}, {dark}); }}" for place, (light, dark) in enumerate(HUES))
    parts = (f".{key} {{ --hue: light-dark({part.light}, {part.dark}); }}" for key, part in PARTS.items())
    return "\n".join([*hues, *parts, ""])
