"""How long an experiment takes, before it has run: by arithmetic, corrected by what past runs really took."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from compress.config.schema import Config, own_training, typed
from compress.errors import ConfigError
from compress.methods import registry
from compress.methods.base import EnlargesData
from compress.model import checkpoint_files
from compress.model.encoder import ModelConfig
from compress.runs import result
from compress.runs.result import Result
from compress.storage.repositories import local_folder

# Training rows of GLUE (Wang et al., 2019, table 1, and the data set's card) and mean tokens per row, about.
ROWS = {"cola": 8551, "sst2": 67349, "mrpc": 3668, "stsb": 5749, "qqp": 363846, "mnli": 392702, "qnli": 104743,
        "rte": 2490}  # fmt: skip
TOKENS = {"cola": 11, "sst2": 13, "mrpc": 53, "stsb": 31, "qqp": 30, "mnli": 39, "qnli": 50, "rte": 68}
DEMO_ROWS, DEMO_TOKENS = 1600, 14
UNKNOWN_ROWS, UNKNOWN_TOKENS = 10_000, 32
BASE = {"layers": 12, "hidden": 768, "intermediate": 3072}  # of a checkpoint that cannot be looked at


@dataclass(frozen=True)
class Speed:
    """A device; rough, since the first finished runs take its place."""

    operations_per_second: float
    seconds_per_step: float
    seconds_per_weight: float  # of the optimizer, a step
    seconds_otherwise: float


CORE = Speed(6e10, 0.01, 4e-9, 2.0)  # one core of a server's CPU
GPU = Speed(3e13, 0.015, 2e-11, 15.0)


def arithmetic(config: Config, speed: Speed = CORE) -> float:
    """Seconds, roughly: 6 operations per weight and token of a training step (forward and backward)."""
    data, train, shape = config.data, own_training(config), _shape(config.model)
    encoder = shape["layers"] * (4 * shape["hidden"] ** 2 + 2 * shape["hidden"] * shape["intermediate"])
    embeddings = 30522 * shape["hidden"] if data.source == "glue" else 1000 * shape["hidden"]
    rows, tokens = _rows(config)
    if data.max_train is not None:
        rows = min(rows, data.max_train)
    enlarges = registry.the_one(config.methods, EnlargesData)
    if enlarges is not None and enlarges.steps == "enlarged":
        rows *= 1 + enlarges.copies
    steps = min(train.epochs * math.ceil(rows / train.batch_size), train.max_steps or math.inf)
    operations = 6 * encoder * tokens * train.batch_size
    step = operations / speed.operations_per_second + speed.seconds_per_weight * (encoder + embeddings)
    slower = math.prod(option.step_cost for option in registry.options_of(config.methods).values())
    return speed.seconds_otherwise + steps * (speed.seconds_per_step + step) * slower


@cache
def _checkpoint_shape(folder: Path) -> dict[str, int]:
    return BASE | checkpoint_files.sizes(json.loads((folder / "config.json").read_text()))


def _shape(model: ModelConfig) -> Mapping[str, int]:
    folder = local_folder(model.pretrained)
    whole = _checkpoint_shape(folder) if folder else {key: getattr(model, key) or BASE[key] for key in BASE}
    return whole | ({"layers": model.first_layers} if model.first_layers else {})


@cache
def _rows_of_file(file: Path) -> int:
    from pyarrow import parquet

    return int(parquet.ParquetFile(file).metadata.num_rows)


def _rows(config: Config) -> tuple[int, int]:
    """Training rows, and mean tokens of one."""
    task, data = config.task.name, config.data
    if data.source == "demo":
        return DEMO_ROWS, DEMO_TOKENS
    tokens = min(TOKENS.get(task, UNKNOWN_TOKENS), data.max_length)
    if data.path is not None and (file := Path(data.path).expanduser() / task / "train.parquet").is_file():
        return _rows_of_file(file), tokens
    return ROWS.get(task, UNKNOWN_ROWS), tokens


class Experience:
    """What past runs on GPUs, or else on CPUs, took beside what arithmetic says; the more alike, the better."""

    def __init__(self, results: Iterable[Result], *, gpu: bool = False) -> None:
        self.speed = GPU if gpu else CORE
        self.ratios: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self.runs = 0
        for finished in results:
            if (finished.environment["device"] != "cpu") != gpu or finished.timing.wall_seconds is None:
                continue
            self.runs += 1
            ratio = finished.timing.wall_seconds / arithmetic(typed(finished.config), self.speed)
            for key in alike(finished.task, finished.model, finished.subset):
                self.ratios[key].append(ratio)

    def seconds(self, config: Config, model: str, methods: str) -> float:
        """How long an experiment should take."""
        ratio = next((self.ratios[key] for key in alike(config.task.name, model, methods) if key in self.ratios), [1.0])
        return arithmetic(config, self.speed) * statistics.median(ratio)


def alike(task: str, model: str, methods: str) -> list[tuple[str, ...]]:
    """What an experiment's time is told from that of others by: the same cell, methods and size, size, or any."""
    return [(task, model, methods), (model, methods), (model,), ()]


def results_below(runs: Path) -> Iterator[Result]:
    """The results of a folder's finished experiments that tell what they took, as far as this user may read them.

    Left out are those whose configuration means nothing here, with a method that is not installed say.
    """
    for folder in result.run_folders(runs):
        with suppress(ConfigError):
            finished = result.read(folder, folder.name)
            if finished is not None and isinstance(finished.environment.get("device"), str):
                typed(finished.config)
                yield finished
