"""Check what was written on the command line: names first, then the values of every experiment it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override, ValueType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from compress.config import arguments as flags
from compress.config.arguments import Arguments
from compress.config.composing import Composer, opened, tree
from compress.config.conf_files import conf_folder
from compress.config.configurations import configurations
from compress.config.groups import Groups
from compress.config.schema import GROUPS, Config, flat
from compress.config.words import Options, check_name, jobs, parse, quoted, swept, takes_text
from compress.config.yaml_check import display_path
from compress.errors import ConfigError, LacksWordNet

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # runs what ours does, but for glob
GRIDS = (BASIC, "hydra_plugins.combining_compressions.GridSweeper")  # sweepers that run the product of all axes


def check_words(words: Sequence[str], conf: Path) -> None:
    """Refuse the command line's first mistake, before anything heavy sees it."""
    arguments = flags.read(words)
    with opened(arguments, conf) as composer:
        check(read_request(composer, arguments))


def read_sweep(words: Sequence[str], conf: Path) -> tuple[list[Config], dict[str, object]]:
    """The checked configurations of the sweep that a command line asks for, and the settings of its launcher."""
    arguments = flags.read(["--multirun", *words])
    with opened(arguments, conf) as composer:
        sweep = read_request(composer, arguments)
        if not sweep.is_grid:
            raise ConfigError(f"hydra.sweeper._target_={sweep.sweeper}: only a grid can be planned")
        with composer.config_errors():
            launcher = OmegaConf.to_container(sweep.master.hydra.launcher, resolve=True)
        assert isinstance(launcher, dict)
        return list(sweep.configs()), {str(key): value for key, value in launcher.items()}


def read_one(words: Sequence[str], conf: Path) -> Config:
    """The checked configuration of the one experiment that words ask for; of a described sweep the plain one."""
    arguments = flags.read(words)
    if useless := [name for name in ("multirun", "cfg", "info", "hydra_help", "version") if getattr(arguments, name)]:
        raise ConfigError(f"--{useless[0].replace('_', '-')}: has no use here; leave it out")
    arguments = replace(arguments, run=True)
    with opened(arguments, conf) as composer:
        (config,) = read_request(composer, arguments).configs()
    return config


def compositions(words: Sequence[str], conf: Path, *, multirun: bool) -> Iterator[Config]:
    """The checked configuration of every experiment that overrides ask for."""
    arguments = Arguments(overrides=tuple(words), multirun=multirun)
    with opened(arguments, conf) as composer:
        yield from read_request(composer, arguments, names=False).configs()


@dataclass(frozen=True, eq=False)
class Request:
    """What a command line asks for."""

    arguments: Arguments
    composer: Composer
    overrides: list[Override]  # in order, those of a sweep that a file describes (`hydra.sweeper.params`) first
    master: DictConfig  # what Hydra composes of all that is not swept
    sweeper: str  # the class of Hydra's
    jobs: list[tuple[str, ...]]  # the overrides of each experiment; none if only the sweeper knows
    multirun: bool  # whether it is a sweep

    @property
    def is_grid(self) -> bool:
        """Whether the sweeper, if it is a sweep, runs just these jobs."""
        return self.sweeper in GRIDS

    @property
    def folders(self) -> list[Path]:
        """The folders of configuration, all of them."""
        sources = self.master.hydra.runtime.config_sources
        return [Path(source.path) for source in sources if source.schema == "file"]

    @property
    def words(self) -> list[str]:
        """The overrides for Hydra to run, in its mode and by our sweeper where that does the same."""
        mode = [f"hydra.mode={'MULTIRUN' if self.multirun else 'RUN'}"]
        grid = ["hydra/sweeper=grid"] if self.sweeper == BASIC else []
        return [*self.arguments.overrides, *mode, *grid]

    def configs(self) -> Iterator[Config]:
        """The checked configuration of every experiment."""
        try:
            yield from configurations(self.jobs, self._composed, self.folders)
        except LacksWordNet:  # which `launch prepare` may mend
            raise
        except ConfigError as error:
            raise ConfigError(f"{error}{self._hint(str(error))}") from error
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error

    def _composed(self, words: Sequence[str]) -> dict[str, object]:
        composed = not self.multirun and [tuple(words)] == self.jobs
        return tree(self.master if composed else self.composer.compose(words))

    def _hint(self, mistake: str) -> str:
        """How to write a value that was read as no text, or where the file stands that has a wrong one."""
        key = re.split("[=:]", mistake)[0]
        files = [file for file in self.composer.folders.read if file.parent.name == key]  # of the group
        if files and f"{key}: no such key" in mistake:
            return f" ({display_path(files[-1])} sets it: begin that with # @package _global_ for keys of all groups)"
        override = next((override for override in reversed(self.overrides) if override.key_or_group == key), None)
        if override is None:
            place = self.composer.folders.written(key)
            return f" ({place})" if place else ""
        is_value = override.value_type == ValueType.ELEMENT and override.value() is not None
        if "must be a valid string" not in mistake or not is_value:
            return ""
        return f"; as a text it is written {quoted(override.get_key_element(), override.get_value_string())}"


