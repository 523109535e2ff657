"""`python -m tests.benchmarks`: all about speed in one run, in CPU seconds of one thread, contenders in turns.

The short form takes up to ten minutes on two cores, `--long` up to an hour. tests/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
import transformers

from tests.benchmarks import growth, operations, whole
from tests.benchmarks.in_turns import ROOT, Row, Spread, Worker, measure, rows
from tests.benchmarks.ours import checkpoint
from tests.conftest import SHARED
from tests.pace import cpu_seconds

GLUE = f"{SHARED}/glue"
VOCABULARY = checkpoint("tiny")  # of all BERTs
TORCHAO = ROOT / ".venv" / "torchao"
WARM_UP = 2  # steps


@dataclass(frozen=True)
class Training:
    """What is trained in turns. Batches are sorted by length in pools of 50: one whole pool is trained on.

    Attributes:
        random, padded: steps in random order and of 128 tokens; they are alike whatever their number.
    """

    shape: str
    task: str
    precision: str
    rounds: int
    steps: int = 50
    random: int = 16
    padded: int = 6

    @property
    def name(self) -> str:
        return f"{self.shape} {self.task} {self.precision}"


SHORT = (
    Training("tiny", "sst2", "fp32", 3),
    Training("tiny", "mnli", "fp32", 3),
    Training("tiny", "sst2", "bf16", 3),
    Training("mini", "sst2", "fp32", 2, padded=4),
)
LONG = (
    *(
        Training(shape, task, precision, rounds)
        for shape, rounds in (("tiny", 5), ("mini", 3))
        for task in ("sst2", "mnli")
        for precision in ("fp32", "bf16")
    ),
    Training("base", "sst2", "fp32", 2, random=6, padded=2),
)


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks.

    Attributes:
        scratch: for caches and everything else that is written.
    """

    long: bool
    scratch: Path
    ours: Worker
    trainer: Worker
    torchao: Worker

    def step(self) -> Iterator[Row]:
        """Our loop against transformers.Trainer."""
        for case in LONG if self.long else SHORT:
            peers = {
                "Trainer, group_by_length": ("group_by_length", "dynamic", case.steps),
                "Trainer, dynamic padding": ("random", "dynamic", case.random),
                "Trainer, padded to 128": ("random", "max_length", case.padded),
            }
            self._same_texts(case)
            contenders: dict[str, Callable[[int], float]] = {"our loop": partial(self._ours, case)}
            contenders |= {name: partial(self._trainer, case, *peer) for name, peer in peers.items()}
            measured = measure(contenders, case.rounds)
            yield from rows("step", case.name, "s", measured, "our loop", *contenders)

    def _same_texts(self, case: Training) -> None:
        mine = self.ours.ask(
            "ours.tokens", shape=case.shape, task=case.task, steps=case.steps, scratch=str(self.scratch)
        )
        vocabulary = VOCABULARY if case.shape == "base" else checkpoint(case.shape)
        theirs = self.trainer.ask(
            "trainer.tokens", vocabulary=vocabulary, glue=GLUE, task=case.task, steps=case.steps,
            scratch=str(self.scratch),
        )  # fmt: skip
        assert mine == theirs, f"{mine} and {theirs} tokens"

    def _ours(self, case: Training, number: int, **more: object) -> float:
        seconds: float = self.ours.ask(
            "ours.train", shape=case.shape, task=case.task, steps=case.steps if number else WARM_UP, seed=number,
            precision=case.precision, scratch=str(self.scratch), **more,
        )  # fmt: skip
        return seconds

    def _trainer(self, case: Training, sampling: str, padding: str, steps: int, number: int) -> float:
        base = case.shape == "base"
        seconds: float = self.trainer.ask(
            "trainer.train", weights=None if base else checkpoint(case.shape),
            vocabulary=VOCABULARY if base else checkpoint(case.shape), glue=GLUE, task=case.task,
            steps=steps if number else WARM_UP, seed=number, precision=case.precision, sampling=sampling,
            padding=padding, scratch=str(self.scratch),
        )  # fmt: skip
        return seconds

    def _torchao(self, case: Training, plain: bool, number: int) -> float:
        seconds: float = self.torchao.ask(
            "ours.train_torchao", shape=case.shape, task=case.task, steps=case.steps if number else WARM_UP,
            seed=number, scratch=str(self.scratch), plain=plain,
        )  # fmt: skip
        return seconds

    def methods(self) -> Iterator[Row]:
        """Methods against a plain step of our loop, and what others do against ours."""
        own = {
            "plain": [],
            "quantize": ["quantize"],
            "prune": ["prune"],
            "distill": ["distill"],
            "quantize+distill+prune": ["quantize", "prune", "distill"],
        }
        for shape in ("tiny", "mini"):
            steps = 50 if self.long or shape == "tiny" else 20
            case = Training(shape, "sst2", "fp32", 5 if self.long else 3 if shape == "tiny" else 2, steps)
            contenders: dict[str, Callable[[int], float]] = {
                name: partial(self._ours, case, methods=methods) for name, methods in own.items()
            }
            contenders["teacher at every step"] = partial(
                self._ours, case, methods=["distill"], asked_at_every_step=True
            )
            contenders["torchao, plain BERT"] = partial(self._torchao, case, True)
            contenders["torchao, our model"] = partial(self._torchao, case, False)
            measured = measure(contenders, case.rounds)
            yield from rows("methods", case.name, "s", measured, "plain", *own)
            yield from rows(
                "methods", case.name, "s", measured, "quantize", "torchao, plain BERT", "torchao, our model"
            )
            yield from rows("methods", case.name, "s", measured, "distill", "teacher at every step")

    def evaluation(self) -> Iterator[Row]:
        """`predict` against `Trainer.predict`, of the same model on the dev set; both must predict the same."""
        for shape in ("tiny", "mini"):
            for task in ("sst2", "rte"):
                asked = {"shape": shape, "task": task, "file": f"{self.scratch}/evaluated.pt"}
                self.ours.ask("ours.save_trained", **asked, scratch=str(self.scratch))
                measured: dict[str, list[float]] = {"predict": [], "Trainer.predict": []}
                for number in range(6 if self.long else 3):
                    mine, our_classes = self.ours.ask("ours.evaluate", **asked, scratch=str(self.scratch))
                    theirs, classes = self.trainer.ask(
                        "trainer.evaluate", weights=checkpoint(shape), glue=GLUE, task=task, file=asked["file"],
                        scratch=str(self.scratch),
                    )  # fmt: skip
                    assert our_classes == classes, f"{shape} {task}: other predictions"
                    if number:
                        measured["predict"].append(mine)
                        measured["Trainer.predict"].append(theirs)
                what = f"{shape} {task} dev, {len(classes)} rows"
                yield from rows("evaluation", what, "s", measured, "predict", *measured)

    def whole(self) -> Iterator[Row]:
        """CoLA's grid by the launcher against a fresh Trainer process for each run."""
        shapes: tuple[str, ...] = ("tiny", "mini")
        subsets: tuple[tuple[str, ...], ...] = whole.SUBSETS
        paddings = {"Trainer, dynamic padding": "dynamic", "Trainer, padded to 128": "max_length"}
        if not self.long:
            shapes, subsets = ("tiny",), (("quantize", "prune"), ("quantize", "prune", "distill"))
            del paddings["Trainer, padded to 128"]
        contenders: dict[str, Callable[[], float]] = {
            "our launcher": partial(whole.launched, shapes, subsets, self.scratch)
        }
        contenders |= {
            name: partial(whole.processes, shapes, subsets, padding, self.scratch) for name, padding in paddings.items()
        }
        measured: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(1 if self.long else 2):
            for name, seconds in contenders.items():
                measured[name].append(seconds())
        what = f"cola, {len(shapes)} sizes × {len(subsets)}"
        yield from rows("whole", what, "s", measured, "our launcher", *contenders)

    def operations(self) -> Iterator[Row]:
        """Operations of a training step."""
        for name, methods in operations.SUBSETS.items():
            count = Spread.of([operations.per_step(methods, self.scratch / "cache")])
            yield Row("operations", "tiny", name, "operations per step", count)

    def fixed(self) -> Iterator[Row]:
        """What an experiment of the demo's grid takes beside its training, and what a sweep takes beside those."""
        each, start = [], []
        for _ in range(4 if self.long else 2):
            few, many = (whole.demo(seeds, self.scratch) for seeds in (1, 3))
            each.append((many[0] - few[0]) / (many[1] - few[1]))
            start.append(few[0] - each[-1] * few[1])
        yield Row("fixed", "demo, one step each", "an experiment", "s", Spread.of(each))
        yield Row("fixed", "demo, one step each", "a sweep", "s", Spread.of(start))

    def growth(self) -> Iterator[Row]:
        """Plan, sweep, status and report of ever larger grids; the ratio is of what 1000 more experiments take."""
        measured = [(count, dict(growth.seconds(count, self.scratch))) for count in growth.GRIDS]
        for verb in measured[0][1]:
            slopes: list[float] = []
            for (few, before), (many, after) in itertools.pairwise(measured):
                slopes.append((after[verb] - before[verb]) / (many - few) * 1000)
            for (count, seconds), slope in zip(measured, [None, *slopes], strict=True):
                yield Row("growth", f"{count} experiments", verb, "s", Spread.of([seconds[verb]]))
                if slope is not None:
                    ratio = Spread.of([slope / slopes[0]])
                    yield Row("growth", f"up to {count}", verb, "s per 1000 more", Spread.of([slope]),
                              f"up to {measured[1][0]}", ratio)  # fmt: skip


