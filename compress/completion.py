"""Tab completion for `python -m compress`, which Hydra's own script does not know."""

from __future__ import annotations

import sys
from collections.abc import Sequence

BASH = """\
_compress_completion() {
    local words=($COMP_LINE) program="$1" skip=1
    if [ "${words[1]}" = "-m" ] && [ "${words[2]}" = "compress" ]; then
        program="$1 -m compress"; skip=3
    elif [[ "$1" == *python* ]]; then
        COMPREPLY=($(compgen -o default -f -- "${words[$COMP_CWORD]}")); return
    fi
    local line="combining-compressions ${words[*]:$skip}" word=""
    case "$COMP_LINE" in *" ") line="$line " ;; *) word="${words[${#words[@]}-1]}" ;; esac
    local choices
    choices=$(COMP_LINE="$line" COMP_POINT=${#line} $program -sc query=bash 2>/dev/null)
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _compress_completion python python3 combining-compressions"""


def handle(words: Sequence[str]) -> bool:
    """Print the installation script for bash; everything else is left to Hydra (returns False)."""
    if "install=bash" in words:
        print(BASH)
        return True
    if "uninstall=bash" in words:
        print("complete -r python python3 combining-compressions; unset -f _compress_completion")
        return True
    sys.argv[0] = "combining-compressions"  # by which Hydra knows where the overrides begin
    return False
