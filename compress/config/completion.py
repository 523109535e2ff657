"""Tab completion for `python -m compress` and `combining-compressions`: verbs; groups with their options, keys, values.

Hydra's own completes neither `python -m` nor options in subfolders (`model=demo/tiny`), and takes a second.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path

from compress.config.conf_files import options
from compress.config.schema import keys, type_of
from compress.errors import ConfigError
from compress.methods import registry

BASH = """\
_compress_completion() {
    local words=($COMP_LINE) program="$1"
    if [ "${words[1]}" = "-m" ] && [ "${words[2]}" = "compress" ]; then
        program="$1 -m compress"
    elif [[ "$1" == *python* ]]; then
        COMPREPLY=($(compgen -o default -f -- "${words[$COMP_CWORD]}")); return
    fi
    local word=""
    case "$COMP_LINE" in *" ") ;; *) word="${words[${#words[@]}-1]}" ;; esac
    if [[ "$1" == *combining-compressions ]]; then
        if [ "${words[1]:-}" = "$word" ]; then
            COMPREPLY=($($program -sc "verb=$word" 2>/dev/null))
            if [ ${#COMPREPLY[@]} -gt 0 ]; then compopt +o nospace 2>/dev/null; return; fi
        fi
        case "${words[1]}" in
            run|grid|plan|prepare|augment|[-+~]*|*=*|"$word") ;;
            *) COMPREPLY=(); return ;; # the other verbs take folders and files
        esac
    fi
    COMPREPLY=($($program -sc "query=$word" 2>/dev/null))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _compress_completion python python3 combining-compressions"""

FLAGS = ("-m", "--multirun", "--cfg", "--resolve", "--config-dir", "--config-name", "--help")


def answer(words: Sequence[str], conf: Path) -> str:
    """What `-sc` prints: the script to evaluate in bash, or the completions of a word, one a line."""
    asked = " ".join(words)
    if "query=" in asked:
        return "\n".join(complete(asked.partition("query=")[2], conf))
    if "uninstall=bash" in words:
        return "complete -r python python3 combining-compressions; unset -f _compress_completion"
    if "install=bash" in words:
        return BASH
    raise ConfigError(f"{asked}: must be -sc install=bash (for eval) or -sc uninstall=bash")


def complete(word: str, conf: Path) -> list[str]:
    """The words that this beginning of one may become; after a comma, the next value of a sweep."""
    if word.startswith("-"):
        return [flag for flag in FLAGS if flag.startswith(word)]
    key, equals, value = word.partition("=")
    if not equals:
        plus = "+" if word.startswith("+") else ""
        names = [*options(conf, *registry.folders()), *keys()]
        return sorted(f"{plus}{name}=" for name in names if name.startswith(word.removeprefix("+")))
    done, comma, last = value.rpartition(",")
    values = _values(key.removeprefix("+"), last, conf)
    return [f"{key}={done}{comma}{option}" for option in values if option.startswith(last)]


def _values(key: str, beginning: str, conf: Path) -> list[str]:
    hint = type_of(key)
    if key in (groups := options(conf, *registry.folders())):
        return groups[key]
    if typing.get_origin(hint) is typing.Literal:
        return [str(value) for value in typing.get_args(hint)]
    if hint is bool:
        return ["true", "false"]
    if str not in (hint, *typing.get_args(hint)):
        return []
    folder, slash, _ = beginning.rpartition("/")
    place = Path(folder or slash or ".").expanduser()
    paths = sorted(place.iterdir()) if place.is_dir() else ()
    return [f"{folder}{slash}{path.name}{'/' * path.is_dir()}" for path in paths if not path.name.startswith(".")]
