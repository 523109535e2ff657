"""Magnitude pruning during fine-tuning (Han et al., 2015; gradual: Zhu & Gupta, 2017).

The weights of least |w| in the encoder's and the pooler's matrices are set to 0 and held there. Embeddings, LayerNorm,
biases and the classifier are left alone: pruning embeddings harms accuracy badly (Movva et al., 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from compress.checked import checked
from compress.errors import ConfigError
from compress.methods.base import Method
from compress.methods.registry import Active, Option

if TYPE_CHECKING:
    import torch

MASK = "weight_mask"  # buffer beside a pruned weight, bool, true where it survives


@checked
class PruneConfig:
    """Which weights go, and when."""

    name: Literal["magnitude"] = Field(description="which method")
    sparsity: float = Field(description="share of the prunable weights that is 0 in the end", gt=0, lt=1)
    schedule: Literal["linear", "cubic"] = Field(description="how sparsity rises between start and end")
    scope: Literal["global", "layer"] = Field(description="least magnitudes of all matrices together, or of each")
    start: float = Field(description="share of training before the first weight goes", ge=0, lt=1)
    end: float = Field(description="share of training after which the masks stay as they are", gt=0, le=1)
    updates: int = Field(description="how often masks are chosen anew between start and end", ge=1)


def check(prune: PruneConfig, methods: Active) -> None:
    """Refuse a ramp that ends before it begins.

    Raises:
        ConfigError: naming both keys.
    """
    if prune.end <= prune.start:
        raise ConfigError(f"prune.end={prune.end:g}: must be more than prune.start={prune.start:g}")


def sparsity_at(progress: float, config: PruneConfig) -> float:
    """Sparsity asked for when a share `progress` of training is over; rises in `config.updates` equal stages.

    Linear: s·x; cubic: s·(1 − (1 − x)³) (Zhu & Gupta, 2017, equation 1), with x from 0 at start to 1 at end.
    """
    passed = (progress - config.start) / (config.end - config.start)
    stage = min(config.updates, max(0, math.floor(passed * config.updates + 1e-9)))
    x = stage / config.updates
    return config.sparsity * (x if config.schedule == "linear" else 1 - (1 - x) ** 3)


def kth_smallest(values: torch.Tensor, k: int) -> torch.Tensor:
    """What `torch.kthvalue` finds, in a third of its time: counts by leading bits, then looks into one bin.

    Args:
        values: float32 [n], no NaN.
        k: from 1 to n.
    """
    import torch

    bits = values.view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # as integers they compare as the floats do
    bins = (ordered >> 16) + 2**15
    up_to = torch.bincount(bins, minlength=2**16).cumsum(0)
    found = int(torch.searchsorted(up_to, k))
    before = int(up_to[found - 1]) if found else 0
    return values[bins == found].kthvalue(k - before).values


def keep_largest(scores: torch.Tensor, pruned: int) -> torch.Tensor:
    """Mask that is false at exactly `pruned` entries, those of the smallest scores; of equal ones the first go.

    Args:
        scores: any shape, no NaN.
        pruned: between 0 and the number of entries.
    """
    import torch

    if pruned == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    flat = scores.flatten()
    threshold = kth_smallest(flat, pruned)
    keep = flat > threshold
    surplus = flat.numel() - int(keep.count_nonzero()) - pruned
    if surplus:
        keep[(flat == threshold).nonzero()[-surplus:, 0]] = True
    return keep.view_as(scores)


def magnitude_masks(
    weights: Sequence[torch.Tensor], masks: Sequence[torch.Tensor], sparsity: float, scope: Literal["global", "layer"]
) -> list[torch.Tensor]:
    """New masks of the weights, with exactly round(sparsity · n) entries false: of all together, or of each.

    What was pruned before stays pruned as long as sparsity does not fall.

    Args:
        masks: the present ones, bool, in the shapes of the weights.
    """
    import torch

    scores = [weight.detach().abs().masked_fill(~mask, -1.0) for weight, mask in zip(weights, masks, strict=True)]
    if scope == "layer":
        return [keep_largest(score, round(sparsity * score.numel())) for score in scores]
    together = torch.cat([score.flatten() for score in scores])
    keep = keep_largest(together, round(sparsity * together.numel()))
    parts = keep.split([score.numel() for score in scores])
    return [part.view_as(score).clone() for part, score in zip(parts, scores, strict=True)]


def prunable(model: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    """The matrices that are pruned, by module name: every Linear of the encoder and of the pooler."""
    import torch

    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and {"encoder", "pooler"} & set(name.split("."))
    }


class Prune(Method):
    """Gradual magnitude pruning with masks that are buffers of the pruned modules."""

    def __init__(self, config: PruneConfig) -> None:
        self.config = config
        self.sparsity = 0.0
        self.layers: list[torch.nn.Linear] = []
        self.factors: list[torch.Tensor] = []  # the masks as 0.0 and 1.0: multiplying by bool takes ten times as long

    def prepare(self, model: torch.nn.Module) -> None:
        """Give every prunable matrix a mask that keeps all of it."""
        import torch

        self.layers = list(prunable(model).values())
        for layer in self.layers:
            layer.register_buffer(MASK, torch.ones_like(layer.weight, dtype=torch.bool))

    def before_step(self, progress: float) -> None:
        """Choose new masks when the schedule asks for more."""
        import torch

        sparsity = sparsity_at(progress, self.config)
        if sparsity <= self.sparsity:
            return
        masks = magnitude_masks(
            [layer.weight for layer in self.layers],
            [layer.get_buffer(MASK) for layer in self.layers],
            sparsity,
            self.config.scope,
        )
        self.factors = [mask.to(layer.weight.dtype) for layer, mask in zip(self.layers, masks, strict=True)]
        with torch.no_grad():
            for layer, mask, factor in zip(self.layers, masks, self.factors, strict=True):
                layer.get_buffer(MASK).copy_(mask)
                layer.weight.mul_(factor)
        self.sparsity = sparsity

    def after_step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Undo what the step, its weight decay and its momentum did to pruned weights."""
        import torch

        if self.sparsity == 0.0:
            return
        with torch.no_grad():
            weights = [layer.weight for layer in self.layers]
            torch._foreach_mul_(weights, self.factors)
            states = [optimizer.state.get(weight, {}) for weight in weights]
            moments = [(state["exp_avg"], factor) for state, factor in zip(states, self.factors, strict=True)
                       if "exp_avg" in state]  # fmt: skip
            if moments:
                torch._foreach_mul_(*map(list, zip(*moments, strict=True)))

    def settled(self) -> bool:
        """Whether the full sparsity is reached."""
        return self.sparsity == self.config.sparsity

    def metrics(self) -> dict[str, float]:
        """The sparsity of the prunable matrices."""
        return {"sparsity": self.sparsity}

    def state_dict(self) -> dict[str, Any]:
        """How far pruning has come; the masks are in the model's own state."""
        return {"sparsity": self.sparsity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there, with the masks that the model has by now."""
        self.sparsity = state["sparsity"]
        self.factors = [layer.get_buffer(MASK).to(layer.weight.dtype) for layer in self.layers]

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether as many weights are masked as was asked for."""
        masks = [mask for name, mask in stored.named_buffers() if name.rpartition(".")[2] == MASK]
        pruned = sum(int((~mask).count_nonzero()) for mask in masks)
        wanted = self.config.sparsity * sum(mask.numel() for mask in masks)
        return bool(masks) and abs(pruned - wanted) <= len(masks)  # each matrix may be rounded


OPTION = Option(
    group="prune", name="magnitude", noun="pruning", config=PruneConfig, build=Prune, acts=20, position=30,
    strength="sparsity", weights_until="end", check=check,
)  # fmt: skip
