"""latency.json: how long a stored model took on some machine, in one or two precisions, batch by batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt

from compress.checked import parsed, stored
from compress.storage.files import write_json

FILE = "latency.json"
WHOLE = "float32"  # the precision of what was not quantized


@stored
class Cell:
    """A precision and a shape: times of a batch over `rounds` turns."""

    precision: str
    batch: PositiveInt
    length: PositiveInt  # tokens
    median_ms: PositiveFloat
    quartiles_ms: list[PositiveFloat]  # the first and the third
    rounds: PositiveInt

    def __post_init__(self) -> None:
        if len(self.quartiles_ms) != 2 or not self.quartiles_ms[0] <= self.median_ms <= self.quartiles_ms[1]:
            raise ValueError(f"its quartiles_ms are {self.quartiles_ms}, and the median is {self.median_ms}")


@stored
class Latency:
    """What was measured of a run's model."""

    schema: Literal[1]
    run_id: str
    threads: PositiveInt
    cores: list[int] | None  # that the process was pinned to; None where the system cannot
    cells: list[Cell]
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def machine(self) -> str:
        """What times may be compared on: processor, threads."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{threads} of {self.environment.get('cpu') or 'a processor that is not known'}"

    @property
    def own(self) -> list[Cell]:
        """The cells in the precision that the model is stored in: not what its float32 twin takes."""
        return [cell for cell in self.cells if cell.precision != WHOLE] or self.cells


def from_document(document: Mapping[str, object], run_id: str) -> Latency:
    """ValueError of one line if it is damaged, of another version or another run's."""
    return _checked(json.dumps(document).encode(), run_id)


def write(folder: Path, measured: Latency) -> None:
    """Put the file in place in a run folder."""
    write_json(folder / FILE, asdict(measured))


def read(folder: Path, run_id: str) -> Latency | None:
    """What was measured of a run's model, None without the file; ValueError as `from_document`."""
    try:
        text = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"it cannot be read ({error})") from error
    return _checked(text, run_id)


def _checked(text: bytes, run_id: str) -> Latency:
    measured = parsed(Latency, text)
    if measured.run_id != run_id:
        raise ValueError(f"its run_id is {measured.run_id}, not {run_id}")
    return measured
