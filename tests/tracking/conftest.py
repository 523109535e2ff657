"""A W&B server for each test, and a process that has imported what its children need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compress import experiment
from compress.config.conf_files import conf_folder
from compress.config.overrides import compositions
from compress.tracking import wandb_client
from tests.subsets import one_thread, words  # noqa: F401 - a fixture for all tests here
from tests.tracking.runs import SHORT
from tests.wandb_server import WandbServer


@pytest.fixture
def server() -> Iterator[WandbServer]:
    """A server that works, until a test has it fail."""
    with WandbServer() as running:
        yield running
        assert running.unknown == []


@pytest.fixture(scope="module", autouse=True)
def warm(cache: Path) -> None:
    """Import once what every child needs, as a worker does."""
    experiment.warm_up(next(compositions(words((), *SHORT), conf_folder(), multirun=False)))
    wandb_client.warm_up()
