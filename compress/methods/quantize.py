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

    from compress.artifact.layers.quantized import Grid
    from compress.methods.layers.fake_quantize import FakeEmbedding, FakeLinear


@checked
class QuantizationConfig:
    """What is rounded."""

    name: str = Field(description="the option")
    activations: bool = Field(description="also round the inputs of Linear layers, to 8 bits")
    embeddings: bool = Field(description="also round the embeddings")


@checked
class TrainedConfig(QuantizationConfig):
    """What is rounded in training, and until when the ranges of activations move."""

    momentum: float = Field(
        description="weight of the newest batch in the moving average of the activations' ranges", gt=0, le=1
    )
    freeze: float = Field(description="share of training after which the ranges no longer change", gt=0, le=1)


@checked
class QuantizeConfig(TrainedConfig):
    """What is rounded to int8, and until when the ranges of activations move."""

    name: Literal["int8"] = Field(description="the option")


def check(quantize: TrainedConfig, methods: Active) -> None:
    """Refuse ranges that freeze while other methods still change which weights there are."""
    for group, option in options_of(methods).items():
        until = getattr(methods[group], option.weights_until) if option.weights_until else 0.0
        if quantize.freeze < until:
            raise ConfigError(
                f"quantize.freeze={quantize.freeze:g}: must be at least {group}.{option.weights_until}={until:g}, "
                "since ranges change as long as weights go"
            )


class Quantization(Method):
    """Every Linear and, by default, every embedding is rounded, and stored as integers."""

    all_embeddings = False

    def __init__(self, config: QuantizationConfig) -> None:
        self.config = config
        self.layers: dict[str, FakeLinear | FakeEmbedding] = {}  # that round

    def grid(self) -> Grid:
        """The integers that weights become."""
        from compress.artifact.layers import int8

        return int8.GRID

    def finalize(self, model: torch.nn.Module) -> None:
        from compress.methods.layers import fake_quantize

        fake_quantize.finalize(model)

    def trace(self, stored: torch.nn.Module) -> bool:
        """Whether all these layers are such integers, and know the ranges of their inputs where these are rounded."""
        from compress.artifact.layers import quantized

        layers = quantized.layers(stored)
        linears = [layer for layer in layers.values() if isinstance(layer, quantized.QuantizedLinear)]
        seen = all((layer.input_scale is not None) == self.config.activations for layer in linears)
        alike = all(layer.grid == self.grid() for layer in layers.values())
        return layers.keys() == self.layers.keys() and bool(layers) and seen and alike


class Quantize(Quantization):
    """Quantization-aware training."""

    def __init__(self, config: TrainedConfig) -> None:
        super().__init__(config)
        self.momentum = config.momentum if config.activations else None
        self.freeze = config.freeze
        self.frozen = False  # the ranges

    def prepare(self, model: torch.nn.Module) -> None:
        """Let every Linear and embedding round its weights, and every Linear its input, once where three share it."""
        from compress.methods.layers import fake_quantize

        self.layers = fake_quantize.prepare(model, self.config.embeddings, self.momentum, self.grid())

    def before_step(self, progress: float) -> None:
        """Freeze the ranges when it is time."""
        self._freeze(self.frozen or progress >= self.freeze)

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


OPTION = Option(
    group="quantize", name="int8", noun="quantization", config=QuantizeConfig, build=Quantize, acts=30, position=10,
    step_cost=1.2, check=check,
)  # fmt: skip
