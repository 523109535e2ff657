"""Check what was written on the command line: names first, then the values of every experiment it asks for."""

from __future__ import annotations

import itertools
import math
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString, ValueType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from compress.config import arguments as flags
from compress.config import quoting
from compress.config.arguments import Arguments
from compress.config.composing import Composer, Groups, opened, tree
from compress.config.option_files import shown
from compress.config.schema import GROUPS, Config, conf_folder, groups, keys, keys_of, type_of
from compress.config.sections import configurations as configurations
from compress.errors import ConfigError, nearest

Options = Callable[[str], Sequence[str]]  # a group -> its options; none: no group

MOST = 100_000  # experiments in one sweep
HYDRAS = sorted(field.name for field in fields(HydraConf))  # the keys below `hydra`
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # runs what ours does, but for glob
GRIDS = (BASIC, "hydra_plugins.combining_compressions.GridSweeper")  # sweepers that run the product of all axes


def check_words(words: Sequence[str], conf: Path) -> None:
    """Refuse the command line's first mistake, before anything heavy sees it.

    Raises:
        ConfigError: naming the key, the value, what is allowed and the nearest name.
    """
    arguments = flags.read(words)
    with opened(arguments, conf) as composer:
        check(request(composer, arguments))


def read_sweep(words: Sequence[str], conf: Path) -> tuple[list[Config], dict[str, object]]:
    """The checked configurations of the sweep that a command line asks for, and the settings of its launcher.

    Raises:
        ConfigError: as `check_words`.
    """
    arguments = flags.read(["--multirun", *words])
    with opened(arguments, conf) as composer:
        asked = request(composer, arguments)
        if not asked.is_grid:
            raise ConfigError(f"hydra.sweeper._target_={asked.sweeper}: only a grid can be planned")
        with composer.told():
            launcher = OmegaConf.to_container(asked.master.hydra.launcher, resolve=True)
        return list(asked.configs()), cast(dict[str, object], launcher)


def read_one(words: Sequence[str], conf: Path) -> Config:
    """The checked configuration of the one experiment that a command line asks for, of a described sweep the plain one.

    Raises:
        ConfigError: as `check_words`.
    """
    arguments = flags.read(words)
    if asked := [name for name in ("multirun", "cfg", "info", "hydra_help", "version") if getattr(arguments, name)]:
        raise ConfigError(f"--{asked[0].replace('_', '-')}: has no use here; leave it out")
    arguments = replace(arguments, run=True)
    with opened(arguments, conf) as composer:
        (config,) = request(composer, arguments).configs()
    return config


def compositions(words: Sequence[str], conf: Path, *, multirun: bool, name: str = "config") -> Iterator[Config]:
    """The checked configuration of every experiment that overrides ask for.

    Raises:
        ConfigError: at the first that is wrong.
    """
    arguments = Arguments(overrides=tuple(words), multirun=multirun, config_name=name)
    with opened(arguments, conf) as composer:
        yield from request(composer, arguments, names=False).configs()


@dataclass(frozen=True, eq=False)
class Request:
    """What a command line asks for.

    Attributes:
        overrides: in order, those of a sweep that a file describes (`hydra.sweeper.params`) first.
        master: what Hydra composes of all that is not swept.
        sweeper: the class of Hydra's sweeper.
        jobs: the overrides of each experiment; none if only the sweeper knows.
        multirun: whether it is a sweep.
    """

    arguments: Arguments
    composer: Composer
    overrides: list[Override]
    master: DictConfig
    sweeper: str
    jobs: list[tuple[str, ...]]
    multirun: bool

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
        """The checked configuration of every experiment.

        Raises:
            ConfigError: at the first that is wrong.
        """
        try:
            yield from configurations(self.jobs, self._composed, self.folders)
        except ConfigError as error:
            raise ConfigError(f"{error}{self._hint(str(error))}") from error
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error

    def _composed(self, words: Sequence[str]) -> dict[str, object]:
        known = not self.multirun and [tuple(words)] == self.jobs
        return tree(self.master if known else self.composer.compose(words))

    def _hint(self, told: str) -> str:
        """How to write a value that was read as no text, or where the file stands that has a wrong one."""
        key = re.split("[=:]", told)[0]
        if f"{key}: no such key" in told and (file := self.composer.folders.read_of(key)):
            return f" ({shown(file)} sets it: begin that with # @package _global_ for keys of all groups)"
        given = next((found for found in reversed(self.overrides) if found.key_or_group == key), None)
        if given is None:
            place = self.composer.folders.written(key)
            return f" ({place})" if place else ""
        if "must be a valid string" not in told or given.value_type != ValueType.ELEMENT or given.value() is None:
            return ""
        return f"; as a text it is written {quoting.word(given.get_key_element(), given.get_value_string())}"


