"""What Hydra runs sweeps with; it finds these classes in the namespace `hydra_plugins`."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(BasicSweeper):
    """Every combination of what is swept, all in one launch: the jobs that were checked before anything started."""

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
        """Run the experiments; ends the program with exit code 1 if any failed, after all have ended."""
        from launch.start import launch_jobs, refusing

        with refusing():
            code = launch_jobs(job_overrides, self.settings, self.hydra_context, self.config)
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
