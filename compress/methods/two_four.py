"""2:4 pruning during fine-tuning (Mishra et al., 2021): of each four weights side by side in a row, the two least go.

That is the pattern that tensor cores of NVIDIA's GPUs compute with. Half of all weights are 0 in the end. On the way
there the least of those that will have to go come first, so that the other half is chosen among weights that training
has adapted; with `prune.updates=1` all go at once, as in the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compress.artifact.layers.kind import mask_of
from compress.checked import checked
from compress.methods import pruning
from compress.methods.magnitude import Magnitude
from compress.methods.registry import Option
from compress.wording import plural

if TYPE_CHECKING:
    import torch


@checked
class TwoFourConfig(pruning.WeightsConfig):
    """When weights go; how many is no choice."""

    name: Literal["two_four"] = Field(description="the option")
    sparsity: float = Field(
        description="share of the prunable weights that is 0 in the end: always 0.5", ge=0.5, le=0.5
    )


def least_two(scores: torch.Tensor) -> torch.Tensor:
    """Which two of each four entries side by side in a row are the least, bool; of equal ones the first are.

    Scores are [rows, columns] with a multiple of 4 columns.
    """
    import torch

    columns = scores.unflatten(1, (-1, 4)).unbind(-1)
    before = [
        torch.stack([one <= other if number > place else one < other for number, other in enumerate(columns)
                     if number != place])
        for place, one in enumerate(columns)
    ]  # fmt: skip
    return torch.stack([each.sum(0) >= 2 for each in before], dim=-1).flatten(1)


class TwoFour(Magnitude):
    """Magnitude pruning among the two least weights of each group."""

    mask = mask_of("two_four")

    def __init__(self, config: TwoFourConfig) -> None:
        super().__init__(config)
        self.dense: list[str] = []  # matrices whose rows are no groups of four

    def takes(self, name: str, layer: torch.nn.Linear) -> bool:
        if layer.weight.shape[1] % 4:
            self.dense.append(name)
            return False
        return True

    def notes(self) -> list[str]:
        """Which matrices stayed as they are."""
        if not self.dense:
            return []
        told = f"{plural(len(self.dense), 'matrix', 'matrices')} stayed dense, such as {self.dense[0]}"
        return [f"prune=two_four: {told}: the inputs are no multiple of 4"]

    def scores(self) -> list[torch.Tensor]:
        """|w|, −1 where it is pruned already, and infinite where it may not go."""
        import torch

        return [score.masked_fill_(~least_two(score), torch.inf) for score in super().scores()]

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether besides each group of these layers has two zeros."""
        masks = [mask for name, mask in stored.named_buffers() if name.endswith(f".{self.mask}")]
        return super().trace(stored) and all((mask.unflatten(1, (-1, 4)).sum(-1) == 2).all() for mask in masks)


OPTION = Option(
    group="prune", name="two_four", noun="pruning", config=TwoFourConfig, build=TwoFour, acts=20, position=30,
    strength="sparsity", weights_until="end", check=pruning.check,
)  # fmt: skip
