"""Which verdicts are open, and the cheapest further seeds that would settle them.

The claims are the interactions of `equivalent_size`, of the mean over tasks. A claim is *settled* if its repeated
interval (`looks`), which holds at all looks together, makes a verdict; `multiplicative` needs one within ± ln 1.1.

What more seeds would do is told by the fitted model. With n seeds in each cell a claim's variance is

    V(n) = V · b′P(n)⁻¹b / b′P⁻¹b + slopes,        P(n) = sum over tasks of (Σ + J(n)⁻¹)⁻¹,

b being the claim's derivatives by the mean shifts, Σ their spread over tasks, J(n) the information that a task's cells
have on its own shifts, and slopes what is not known because the architectures are few: seeds make J larger, Σ and
slopes stay. If the estimate stays where it is, that says whether the claim will be settled. The *chance* that it is
with `seeds` seeds everywhere takes into account that the estimate moves by a variance of V − V(seeds), as successive
estimates do (conditional power; Lan, Simon & Halperin 1982, Sequential Analysis 1:207). Below `FUTILE` nothing is
proposed for it: other tasks, or other architectures, would be needed. With fewer than three seeds a run that collapsed
is not told from the others. So V(seeds) has the noise of a usual run, by the median residual, and nothing is given up
before half of the cells have three.

A round is made of blocks: one more seed of a task and a model, the same for all treatments that the open claims
compare, since runs of a seed share noise that cancels. One after the other it takes the block that brings the open
claims nearest to a verdict per device-hour, to first order, until all would be settled. If not even all blocks would
settle them, it takes the first of these, which bring half of what all would: the next look may know better. Costs are
mean wall seconds of finished runs of the same cell, as if each had a device to itself; where a new seed's teacher is
not there, it is added and paid for. An experiment that failed is not proposed again.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np

from analysis import names
from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics.equivalent_size import Known, known, students
from analysis.statistics.interactions import INCONCLUSIVE, UNDEFINED, ZONE, verdict
from analysis.statistics.like_with_like import MAIN, Contrast, contrasts, terms
from analysis.statistics.looks import ALPHA, Looked, reach
from analysis.statistics.score_size import Array
from analysis.statistics.shift_model import SINGULAR, Fit, fit
from analysis.statistics.treatments import UNCOMPRESSED, Treatment, cells_of, treatment_of
from analysis.statistics.uncertainty import ONE_SEED, Interval
from compress.errors import ConfigError, one_line
from compress.wording import plural

FUTILE = 0.1  # chance below which more seeds are not proposed for a claim
ENOUGH = 0.95  # of the information of the most seeds that counts as all: the rest is the dearest
NOT_KNOWN = (math.nan, math.nan, math.nan, math.nan)
FARTHEST = math.log(1000)  # that is written out, of a factor
MANY = 100  # tasks that are not told any more
REPEATED = 3  # seeds by which a run that collapsed is told from the others
NORMAL, MOST_SPOILED = 0.6745, 100.0  # a normal number's median size; noise with collapsed runs over noise without
LEAST_STEP = 0.25  # share of the blocks that a round takes at least
SEEDS = 5  # of a cell, at most, unless told otherwise
NEARLY = 0.02  # share of a claim's variance that counts as missing where its level still is
WANTED = {
    "tasks": "more tasks would be needed",
    "architectures": "more architectures would be needed",
    "runs": "runs of all that is compared are missing",
}  # by what a claim lacks
TASKS, ARCHITECTURES, OTHER = WANTED
Key = tuple[str, str, Treatment]  # task, model, treatment
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
        reason: why there is no interval.
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


@dataclass(frozen=True)
class Run:
    """A run to make: a finished one, `like`, with another seed. `seconds` is what it takes, NaN if not known."""

    task: str
    model: str
    methods: str
    variant: str
    seed: int
    like: str
    seconds: float


@dataclass(frozen=True)
class Next:
    """What is settled, what is open, and what to run.

    Attributes:
        hours: device-hours of `runs`, of those whose time is known.
        looks: all looks so far, this one included, for the next time.
        notes: what a reader must know, in sentences.
    """

    claims: list[Claim]
    runs: list[Run]
    hours: float
    looks: list[Mapping[str, Mapping[str, float]]]
    notes: list[str] = field(default_factory=list)

    @property
    def open(self) -> list[Claim]:
        return [claim for claim in self.claims if not claim.settled]

    @property
    def why(self) -> str:
        """Why nothing is proposed; empty if something is."""
        if self.runs:
            return ""
        if not self.claims:
            return "no combination of methods was run, so that there is nothing to say of how they combine"
        if not self.open:
            return "all verdicts are settled"
        lacks = [one for one in (TASKS, ARCHITECTURES, OTHER) if any(claim.lacks == one for claim in self.open)]
        if len(lacks) and all(claim.lacks for claim in self.open):
            return f"more seeds would not settle what is open: {names.enumerated([WANTED[one] for one in lacks])}"
        return "no further seed is allowed or can be paid: the hours, or the seeds of a cell, are too few"


def next_runs(
    results: Results, options: Options, history: History = (), seeds: int = SEEDS, hours: float = math.inf
) -> Next:
    """What a collection leaves open, and what to run for it.

    Args:
        history: the looks at it so far, `Next.looks`.
        seeds: how many each cell may come to have.
        hours: the most device-hours to propose.
    """
    cells = cells_of(results, options)
    model = fit(cells)
    every = [one for one in contrasts(results, cells.treatments) if one.kind != MAIN]
    if model is None:
        reason = "no task has two sizes of which one was compressed"
        claims = [Claim(one.methods, one.kind, UNDEFINED, lacks=OTHER, reason=reason) for one in every]
        return Next(claims, [], 0.0, list(history))
    inventory = _Inventory(results, model, seeds)
    now = _total(model, [task.cells.seeds for task in model.tasks])
    most = _most(model, inventory)
    taught = students(results, cells)
    numbers = [_Number.of(one, model, taught, now, most) for one in every]
    claims = [_look(number, history) for number in numbers]
    new = any(claim.information > _spent(history, claim.name) for claim in claims)
    looks = [*history, _recorded(claims)] if new else list(history)
    open_numbers = [number.after(history) for number, claim in zip(numbers, claims, strict=True)
                    if not claim.settled and not claim.lacks]  # fmt: skip
    runs, soon = _proposal(open_numbers, inventory, hours)
    claims = [replace(claim, soon=claim.name in soon) for claim in claims]
    known_seconds = [run.seconds for run in runs if math.isfinite(run.seconds)]
    notes = inventory.notes
    if len(known_seconds) < len(runs):
        notes.append(f"what {len(runs) - len(known_seconds)} of the runs take is not known: nothing like them tells")
    return Next(claims, runs, sum(known_seconds) / 3600, looks, notes)


# --- in words, and on disk --------------------------------------------------------------------------------------------


def sentences(said: Next, seeds: int) -> list[str]:
    """What is settled, what is open and why, and what to run, a few lines."""
    lines = [f"settled: {_told(claim)}: {claim.verdict}" for claim in said.claims if claim.settled]
    lines += [f"open: {_told(claim)}: {_prospect(claim, seeds)}" for claim in said.open]
    if not said.runs:
        return [*lines, "", f"nothing to run: {said.why}"]
    lines += ["", f"to run: {plural(len(said.runs), 'run')}, {said.hours:.2g} device-hours"]
    of_model: dict[str, list[Run]] = defaultdict(list)
    for run in said.runs:
        of_model[run.model].append(run)
    for model, runs in of_model.items():
        tasks = ", ".join(names.task_label(task) for task in dict.fromkeys(run.task for run in runs))
        numbers = ", ".join(str(seed) for seed in sorted({run.seed for run in runs}))
        word = "seed" if len({run.seed for run in runs}) == 1 else "seeds"
        hours = sum(run.seconds for run in runs if math.isfinite(run.seconds)) / 3600
        lines.append(f"  {model}: {plural(len(runs), 'run')} on {tasks}, {word} {numbers}: {hours:.2g} device-hours")
    soon = [claim.name for claim in said.open if claim.soon]
    later = [claim.name for claim in said.open if not claim.soon and not claim.lacks]
    lines += [f"that would settle, if estimates stay as they are: {', '.join(soon)}"] if soon else []
    lines += [f"that brings nearer: {', '.join(later)}"] if later else []
    return lines


def _told(claim: Claim) -> str:
    if not math.isfinite(claim.low):
        return claim.name
    low, value, high = (math.exp(min(number, FARTHEST)) for number in (claim.low, claim.estimate, claim.high))
    return f"{claim.name} {value:.2f} [{low:.2f}, {high:.2f}]"


def _prospect(claim: Claim, seeds: int) -> str:
    """What would settle it."""
    chance = f"{_percent(claim.chance)} that {seeds} seeds everywhere settle it"
    if claim.lacks == TASKS:
        tasks = f"about {claim.needed}" if claim.needed <= MANY else "far more"
        return f"{chance}; {tasks} tasks would be needed"
    if claim.lacks:
        return f"{claim.reason or chance}; {WANTED[claim.lacks]}"
    if claim.chance < FUTILE:
        return f"{chance}, as far as fewer than three seeds tell"
    return chance if math.isfinite(claim.chance) else f"no interval ({claim.reason})"


def _percent(share: float) -> str:
    """`12 %`."""
    return "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def looks_document(said: Next, options: Options) -> dict[str, object]:
    """All looks so far, for `read_looks`."""
    return {"version": 1, "score": options.score, "bytes": options.bytes, "looks": said.looks}


def read_looks(file: Path, options: Options) -> History:
    """Earlier looks; none if there is no such file; ConfigError if they are not of these options, or cannot be read."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    try:
        document = json.loads(text)
        looks: History = [
            {claim: {key: float(of_claim[key]) for key in ("information", "low", "high")}
             for claim, of_claim in look.items()}
            for look in document["looks"]
        ]  # fmt: skip
        of = document["score"], document["bytes"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{file}: not looks as `python -m launch extend` records them ({one_line(str(error))})"
        raise ConfigError(f"{reason}; remove it, and levels no longer account for earlier looks") from error
    if of != (options.score, options.bytes):
        raise ConfigError(f"{file}: these looks were at --score {of[0]} --bytes {of[1]}; give these, or another file")
    return looks


# --- claims -----------------------------------------------------------------------------------------------------------


@dataclass
class _Number:
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
    def of(contrast: Contrast, model: Fit, taught: Array, now: Array, most: Array) -> _Number:
        if not contrast.comparisons:
            undefined = Known(Interval(reason=contrast.reason), np.zeros(0))
            return _Number(contrast, math.nan, np.zeros(len(taught)), undefined, *NOT_KNOWN)
        at = terms(contrast, model.cells, model.mean)
        by_shift, value = at.by_learned + at.by_arithmetic, at.learned + at.arithmetic
        told = known(model, value, by_shift, taught)
        slopes = (float(by_shift @ model.mean) * model.slope_error) ** 2 if model.slope_freedom else math.nan
        of_tasks = max(told.interval.error**2 - slopes, 0.0)
        unit = _variance(now, by_shift)
        ratio = _variance(most, by_shift) / unit if unit else 1.0
        least = (of_tasks * ratio + slopes) / (of_tasks + slopes) / ENOUGH if of_tasks + slopes else 1.0
        return _Number(
            contrast, value, by_shift, told, of_tasks, slopes, unit, min(least, 1.0), _repeated(contrast, model)
        )

    @property
    def name(self) -> str:
        return f"{self.contrast.methods} ({self.contrast.kind})"

    def after(self, history: History) -> _Number:
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
        wanted = max(abs(self.value), ZONE - abs(self.value)) / reach(ALPHA, self.known.interval.freedom)
        target = max((wanted**2 - self.slopes) / self.of_tasks, self.least_ratio)
        return max(ratio - target, NEARLY)

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
        wanted = max(abs(self.value), ZONE - abs(self.value)) / reach(ALPHA, self.known.interval.freedom)
        left = wanted**2 - self.slopes
        of_tasks = last**2 - self.slopes
        if left <= 0 or self.slopes > of_tasks:
            return ARCHITECTURES, 0
        tasks = int((self.known.shares > 0).sum())
        return TASKS, math.ceil(tasks * max(of_tasks / left, 1 + 1 / tasks))


def _repeated(contrast: Contrast, model: Fit) -> bool:
    compared = [UNCOMPRESSED, *contrast.treatments]
    seeds = np.concatenate([own.cells.seeds[np.isin(own.cells.treatments, compared)] for own in model.tasks])
    return bool((seeds >= REPEATED).mean() >= 0.5)


def _most(model: Fit, inventory: _Inventory) -> Array:
    """What all tasks would say of the mean shifts with the most seeds, shape (K, K)."""
    precisions = []
    for place, task in enumerate(model.tasks):
        seeds = inventory.attainable(place)
        told = (seeds == task.cells.seeds).all() or (task.cells.seeds >= REPEATED).mean() >= 0.5
        precisions.append(model.precision(place, seeds, task.variance if told else _usual_variance(model, place)))
    return np.asarray(sum(precisions))


def _usual_variance(model: Fit, place: int) -> float:
    """Of one run, but for those that collapsed: by the median residual, if that is less than the fitted one."""
    task = model.tasks[place]
    fitted = len(task.nuisance) + len(np.unique(task.cells.treatments)) - 1
    count = len(task.cells.scores)
    median = float(np.median(np.abs(model.residuals_of(task)) * np.sqrt(task.cells.seeds)))
    usual = (median / NORMAL) ** 2 * count / max(count - fitted, 1)
    return min(task.variance, max(usual, task.variance / MOST_SPOILED))


def _total(model: Fit, seeds: Sequence[Array]) -> Array:
    return np.asarray(sum(model.precision(place, of_task) for place, of_task in enumerate(seeds)))


def _variance(total: Array, by_shift: Array) -> float:
    return float(by_shift @ np.linalg.pinv(total, rcond=SINGULAR, hermitian=True) @ by_shift)


def _looked(history: History, name: str) -> Looked:
    looked = Looked()
    for look in history:
        looked = looked.then(look[name]["information"]) if name in look else looked
    return looked


def _spent(history: History, name: str) -> float:
    return max((look[name]["information"] for look in history if name in look), default=0.0)


def _recorded(claims: Sequence[Claim]) -> Mapping[str, Mapping[str, float]]:
    told = [claim for claim in claims if math.isfinite(claim.information)]
    return {claim.name: {"information": claim.information, "low": claim.low, "high": claim.high} for claim in told}


def _look(number: _Number, history: History) -> Claim:
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


# --- what to run ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """One more seed of a task's and a model's cells: the runs, those of teachers first, and seconds they take."""

    place: int
    cells: Array  # 1 for the task's cells that get a seed, shape (N,)
    keys: list[tuple[Key, int]]  # with seeds, those of teachers too
    seconds: float


def _proposal(numbers: Sequence[_Number], inventory: _Inventory, hours: float) -> tuple[list[Run], set[str]]:
    """The next round's runs, and the claims that they would settle if the estimates stay."""
    blind = [number for number in numbers if not number.unit or math.isnan(number.of_tasks)]
    numbers = [number for number in numbers if number not in blind]
    wanted = {treatment for number in [*numbers, *blind] for treatment in number.contrast.treatments}
    path = _Path(numbers, inventory, wanted | {UNCOMPRESSED}, bool(blind), hours * 3600)
    chosen = list(path.blocks())
    if path.left and not blind:
        chosen = chosen[: path.half_way()]
    pairs = [pair for block in chosen for pair in block.keys]
    return [inventory.run(*pair) for pair in pairs], path.soon(len(chosen))


class _Path:
    """Blocks one after the other, until all claims would be settled.

    Attributes:
        left: the claims that would not be.
    """

    def __init__(
        self, numbers: Sequence[_Number], inventory: _Inventory, treatments: Collection[int], blind: bool, budget: float
    ) -> None:
        self.numbers, self.left = list(numbers), list(numbers)
        self.inventory, self.treatments, self.blind, self.budget = inventory, treatments, blind, budget
        self.seeds = [task.cells.seeds.copy() for task in inventory.model.tasks]
        self.start = [inventory.model.precision(place, seeds) for place, seeds in enumerate(self.seeds)]
        self.totals = [np.asarray(sum(self.start))]

    def blocks(self) -> Iterator[_Block]:
        """In the order in which they pay; the inventory then has them all. `totals` are the precisions after each."""
        precisions = list(self.start)
        offers = {key: self._offer(*key, precisions) for key in self.inventory.places()}
        while self.left or self.blind:
            total = self.totals[-1]
            self.left = [number for number in self.left if not number.settled(_ratio(number, total))]
            nearer = [number for number in self.left if _ratio(number, total) > number.least_ratio]
            if not nearer and not self.blind:
                return
            directions = np.array([_direction(number, total) for number in nearer])
            missing = np.array([number.missing(_ratio(number, total)) for number in nearer])
            best, most = None, 0.0
            for key, offer in offers.items():
                if offer is None or offer[0].seconds > self.budget:
                    continue
                block, gain = offer
                worth = float(self.blind)
                if self.left:
                    worth += float(
                        np.minimum(np.einsum("ck,kl,cl->c", directions, gain, directions) / missing, 1).sum()
                    )
                if worth / block.seconds > most:
                    best, most = key, worth / block.seconds
            if best is None:
                return
            offer = offers[best]
            assert offer is not None
            block, gain = offer
            self.budget -= block.seconds
            self.seeds[block.place] = self.seeds[block.place] + block.cells
            precisions[block.place] = precisions[block.place] + gain
            self.totals.append(np.asarray(sum(precisions)))
            self.inventory.take(block)
            if self.blind:  # of what is not known to vary, a second seed tells first
                del offers[best]
            offers |= {key: self._offer(*key, precisions) for key in offers if key[0] == block.place}
            yield block

    def _offer(self, place: int, model: int, precisions: Sequence[Array]) -> tuple[_Block, Array] | None:
        """The next seed of a task and model, and what it adds to the task's precision."""
        block = self.inventory.block(place, model, self.treatments)
        if block is None:
            return None
        return block, self.inventory.model.precision(place, self.seeds[place] + block.cells) - precisions[place]

    def half_way(self) -> int:
        """How many blocks bring half of what all would for the claims that are left."""
        ratios = np.array([sum(_ratio(number, total) for number in self.left) for total in self.totals])
        if ratios[0] - ratios[-1] <= SINGULAR:
            return len(ratios) - 1
        return max(int(np.argmax(ratios <= (ratios[0] + ratios[-1]) / 2)), math.ceil(LEAST_STEP * (len(ratios) - 1)))

    def soon(self, blocks: int) -> set[str]:
        """The claims that would be settled by so many blocks."""
        return {number.name for number in self.numbers if number.settled(_ratio(number, self.totals[blocks]))}


def _direction(number: _Number, total: Array) -> Array:
    """P⁻¹b, scaled so that its square by a gain of precision is the claim's, as a share of b′P⁻¹b now."""
    inverse = np.linalg.pinv(total, rcond=SINGULAR, hermitian=True)
    return np.asarray(inverse @ number.by_shift / math.sqrt(number.unit))


def _ratio(number: _Number, total: Array) -> float:
    return _variance(total, number.by_shift) / number.unit


class _Inventory:
    """Which runs there are and what they take; which could be made."""

    def __init__(self, results: Results, model: Fit, seeds: int) -> None:
        self.model, self.most = model, seeds
        runs = results.runs.assign(treatment=results.runs["compression"].map(treatment_of))
        self.like: dict[Key, dict[str, str]] = {}
        self.there: dict[Key, set[int]] = defaultdict(set)
        of_run = {}
        for row in runs.to_dict("records"):
            key = of_run[row["run_id"]] = row["task"], row["model"], row["treatment"]
            self.like.setdefault(key, {name: str(row[name]) for name in ("methods", "variant", "run_id")})
            self.there[key].add(int(row["seed"]))
        taught = runs[runs["teacher_run_id"].notna()]
        pairs = zip(taught["task"], taught["model"], taught["treatment"], taught["teacher_run_id"], strict=True)
        self.teachers = {(task, name, treatment): of_run.get(teacher) for task, name, treatment, teacher in pairs}
        seconds = runs["wall_seconds"].astype(float)
        self.of_cell = seconds.groupby([runs["task"], runs["model"], runs["treatment"]]).mean().to_dict()
        self.of_kind = seconds.groupby([runs["model"], runs["treatment"]]).mean().to_dict()
        self.usual = float(seconds.mean()) if seconds.notna().any() else 1.0
        failures = results.failures
        columns = (failures[name] for name in ("task", "model", "methods", "seed"))
        self.failed = set(zip(*columns, strict=True))
        used = sorted(int(seed) for seed in runs["seed"].unique())
        self.order = [*used, *(seed for seed, _ in zip(count(used[-1] + 1), range(seeds), strict=False))]
        missing = sum(teacher is None for teacher in self.teachers.values())
        self.notes = [f"what the teachers of {missing} cells take is not known: their runs are not here"] * bool(
            missing
        )

    def attainable(self, place: int) -> Array:
        """How many seeds each of a task's cells may come to have, shape (N,)."""
        cells = self.model.tasks[place].cells
        free = [
            sum(self._lacks(self._key(cells.task, int(model), int(treatment)), seed) for seed in self.order)
            for model, treatment in zip(cells.models, cells.treatments, strict=True)
        ]
        return np.asarray(np.maximum(cells.seeds, np.minimum(cells.seeds + np.array(free), self.most)))

    def places(self) -> list[tuple[int, int]]:
        """Every task and model that has cells, as numbers."""
        return [(place, int(model)) for place, task in enumerate(self.model.tasks)
                for model in np.unique(task.cells.models)]  # fmt: skip

    def block(self, place: int, model: int, treatments: Collection[int]) -> _Block | None:
        """The first seed that some of these cells lack and may have; None if none does."""
        cells = self.model.tasks[place].cells
        inside = (cells.models == model) & np.isin(cells.treatments, list(treatments))
        for seed in self.order:
            adds = np.zeros(len(inside))
            keys: dict[tuple[Key, int], None] = {}
            for cell in np.flatnonzero(inside):
                key = self._key(cells.task, model, int(cells.treatments[cell]))
                if not self._lacks(key, seed):
                    continue
                teacher = self.teachers.get(key)
                if teacher is not None and self._failed(teacher, seed):
                    continue
                adds[cell] = 1.0
                if teacher is not None and seed not in self.there[teacher]:
                    keys[teacher, seed] = None
                keys[key, seed] = None
            if adds.any():
                return _Block(place, adds, list(keys), sum(self._cost(key) for key, _ in keys))
        return None

    def _key(self, task: str, model: int, treatment: int) -> Key:
        of = () if treatment == UNCOMPRESSED else self.model.cells.treatments[treatment]
        return task, self.model.cells.models[model], of

    def _failed(self, key: Key, seed: int) -> bool:
        return (*key[:2], self.like[key]["methods"], seed) in self.failed

    def _lacks(self, key: Key, seed: int) -> bool:
        return seed not in self.there[key] and len(self.there[key]) < self.most and not self._failed(key, seed)

    def take(self, block: _Block) -> None:
        """Count a block's runs as there."""
        for key, seed in block.keys:
            self.there[key].add(seed)

    def _seconds(self, key: Key) -> float:
        mean = self.of_cell.get(key, math.nan)
        return float(mean if math.isfinite(mean) else self.of_kind.get(key[1:], math.nan))

    def _cost(self, key: Key) -> float:
        seconds = self._seconds(key)
        return seconds if seconds > 0 else self.usual

    def run(self, key: Key, seed: int) -> Run:
        like = self.like[key]
        return Run(key[0], key[1], like["methods"], like["variant"], seed, like["run_id"], self._seconds(key))
