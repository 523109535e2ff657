"""Reads a whole grid back from a Weights & Biases server, hundreds of runs in each query."""

from __future__ import annotations

from typing import Any

from analysis.read.results import Results
from analysis.read.tracked import TrackedRun, as_results
from compress.errors import ConfigError
from compress.tracking.wandb_client import session, tear_down, why_offline

PAGE = 500  # runs in a query
SECONDS = 60  # that the server may take to answer


def read_wandb(where: str, recipe: str | None = None) -> Results:
    """The table of a project's runs.

    Args:
        where: `[entity/]project`, the entity being the key's own if it is left out.

    Raises:
        ConfigError: no key, no server, no such project, or no run in it.
    """
    return as_results(fetch(where), f"W&B project {where}", recipe)


def fetch(where: str) -> list[TrackedRun]:
    """A project's runs; raises ConfigError as `read_wandb` does."""
    entity, _, project = where.rpartition("/")
    if not project or "/" in entity:
        raise ConfigError(f"{where}: must be PROJECT or ENTITY/PROJECT")
    if (reason := why_offline(SECONDS)) is not None:
        raise ConfigError(f"{where}: cannot be read from W&B: {reason}")
    try:
        wandb: Any = session()
        api = wandb.Api(timeout=SECONDS)
        path = f"{entity or api.default_entity}/{project}"
        runs = [as_tracked(run) for run in api.runs(path, per_page=PAGE, lazy=False)]
    except Exception as error:  # the client raises all kinds
        tear_down()  # it may wait for an answer that does not come when Python ends
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{where}: cannot be read from W&B: {cause}; see WANDB_BASE_URL, WANDB_API_KEY") from error
    if not runs:
        raise ConfigError(f"{path}: there is no run; give ENTITY/PROJECT as in tracking.entity and tracking.project")
    return runs


def as_tracked(run: Any) -> TrackedRun:
    """A run as the client has it."""
    return TrackedRun(run.id, dict(run.config), dict(run.summary_metrics), run.state, run.url, run.name)
