"""Where a training is, apart from its weights: what a checkpoint holds beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass
class Position:
    """Steps, what they were over, and the best dev score so far.

    Attributes:
        losses: since the last logged row.
        resumed: how often it went on from a checkpoint.
    """

    step: int = 0
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0
    resumed: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)
    epoch_scores: list[float | None] = field(default_factory=list)
    best_score: float | None = None
    best_weights: dict[str, torch.Tensor] | None = None

    def advance(self, lengths: NDArray[np.int64], loss: torch.Tensor) -> None:
        """Count a step over texts of these lengths, [batch]."""
        self.step += 1
        self.rows += len(lengths)
        self.tokens += int(lengths.sum())
        self.losses.append(loss.detach())

    def mean_loss(self, total: int) -> float:
        """That of the steps since it was last asked.

        Raises:
            FloatingPointError: it is infinite or no number.
        """
        import torch

        mean = torch.stack(self.losses).mean().item()
        self.losses.clear()
        if not math.isfinite(mean):
            raise FloatingPointError(f"the loss is {mean} by step {self.step} of {total}; lower train.learning_rate")
        return mean

    def score_epoch(self, score: float | None, model: torch.nn.Module) -> None:
        """Note a dev score, and keep the weights if it is the best; an undefined one never is."""
        self.epoch_scores.append(score)
        if score is not None and (self.best_score is None or score > self.best_score):
            self.best_score = score
            self.best_weights = {name: value.clone() for name, value in model.state_dict().items()}
