"""Wait for a sweep: a progress bar, or a line for each experiment without a terminal, and the table at the end."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from tqdm import tqdm

from compress.errors import ConfigError
from compress.runs import result
from compress.wording import plural
from launch.experiments import Outcome
from launch.sweep import Sweep
from launch.sync import reminder
from launch.tables import failures

POLL_SECONDS = 0.25


def follow(sweep: Sweep, lost: Callable[[], Mapping[str, Outcome]], poll: float = POLL_SECONDS) -> dict[str, Outcome]:
    """Show how a sweep goes on until every experiment has ended; how each did. `lost`: what can no longer finish."""
    total, seen = len(sweep.to_run), dict[str, Outcome]()
    with tqdm(total=total, unit="run", dynamic_ncols=True, disable=not sys.stderr.isatty(), smoothing=0.1) as bar:
        while len(seen) < total:
            gone = lost()  # before the outcomes are read: who ended in between has left one
            outcomes = {**gone, **sweep.outcomes()}
            for run_id in [run_id for run_id in sweep.to_run if run_id in outcomes and run_id not in seen]:
                seen[run_id] = outcomes[run_id]
                _tell(sweep, seen[run_id], len(seen), total, quiet=not bar.disable)
            bar.update(len(seen) - bar.n)
            failed = sum(outcome.state == "failed" for outcome in seen.values())
            bar.set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
            if len(seen) < total:
                time.sleep(poll)
    return seen


def _tell(sweep: Sweep, outcome: Outcome, number: int, total: int, *, quiet: bool) -> None:
    planned = sweep.experiments[outcome.run_id]
    if outcome.state == "failed":
        tqdm.write(f"[{number}/{total}] failed: {planned.name}: {outcome.cause}", file=sys.stdout)
    elif not quiet:
        finished = None
        with suppress(ConfigError):  # one that this user may not read is finished all the same
            finished = result.read(sweep.run_folder(outcome.run_id), outcome.run_id)
        tqdm.write(f"[{number}/{total}] finished: {finished.summary() if finished else planned.name}", file=sys.stdout)
    sys.stdout.flush()


def conclude(sweep: Sweep, ended: Mapping[str, Outcome], seconds: float) -> int:
    """Print what became of a sweep; the exit code is 0 if everything that was asked for is done, else 1."""
    failed = [outcome for outcome in ended.values() if outcome.state == "failed"]
    before = len(sweep.experiments) - len(sweep.to_run)
    line = f"{plural(len(sweep.experiments), 'experiment')}: {len(ended) - len(failed)} finished in {seconds:.0f} s"
    line += f", {before} before" if before else ""
    print(f"{line}, {len(failed)} failed")
    if failed:
        named = [(sweep.experiments[outcome.run_id], outcome) for outcome in failed]
        print(failures([(planned.name, outcome.cause, outcome.log) for planned, outcome in named]))
        print(f"python -m launch retry {shlex.quote(str(sweep.runs))}   runs those again")
    for line in reminder(sweep.runs, (sweep.run_folder(run_id) for run_id in ended)):
        print(line)
    sys.stdout.flush()
    return 1 if failed else 0
