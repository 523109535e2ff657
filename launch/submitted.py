"""What a sweep has submitted to SLURM, in its folder: written down before sbatch is called, completed afterwards.

arrays/<n>.json   one call of sbatch: the job's name, the experiments of each element, and SLURM's id once it is known
borrowed.json     experiments that are left to jobs of other sweeps: run_id -> job id

Who is killed between sbatch and its note of the id leaves an array without one; `launch.scheduler.find_again` asks
SLURM for a job of that name. A job id alone proves nothing: SLURM gives old ids again once its own state is gone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from compress import result

ARRAYS, BORROWED = "arrays", "borrowed.json"
PREFIX = "compress"


@dataclass(frozen=True)
class Array:
    """One call of sbatch: a job array, or a plain job where there is one element only.

    Attributes:
        number: of the call, within the sweep.
        name: of the job, `compress-<8 digits of the sweep>-<number>`; no two arrays have the same.
        elements: the run_ids of each element, by its index.
        pickles: of each element, the file below `jobs/` that submitit is to find as `<job id>_submitted.pkl`.
        job: SLURM's id, of the whole array; None: it is not known whether there is one.
    """

    number: int
    name: str
    elements: list[list[str]]
    pickles: list[str]
    job: str | None = None

    def job_ids(self) -> list[str]:
        """The job of each element: `34_0`, `34_1`, …; `34` of the only one. None as long as SLURM's id is not known."""
        if self.job is None:
            return []
        return [self.job] if len(self.elements) == 1 else [f"{self.job}_{i}" for i in range(len(self.elements))]

    def jobs(self) -> dict[str, str]:
        """The job of each experiment."""
        return {run_id: job for job, element in zip(self.job_ids(), self.elements) for run_id in element}  # noqa: B905


def intend(folder: Path, elements: Sequence[Sequence[str]], pickles: Sequence[str] = ()) -> Array:
    """Write down what is about to be submitted, before sbatch is called with `--job-name` of what is returned.

    Args:
        folder: the sweep's.
        elements: the run_ids of each element of the array.
        pickles: names of files below `jobs/`, of each element; `confirm` renames them.
    """
    before = arrays(folder)
    number = before[-1].number + 1 if before else 0
    tag = before[-1].name.split("-")[1] if before else secrets.token_hex(4)
    array = Array(number, f"{PREFIX}-{tag}-{number}", [list(element) for element in elements], list(pickles))
    _write(folder, array)
    return array


def confirm(folder: Path, array: Array, job: str) -> Array:
    """Write down SLURM's id of what was submitted, and put the pickles where the job looks for them.

    Raises:
        OSError: the sweep's folder cannot be written.
    """
    known = replace(array, job=job)
    for element, pickle in zip(known.job_ids(), known.pickles):  # noqa: B905 - there may be none
        with suppress(FileNotFoundError):  # it was renamed already
            (folder / "jobs" / pickle).rename(folder / "jobs" / f"{element}_submitted.pkl")
    _write(folder, known)
    return known


def withdraw(folder: Path, array: Array) -> None:
    """Forget what was to be submitted: SLURM refused it, and has no job of that name."""
    for pickle in array.pickles:
        (folder / "jobs" / pickle).unlink(missing_ok=True)
    _file(folder, array).unlink(missing_ok=True)


def arrays(folder: Path) -> list[Array]:
    """All that was submitted or was to be, in that order."""
    return sorted(_read(folder), key=lambda array: array.number)


def unconfirmed(folder: Path) -> list[Array]:
    """Those of which nobody has written down the id."""
    return [array for array in arrays(folder) if array.job is None]


def own(folder: Path) -> dict[str, str]:
    """The job of each experiment that this sweep has submitted; the last one, where there were several."""
    return {run_id: job for array in arrays(folder) for run_id, job in array.jobs().items()}


def borrow(folder: Path, jobs: Mapping[str, str]) -> None:
    """Leave experiments to jobs of other sweeps."""
    result.write_json(folder / BORROWED, {**borrowed(folder), **jobs})


def borrowed(folder: Path) -> dict[str, str]:
    """Experiments that are left to jobs of other sweeps, and those jobs."""
    try:
        found: dict[str, str] = json.loads((folder / BORROWED).read_text())
    except FileNotFoundError:
        return {}
    return found


def return_borrowed(folder: Path) -> None:
    """Wait for no other sweep's jobs any more."""
    (folder / BORROWED).unlink(missing_ok=True)


def _read(folder: Path) -> Iterator[Array]:
    for file in (folder / ARRAYS).glob("*.json"):
        values: dict[str, Any] = json.loads(file.read_text())
        yield Array(**values)


def _write(folder: Path, array: Array) -> None:
    result.write_json(_file(folder, array), asdict(array))


def _file(folder: Path, array: Array) -> Path:
    return folder / ARRAYS / f"{array.number}.json"
