"""Low-rank factorization: the truncated singular value decomposition of each matrix, then fine-tuning of the factors.

W ≈ U_k S_k V_kᵀ is stored as U_k √S_k and √S_k V_kᵀ: k (outputs + inputs) numbers instead of outputs · inputs (of
convolutional networks: Denton et al., 2014; of BERT: Ben Noach & Goldberg, 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field

from compress.checked import checked
from compress.errors import ConfigError
from compress.methods.base import Method
from compress.methods.registry import Option

if TYPE_CHECKING:
    import torch

    from compress.artifact.layers.factorized import FactorizedLinear


@checked
class FactorizeConfig:
    """How much of each matrix is kept: a square one gets smaller below a rank of 0.5, a 1 × 4 one below 0.8."""

    name: Literal["svd"] = Field(description="the option")
    rank: float = Field(description="share of its full rank that each matrix keeps", gt=0, lt=1)


def rank_of(share: float, outputs: int, inputs: int) -> int | None:
    """The rank that a matrix keeps, at least 1; None if the factors would hold no fewer numbers than it does."""
    rank = max(1, round(share * min(outputs, inputs)))
    return rank if rank * (outputs + inputs) < outputs * inputs else None


def factorized(linear: torch.nn.Linear, rank: int) -> FactorizedLinear:
    """The best approximation of that rank, in two factors of equal singular values."""
    import torch

    from compress.artifact.layers.factorized import unfilled

    left, values, right = torch.linalg.svd(linear.weight.detach(), full_matrices=False)
    root = values[:rank].sqrt()
    layer = unfilled(linear, rank)
    layer.first.weight = torch.nn.Parameter((root[:, None] * right[:rank]).contiguous())
    layer.second.weight = torch.nn.Parameter((left[:, :rank] * root).contiguous())
    layer.second.bias = linear.bias
    return layer


class Factorize(Method):
    """Replaces matrices by their factors before training; there is nothing more to do."""

    all_embeddings = False

    def __init__(self, config: FactorizeConfig) -> None:
        self.config = config
        self.ranks: dict[str, int] = {}  # of the layers that are factorized, by name

    def prepare(self, model: torch.nn.Module) -> None:
        """Factorize every matrix that gets smaller; refuse a model of which none does."""
        from compress.artifact import plain

        for name in plain.structure_of(model).matrices:
            linear = cast("torch.nn.Linear", model.get_submodule(name))
            rank = rank_of(self.config.rank, linear.out_features, linear.in_features)
            if rank is not None:
                self.ranks[name] = rank
                model.set_submodule(name, factorized(linear, rank))
        if not self.ranks:
            raise ConfigError(
                f"factorize.rank={self.config.rank:g}: no matrix of this model would be larger than its two "
                "factors; must be less, below 0.5 where matrices are square"
            )

    def metrics(self) -> dict[str, float]:
        return {"factorized": float(len(self.ranks))}

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether each of them is stored in two factors of its rank."""
        from compress.artifact.layers.factorized import FactorizedLinear

        layers = {name: m for name, m in stored.named_modules() if isinstance(m, FactorizedLinear)}
        return bool(layers) and {name: layer.rank for name, layer in layers.items()} == self.ranks


OPTION = Option(
    group="factorize", name="svd", noun="factorization", config=FactorizeConfig, build=Factorize, acts=10, position=40,
    strength="rank",
)  # fmt: skip
