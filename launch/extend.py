"""`python -m launch extend`: run what settles the open verdicts, round after round, and no more.

What that is `python -m analysis next` says; it is asked as a process of its own, since the launcher knows
configurations and the analysis results, and neither the other: its JSON document names finished runs and seeds. A
round's experiments have the configurations of these runs, with other seeds, and are launched as the last sweep was. All
follows from the folder of runs, so the command may be stopped and given again; only the looks at the verdicts are
recorded, in `.sweeps/extend.json`, for the levels that account for them.
"""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from compress.config import identity
from compress.config.schema import Config, from_mapping
from compress.errors import ConfigError
from compress.runs import result
from compress.storage import surroundings
from compress.storage.files import write_json
from compress.wording import plural
from launch import status
from launch.commands import pause
from launch.retry import LAUNCHER, Changes, sweeps_to_go_on_with
from launch.start import Group, Settings, launch_all
from launch.sweep import SWEEPS, Sweep, all_sweeps, concerned

LOOKS = "extend.json"
ASKING = ("-m", "analysis", "next")
NO_HOURS = 1e-9  # in which nothing can be run


def extend(
    runs: Path, words: Sequence[str] = (), *, hours: float = math.inf, rounds: int | None = None,
    options: Sequence[str] = (),
) -> int:  # fmt: skip
    """Run rounds until all verdicts are settled (0), or nothing would help or may be spent (1); a line for each round.

    Each is waited for, whatever `wait` was for the last sweep, and so is what goes on when this is called.

    Args:
        words: `hydra.launcher.KEY=VALUE` and `resources.KEY=VALUE`, as for `retry`.
        hours: device-hours that all rounds together may take, failed runs and added teachers included.
        rounds: how many there may be; None for as many as it takes.
        options: for `analysis next`.
    """
    runs = runs.absolute()
    sweeps, _ = sweeps_to_go_on_with(runs)
    changes = Changes(words)
    changes.require_use([sweeps[-1].launcher])
    settings = _waiting(changes, sweeps[-1])
    here, spent, number = Path.cwd(), 0.0, 0
    while True:
        _wait_for_what_goes_on(runs)
        left = ["--hours", repr(max(hours - spent, NO_HOURS))] if math.isfinite(hours) else []
        said = _asked(runs, here, [*options, *left])
        with surroundings.runs(runs).config_errors():
            write_json(runs / SWEEPS / LOOKS, said["looks"])
        claims, asked = said["claims"], said["runs"]
        still_open = [claim["name"] for claim in claims if not claim["settled"]]
        verdicts = f"{len(claims) - len(still_open)} of {plural(len(claims), 'verdict')} settled"
        if said["settled"] or not asked:
            print(f"{verdicts}; {said['why']}", flush=True)
            return 0 if said["settled"] and claims else 1
        if rounds is not None and number >= rounds:
            print(f"{verdicts}; stopped after {plural(number, 'round')}, open: {', '.join(still_open)}", flush=True)
            return 1
        number += 1
        print(f"round {number}: {verdicts}; {plural(len(asked), 'run')}, {said['hours']:.2g} device-hours", flush=True)
        launched = _launched(runs, asked, changes, settings, here)
        spent += sum(seconds for sweep in launched for seconds in _took(sweep)) / 3600
        if why := _why_not_on(launched):
            print(f"{why}: python -m launch status {shlex.quote(str(runs))} tells why", flush=True)
            return 1


def _waiting(changes: Changes, last: Sweep) -> Settings:
    """A sweep's settings with what is typed, but that each round is waited for; ConfigError if that is typed."""
    settings = changes.launcher(last.launcher)
    typed = [word for word in changes.launchers if word.removeprefix("+").startswith(f"{LAUNCHER}wait=")]
    if typed and not settings.wait:
        raise ConfigError(f"{typed[-1]}: extend waits for each round, since the next follows from it; leave it out")
    return replace(settings, wait=True)


def _wait_for_what_goes_on(runs: Path) -> None:
    """Until no experiment of these runs does: what it says may change what is worth running."""
    told, started = False, time.monotonic()
    while going := sum(each.state in status.GOING_ON for each in status.survey(runs).experiments):
        if not told:
            print(f"waiting for {plural(going, 'experiment')} launched before", flush=True)
        told = True
        time.sleep(pause(time.monotonic() - started))


