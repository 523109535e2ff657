"""The flags of the command line, which may stand anywhere between its overrides.

They are Hydra's. Its own parser takes no overrides on both sides of a flag, and tells mistakes in eight lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from compress.checked import build, checked
from compress.errors import ConfigError, nearest

SWITCHES = ("multirun", "run", "resolve", "hydra_help", "version")
VALUED = ("cfg", "package", "info", "config_path", "config_name", "config_dir")
SHORT = {"-m": "multirun", "-r": "run", "-c": "cfg", "-p": "package", "-i": "info", "-cp": "config_path",
         "-cn": "config_name", "-cd": "config_dir"}  # fmt: skip
NAMES = SHORT | {f"--{name.replace('_', '-')}": name for name in (*SWITCHES, *VALUED)}  # flag -> field of Arguments
CHOICES = {
    "cfg": ("job", "hydra", "all"),
    "info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
OTHERS = ("--help", "--shell-completion")  # answered before


@checked
class Arguments:
    """What a command line asks for; `cfg`, `package` and `resolve`: to show the configuration instead."""

    overrides: tuple[str, ...] = ()  # in order, as written
    multirun: bool = False  # a sweep, also if nothing says so but `-m`
    run: bool = False  # one experiment, also if a file says that it is a sweep
    resolve: bool = False
    hydra_help: bool = False
    version: bool = False
    cfg: str | None = None
    package: str | None = None
    info: str | None = None
    config_path: str | None = None  # in place of the project's own folder of configuration
    config_name: str = "config"
    config_dir: str | None = None  # a further folder of configuration, behind the project's own


def read(words: Sequence[str]) -> Arguments:
    """The flags and overrides of a command line."""
    given: dict[str, str | bool] = {}
    overrides: list[str] = []
    left = deque(words)
    while left:
        word = left.popleft()
        if word == "--":
            overrides += left
            break
        if word.startswith("-"):
            _flag(word, left, given)
        else:
            overrides.append(word)
    arguments = build(Arguments, {**given, "overrides": tuple(overrides)}, "")
    if arguments.cfg and arguments.multirun:
        fix = "leave -m out and give each key one value (python -m launch plan … tells what a sweep would run)"
        raise ConfigError(f"--cfg with -m: it shows the configuration of one experiment; {fix}")
    modes = [f"--{name.replace('_', '-')}" for name in ("run", "multirun", "cfg", "info", "hydra_help", "version")
             if getattr(arguments, name)]  # fmt: skip
    if len(modes) > 1:
        raise ConfigError(f"{' with '.join(modes)}: only one of them is possible; leave the others out")
    for name in ("resolve", "package"):
        if getattr(arguments, name) and not arguments.cfg:
            raise ConfigError(f"--{name}: belongs to --cfg; add --cfg job, which shows the configuration")
    return arguments


def _flag(word: str, left: deque[str], given: dict[str, str | bool]) -> None:
    flag, equals, value = word.partition("=")
    name = NAMES.get(flag)
    if name in SWITCHES and not equals:
        given[name] = True
    elif name in VALUED:
        if name in given:
            further = ", further folders as hydra.searchpath=[file://DIR]" if name == "config_dir" else ""
            raise ConfigError(f"{flag}: given twice; give one{further}")
        if not equals and left and not left[0].startswith("-") and (name != "info" or "=" not in left[0]):
            value = left.popleft()
        elif not equals and name == "info":
            value = "all"
        choices = CHOICES.get(name, ())
        allowed = f"must be of {', '.join(choices)}" if choices else "give one"
        if not value:
            raise ConfigError(f"{flag}: has no value; {allowed}")
        if choices and value not in choices:
            raise ConfigError(f"{flag} {value}: {allowed}{nearest(value, choices)}")
        given[name] = value
    else:
        raise ConfigError(_unknown(flag, word))


def _unknown(flag: str, word: str) -> str:
    if flag == "--experimental-rerun":  # Hydra's
        return f"{flag}: not possible here; an experiment that was interrupted goes on, force=true runs it again"
    flags = sorted(name for name in (*NAMES, *OTHERS) if name.startswith("--"))
    key = word.lstrip("-")
    override = f"; keys are written without dashes: {key}" if "=" in key else ""
    return f"{word}: no such flag{nearest(flag, flags)}{override}; there are {', '.join(flags)}"