GROUPS = ("step", "methods", "evaluation", "whole", "operations", "fixed", "growth")


def machine() -> dict[str, object]:
    """Where it was measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"cpu": cpu, "torch": torch.__version__, "transformers": transformers.__version__}


def main() -> int:
    """Print every row as it is there, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="everything, more rounds")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks.json"), metavar="FILE")
    options = parser.parse_args()
    needed = {
        SHARED / "glue": "real GLUE",
        SHARED / "weights": "checkpoints",
        TORCHAO: "torchao (make .venv/installed)",
    }
    if missing := [f"{folder}: {what}" for folder, what in needed.items() if not folder.is_dir()]:
        print(f"error: the benchmarks need {'; '.join(missing)}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    began, done = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with (
            Worker(scratch / "ours.log") as ours,
            Worker(scratch / "trainer.log") as trainer,
            Worker(scratch / "torchao.log", TORCHAO) as torchao,
        ):
            bench = Bench(options.long, scratch, ours, trainer, torchao)
            for group in options.only:
                for row in getattr(bench, group)():
                    done.append(row)
                    print(row, flush=True)
    took = {"seconds": round(time.monotonic() - began)}
    took["cpu_seconds"] = round(cpu_seconds())
    options.out.write_text(json.dumps({"machine": machine(), **took, "rows": list(map(asdict, done))}, indent=1) + "\n")
    print(f"{options.out}: {len(done)} rows in {took['seconds']} s, {took['cpu_seconds']} of them on a core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
