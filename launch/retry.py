"""`python -m launch retry`: run again what failed, was stopped or is missing.

Each as it was launched before, but for what is typed this time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from compress.checked import build
from compress.config.conf_files import conf_folder
from compress.config.overrides import check_words, compositions
from compress.config.resources import ResourcesConfig
from compress.config.schema import Config
from compress.config.words import parse
from compress.errors import ConfigError, nearest, tell
from launch import status
from launch.selection import Selection, agreed, can_be_asked, told
from launch.start import SETTINGS, Group, Settings, launch_all, settings_of
from launch.sweep import Sweep, accepted, all_sweeps

LAUNCHER, RESOURCES = "hydra.launcher.", "resources"
UNTRACKED = "tracking=none"  # what is composed for the resources alone does not take the package wandb
SHORT = {name for kind in SETTINGS.values() for name in kind.__dataclass_fields__}


def retry(runs: Path, words: Sequence[str], selection: Selection | None = None, *, yes: bool = True) -> int:
    """Run again what needs it in a folder of runs, with `hydra.launcher.KEY=VALUE`, `resources.KEY=VALUE` changed.

    Only what is meant; on a terminal it is asked first, but with `yes`.
    """
    sweeps, left_out = sweeps_to_go_on_with(runs)
    changes = Changes(words)
    again = status.to_run_again(runs, sweeps)
    meant = again if not selection else selection.of(runs, again, sweeps)
    ids = {one.run_id for one in meant}
    chosen = {run_id: sweep for run_id, sweep in accepted(sweeps).items() if run_id in ids}
    groups = list(_groups(chosen, changes))
    changes.require_use([sweeps[-1].launcher, *(sweep.launcher for sweep in chosen.values())])
    if not chosen:
        which = "none of the chosen experiments" if selection else "no experiment"
        print(f"nothing to run again: {which} failed, was stopped or is missing")
        return 1 if left_out else 0
    if (
        not yes
        and can_be_asked()
        and not agreed(f"run again {told([one for one in meant if one.run_id in chosen])}", yes=False)
    ):
        return 1
    return max(launch_all(groups), 1 if left_out else 0)


def sweeps_to_go_on_with(runs: Path) -> tuple[list[Sweep], list[str]]:
    """A folder's sweeps, oldest first, and why others are left out, which is told; ConfigError without one."""
    left_out: list[str] = []
    sweeps = all_sweeps(runs, left_out)
    for reason in left_out:
        tell(ConfigError(reason))
    if not sweeps:
        raise ConfigError(f"{runs}: no sweep was started here; python -m compress -m … starts one")
    return sweeps, left_out


def _groups(chosen: Mapping[str, Sweep], changes: Changes) -> list[Group]:
    """Those that were launched alike together; none before what it needs."""
    groups: dict[str, Group] = {}
    for run_id, sweep in sorted(chosen.items(), key=lambda item: bool(item[1].experiments[item[0]].needs)):
        settings = changes.launcher(sweep.launcher)
        config = changes.config(sweep.config(run_id), settings)
        group = groups.setdefault(repr((settings, sweep.directory)), Group([], settings, Path(sweep.directory)))
        group.configs.append(config)
    return list(groups.values())


class Changes:
    """What is typed for a retry; ConfigError for a word that is not understood."""

    def __init__(self, words: Sequence[str]) -> None:
        words = [f"{LAUNCHER}{word}" if word.partition("=")[0] in SHORT else word for word in words]
        for word in words:
            key = word.partition("=")[0].removeprefix("+")
            if "=" not in word or not (key.startswith(LAUNCHER) or key.partition(".")[0] == RESOURCES):
                raise ConfigError(f"{word}: not understood; must be {LAUNCHER}KEY=VALUE or {RESOURCES}.KEY=VALUE")
        self.launchers = [word for word in words if word.removeprefix("+").startswith(LAUNCHER)]
        self.resources = [word for word in words if word not in self.launchers]
        for override in parse(words):
            if override.is_sweep_override():
                raise ConfigError(f"{override.input_line}: several values have no use here; give one")
        check_words([UNTRACKED, *self.resources], conf_folder())

    def require_use(self, launchers: Iterable[Mapping[str, object]]) -> None:
        """Refuse a setting that none of the launchers has."""
        names = sorted({key for launcher in launchers for key in _keys(launcher)})
        for word in self.launchers:
            if (key := _path(word)[0]) not in names:
                raise ConfigError(f"{word}: no such key{nearest(key, names)}; {LAUNCHER[:-1]} has {', '.join(names)}")

    def launcher(self, before: Mapping[str, object]) -> Settings:
        """The settings that a launcher had, with those of the changes that it has."""
        values = {key: value for key, value in before.items() if key != "name"}
        for word in self.launchers:
            if _path(word)[0] in _keys(before):
                values = _changed(values, _path(word), _value(word))
        return settings_of(str(before["name"]), values)

    def config(self, before: Config, settings: Settings) -> Config:
        """An experiment's configuration with other resources, which are no part of its identity; not by force."""
        config = replace(before, force=False)
        values = asdict(config.resources)
        for word in self.resources:
            if word.startswith(f"{RESOURCES}="):
                values = asdict(next(compositions([UNTRACKED, word], conf_folder(), multirun=False)).resources)
                continue
            if (first := getattr(settings, key := _path(word)[0], None)) is not None:
                shown = f"{first:g}" if isinstance(first, float) else first
                raise ConfigError(f"{word}: the sweep's {LAUNCHER}{key}={shown} takes precedence; "
                                  f"give {LAUNCHER}{key}=null too, or another value there")  # fmt: skip
            values = _changed(values, _path(word), _value(word))
        return replace(config, resources=build(ResourcesConfig, values, f"{RESOURCES}."))


def _keys(launcher: Mapping[str, object]) -> Collection[str]:
    """The settings that a launcher has; a sweep of an earlier version lacks those that are new."""
    return SETTINGS[str(launcher["name"])].__dataclass_fields__.keys()


def _path(word: str) -> list[str]:
    """The parts of a key below the group."""
    key = word.partition("=")[0].removeprefix("+")
    return key.removeprefix(LAUNCHER).removeprefix(f"{RESOURCES}.").split(".")


def _value(word: str) -> object:
    from omegaconf import OmegaConf

    (override,) = parse([word])
    value = override.value()
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _changed(values: Mapping[str, object], path: Sequence[str], value: object) -> dict[str, object]:
    """Nested values with one more, or another."""
    first, *rest = path
    if not rest:
        return {**values, first: value}
    below = values.get(first)
    return {**values, first: _changed(below if isinstance(below, Mapping) else {}, rest, value)}
