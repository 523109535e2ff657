"""result.json: one flat, versioned document per finished experiment; no torch needed to read it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from compress.checked import first_mistake
from compress.errors import ConfigError
from compress.runs import schema1
from compress.storage import atomic
from compress.storage.files import as_json
from compress.wording import megabytes

SCHEMA = 3  # of result.json and of the identity in it; results of 1 and 2 are read
# 2: methods that are off are not mentioned; 3: trained with other rounding and random numbers, the fields are the same
FILE, ERROR = "result.json", "error.json"
RUN_ID = re.compile("[0-9a-f]{12}")
LAST = ("config", "identity")  # in the file: they are long, and people read the scores first
READ = ConfigDict(extra="ignore")


class MalformedError(ValueError):
    """A document that is no result, or of another schema; says what is wrong in one sentence."""


@dataclass(frozen=True, kw_only=True, config=READ)
class Compression:
    """One method of an experiment, as those who read results must know it."""

    method: str  # its configuration group: `prune`
    option: str  # what the group was set to: `magnitude`
    noun: str  # what prose calls the method: `pruning`
    position: int  # names stand in the order of this number, then of the alphabet
    shrinks: bool  # whether it makes the stored model smaller; else it trains otherwise
    strength: str | None = None  # the key that says how much it compresses: `sparsity`; None without such a key
    value: int | float | None = None  # its value


@dataclass(frozen=True, kw_only=True, config=READ)
class Part:
    """Parameters of a model or of a part of it."""

    parameters: int  # of the uncompressed architecture
    nonzero: int  # numbers that survive
    nominal_bytes: int  # by the study's rule, 4 for each survivor, 1 where it is int8

    least: ClassVar[int] = 0  # that a number may be

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, int) and value < self.least:
                raise ValueError(f"its size.{name} is {value}, not a positive number")


@dataclass(frozen=True, kw_only=True, config=READ)
class Size(Part):
    """Of the whole model; `artifact_bytes` is the size of the weight file, `by_part` has embeddings, encoder, head."""

    artifact_bytes: int
    by_part: dict[str, Part] = field(default_factory=dict)  # results from elsewhere may lack it

    least: ClassVar[int] = 1


@dataclass(frozen=True, kw_only=True, config=READ)
class Timing:
    """What a run took; `resumed` is how often it went on from a checkpoint, `wall_seconds` are without tracking.

    Of one that was resumed, seconds and memory are those of its last process.
    """

    train_seconds: float | None = None
    steps: int | None = None
    steps_per_second: float | None = None
    resumed: int = 0
    wall_seconds: float | None = None
    cpu_seconds: float | None = None  # of all cores together
    memory_bytes: int | None = None  # most at once of main memory
    gpu_memory_bytes: int | None = None  # most at once of the GPU's; None without one


@dataclass(frozen=True, kw_only=True, config=READ)
class Head:
    """What is known of a run before it starts."""

    schema: int
    run_id: str
    model: str
    task: str
    methods: list[str]  # groups of the active methods, in the order in which they are named
    seed: int
    compression: list[Compression]  # of each of them, in the same order
    config: dict[str, Any]  # the full configuration; a method that is off is not in it
    identity: dict[str, Any]  # what the run_id is the hash of

    @property
    def subset(self) -> str:
        """The methods as folders and tables name them: joined with `+`, or `none`."""
        return "+".join(self.methods) or "none"


@dataclass(frozen=True, kw_only=True, config=READ)
class Result(Head):
    """A finished experiment."""

    metrics: dict[str, float | None]  # name -> value, of the artifact loaded from disk; None is undefined (0/0)
    score_glue: float | None  # mean of the task's official metrics, points from -100 to 100
    score_accuracy: float | None  # accuracy-style score, points: the mean of accuracies, or of STS-B's correlations
    size: Size
    timing: Timing
    environment: dict[str, Any]
    metrics_training: dict[str, float | None]  # the same metrics of the model in training, so that a difference shows
    epoch_scores: list[float | None]  # dev scores after each epoch, if it selected by them
    teacher_run_id: str | None  # None without a teacher
    sparsity: float  # share of the prunable entries that are zero
    artifact_sha256: str | None  # over the artifact's files; None in results of old versions
    notes: list[str]  # what a reader should know, one sentence each
    start: dict[str, Any] | None  # which checkpoint it started from, and what of the model was new

    def __post_init__(self) -> None:
        for name in ("score_glue", "score_accuracy"):
            score = getattr(self, name)
            if score is not None and not -100.0 <= score <= 100.0:
                raise ValueError(f"its {name} is {score}, not between -100 and 100")

    def document(self) -> dict[str, Any]:
        """As result.json has it."""
        values = asdict(self)
        return {key: values[key] for key in (*(key for key in values if key not in LAST), *LAST)}

    def summary(self, name: str | None = None) -> str:
        """One line: what it was, by another name if it is given, and what came out."""
        metrics = "  ".join(f"{name} {_rounded(value, 4)}" for name, value in self.metrics.items())
        strengths = [f"{method.strength} {method.value:g}" for method in self.compression if method.value is not None]
        what = " ".join([self.task, self.model, self.subset, *strengths, f"seed {self.seed}"])
        size, seconds = f"{megabytes(self.size.artifact_bytes)} MB", _rounded(self.timing.wall_seconds, 1)
        return f"{name or what}: score {_rounded(self.score_glue, 1)}  {metrics}  {size}  {seconds} s"


def _rounded(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


OPTIONAL: Mapping[str, object] = {  # what results from elsewhere, or of old versions, may lack
    "metrics": {}, "metrics_training": {}, "epoch_scores": [], "teacher_run_id": None, "sparsity": 0.0,
    "artifact_sha256": None, "notes": [], "start": None, "timing": {}, "environment": {},
}  # fmt: skip


def from_document(document: Mapping[str, object]) -> Result:
    """The result in a document of this schema or of the first one; MalformedError if it is none, or of another."""
    if not isinstance(document, Mapping):
        raise MalformedError("it holds no fields")
    schema = document.get("schema")
    if schema not in (1, 2, SCHEMA):
        raise MalformedError(f"its schema is {schema!r}, and {SCHEMA} is what is read here")
    try:
        whole = {**OPTIONAL, "size": None, **(schema1.upgraded(document) if schema == 1 else document)}
        return TypeAdapter(Result).validate_python(_without_nan(whole))
    except ValidationError as error:
        raise MalformedError(first_mistake(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedError(f"it has no {error}" if isinstance(error, KeyError) else str(error)) from error


def _without_nan(value: object) -> object:
    """With null for what is undefined: not everybody who passes JSON on keeps NaN as it was."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, float) and value != value:
        return None
    return None if isinstance(value, str) and value.lower() in ("nan", "infinity", "-infinity") else value


