"""The groups of options in all folders of configuration, as Hydra sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType

from compress.methods import registry

METHODS = "methods"  # in the defaults list of config.yaml


def add_methods(search_path: ConfigSearchPath) -> None:
    """Have Hydra know every method's group, off by default, whoever composes: `methods` stands for all of them."""
    defaults = [{f"/{group}": registry.OFF} for group in registry.registry()]
    ConfigStore.instance().store(name=METHODS, node={"defaults": defaults}, provider=METHODS)
    for folder in registry.folders():
        search_path.append(METHODS, f"file://{folder}")


class Groups:
    """The groups of options that a primary configuration finds, with an override of `hydra.searchpath` among others."""

    def __init__(self, loader: ConfigLoader, name: str, overrides: Sequence[str]) -> None:
        overrides = [word for word in overrides if word.startswith("hydra.searchpath=")]
        _, self._repository = cast(ConfigLoaderImpl, loader)._parse_overrides_and_create_caching_repo(name, overrides)
        self._options: dict[str, list[str]] = {}
        self.names = sorted({*self._repository.get_group_options("", ObjectType.GROUP)} - {"hydra"})  # of the groups

    def options(self, group: str) -> list[str]:
        """The options of a group, those in folders of their own as `folder/option`; none: no group."""
        if group not in self._options:
            self._options[group] = sorted(self._list(group))
        return self._options[group]

    def _list(self, group: str, inside: str = "") -> Iterator[str]:
        place = f"{group}/{inside}".rstrip("/")
        for option in self._repository.get_group_options(place, ObjectType.CONFIG):
            yield f"{inside}{option}"
        for folder in self._repository.get_group_options(place, ObjectType.GROUP):
            yield from self._list(group, f"{inside}{folder}/")
