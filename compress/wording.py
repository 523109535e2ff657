"""Numbers as people read them, the same in every message, table and figure."""

from __future__ import annotations

from collections.abc import Sequence

MEGABYTE = 1_000_000


def plural(count: int, what: str, many: str | None = None) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {what if count == 1 else many or what + 's'}"


def megabytes(size: float) -> str:
    """Bytes as decimal MB, with three digits that count: 1341, 44.7, 0.086."""
    value = size / MEGABYTE
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def enumerated(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def are(count: int, what: str = "") -> str:
    """`1 is`, `2 are`; `1 run is`, `2 runs are`."""
    return f"{plural(count, what) if what else count} {'is' if count == 1 else 'are'}"