@contextmanager
def written_last(folder: Path, result: Result) -> Iterator[None]:
    """A context for what comes before a result, which is on disk then (else OSError), and in place if it ends well."""
    with atomic.new_file(folder / FILE) as stream:
        stream.write(as_json(result.document()).encode())
        stream.flush()
        os.fsync(stream.fileno())
        yield


def read(folder: Path, run_id: str) -> Result | None:
    """The result of a finished experiment: there, whole, and of this id; ConfigError if this user may not read it."""
    file = folder / FILE
    try:
        result = from_document(json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); have it made readable, or remove it") from error
    return result if (result.run_id, result.schema) == (run_id, SCHEMA) else None


def run_folders(runs: Path) -> Iterator[Path]:
    """Every run folder `<task>/<model>/<methods>/<run_id>`, in order; not those of another folder of runs below it."""
    return (folder for folder in sorted(runs.glob("[!.]*/[!.]*/[!.]*/*/")) if RUN_ID.fullmatch(folder.name))


def failure(folder: Path) -> str | None:
    """What an experiment failed of, in one line, as error.json says; None without one."""
    try:
        error = json.loads((folder / ERROR).read_text(encoding="utf-8"))
        return f"{error['type']}: {(str(error['message']).splitlines() or [''])[0]}"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as damage:
        return f"error.json cannot be read ({damage})"
