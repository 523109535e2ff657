"""The file operations of a process, seen by an audit hook, and what happens to it before the k-th of them."""

from __future__ import annotations

import errno
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS = {  # of sys.audit -> how many of the arguments are paths, of which the last is told
    "open": 1,
    "os.chmod": 1,
    "os.link": 2,
    "os.mkdir": 1,
    "os.remove": 1,
    "os.rename": 2,
    "os.rmdir": 1,
    "os.symlink": 2,
    "os.truncate": 1,
    "fcntl.flock": 1,
}
FOLDERS = {"os.mkdir": 2, "os.remove": 1, "os.rmdir": 1, "os.chmod": 2}  # event -> where its `dir_fd` is


@dataclass(frozen=True)
class Fault:
    """What happens to a process before its k-th operation.

    Attributes:
        act: the name of a signal, or of an errno.
        at: the number of the operation, from 1.
        role: which process of a sweep: launcher, worker, experiment 1, experiment 2 …; `run` of a single experiment.
        by: operation, as the audit hook sees them; write, as the system does, from every library.
        lasting: whether all that follow, which need room or a whole disk, fail too.
    """

    act: str
    at: int
    role: str = "run"
    by: str = "operation"
    lasting: bool = False

    @property
    def signum(self) -> int | None:
        """The signal, if it is one."""
        return getattr(signal, self.act) if self.act.startswith("SIG") else None

    @property
    def number(self) -> int:
        """The errno, if it is one."""
        return getattr(errno, self.act)

    def __str__(self) -> str:
        return ":".join([self.role, self.by, str(self.at), self.act + "*" * self.lasting])

    @staticmethod
    def parse(text: str) -> Fault:
        """What `str` of one makes."""
        role, by, at, act = text.split(":")
        return Fault(act.removesuffix("*"), int(at), role, by, act.endswith("*"))


class Watch:
    """Counts the operations of this process, and of those that it forks, below a folder.

    Args:
        ledger: a file outside of the folder that gets a line for each: the role and the operation.
        role: of this process; forks of a worker are `experiment 1`, `experiment 2` …
    """

    def __init__(self, root: Path, ledger: Path, fault: Fault | None, role: str = "run") -> None:
        self.root, self.fault, self.role = os.path.realpath(root) + os.sep, fault, role
        self.seen = self.forked = 0
        self.failing = self.busy = False
        self.ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def install(self) -> None:
        """From now on, for good: there is no way to remove an audit hook."""
        sys.addaudithook(self._hook)
        os.register_at_fork(before=self._before_fork, after_in_child=self._in_child)

    def become(self, role: str) -> None:
        """Count anew, as another process."""
        self.role, self.seen = role, 0

    def _before_fork(self) -> None:
        self.forked += 1

    def _in_child(self) -> None:
        if self.role == "worker":
            self.become(f"experiment {self.forked}")

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or self.busy:
            return
        self.busy = True
        try:
            path = self._path(event, arguments)
            if path is not None and (path + os.sep).startswith(self.root):
                self._count(event, path)
        finally:
            self.busy = False

    def _count(self, event: str, path: str) -> None:
        self.seen += 1
        told = f"{event.removeprefix('os.').removeprefix('fcntl.')} {path.removeprefix(self.root)}"
        due = self.fault is not None and (self.fault.by, self.fault.role) == ("operation", self.role)
        if due and self.fault is not None and (self.seen == self.fault.at or self.failing):
            if self.seen == self.fault.at:
                self._write(f"fault\t{told}")
            self._act(self.fault, event, path)
        self._write(f"{self.role}\t{told}")

    def _act(self, fault: Fault, event: str, path: str) -> None:
        if fault.signum is not None:
            self.busy = False  # a handler may be called now
            os.kill(os.getpid(), fault.signum)
            return
        if self.failing and fault.act == "ENOSPC" and event not in ("open", "os.mkdir"):
            return
        self.failing = fault.lasting
        fail(fault.number, path)

    def _write(self, line: str) -> None:
        os.write(self.ledger, f"{line}\n".encode())

    def _path(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        if event == "open" and not int(arguments[2] or 0) & WRITING:
            return None
        path = arguments[EVENTS[event] - 1]
        if hasattr(path, "fileno"):
            path = path.fileno()
        if isinstance(path, int):
            return None if event == "open" else _of(path)
        folder = arguments[FOLDERS[event]] if event in FOLDERS else -1
        path = os.fsdecode(path)
        return os.path.normpath(
            os.path.join(_of(folder) if isinstance(folder, int) and folder >= 0 else os.getcwd(), path)
        )

    def environment(self) -> dict[str, str]:
        """What has Python processes that are started, and not forked, watch theirs: `watch_from_environment`."""
        ledger = os.readlink(f"/proc/self/fd/{self.ledger}")
        return {"FAULTS_ROOT": self.root, "FAULTS_LEDGER": ledger, "FAULTS_AT": str(self.fault or "")}


def watch_from_environment() -> None:
    """Watch this process if it is one of a sweep: its launcher, its worker, or what starts the worker."""
    if "FAULTS_ROOT" in os.environ:
        words = " ".join(sys.orig_argv)
        role = "worker" if "submitit.core._submit" in words else "starter" if "submitit.local" in words else "launcher"
        fault = Fault.parse(told) if (told := os.environ["FAULTS_AT"]) else None
        Watch(Path(os.environ["FAULTS_ROOT"]), Path(os.environ["FAULTS_LEDGER"]), fault, role).install()


def fail(number: int, path: str) -> NoReturn:
    """As the system does it."""
    raise OSError(number, os.strerror(number), path)


def _of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def read(ledger: Path) -> tuple[str | None, list[tuple[str, str]]]:
    """What happened at the fault, if it came to it, and the role and operation of each line."""
    lines = [line.split("\t") for line in ledger.read_text().splitlines()] if ledger.exists() else []
    happened = next((told for role, told in lines if role == "fault"), None)
    return happened, [(role, told) for role, told in lines if role != "fault"]
