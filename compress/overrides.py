"""Check what was written on the command line: names first, then the values of every experiment it asks for."""

from __future__ import annotations

import glob
import itertools
import math
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from compress import arguments as flags
from compress import quoting
from compress.arguments import Arguments
from compress.composing import Composer, Groups, opened, tree
from compress.config import GROUPS, Config, Once, check_paths, conf_folder, from_hydra, from_mapping, keys
from compress.errors import ConfigError, nearest

Composed = Callable[[Sequence[str]], dict[str, Any]]  # overrides -> what Hydra composes, interpolations unresolved
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


def read_sweep(words: Sequence[str], conf: Path) -> tuple[list[Config], dict[str, Any]]:
    """The checked configurations of the sweep that a command line asks for, and the settings of its launcher.

    Raises:
        ConfigError: as `check_words`.
    """
    arguments = flags.read(["--multirun", *words])
    with opened(arguments, conf) as composer:
        asked = request(composer, arguments)
        if not asked.is_grid:
            raise ConfigError(
                f"hydra.sweeper._target_={asked.master.hydra.sweeper._target_}: only a grid can be planned"
            )
        launcher = OmegaConf.to_container(asked.master.hydra.launcher, resolve=True)
        return list(asked.configs()), cast(dict[str, Any], launcher)


