"""Names that become folders: of models and tasks."""

from __future__ import annotations

from compress.errors import ConfigError

LONGEST, BYTES = 100, 255  # characters; and what file systems take


def check_name(key: str, name: str, fix: str) -> None:
    """Refuse a name that could not be one folder's: results would lie where nobody looks for them.

    Args:
        key: what messages call it.
        fix: what to give instead.

    Raises:
        ConfigError: it is empty, hidden, too long, has a slash or what cannot be printed, or blanks around it.
    """
    long = len(name) > LONGEST or len(name.encode(errors="replace")) > BYTES
    path = not name or name.startswith(".") or {"/", "\\"} & set(name)
    if long or path or name != name.strip() or not name.isprintable():
        raise ConfigError(
            f"{key}={name[: 2 * LONGEST]!r}: results are filed under it, so it must be the name of one folder: 1 to "
            f"{LONGEST} printable characters ({BYTES} bytes) without / and \\, not beginning with a dot; give {fix}"
        )
