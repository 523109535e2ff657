"""From a command line or Hydra's sweep to a planned sweep that runs."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.checked import build
from compress.config.schema import Config
from compress.errors import ConfigError, tell
from compress.model.encoder import label
from compress.runs import environment
from compress.runs import folder as run_folders
from compress.storage import surroundings
from compress.storage.files import write_text
from launch import cost, local, plan, scheduler, slurm, submitted
from launch.batches import SlurmSettings, batches
from launch.sbatch import require_startable
from launch.sweep import PLAN, SWEEPS, Sweep

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

Settings = local.LocalSettings | SlurmSettings

SETTINGS: dict[str, type[Settings]] = {"local": local.LocalSettings, "slurm": SlurmSettings}


def settings_of(name: str, values: Mapping[str, object]) -> Settings:
    """The checked settings of a launcher; ConfigError if a value is wrong, or the launcher cannot work here."""
    return build(SETTINGS[name], plain_settings(values), "hydra.launcher.")


def plain_settings(values: Mapping[str, object]) -> dict[str, object]:
    """What Hydra gives a plugin, without its own types and name."""
    from omegaconf import OmegaConf

    plain = {key: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for key, v in values.items()}
    plain.pop("_target_", None)
    return plain


@contextmanager
def refusing() -> Iterator[None]:
    """Tell in one line what is wrong, and end: with exit code 2 if it is a mistake; Hydra would print a traceback."""
    try:
        yield
    except ConfigError as error:
        tell(error)
        raise SystemExit(2) from error
    except BrokenPipeError:  # of `… | head`
        raise
    except OSError as error:  # a disk that is full or broken
        tell(error)
        raise SystemExit(1) from error


def launch_jobs(
    jobs: Sequence[Sequence[str]], settings: Settings, context: HydraContext, composed: DictConfig
) -> tuple[int, list[Config]]:
    """Run what a Hydra sweeper hands to a launcher: each experiment's overrides, and the rest as Hydra composed it.

    Returns the exit code, and the configuration of each.
    """
    from omegaconf import OmegaConf

    from compress.config.composing import tree
    from compress.config.configurations import configurations

    def compose(words: Sequence[str]) -> dict[str, object]:
        return tree(context.config_loader.load_sweep_config(composed, list(words)))

    sources = composed.hydra.runtime.config_sources
    folders = [Path(source.path) for source in sources if source.schema == "file"]
    group = Group(list(configurations(jobs, compose, folders)), settings)
    return launch_all([group], Path(composed.hydra.sweep.dir).name, OmegaConf.to_yaml(composed)), group.configs


def plan_for(configs: Iterable[Config], settings: Settings) -> plan.Plan:
    """Plan a sweep for a launcher; ConfigError if something is to run, and the folder of runs cannot be written."""
    cells = list(configs)
    if isinstance(settings, SlurmSettings):
        gpu = any(config.resources.for_model(label(config.model)).gpus for config in cells)
    else:
        gpu = bool(local.shares(settings, cpu_only=all(config.device == "cpu" for config in cells))[0].device)
    planned = plan.make(cells, cost.results_below, settings.timeout_min, gpu=gpu)
    if planned.to_run:
        surroundings.runs(planned.runs).require_writable()
    return planned


@dataclass(frozen=True)
class Group:
    """Experiments that are launched together, as one sweep."""

    configs: list[Config]
    settings: Settings
    # where from, if not from the current folder: relative paths in configurations are meant from there
    directory: Path | None = None

    def enter(self) -> None:
        """Be where its relative paths are meant from; ConfigError if that is gone."""
        try:
            os.chdir(self.directory or ".")
        except OSError as error:
            raise ConfigError(f"{self.directory}: {error.strerror}; the sweep was started there, and its relative "
                              "paths are meant from there") from error  # fmt: skip


def launch_all(groups: Sequence[Group], name: str | None = None, asked: str | None = None) -> int:
    """Plan several sweeps, and run them if none is refused: what goes to a cluster first, so that it runs meanwhile.

    `name` is for the sweep's folder, if there is none yet; `asked`, as Hydra composed it, for its `multirun.yaml`.
    ConfigError if one cannot be planned, or none can be run; nothing is left of what SLURM refuses.
    """
    planned = [_checked(group) for group in groups]
    written = [_written(group, each, name, asked) for group, each in zip(groups, planned, strict=True)]
    refused: list[ConfigError] = []
    submissions, codes = [], []
    for sweep, settings in written:
        if isinstance(settings, SlurmSettings):
            with _nothing_left_of(sweep, refused):
                submissions.append(slurm.start(sweep, settings))
    for sweep, settings in written:
        if not isinstance(settings, SlurmSettings):
            try:
                codes.append(local.run(sweep, settings))
            except ConfigError as reason:  # a worker may have been started: its sweep stays
                refused.append(reason)
    if submissions:
        codes.append(slurm.wait(submissions))
    for error in refused if codes else ():
        tell(error)
    if refused and not codes:
        raise refused[0]
    return max(codes + [2 for _ in refused])


def _checked(group: Group) -> plan.Plan:
    """The plan of a sweep that its launcher can run, as far as can be known; nothing is written."""
    group.enter()
    settings = group.settings
    if isinstance(settings, SlurmSettings):
        scheduler.require()
    planned = plan_for(group.configs, settings)
    if isinstance(settings, SlurmSettings) and planned.to_run:
        awaited = {experiment.run_id for experiment in planned.awaited}
        require_startable(batches(planned.to_run, settings, awaited), settings)
    return planned


def _written(group: Group, planned: plan.Plan, name: str | None, asked: str | None) -> tuple[Sweep, Settings]:
    """The sweep on disk."""
    stamp = name if name and not (planned.runs / SWEEPS / name / PLAN).exists() else None
    folder = planned.runs / SWEEPS / (stamp or f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{uuid.uuid4().hex[:6]}")
    launcher = next(name for name, kind in SETTINGS.items() if isinstance(group.settings, kind))
    to_run = [experiment.run_id for experiment in planned.to_run]
    group.enter()
    sweep = Sweep(folder, {"name": launcher, **vars(group.settings)}, planned.experiments, to_run,
                  command=environment.command())  # fmt: skip
    with surroundings.runs(planned.runs).config_errors():
        sweep.write()
        if asked is not None:
            write_text(folder / "multirun.yaml", asked)
    for run_id in sweep.experiments.keys() - set(to_run):  # of which killed processes may have left something
        run_folders.tidy_alone(planned.runs, sweep.run_folder(run_id))
    print("\n".join(plan.headline(planned)), flush=True)
    return sweep, group.settings


@contextmanager
def _nothing_left_of(sweep: Sweep, refused: list[ConfigError]) -> Iterator[None]:
    """Remove a sweep of which SLURM took nothing, and note why."""
    try:
        yield
    except ConfigError as error:
        refused.append(error)
        if submitted.arrays(sweep.folder) or sweep.outcomes() or sweep.live_workers():
            return
        shutil.rmtree(sweep.folder, ignore_errors=True)
        for folder in (sweep.folder.parent, sweep.runs / ".locks", sweep.runs):
            with suppress(OSError):  # others have something there
                folder.rmdir()


def name_of_target(target: str) -> str:
    """The launcher that Hydra's `_target_` names; ConfigError if it is none of ours."""
    for name in SETTINGS:
        if target == f"hydra_plugins.combining_compressions.{name.capitalize()}Launcher":
            return name
    raise ConfigError(f"hydra/launcher: {target} cannot be planned for; must be of {', '.join(SETTINGS)}")
