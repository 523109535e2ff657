"""What Hydra finds of this project: it takes launchers and sweepers from the namespace `hydra_plugins` only.

An installation has a copy of this file, also an editable one; so all that may change is elsewhere.
"""

from __future__ import annotations

from launch import plugins


class GridSweeper(plugins.GridSweeper):
    """`hydra/sweeper=grid`."""


class OptunaSweeper(plugins.OptunaSweeper):
    """`hydra/sweeper=optuna`."""


class LocalLauncher(plugins.LocalLauncher):
    """`hydra/launcher=local`."""


class SlurmLauncher(plugins.SlurmLauncher):
    """`hydra/launcher=slurm`."""


class MethodGroups(plugins.MethodGroups):
    """A group for each compression method."""
