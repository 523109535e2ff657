"""What a compression method is to the training loop: a few verbs, called by name.

A method sees the model and how far training has come, never the loop or another method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from compress.checked import checked

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

# how many training rows -> batches of them, drawn by the seed, the same ones whenever asked: what a forward pass takes
Batches = Callable[[int], Iterable[Mapping[str, "torch.Tensor"]]]


class Method:
    """What a method may do; it overrides what it needs."""

    # whether it reads or changes embeddings other than by the forward pass; if no method does, rows that no training
    # text looks up are not there while training
    all_embeddings = True

    def prepare(self, model: torch.nn.Module) -> None:
        """Rebuild the model for training with this method."""

    def before_step(self, progress: float) -> None:
        """Follow the schedule; `progress` runs from 0 (the first step) to 1 (once more when training has ended)."""

    def loss(self, loss: torch.Tensor, logits: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
        """Add to or replace the loss of a batch, of which `rows` are the numbers among those that are trained on.

        Logits are float32 [batch, outputs], rows [batch].
        """
        return loss

    def after_backward(self, model: torch.nn.Module) -> None:
        """Read or change the gradients, before they are clipped and the optimizer takes its step."""

    def after_step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Restore what the optimizer's step must not change."""

    def calibrate(self, model: torch.nn.Module, batches: Batches) -> None:
        """Look at what the trained model computes of training rows, and rebuild it: `model(**batch)`, no gradients.

        Called once, after training, with the weights that are kept, in eval mode; what it leaves is scored, and what
        `finalize` leaves must predict the same.
        """

    def finalize(self, model: torch.nn.Module) -> None:
        """Leave the compressed model with no trace of training in it; called once, by whoever trained."""

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether the model, loaded from the artifact, shows that the method was applied; else the experiment fails."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to see in the artifact that it was applied")

    def settled(self) -> bool:
        """Whether the model is as compressed as it will be, so that its score may count for `train.select=best`."""
        return True

    def metrics(self) -> dict[str, float]:
        """Numbers worth logging while training."""
        return {}

    def notes(self) -> list[str]:
        """What a reader of the result should know of it; asked for when training has ended."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What has to be saved to go on later."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


@checked
class LearnsFromTeacher:
    """Options of a method that wants the logits of a teacher: an uncompressed experiment, which is run before."""

    teacher: str = Field(
        description="the teacher: an option of `model`, or a checkpoint's folder or hub name", min_length=1
    )
    weak_teacher: bool = Field(
        default=False, description="accept a teacher that is no better on the dev set than a constant answer"
    )


@checked
class EnlargesData:
    """Options of a method that trains on rewritten copies of the training rows too."""

    copies: int = Field(description="copies of each training row in which words are replaced by synonyms", ge=0)
    replace: float = Field(description="share of a row's replaceable words that a copy replaces", gt=0, le=1)
    wordnet: str | None = Field(description="folder of WordNet's database files; null: search the usual places")
    rewrite: bool = Field(default=True, description="false: the copies are the unchanged rows, as a control")
    steps: Literal["enlarged", "original"] = Field(
        default="enlarged",
        description="number of training steps: as for the enlarged training set, or as for the original one",
    )
