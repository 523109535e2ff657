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
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
from launch.retry import Changes, sweeps_to_go_on_with
from launch.start import Group, Settings, launch_all
from launch.sweep import SWEEPS, Sweep, concerned

LOOKS = "extend.json"
ASKING = ("-m", "analysis", "next")
NO_HOURS = 1e-9  # in which nothing can be run


def extend(
    runs: Path, words: Sequence[str] = (), *, hours: float = math.inf, rounds: int | None = None,
    options: Sequence[str] = (),
) -> int:  # fmt: skip
    """Run rounds until all verdicts are settled (0), or nothing would help or may be spent (1); a line for each round.

    Args:
        words: `hydra.launcher.KEY=VALUE` and `resources.KEY=VALUE`, as for `retry`.
        hours: device-hours that all rounds together may take.
        rounds: how many there may be; None for as many as it takes.
        options: for `analysis next`.
    """
    runs = runs.absolute()
    sweeps, _ = sweeps_to_go_on_with(runs)
    changes = Changes(words)
    changes.require_use([sweeps[-1].launcher])
    settings = changes.launcher(sweeps[-1].launcher)
    here, spent, number = Path.cwd(), 0.0, 0
    while True:
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
        configs = _configs(runs, asked)
        launch_all(_groups(configs, changes, settings, concerned(sweeps), here))
        finished = [_finished(runs, config) for _, config in configs]
        spent += sum(seconds for seconds in finished if seconds is not None) / 3600
        if all(seconds is None for seconds in finished):
            print(f"nothing of this round is finished: python -m launch status {runs} tells why", flush=True)
            return 1


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


def _finished(runs: Path, config: Config) -> float | None:
    """Seconds that a finished experiment took, 0 if it does not tell; None if it is not finished."""
    folder = identity.run_folder(config)
    finished = result.read(folder, folder.name)
    return None if finished is None else finished.timing.wall_seconds or 0.0
