"""What a sweep has submitted to SLURM, in its folder: written down before sbatch is called, completed afterwards.

arrays/<n>.json   one call of sbatch: the job's name, the experiments of each element, and SLURM's id once it is known
borrowed.json     experiments that are left to jobs of other sweeps: run_id -> job id

Who is killed between sbatch and its note of the id leaves an array without one; `scheduler.confirm_submitted` asks
SLURM for a job of that name. A job id alone proves nothing: SLURM gives old ids again once its own state is gone.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from compress import checked
from compress.checked import stored
from compress.storage.files import signature, write_json

ARRAYS, BORROWED = "arrays", "borrowed.json"
T = TypeVar("T")


@stored
class Array:
    """One call of sbatch: a job array, or a plain job where there is one element only."""

    number: int  # of the call, within the sweep
    name: str  # of the job, `<what it runs>-<8 digits of the sweep>-<number>`; no two arrays have the same
    elements: list[list[str]]  # the run_ids of each element, by its index
    written: float  # when, in seconds of the epoch
    user: int  # the number of who submits it
    job: str | None = None  # SLURM's id, of the whole array; None: it is not known whether there is one

    def is_named(self, name: str) -> bool:
        """Whether a job of that name is one of these: those of an array are given names of their own as they start."""
        return name == self.name_of(name.rsplit("-", 2)[0])

    def name_of(self, what: str) -> str:
        """The name of a job of these that runs this."""
        return "-".join([what, *self.name.rsplit("-", 2)[1:]])

    def job_ids(self) -> list[str]:
        """The job of each element: `34_0`, `34_1`, …; `34` of the only one. None as long as SLURM's id is not known."""
        if self.job is None:
            return []
        return [self.job] if len(self.elements) == 1 else [f"{self.job}_{i}" for i in range(len(self.elements))]

    def jobs(self) -> dict[str, str]:
        """The job of each experiment."""
        return {run_id: job for job, element in zip(self.job_ids(), self.elements) for run_id in element}  # noqa: B905


def intend(folder: Path, elements: Sequence[Sequence[str]], what: str = "compress") -> Array:
    """Write down what is about to be submitted, before sbatch is called with `--job-name` of what is returned.

    The name begins with `what`, and ends such that no other array has it.
    """
    before = arrays(folder)
    number = before[-1].number + 1 if before else 0
    tag = before[-1].name.rsplit("-", 2)[1] if before else secrets.token_hex(4)
    array = Array(number, f"{what}-{tag}-{number}", [list(element) for element in elements], time.time(), os.getuid())
    _write(folder, array)
    return array


def confirm(folder: Path, array: Array, job: str) -> Array:
    """Write down SLURM's id of what was submitted; OSError if the sweep's folder cannot be written."""
    confirmed = replace(array, job=job)
    _write(folder, confirmed)
    return confirmed


def withdraw(folder: Path, array: Array, *, late: bool = False) -> None:
    """Forget what was to be submitted: SLURM has no job of that name, but may get one if an sbatch is `late`."""
    if late:  # it outlived who called it: the number stays taken, without elements, so that its job finds nothing to do
        _write(folder, replace(array, elements=[]))
    else:
        (folder / ARRAYS / f"{array.number}.json").unlink(missing_ok=True)


def arrays(folder: Path) -> list[Array]:
    """All that was submitted or was to be, in that order; a file that is damaged is told of and left out."""
    read = (_read(Array, file) for file in (folder / ARRAYS).glob("*.json"))
    return sorted((array for array in read if array is not None), key=lambda array: array.number)


def unconfirmed(folder: Path) -> list[Array]:
    """Those of which nobody has written down the id."""
    return [array for array in arrays(folder) if array.job is None and array.elements]


def own_jobs(folder: Path) -> dict[str, str]:
    """The job of each experiment that this sweep has submitted; the last one, where there were several."""
    return {run_id: job for array in arrays(folder) for run_id, job in array.jobs().items()}


def borrow(folder: Path, jobs: Mapping[str, str]) -> None:
    """Leave experiments to jobs of other sweeps."""
    if jobs:
        write_json(folder / BORROWED, {**borrowed(folder), **jobs})


def borrowed(folder: Path) -> dict[str, str]:
    """Experiments that are left to jobs of other sweeps, and those jobs."""
    return dict(_read(dict[str, str], folder / BORROWED) or {})


def return_borrowed(folder: Path) -> None:
    """Wait for no other sweep's jobs any more."""
    (folder / BORROWED).unlink(missing_ok=True)


def _read(kind: type[T], file: Path) -> T | None:
    """What a file says; None if it is not there (any more), or is damaged."""
    try:
        now = signature(file)
    except FileNotFoundError:
        return None
    return cast(T | None, _parsed(file, now, kind is Array))


@lru_cache(maxsize=10_000)
def _parsed(file: Path, signed: tuple[int, ...], is_array: bool) -> Array | dict[str, str] | None:
    """A file as it was written then: who watches a sweep reads each once, and is told once of one that is damaged."""
    try:
        return checked.read(Array, file) if is_array else checked.read(dict[str, str], file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        print(f"{file}: cannot be read ({error}); what it says was submitted is not known", file=sys.stderr)
        return None


def _write(folder: Path, array: Array) -> None:
    write_json(folder / ARRAYS / f"{array.number}.json", asdict(array))
