"""Movement pruning during fine-tuning (Sanh, Wolf & Rush, 2020): the weights go that training moves towards 0.

Each weight W has a score S, 0 at first, that is trained beside it: its gradient is ∂L/∂W′ · W, where W′ is the masked
weight (section 4), so S rises where a step makes |W| larger. The weights of the least scores are masked, in a ramp that
is over before training ends ("hard" movement pruning). The gradient passes straight through the mask to the scores of
pruned weights too, so that these may come back, with the values that they went with.

As in the authors' code Adam trains the scores. Their learning rate is no option: a factor of all changes no ranking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from compress.checked import checked
from compress.methods import pruning
from compress.methods.registry import Option

if TYPE_CHECKING:
    import torch

LEARNING_RATE = 0.01  # of the scores


@checked
class MovementConfig(pruning.WeightsConfig):
    """How many weights go, and when."""

    name: Literal["movement"] = Field(description="the option")


class Movement(pruning.Pruning):
    """The layers' own weights are masked, so that their gradient is that of the masked weights."""

    trained: list[torch.Tensor]  # scores, in the order of the layers and in the shapes of their weights
    held: list[torch.Tensor]  # the values that pruned weights went with, 0 for the others
    optimizer: torch.optim.Optimizer  # of the scores

    def prepare(self, model: torch.nn.Module) -> None:
        """Give every prunable matrix a mask that keeps all of it, and scores of 0."""
        import torch

        super().prepare(model)
        self.trained = [torch.zeros_like(factor) for factor in self.factors]
        self.held = [torch.zeros_like(factor) for factor in self.factors]
        self.optimizer = torch.optim.Adam(self.trained, lr=LEARNING_RATE, fused=True)

    def scores(self) -> list[torch.Tensor]:
        return self.trained

    def apply_masks(self) -> None:
        """Put back the values of what has come back, hold those of what goes."""
        for layer, held, factor in zip(self.layers.values(), self.held, self.factors, strict=True):
            layer.weight.add_(held)  # one of the two is 0
            held.copy_(layer.weight).mul_(1 - factor)
        super().apply_masks()

    def after_backward(self, model: torch.nn.Module) -> None:
        """Train the scores until the masks stay as they are; then let no gradient through to pruned weights."""
        import torch

        weights = [layer.weight for layer in self.layers.values()]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        assert len(gradients) == len(weights), "every matrix has a part in the loss"
        with torch.no_grad():
            if not self.settled():
                whole = torch._foreach_add(weights, self.held)
                for score, gradient in zip(self.trained, torch._foreach_mul(gradients, whole), strict=True):
                    score.grad = gradient
                self.optimizer.step()
                self.optimizer.zero_grad()
            torch._foreach_mul_(gradients, self.factors)

    def state_dict(self) -> dict[str, Any]:
        scores = {"scores": self.trained, "held": self.held, "optimizer": self.optimizer.state_dict()}
        return super().state_dict() | scores

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for tensor, value in zip(self.trained + self.held, state["scores"] + state["held"], strict=True):
            tensor.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])


OPTION = Option(
    group="prune", name="movement", noun="pruning", config=MovementConfig, build=Movement, acts=20, position=30,
    strength="sparsity", step_cost=1.2, weights_until="end", check=pruning.check,
)  # fmt: skip
