"""Names that become folders: of models and tasks."""

from __future__ import annotations

import re
from pathlib import PurePath

from compress.errors import ConfigError

LONGEST = 100  # characters; file systems take 255 bytes
FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")


def check_name(key: str, name: str, fix: str) -> None:
    """Refuse a name that could not be one folder's: results would lie where nobody looks for them.

    Args:
        key: what messages call it.
        fix: what to give instead.

    Raises:
        ConfigError: it is empty, hidden, too long, has a slash or a control character, or blanks around it.
    """
    wrong = not name.strip() or name != name.strip() or name.startswith(".") or len(name) > LONGEST
    if wrong or FORBIDDEN.search(name) or PurePath(name).name != name:
        raise ConfigError(
            f"{key}={name[: 2 * LONGEST]!r}: results are filed under it, so it must be the name of one folder: "
            f"1 to {LONGEST} characters without / and control characters, not beginning with a dot; give {fix}"
        )
