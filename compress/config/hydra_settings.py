"""Hydra's own settings: refused where they would be without effect, or move what relative paths are meant from."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from omegaconf import DictConfig, OmegaConf

from compress.config.conf_files import conf_folder
from compress.errors import ConfigError


def check_settings(master: DictConfig, multirun: bool) -> None:
    """Refuse settings of Hydra that would be silently without effect, or move where relative paths are meant from."""
    fixed = yaml.safe_load((conf_folder() / "hydra" / "plain.yaml").read_text(encoding="utf-8"))
    given = OmegaConf.to_container(master.hydra, resolve=False)
    assert isinstance(given, dict)
    for key in ("run.dir", "sweep.dir", "sweep.subdir", "output_subdir"):
        if (value := _at(given, key)) != _at(fixed, key):
            raise ConfigError(f"hydra.{key}={value}: cannot be changed; paths.runs=DIR says where everything goes")
    if given["job"]["chdir"]:
        raise ConfigError(
            "hydra.job.chdir=true: relative paths are meant from where the command is typed; leave it out"
        )
    if OmegaConf.select(master, "hydra.sweeper.max_batch_size") is not None:
        raise ConfigError(
            "hydra.sweeper.max_batch_size: a sweep is launched as a whole; hydra.launcher.per_device says "
            "how many experiments run at once"
        )
    if multirun and (given["job"]["env_set"] or given["job"]["env_copy"]):
        raise ConfigError("hydra.job.env_set, env_copy: have no effect in a sweep; set variables before the command")


def _at(tree: object, key: str) -> object:
    """The value of a dotted key."""
    for name in key.split("."):
        assert isinstance(tree, Mapping)
        tree = tree[name]
    return tree
