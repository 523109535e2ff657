"""What a sweeper that optimises is told of an experiment: one number of its result, or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from compress.config import identity
from compress.config.memo import Memo
from compress.config.schema import Config
from compress.errors import nearest
from compress.runs import result
from compress.runs.result import Result, Size, Timing
from launch.sweep import SWEEPS, all_sweeps, concerned

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

PLAIN = ("score_glue", "score_accuracy", "sparsity")
NESTED = {"size": [field.name for field in fields(Size) if field.name != "by_part"],
          "timing": [field.name for field in fields(Timing)]}  # fmt: skip
BY_NAME = ("metrics", "metrics_training")  # which of them there are is the task's
KEYS = (*PLAIN, *(f"{name}.{key}" for name, keys in NESTED.items() for key in keys))


def _checked(objective: str | list[str]) -> str | list[str]:
    """Keys of the result that have a number; ValueError for any other."""
    for key in [objective] if isinstance(objective, str) else objective:
        group, _, name = key.partition(".")
        if key not in KEYS and not (group in BY_NAME and name):
            raise ValueError(f"must be of {', '.join(KEYS)}, metrics.NAME{nearest(key, KEYS)}")
    if not objective:
        raise ValueError("must have a key")
    return objective


Objective = Annotated[str | list[str], AfterValidator(_checked)]  # of settings


def value(finished: Result, key: str) -> float:
    """The number at a key of a result; ValueError if it is undefined or not there."""
    found: object = finished.document()
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, int | float) or not math.isfinite(found):
        raise ValueError(f"its {key} is undefined")
    return float(found)


def answers(
    jobs: Sequence[Sequence[str]], configs: Sequence[Config], objective: str | Sequence[str]
) -> list[JobReturn]:
    """For every job what became of it, as Hydra's sweepers take it: the objective, or why there is none."""
    from hydra.core.utils import JobReturn, JobStatus

    memo, returns = Memo(), []
    keys = [objective] if isinstance(objective, str) else list(objective)
    for words, config in zip(jobs, configs, strict=True):
        folder = identity.run_folder(config, memo)
        answer = JobReturn(overrides=list(words), working_dir=str(folder), task_name="compress")
        finished = result.read(folder, folder.name)
        try:
            if finished is None:
                raise ValueError(_cause(folder))
            values = [value(finished, key) for key in keys]
        except ValueError as error:
            answer.status, answer.return_value = JobStatus.FAILED, error
        else:
            answer.status = JobStatus.COMPLETED
            answer.return_value = values[0] if isinstance(objective, str) else values
        returns.append(answer)
    return returns


def _cause(folder: Path) -> str:
    """What an experiment failed of, as its sweep or its folder says."""
    run_id, runs = folder.name, folder.parents[3]
    last = concerned(all_sweeps(runs)).get(run_id) if (runs / SWEEPS).is_dir() else None
    outcome = last.outcomes().get(run_id) if last is not None else None
    return (outcome.cause if outcome is not None else result.failure(folder)) or "it is not finished"