def read_one(words: Sequence[str], conf: Path) -> Config:
    """The checked configuration of the one experiment that a command line asks for, of a described sweep the plain one.

    Raises:
        ConfigError: as `check_words`.
    """
    arguments = flags.read(["--run", *words])
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
        jobs: the overrides of each experiment.
    """

    arguments: Arguments
    composer: Composer
    overrides: list[Override]
    master: DictConfig
    jobs: list[tuple[str, ...]]
    multirun: bool

    @property
    def is_grid(self) -> bool:
        """Whether the sweeper, if it is a sweep, runs just these jobs."""
        return self.master.hydra.sweeper._target_ in GRIDS

    @property
    def words(self) -> list[str]:
        """The overrides for Hydra to run, in its mode and by our sweeper where that does the same."""
        mode = [f"hydra.mode={'MULTIRUN' if self.multirun else 'RUN'}"]
        grid = ["hydra/sweeper=grid"] if self.master.hydra.sweeper._target_ == BASIC else []
        return [*self.arguments.overrides, *mode, *grid]

    def configs(self) -> Iterator[Config]:
        """The checked configuration of every experiment.

        Raises:
            ConfigError: at the first that is wrong.
        """
        try:
            yield from configurations(self.jobs, self._composed, self.composer.folders)
        except ConfigError as error:
            raise ConfigError(f"{error}{self._hint(str(error))}") from error
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error

    def _composed(self, words: Sequence[str]) -> dict[str, Any]:
        known = not self.multirun and [tuple(words)] == self.jobs
        return tree(self.master if known else self.composer.compose(words))

    def _hint(self, told: str) -> str:
        """How to write a value that was read as no text, or where the file stands that has a wrong one."""
        key = re.split("[=:]", told)[0]
        given = next((found for found in reversed(self.overrides) if found.key_or_group == key), None)
        if given is None:
            place = self.composer.written(key)
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
    composer.check_name()
    for override in overrides if names else ():
        check_name(override, composer)
    _refuse_two_files(overrides, composer.groups.options)
    sweeping = arguments.multirun or any(override.is_sweep_override() for override in overrides)
    master = composer.compose(arguments.overrides, RunMode.MULTIRUN if sweeping else RunMode.RUN)
    multirun = not arguments.run and (arguments.multirun or master.hydra.mode == RunMode.MULTIRUN)
    check_settings(master, multirun)
    if multirun:
        described = _described(master.hydra.sweeper.get("params"))
        for override in described if names else ():
            check_name(override, composer)
        overrides = described + overrides
    for override in overrides if not multirun else ():
        _refuse_sweep(override, composer.groups.options)
    return Request(arguments, composer, overrides, master, jobs(overrides, composer.groups.options), multirun)


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
    told = f"{word}: not understood as key=value"
    if not equals or not re.fullmatch(r"[+~]{0,2}[A-Za-z_$][\w$./@:-]*", key, re.ASCII):
        return f"{told}; write for example train.epochs=4"
    if not text.isprintable():
        return f"{told}; its value has line breaks or other control characters, which are not possible"
    why = re.search(r"while evaluating '.*': (.*)", error)
    because = f" ({why[1]})" if why else ""
    return f"{told}{because}; if the value is just this text, write {quoting.word(key, text)}"


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
    added: dict[str, Any] = {}
    for override in overrides:
        key, word = override.get_key_element(), override.input_line
        if override.is_add() and options(override.key_or_group) and added.setdefault(key, word) != word:
            raise ConfigError(f"{added[key]} {word}: one of them at a time; a file of your own can be based on both")


def check_name(override: Override, composer: Composer) -> None:
    """Refuse an unknown key, group or option of a group, and what cannot be swept."""
    key = override.key_or_group
    if override.is_sweep_override() and key.split(".")[0].split("/")[0] == "hydra":
        raise ConfigError(f"{override.input_line}: Hydra's settings are those of the whole sweep; give one value")
    if options := composer.groups.options(key):
        for value in () if override.is_delete() else values(override, composer.groups.options):
            _check_option(key, value, options)
    elif not (_is_hydras(key) if key.startswith("hydra.") else _is_key(key, override)):
        raise ConfigError(_no_such_key(override, composer))


def _check_option(group: str, value: Any, options: Sequence[str]) -> None:
    if value not in options and not isinstance(value, dict):  # a mapping gives values
        shown = "null" if value is None else value
        raise ConfigError(f"{group}={shown}: no such option{nearest(shown, options)}; must be of {', '.join(options)}")


def _no_such_key(override: Override, composer: Composer) -> str:
    key = override.key_or_group
    written = str(override.input_line).lstrip("+~")
    group = key.split(".")[0].split("/")[0]
    groups = composer.groups.names
    if key.startswith("hydra."):
        return f"{written}: no such key{nearest(key.split('.')[1], HYDRAS)}; hydra has {', '.join(HYDRAS)}"
    if group in GROUPS:
        allowed = f"{group} has {', '.join(field.name for field in fields(GROUPS[group]))}"
    else:
        allowed = f"there are {', '.join(sorted({*groups, *GROUPS, *(name for name in keys() if '.' not in name)}))}"
    return f"{written}: no such key{nearest(key, [*keys(), *groups])}; {allowed}"


def _is_key(key: str, override: Override) -> bool:
    """Whether there is such a key, or a mapping that may have one more: `resources.timeout_min.tiny`."""
    whole, _, inner = key.rpartition(".")
    group, _, name = whole.rpartition(".")
    hint = str(typing.get_type_hints(GROUPS[group]).get(name)) if group in GROUPS else ""
    is_mapping = key in GROUPS and override.value_type == ValueType.ELEMENT and isinstance(override.value(), dict)
    return key in keys() or is_mapping or (bool(inner) and "dict[" in hint)


def _is_hydras(key: str) -> bool:
    return key.split(".")[1] in HYDRAS


def check_settings(master: DictConfig, multirun: bool) -> None:
    """Refuse settings of Hydra that would be silently without effect, or move where relative paths are meant from."""
    fixed = yaml.safe_load((conf_folder() / "hydra" / "plain.yaml").read_text(encoding="utf-8"))
    given = cast(dict[str, Any], OmegaConf.to_container(master.hydra, resolve=False))
    for key in ("run.dir", "sweep.dir", "sweep.subdir", "output_subdir"):
        if (value := _at(given, key)) != _at(fixed, key):
            raise ConfigError(f"hydra.{key}={value}: cannot be changed; paths.runs=DIR says where everything goes")
    if given["job"]["chdir"]:
        raise ConfigError(
            "hydra.job.chdir=true: relative paths are meant from where the command is typed; leave it out"
        )
    if given["sweeper"].get("max_batch_size") is not None:
        raise ConfigError(
            "hydra.sweeper.max_batch_size: a sweep is launched as a whole; hydra.launcher.per_device says "
            "how many experiments run at once"
        )
    if multirun and (given["job"]["env_set"] or given["job"]["env_copy"]):
        raise ConfigError("hydra.job.env_set, env_copy: have no effect in a sweep; set variables before the command")


def _at(tree: Any, key: str) -> Any:
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


def values(override: Override, options: Options) -> list[Any]:
    """What an override may set its key to: several values if it sweeps."""
    if override.is_sweep_override():
        return [Override._convert_value(value) for value in _swept(override, options)]
    return [override.value()]


def _swept(override: Override, options: Options) -> list[Any]:
    word = override.input_line
    if override.value_type == ValueType.INTERVAL_SWEEP:
        raise ConfigError(f"{word}: only optimising sweepers take an interval; give values: choice(…), range(…)")
    value: Any = override._value
    if isinstance(value, Glob):
        found: list[Any] = _matching(override, value, options)
    else:
        try:
            found = list(itertools.islice(override.sweep_iterator(), MOST + 1))
        except (HydraException, ValueError, ArithmeticError) as error:
            raise ConfigError(f"{word}: {error}") from error
    if not found or len(found) > MOST:
        count = f"more than {MOST} values" if found else "no value at all"
        raise ConfigError(f"{word}: has {count}")
    return found


def _matching(override: Override, pattern: Glob, options: Options) -> list[str]:
    key, word = override.key_or_group, override.input_line
    there = list(options(key))
    if not there:
        raise ConfigError(f"{word}: glob is for options of a group; {key} is none")
    if not (found := pattern.filter(there)):
        raise ConfigError(f"{word}: matches no option; there are {', '.join(there)}")
    return found


def _refuse_sweep(override: Override, options: Options) -> None:
    """Without -m a sweep is a mistake."""
    if override.is_sweep_override():
        key, count = override.key_or_group, len(_swept(override, options))
        simple = override.value_type == ValueType.SIMPLE_CHOICE_SWEEP and not options(key)
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


def _described(params: Any) -> list[Override]:
    """The overrides that `hydra.sweeper.params` stands for."""
    if not isinstance(params, Mapping | None):
        raise ConfigError(f"hydra.sweeper.params={params}: must be keys with values, such as seed: 0,1")
    for key, value in (params or {}).items():
        if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
            raise ConfigError(f"hydra.sweeper.params.{key}={value}: must be a text, such as 0,1; keys are dotted")
    return parse(f"{key}={'null' if value is None else value}" for key, value in (params or {}).items())


# --- many jobs from few compositions ----------------------------------------------------------------------------------

Part = str | None  # a top-level key that some swept overrides have to themselves; None: all the other keys
Choice = tuple[Part, tuple[str, ...]]  # a part and the overrides that decide it
APART = "_apart_"  # where options are composed each for itself


@dataclass(frozen=True, eq=False)
class Section:
    """What is composed under one top-level key; jobs that make the same choice share it, and what is made of it.

    Attributes:
        values: interpolations unresolved.
        final: whether there is nothing to resolve and nothing missing.
        reads: top-level keys that the interpolations read; None: perhaps any.
    """

    name: str
    values: Any
    final: bool
    reads: frozenset[str] | None


def configurations(jobs: Sequence[Sequence[str]], composed: Composed, folders: Sequence[Path] = ()) -> Iterator[Config]:
    """The checked configuration of every job, in order; each the very one that `from_hydra` makes of its composition.

    What jobs have in common is composed, resolved, built and checked once, so hundreds take hardly longer than a few.

    Args:
        jobs: the overrides of each, as Hydra's sweepers give them to launchers.
        composed: takes most of the time, and is called as seldom as the configuration's files allow.
        folders: all folders of configuration files; by default the project's own. Teachers are looked up there.

    Raises:
        ConfigError: at the first that is wrong.
    """
    once, places = Once(), tuple(folders) or (conf_folder(),)
    for sections in compose_all(jobs, composed, places):
        yield _configuration(sections, places, once)


def compose_all(
    jobs: Sequence[Sequence[str]], composed: Composed, folders: Sequence[Path]
) -> Iterator[dict[str, Section]]:
    """What `composed` gives for every job, from few compositions.

    An override changes one group as a rule: `model=…` the group model, `prune.sparsity=…` the group prune. Where that
    can be shown, each choice within a group needs to be composed only once, and one composition shows a choice in every
    group. Whatever may change more than its group is composed with everything that it may change.
    """
    parts = scopes(jobs, folders)
    choices = [[(part, _words(job, places)) for part, places in parts.items()] for job in jobs]
    known = _apart(jobs, parts, composed, folders)
    chosen = cover([{choice for choice in made if choice not in known} for made in choices])
    trusted = len(chosen) < len(jobs)
    for job in chosen if trusted else ():
        tree = composed(jobs[job])
        for choice in choices[job]:
            content = _content(tree, choice[0], parts)
            trusted &= known.setdefault(choice, content) == content  # else some way to change a group was overlooked
    if not trusted:
        yield from ({name: section(name, value) for name, value in composed(job).items()} for job in jobs)
        return
    shared = {
        choice: {name: None if value is ... else section(name, value) for name, value in content.items()}
        for choice, content in known.items()
    }
    for made in choices:
        together = {name: found for choice in made for name, found in shared[choice].items()}
        yield {name: found for name, found in together.items() if found is not None}


def _words(job: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    return tuple(job[place] for place in places if place < len(job))


def _content(tree: Mapping[str, Any], part: Part, parts: Iterable[Part]) -> dict[str, Any]:
    """A part of a composition; the one of all other keys has `...` where the named parts belong."""
    if part is not None:
        return {name: value for name, value in tree.items() if name == part}
    return {name: ... if name in parts else value for name, value in tree.items()}


def cover(choices: Sequence[AbstractSet[Choice]]) -> list[int]:
    """Numbers of a few jobs that between them make every choice: always the one with the most choices not yet made."""
    missing = set().union(*choices)
    chosen = []
    while missing:
        best = max(range(len(choices)), key=lambda job: len(choices[job] & missing))
        chosen.append(best)
        missing -= choices[best]
    return chosen


def scopes(jobs: Sequence[Sequence[str]], folders: Sequence[Path]) -> dict[Part, list[int]]:
    """Places in a job of the overrides that differ between jobs, by the part that they decide.

    An override that may change more than one top-level key counts for all parts.
    """
    names = {tuple(word.partition("=")[0] for word in job) for job in jobs}
    if len(names) > 1:
        return {None: list(range(max(map(len, names))))}
    columns = {place: dict.fromkeys(words) for place, words in enumerate(zip(*jobs, strict=True))}
    swept = {place: list(words) for place, words in columns.items() if len(words) > 1}
    decisive = choices_read(folders) if swept else frozenset()
    own: dict[Part, list[int]] = {}
    far = []
    for place, words in swept.items():
        key = words[0].partition("=")[0].lstrip("+")
        part = None if decisive is None or key in decisive else _own_part(key, words, folders)
        if part is None:
            far.append(place)
        else:
            own.setdefault(part, []).append(place)
    return {None: far} | {part: [*places, *far] for part, places in own.items()}


def _own_part(key: str, words: Iterable[str], folders: Sequence[Path]) -> Part:
    """The top-level key that is all that these overrides of a key change; None if that cannot be shown."""
    if any((folder / key).is_dir() for folder in folders):
        apart = "/" not in key and all(keeps_to_itself(key, word.partition("=")[2], folders) for word in words)
        return key if apart else None
    return key.partition(".")[0] if key in keys() else None


def keeps_to_itself(group: str, option: str, folders: Sequence[Path], based_on: tuple[str, ...] = ()) -> bool:
    """Whether an option's file, and those that its defaults list names, write into their group and nowhere else."""
    files = [folder / group / f"{option}.yaml" for folder in folders]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
    for text in texts:
        listed = _defaults(text)
        if listed is None or "@package" in text:
            return False
        for entry in listed:
            if not isinstance(entry, str) or not re.fullmatch(r"[\w-]+", entry) or entry in based_on:
                return False
            if entry != "_self_" and not keeps_to_itself(group, entry, folders, (*based_on, option)):
                return False
    return bool(texts)