def check(asked: Request) -> None:
    """Refuse the first wrong value of all experiments that a command line asks for; another sweeper checks its own."""
    if asked.is_grid or not asked.multirun:
        for _ in asked.configs():
            pass


def request(composer: Composer, arguments: Arguments, *, names: bool = True) -> Request:
    """What a command line asks for, every name in it known.

    Args:
        names: whether to look them up; composing and building tell unknown ones too, less clearly.

    Raises:
        ConfigError: naming the key, the value, what is allowed and the nearest name.
    """
    overrides = parse(arguments.overrides)
    _look_further(overrides, composer)
    composer.folders.check_primary(composer.name)
    options = composer.groups.options
    for override in overrides if names else ():
        check_name(override, composer)
    _refuse_two_files(overrides, options)
    sweeping = arguments.multirun or any(override.is_sweep_override() for override in overrides)
    master = composer.compose(arguments.overrides, RunMode.MULTIRUN if sweeping else RunMode.RUN)
    deleted = [override.key_or_group for override in overrides if override.is_delete()]
    _check_groups([group for group in GROUPS if group not in master and group not in deleted], composer)
    _check_files(master.hydra.runtime.choices, composer, names)
    with composer.told():  # of interpolations
        multirun = not arguments.run and (arguments.multirun or master.hydra.mode == RunMode.MULTIRUN)
        check_settings(master, multirun)
        if multirun:
            composer.check_plugins(master)
        sweeper = str(OmegaConf.select(master, "hydra.sweeper._target_"))
        params = OmegaConf.select(master, "hydra.sweeper.params")
    if multirun and sweeper not in GRIDS:  # it knows what its sweeps are
        return Request(arguments, composer, overrides, master, sweeper, [], multirun)
    described = _described(params) if multirun else []
    for override in described if names else ():
        check_name(override, composer)
    for override in overrides if not multirun else ():
        _refuse_sweep(override, options)
    overrides = described + overrides
    return Request(arguments, composer, overrides, master, sweeper, jobs(overrides, options), multirun)


def _check_groups(missing: Sequence[str], composer: Composer) -> None:
    """Refuse a primary configuration that lacks groups."""
    if missing:
        raise ConfigError(f"--config-name {composer.name}: has no {', '.join(missing)}; {composer.basing}")


def _check_files(choices: Mapping[str, object], composer: Composer, names: bool) -> None:
    """Refuse files that Hydra does not heed."""
    for group, option in choices.items() if names else ():
        composer.folders.check_hidden(f"{group}/{option}")
    composer.folders.check_choices(choices, composer.name)


# --- words ------------------------------------------------------------------------------------------------------------


def parse(words: Iterable[str]) -> list[Override]:
    """Hydra's reading of the overrides.

    Raises:
        ConfigError: at a word that it does not understand.
    """
    return [_parsed(word) for word in words]


def _parsed(word: str) -> Override:
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
    except RecursionError as error:
        raise ConfigError(f"{word}: nested too deeply") from error
    except (HydraException, ValueError) as error:  # of integers with thousands of digits
        raise ConfigError(_not_understood(word, str(error))) from error
    if not override.key_or_group:
        raise ConfigError(_not_understood(word, ""))
    text = override._value
    if isinstance(text, str) and override.value_type == ValueType.ELEMENT and text != override.get_value_string():
        _check_blanks(override)
    return override


def _check_blanks(override: Override) -> None:
    key, written = override.get_key_element(), override.get_value_string()
    if written != written.strip():
        raise ConfigError(
            f"{key}={written}: begins or ends with a blank, which is not read; leave it out, or write "
            f"{quoting.word(key, written)}"
        )


def _not_understood(word: str, error: str) -> str:
    """Why a word is no override, and how to write what may be meant."""
    key, equals, text = word.partition("=")
    told = f"{word if word.strip() else repr(word)}: not understood as key=value"
    if equals and not text.isprintable():
        return f"{told}; its value has line breaks or other control characters, which are not possible"
    why = re.search(r"while evaluating '.*': (.*)", error)
    because = f" ({why[1]})" if why else ""
    if not equals or not re.fullmatch(r"[A-Za-z_][\w./]*", key := key.lstrip("+~"), re.ASCII) or not _takes_text(key):
        return f"{told}{because}; write for example train.epochs=4"
    return f"{told}{because}; if the value is just this text, write {quoting.word(key, text)}"


