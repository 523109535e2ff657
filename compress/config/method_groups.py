"""The groups of the methods, as Hydra finds them: off by default, and in the folders that their packages bring."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore

from compress.methods import registry

NAME = "methods"  # in the defaults list of config.yaml


def add(search_path: ConfigSearchPath) -> None:
    """Have Hydra know every method's group, whoever composes: `methods` stands for all of them."""
    defaults = [{f"/{group}": registry.OFF} for group in registry.registry()]
    ConfigStore.instance().store(name=NAME, node={"defaults": defaults}, provider=NAME)
    for folder in registry.folders():
        search_path.append(NAME, f"file://{folder}")
