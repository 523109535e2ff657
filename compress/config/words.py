"""One override of a command line: read, and its names checked."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import fields

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException

from compress.config import quoting
from compress.config.composing import Composer
from compress.config.schema import groups, keys, keys_of, type_of
from compress.config.sweeps import values
from compress.errors import ConfigError, nearest

HYDRAS = sorted(field.name for field in fields(HydraConf))  # the keys below `hydra`


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
    refused = f"{word if word.strip() else repr(word)}: not understood as key=value"
    if equals and not text.isprintable():
        return f"{refused}; its value has line breaks or other control characters, which are not possible"
    why = re.search(r"while evaluating '.*': (.*)", error)
    because = f" ({why[1]})" if why else ""
    if not equals or not re.fullmatch(r"[A-Za-z_][\w./]*", key := key.lstrip("+~"), re.ASCII) or not takes_text(key):
        return f"{refused}{because}; write for example train.epochs=4"
    return f"{refused}{because}; if the value is just this text, write {quoting.word(key, text)}"


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
        for value in () if override.is_delete() else values(override, composer.groups.options):
            _check_option(key, value, options)
            composer.folders.check_hidden(f"{key}/{value}")
    elif not (key.split(".")[1] in HYDRAS if key.startswith("hydra.") else _is_key(key, override)):
        raise ConfigError(_no_such_key(override, composer))


def _check_option(group: str, value: object, options: Sequence[str]) -> None:
    if value not in options and not isinstance(value, dict):  # a mapping gives values
        written = "null" if value is None else str(value)
        alike = nearest(written.removesuffix(".yaml"), options)
        raise ConfigError(f"{group}={written}: no such option{alike}; must be of {', '.join(options)}")


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