def _takes_text(key: str) -> bool:
    """Whether a key may have a text for its value, or is a group, and has the name of a file."""
    hint = type_of(key)
    is_group = "." not in key and (hint is None or key in groups())
    return str in (hint, *typing.get_args(hint)) or is_group or key.startswith("hydra.")


def _look_further(overrides: Sequence[Override], composer: Composer) -> None:
    """Have the composer look into the folders of `hydra.searchpath`."""
    found = [override for override in overrides if override.key_or_group == "hydra.searchpath"]
    for override in found:
        word = str(override.input_line)
        if override.get_key_element() != "hydra.searchpath" or override.is_sweep_override() or len(found) > 1:
            raise ConfigError(f"{word}: write all places in one list, hydra.searchpath=[file://DIR,file://OTHER]")
        composer.search(word, override.value())


def _refuse_two_files(overrides: Sequence[Override], options: Options) -> None:
    """Hydra adds one option of a group."""
    added: dict[str, object] = {}
    for override in overrides:
        key, word = override.get_key_element(), override.input_line
        if override.is_add() and options(override.key_or_group) and added.setdefault(key, word) != word:
            raise ConfigError(f"{added[key]} {word}: one of them at a time; a file of your own can be based on both")


def check_name(override: Override, composer: Composer) -> None:
    """Refuse an unknown key, group or option of a group, and what cannot be swept."""
    key = override.key_or_group
    if override.is_sweep_override() and key.split(".")[0].split("/")[0] == "hydra":
        raise ConfigError(f"{override.input_line}: Hydra's settings are those of the whole sweep; give one value")
    if override.is_sweep_override() and override.is_delete():
        raise ConfigError(f"{override.input_line}: what is taken away cannot be swept; leave the values out")
    if (folder := key.partition("/"))[0] in groups() and folder[1]:
        raise ConfigError(f"{override.input_line}: no such key; options in folders are {folder[0]}={folder[2]}/OPTION")
    if key != "hydra" and (options := composer.groups.options(key)):
        for value in () if override.is_delete() else values(override, composer.groups.options):
            _check_option(key, value, options)
            composer.folders.check_hidden(f"{key}/{value}")
    elif not (key.split(".")[1] in HYDRAS if key.startswith("hydra.") else _is_key(key, override)):
        raise ConfigError(_no_such_key(override, composer))


def _check_option(group: str, value: object, options: Sequence[str]) -> None:
    if value not in options and not isinstance(value, dict):  # a mapping gives values
        given = "null" if value is None else str(value)
        alike = nearest(given.removesuffix(".yaml"), options)
        raise ConfigError(f"{group}={given}: no such option{alike}; must be of {', '.join(options)}")


def _no_such_key(override: Override, composer: Composer) -> str:
    key = override.key_or_group
    written = str(override.input_line).lstrip("+~")
    group = key.split(".")[0].split("/")[0]
    if key.startswith("hydra."):
        return f"{written}: no such key{nearest(key.split('.')[1], HYDRAS)}; hydra has {', '.join(HYDRAS)}"
    if group in groups():
        allowed = f"{group} has {', '.join(keys_of(group))}"
    else:
        plain = (name for name in keys() if "." not in name)
        allowed = f"there are {', '.join(sorted({*composer.groups.names, *groups(), *plain}))}"
    return f"{written}: no such key{nearest(key, [*keys(), *composer.groups.names])}; {allowed}"


def _is_key(key: str, override: Override) -> bool:
    """Whether there is such a key, or a mapping that may have one more: `resources.timeout_min.tiny`."""
    whole, _, inner = key.rpartition(".")
    hint = str(type_of(whole)) if "." in whole else ""
    is_mapping = key in groups() and override.value_type == ValueType.ELEMENT and isinstance(override.value(), dict)
    return key in keys() or is_mapping or (bool(inner) and "dict[" in hint)


def check_settings(master: DictConfig, multirun: bool) -> None:
    """Refuse settings of Hydra that would be silently without effect, or move where relative paths are meant from."""
    fixed = yaml.safe_load((conf_folder() / "hydra" / "plain.yaml").read_text(encoding="utf-8"))
    given = cast(dict[str, object], OmegaConf.to_container(master.hydra, resolve=False))
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
    for name in key.split("."):
        tree = tree[name]
    return tree


