"""Run something with a fault, run it again without, and compare every file with those of a quiet run."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil

from tests.faults import operations
from tests.faults.operations import Fault, Watch
from tests.faults.writes import Supervisor, supervise_me

SECONDS = 120.0  # that anything may take
CHILD_SUBREAPER = 36  # from linux/prctl.h
NEW_MOUNTS, PRIVATE = 0x00020000, 1 << 18 | 1 << 14  # from linux/sched.h; MS_PRIVATE | MS_REC of linux/mount.h
DISK = 4096  # KiB of a disk that gets full
TIMES_FULL = 3  # that something is run on a full disk
CLOCK = ("seconds", "examples_per_second", "tokens_per_second")  # in a row of metrics.jsonl
TRANSIENT = re.compile(  # what may be there as long as an experiment is not finished
    r"(.*/)?(\.[^/]+-[0-9a-f]{8}(/.*)?|checkpoint(/state\.pt)?|progress\.json|error\.json|\.locks(/.*)?|[^/]+\.lock)"
)
FULL = re.compile("No space left|MB are free")
MUTE = "(the worker ended before it could run this experiment(: OSError: .*)?|its process ended with exit code 1)$"
SCRATCH = re.compile(r"/\.[^/]+-[0-9a-f]{8}$")
UNLIKE = re.compile(r"runs/(\.sweeps(/|$)|\.locks$|.*/wandb(/|$))|ballast$")  # what may differ
SHOWN = 6  # differences that are told

Work = Callable[[Path], int]  # is given the folder to work in, with `runs` and `cache`; its exit code
Snapshot = dict[str, str | bytes | None]  # path -> content; None for a folder


@dataclass
class Ended:
    """How a process did."""

    code: int
    out: str
    err: str
    happened: str | None
    seen: list[tuple[str, str]]
    writes: list[str] = field(default_factory=list)


def adopt_orphans() -> None:
    """Have this process be the parent of all that its children leave behind."""
    ctypes.CDLL(None).prctl(CHILD_SUBREAPER, 1, 0, 0, 0)


def in_child(work: Work, root: Path, fault: Fault | None = None, *, watched: bool = True, role: str = "run") -> Ended:
    """Do something in a forked process that is like a new one, and wait for it.

    Args:
        watched: whether its operations and writes are recorded; with a fault only those that it needs are.

    Raises:
        TimeoutError: it takes too long; it was killed.
    """
    side = root.with_name(f"{root.name}-said")
    shutil.rmtree(side, ignore_errors=True)
    side.mkdir()
    by = fault.by if fault else "both" if watched else "none"  # what is seen
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        watch = Watch(root, side / "ledger", fault, role) if by in ("operation", "both") else None
        _be_the_child(work, root, side, watch, theirs if by in ("write", "both") else None)
    theirs.close()
    supervisor, deadline, status = Supervisor(root, fault), time.monotonic() + SECONDS, list[int]()

    def over() -> bool:
        if not status and (ended := os.waitpid(pid, os.WNOHANG))[0]:
            status.append(ended[1])
        return bool(status) and not psutil.Process().children()

    with ours:
        try:
            if by in ("write", "both"):
                supervisor.serve(ours, over, deadline)
            while not over() and time.monotonic() < deadline and not status:
                time.sleep(0.005)
            if not status:
                raise TimeoutError
        except TimeoutError:
            end_all()
            raise TimeoutError(f"not over after {SECONDS:g} seconds") from None
    happened, seen = operations.read(side / "ledger")
    out, err = ((side / name).read_text(errors="replace") for name in ("out", "err"))
    return Ended(os.waitstatus_to_exitcode(status[0]), out, err, supervisor.happened or happened, seen, supervisor.seen)


def _be_the_child(work: Work, root: Path, side: Path, watch: Watch | None, channel: socket.socket | None) -> NoReturn:
    code = 70
    try:
        for signum in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(side / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(os.fdopen(number, "wb", 0, closefd=False), write_through=True) for number in (1, 2)
        )
        os.chdir(root)
        if watch is not None:
            watch.install()
            setattr(Watch, "current", watch)  # noqa: B010 - for who starts processes of another role
        if channel is not None:
            supervise_me(channel)
        code = work(root)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # a fork must not go on as its parent
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait_for_orphans(seconds: float = 80.0) -> list[str]:
    """The command lines of the processes that do not end in time; they are killed then.

    A job of submitit whose launcher was killed waits for what it has to do for a minute.
    """
    deadline = time.monotonic() + seconds
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)
    told = []
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            told.append(" ".join(process.cmdline()))
    end_all()
    return told


def end_all() -> None:
    """Kill whatever descends from this process."""
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


# --- files ------------------------------------------------------------------------------------------------------------


def snapshot(root: Path) -> Snapshot:
    """Every file and folder that counts, without times, the log's text and the folder's own name."""
    found: Snapshot = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if UNLIKE.match(name):
            continue
        found[name] = None if path.is_dir() else _content(path, root)
    return found


def _content(path: Path, root: Path) -> str | bytes:
    content = path.read_bytes()
    if path.name == "log.txt":
        return ""
    if path.suffix not in (".json", ".jsonl", ".yaml") or path.parent.name == "artifact":
        return content
    text = content.decode().replace(str(root), "ROOT")
    with contextlib.suppress(ValueError):
        return {"result.json": _result, "metrics.jsonl": _metrics}.get(path.name, str)(text)
    return text


def _result(text: str) -> str:
    document = json.loads(text)
    steps = document.pop("timing")["steps"]
    document["environment"].pop("git_commit")  # the source may be committed meanwhile
    return json.dumps(document | {"steps": steps}, indent=1)


def _metrics(text: str) -> str:
    rows = [{key: value for key, value in json.loads(line).items() if key not in CLOCK} for line in text.splitlines()]
    return "".join(json.dumps(row) + "\n" for row in rows)


def differences(found: Snapshot, expected: Snapshot) -> list[str]:
    """What is missing, too much or other than it should be."""
    told = [f"{name} is missing" for name in expected if name not in found]
    told += [f"{name} is left" for name in found if name not in expected]
    return told + [f"{name} differs" for name in found if name in expected and found[name] != expected[name]]


@contextlib.contextmanager
def disk(root: Path, fault: Fault) -> Iterator[Callable[[], None]]:
    """A folder on a disk of its own with as many KiB free as the fault says; what frees the rest. Else nothing."""
    if fault.by != "disk":
        yield lambda: None
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}k", "faults", root], check=True)
    try:
        ballast = root / "ballast"
        ballast.write_bytes(bytes(1024 * (DISK - fault.at)))
        yield ballast.unlink
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


def mounts_of_its_own() -> None:
    """Have this process's mounts be nobody else's, and go with it.

    Raises:
        OSError: it may not mount.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS) or libc.mount(b"none", b"/", None, PRIVATE, None):
        raise OSError(ctypes.get_errno(), f"no file system can be mounted: {os.strerror(ctypes.get_errno())}")


