"""Files of configuration, checked before Hydra reads them: its own messages name neither the file nor the line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult
from omegaconf.errors import OmegaConfBaseException

from compress.config import yaml_check
from compress.config.yaml_check import display_path
from compress.errors import ConfigError, first_line


@contextmanager
def checking_sources(files: list[Path]) -> Iterator[None]:
    """Have Hydra read files of configuration only after `yaml_check.check`, and note which it reads."""

    checked: set[bytes] = set()

    def check(place: str, data: bytes) -> None:
        if data not in checked:
            yaml_check.check(place, data)
            checked.add(data)

    class CheckedFiles(FileConfigSource):
        def load_config(self, config_path: str) -> ConfigResult:
            file = Path(os.path.realpath(Path(self.path) / self._normalize_file_name(config_path)))
            files.append(file)
            check(display_path(file), data := yaml_check.read(file))
            with _named(display_path(file), data):
                return super().load_config(config_path)

    class CheckedPackages(ImportlibResourcesConfigSource):
        def load_config(self, config_path: str) -> ConfigResult:
            file = resources.files(self.path).joinpath(self._normalize_file_name(config_path))
            check(str(file), data := file.read_bytes())
            with _named(str(file), data):
                return super().load_config(config_path)

    types = SourcesRegistry.instance().types
    before = dict(types)
    types |= {"file": CheckedFiles, "pkg": CheckedPackages}
    try:
        yield
    finally:
        types |= before


@contextmanager
def _named(place: str, data: bytes) -> Iterator[None]:
    """Have what is wrong with a file be told with its name."""
    try:
        yield
    except yaml.YAMLError as error:
        raise ConfigError(yaml_check.malformed(place, data, error)) from error
    except (OmegaConfBaseException, ValueError) as error:  # an interpolation, the line `# @package …`
        raise ConfigError(f"{place}{_line_of_error(data, error)}: {first_line(error)}") from error


def _line_of_error(data: bytes, error: Exception) -> str:
    """Where what an error quotes stands in a file."""
    quoted = re.search(r"'(.+)'", first_line(error))
    lines = data.decode("utf-8").splitlines()
    return next((f", line {number}" for number, line in enumerate(lines, 1) if quoted and quoted[1] in line), "")
