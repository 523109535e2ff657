"""predictions.json.gz: what the stored model predicted for each row of the dev set, and the rows' labels; exact, small.

Of classes `labels` are packed into bits, as few as a class needs (the first row's come first, the most significant
bit first), and predictions as (prediction − label) modulo the number of classes: most are 0, so they compress. Numbers
of a regression are float32, all of their first bytes first (little-endian), then all second ones … Both in base64.
Where a metric takes them (AUROC), `logits` are there too, row after row, written as the numbers of a regression are.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import PositiveInt, ValidationError

from compress.checked import first_mistake, parsed, stored
from compress.storage.files import write_bytes

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int], np.dtype[Any]]

FILE = "predictions.json.gz"
FLOAT = "<f4"

T = TypeVar("T")


@dataclass(frozen=True)
class Split:
    """Labels and predictions of a validation split, in the order of its rows: int64 [rows] class ids, or float32."""

    labels: Array
    predictions: Array
    logits: np.ndarray[Any, np.dtype[Any]] | None = None  # float32 [rows, classes], if a metric takes them

    def chosen(self, rows: Array) -> Split:
        """Those of some rows, which may repeat."""
        return Split(self.labels[rows], self.predictions[rows], None if self.logits is None else self.logits[rows])


@stored
class DevSet:
    """The labels that predictions are compared with, by split; experiments on the same data have the same."""

    classes: PositiveInt | None  # None: a regression
    rows: dict[str, PositiveInt]
    labels: dict[str, str]  # packed

    def digest(self) -> str:
        """12 hex digits of the SHA-256 over its canonical JSON."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


@stored
class Packed:
    """Predictions as files hold them."""

    format: Literal[1]
    run_id: str
    dev: DevSet
    predicted: dict[str, str]  # packed, by split
    logits: dict[str, str] | None = None  # packed, by split; None where no metric takes them

    def document(self) -> dict[str, Any]:
        """As files have it: without what is not there."""
        return {key: value for key, value in asdict(self).items() if key != "logits" or value is not None}

    def splits(self) -> dict[str, Split]:
        """Labels and predictions; ValueError of one line where they are damaged or do not fit each other."""
        if not self.dev.rows.keys() == self.dev.labels.keys() == self.predicted.keys():
            raise ValueError(f"rows, labels and predictions are not of the same splits ({', '.join(self.predicted)})")
        if self.logits is not None and self.logits.keys() != self.predicted.keys():
            raise ValueError(f"predictions and logits are not of the same splits ({', '.join(self.logits)})")
        return {split: self._split(split, rows) for split, rows in self.dev.rows.items()}

    def _split(self, split: str, rows: int) -> Split:
        classes = self.dev.classes
        labels = _unpacked(self.dev.labels[split], rows, classes, f"labels of {split}")
        predicted = _unpacked(self.predicted[split], rows, classes, f"predictions of {split}")
        if classes is None:
            return Split(labels, predicted)
        predicted = (labels + predicted) % classes
        if self.logits is None:
            return Split(labels, predicted)
        logits = _unpacked(self.logits[split], rows * classes, None, f"logits of {split}").reshape(rows, classes)
        if (logits.argmax(axis=1) != predicted).any():
            raise ValueError(f"the logits of {split} are not those of its predictions")
        return Split(labels, predicted, logits)


def pack(run_id: str, classes: int | None, splits: Mapping[str, Split]) -> Packed:
    """Predictions as files hold them; `classes` of the task, None for a regression."""
    differences = {
        name: split.predictions if classes is None else (split.predictions - split.labels) % classes
        for name, split in splits.items()
    }
    dev = DevSet(
        classes=classes,
        rows={name: len(split.labels) for name, split in splits.items()},
        labels={name: _packed(split.labels, classes) for name, split in splits.items()},
    )
    predicted = {name: _packed(values, classes) for name, values in differences.items()}
    logits = {name: _packed(split.logits, None) for name, split in splits.items() if split.logits is not None}
    return Packed(format=1, run_id=run_id, dev=dev, predicted=predicted, logits=logits or None)


def write(folder: Path, predictions: Packed) -> None:
    """Put the file in place in a run folder; the same predictions give the same bytes."""
    text = json.dumps(predictions.document(), separators=(",", ":"))
    write_bytes(folder / FILE, gzip.compress(text.encode(), mtime=0))


def read(folder: Path, run_id: str) -> Packed | None:
    """A run folder's predictions, None without the file; ValueError of one line if it is damaged or another run's."""
    try:
        text = gzip.decompress((folder / FILE).read_bytes())
    except FileNotFoundError:  # a result of an old version
        return None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    predictions = parsed(Packed, text)
    if predictions.run_id != run_id:
        raise ValueError(f"its run_id is {predictions.run_id}, not {run_id}")
    predictions.splits()
    return predictions


def built(kind: type[T], values: Mapping[str, object]) -> T:
    """A dataclass of this module from its fields; ValueError of one line if they do not fit."""
    try:
        return kind(**values)
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from error


def _bits(classes: int) -> int:
    return max(1, (classes - 1).bit_length())


def _packed(values: np.ndarray[Any, np.dtype[Any]], classes: int | None) -> str:
    import numpy as np

    if classes is None:
        planes = np.ascontiguousarray(values, FLOAT).view(np.uint8).reshape(-1, 4).T
        return base64.b64encode(planes.tobytes()).decode()
    bits = (values[:, None] >> np.arange(_bits(classes))[::-1]) & 1
    return base64.b64encode(np.packbits(bits.astype(bool)).tobytes()).decode()


def _unpacked(text: str, rows: int, classes: int | None, what: str) -> Array:
    import numpy as np

    try:
        data = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except ValueError as error:
        raise ValueError(f"the {what} are damaged ({error})") from error
    expected = 4 * rows if classes is None else -(-rows * _bits(classes) // 8)
    if len(data) != expected:
        raise ValueError(f"the {what} are {len(data)} bytes, and {rows} rows take {expected}")
    if classes is None:
        numbers = np.ascontiguousarray(data.reshape(4, rows).T).view(FLOAT)[:, 0].astype(np.float32)
        if not np.isfinite(numbers).all():
            raise ValueError(f"the {what} are not all finite")
        return numbers
    bits = np.unpackbits(data, count=rows * _bits(classes)).reshape(rows, -1).astype(np.int64)
    values: Array = bits @ (1 << np.arange(_bits(classes))[::-1])
    if values.max() >= classes:
        raise ValueError(f"the {what} name class {values.max()}, and there are {classes}")
    return values
