"""What gluebenchmark.com takes: a file for each test split, `index` and `prediction` apart by a tab, all in one zip.

Names, labels and numbers of rows are those of the benchmark's sample submission.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compress.errors import ConfigError
from compress.task.config import TaskConfig

NLI = ("entailment", "neutral", "contradiction")
PAIR = ("entailment", "not_entailment")
HIGHEST = 5.0  # of STS-B's scores, the lowest is 0
EPOCH = (1980, 1, 1, 0, 0, 0)  # of the files in a zip: the same predictions give the same bytes


@dataclass(frozen=True)
class File:
    """One of the benchmark's files, without its `.tsv`.

    Attributes:
        rows: of the test split.
        labels: the classes in the order of GLUE's numbers; None: a score.
        named: whether a prediction is the class's name; else it is its number.
    """

    name: str
    rows: int
    labels: tuple[str, ...] | None
    named: bool = False


FILES: dict[tuple[str, str], File] = {  # by task and split
    ("cola", "test"): File("CoLA", 1063, ("unacceptable", "acceptable")),
    ("sst2", "test"): File("SST-2", 1821, ("negative", "positive")),
    ("mrpc", "test"): File("MRPC", 1725, ("not_equivalent", "equivalent")),
    ("stsb", "test"): File("STS-B", 1379, None),
    ("qqp", "test"): File("QQP", 390_965, ("not_duplicate", "duplicate")),
    ("mnli", "test_matched"): File("MNLI-m", 9796, NLI, named=True),
    ("mnli", "test_mismatched"): File("MNLI-mm", 9847, NLI, named=True),
    ("qnli", "test"): File("QNLI", 5463, PAIR, named=True),
    ("rte", "test"): File("RTE", 3000, PAIR, named=True),
    ("ax", "test"): File("AX", 1104, NLI, named=True),
}
DIAGNOSTIC = "ax"  # a test split that the model of MNLI answers
LEFT_OUT = ("WNLI",)  # the server wants it, and the study has no such task


def file_of(task: TaskConfig, split: str) -> File:
    """The benchmark's file of a task's test split; ConfigError if it has none, or other classes."""
    file = FILES.get((task.name, split))
    if file is None:
        names = ", ".join(dict.fromkeys(name for name, _ in FILES if name != DIAGNOSTIC))
        raise ConfigError(f"--submission: task={task.name} is none of GLUE's ({names}); leave its run out")
    if (file.labels is None) != (task.labels is None) or {*(file.labels or ())} != {*(task.labels or ())}:
        given, wanted = ", ".join(task.labels or ["a score"]), ", ".join(file.labels or ["a score"])
        raise ConfigError(f"--submission: task={task.name} has the labels {given}, GLUE's {wanted}; leave its run out")
    return file


def text(
    file: File, predictions: Sequence[int] | Sequence[float], labels: Sequence[str] | None, order: Sequence[object]
) -> str:
    """A file's text.

    Args:
        predictions: the task's numbers of classes, or scores, which are cut to 0 to 5.
        labels: the task's class names, in the order of its numbers.
        order: `idx` of each row, where the data has it: rows are sorted by it if it numbers them from 0 on.
    """
    if len(predictions) != file.rows:
        told = f"GLUE's test split has {file.rows} rows, not {len(predictions)}; give the official one, whole"
        raise ConfigError(f"--submission: {file.name}: {told}")
    rows: Sequence[int] = range(len(predictions))
    places = [int(str(value)) for value in order if str(value).isdecimal()]
    if sorted(places) == list(rows):
        rows = sorted(rows, key=places.__getitem__)
    lines = [f"{number}\t{_written(file, predictions[row], labels)}\n" for number, row in enumerate(rows)]
    return "index\tprediction\n" + "".join(lines)


def _written(file: File, prediction: float, labels: Sequence[str] | None) -> str:
    if labels is None or file.labels is None:
        return f"{min(max(prediction, 0.0), HIGHEST):.3f}"
    name = labels[int(prediction)]
    return name if file.named else str(file.labels.index(name))


def missing(there: Sequence[File]) -> list[str]:
    """Names of what the server wants besides these files."""
    return [file.name for file in FILES.values() if file not in there] + list(LEFT_OUT)


def zipped(files: Mapping[str, str]) -> bytes:
    """A zip of texts by their files' names, in no folder."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return stream.getvalue()
