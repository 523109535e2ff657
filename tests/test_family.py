"""The grid of one family, whose sizes are the first layers of one encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress.config.conf_files import conf_folder
from compress.config.overrides import read_sweep
from compress.config.schema import Config, teacher_experiment
from compress.model import encoder
from tests.conftest import ROOT

CONF = ROOT / "analysis" / "reference" / "family" / "conf"
LAYER, REST = 1_774_464, 12_066_432  # parameters: 12 · 384² + 13 · 384; embeddings and pooler


@pytest.mark.glue
def test_six_sizes_of_one_encoder_make_the_studys_grid(
    glue: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    configs, _ = read_sweep(["--config-dir", str(CONF), "+experiment=family"], conf_folder())
    assert len(configs) == 6 * 8 * 8 * 3
    models: dict[str, Config] = {encoder.label(config.model): config for config in configs}
    assert list(models) == [f"first{count}" for count in range(1, 7)]
    for count, config in enumerate(models.values(), 1):
        with torch.device("cpu"):
            built, start = encoder.build(config.model, config.task, 30522, padding=0)
        assert sum(weight.numel() for weight in built.base_model.parameters()) == REST + count * LAYER
        assert start.new == ["head"]
    taught = [config for config in configs if config.teacher is not None]
    assert {encoder.label(teacher_experiment(config).model) for config in taught} == {"first6"}
