"""Int8 after training, by static calibration: the baseline without quantization-aware training.

Training is in float. Then the trained model computes some training rows in float, the ranges of Linear inputs are taken
from them, and all is rounded to what `quantize=int8` stores (Jacob et al., 2018, section 2; ways to calibrate: Wu
et al., 2020, section 3.3; of BERT: Bondarenko et al., 2021, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compress.checked import checked
from compress.methods import quantize
from compress.methods.registry import Option

if TYPE_CHECKING:
    import torch

    from compress.methods.base import Batches


@checked
class PostConfig(quantize.QuantizationConfig):
    """What is rounded, and what the ranges of activations are taken from."""

    name: Literal["post"] = Field(description="the option")
    calibration: int = Field(description="training rows, drawn by the seed, from which the ranges are taken", ge=1)
    percentile: float = Field(
        description="percentile of the values at which a range ends; 100: the smallest and the largest value",
        ge=50,
        le=100,
    )


class Post(quantize.Quantization):
    """Rounds after training; a training with it is bit for bit one without."""

    config: PostConfig

    def calibrate(self, model: torch.nn.Module, batches: Batches) -> None:
        """Take the ranges, and let the layers round from now on."""
        from compress.methods.layers import calibration, fake_quantize

        activations, rows = self.config.activations, self.config.calibration
        ranges = calibration.ranges(model, lambda: batches(rows), self.config.percentile) if activations else {}
        momentum = 1.0 if activations else None  # the ranges never move
        self.layers = fake_quantize.prepare(model, self.config.embeddings, momentum, self.grid())
        fake_quantize.set_ranges(self.layers, ranges)


OPTION = Option(
    group="quantize", name="post", noun="quantization", config=PostConfig, build=Post, acts=30, position=11,
)  # fmt: skip