def check(request: Request) -> None:
    """Refuse the first wrong value of all experiments that a command line asks for; another sweeper checks its own."""
    if request.is_grid or not request.multirun:
        for _ in request.configs():
            pass


def read_request(composer: Composer, arguments: Arguments, *, names: bool = True) -> Request:
    """What a command line asks for, every name looked up; else composing tells unknown ones, less clearly."""
    overrides = parse(arguments.overrides)
    _add_search_paths(overrides, composer)
    composer.folders.check_primary(composer.name)
    options = composer.groups.options
    for override in overrides if names else ():
        check_name(override, composer)
    _refuse_two_files(overrides, options)
    master = _master(overrides, composer, arguments, names)
    with composer.config_errors():  # of interpolations
        multirun = not arguments.run and (arguments.multirun or master.hydra.mode == RunMode.MULTIRUN)
        _check_settings(master, multirun)
        if multirun:
            composer.check_plugins(master)
        sweeper = str(OmegaConf.select(master, "hydra.sweeper._target_"))
        params = OmegaConf.select(master, "hydra.sweeper.params")
    if multirun and sweeper not in GRIDS:  # it knows what its sweeps are
        return Request(arguments, composer, overrides, master, sweeper, [], multirun)
    of_file = described(params) if multirun else []
    for override in of_file if names else ():
        check_name(override, composer)
    if not multirun and (sweeping := next((every for every in overrides if every.is_sweep_override()), None)):
        key, count = sweeping.key_or_group, len(swept(sweeping, options))
        simple = sweeping.value_type == ValueType.SIMPLE_CHOICE_SWEEP and takes_text(key) and not options(key)
        text = f"; if it is one text, write {quoted(key, sweeping.get_value_string())}" if simple else ""
        raise ConfigError(f"{key}: {count} values are a sweep; add -m to run each of them{text}")
    overrides = of_file + overrides
    pairs = together(OmegaConf.select(master, "hydra.sweeper.together")) if multirun else []
    return Request(arguments, composer, overrides, master, sweeper, jobs(overrides, options, pairs), multirun)


def _check_settings(master: DictConfig, multirun: bool) -> None:
    """Refuse settings of Hydra that would be silently without effect, or move where relative paths are meant from."""
    given = OmegaConf.to_container(master.hydra, resolve=False)
    assert isinstance(given, dict)
    settings = flat({str(key): value for key, value in given.items()})
    fixed = yaml.safe_load((conf_folder() / "hydra" / "plain.yaml").read_text(encoding="utf-8"))
    for key, value in flat(fixed).items():
        if settings[key] != value:
            cause = "cannot be changed; paths.runs=DIR says where everything goes"
            raise ConfigError(f"hydra.{key}={settings[key]}: {cause}")
    if settings["job.chdir"]:
        cause = "relative paths are meant from where the command is typed; leave it out"
        raise ConfigError(f"hydra.job.chdir=true: {cause}")
    if OmegaConf.select(master, "hydra.sweeper.max_batch_size") is not None:
        cause = "a sweep is launched as a whole; hydra.launcher.per_device says how many experiments run at once"
        raise ConfigError(f"hydra.sweeper.max_batch_size: {cause}")
    if multirun and (given["job"]["env_set"] or given["job"]["env_copy"]):
        raise ConfigError("hydra.job.env_set, env_copy: have no effect in a sweep; set variables before the command")


