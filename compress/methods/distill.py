"""Knowledge distillation from a teacher's logits (Hinton et al., 2015, section 2).

The teacher has read the training set once, before the student starts; here it is an array of numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.methods import Method

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class DistillConfig:
    """Whom the student learns from, how, and on what."""

    name: Literal["none", "kd"] = Field(description="which method")
    teacher: str = Field(description="option of the group model, or a checkpoint: folder or hub name", min_length=1)
    temperature: float = Field(description="softens both models' probabilities", gt=0)
    alpha: float = Field(description="weight of the teacher's answers; the labels have the rest", ge=0, le=1)
    copies: int = Field(description="rewritten copies of each training row, by synonym replacement", ge=0)
    replace: float = Field(description="share of the replaceable words that a copy replaces", gt=0, le=1)
    wordnet: str | None = Field(description="folder of WordNet's database files; null: the usual places")
    weak_teacher: bool = Field(default=False, description="take a teacher no better than the best constant answer")


def distillation_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), the mean over the batch (Hinton et al., 2015, section 2).

    T² keeps the gradient's size when T changes. With one output, a regression's: the mean squared difference.

    Args:
        logits: of the student, float32 [batch, outputs].
        teacher: the same of the teacher.
    """
    from torch.nn import functional

    if logits.shape[-1] == 1:
        return functional.mse_loss(logits, teacher)
    student = functional.log_softmax(logits / temperature, dim=-1)
    target = functional.log_softmax(teacher / temperature, dim=-1)
    return temperature**2 * functional.kl_div(student, target, reduction="batchmean", log_target=True)


class Distill(Method):
    """Mixes the loss on the labels with the one on the teacher's logits.

    Args:
        teacher: logits of the rows that are trained on, in their order, float32 [rows, outputs].
    """

    def __init__(self, config: DistillConfig, teacher: np.ndarray[Any, Any]) -> None:
        self.config, self.teacher = config, teacher
        self.last: dict[str, torch.Tensor] = {}  # the loss's terms, before they are weighted

    def loss(self, loss: torch.Tensor, logits: torch.Tensor, rows: np.ndarray[Any, Any]) -> torch.Tensor:
        """α · distillation loss + (1 − α) · loss."""
        import torch

        if self.config.alpha == 0.0:
            return loss
        teacher = torch.from_numpy(self.teacher[rows]).to(logits.device, non_blocking=True)
        distillation = distillation_loss(logits, teacher, self.config.temperature)
        self.last = {"distillation_loss": distillation.detach(), "label_loss": loss.detach()}
        return self.config.alpha * distillation + (1 - self.config.alpha) * loss

    def metrics(self) -> dict[str, float]:
        """The terms of the last batch's loss, before they are weighted."""
        return {name: term.item() for name, term in self.last.items()}
