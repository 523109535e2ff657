"""The overrides of a command line: read, their names checked, and the experiments of a sweep that they stand for."""

from __future__ import annotations

import itertools
import math
import re
import shlex
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ParsedElementType, Quote, QuotedString, ValueType
from hydra.errors import HydraException

from compress.config.composing import Composer
from compress.config.schema import groups, keys, keys_of, type_of
from compress.errors import ConfigError, nearest

Options = Callable[[str], Sequence[str]]  # a group -> its options; none: no group

HYDRAS = sorted(field.name for field in fields(HydraConf))  # the keys below `hydra`
MOST = 100_000  # experiments in one sweep


def quoted(key: str, text: str) -> str:
    """`KEY=VALUE` as it can be pasted into bash, such that Hydra's grammar reads just this text."""
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # else OmegaConf would interpolate
    return shlex.quote(f"{key}={QuotedString(literal, Quote.double).with_quotes()}")


def parse(words: Iterable[str]) -> list[Override]:
    """Hydra's reading of the overrides."""
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
    if isinstance(text := override._value, str) and override.value_type == ValueType.ELEMENT:
        key, written = override.get_key_element(), override.get_value_string()
        if text != written != written.strip():
            cause = "begins or ends with a blank, which is not read"
            raise ConfigError(f"{key}={written}: {cause}; leave it out, or write {quoted(key, written)}")
    return override


def _not_understood(word: str, error: str) -> str:
    """Why a word is no override, and how to write what may be meant."""
    key, equals, text = word.partition("=")
    refused = f"{word if word.strip() else repr(word)}: not understood as key=value"
    if equals and not text.isprintable():
        return f"{refused}; its value has line breaks or other control characters, which are not possible"
    why = re.search(r"while evaluating '.*': (.*)", error)
    because = f" ({why[1]})" if why else ""
    if not equals or not re.fullmatch(r"[A-Za-z_][\w./]*", key := key.lstrip("+~"), re.ASCII) or not takes_text(key):
        return f"{refused}{because}; write for example train.epochs=4"
    return f"{refused}{because}; if the value is just this text, write {quoted(key, text)}"


def takes_text(key: str) -> bool:
    """Whether a key may have a text for its value, or is a group, and has the name of a file."""
    hint = type_of(key)
    is_group = "." not in key and (hint is None or key in groups())
    return str in (hint, *typing.get_args(hint)) or is_group or key.startswith("hydra.")


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
        chosen = [override.value()]
        if override.is_sweep_override():
            chosen = [Override._convert_value(value) for value in swept(override, composer.groups.options)]
        for value in () if override.is_delete() else chosen:
            if value not in options and not isinstance(value, dict):  # a mapping gives values
                written = "null" if value is None else str(value)
                alike = nearest(written.removesuffix(".yaml"), options)
                raise ConfigError(f"{key}={written}: no such option{alike}; must be of {', '.join(options)}")
            composer.folders.check_hidden(f"{key}/{value}")
    elif not (key.split(".")[1] in HYDRAS if key.startswith("hydra.") else _is_key(key, override)):
        raise ConfigError(_no_such_key(override, composer))


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


def jobs(
    overrides: Sequence[Override], options: Options, together: Sequence[Sequence[str]] = ()
) -> list[tuple[str, ...]]:
    """The overrides of every experiment of a sweep: the product of its axes.

    Keys that stand `together` are one axis: the first values of each, the second ones, ….
    """
    every = axes(overrides, options)
    blocks = _blocks(every, together)
    if (count := math.prod(len(every[block[0]]) for block in blocks)) > MOST:
        raise ConfigError(f"{count} experiments in one sweep; at most {MOST} are possible")
    found = []
    for chosen in itertools.product(*(zip(*(every[place] for place in block), strict=True) for block in blocks)):
        words = {place: word for block, of in zip(blocks, chosen, strict=True)
                 for place, word in zip(block, of, strict=True)}  # fmt: skip
        found.append(tuple(words[place] for place in range(len(every))))
    return found


def _blocks(every: Sequence[Sequence[str]], together: Sequence[Sequence[str]]) -> list[list[int]]:
    """The places of overrides that vary together, in the order of the first of each."""
    places = {words[0].partition("=")[0].lstrip("+"): place for place, words in enumerate(every)}
    block_of = {place: [place] for place in range(len(every))}
    for names in together:
        setting = f"hydra.sweeper.together=[{','.join(names)}]"
        if missing := [name for name in names if name not in places]:
            raise ConfigError(f"{setting}: {missing[0]} is not swept; give {missing[0]}=VALUE,VALUE")
        block = sorted(places[name] for name in names)
        if len({len(every[place]) for place in block}) != 1:
            counts = ", ".join(f"{name} has {len(every[places[name]])}" for name in names)
            raise ConfigError(f"{setting}: {counts}; each must have as many values")
        if any(len(block_of[place]) > 1 for place in block):
            raise ConfigError(f"{setting}: a key is named twice; name it once")
        block_of |= dict.fromkeys(block, block)
    return [block for place, block in block_of.items() if block[0] == place]


def axes(overrides: Sequence[Override], options: Options) -> list[list[str]]:
    """Every override as the list of those that it stands for; of a key that is given again, one sweeping: the last."""
    counted = []
    for place, override in enumerate(overrides):
        key = override.get_key_element()
        later = [other for other in overrides[place + 1 :] if other.get_key_element().lstrip("+") == key.lstrip("+")]
        if later and any(other.is_sweep_override() for other in (override, *later)):
            continue
        if override.is_sweep_override():
            counted.append([f"{key}={Override._get_value_element_as_str(value)}" for value in swept(override, options)])
        else:
            counted.append([str(override.input_line)])
    return counted


def swept(override: Override, options: Options) -> list[ParsedElementType]:
    """The values of an override that sweeps; refuses none and too many."""
    word = override.input_line
    if override.value_type == ValueType.INTERVAL_SWEEP:
        raise ConfigError(f"{word}: only optimising sweepers take an interval (hydra/sweeper=optuna); "
                          "give values: choice(…), range(…)")  # fmt: skip
    pattern: object = override._value
    if isinstance(pattern, Glob):
        return list(_matching(override, pattern, options))
    try:
        swept_values: list[ParsedElementType] = list(itertools.islice(override.sweep_iterator(), MOST + 1))
    except (HydraException, ValueError, ArithmeticError) as error:
        raise ConfigError(f"{word}: {error}") from error
    if not swept_values or len(swept_values) > MOST:
        count = f"more than {MOST} values" if swept_values else "no value at all"
        raise ConfigError(f"{word}: has {count}")
    return swept_values


def _matching(override: Override, pattern: Glob, options: Options) -> list[str | QuotedString]:
    key, word = override.key_or_group, override.input_line
    there = list(options(key))
    if not there:
        raise ConfigError(f"{word}: glob is for options of a group; {key} is none")
    if not (names := pattern.filter(there)):
        raise ConfigError(f"{word}: matches no option; there are {', '.join(there)}")
    return [name if re.fullmatch(r"[\w./-]+", name, re.ASCII) else QuotedString(name, Quote.double) for name in names]
