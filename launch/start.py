"""From a command line or Hydra's sweep to a planned sweep that runs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress import result, surroundings
from compress.config import Config, build
from compress.errors import ConfigError, tell
from compress.model import label
from launch import cost, local, plan, scheduler, slurm, submission
from launch.sweep import SWEEPS, Sweep

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

Settings = local.LocalSettings | submission.SlurmSettings

SETTINGS: dict[str, type[Any]] = {"local": local.LocalSettings, "slurm": submission.SlurmSettings}


def settings_of(name: str, values: Mapping[str, Any]) -> Settings:
    """The checked settings of a launcher.

    Raises:
        ConfigError: a value is wrong, or the launcher cannot work here.
    """
    settings: Settings = build(SETTINGS[name], _plain(values), "hydra.launcher.")
    return settings


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain = {key: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for key, v in values.items()}
    return {key: value for key, value in plain.items() if key != "_target_"}


@contextmanager
def refusing() -> Iterator[None]:
    """Tell a mistake in one line and end with exit code 2; Hydra would print a traceback."""
    try:
        yield
    except ConfigError as error:
        tell(error)
        raise SystemExit(2) from error


def launch_jobs(jobs: Sequence[Sequence[str]], settings: Settings, context: HydraContext, composed: DictConfig) -> int:
    """Run what a Hydra sweeper hands to a launcher.

    Args:
        jobs: the overrides of each experiment.
        composed: the configuration that Hydra composed of what is not swept.

    Returns:
        The exit code.
    """
    from omegaconf import OmegaConf

    from compress.overrides import configurations

    def compose(words: Sequence[str]) -> dict[str, Any]:
        tree: Any = OmegaConf.to_container(
            context.config_loader.load_sweep_config(composed, list(words)), resolve=False
        )
        del tree["hydra"]
        return dict(tree)

    sources = composed.hydra.runtime.config_sources
    folders = [Path(source.path) for source in sources if source.schema == "file"]
    asked = OmegaConf.to_yaml(composed)
    return launch(configurations(jobs, compose, folders), settings, Path(composed.hydra.sweep.dir).name, asked)


def plan_for(configs: Iterable[Config], settings: Settings) -> plan.Plan:
    """Plan a sweep for a launcher.

    Raises:
        ConfigError: there is something to run, and the folder of runs cannot be written.
    """
    cells = list(configs)
    if isinstance(settings, submission.SlurmSettings):
        gpu = any(config.resources.for_model(label(config.model))["gpus"] for config in cells)
    else:
        gpu = bool(local.shares(settings, cpu_only=all(config.device == "cpu" for config in cells))[0].device)
    planned = plan.make(cells, cost.results_below, settings.timeout_min, gpu=gpu)
    if planned.to_run:
        surroundings.runs(planned.runs).require_writable()
    return planned


def launch(configs: Iterable[Config], settings: Settings, name: str | None = None, asked: str | None = None) -> int:
    """Plan a sweep, write it down and run it.

    Args:
        name: of its folder, if there is none yet.
        asked: what Hydra composed, for its `multirun.yaml`.

    Returns:
        The exit code.
    """
    if isinstance(settings, submission.SlurmSettings):
        scheduler.require()
    planned = plan_for(configs, settings)
    stamp = name if name and not (planned.runs / SWEEPS / name / "plan.json").exists() else None
    folder = planned.runs / SWEEPS / (stamp or f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{uuid.uuid4().hex[:6]}")
    launcher = {"name": name_of(settings), **vars(settings)}
    sweep = Sweep(folder, launcher, planned.experiments, (experiment.run_id for experiment in planned.to_run))
    with surroundings.runs(planned.runs).told():
        sweep.write()
    if asked is not None:
        result.write_text(folder / "multirun.yaml", asked)
    print("\n".join(plan.headline(planned)), flush=True)
    return slurm.run(sweep, settings) if isinstance(settings, submission.SlurmSettings) else local.run(sweep, settings)


def name_of(settings: Settings) -> str:
    """The launcher that settings are for."""
    return next(name for name, kind in SETTINGS.items() if isinstance(settings, kind))


def name_of_target(target: str) -> str:
    """The launcher that Hydra's `_target_` names.

    Raises:
        ConfigError: it is none of ours.
    """
    for name in SETTINGS:
        if target == f"hydra_plugins.combining_compressions.{name.capitalize()}Launcher":
            return name
    raise ConfigError(f"hydra/launcher: {target} cannot be planned for; must be of {', '.join(SETTINGS)}")


def changed(launcher: Mapping[str, Any], words: Iterable[str]) -> Settings:
    """The settings of an earlier sweep with some of them changed: `hydra.launcher.timeout_min=600`.

    Raises:
        ConfigError: no such setting, or not such a value.
    """
    from compress.overrides import parse

    name, values = str(launcher["name"]), {key: value for key, value in launcher.items() if key != "name"}
    for word in words:
        short = word.partition("=")[0].removeprefix("hydra.launcher.")
        (override,) = parse([word]) if "=" in word and short in values else (None,)
        if override is None or override.is_sweep_override():
            raise ConfigError(
                f"{word}: not understood; must be hydra.launcher.KEY=VALUE with KEY of {', '.join(values)}"
            )
        values[short] = override.value()
    return settings_of(name, values)
