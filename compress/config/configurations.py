"""Many configurations from few compositions: what jobs have in common is composed, resolved, built and checked once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from omegaconf.errors import OmegaConfBaseException

from compress.config.conf_files import conf_folder
from compress.config.memo import Memo
from compress.config.schema import Config, check_paths, from_hydra, from_mapping
from compress.config.sections import Compose, Section
from compress.config.value_axes import compose_all
from compress.tracking import tracking_options


def configurations(jobs: Sequence[Sequence[str]], compose: Compose, folders: Sequence[Path] = ()) -> Iterator[Config]:
    """The checked configuration of every job, in order; each the very one that `from_hydra` makes of its composition.

    What jobs have in common is composed, resolved, built and checked once, so hundreds take hardly longer than a few.

    Args:
        jobs: the overrides of each, as Hydra's sweepers give them to launchers.
        compose: takes most of the time, and is called as seldom as the configuration's files allow.
        folders: all folders of configuration files; by default the project's own. Teachers are looked up there.

    Raises:
        ConfigError: at the first that is wrong.
    """
    memo, places = Memo(), tuple(folders) or (conf_folder(),)
    for sections in compose_all(jobs, compose, places):
        yield _configuration(sections, places, memo)


def _read_by(name: str, sections: Mapping[str, Section]) -> Iterator[Section]:
    """The section of that name and all that its interpolations read, directly or not, in the order of the sections."""
    needed: set[str] = set()
    left = [name]
    while left:
        key = left.pop()
        if key in sections and key not in needed:
            needed.add(key)
            reads = sections[key].reads
            left += sections if reads is None else reads
    return (section for key, section in sections.items() if key in needed)


def _resolved(*sections: Section) -> dict[str, object]:
    from omegaconf import OmegaConf

    tree = OmegaConf.create({section.name: section.values for section in sections})
    return cast(dict[str, object], OmegaConf.to_container(tree, resolve=True, throw_on_missing=True))


def _configuration(sections: Mapping[str, Section], folders: Sequence[Path], memo: Memo) -> Config:
    from omegaconf import OmegaConf

    try:
        values = {
            name: section.values if section.final else memo(_resolved, *_read_by(name, sections))[name]
            for name, section in sections.items()
        }
    except OmegaConfBaseException:  # to be told as it is for a single experiment
        return from_hydra(OmegaConf.create({name: section.values for name, section in sections.items()}), folders)
    config = from_mapping(values, folders, memo)
    memo(check_paths, config.paths)
    memo(tracking_options.check, config.tracking)
    return config
