"""What a verdict hangs on: every claim again under each choice that might as well have been another.

A claim is a verdict on a contrast or a main effect, or the place of a method among the methods. It is made again

- without each task, and without each model (whose runs then do not count anywhere);
- by the other score, and by the other way of counting bytes;
- with each option or strength of a method alone, where a collection has several;
- after Holm's correction (1979, Scandinavian Journal of Statistics 6:65), for making several claims at once: in
  ascending order the p-values of a family (all contrasts; all main effects) count as often as there are p-values from
  there on, and no less than the one before. A place has no p-value and is left as it is.

Each estimator of `claims` varies its own claims. A claim is *sure* if its verdict is the same in all of these; else it
hangs on those in which it is not. What is inconclusive or undefined claims nothing. What cannot be left out, since
nothing would remain, is something that a claim hangs on, too: a single task or a single model. 95 % intervals and
p-values are the estimator's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis import names
from analysis.options import Options
from analysis.read.results import Results, Row
from analysis.statistics.claims import CLAIM, CLAIMS, NOTHING, Estimator, estimators
from analysis.statistics.interactions import EQUAL, INCONCLUSIVE, UNDEFINED, ZONE
from compress.wording import enumerated

LEVEL = 0.05
BY_CLAIM = ("by", *CLAIM)
COLUMNS = ("by", *CLAIMS, "variation", "group", "says", "p", "holds")
CERTAINTY = (*BY_CLAIM, "verdict", "sure", "hangs_on", "held", "of")
QUICK = 400  # replicates, at most, of the intervals of variations that cannot use those that were asked for


@dataclass(frozen=True)
class Variation:
    """A choice that might have been another.

    Attributes:
        group: `task`, `model`, `score`, `bytes`, `strength` or `holm`; empty for the claims as they were asked for.
        name, says: what is varied: as the heading of a column; completing "does not hold …".
    """

    group: str
    name: str
    says: str
    results: Results
    options: Options


ASKED = "as asked"
MEANING = (
    "Every verdict and each method's place, computed again: without each task and each model, by the other score and"
    " the other bytes, with each strength alone, and after Holm's correction for several claims"
)
HOLM = ("holm", "Holm", "after Holm's correction")


def variations(results: Results, options: Options) -> Iterator[Variation]:
    """Every one but Holm's correction, in the order of `names` and of the collection."""
    runs, asked = results.runs, options
    options = replace(options, bootstrap=min(options.bootstrap, QUICK))

    def only(kept: pd.Series) -> Results:
        return replace(results, runs=runs[kept])

    for task in results.tasks:
        label = names.task_label(task)
        yield Variation("task", label, f"without {label}", only(runs["task"] != task), asked)
    for model in results.models:
        yield Variation("model", model, f"without {model}", only(runs["model"] != model), options)
    for score in names.SCORES:
        if score != options.score:
            measure = names.score_of(score, results.tasks)
            yield Variation("score", measure.short, f"by {measure.by}", results, replace(options, score=score))
    for size, measure in names.SIZES.items():
        if size != options.bytes:
            yield Variation("bytes", measure.short, f"by {measure.by}", results, replace(options, bytes=size))
    for method in results.methods.methods:
        for entry in method.entries if len(method.entries) > 1 else ():
            others = set(method.entries) - {entry}
            label = f"{method.name} {method.variant(entry)}"
            kept = runs["compression"].map(others.isdisjoint)
            yield Variation("strength", label, f"with {label} alone", only(kept), options)