def choices_read(folders: Iterable[Path]) -> frozenset[str] | None:
    """Groups whose choice is read in some defaults list (`- ${task}_${model}`), and so decides on other files as well.

    None: perhaps any.
    """
    found: set[str] = set()
    for folder in folders:
        if not folder.is_dir():
            return None
        for file in glob.iglob(f"{glob.escape(str(folder))}/**/*.yaml", recursive=True):
            text = Path(file).read_text(encoding="utf-8", errors="replace") if Path(file).is_file() else ""
            listed = _defaults(text) if "${" in text else []
            found |= set(_CHOICE.findall(str(listed)))
            if listed is None or "${" in _CHOICE.sub("", str(listed)):
                return None
    return frozenset(found)


_CHOICE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


def _defaults(text: str) -> list[Any] | None:
    """The defaults list of a configuration file; None where it cannot be read."""
    try:
        values = yaml.load(text, yaml.BaseLoader) if "defaults" in text else None
    except yaml.YAMLError:
        return None
    listed = values.get("defaults", []) if isinstance(values, dict) else []
    return listed if isinstance(listed, list) else None


def _apart(
    jobs: Sequence[Sequence[str]], parts: Mapping[Part, Sequence[int]], composed: Composed, folders: Sequence[Path]
) -> dict[Choice, dict[str, Any]]:
    """What the choices of those groups come to that have the most of them, all from one composition.

    It has these groups taken out of the defaults list, and each choice of an option and values at a place of its own. A
    group that it has all the same gets values from elsewhere too: then the choice alone does not tell what it comes to.
    """
    if parts[None] or len(parts) == 1:
        return {}
    made: dict[Part, dict[tuple[str, ...], Sequence[str]]] = {part: {} for part in parts}
    for job in jobs:
        for part, places in parts.items():
            made[part].setdefault(_words(job, places), job)
    movable = [part for part in parts if part and _is_movable(part, jobs[0], folders)]
    others = max([2, *(len(choices) for part, choices in made.items() if part not in movable)])
    groups = [part for part in movable if len(made[part]) > others]
    if not groups:
        return {}
    words = [word for word in jobs[0] if _top(word) not in groups] + [f"~{group}" for group in groups]
    for group in groups:
        for n, job in enumerate(made[group].values()):
            words += [_moved(word, group, f"{APART}.{group}._{n}") for word in job if _top(word) == group]
    try:
        tree = composed(words)
    except (HydraException, OmegaConfBaseException, ConfigError):
        return {}  # what is wrong with a choice will be told when a job is composed
    found: dict[Choice, dict[str, Any]] = {}
    for group in groups if APART in tree else ():
        content = tree[APART].get(group, {})
        for n, choice in enumerate(made[group] if group not in tree else ()):
            found[group, choice] = {group: content[f"_{n}"]} if f"_{n}" in content else {}
    return found


