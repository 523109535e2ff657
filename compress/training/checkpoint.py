"""A training that is interrupted and goes on as if it had not been: state on disk, written at step boundaries."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, TypeVar, cast

from compress.errors import first_line
from compress.storage import atomic

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
            f"stopped by {signal.Signals(signum).name} after step {step}; run again, it goes on from {where}"
        )
        self.signum = signum


class Checkpoint:
    """The state of one training in a folder: all of it or none.

    Args:
        every: seconds between two writings.
        run_id: whose state it is; another's is not read.
        log: what was logged so far; kept with the state and put back with it, so that no row is missing or twice.
        say: is told when a training goes on, or cannot.
    """

    def __init__(
        self,
        folder: Path,
        every: float,
        run_id: str,
        log: list[str],
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.folder, self.every, self.run_id, self.log, self.say = folder, every, run_id, log, say
        self.written = time.monotonic()
        self.asked: int | None = None  # the signal that asked to stop

    def due(self) -> bool:
        """Whether it is time to save, or a signal has come."""
        return self.asked is not None or time.monotonic() - self.written >= self.every

    def save(self, state: State, step: int) -> None:
        """Write the state, tensors and plain values, in place of the last one; if that fails, it is said.

        Raises:
            Stopped: a signal had asked for it.
        """
        saved = True
        try:
            self._write({"format": FORMAT, "run_id": self.run_id, "log": self.log, "state": state})
        except (OSError, RuntimeError) as error:  # a full disk, say
            saved = False
            self.say(f"the checkpoint in {self.folder} cannot be written, training goes on: {first_line(error)}")
        self.written = time.monotonic()
        if self.asked is not None:
            raise Stopped(self.asked, step, saved=saved)

    def _write(self, document: State) -> None:
        import torch

        with atomic.new_file(self.folder / FILE) as stream:
            hashing = atomic.HashingStream(stream)
            try:
                torch.save(document, cast(BinaryIO, hashing))  # it only writes and flushes
            except RuntimeError as error:
                raise hashing.failed or error from error
            stream.write(DIGEST.format(hashing.hexdigest()).encode())

    def restore(self, apply: Callable[[State], T]) -> T | None:
        """Have the state that was saved last put in force, and then the log that belongs to it.

        Args:
            apply: is given the state, on the CPU; it raises an error if the state does not fit, having changed nothing.

        Returns:
            What `apply` returns; None without a state that is whole, of this experiment and fits: if there is one that
            is not, it is said.
        """
        file = self.folder / FILE
        atomic.clear(file)
        if not os.path.lexists(file):
            return None
        try:
            document = self._read(file)
            applied = apply(document["state"])
        except Exception as error:  # whatever does not fit makes torch say all kinds of things
            self.say(f"the checkpoint in {self.folder} cannot be used, training starts anew: {first_line(error)}")
            return None
        self.log[:] = document["log"]
        return applied

    def _read(self, file: Path) -> State:
        import torch

        with file.open("rb") as stream:
            _verify(stream)
            stream.seek(0)
            document: State = torch.load(stream, map_location="cpu", weights_only=True)
        if (document["format"], document["run_id"]) != (FORMAT, self.run_id):
            raise ValueError(f"it is of {document['run_id']}, format {document['format']}")
        return document

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
