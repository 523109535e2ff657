"""A finished model as OpenVINO's two files, made of its ONNX graph; what is int8 there is int8 here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compress.artifact import qdq

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

# by default it computes in bf16 on processors that have it, and answers otherwise than the model that was scored
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}


def to_openvino(model: PreTrainedModel, path: Path) -> None:
    """Write a model of `artifact.load` as `path`, which ends in .xml, and the weights beside it as .bin."""
    import openvino

    with tempfile.TemporaryDirectory(prefix="openvino-") as scratch:
        qdq.to_onnx(model, Path(scratch) / "model.onnx")
        read = openvino.Core().read_model(str(Path(scratch) / "model.onnx"))
        openvino.save_model(read, str(path), compress_to_fp16=False)


class Input(NamedTuple):
    """What a compiled model takes, as ONNX Runtime tells it."""

    name: str


class Session:
    """A compiled model on the CPU, called as ONNX Runtime's sessions are; 0 threads: as many as there are cores."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        import openvino

        settings: dict[str, Any] = SETTINGS | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        self._compiled = openvino.Core().compile_model(str(path), "CPU", settings)

    def get_inputs(self) -> list[Input]:
        """What it takes, in order."""
        return [Input(port.any_name) for port in self._compiled.inputs]

    def run(self, outputs: Sequence[str] | None, feed: Mapping[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        """Its one output, the logits."""
        return [self._compiled(dict(feed))[0].copy()]