# --- sweeps -----------------------------------------------------------------------------------------------------------


def jobs(overrides: Sequence[Override], options: Options) -> list[tuple[str, ...]]:
    """The overrides of every experiment of a sweep: the product of its axes.

    Raises:
        ConfigError: an axis has no value, or there are too many.
    """
    found = axes(overrides, options)
    if (count := math.prod(map(len, found))) > MOST:
        raise ConfigError(f"{count} experiments in one sweep; at most {MOST} are possible")
    return list(itertools.product(*found))


def axes(overrides: Sequence[Override], options: Options) -> list[list[str]]:
    """Every override as the list of the single overrides that it stands for.

    Of a key that is given repeatedly, once as a sweep at least, the last counts; without a sweep Hydra takes all.
    """
    found = []
    for place, override in enumerate(overrides):
        later = [other for other in overrides[place + 1 :] if _axis(other) == _axis(override)]
        if not later or not any(other.is_sweep_override() for other in (override, *later)):
            found.append(_single(override, options))
    return found


def _axis(override: Override) -> str:
    return override.get_key_element().lstrip("+")


def _single(override: Override, options: Options) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key = override.get_key_element()
    return [f"{key}={Override._get_value_element_as_str(value)}" for value in _swept(override, options)]


def values(override: Override, options: Options) -> list[object]:
    """What an override may set its key to: several values if it sweeps."""
    if override.is_sweep_override():
        return [Override._convert_value(value) for value in _swept(override, options)]
    return [override.value()]


def _swept(override: Override, options: Options) -> list[object]:
    word = override.input_line
    if override.value_type == ValueType.INTERVAL_SWEEP:
        raise ConfigError(f"{word}: only optimising sweepers take an interval; give values: choice(…), range(…)")
    value: object = override._value
    if isinstance(value, Glob):
        found: list[object] = _matching(override, value, options)
    else:
        try:
            found = list(itertools.islice(override.sweep_iterator(), MOST + 1))
        except (HydraException, ValueError, ArithmeticError) as error:
            raise ConfigError(f"{word}: {error}") from error
    if not found or len(found) > MOST:
        count = f"more than {MOST} values" if found else "no value at all"
        raise ConfigError(f"{word}: has {count}")
    return found


def _matching(override: Override, pattern: Glob, options: Options) -> list[str | QuotedString]:
    key, word = override.key_or_group, override.input_line
    there = list(options(key))
    if not there:
        raise ConfigError(f"{word}: glob is for options of a group; {key} is none")
    if not (found := pattern.filter(there)):
        raise ConfigError(f"{word}: matches no option; there are {', '.join(there)}")
    return [name if re.fullmatch(r"[\w./-]+", name, re.ASCII) else QuotedString(name, Quote.double) for name in found]


def _refuse_sweep(override: Override, options: Options) -> None:
    """Without -m a sweep is a mistake."""
    if override.is_sweep_override():
        key, count = override.key_or_group, len(_swept(override, options))
        simple = override.value_type == ValueType.SIMPLE_CHOICE_SWEEP and _takes_text(key) and not options(key)
        text = f"; if it is one text, write {quoting.word(key, override.get_value_string())}" if simple else ""
        raise ConfigError(f"{key}: {count} values are a sweep; add -m to run each of them{text}")


def sweep_jobs(words: Iterable[str], hydra: DictConfig, loader: ConfigLoader) -> list[tuple[str, ...]]:
    """The overrides of every experiment of a sweep that a file and a command line describe together.

    Args:
        words: of the command line, without those for Hydra.
        hydra: its settings; `sweeper.params` is what the file describes.
        loader: Hydra's, which knows all folders of configuration.
    """
    groups = Groups(loader, hydra.job.config_name, hydra.overrides.hydra)
    return jobs(_described(hydra.sweeper.params) + parse(words), groups.options)


def _described(params: object) -> list[Override]:
    """The overrides that `hydra.sweeper.params` stands for."""
    if not isinstance(params, Mapping | None):
        raise ConfigError(f"hydra.sweeper.params={params}: must be keys with values, such as seed: 0,1")
    for key, value in (params or {}).items():
        if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
            raise ConfigError(f"hydra.sweeper.params.{key}={value}: must be a text, such as 0,1; keys are dotted")
    return parse(f"{key}={'null' if value is None else value}" for key, value in (params or {}).items())
