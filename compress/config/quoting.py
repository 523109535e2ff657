"""How to write a value on the command line, where bash reads it first and Hydra's grammar then."""

from __future__ import annotations

import re
import shlex


def word(key: str, text: str) -> str:
    """`KEY=VALUE` as it can be pasted into bash, such that the value is just this text.

    Args:
        text: any; without line breaks if the word is to be one line.
    """
    from hydra.core.override_parser.types import Quote, QuotedString

    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # else OmegaConf would interpolate
    return shlex.quote(f"{key}={QuotedString(literal, Quote.double).with_quotes()}")
