"""Fetch what a sweep needs into the caches, on a machine that has a network, for those that have none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from tqdm import tqdm

from compress import experiment
from compress.config import Config, teacher_experiment


def prepare(configs: Sequence[Config]) -> None:
    """Load every checkpoint once, and tokenize every task's texts once for each vocabulary and augmentation.

    Raises:
        ConfigError: something is not to be had.
    """
    both = [*configs, *(teacher_experiment(config) for config in configs if config.teacher is not None)]
    models = {config.model: config for config in both}
    texts = {(config.model.pretrained, config.model.tokenizer, config.task.name, replace(config.data, max_train=None),
              config.distill if config.distill.name != "none" else None, config.seed): config
             for config in both}  # fmt: skip
    with tqdm(total=len(models) + len(texts), disable=not sys.stderr.isatty(), unit="file") as bar:
        for config in models.values():
            experiment.fetch_model(config)
            bar.update()
        for config in texts.values():
            experiment.load_data(config)
            bar.update()
    print(f"{len(models)} checkpoints and {len(texts)} tokenized tasks are in the caches")
