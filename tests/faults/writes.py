"""The writes of a process and all that it starts, from every library: seen and answered by seccomp's notifications.

The system stops a thread that asks to write, and its supervisor says whether the system goes on with it, or which error
the thread gets. (seccomp_unotify(2); no compiler, no preloaded library, and nothing of the process is changed.)
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import platform
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.operations import Fault

CALLS = {  # machine -> its name for audits, the number of seccomp, and those of what writes to a descriptor
    "x86_64": (0xC000003E, 317, {"write": 1, "pwrite64": 18, "writev": 20, "sendfile": 40, "fsync": 74, "fdatasync": 75,
                                 "ftruncate": 77, "fallocate": 285, "pwritev": 296, "copy_file_range": 326}),
    "aarch64": (0xC00000B7, 277, {"write": 64, "pwrite64": 68, "writev": 66, "sendfile": 71, "fsync": 82,
                                  "fdatasync": 83, "ftruncate": 46, "fallocate": 47, "pwritev": 70,
                                  "copy_file_range": 285}),
}  # fmt: skip
SET_MODE_FILTER, NEW_LISTENER = 1, 1 << 3
USER_NOTIF, ALLOW = 0x7FC00000, 0x7FFF0000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of classic BPF
NUMBER_AT, MACHINE_AT = 0, 4  # in struct seccomp_data
RECEIVE, SEND = 0xC0502100, 0xC0182101
REQUEST, ANSWER = struct.Struct("QIIiIQ6Q"), struct.Struct("QqiI")
CONTINUE = 1
NO_NEW_PRIVS = 38
FULL = ("write", "pwrite64", "writev", "sendfile", "fallocate", "pwritev", "copy_file_range")


def supervise_me(channel: socket.socket) -> None:
    """Have the owner of the channel's other end be asked before each write of this process, for good."""
    machine, seccomp, calls = CALLS[platform.machine()]
    numbers = sorted(calls.values())
    program = [
        (LOAD_WORD, 0, 0, MACHINE_AT),
        (JUMP_IF_EQUAL, 0, len(numbers) + 1, machine),
        (LOAD_WORD, 0, 0, NUMBER_AT),
    ]
    program += [(JUMP_IF_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, USER_NOTIF)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filtering = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(seccomp, SET_MODE_FILTER, NEW_LISTENER, filtering)
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with channel:
        channel.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    os.close(listener)


class Supervisor:
    """Answers to the writes below a folder; all others go on.

    Attributes:
        seen: the calls so far, `write runs/…`.
        happened: the one at which the fault was.
    """

    def __init__(self, root: Path, fault: Fault | None) -> None:
        self.root, self.fault = os.path.realpath(root) + os.sep, fault
        self.seen: list[str] = []
        self.happened: str | None = None
        self.names = {number: name for name, number in CALLS[platform.machine()][2].items()}

    def serve(self, channel: socket.socket, over: Callable[[], bool], deadline: float) -> None:
        """Answer until all who would ask have ended.

        Raises:
            TimeoutError: the deadline has passed.
        """
        _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(4))
        if not ancillary:
            return  # it has ended already
        (listener,) = struct.unpack("i", ancillary[0][2])
        asked = select.poll()
        asked.register(listener, select.POLLIN)
        try:
            while not over():
                if time.monotonic() > deadline:
                    raise TimeoutError
                for _, event in asked.poll(100):
                    if event & select.POLLIN:
                        self._answer(listener)
                    elif event & select.POLLHUP:
                        return
        finally:
            os.close(listener)

    def _answer(self, listener: int) -> None:
        request = bytearray(REQUEST.size)
        try:
            fcntl.ioctl(listener, RECEIVE, request)
        except FileNotFoundError:  # it was killed meanwhile
            return
        id_, pid, _, number, _, _, descriptor, *_ = REQUEST.unpack(request)
        error = self._error(pid, self.names[number], descriptor)
        try:
            fcntl.ioctl(listener, SEND, ANSWER.pack(id_, 0, -error, 0 if error else CONTINUE))
        except FileNotFoundError:
            return

    def _error(self, pid: int, call: str, descriptor: int) -> int:
        """The errno that a call ends with, or 0."""
        try:
            path = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            return 0
        if not path.startswith(self.root):
            return 0
        self.seen.append(f"{call} {path.removeprefix(self.root)}")
        fault = self.fault
        if fault is None or fault.by != "write":
            return 0
        if len(self.seen) == fault.at:
            self.happened = self.seen[-1]
        elif len(self.seen) < fault.at or not fault.lasting or (fault.act == "ENOSPC" and call not in FULL):
            return 0
        if fault.signum is not None:
            os.kill(pid, fault.signum)
            return 0
        return fault.number
