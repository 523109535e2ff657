"""What a job of SLURM is asked to be: how experiments are put into jobs and job arrays, and how many run at once."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from pydantic import Field, field_validator

from compress.checked import checked
from compress.config.resources import WHERE, Needs
from launch.commands import portions
from launch.experiments import Planned
from launch.objective import Objective

OURS = ("array", "dependency", "error", "job-name", "kill-on-invalid-dep", "open-mode", "output", "parsable", "signal",
        "test-only", "wait", "wrap")  # fmt: skip


@checked
class SlurmSettings:
    """`hydra/launcher=slurm`."""

    partition: str | None = Field(description="sbatch --partition; null: resources.partition")
    account: str | None = Field(description="sbatch --account; null: resources.account")
    qos: str | None = Field(description="sbatch --qos; null: resources.qos")
    constraint: str | None = Field(description="sbatch --constraint; null: resources.constraint")
    additional: dict[str, str | int | float | bool] = Field(
        description="other options of sbatch by their names, such as {exclude: node7}"
    )
    setup: list[str] = Field(description="shell lines that run before each job; the job fails if one of them fails")
    throttle: int | None = Field(description="how many jobs of the sweep may run at once; null: no limit", ge=1)
    pack: int = Field(description="runs in one job, if they request the same resources", ge=1)
    per_device: int = Field(description="runs of a job at once", ge=1)
    threads: int | None = Field(
        description="CPU threads of each run; null: resources.cpus divided among the runs", ge=1
    )
    timeout_min: float | None = Field(description="minutes that a run may take; null: resources.timeout_min", gt=0)
    signal_seconds: int = Field(
        description="seconds before its time limit at which a job writes checkpoints and is requeued", ge=1
    )
    max_requeues: int = Field(description="how many times a job may be requeued", ge=0)
    array_size: int = Field(
        description="largest number of jobs in one job array; clusters have a limit (MaxArraySize)", ge=1
    )
    python: str | None = Field(
        description="command that starts Python on the nodes; null: this Python, or `python` in a container"
    )
    container: str | None = Field(
        default=None,
        description="container of the jobs: a command that stands before Python; if it begins with --, options of srun",
        min_length=1,
    )
    objective: Objective = Field(
        default="score_glue", description="what a search optimises: a key of result.json, or a list of keys"
    )
    wait: bool = Field(description="false: the command returns when all jobs are submitted")

    @field_validator("additional")
    @classmethod
    def _leave_ours(cls, options: dict[str, object]) -> dict[str, object]:
        """Refuse the options that jobs are followed by."""
        if taken := [name for name in options if name.replace("_", "-") in OURS]:
            raise ValueError(f"{taken[0]} is set by the launcher; leave it out")
        return options

    @field_validator("container")
    @classmethod
    def _read_as_words(cls, command: str | None) -> str | None:
        """Refuse what bash would not read as words."""
        try:
            shlex.split(command or "")
        except ValueError as error:
            raise ValueError(f"must be words as bash reads them ({str(error).lower()})") from error
        return command


@dataclass(frozen=True)
class Batch:
    """Elements of one job array: they ask for the same and wait for the same."""

    resources: Needs
    after: tuple[str, ...]  # the teacher, and the start, that must have succeeded first
    elements: list[list[str]]  # the run_ids of each
    lane: int | None = None  # of a sweep with a throttle: the arrays of a lane run one after the other
    at_once: int | None = None  # how many elements may run at once; None: all

    def run_ids(self) -> list[str]:
        """The experiments of all elements."""
        return [run_id for element in self.elements for run_id in element]

    def minutes(self, settings: SlurmSettings) -> int:
        """The time limit of a job: that of an experiment, as often as its experiments follow one another."""
        rounds = max(math.ceil(len(element) / settings.per_device) for element in self.elements)
        return math.ceil((settings.timeout_min or self.resources.timeout_min) * rounds)

    def where(self, settings: SlurmSettings) -> dict[str, str]:
        """Partition, account, qos and constraint of a job, where they are given; the launcher's first."""
        given = {key: getattr(settings, key) or getattr(self.resources, key) for key in WHERE}
        return {key: value for key, value in given.items() if value is not None}


def batches(to_run: Sequence[Planned], settings: SlurmSettings, awaited: Collection[str]) -> list[Batch]:
    """How experiments are put into job arrays, in the order in which they are submitted.

    First those that others need (teachers, and models to start from), then those that wait for nobody, then the others.
    What is needed has jobs of its own, lest another's failure keep others from starting. `awaited` are those that are
    not finished, and will be.
    """
    needed = {run_id for planned in to_run for run_id in planned.needs}
    groups: dict[tuple[int, Needs, tuple[str, ...]], list[Planned]] = defaultdict(list)
    for planned in to_run:
        after = tuple(run_id for run_id in planned.needs if run_id in awaited)
        stage = 0 if planned.run_id in needed else 2 if after else 1
        groups[stage, planned.resources, after].append(planned)
    whole = []
    for (stage, resources, after), members in sorted(groups.items(), key=lambda group: group[0][0]):
        packs = portions([planned.run_id for planned in members], settings.pack if stage else 1)
        whole.append(Batch(resources, after, [list(pack) for pack in packs]))
    seconds = {planned.run_id: planned.seconds for planned in to_run}
    return [replace(batch, elements=list(elements)) for batch in _throttled(whole, settings.throttle, seconds)
            for elements in portions(batch.elements, settings.array_size)]  # fmt: skip


def _throttled(arrays: list[Batch], throttle: int | None, seconds: dict[str, float]) -> Iterator[Batch]:
    """The same with no more than `throttle` elements at once, of all arrays together.

    SLURM limits the elements of one array, not those of several: so a lane is a chain of arrays, each of which runs one
    element at a time and starts when the one before it has ended; an element goes to the lane that is expected to be
    free first.
    """
    if throttle is None or sum(len(batch.elements) for batch in arrays) <= throttle:
        yield from arrays
        return
    if len(arrays) == 1:
        yield replace(arrays[0], lane=0, at_once=throttle)
        return
    ends = [0.0] * throttle
    for batch in arrays:
        shares: dict[int, list[list[str]]] = defaultdict(list)
        for element in batch.elements:
            lane = ends.index(min(ends))
            ends[lane] += sum(seconds[run_id] for run_id in element)
            shares[lane].append(element)
        for lane, elements in sorted(shares.items()):
            yield replace(batch, elements=elements, lane=lane, at_once=1)
