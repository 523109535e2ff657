"""Sizes by the study's rule are the study's: surviving weights × 4 bytes, or × 1 if quantized (Movva et al., 2022)."""

from __future__ import annotations

import csv
from functools import cache

import pytest
import torch

from compress.artifact import plain
from compress.artifact.layers.kind import MASK
from compress.artifact.size import sizes
from compress.methods import registry
from compress.model import encoder
from tests.conftest import Compose, shared

SIZES = {"tiny": 17.5, "mini": 44.7, "small": 115.1, "medium": 165.5, "base": 437.9, "large": 1340.6}  # decimal MB


@cache
def figure1() -> list[dict[str, str]]:
    with (shared("paper") / "figure1.csv").open() as file:
        return list(csv.DictReader(file))


def nominal_mb(compose: Compose, size: str, sparsity: float, quantized: bool) -> float:
    """Decimal MB of a model of that size and compression; its weights are whatever lay in memory."""
    config = compose(f"model={size}", "model.pretrained=null", "task=sst2", "quantize=int8")
    with torch.device("meta"):
        bert, _ = encoder.build(config.model, config.task, vocabulary=30522, padding=0)
    bert.to_empty(device="cpu")
    if sparsity:
        for layer in plain.matrices(bert).values():
            mask = torch.ones_like(layer.weight, dtype=torch.bool)
            mask.view(-1)[: round(sparsity * mask.numel())] = False
            layer.register_buffer(MASK, mask)
    if quantized:
        (method,) = registry.build(config.methods)
        method.prepare(bert)
        method.finalize(bert)
    counted = sizes(bert, artifact_bytes=1)
    assert counted.nominal_bytes == sum(part.nominal_bytes for part in counted.by_part.values())
    return counted.nominal_bytes / 1e6


@pytest.mark.parametrize("size", SIZES)
def test_uncompressed_sizes_are_the_studys_to_a_tenth_of_a_megabyte(compose: Compose, size: str) -> None:
    assert round(nominal_mb(compose, size, 0.0, quantized=False), 1) == SIZES[size]


@pytest.mark.parametrize("size", SIZES)
def test_every_size_in_the_studys_figure_is_ours_to_one_percent(compose: Compose, size: str) -> None:
    rows = [row for row in figure1() if row["model"] == size]
    assert len(rows) == 12
    measured: dict[tuple[float, bool], float] = {}
    for row in rows:
        cell = float(row["sparsity"]), "quantize" in row["methods"]
        measured[cell] = measured.get(cell) or nominal_mb(compose, size, *cell)
        assert measured[cell] == pytest.approx(float(row["nominal_mb"]), rel=0.01)
    assert len(measured) == 6
