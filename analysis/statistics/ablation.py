"""What the settings of a method's option are worth: its gain with each of them, on the same tasks, models and seeds.

A setting is all that an option is set to but its strength. For every setting that the collection has of an option, the
gain is the difference of scores between a run with it and the run without the method that is alike in all else: task,
model, seed, other methods and their settings. It is averaged over models, then over tasks. The reference is the setting
from which the others differ least, of equal ones the most frequent; the others are told by what they change of it, and
compared with it where both have runs.

Intervals are of 95 %, from seeds: in a task the mean over models of each seed is one number, since models that share a
seed share its noise and, if they are taught, their teacher.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.options import Options
from analysis.read.results import Results
from analysis.read.selection import flat
from analysis.statistics.uncertainty import ONE_SEED, Interval, satterthwaite, t_interval
from analysis.subsets import split

COLUMNS = (
    "method", "option", "changes", "gain", "low", "high", "more", "more_low", "more_high", "steps", "bytes", "tasks",
    "models", "seeds_min", "seeds_max", "pairs", "unsure",
)  # fmt: skip
REFERENCE = "reference"
NO_INTERVAL = Interval()
PLACE = ["task", "model", "seed", "others", "strength"]  # of a pair of runs


@dataclass(frozen=True)
class Mean:
    """Of a difference over models, then tasks; NaN without pairs."""

    value: float = math.nan
    interval: Interval = NO_INTERVAL
    seeds: tuple[int, int] = (0, 0)


def table(results: Results, options: Options) -> pd.DataFrame:
    """A row for every setting of every option that has several, the reference first; columns `COLUMNS`.

    `changes` is `copies 0, alpha 0`, of the reference all values that others change. `gain`, and `more`, by how much it
    exceeds the reference's, are in points with their intervals; NaN where there are no such pairs, or seeds. `steps`
    and `bytes` are ratios to the runs without the method, geometric means over the pairs.
    """
    runs = results.settings
    if runs.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    rows: list[dict[str, object]] = []
    for option in dict.fromkeys(name for settings in runs["options"] for name, _ in settings):
        pairs = paired(runs, option, options)
        values = _told({setting: same["configured"].iloc[0] for setting, same in pairs.groupby("setting", sort=False)})
        if len(values) < 2:
            continue
        count = Counter(pairs["setting"])
        first = min(values, key=lambda setting: (_distance(values, setting), -count[setting], setting))
        changes = {setting: _words(values[setting], _differing(values[setting], values[first])) for setting in values}
        varied = [key for key in values[first] if any(key in _differing(of, values[first]) for of in values.values())]
        changes[first] = f"{REFERENCE} ({_words(values[first], varied)})"
        reference = pairs[pairs["setting"] == first]
        for setting in sorted(values, key=lambda setting: (setting != first, changes[setting])):
            here = pairs[pairs["setting"] == setting]
            both = here.merge(reference, on=PLACE, suffixes=("", "_reference"))
            both["gain"] -= both["gain_reference"]
            gain, more = mean(here), Mean() if setting == first else mean(both)
            method, _, name = option.partition("=")
            rows.append({
                "method": method, "option": name,
                "changes": changes[setting],
                "gain": gain.value, "low": gain.interval.low, "high": gain.interval.high,
                "more": more.value, "more_low": more.interval.low, "more_high": more.interval.high,
                "steps": _ratio(here["steps"]), "bytes": _ratio(here["bytes"]),
                "tasks": here["task"].nunique(), "models": here["model"].nunique(),
                "seeds_min": gain.seeds[0], "seeds_max": gain.seeds[1], "pairs": len(here),
                "unsure": gain.interval.reason,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def paired(runs: pd.DataFrame, option: str, options: Options) -> pd.DataFrame:
    """Runs with an option (`prune=magnitude`) beside those without its method; columns `PLACE`, setting, configured,
    gain (points), steps and bytes (ratios).

    Args:
        runs: as `Results.settings`.
    """
    method = option.partition("=")[0]

    def described(settings: tuple[tuple[str, str], ...], compressions: tuple[object, ...]) -> tuple[Hashable, ...]:
        """What a run has beside the method."""
        rest = tuple(entry for entry in compressions if entry.method != method)  # type: ignore[attr-defined]
        return (tuple((name, text) for name, text in settings if name.partition("=")[0] != method), rest)

    told = pd.DataFrame({
        **{column: runs[column] for column in ("task", "model", "seed", "steps", "methods")},
        "score": runs[options.score_column], "bytes": runs[options.bytes_column],
        "others": [described(*run) for run in zip(runs["options"], runs["compression"], strict=True)],
        "setting": [dict(settings).get(option) for settings in runs["options"]],
        "configured": [configured.get(method, {}) for configured in runs["configured"]],
        "strength": [next((entry.value for entry in entries if entry.method == method), None)
                     for entries in runs["compression"]],
    })  # fmt: skip
    there = told["methods"].map(lambda subset: method in split(subset))
    with_it = told[told["setting"].notna() & told["score"].notna()]
    without = told[~there & told["score"].notna()].drop(columns=["setting", "configured", "strength", "methods"])
    pairs = with_it.merge(without, on=["task", "model", "seed", "others"], suffixes=("", "_without"))
    return pairs[[*PLACE, "setting", "configured"]].assign(
        gain=pairs["score"] - pairs["score_without"],
        steps=pairs["steps"] / pairs["steps_without"],
        bytes=pairs["bytes"] / pairs["bytes_without"],
    )


def mean(pairs: pd.DataFrame) -> Mean:
    """Of `gain` over models and seeds of each task, then over tasks, with its interval from seeds."""
    if pairs.empty:
        return Mean()
    by_seed = pairs.groupby(["task", "seed"], sort=False)["gain"].mean()
    by_task = by_seed.groupby("task", sort=False)
    value, counts, tasks = float(by_task.mean().mean()), by_task.count(), by_task.ngroups
    seeds = (int(counts.min()), int(counts.max()))
    if seeds[0] < 2:
        return Mean(value, Interval(reason=ONE_SEED), seeds)
    variances = by_task.var(ddof=1) / counts / tasks**2
    parts = [(float(variance), int(count) - 1) for variance, count in zip(variances, counts, strict=True)]
    return Mean(
        value, t_interval(value, math.sqrt(sum(variance for variance, _ in parts)), satterthwaite(parts)), seeds
    )


def _ratio(values: pd.Series) -> float:
    return float(np.exp(np.log(values.astype(float)).mean()))


def _told(configured: Mapping[str, Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
    """What each setting was configured as; where that is not known to differ, what decides of it."""
    first = next(iter(configured.values()), {})
    if all(_differing(values, first) for values in list(configured.values())[1:]):
        return dict(configured)
    return {setting: flat(json.loads(setting)) for setting in configured}


def _distance(values: Mapping[str, Mapping[str, object]], setting: str) -> int:
    """In how many values the others differ from a setting."""
    return sum(len(_differing(other, values[setting])) for other in values.values())


def _differing(values: Mapping[str, object], others: Mapping[str, object]) -> list[str]:
    """Keys with other values; those that one of them lacks, a result of an older version say, do not count."""
    return [key for key in values if key in others and values[key] != others[key]]


def _words(values: Mapping[str, object], keys: Sequence[str]) -> str:
    """`copies 0, rewrite false`."""
    return ", ".join(f"{key} {json.dumps(values[key]).strip(chr(34))}" for key in keys)
