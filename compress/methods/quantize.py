"""Int8 quantization-aware training (Jacob et al., 2018, section 3; of BERT: Zafrir et al., 2019).

In the forward pass weights and the inputs of Linear layers are rounded as the finished model will have them; gradients
pass the rounding unchanged. LayerNorm, softmax, GELU and the residual sums stay in float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from compress.checked import checked
from compress.errors import ConfigError
from compress.methods.base import Method
from compress.methods.registry import Active, Option, options_of

if TYPE_CHECKING:
    import torch

    from compress.methods.layers.fake_quantize import FakeEmbedding, FakeLinear


@checked
class QuantizeConfig:
    """What is rounded to int8, and until when the ranges of activations move."""

    name: Literal["int8"] = Field(description="which method")
    activations: bool = Field(description="round the inputs of Linear layers too")
    embeddings: bool = Field(description="round the embeddings too")
    momentum: float = Field(description="weight of a batch in the moving average of the ranges", gt=0, le=1)
    freeze: float = Field(description="share of training after which the ranges stay as they are", gt=0, le=1)


def check(quantize: QuantizeConfig, methods: Active) -> None:
    """Refuse ranges that freeze while other methods still change which weights there are."""
    for group, option in options_of(methods).items():
        until = getattr(methods[group], option.weights_until) if option.weights_until else 0.0
        if quantize.freeze < until:
            raise ConfigError(
                f"quantize.freeze={quantize.freeze:g}: must be at least {group}.{option.weights_until}={until:g}, "
                "since ranges change as long as weights go"
            )


class Quantize(Method):
    """Quantization-aware training of every Linear and, by default, every embedding."""

    all_embeddings = False

    def __init__(self, config: QuantizeConfig) -> None:
        self.config = config
        self.frozen = False  # the ranges
        self.layers: dict[str, FakeLinear | FakeEmbedding] = {}

    def prepare(self, model: torch.nn.Module) -> None:
        """Let every Linear and embedding round its weights, and every Linear its input, once where three share it."""
        from compress.methods.layers import fake_quantize

        momentum = self.config.momentum if self.config.activations else None
        self.layers = fake_quantize.prepare(model, self.config.embeddings, momentum)

    def before_step(self, progress: float) -> None:
        """Freeze the ranges when it is time."""
        self._freeze(self.frozen or progress >= self.config.freeze)

    def finalize(self, model: torch.nn.Module) -> None:
        from compress.methods.layers import fake_quantize

        fake_quantize.finalize(model)

    def settled(self) -> bool:
        return self.frozen

    def metrics(self) -> dict[str, float]:
        return {"ranges_frozen": float(self.frozen)}

    def state_dict(self) -> dict[str, Any]:
        """The switch; the ranges are in the model's own state."""
        return {"frozen": self.frozen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._freeze(state["frozen"])

    def _freeze(self, frozen: bool) -> None:
        self.frozen = frozen
        for layer in self.layers.values():
            if (observed := getattr(layer, "input_range", None)) is not None:
                observed.frozen = frozen

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether all these layers are int8, and know the ranges of their inputs where these are rounded."""
        from compress.artifact.layers.int8 import Int8Embedding, Int8Linear

        layers = {name: m for name, m in stored.named_modules() if isinstance(m, Int8Embedding | Int8Linear)}
        linears = [layer for layer in layers.values() if isinstance(layer, Int8Linear)]
        seen = all((layer.input_scale is not None) == self.config.activations for layer in linears)
        return layers.keys() == self.layers.keys() and bool(layers) and seen


OPTION = Option(
    group="quantize", name="int8", noun="quantization", config=QuantizeConfig, build=Quantize, acts=30, position=10,
    step_cost=1.2, check=check,
)  # fmt: skip