def _master(overrides: Sequence[Override], composer: Composer, arguments: Arguments, names: bool) -> DictConfig:
    """What Hydra composes of all that is not swept, checked for groups and files that it would pass over."""
    sweeping = arguments.multirun or any(override.is_sweep_override() for override in overrides)
    master = composer.compose(arguments.overrides, RunMode.MULTIRUN if sweeping else RunMode.RUN)
    deleted = [override.key_or_group for override in overrides if override.is_delete()]
    if missing := [group for group in GROUPS if group not in master and group not in deleted]:
        raise ConfigError(f"--config-name {composer.name}: has no {', '.join(missing)}; {composer.basing}")
    choices = master.hydra.runtime.choices
    for group, option in choices.items() if names else ():
        composer.folders.check_hidden(f"{group}/{option}")
    composer.folders.check_choices(choices, composer.name)
    return master


def _add_search_paths(overrides: Sequence[Override], composer: Composer) -> None:
    """Have the composer look into the folders of `hydra.searchpath`."""
    searching = [override for override in overrides if override.key_or_group == "hydra.searchpath"]
    for override in searching:
        word = str(override.input_line)
        if override.get_key_element() != "hydra.searchpath" or override.is_sweep_override() or len(searching) > 1:
            raise ConfigError(f"{word}: write all places in one list, hydra.searchpath=[file://DIR,file://OTHER]")
        composer.search(word, override.value())


def _refuse_two_files(overrides: Sequence[Override], options: Options) -> None:
    """Hydra adds one option of a group."""
    added: dict[str, str | None] = {}
    for override in overrides:
        key, word = override.get_key_element(), override.input_line
        if override.is_add() and options(override.key_or_group) and added.setdefault(key, word) != word:
            raise ConfigError(f"{added[key]} {word}: one of them at a time; a file of your own can be based on both")


def sweep_jobs(words: Iterable[str], hydra: DictConfig, loader: ConfigLoader) -> list[tuple[str, ...]]:
    """The overrides of every experiment of a sweep that a file (`hydra.sweeper.params`) and words describe together."""
    groups = Groups(loader, hydra.job.config_name, hydra.overrides.hydra)
    pairs = together(hydra.sweeper.get("together"))
    return jobs(described(hydra.sweeper.params) + parse(words), groups.options, pairs)


def together(keys: object) -> list[list[str]]:
    """The keys that `hydra.sweeper.together` names: one list of them, or several."""
    lists = [keys] if isinstance(keys, Sequence) and keys and isinstance(keys[0], str) else keys or []
    if not isinstance(lists, Sequence) or isinstance(lists, str) or not all(map(_are_names, lists)):
        raise ConfigError(f"hydra.sweeper.together={keys}: must be a list of swept keys, [model,train.learning_rate]")
    return [list(names) for names in lists]


def _are_names(names: object) -> bool:
    if isinstance(names, str) or not isinstance(names, Sequence) or len(names) < 2:
        return False
    return all(isinstance(name, str) for name in names)


def described(params: object) -> list[Override]:
    """The overrides that `hydra.sweeper.params` stands for."""
    if not isinstance(params, Mapping | None):
        raise ConfigError(f"hydra.sweeper.params={params}: must be keys with values, such as seed: 0,1")
    for key, value in (params or {}).items():
        if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
            raise ConfigError(f"hydra.sweeper.params.{key}={value}: must be a text, such as 0,1; keys are dotted")
    return parse(f"{key}={'null' if value is None else value}" for key, value in (params or {}).items())
