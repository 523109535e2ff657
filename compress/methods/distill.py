"""Knowledge distillation from a teacher's logits, which are there before the student starts (Hinton et al., 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from compress.checked import checked
from compress.methods.base import EnlargesData, LearnsFromTeacher, Method
from compress.methods.registry import Option

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@checked
class DistillConfig(LearnsFromTeacher, EnlargesData):
    """Whom the student learns from, how, and on what."""

    name: Literal["kd"] = Field(description="the option")
    temperature: float = Field(description="temperature that softens the probabilities of student and teacher", gt=0)
    alpha: float = Field(
        description="weight of the teacher's answers in the loss; the labels have 1 − alpha", ge=0, le=1
    )


def distillation_loss(logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), the mean over the batch (Hinton et al., 2015, section 2).

    T² keeps the gradient's size when T changes. With one output, a regression's: the mean squared difference. Logits of
    the student and of the teacher are float32 [batch, outputs].
    """
    from torch.nn import functional

    if logits.shape[-1] == 1:
        return functional.mse_loss(logits, teacher_logits)
    student = functional.log_softmax(logits / temperature, dim=-1)
    target = functional.log_softmax(teacher_logits / temperature, dim=-1)
    return temperature**2 * functional.kl_div(student, target, reduction="batchmean", log_target=True)


class Distill(Method):
    """Mixes the loss on the labels with the one on the teacher's logits."""

    all_embeddings = False

    def __init__(self, config: DistillConfig, teacher_logits: NDArray[np.float32]) -> None:
        self.config = config
        self.teacher_logits = teacher_logits  # of the rows that are trained on, in their order, [rows, outputs]
        self.last: dict[str, torch.Tensor] = {}  # the loss's terms, before they are weighted
        self.steps = 0  # that it had a part in

    def loss(self, loss: torch.Tensor, logits: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
        """α · distillation loss + (1 − α) · loss."""
        import torch

        self.steps += 1
        if self.config.alpha == 0.0:
            return loss
        teacher_logits = torch.from_numpy(self.teacher_logits[rows]).to(logits.device, non_blocking=True)
        distillation = distillation_loss(logits, teacher_logits, self.config.temperature)
        self.last = {"distillation_loss": distillation.detach(), "label_loss": loss.detach()}
        return self.config.alpha * distillation + (1 - self.config.alpha) * loss

    def metrics(self) -> dict[str, float]:
        return {name: term.item() for name, term in self.last.items()}

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether there was a step that it had a part in: what a teacher has taught has no form of its own."""
        return self.steps > 0

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


OPTION = Option(
    group="distill", name="kd", noun="distillation", config=DistillConfig, build=Distill, acts=40, position=20,
    shrinks=False,
)  # fmt: skip