def half_written(found: Snapshot, expected: Snapshot) -> list[str]:
    """What is neither as it will be, nor absent, nor known to be unfinished."""
    told = []
    for name, content in found.items():
        if TRANSIENT.fullmatch(name):
            continue
        if name not in expected:
            told.append(f"{name} is nothing that belongs there")
        elif name.endswith("metrics.jsonl"):
            if not str(expected[name]).startswith(str(content)):
                told.append(f"{name} is not the beginning of what it will be")
        elif content != expected[name]:
            told.append(f"{name} is half-written")
    for folder in {name.rpartition("/")[0] for name in expected if name.endswith(("/artifact", "about.json"))}:
        whole = {name for name in expected if name.startswith(f"{folder}/") and "/artifact/" in name + "/"}
        whole = whole or {name for name in expected if name.startswith(f"{folder}/")}
        there = whole & set(found)
        if there and there != whole:
            told.append(f"{min(whole - there)} is missing beside others that are there")
    return told


def _full(ended: Ended) -> str | None:
    """What a full disk had to refuse, if it came to it."""
    return next((line for line in (ended.err + ended.out).splitlines() if FULL.search(line)), None)


def finished(root: Path) -> dict[str, tuple[int, bytes]]:
    """The results that are there: when they were written, and what they say."""
    return {
        str(file.relative_to(root)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in root.glob("runs/[!.]*/*/*/*/result.json")
    }


# --- what is tried ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """Something that is run, in which faults happen.

    Attributes:
        role: of the process that is started.
        sweep: whether it is one; a second launch may be at it while workers of the first still are.
        again: how it is run again, if not by the same.
    """

    name: str
    work: Work
    role: str = "run"
    check: Callable[[Path], list[str]] = lambda root: []
    sweep: bool = False
    again: Work | None = None


@dataclass
class Quiet:
    """What a scenario does and leaves without a fault."""

    left: Snapshot
    operations: list[tuple[str, str]]
    writes: list[str]


def quiet(scenario: Scenario, folder: Path) -> Quiet:
    """Run it undisturbed.

    Raises:
        AssertionError: that fails, or leaves what it should not.
    """
    with fresh(folder) as root:
        ended = in_child(scenario.work, root, role=scenario.role)
        assert ended.code == 0, f"{scenario.name}: {ended.out}{ended.err}"
        assert wait_for_orphans() == []
        left = snapshot(root)
        assert (leavings := [name for name in left if TRANSIENT.fullmatch(name)]) == [], f"{scenario.name}: {leavings}"
        assert scenario.check(root) == []
        again = in_child(scenario.work, root, watched=False)
        assert (again.code, differences(snapshot(root), left)) == (0, []), f"{scenario.name}: {again.out}{again.err}"
    return Quiet(left, ended.seen, ended.writes)


@contextlib.contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """An empty folder of this process's own."""
    root = folder / f"root-{os.getpid()}"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@dataclass
class Tried:
    """What came of a fault; `wrong` is empty if all is as it must be."""

    happened: str | None
    wrong: list[str]
    said: str = ""


def attempt(scenario: Scenario, fault: Fault, expected: Quiet, folder: Path) -> Tried:
    """Run it with the fault, run it again, and compare."""
    wrong, happened, said = list[str](), None, ""
    with fresh(folder) as root, disk(root, fault) as free:
        try:
            for _ in range(TIMES_FULL if fault.by == "disk" else 1):  # nothing piles up
                ended = in_child(scenario.work, root, fault, role=scenario.role)
                happened = ended.happened = _full(ended) if fault.by == "disk" else ended.happened
                said += f"{ended.out}{ended.err}\n--- again\n"
                wrong += after_fault(scenario, fault, ended, root, expected)
            before = finished(root)
            free()
            second = in_child(scenario.again or scenario.work, root, watched=False)
        except TimeoutError as error:
            return Tried("?", [str(error)])
        wrong += [f"run again it ends with {second.code}"] if second.code else []
        wrong += [f"run again it says {line}" for line in second.err.splitlines() if "Traceback" in line]
        wrong += [f"a process is left: {told}" for told in wait_for_orphans()]
        wrong += [f"{name} was finished and is written again" for name, _ in before.items() - finished(root).items()]
        left = snapshot(root)
        if fault.signum is None and str(happened).startswith("remove cache/") and str(happened).endswith(".lock"):
            left.pop(str(happened).partition(" ")[2], None)  # could not be removed: who wants the entry next does it
        wrong += [f"at the end {told}" for told in differences(left, expected.left)]
        wrong += scenario.check(root)
        return Tried(happened, _once(wrong), f"{said}{second.out}{second.err}")


def after_fault(scenario: Scenario, fault: Fault, ended: Ended, root: Path, expected: Quiet) -> list[str]:
    """What is wrong before it is run again."""
    mute = fault.lasting or "_log." in str(ended.happened)  # where a process would say what it died of
    wrong = [] if fault.signum or not ended.happened else answer(ended, root, scenario.sweep, mute)
    if scenario.sweep and fault.role == "launcher" and fault.at % 2 and fault.signum:
        return wrong  # the second launch meets the workers of the first
    wrong += [f"a process is left: {told}" for told in wait_for_orphans()]
    wrong += half_written(snapshot(root), expected.left)
    if ended.code == 0 and fault.signum is None and not scenario.sweep:
        wrong += [f"it ends with 0 and {told}" for told in differences(snapshot(root), expected.left)
                  if not told.endswith("is left")]  # fmt: skip
    if not fault.signum and not fault.lasting and not str(ended.happened).startswith(("remove", "rmdir", "flock")):
        wrong += [f"{name} is left after an error" for name in snapshot(root) if SCRATCH.search(name)]
    return wrong


def answer(ended: Ended, root: Path, sweep: bool, mute: bool) -> list[str]:
    """What is wrong with the words for an error that the system gave."""
    wrong = ["there is a traceback"] if "Traceback" in ended.err + ended.out else []
    if ended.code < 0:
        wrong.append(f"it died of {signal.Signals(-ended.code).name}")
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    if ended.code == 0:
        return wrong + [f"it ends with 0 and says {line}" for line in errors]
    failures = re.findall(r"^\[\d+/\d+\] failed: .*$", ended.out, re.MULTILINE) if sweep and not errors else errors
    if not failures or len(errors) > 1:
        return [*wrong, f"it ends with {ended.code} and {len(failures)} lines that tell a failure"]
    return wrong + [f"key, path or fix are not in: {line}" for line in failures if not _helps(line, root, mute)]


def _helps(line: str, root: Path, mute: bool) -> bool:
    """Whether a line has the key, the path and what to do; a process that can write nowhere could not say it."""
    if re.search(r"its teacher .* failed$", line) or (mute and re.search(MUTE, line)):
        return True
    named = re.search(r"paths\.(runs|cache)=", line) and str(root) in line
    return bool(named and re.search(r"; .*(give|free|run again|remove|have)", line))


def _once(lines: list[str]) -> list[str]:
    unlike = list(dict.fromkeys(lines))
    return unlike[:SHOWN] + ([f"and {len(unlike) - SHOWN} more"] if len(unlike) > SHOWN else [])
