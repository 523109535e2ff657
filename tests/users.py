"""Other users of the same machine: what is called as one of them has no more rights than they have."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from tests.conftest import missing

GROUP, FIRST, SECOND = 54000, 54321, 54322  # two users of one group; nobody here has these numbers


def require_root() -> None:
    """Skip a test that needs several users where nobody else can be become; in CI it fails."""
    if os.geteuid() != 0:
        missing("becoming another user takes root's rights")


@contextmanager
def common_folder() -> Iterator[Path]:
    """A folder that belongs to all of the group and that every user can get to, unlike pytest's own."""
    require_root()
    folder = Path(tempfile.mkdtemp(prefix="common-"))
    os.chown(folder, FIRST, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


class As:
    """A call that runs as another user, in a fork; what it needs must be imported before: it may not reach it."""

    def __init__(self, user: int, call: Callable[[], Any], umask: int = 0o002) -> None:
        self.answer, there = multiprocessing.Pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be(user, call, umask, there)
        there.close()

    def result(self) -> Any:
        """What the call returned; raises what it raised."""
        kind, value = self.answer.recv()
        os.waitpid(self.pid, 0)
        if kind == "raised":
            raise value
        return value


def as_user(user: int, call: Callable[[], Any], umask: int = 0o002) -> Any:
    """What a call returns, or raises, that a user of `GROUP` makes."""
    return As(user, call, umask).result()


def _be(user: int, call: Callable[[], Any], umask: int, there: Connection) -> NoReturn:
    try:
        os.setgroups([])
        os.setgid(GROUP)
        os.setuid(user)
        os.umask(umask)
        there.send(("returned", call()))
    except BaseException as error:  # pytest's own too: a fork must not go on as its parent
        there.send(("raised", error))
    finally:
        os._exit(0)
