"""Movement pruning during fine-tuning (Sanh, Wolf & Rush, 2020): the weights go that training moves towards 0.

A score of each weight, 0 at first, adds up −∂L/∂W′ · W over the steps (section 4; W′ is the masked weight): it rises
where the gradient makes |w| larger. Those of the least scores are masked, in a ramp that is over before training ends
("hard" movement pruning). The gradient passes straight through the mask to the scores of pruned weights too, so that
they may come back, with the values that they went with.

The scores' learning rate is no option: a factor of all scores changes no ranking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compress.checked import checked
from compress.methods import pruning
from compress.methods.registry import Option

if TYPE_CHECKING:
    import torch

SCORES = "weight_scores"  # buffer beside a weight, float32
HELD = "weight_held"  # buffer beside a weight: the values that pruned entries went with, 0 elsewhere


@checked
class MovementConfig(pruning.RampConfig):
    """How many weights go, and when."""

    name: Literal["movement"] = Field(description="which method")


class Movement(pruning.Pruning):
    """The weights of the layers are masked themselves, so their gradient is that of the masked weight."""

    def prepare(self, model: torch.nn.Module) -> None:
        """Give every prunable matrix a mask that keeps all of it, and scores of 0."""
        import torch

        super().prepare(model)
        for layer in self.layers.values():
            layer.register_buffer(SCORES, torch.zeros_like(layer.weight))
            layer.register_buffer(HELD, torch.zeros_like(layer.weight))

    def scores(self) -> list[torch.Tensor]:
        """What the steps so far have added up."""
        return [layer.get_buffer(SCORES) for layer in self.layers.values()]

    def apply_masks(self) -> None:
        """Put back the values of what has come back, hold those of what goes."""
        for layer, factor in zip(self.layers.values(), self.factors, strict=True):
            held = layer.get_buffer(HELD)
            layer.weight.add_(held)  # one of the two is 0
            held.copy_(layer.weight).mul_(1 - factor)
        super().apply_masks()

    def after_backward(self, model: torch.nn.Module) -> None:
        """Add to the scores until the masks stay as they are; then let no gradient through to pruned weights."""
        import torch

        weights = [layer.weight for layer in self.layers.values()]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        assert len(gradients) == len(weights), "a matrix that is pruned has a part in the loss"
        with torch.no_grad():
            if not self.settled():
                held = [layer.get_buffer(HELD) for layer in self.layers.values()]
                for values in (weights, held):
                    torch._foreach_addcmul_(self.scores(), gradients, values, value=-1.0)
            torch._foreach_mul_(gradients, self.factors)

    def finalize(self, model: torch.nn.Module) -> None:
        """Drop the scores and the values of what is pruned."""
        for name in self.layers:
            layer = model.get_submodule(name)
            del layer._buffers[SCORES], layer._buffers[HELD]


OPTION = Option(
    group="prune", name="movement", noun="pruning", config=MovementConfig, build=Movement, acts=20, position=30,
    strength="sparsity", step_cost=1.1, weights_until="end", check=pruning.check,
)  # fmt: skip