def _launched(
    runs: Path, asked: Sequence[Mapping[str, Any]], changes: Changes, settings: Settings, here: Path
) -> list[Sweep]:
    """The sweeps of a round, which have ended."""
    before = all_sweeps(runs)
    groups = _groups(_configs(runs, asked), changes, settings, concerned(before), here)
    chosen = set()
    for group in groups:
        group.enter()
        chosen |= {identity.run_id(config) for config in group.configs}
    launch_all(groups)
    old = {sweep.folder for sweep in before}
    return [sweep for sweep in all_sweeps(runs) if sweep.folder not in old and chosen & sweep.experiments.keys()]


def _took(sweep: Sweep) -> Iterator[float]:
    """Seconds that each experiment took, finished or not, as far as it is known."""
    outcomes = sweep.outcomes()
    for run_id in sweep.to_run:
        finished = result.read(sweep.run_folder(run_id), run_id)
        if finished is not None:
            yield finished.timing.wall_seconds or 0.0
        elif run_id in outcomes:
            yield outcomes[run_id].seconds


def _why_not_on(launched: Sequence[Sweep]) -> str:
    """Why no other round follows these sweeps; empty if one does.

    What failed by itself, or whose teacher did, is left out of later rounds. Whatever else is missing was cancelled,
    refused or lost: to run more would be against a user's will, or come to the same.
    """
    missing = [(sweep, run_id) for sweep in launched for run_id in sweep.to_run if not sweep.finished(run_id)]
    lost = [run_id for sweep, run_id in missing if not _failed(sweep, run_id)]
    if lost:
        return f"{plural(len(lost), 'run')} of this round stopped, refused or lost"
    return "nothing of this round is finished" if len(missing) == sum(len(sweep.to_run) for sweep in launched) else ""


def _failed(sweep: Sweep, run_id: str) -> bool:
    """Whether an experiment, or one that it needs, has failed by itself, and tells with which seed."""
    folders = {sweep.run_folder(one) for one in (run_id, *sweep.experiments[run_id].needs)}
    return any(result.failure(folder) is not None and (folder / "config.yaml").exists() for folder in folders)


def _asked(runs: Path, here: Path, options: Sequence[str]) -> dict[str, Any]:
    """What `analysis next` says, its part of the document; ConfigError with its own words if it refuses."""
    looks = runs / SWEEPS / LOOKS
    command = [sys.executable, *ASKING, str(runs), "--json", "--looks", str(looks), *options]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ConfigError(f"python -m analysis next {runs}: {lines[-1].removeprefix('error: ')}")
    answer: dict[str, Any] = json.loads(done.stdout)["next"]
    return answer


def _configs(runs: Path, asked: Sequence[Mapping[str, Any]]) -> list[tuple[str, Config]]:
    """The configuration of each run to make, with the run_id of the finished one that it is like."""
    folders = {folder.name: folder for folder in result.run_folders(runs)}
    configs = []
    for run in asked:
        like = run["like"]
        finished = result.read(folders[like], like) if like in folders else None
        if finished is None:
            raise ConfigError(f"{runs}: the run {like} is gone, of which {run['task']} {run['model']} {run['methods']} "
                              f"with seed {run['seed']} was to be made")  # fmt: skip
        config = replace(from_mapping({**finished.config, "seed": run["seed"]}), force=False)
        configs.append((like, replace(config, paths=replace(config.paths, runs=str(runs)))))
    return configs


def _groups(
    configs: Sequence[tuple[str, Config]], changes: Changes, settings: Settings, sweeps: Mapping[str, Sweep], here: Path
) -> list[Group]:
    """One group for each folder that relative paths of the configurations are meant from."""
    groups: dict[Path, Group] = {}
    for like, config in configs:
        directory = Path(sweeps[like].directory) if like in sweeps else here
        group = groups.setdefault(directory, Group([], settings, directory))
        group.configs.append(changes.config(config, settings))
    return list(groups.values())
