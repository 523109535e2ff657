"""Compression methods: each a few verbs that the training loop calls by name.

A method sees the model and how far training has come, never the loop or another method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

    from compress.config.schema import Config

GROUPS = ("quantize", "distill", "prune")  # in the order in which a run's folder names them


class Method:
    """What a method may do; it overrides what it needs."""

    def prepare(self, model: torch.nn.Module) -> None:
        """Rebuild the model for training with this method."""

    def before_step(self, progress: float) -> None:
        """Follow the schedule; `progress` runs from 0 (the first step) to 1 (once more when training has ended)."""

    def loss(self, loss: torch.Tensor, logits: torch.Tensor, rows: np.ndarray[Any, Any]) -> torch.Tensor:
        """Add to or replace the loss of a batch.

        Args:
            logits: float32 [batch, outputs].
            rows: numbers of the batch's rows among those that are trained on, int64 [batch].
        """
        return loss

    def after_step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Restore what the optimizer's step must not change."""

    def finalize(self, model: torch.nn.Module) -> None:
        """Leave the compressed model with no trace of training in it; called once, by whoever trained."""

    def settled(self) -> bool:
        """Whether the model is as compressed as it will be, so that its score may count for `train.select=best`."""
        return True

    def metrics(self) -> dict[str, float]:
        """Numbers worth logging while training."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What has to be saved to go on later."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


def build(config: Config, teacher: np.ndarray[Any, Any] | None = None) -> list[Method]:
    """The active methods, in the order in which they act on a model.

    Args:
        teacher: for distillation, the teacher's logits of the rows that are trained on, float32 [rows, outputs].
    """
    from compress.methods.distill import Distill
    from compress.methods.prune import Prune
    from compress.methods.quantize import Quantize

    active: list[Method] = []
    if config.prune.name == "magnitude":
        active.append(Prune(config.prune))
    if config.quantize.name == "int8":
        active.append(Quantize(config.quantize))
    if config.distill.name == "kd":
        assert teacher is not None, "distillation needs a teacher's logits"
        active.append(Distill(config.distill, teacher))
    return active
