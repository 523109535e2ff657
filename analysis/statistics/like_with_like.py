"""Comparisons of a method's presence and absence, and of combinations with their methods, between the same strengths.

At the score of an uncompressed model of ln(bytes) x a treatment that makes models act exp(g) times as large
(`shift_model`) needs the architecture x − g, whose bytes it changes by d, known from arithmetic. So it reduces the size
by the log-factor

    R(x) = g − d(x − g),       learned and arithmetic,

here the mean over the x for which all treatments compared have architectures; d is linear between these. Contrasts are
sums of R: main effects as in `priorities`, interactions with the weights of `interactions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.read.results import Results
from analysis.statistics.interactions import interactions
from analysis.statistics.priorities import pairs_of
from analysis.statistics.score_size import Array
from analysis.statistics.treatments import Cells, Treatment, subset_of
from analysis.subsets import NONE, split

MAIN = "main"
PLACES = 33  # sizes over which the arithmetic is averaged


@dataclass(frozen=True)
class Like:
    """Treatments compared like with like, and how much that counts: treatment's number -> weight of its R."""

    share: float
    weights: Mapping[int, float]


@dataclass(frozen=True)
class Contrast:
    """A method's main effect (`main`), or a combination's `pair`, `total` or `pure` interaction."""

    methods: str
    kind: str
    comparisons: tuple[Like, ...]
    reason: str = ""

    @property
    def treatments(self) -> list[int]:
        return list(dict.fromkeys(number for like in self.comparisons for number in like.weights))

    def weights(self, count: int) -> Array:
        """Of the R of each of `count` treatments."""
        weights = np.zeros(count)
        for like in self.comparisons:
            weights[list(like.weights)] += like.share * np.array(list(like.weights.values()))
        return weights


def contrasts(results: Results, treatments: Sequence[Treatment]) -> list[Contrast]:
    """Main effects of all methods, then interactions; without comparisons, and why, if nothing like it was run."""
    there, methods = set(results.runs["methods"]), results.methods
    made = []
    for method in methods.names:
        pairs = [{more: 1.0, less: -1.0} for less, more in pairs_of(method, methods, there)]
        alike = [like for like in (_alike(weights, treatments) for weights in pairs) if like]
        comparisons = tuple(replace(one, share=one.share / len(alike)) for like in alike for one in like)
        reason = "" if comparisons else f"no runs that differ in {method} alone"
        made.append(Contrast(method, MAIN, comparisons, reason))
    for one in interactions(methods):
        if one.methods in results.subsets:
            comparisons = _alike({name: -weight for name, weight in one.weights.items()}, treatments)
            absent = [name for name in one.weights if name not in there]
            why = f"no runs of {', '.join(absent)}" if absent else "no runs of the same options and strengths"
            made.append(Contrast(one.methods, one.kind, comparisons, "" if comparisons else why))
    return made


def _alike(weights: Mapping[str, float], treatments: Sequence[Treatment]) -> tuple[Like, ...]:
    """One comparison for each treatment of the largest subset that all its parts were run of; each counts the same."""
    numbers = {treatment: number for number, treatment in enumerate(treatments)}
    largest = max(weights, key=lambda name: len(split(name)))
    found = []
    for treatment in treatments:
        if subset_of(treatment) != largest:
            continue
        subsets = [name for name in weights if name != NONE]
        parts = {name: tuple(entry for entry in treatment if entry[0] in split(name)) for name in subsets}
        if all(part in numbers for part in parts.values()):
            found.append({numbers[part]: weights[name] for name, part in parts.items()})
    return tuple(Like(1 / len(found), own) for own in found)


@dataclass(frozen=True)
class Terms:
    """A contrast at given shifts.

    Attributes:
        learned, arithmetic: its two terms.
        observed: log-reduction of the largest subset, at the same scores.
        by_learned, by_arithmetic: derivatives of the terms by the shifts, shape (K,).
        beyond: whether subsets have no size in common, so that the bytes are of the nearest architectures.
    """

    learned: float
    arithmetic: float
    observed: float
    by_learned: Array
    by_arithmetic: Array
    beyond: bool


def terms(contrast: Contrast, cells: Cells, shifts: Array) -> Terms:
    """What a contrast is if treatments act as `shifts` say, shape (K,)."""
    by_learned, by_arithmetic = contrast.weights(len(shifts)), np.zeros(len(shifts))
    arithmetic = observed = 0.0
    beyond = False
    for like in contrast.comparisons:
        own = [0.0, *shifts[list(like.weights)]]
        low, high = cells.log_bytes.min() + max(own), cells.log_bytes.max() + min(own)
        beyond |= not low < high
        sizes = np.linspace(min(low, high), max(low, high), PLACES)
        for number, weight in like.weights.items():
            added, slope = _bytes_added(cells, number, sizes - shifts[number])
            by_arithmetic[number] += like.share * weight * slope
            arithmetic -= like.share * weight * added
            largest = max(like.weights, key=lambda one: len(cells.treatments[one]))
            observed += like.share * (shifts[number] - added) * (number == largest)
    return Terms(float(by_learned @ shifts), arithmetic, observed, by_learned, by_arithmetic, beyond)


def _bytes_added(cells: Cells, treatment: int, log_bytes: Array) -> tuple[float, float]:
    """Mean of d, and of its derivative, over architectures of these uncompressed sizes."""
    known = np.isfinite(cells.changes[:, treatment])
    at, added = cells.log_bytes[known], cells.changes[known, treatment]
    step = 1e-4
    above, below = (np.interp(log_bytes + side, at, added) for side in (step, -step))
    return float(np.interp(log_bytes, at, added).mean()), float((above - below).mean() / (2 * step))
