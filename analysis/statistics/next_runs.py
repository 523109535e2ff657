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
is not told from the others. So cells that lie far off (`strays`) are run again before anything is looked at; V(seeds)
has the noise of a usual run, by the median residual; and nothing is given up before half of the cells have three seeds.

A round is made of blocks: one more seed of a task and a model, the same for all treatments that the open claims
compare, since runs of a seed share noise that cancels. One after the other it takes the block that brings the open
claims nearest to a verdict per device-hour, to first order, until all would be settled. Of these a round takes the
first, which bring half of what all would, unless they cost little: the next look may know better. Costs are
mean wall seconds of finished runs of the same cell, as if each had a device to itself; where a new seed's teacher is
not there, it is added and paid for. An experiment that failed is not proposed again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.options import Options
from analysis.read.results import Results
from analysis.statistics.equivalent_size import students
from analysis.statistics.interactions import UNDEFINED
from analysis.statistics.inventory import Block, Inventory, Run
from analysis.statistics.like_with_like import MAIN, contrasts
from analysis.statistics.open_claims import (
    ARCHITECTURES,
    OTHER,
    REPEATED,
    TASKS,
    WANTED,
    Claim,
    History,
    Number,
    claim_of,
    recorded,
    spent,
)
from analysis.statistics.score_size import Array
from analysis.statistics.shift_model import SINGULAR, Fit, fit
from analysis.statistics.strays import again, usual_variance
from analysis.statistics.treatments import UNCOMPRESSED, cells_of
from compress.wording import enumerated, plural

LEAST_STEP = 0.25  # share of the blocks that a round takes at least
LITTLE = 0.05  # share of what all runs took that is spent at once
SEEDS = 5  # of a cell, at most, unless told otherwise
STRAYS = "another seed of {} far off what the others say"


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
            return f"more seeds would not settle what is open: {enumerated([WANTED[one] for one in lacks])}"
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
    inventory = Inventory(results, model, seeds)
    now = _total(model, [task.cells.seeds for task in model.tasks])
    most = _most(model, inventory)
    taught = students(results, cells)
    numbers = [Number.of(one, model, taught, now, most) for one in every]
    claims = [claim_of(number, history) for number in numbers]
    looks = list(history)
    hopeless = all(claim.verdict == UNDEFINED and claim.lacks for claim in claims)
    if strays := [] if hopeless else list(again(inventory, hours * 3600)):
        claims = [claim.held(f"first {STRAYS.format(plural(len(strays), 'cell'))}") for claim in claims]
        runs = [inventory.run(*pair) for block in strays for pair in block.keys]
    else:
        if any(claim.information > spent(history, claim.name) for claim in claims):
            looks.append(recorded(claims))
        open_numbers = [number.after(history) for number, claim in zip(numbers, claims, strict=True)
                        if not claim.settled and not claim.lacks]  # fmt: skip
        runs, soon = _proposal(open_numbers, inventory, hours)
        claims = [replace(claim, soon=claim.name in soon) for claim in claims]
    known_seconds = [run.seconds for run in runs if math.isfinite(run.seconds)]
    notes = inventory.notes
    if len(known_seconds) < len(runs):
        notes.append(f"what {len(runs) - len(known_seconds)} of the runs take is not known: nothing like them tells")
    return Next(claims, runs, sum(known_seconds) / 3600, looks, notes)


def _most(model: Fit, inventory: Inventory) -> Array:
    """What all tasks would say of the mean shifts with the most seeds, shape (K, K)."""
    precisions = []
    for place, task in enumerate(model.tasks):
        seeds = inventory.attainable(place)
        told = (seeds == task.cells.seeds).all() or (task.cells.seeds >= REPEATED).mean() >= 0.5
        precisions.append(model.precision(place, seeds, task.variance if told else usual_variance(model, place)))
    return np.asarray(sum(precisions))


def _total(model: Fit, seeds: Sequence[Array]) -> Array:
    return np.asarray(sum(model.precision(place, of_task) for place, of_task in enumerate(seeds)))


def _proposal(numbers: Sequence[Number], inventory: Inventory, hours: float) -> tuple[list[Run], set[str]]:
    """The next round's runs, and the claims that they would settle if the estimates stay."""
    blind = [number for number in numbers if not number.unit or math.isnan(number.of_tasks)]
    numbers = [number for number in numbers if number not in blind]
    wanted = {treatment for number in [*numbers, *blind] for treatment in number.contrast.treatments}
    path = _Path(numbers, inventory, wanted | {UNCOMPRESSED}, bool(blind), hours * 3600)
    chosen = list(path.blocks())
    if not blind and sum(block.seconds for block in chosen) > LITTLE * inventory.spent:
        chosen = chosen[: path.half_way()]
    pairs = [pair for block in chosen for pair in block.keys]
    return [inventory.run(*pair) for pair in pairs], path.soon(len(chosen))


