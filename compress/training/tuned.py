"""Learning rate and number of passes by task and model, as a search over uncompressed models found them.

`python -m launch tune` writes such a table as an option of the group `train`. All subsets of the methods train alike.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # typing's own tells pydantic too little before Python 3.12

from compress.errors import ConfigError, nearest

Rate = Annotated[float, Field(gt=0)]
Epochs = Annotated[int, Field(ge=1)]
CHECKED = ConfigDict(extra="forbid", strict=True)


@with_config(CHECKED)
class Choice(TypedDict):
    """Of one task and model."""

    learning_rate: Rate  # peak, after warm-up
    epochs: Epochs


@with_config(CHECKED)
class Tuned(TypedDict):
    """What was tried, and what was chosen."""

    learning_rates: list[Rate]
    epochs: list[Epochs]
    seeds: list[int]  # of the runs that were compared; no other run may have them
    chosen: dict[str, dict[str, Choice]]  # by task, then by the model's name


def choice(tuned: Tuned, task: str, model: str) -> Choice:
    """What was chosen for a model and a task; ConfigError if nothing was."""
    by_model = tuned["chosen"].get(task, {})
    if model in by_model:
        return by_model[model]
    there = f"for {task} it has {', '.join(by_model)}{nearest(model, by_model)}" if by_model else f"none for {task}"
    search = f"python -m compress -m +experiment=search task={task} model=…, then python -m launch tune"
    raise ConfigError(
        f"train.tuned: has no learning rate and passes for {model} on {task} ({there}); search them ({search}), "
        "or choose train=paper"
    )
