"""`python -m tests.faults`: faults at file operations and writes, chosen by a seed; all that went wrong is told."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.faults import harness, scenarios
from tests.faults.harness import Quiet, Scenario
from tests.faults.operations import Fault

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGUSR2")
ERRORS = ("ENOSPC", "ENOSPC*", "EIO", "EIO*")
ROOM = (0, 40, 80, 120, 160, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 1000)  # KiB free on a disk
SHARES = {"grid": 2}  # it has three kinds of processes
RARE = {"processes": 45, "tracked": 15}  # of so many points one: they take long
Point = tuple[str, Fault, str]  # scenario, fault, and what is operated on there


def main() -> int:
    arguments = _arguments()
    os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "TOKENIZERS_PARALLELISM": "false",
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _stop)
    harness.adopt_orphans()
    scenarios.warm_up()
    harness.mounts_of_its_own()
    made = [*map(scenarios.single, scenarios.SUBSETS), scenarios.grid(), scenarios.tracked(), scenarios.processes()]
    known = {scenario.name: scenario for scenario in made}
    with tempfile.TemporaryDirectory(prefix="faults-", dir=arguments.folder) as folder:
        if arguments.point:
            name, _, fault = arguments.point.partition(":")
            like = known["grid" if name == "processes" else name]
            return _tell_one(known[name], Fault.parse(fault), harness.quiet(like, Path(folder)), Path(folder))
        references = {scenario.name: harness.quiet(scenario, Path(folder)) for scenario in made[:-1]}
        references["processes"] = references["grid"]  # the same experiments
        every = [point for name, quiet in references.items() for point in points(name, quiet)]
        chosen = choose(every, arguments.points, arguments.seed)
        print(f"seed {arguments.seed}: {len(chosen)} of {len(every)} points; "
              f"another choice: make faults SEED=… POINTS=…", flush=True)  # fmt: skip
        failed, missed = _try_all(known, references, chosen, Path(folder), arguments.jobs)
    took, spent = time.monotonic() - started, sum(os.times()[:4])
    print(f"{len(chosen)} points in {took:.0f} s, {spent:.0f} s of a processor: {failed} failed; {missed} not come to")
    return 1 if failed or missed > len(chosen) // 5 else 0


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    harness.end_all()  # first, for they write into folders that are removed
    sys.exit(128 + signum)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--points", type=int, default=360)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", help="where to make a temporary folder")
    parser.add_argument("--point", help="one alone, SCENARIO:ROLE:BY:AT:ACT, as a failure names it")
    return parser.parse_args()


def points(name: str, quiet: Quiet) -> list[Point]:
    """Every operation with every signal and error, and every write with those that fit."""
    found, counts = list[Point](), defaultdict[str, int](int)
    for role, told in quiet.operations:
        counts[role] += 1
        for act in (*SIGNALS, *(() if told.startswith("flock") else ERRORS)):
            found.append((name, Fault(act.strip("*"), counts[role], role, "operation", "*" in act), told))
    role = quiet.operations[0][0]
    for number, told in enumerate(quiet.writes, 1):
        for act in ("SIGKILL", *ERRORS):
            found.append((name, Fault(act.strip("*"), number, role, "write", "*" in act), told))
    for room in ROOM if name != "processes" else ():
        found.append((name, Fault("ENOSPC", room, role, "disk"), "a full disk"))
    return found


def choose(every: list[Point], count: int, seed: int) -> list[Point]:
    """So many, chosen by a seed: in turn of each scenario, and there of each kind of process, act and operation."""
    rng = random.Random(seed)
    kinds = defaultdict[str, dict[object, list[Point]]](lambda: defaultdict(list))
    for point in rng.sample(every, len(every)):
        kinds[point[0]][_kind(point)].append(point)
    queues = {name: _in_turns(found, rng) for name, found in kinds.items()}
    chosen: list[Point] = []
    while len(chosen) < count and any(queues.values()):
        for name, queue in queues.items():
            if sum(point[0] == name for point in chosen) * RARE.get(name, 0) <= len(chosen):
                chosen += queue[: SHARES.get(name, 1)]
                del queue[: SHARES.get(name, 1)]
    return chosen[:count]


def _in_turns(kinds: Mapping[object, list[Point]], rng: random.Random) -> list[Point]:
    """One of each kind, in any order, then another one of each …"""
    turns = [(turn, rng.random(), point) for points in kinds.values() for turn, point in enumerate(points)]
    return [point for _, _, point in sorted(turns, key=lambda turn: turn[:2])]


def _kind(point: Point) -> object:
    _, fault, told = point
    return fault.role.split()[0], fault.act, fault.lasting, told.partition(" ")[0]


def _try_all(
    known: dict[str, Scenario], references: dict[str, Quiet], chosen: list[Point], folder: Path, jobs: int
) -> tuple[int, int]:
    """Try points in so many processes; how many failed, and how many were not come to."""
    ends = []
    for job in range(jobs):
        reading, writing = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                harness.adopt_orphans()
                tried = [_try_one(known, references, point, folder) for point in chosen[job::jobs]]
                os.write(writing, f"{sum(wrong for wrong, _ in tried)} {sum(missed for _, missed in tried)}".encode())
            finally:
                harness.end_all()
                os._exit(0)
        os.close(writing)
        ends.append((pid, reading))
    totals = [0, 0]
    for pid, reading in ends:
        with os.fdopen(reading) as stream:
            failed, missed = map(int, stream.read().split() or (len(chosen), 0))  # it has come to nothing
        os.waitpid(pid, 0)
        totals = [totals[0] + failed, totals[1] + missed]
    return totals[0], totals[1]


def _try_one(known: dict[str, Scenario], references: dict[str, Quiet], point: Point, folder: Path) -> tuple[bool, bool]:
    name, fault, told = point
    tried = harness.attempt(known[name], fault, references[name], folder)
    if tried.wrong:
        lines = [
            f"FAILED --point '{name}:{fault}' at {tried.happened or told}",
            *(f"    {line}" for line in tried.wrong),
        ]
        print("\n".join(lines), flush=True)
    return bool(tried.wrong), tried.happened is None


def _tell_one(scenario: Scenario, fault: Fault, expected: Quiet, folder: Path) -> int:
    tried = harness.attempt(scenario, fault, expected, folder)
    print(f"at {tried.happened}\n{tried.said}\n" + "\n".join(tried.wrong or ["all is well"]))
    return 1 if tried.wrong else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    finally:
        harness.end_all()
