"""`python -m launch tune`: from a search over uncompressed models, a learning rate and a length for each of them.

In a task and of a model, each learning rate and number of epochs has a mean score over the search's seeds. Of every
length the best rate counts; chosen is the shortest length whose score is within a tolerance of the best one. The rest
of the study takes what is chosen, for every subset of the methods and with other seeds.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import yaml

from compress import checked
from compress.errors import ConfigError, first_line
from compress.runs.result import Result
from compress.storage.files import write_text
from compress.training.tuned import Choice, Tuned
from compress.wording import plural
from launch.cost import results_below

FILE = Path("train") / "tuned.yaml"
Setting = tuple[float, int]  # learning rate, epochs
Scores = Mapping[Setting, float]  # mean over seeds, points; -inf where it is undefined


@dataclass(frozen=True)
class Search:
    """What the runs of a search say; each task and model has every setting.

    Attributes:
        scores: by task and model.
        partial: tasks and models that lack runs, in sentences.
    """

    learning_rates: list[float]
    epochs: list[int]
    seeds: list[int]
    scores: Mapping[tuple[str, str], Scores]
    partial: list[str]


def tune(runs: Path, out: Path, tolerance: float = 0.5) -> int:
    """Write the table as an option of the group `train` below `out`, and print it; 1 if some models lack runs.

    What such a table there has of other tasks and models stays, if it is of a search over the same; else ConfigError.
    """
    found = search(results_below(runs), runs)
    chosen = _kept(out / FILE, found)
    for (task, model), scores in found.scores.items():
        chosen[task][model] = choose(scores, tolerance)
    table = Tuned(learning_rates=found.learning_rates, epochs=found.epochs, seeds=found.seeds, chosen=dict(chosen))
    if found.scores:
        write_text(out / FILE, _as_option(table, tolerance))
    for (task, model), scores in found.scores.items():
        print(_told(task, model, scores, chosen[task][model], found))
    for line in found.partial:
        print(line)
    if found.scores:
        print(f"{out / FILE}: python -m compress … --config-dir {out} train=tuned")
    return 1 if found.partial else 0


def _kept(file: Path, found: Search) -> dict[str, dict[str, Choice]]:
    """What an earlier table has of tasks and models that this search has not, by task and model."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))["tuned"]
        earlier = checked.parsed(Tuned, json.dumps(values).encode())
    except FileNotFoundError:
        return defaultdict(dict)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read ({first_line(error)}); remove it, or give another --out") from error
    kept: dict[str, dict[str, Choice]] = defaultdict(dict)
    for task, by_model in earlier["chosen"].items():
        kept[task] |= {model: choice for model, choice in by_model.items() if (task, model) not in found.scores}
    others = [f"{task} {model}" for task, by_model in kept.items() for model in by_model]
    for what in ("learning_rates", "epochs", "seeds"):
        before, now = earlier[what], getattr(found, what)
        if others and before != now:
            raise ConfigError(f"{file}: has {others[0]} of a search over other {what.replace('_', ' ')} ({before}, "
                              f"not {now}); remove it, or give another --out")  # fmt: skip
    return kept


def search(results: Iterable[Result], runs: Path) -> Search:
    """What the uncompressed runs in a folder tried; ConfigError if there are none, or they differ in anything else."""
    scores: dict[tuple[str, str], dict[Setting, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    alike: dict[str, str] = {}
    for result in results:
        if result.methods:
            continue
        train = dict(result.identity["train"])
        setting = float(train.pop("learning_rate")), int(train.pop("epochs"))
        data = {key: value for key, value in result.identity["data"].items() if key != "path"}
        for what, values in (("train", train), ("data", data)):
            if alike.setdefault(what, str(values)) != str(values):
                raise ConfigError(
                    f"{runs}: its uncompressed runs differ in {what}: {alike[what]} and {values}; "
                    "give the folder of one search"
                )
        score = -math.inf if result.score_glue is None else result.score_glue
        scores[result.task, result.model][setting][result.seed] = score
    if not scores:
        fix = "python -m compress -m +experiment=search … makes some"
        raise ConfigError(f"{runs}: no finished run of an uncompressed model; {fix}")
    settings = {setting for of in scores.values() for setting in of}
    rates, epochs = sorted({rate for rate, _ in settings}), sorted({length for _, length in settings})
    seeds = sorted({seed for of in scores.values() for by_seed in of.values() for seed in by_seed})
    every = set(product(rates, epochs, seeds))
    whole: dict[tuple[str, str], Scores] = {}
    partial = []
    for (task, model), of in scores.items():
        there = {(*setting, seed) for setting, by_seed in of.items() for seed in by_seed}
        if missing := every - there:
            rate, length, seed = min(missing)
            told = f"{plural(len(missing), 'run')} of {len(every)} missing, such as learning rate {rate:g}, "
            partial.append(f"{task} {model}: left out: {told}{plural(length, 'epoch')}, seed {seed}")
        else:
            whole[task, model] = {setting: sum(by_seed.values()) / len(by_seed) for setting, by_seed in of.items()}
    return Search(rates, epochs, seeds, whole, partial)


def choose(scores: Scores, tolerance: float) -> Choice:
    """The shortest length within a tolerance (points) of the best, at its best rate; of equal rates the smaller."""
    best: dict[int, tuple[float, float]] = {}  # by length: score, rate
    for (rate, epochs), score in sorted(scores.items()):
        if epochs not in best or score > best[epochs][0]:
            best[epochs] = score, rate
    most = max(score for score, _ in best.values())
    epochs = min(length for length, (score, _) in best.items() if score >= most - tolerance)
    return Choice(learning_rate=best[epochs][1], epochs=epochs)


def _told(task: str, model: str, scores: Scores, choice: Choice, found: Search) -> str:
    """The choice, its score and the best one's, and whether it lies at an end of what was tried."""
    score, best = scores[choice["learning_rate"], choice["epochs"]], max(scores.values())
    ends = [f"the {end} learning rate tried" for end, rate in
            (("least", found.learning_rates[0]), ("greatest", found.learning_rates[-1]))
            if rate == choice["learning_rate"] and len(found.learning_rates) > 1]  # fmt: skip
    ends += ["the most epochs tried"] if choice["epochs"] == found.epochs[-1] and len(found.epochs) > 1 else []
    at = f"; it is {' and '.join(ends)}" if ends else ""
    setting = f"{choice['learning_rate']:g}, {plural(choice['epochs'], 'epoch')}"
    return f"{task} {model}: {setting}: score {score:.1f}, best {best:.1f}{at}"


def _as_option(table: Tuned, tolerance: float) -> str:
    """As a file of the group `train`."""
    head = (
        f"# By python -m launch tune: the shortest training within {tolerance:g} points of the best, at its best rate\n"
        "defaults:\n  - paper\n  - _self_\n"
    )
    return head + yaml.safe_dump({"tuned": dict(table)}, sort_keys=False)
