"""A training that is interrupted and goes on as if it had not been: state on disk, written at step boundaries."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from compress.errors import first_line
from compress.storage import atomic

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

T = TypeVar("T")
State = dict[str, Any]  # tensors and plain values, as torch's state_dict(): who saved it knows its keys

FORMAT = 2
FILE = "state.pt"  # what torch.save makes, and a line with its SHA-256
DIGEST = "sha256 {}\n"
CHUNK = 1 << 20  # bytes that are read at once
SIGNALS = (signal.SIGTERM, signal.SIGUSR2)  # schedulers send them before they kill


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Training was asked to stop and has; its checkpoint is on disk, if it could be written."""

    def __init__(self, signum: int, step: int, *, saved: bool = True) -> None:
        where = "there" if saved else "the checkpoint before, if there is one"
        super().__init__(
            f"stopped by {signal.Signals(signum).name} after step {step}; run it again, and it continues from {where}"
        )
        self.signum = signum


@dataclass
class Position:
    """Where a training is, apart from its weights: steps, what they were over, and the best dev score so far."""

    step: int = 0
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0
    resumed: int = 0  # how often it went on from a checkpoint
    losses: list[torch.Tensor] = field(default_factory=list)  # since the last logged row
    epoch_scores: list[float | None] = field(default_factory=list)
    best_score: float | None = None
    best_weights: dict[str, torch.Tensor] | None = None

    def advance(self, lengths: NDArray[np.int64], loss: torch.Tensor) -> None:
        """Count a step over texts of these lengths, [batch]."""
        self.step += 1
        self.rows += len(lengths)
        self.tokens += int(lengths.sum())
        self.losses.append(loss.detach())

    def mean_loss(self, total: int) -> float:
        """That of the steps since it was last asked; FloatingPointError if it is no finite number."""
        import torch

        mean = torch.stack(self.losses).mean().item()
        self.losses.clear()
        if not math.isfinite(mean):
            raise FloatingPointError(f"the loss is {mean} by step {self.step} of {total}; lower train.learning_rate")
        return mean

    def score_epoch(self, score: float | None, model: torch.nn.Module) -> None:
        """Note a dev score, and keep the weights if it is the best; an undefined one never is."""
        self.epoch_scores.append(score)
        if score is not None and (self.best_score is None or score > self.best_score):
            self.best_score = score
            self.best_weights = {name: value.clone() for name, value in model.state_dict().items()}


@dataclass
class Checkpoint:
    """The state of one training in a folder: all of it or none."""

    folder: Path
    every: float  # seconds between two writings
    run_id: str  # whose state it is; another's is not read
    log: list[str]  # what was logged so far; put back with the state, so that no row is missing or twice
    say: Callable[[str], None] = lambda message: None  # is told when a training goes on, or cannot
    written: float = field(default_factory=time.monotonic)
    asked: int | None = None  # the signal that asked to stop

    def due(self) -> bool:
        """Whether it is time to save, or a signal has come."""
        return self.asked is not None or time.monotonic() - self.written >= self.every

    def save(self, state: State, step: int) -> None:
        """Write the state in place of the last one; if that fails, it is said. Then stop, if a signal asked for it."""
        import torch

        document, saved = {"format": FORMAT, "run_id": self.run_id, "log": self.log, "state": state}, True
        try:
            with atomic.new_file(self.folder / FILE) as stream:
                hashing = atomic.HashingStream(stream)
                try:
                    torch.save(document, cast(BinaryIO, hashing))  # it only writes and flushes
                except RuntimeError as error:
                    raise hashing.failed or error from error
                stream.write(DIGEST.format(hashing.hexdigest()).encode())
        except (OSError, RuntimeError) as error:  # a full disk, say
            saved = False
            self.say(f"the checkpoint in {self.folder} cannot be written, training goes on: {first_line(error)}")
        self.written = time.monotonic()
        if self.asked is not None:
            raise Stopped(self.asked, step, saved=saved)

    def restore(self, apply: Callable[[State], T]) -> T | None:
        """Have the state that was saved last put in force, and then the log that belongs to it.

        `apply` is given the state, on the CPU, and raises an error if it does not fit, having changed nothing. What it
        returns is returned; None without a state that is whole, of this experiment and fits: one that is not is said.
        """
        import torch

        file = self.folder / FILE
        atomic.clear(file)
        if not os.path.lexists(file):
            return None
        try:
            with file.open("rb") as stream:
                _verify(stream)
                stream.seek(0)
                document: State = torch.load(stream, map_location="cpu", weights_only=True)
            if (document["format"], document["run_id"]) != (FORMAT, self.run_id):
                raise ValueError(f"it is of {document['run_id']}, format {document['format']}")
            applied = apply(document["state"])
        except Exception as error:  # whatever does not fit makes torch say all kinds of things
            self.say(f"the checkpoint in {self.folder} cannot be used, training starts anew: {first_line(error)}")
            return None
        self.log[:] = document["log"]
        return applied

    def clear(self) -> None:
        """Remove it: the experiment is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals as requests to stop at the next step; they mean what they meant afterwards."""

        def ask(signum: int, frame: FrameType | None) -> None:
            self.asked = signum

        if threading.current_thread() is not threading.main_thread():  # only the main one is told of signals
            yield
            return
        before = {signum: signal.signal(signum, ask) for signum in SIGNALS}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def _verify(stream: BinaryIO) -> None:
    """Refuse a file that does not end with the digest of all that comes before."""
    digest, ending = hashlib.sha256(), len(DIGEST.format("0" * 64))
    left = os.fstat(stream.fileno()).st_size - ending
    while left > 0 and (read := stream.read(min(left, CHUNK))):
        digest.update(read)
        left -= len(read)
    if left or stream.read() != DIGEST.format(digest.hexdigest()).encode():
        raise ValueError("it is not what was written, or of an earlier version")


def random_state() -> State:
    """The state of torch's generators."""
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: State) -> None:
    """Go on drawing where `random_state` was asked."""
    import torch

    torch.set_rng_state(state["cpu"])
    for number, generator in enumerate(state["cuda"][: torch.cuda.device_count()]):  # this machine may have fewer
        torch.cuda.set_rng_state(generator, number)