def table(results: Results, options: Options, asked: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """`varied_claims` of every estimator, named in `by`; columns `COLUMNS`.

    `asked` has the claims for these results and options of those estimators for which they are known already.
    """
    tables = [
        varied_claims(estimator, results, options, asked.get(name)).assign(by=name)
        for name, estimator in estimators().items()
    ]
    return pd.concat([of for of in tables if len(of)] or tables[:1], ignore_index=True)


def varied_claims(
    estimator: Estimator, results: Results, options: Options, asked: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Every claim in every variation, the first of which is `ASKED`; columns `COLUMNS`, `by` empty.

    `p` is of the verdict that was asked for, and after Holm's correction of its family; `holds` tells whether the
    variation's verdict is that one, and is False where that claims nothing.

    Args:
        asked: what `estimator` gives for these results and options, if that is known already.
    """
    claims = estimator(results, options) if asked is None else asked
    if claims.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    tables = [claims.assign(variation=ASKED, group="", says="")]
    for varied in variations(results, options):
        again = estimator(varied.results, varied.options) if len(varied.results.runs) else claims.iloc[:0]
        kept = claims[list(CLAIM)].merge(again, on=list(CLAIM), how="left")
        kept = kept.assign(family=list(claims["family"]), verdict=kept["verdict"].fillna(UNDEFINED))
        tables.append(kept.assign(variation=varied.name, group=varied.group, says=varied.says))
    group, name, says = HOLM
    corrected = holm(claims).assign(variation=name, group=group, says=says)
    whole = pd.concat([*tables, corrected], ignore_index=True)
    own = whole["p"].isna()
    whole.loc[own, "p"] = [p_value(row) for row in whole[own].to_dict("records")]
    first = dict(zip(zip(claims["claim"], claims["kind"], strict=True), claims["verdict"], strict=True))
    wanted = [first[key] for key in zip(whole["claim"], whole["kind"], strict=True)]
    same = [verdict == want and want not in NOTHING for verdict, want in zip(whole["verdict"], wanted, strict=True)]
    return whole.assign(by="", holds=same)[list(COLUMNS)]


def p_value(row: Row) -> float:
    """Two-sided, of a claim's verdict: that the number is not 0, or (`multiplicative`) that it is within ± ln 1.1.

    The latter is twice the greater of the two one-sided tests' p-values (Schuirmann 1987), so that either is less than
    5 % just where the 95 % interval makes the verdict. NaN without an interval.
    """
    value, error, freedom = (float(row[key]) for key in ("estimate", "error", "freedom"))
    if not error > 0:
        return math.nan if math.isnan(error) else 0.0
    if row["verdict"] == EQUAL:
        return min(1.0, 2 * _beyond((ZONE - abs(value)) / error, freedom))
    return 2 * _beyond(abs(value) / error, freedom)


def _beyond(distance: float, freedom: float) -> float:
    """Share of a t distribution beyond a distance, in standard errors."""
    from scipy.special import ndtr, stdtr

    return float(stdtr(freedom, -distance) if math.isfinite(freedom) else ndtr(-distance))


def holm(claims: pd.DataFrame) -> pd.DataFrame:
    """The claims with their p-values (`p`) corrected in each family; those above 5 % become inconclusive."""
    corrected = claims.assign(p=[p_value(row) for row in claims.to_dict("records")])
    for _, places in corrected.groupby("family").groups.items():
        ps = corrected.loc[places, "p"].dropna().sort_values(kind="stable")
        counted = np.maximum.accumulate(ps.to_numpy() * np.arange(len(ps), 0, -1))
        corrected.loc[ps.index, "p"] = np.minimum(counted, 1.0)
    lost = (corrected["p"] > LEVEL) & ~corrected["verdict"].isin(NOTHING)
    return corrected.assign(verdict=corrected["verdict"].mask(lost, INCONCLUSIVE))


def certainty(varied: pd.DataFrame) -> pd.DataFrame:
    """Of each claim of `table`: whether it is sure, and what it hangs on.

    Returns:
        Columns `CERTAINTY`; `hangs_on` completes "does not hold …", empty if nothing is claimed or the claim is sure;
        `held` of `of` variations have the same verdict.
    """
    rows = []
    for key, of_claim in varied.groupby(list(BY_CLAIM), sort=False):
        asked = of_claim["variation"] == ASKED
        verdict, others = of_claim[asked]["verdict"].iloc[0], of_claim[~asked]
        claimed, lost = verdict not in NOTHING, others[~others["holds"]]
        hangs_on = _together(list(lost["says"])) if claimed else ""
        rows.append((*key, verdict, claimed and lost.empty, hangs_on, int(others["holds"].sum()), len(others)))
    return pd.DataFrame(rows, columns=list(CERTAINTY))


def _together(says: Sequence[str]) -> str:
    """`without A or B, nor by C`: what begins with the same word once."""
    objects: dict[str, list[str]] = {}
    for text in says:
        first, rest = text.split(" ", 1)
        objects.setdefault(first, []).append(rest)
    return ", nor ".join(f"{first} {enumerated(rest, 'or')}" for first, rest in objects.items())


def sentence(row: Row) -> str:
    """What a row of `certainty` says of its claim; empty where nothing is claimed. Nothing else may say `sure`."""
    if row["sure"]:
        return f"sure: the same in all {row['of']} variations"
    return f"does not hold {row['hangs_on']}" if row["hangs_on"] else ""
