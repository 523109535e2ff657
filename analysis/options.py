"""What a reader of results may choose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis import names
from compress.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """How scores and sizes are counted, and how much is resampled.

    Attributes:
        score, bytes: keys of `names.SCORES` and `names.SIZES`.
        tolerance: points below a baseline that still count as reaching it (Table 1).
        bootstrap, seed: replicates of the intervals, 0 for none; of their random numbers.
    """

    score: str = "glue"
    bytes: str = "nominal"
    tolerance: float = 0.5
    bootstrap: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ConfigError(f"tolerance {self.tolerance}: must be 0 or more points")
        if self.bootstrap < 0 or 0 < self.bootstrap < 100:
            raise ConfigError(f"bootstrap {self.bootstrap}: must be 0 (no intervals) or at least 100 replicates")

    @property
    def score_column(self) -> str:
        return f"score_{self.score}"

    @property
    def bytes_column(self) -> str:
        return f"{self.bytes}_bytes"

    def told(self, tasks: Iterable[str]) -> str:
        """Which score of these tasks, and which bytes, in words."""
        return f"{names.score_of(self.score, tasks).label}, {names.SIZES[self.bytes].short}"
