"""What Hydra runs sweeps with; it finds these classes in the namespace `hydra_plugins`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from compress.errors import ConfigError


class GridSweeper(BasicSweeper):
    """Every combination of what is swept, all in one launch: the jobs that were checked before anything started."""

    def __init__(
        self, max_batch_size: int | None, params: dict[str, str] | None = None, together: object = None
    ) -> None:
        super().__init__(max_batch_size=max_batch_size, params=params)

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Launch the jobs that `hydra.sweeper.params` and the command line ask for."""
        from compress.config.overrides import sweep_jobs
        from launch.start import refusing

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        with refusing():
            jobs = sweep_jobs(arguments, self.config.hydra, self.hydra_context.config_loader)
        return self.launcher.launch(jobs, initial_job_idx=0)


class OptunaSweeper(Sweeper):
    """A search over what is swept: each trial is an experiment, and the launcher's objective what is looked for."""

    def __init__(self, **settings: object) -> None:
        from compress.checked import build
        from launch.search import SearchSettings
        from launch.start import plain_settings, refusing

        with refusing():
            self.settings = build(SearchSettings, plain_settings(settings), "hydra.sweeper.")

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, before anything is searched."""
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search; ends the program with exit code 1 if a trial failed, after all have ended."""
        from compress.config.groups import Groups
        from compress.config.overrides import described
        from compress.config.words import parse
        from launch.search import search
        from launch.start import refusing

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        hydra, launcher = self.config.hydra, self.launcher
        with refusing():
            groups = Groups(self.hydra_context.config_loader, hydra.job.config_name, hydra.overrides.hydra)
            words = described(self.settings.params) + parse(arguments)
            objective = launcher.settings.objective if isinstance(launcher, SweepLauncher) else "the objective"
            code = search(words, groups.options, self.settings, objective, launcher.launch, Path(hydra.sweep.dir))
        if code:
            raise SystemExit(code)


class SweepLauncher(Launcher):
    """Plans the experiments of a sweep and has them run; the settings are checked when it is made."""

    name = ""

    def __init__(self, **settings: object) -> None:
        from launch.start import refusing, settings_of

        with refusing():
            self.settings = settings_of(self.name, settings)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the experiments, and answer a sweeper that optimises with the objective of each.

        Of a grid that has no use for answers, the program ends with exit code 1 if any failed, after all have ended.
        """
        from compress.config.overrides import GRIDS
        from launch.start import launch_jobs, refusing

        optimises = self.config.hydra.sweeper._target_ not in GRIDS
        with refusing():
            if optimises and not self.settings.wait:
                raise ConfigError("hydra.launcher.wait=false: a sweeper that optimises waits for results; leave it out")
            code, configs = launch_jobs(job_overrides, self.settings, self.hydra_context, self.config)
            if optimises:
                from launch.objective import answers

                return answers(job_overrides, configs, self.settings.objective)
        if code:
            raise SystemExit(code)
        return []


class LocalLauncher(SweepLauncher):
    """`hydra/launcher=local`."""

    name = "local"


class SlurmLauncher(SweepLauncher):
    """`hydra/launcher=slurm`."""

    name = "slurm"


class MethodGroups(SearchPathPlugin):
    """The groups of the compression methods, those of other packages too."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add their folders, and what the defaults list of config.yaml calls `methods`."""
        from compress.config.groups import add_methods
        from launch.start import refusing

        with refusing():
            add_methods(search_path)
