"""A training that is interrupted and goes on as if it had not been: state on disk, written at step boundaries."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

FORMAT = 1
FILE = "state.pt"
SIGNALS = (signal.SIGTERM, signal.SIGUSR2)  # schedulers send them before they kill


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Training was asked to stop and has; its checkpoint is on disk."""

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(signum).name} after step {step}; run again, it goes on from there"
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

    def save(self, state: dict[str, Any], step: int) -> None:
        """Write the state, tensors and plain values, in place of the last one.

        Raises:
            Stopped: a signal had asked for it.
        """
        import torch

        self.folder.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{FILE}-", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                torch.save({"format": FORMAT, "run_id": self.run_id, "log": self.log, "state": state}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(scratch, self.folder / FILE)
        finally:
            Path(scratch).unlink(missing_ok=True)
        self.written = time.monotonic()
        if self.asked is not None:
            raise Stopped(self.asked, step)

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, on the CPU; None without one that is whole and of this experiment."""
        import torch

        if not (self.folder / FILE).is_file():
            return None
        try:
            found = torch.load(self.folder / FILE, map_location="cpu", weights_only=True)
            if (found["format"], found["run_id"]) != (FORMAT, self.run_id):
                raise ValueError(f"it is of {found['run_id']}, format {found['format']}")
            state: dict[str, Any] = found["state"]
            self.log[:] = found["log"]
        except Exception as error:  # a damaged file makes the reader say all kinds of things
            cause = (str(error) or type(error).__name__).splitlines()[0]
            self.say(f"the checkpoint in {self.folder} cannot be used, training starts anew: {cause}")
            return None
        return state

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


def random_state() -> dict[str, Any]:
    """The state of torch's generators."""
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where `random_state` was asked."""
    import torch

    torch.set_rng_state(state["cpu"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
