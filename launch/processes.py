"""A process that is told apart from any other: of another machine, or one that got the same number later."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from compress.checked import stored


class Unreachable(Exception):  # noqa: N818 - says why a process cannot be signalled
    """A process that is of another machine or another user."""


@stored
class Process:
    host: str
    machine: str  # where its number means it: the kernel's boot and the namespace of process ids
    pid: int
    started: int  # when, in the kernel's clock ticks since it booted

    @staticmethod
    def current() -> Process:
        pid = os.getpid()
        return Process(socket.gethostname(), _machine(), pid, _started(pid) or 0)

    def lives_here(self) -> bool:
        """Whether it is a process of this machine that has not ended."""
        return self.machine == _machine() and self.pid > 0 and _started(self.pid) == self.started

    def signal(self, signum: int) -> bool:
        """Send it a signal; False if it has ended, Unreachable if it is on another machine, or another user's."""
        if self.machine != _machine():
            raise Unreachable(f"process {self.pid} is on {self.host}")
        if not self.lives_here():
            return False
        with suppress(ProcessLookupError):  # it has just ended
            handle = os.pidfd_open(self.pid)  # from here on it means one process, whichever it is by now
            try:
                if self.lives_here():
                    signal.pidfd_send_signal(handle, signum)
                    return True
            except PermissionError as error:
                raise Unreachable(f"process {self.pid} is another user's") from error
            finally:
                os.close(handle)
        return False


def _started(pid: int) -> int | None:
    """When a process of this machine was started; None if there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # its name may have anything in it
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _machine() -> str:
    """The kernel's boot and the namespace of process ids, as far as the system tells."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
