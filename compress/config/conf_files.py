"""The folders of configuration files, the options in them, and the values of an option."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from compress.config.yaml_check import check, display_path, malformed, read
from compress.errors import ConfigError
from compress.methods import registry


def yaml_values(text: str) -> object:
    """The values of YAML as Hydra reads it."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.create(text))


def conf_folder() -> Path:
    """The configuration files: beside the package in a checkout, inside it when installed from a wheel."""
    here = Path(__file__).resolve().parents[1]
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def conf_folders() -> tuple[Path, ...]:
    """The project's configuration files, and those of other packages' methods."""
    return (conf_folder(), *registry.folders())


def options(*folders: Path) -> dict[str, list[str]]:
    """Every group of configuration folders with its options; those of folders in it as `folder/option`."""
    names = {name.rstrip("/") for folder in folders for name in glob.glob("*/", root_dir=folder)} - {"hydra"}
    return {name: list(dict.fromkeys(option for folder in folders for option in _options(folder / name)))
            for name in sorted(names)}  # fmt: skip


def _options(group: Path) -> list[str]:
    files = (name for name in glob.iglob("**/*.yaml", root_dir=group, recursive=True) if (group / name).is_file())
    return sorted((name.removesuffix(".yaml") for name in files), key=lambda option: (option.count("/"), option))


def option_values(
    folders: Sequence[Path],
    group: str,
    option: str,
    load: Callable[[str], object] = yaml_values,
    home: str = "",
    above: tuple[Path, ...] = (),
) -> dict[str, object]:
    """The values of an option, on top of those of the options that it is based on; refuses what is in no folder.

    Args:
        folders: the first that has the option counts, as for Hydra.
        load: parses YAML; PyYAML takes `2e-5` for a text, OmegaConf for a number.
        home: folder of the group in which it finds what it is based on: for Hydra that of an option which another is
            based on, and the group's own for one that is chosen by name.
        above: files of the options that are based on this one.
    """
    file = next((file for folder in folders if (file := folder / group / f"{option}.yaml").is_file()), None)
    if file is None:
        raise ConfigError(f"{group}={option}: no such option; looked for in {', '.join(map(str, folders))}")
    if file in above:
        raise ConfigError(f"{display_path(file)}: is based on itself")
    data = read(file)
    check(display_path(file), data)
    try:
        loaded = load(data.decode("utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(malformed(display_path(file), data, error)) from error
    content = dict(loaded) if isinstance(loaded, dict) else {}
    inherited: dict[str, object] = {}
    defaults = content.pop("defaults", [])
    for entry in defaults if isinstance(defaults, list) else ():
        if entry != "_self_":
            base = posixpath.join(f"/{group}", home, str(entry).partition("@")[0]).removeprefix(f"/{group}/")
            inherited |= option_values(folders, group, base, load, posixpath.dirname(base), (*above, file))
    return inherited | content
