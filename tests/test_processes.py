"""A process is signalled only if it is the one that was meant."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from launch.processes import Process, Unreachable
from tests.users import FIRST, as_user


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that tells who it is, and waits."""
    code = "from launch.processes import Process as P; p = P.current(); "
    code += "print(p.host, p.pid, p.started, flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def described(child: subprocess.Popen[str]) -> Process:
    assert child.stdout is not None
    host, pid, started = child.stdout.readline().split()
    return Process(host, Process.current().machine, int(pid), int(started))


def test_a_process_gets_its_signal_once_and_is_known_to_have_ended_afterwards(child: subprocess.Popen[str]) -> None:
    process = described(child)
    assert process.pid == child.pid
    assert process.lives_here()
    assert process.signal(signal.SIGTERM)
    assert child.wait(timeout=30) == -signal.SIGTERM
    assert not process.lives_here()
    assert not process.signal(signal.SIGTERM)


def test_another_program_of_the_same_number_gets_none(child: subprocess.Popen[str]) -> None:
    process = described(child)
    assert not replace(process, started=process.started - 1).signal(signal.SIGKILL)
    for number in (0, -1, -process.pid, 2**22 + 5):
        assert not replace(process, pid=number).signal(signal.SIGKILL)
    assert child.poll() is None


def test_a_process_of_another_machine_gets_none(child: subprocess.Popen[str]) -> None:
    process = described(child)
    other = replace(process, host="far", machine=process.machine.replace("pid", "other"))
    assert not other.lives_here()
    with pytest.raises(Unreachable, match=f"^process {process.pid} is on far$"):
        other.signal(signal.SIGKILL)
    assert child.poll() is None


def test_another_users_process_gets_none(child: subprocess.Popen[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    process = described(child)
    with pytest.raises(Unreachable, match=f"^process {process.pid} is another user's$"):
        as_user(FIRST, lambda: process.signal(signal.SIGKILL))
    assert child.poll() is None
