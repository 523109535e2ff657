"""Int8 quantization-aware training (Jacob et al., 2018, section 3; of BERT: Zafrir et al., 2019).

In the forward pass weights and the inputs of Linear layers are rounded as the finished model will have them; gradients
pass the rounding unchanged. LayerNorm, softmax, GELU and the residual sums stay in float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.methods import Method

if TYPE_CHECKING:
    import torch

    from compress.methods.fake_quantize import InputRange


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class QuantizeConfig:
    """What is rounded to int8, and until when the ranges of activations move."""

    name: Literal["none", "int8"] = Field(description="which method")
    activations: bool = Field(description="round the inputs of Linear layers too")
    embeddings: bool = Field(description="round the embeddings too")
    momentum: float = Field(description="weight of a batch in the moving average of the ranges", gt=0, le=1)
    freeze: float = Field(description="share of training after which the ranges stay as they are", gt=0, le=1)


class Quantize(Method):
    """Quantization-aware training of every Linear and, by default, every embedding."""

    def __init__(self, config: QuantizeConfig) -> None:
        self.config = config
        self.frozen = False
        self.ranges: list[InputRange] = []

    def prepare(self, model: torch.nn.Module) -> None:
        """Let every Linear and embedding round its weights, and every Linear its input, once where three share it."""
        from compress.methods import fake_quantize

        momentum = self.config.momentum if self.config.activations else None
        self.ranges = fake_quantize.prepare(model, self.config.embeddings, momentum)

    def before_step(self, progress: float) -> None:
        """Freeze the ranges when it is time."""
        self._freeze(self.frozen or progress >= self.config.freeze)

    def finalize(self, model: torch.nn.Module) -> None:
        """Turn what was rounded into int8."""
        from compress.methods import fake_quantize

        fake_quantize.finalize(model)

    def settled(self) -> bool:
        """Whether the ranges are frozen."""
        return self.frozen

    def metrics(self) -> dict[str, float]:
        """Whether the ranges are frozen, as 0 or 1."""
        return {"ranges_frozen": float(self.frozen)}

    def state_dict(self) -> dict[str, Any]:
        """The switch; the ranges are in the model's own state."""
        return {"frozen": self.frozen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._freeze(state["frozen"])

    def _freeze(self, frozen: bool) -> None:
        self.frozen = frozen
        for observed in self.ranges:
            observed.frozen = frozen
