"""Verdicts on interactions at repeated looks: settled, or open, and what more seeds would make of them.

`next_runs` has the model of what seeds do to a claim's variance, and where the formulae are from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.statistics.equivalent_size import Known, known
from analysis.statistics.interactions import INCONCLUSIVE, UNDEFINED, ZONE, verdict
from analysis.statistics.like_with_like import Contrast, terms
from analysis.statistics.looks import ALPHA, Looked, reach
from analysis.statistics.score_size import Array
from analysis.statistics.shift_model import SINGULAR, Fit
from analysis.statistics.treatments import UNCOMPRESSED
from analysis.statistics.uncertainty import ONE_SEED, Interval

FUTILE = 0.1  # chance below which more seeds are not proposed for a claim
ENOUGH = 0.95  # of the information of the most seeds that counts as all: the rest is the dearest
NOT_KNOWN = (math.nan, math.nan, math.nan, math.nan)
REPEATED = 3  # seeds by which a run that collapsed is told from the others
NEARLY = 0.02  # share of a claim's variance that counts as missing where its level still is
WANTED = {
    "tasks": "more tasks would be needed",
    "architectures": "more architectures would be needed",
    "runs": "runs of all that is compared are missing",
}  # by what a claim lacks
TASKS, ARCHITECTURES, OTHER = WANTED
History = Sequence[Mapping[str, Mapping[str, float]]]  # of each look and claim: information, low, high


@dataclass(frozen=True)
class Claim:
    """A verdict on an interaction, settled or open.

    Attributes:
        methods, kind: as in `equivalent_size`.
        verdict: at the level that holds at all looks together; `undefined` without an interval.
        estimate, low, high: log-interaction and its repeated interval, what all looks' intervals have in common.
        level, information: of this look, see `looks`.
        chance: that it is settled with `seeds` seeds everywhere; NaN if that is not known.
        soon: whether it is settled by the proposal, if the estimate stays.
        lacks: empty if more seeds may settle it; else what is needed.
        needed: how many tasks like these, where tasks are lacking, about; 0 if that is not known.
        reason: why there is no interval, or what must be known first.
    """

    methods: str
    kind: str
    verdict: str
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    level: float = math.nan
    information: float = math.nan
    chance: float = math.nan
    soon: bool = False
    lacks: str = ""
    needed: int = 0
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.methods} ({self.kind})"

    @property
    def settled(self) -> bool:
        return self.verdict not in (INCONCLUSIVE, UNDEFINED)

    def held(self, reason: str) -> Claim:
        """Neither settled nor given up, for this reason; what no seeds would settle stays as it is."""
        if self.verdict == UNDEFINED:
            return self
        return replace(self, verdict=INCONCLUSIVE, chance=math.nan, lacks="", needed=0, reason=reason)


@dataclass
class Number:
    """A claim's number, and what seeds would make of its variance.

    Attributes:
        by_shift: derivatives by the mean shifts, shape (K,).
        of_tasks, slopes: the two parts of its variance.
        unit: b′P⁻¹b now.
        repeated: whether half of the cells compared have `REPEATED` seeds.
        least: the least variance that is aimed at, V(seeds) / `ENOUGH`, as a share of V.
        looked: the looks so far; of an open one, this included.
    """

    contrast: Contrast
    value: float
    by_shift: Array
    known: Known
    of_tasks: float
    slopes: float
    unit: float
    least: float
    repeated: bool = False
    looked: Looked = field(default_factory=Looked)

    @staticmethod
    def of(contrast: Contrast, model: Fit, taught: Array, now: Array, most: Array) -> Number:
        if not contrast.comparisons:
            undefined = Known(Interval(reason=contrast.reason), np.zeros(0))
            return Number(contrast, math.nan, np.zeros(len(taught)), undefined, *NOT_KNOWN)
        at = terms(contrast, model.cells, model.mean)
        by_shift, value = at.by_learned + at.by_arithmetic, at.learned + at.arithmetic
        told = known(model, value, by_shift, taught)
        slopes = model.slope_variance(by_shift, model.mean)
        of_tasks = max(told.interval.error**2 - slopes, 0.0)
        unit = variance(now, by_shift)
        ratio = variance(most, by_shift) / unit if unit else 1.0
        least = (of_tasks * ratio + slopes) / (of_tasks + slopes) / ENOUGH if of_tasks + slopes else 1.0
        return Number(
            contrast, value, by_shift, told, of_tasks, slopes, unit, min(least, 1.0), _repeated(contrast, model)
        )

    @property
    def name(self) -> str:
        return f"{self.contrast.methods} ({self.contrast.kind})"

    def after(self, history: History) -> Number:
        """With its looks, this one included."""
        looked = _looked(history, self.name)
        return replace(self, looked=looked.then(self.least)) if math.isfinite(self.least) else self

    def error(self, ratio: float) -> float:
        """Standard error if b′P⁻¹b is this share of what it is."""
        return math.sqrt(self.of_tasks * ratio + self.slopes)

    def settled(self, ratio: float) -> bool:
        """Whether a look then would settle it, the estimate staying where it is."""
        error = self.error(ratio)
        if not self._says(error, ALPHA):
            return False
        share = self.least * (self.of_tasks + self.slopes) / error**2 if error else 1.0
        return self._says(error, self.looked.then(share).level)

    def _says(self, error: float, level: float) -> bool:
        half = reach(level, self.known.interval.freedom) * error
        return verdict(Interval(self.value - half, self.value + half, error)) != INCONCLUSIVE

    def missing(self, ratio: float) -> float:
        """By how much b′P⁻¹b must still fall for a verdict, as a share of what it is."""
        target = max((self.wanted**2 - self.slopes) / self.of_tasks, self.least_ratio)
        return max(ratio - target, NEARLY)

    @property
    def wanted(self) -> float:
        """The standard error at which there is a verdict, at a level of one look."""
        return max(abs(self.value), ZONE - abs(self.value)) / reach(ALPHA, self.known.interval.freedom)

    @property
    def least_ratio(self) -> float:
        """Of b′P⁻¹b with the most seeds."""
        return (self.least * (self.of_tasks + self.slopes) - self.slopes) / self.of_tasks if self.of_tasks else 1.0

    def chance(self, looked: Looked) -> float:
        """That a look with the most seeds settles it."""
        from scipy.special import ndtr

        last = self.error(self.least_ratio)
        moves = math.sqrt(max(self.error(1.0) ** 2 - last**2, 0.0))
        half = reach(looked.then(1.0).level, self.known.interval.freedom) * last
        if not moves:
            return float(abs(self.value) > half or abs(self.value) + half < ZONE)

        def within(distance: float) -> float:
            high, low = (distance - self.value) / moves, (-distance - self.value) / moves
            return float(ndtr(high) - ndtr(low)) if distance > 0 else 0.0

        return 1.0 - within(half) + within(min(half, ZONE - half))

    def lacking(self) -> tuple[str, int]:
        """What is needed if seeds do not settle it, and how many tasks, about."""
        last = self.error(self.least_ratio)
        left = self.wanted**2 - self.slopes
        of_tasks = last**2 - self.slopes
        if left <= 0 or self.slopes > of_tasks:
            return ARCHITECTURES, 0
        tasks = int((self.known.shares > 0).sum())
        return TASKS, math.ceil(tasks * max(of_tasks / left, 1 + 1 / tasks))


def _repeated(contrast: Contrast, model: Fit) -> bool:
    compared = [UNCOMPRESSED, *contrast.treatments]
    seeds = np.concatenate([own.cells.seeds[np.isin(own.cells.treatments, compared)] for own in model.tasks])
    return bool((seeds >= REPEATED).mean() >= 0.5)


def variance(total: Array, by_shift: Array) -> float:
    return float(by_shift @ np.linalg.pinv(total, rcond=SINGULAR, hermitian=True) @ by_shift)


def _looked(history: History, name: str) -> Looked:
    looked = Looked()
    for look in history:
        looked = looked.then(look[name]["information"]) if name in look else looked
    return looked


def spent(history: History, name: str) -> float:
    return max((look[name]["information"] for look in history if name in look), default=0.0)


def recorded(claims: Sequence[Claim]) -> Mapping[str, Mapping[str, float]]:
    told = [claim for claim in claims if math.isfinite(claim.information)]
    return {claim.name: {"information": claim.information, "low": claim.low, "high": claim.high} for claim in told}


def claim_of(number: Number, history: History) -> Claim:
    """A claim as this look has it."""
    contrast, interval = number.contrast, number.known.interval
    if not math.isfinite(interval.error):
        lacks = "" if interval.reason == ONE_SEED else ARCHITECTURES if contrast.comparisons else OTHER
        return Claim(contrast.methods, contrast.kind, UNDEFINED, number.value, lacks=lacks, reason=interval.reason)
    before = _looked(history, number.name)
    looked = before.then(number.least)
    half = reach(looked.level, interval.freedom) * interval.error
    low, high = number.value - half, number.value + half
    for look in history:
        if number.name in look:
            low, high = max(low, look[number.name]["low"]), min(high, look[number.name]["high"])
    if low > high:  # looks that exclude one another, in less than 5 % of the cases: what was said last stays
        low, high = history[-1][number.name]["low"], history[-1][number.name]["high"]
    claim = Claim(
        contrast.methods, contrast.kind, verdict(Interval(low, high, interval.error)), number.value, low, high,
        looked.level, looked.information,
    )  # fmt: skip
    if claim.settled:
        return claim
    chance = number.chance(looked)
    lacks, needed = number.lacking() if chance < FUTILE and (number.repeated or number.least >= 1) else ("", 0)
    return replace(claim, chance=chance, lacks=lacks, needed=needed)