def _top(word: str) -> str:
    return re.split(r"[.@/=]", word.lstrip("+~"))[0]


def _is_movable(group: str, job: Iterable[str], folders: Sequence[Path]) -> bool:
    """Whether a job gives an option of a group that keeps to itself and, besides, at most values."""
    words = [word for word in job if _top(word) == group]
    chosen = [word.partition("=")[2] for word in words if word.startswith(f"{group}=")]
    values = [word for word in words if re.match(rf"\+{{0,2}}{group}\.[\w.]+=", word)]
    return len(chosen) == 1 and len(chosen) + len(values) == len(words) and keeps_to_itself(group, chosen[0], folders)


def _moved(word: str, group: str, place: str) -> str:
    """The override of a group for its copy in another place."""
    if word.startswith(f"{group}="):
        return f"+{group}@{place}={word.partition('=')[2]}"
    return word.replace(f"{group}.", f"{place}.", 1)


# --- interpolations ---------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"\$\{(?:oc\.env:[^${}]*|\.{0,2}([A-Za-z_]\w*)(?:[.\[][^${}:]*)?)\}")


def section(name: str, values: Any) -> Section:
    """What is composed under a top-level key, with what its interpolations read.

    Those like `${group.key}`, `${..group.key}` and `${oc.env:…}` are understood, nested ones and other resolvers not.
    """
    texts = [text for text in _texts(values) if "${" in text or text == "???"]
    reads = {key for text in texts for key in _PLAIN.findall(text)}
    understood = not any("${" in _PLAIN.sub("", text) for text in texts)
    return Section(name, values, final=not texts, reads=frozenset(reads) if understood else None)


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping | list | tuple):
        for value in values.values() if isinstance(values, Mapping) else values:
            yield from _texts(value)


def _read_by(name: str, sections: Mapping[str, Section]) -> Iterator[Section]:
    """The section of that name and all that its interpolations read, directly or not, in the order of the sections."""
    found: set[str] = set()
    left = [name]
    while left:
        key = left.pop()
        if key in sections and key not in found:
            found.add(key)
            reads = sections[key].reads
            left += sections if reads is None else reads
    return (section for key, section in sections.items() if key in found)


def _resolved(*sections: Section) -> dict[str, Any]:
    from omegaconf import OmegaConf

    tree = OmegaConf.create({section.name: section.values for section in sections})
    return cast(dict[str, Any], OmegaConf.to_container(tree, resolve=True, throw_on_missing=True))


def _configuration(sections: Mapping[str, Section], folders: Sequence[Path], once: Once) -> Config:
    from omegaconf import OmegaConf

    try:
        values = {
            name: section.values if section.final else once(_resolved, *_read_by(name, sections))[name]
            for name, section in sections.items()
        }
    except OmegaConfBaseException:  # to be told as it is for a single experiment
        return from_hydra(OmegaConf.create({name: section.values for name, section in sections.items()}), folders)
    config = from_mapping(values, folders, once)
    once(check_paths, config.paths)
    return config
