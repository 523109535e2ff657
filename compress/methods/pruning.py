"""What the ways to prune during fine-tuning share: the ramp, the masks, and zeros that stay zeros.

`Gradual` follows the ramp, whatever goes. `Pruning` sets single weights of the encoder's and the pooler's matrices to
0. Embeddings, LayerNorm, biases and the classifier are left alone: pruning embeddings harms accuracy badly (Movva et
al., 2022).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from compress.artifact.layers.kind import MASK
from compress.checked import checked
from compress.errors import ConfigError
from compress.methods.base import Method
from compress.methods.registry import Active

if TYPE_CHECKING:
    import torch


@checked
class RampConfig:
    """How many weights go, and when."""

    name: str = Field(description="the option")
    sparsity: float = Field(description="share of the prunable weights that is 0 in the end", gt=0, lt=1)
    schedule: Literal["linear", "cubic"] = Field(description="how the sparsity rises between start and end")
    start: float = Field(description="share of training before the first weights are pruned", ge=0, lt=1)
    end: float = Field(description="share of training after which the masks no longer change", gt=0, le=1)
    updates: int = Field(description="how many times the masks are chosen anew between start and end", ge=1)


@checked
class WeightsConfig(RampConfig):
    """The same of single weights, and among which they are compared."""

    scope: Literal["global", "layer"] = Field(
        description="global: compare the weights of all matrices together; layer: of each matrix alone"
    )
    spare_new: bool = Field(
        default=False, description="do not prune matrices that are not in the checkpoint, such as a new pooler"
    )


def check(prune: RampConfig, methods: Active) -> None:
    """Refuse a ramp that ends before it begins."""
    if prune.end <= prune.start:
        raise ConfigError(f"prune.end={prune.end:g}: must be more than prune.start={prune.start:g}")


def sparsity_at(progress: float, ramp: RampConfig) -> float:
    """Sparsity asked for when a share `progress` of training is over; rises in `ramp.updates` equal stages.

    Linear: s·x; cubic: s·(1 − (1 − x)³) (Zhu & Gupta, 2017, equation 1), with x from 0 at start to 1 at end.
    """
    passed = (progress - ramp.start) / (ramp.end - ramp.start)
    stage = min(ramp.updates, max(0, math.floor(passed * ramp.updates + 1e-9)))
    x = stage / ramp.updates
    return ramp.sparsity * (x if ramp.schedule == "linear" else 1 - (1 - x) ** 3)


class Gradual(Method):
    """Pruning that follows a ramp; what goes is 0 from then on, whatever optimizers do."""

    all_embeddings = False

    def __init__(self, config: RampConfig) -> None:
        self.config = config
        self.sparsity = 0.0
        self.factors: list[torch.Tensor] = []  # the masks as 0.0 and 1.0: multiplying by bool takes ten times as long

    def weights(self) -> list[torch.Tensor]:
        """The parameters that are masked, in the order and the shapes of the factors."""
        raise NotImplementedError

    def choose(self, sparsity: float) -> None:
        """Set the masks and the factors to prune that share."""
        raise NotImplementedError

    def before_step(self, progress: float) -> None:
        """Choose new masks when the schedule asks for more."""
        import torch

        sparsity = sparsity_at(progress, self.config)
        if sparsity <= self.sparsity:
            return
        with torch.no_grad():
            self.choose(sparsity)
            self.apply_masks()
        self.sparsity = sparsity

    def apply_masks(self) -> None:
        """Set to 0 what the new masks prune."""
        import torch

        torch._foreach_mul_(self.weights(), self.factors)

    def after_step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Undo what the step, its weight decay and its momentum did to pruned weights."""
        import torch

        if self.sparsity == 0.0:
            return
        with torch.no_grad():
            weights = self.weights()
            torch._foreach_mul_(weights, self.factors)
            states = [optimizer.state.get(weight, {}) for weight in weights]
            moments = [(state["exp_avg"], factor) for state, factor in zip(states, self.factors, strict=True)
                       if "exp_avg" in state]  # fmt: skip
            if moments:
                torch._foreach_mul_(*map(list, zip(*moments, strict=True)))

    def settled(self) -> bool:
        """Whether the full sparsity is reached; the masks stay from then on."""
        return self.sparsity == self.config.sparsity

    def metrics(self) -> dict[str, float]:
        return {"sparsity": self.sparsity}

    def state_dict(self) -> dict[str, Any]:
        """How far pruning has come; the masks are in the model's own state."""
        return {"sparsity": self.sparsity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there, with the masks that the model has by now."""
        self.sparsity = state["sparsity"]


class Pruning(Gradual):
    """Gradual pruning with masks that are buffers of the pruned layers; which weights go first, `scores` says."""

    config: WeightsConfig
    mask = MASK  # the buffer's name

    def __init__(self, config: WeightsConfig) -> None:
        super().__init__(config)
        self.layers: dict[str, torch.nn.Linear] = {}

    def scores(self) -> list[torch.Tensor]:
        """How important each entry of each matrix is, float32; the least important go."""
        raise NotImplementedError

    def takes(self, name: str, layer: torch.nn.Linear) -> bool:
        """Whether a matrix can be pruned so."""
        return True

    def weights(self) -> list[torch.Tensor]:
        return [layer.weight for layer in self.layers.values()]

    def prepare(self, model: torch.nn.Module) -> None:
        """Give every prunable matrix a mask that keeps all of it."""
        import torch

        from compress.artifact import plain

        self.layers = {name: layer for name, layer in plain.matrices(model).items() if self.takes(name, layer)}
        if self.config.spare_new:
            new = plain.new_matrices(model)
            self.layers = {name: layer for name, layer in self.layers.items() if name not in new}
        if not self.layers:
            raise ConfigError(f"prune: {type(model).__name__} has no matrix to prune; turn it off with prune=none")
        for layer in self.layers.values():
            layer.register_buffer(self.mask, torch.ones_like(layer.weight, dtype=torch.bool))
        self.factors = [torch.ones_like(layer.weight) for layer in self.layers.values()]

    def choose(self, sparsity: float) -> None:
        """Prune the least scores."""
        from compress.methods.layers import masks

        chosen = masks.choose(self.scores(), sparsity, self.config.scope)
        for layer, mask, factor in zip(self.layers.values(), chosen, self.factors, strict=True):
            layer.get_buffer(self.mask).copy_(mask)
            factor.copy_(mask)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for layer, factor in zip(self.layers.values(), self.factors, strict=True):
            factor.copy_(layer.get_buffer(self.mask))

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether these layers and no others are masked, exactly as many weights as were asked for, and are 0 there."""
        layers = {name: module for name, module in stored.named_modules() if self.mask in module._buffers}
        gone = {name: ~layer.get_buffer(self.mask) for name, layer in layers.items()}
        counts = [(int(mask.count_nonzero()), mask.numel()) for mask in gone.values()]
        if self.config.scope == "global":
            counts = [(sum(pruned for pruned, _ in counts), sum(positions for _, positions in counts))]
        return (
            bool(layers)
            and layers.keys() == self.layers.keys()
            and all(pruned == round(self.config.sparsity * positions) for pruned, positions in counts)
            and not any(layer.weight[gone[name]].any() for name, layer in layers.items())
        )