class _Path:
    """Blocks one after the other, until all claims would be settled.

    Attributes:
        left: the claims that would not be.
        totals, inverses: precisions of the mean shifts, and their inverses, after each block.
    """

    def __init__(
        self, numbers: Sequence[Number], inventory: Inventory, treatments: Collection[int], blind: bool, budget: float
    ) -> None:
        self.numbers, self.left = list(numbers), list(numbers)
        self.inventory, self.treatments, self.blind, self.budget = inventory, treatments, blind, budget
        self.seeds = [task.cells.seeds.copy() for task in inventory.model.tasks]
        self.precisions = [inventory.model.precision(place, seeds) for place, seeds in enumerate(self.seeds)]
        self.totals, self.inverses = list[Array](), list[Array]()
        self._note()
        self.offers = {key: self._offer(*key) for key in inventory.places()}

    def blocks(self) -> Iterator[Block]:
        """In the order in which they pay; the inventory then has them all."""
        while self.left or self.blind:
            ratios = [(number, self._ratio(number)) for number in self.left]
            ratios = [(number, ratio) for number, ratio in ratios if not number.settled(ratio)]
            self.left = [number for number, _ in ratios]
            nearer = [(number, ratio) for number, ratio in ratios if ratio > number.least_ratio]
            if not nearer and not self.blind:
                return
            key = self._best(nearer)
            if key is None:
                return
            offer = self.offers[key]
            assert offer is not None
            self._take(key, *offer)
            yield offer[0]

    def _best(self, nearer: Sequence[tuple[Number, float]]) -> tuple[int, int] | None:
        """The block that brings most per second of what these claims miss; None if none brings anything."""
        directions = np.array([self._direction(number) for number, _ in nearer])
        missing = np.array([number.missing(ratio) for number, ratio in nearer])
        best, most = None, 0.0
        for key, offer in self.offers.items():
            if offer is None or offer[0].seconds > self.budget:
                continue
            block, gain = offer
            brought = np.einsum("ck,kl,cl->c", directions, gain, directions) / missing if nearer else np.zeros(1)
            worth = (float(self.blind) + float(np.minimum(brought, 1).sum())) / block.seconds
            if worth > most:
                best, most = key, worth
        return best

    def _take(self, key: tuple[int, int], block: Block, gain: Array) -> None:
        self.budget -= block.seconds
        self.seeds[block.place] = self.seeds[block.place] + block.cells
        self.precisions[block.place] = self.precisions[block.place] + gain
        self._note()
        self.inventory.take(block)
        if self.blind:  # of what is not known to vary, a second seed tells first
            del self.offers[key]
        self.offers |= {other: self._offer(*other) for other in self.offers if other[0] == block.place}

    def _note(self) -> None:
        self.totals.append(np.asarray(sum(self.precisions)))
        self.inverses.append(np.asarray(np.linalg.pinv(self.totals[-1], rcond=SINGULAR, hermitian=True)))

    def _offer(self, place: int, model: int) -> tuple[Block, Array] | None:
        """The next seed of a task and model, and what it adds to the task's precision."""
        block = self.inventory.block(place, model, self.treatments)
        if block is None:
            return None
        more = self.inventory.model.precision(place, self.seeds[place] + block.cells)
        return block, more - self.precisions[place]

    def _ratio(self, number: Number, blocks: int = -1) -> float:
        """b′P⁻¹b after so many blocks, as a share of what it is now."""
        return float(number.by_shift @ self.inverses[blocks] @ number.by_shift) / number.unit

    def _direction(self, number: Number) -> Array:
        """P⁻¹b, scaled so that its square by a gain of precision is the claim's, as a share of b′P⁻¹b now."""
        return np.asarray(self.inverses[-1] @ number.by_shift / math.sqrt(number.unit))

    def half_way(self) -> int:
        """How many blocks bring half of what all would, for the claims that are left if there are any."""
        every, numbers = range(len(self.inverses)), self.left or self.numbers
        ratios = np.array([sum(self._ratio(number, blocks) for number in numbers) for blocks in every])
        if ratios[0] - ratios[-1] <= SINGULAR:
            return len(ratios) - 1
        return max(int(np.argmax(ratios <= (ratios[0] + ratios[-1]) / 2)), math.ceil(LEAST_STEP * (len(ratios) - 1)))

    def soon(self, blocks: int) -> set[str]:
        """The claims that would be settled by so many blocks."""
        return {number.name for number in self.numbers if number.settled(self._ratio(number, blocks))}
