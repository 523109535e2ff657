"""Contenders that are measured in turns, so that whatever else the machine does is shared out among them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "WANDB_MODE": "disabled",
}


@dataclass(frozen=True)
class Spread:
    """Of one number over the rounds."""

    median: float
    min: float
    max: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        around = f" [{self.min:.3g}, {self.max:.3g}]" if self.min < self.max else ""
        return f"{self.median:.3g}{around}"


@dataclass(frozen=True)
class Row:
    """One contender's measurements.

    Attributes:
        value: what was measured, in `unit`.
        ratio: to what `reference` took in the same round; None of the reference itself, and without one.
    """

    group: str
    what: str
    contender: str
    unit: str
    value: Spread
    reference: str | None = None
    ratio: Spread | None = None

    def __str__(self) -> str:
        ratio = f"  × {self.ratio} of {self.reference}" if self.ratio else ""
        return f"{self.group:10}  {self.what:24}  {self.contender:24}  {self.value} {self.unit}{ratio}"


class Worker(AbstractContextManager["Worker"]):
    """A process that calls functions of this package, one at a time.

    Args:
        log: what it says goes here.
        path: folders in which it finds modules too.
    """

    def __init__(self, log: Path, *path: Path) -> None:
        self.log: IO[str] = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.in_turns"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=ROOT,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        )

    def ask(self, function: str, **arguments: object) -> Any:
        """What `module.function` of this package returns."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([function, arguments]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{function}: no answer; {Path(self.log.name).read_text()[-2000:]}")
        return json.loads(answer)

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def measure(contenders: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Ask every contender once a round, every other round in reverse; round 0 warms up and is not counted.

    Args:
        contenders: are called with the number of the round.
    """
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name in reversed(measured) if number % 2 else measured:
            value = contenders[name](number)
            if number:
                measured[name].append(value)
    return measured


def rows(
    group: str, what: str, unit: str, measured: Mapping[str, Sequence[float]], reference: str, *names: str
) -> list[Row]:
    """The rows of these contenders, compared with the reference round by round."""
    made = []
    for name in names:
        value = Spread.of(measured[name])
        if name == reference:
            made.append(Row(group, what, name, unit, value))
            continue
        pairs = zip(measured[name], measured[reference], strict=True)
        ratio = Spread.of([seconds / others for seconds, others in pairs])
        made.append(Row(group, what, name, unit, value, reference, ratio))
    return made


def main() -> None:
    """Answer what is asked on the standard input, one line of JSON each."""
    answers, sys.stdout = sys.stdout, sys.stderr
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        module, function = name.split(".")
        answer = getattr(import_module(f"tests.benchmarks.{module}"), function)(**arguments)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
