"""The W&B dashboard: one saved view of a project, made by code and brought up to date by another call."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from compress import extras
from compress.errors import ConfigError, first_line

SECONDS = 30.0  # that the server may take for an answer
FIND = """
query View($entityName: String, $name: String, $viewType: String, $viewName: String) {
  project(name: $name, entityName: $entityName) {
    allViews(viewType: $viewType, viewName: $viewName) { edges { node { id name } } }
  }
}
"""


def create(project: str, entity: str | None = None) -> str:
    """Save the view, or bring the saved one up to date; what people changed in it by hand is replaced.

    Args:
        entity: user or team; None: the key's own.

    Returns:
        Its address; ConfigError without the package, a key, a server or the project.
    """
    api = _connect()
    from analysis.dashboard import panels
    from analysis.read.online import runs_of

    with _in_one_line("reading the project"):
        owner = entity or api.default_entity
        view_id = _saved_view(api, owner, project)
        runs = runs_of(api, f"{owner}/{project}")
    made = panels.workspace(owner, project, runs, time.time())
    made._internal_name, made._internal_id = view_name(owner, project), view_id
    with _in_one_line("saving the view"):
        return str(made.save().url)


def view_name(entity: str, project: str) -> str:
    """What W&B calls the view itself, the same at every call: `nw-`, 11 letters and digits that end its URL, `-v`."""
    return f"nw-{hashlib.sha256(f'{entity}/{project}'.encode()).hexdigest()[:11]}-v"


def _connect() -> Any:
    """W&B's public API, after a first look at whether there is a package, a key and a server."""
    from compress.tracking.wandb_client import session, why_offline

    try:
        wandb: Any = session()
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise ConfigError(extras.missing(str(error.name))) from None
    if reason := why_offline(SECONDS):
        raise ConfigError(f"the dashboard is on the W&B server, and {reason}; WANDB_BASE_URL says which server")
    with _in_one_line("asking who the key belongs to"):
        return wandb.Api(timeout=SECONDS)


@contextmanager
def _in_one_line(doing: str) -> Iterator[None]:
    """Make a ConfigError of whatever the client says about the server."""
    from wandb.errors import Error
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    from compress.tracking.wandb_client import tear_down

    try:
        yield
    except (Error, WandbApiFailedError) as error:
        tear_down()  # after an answer that did not come the client would keep Python from ending
        said = first_line(error).rstrip(".")
        raise ConfigError(
            f"W&B, {doing}: {said}; check WANDB_API_KEY (or wandb login), --entity and --project, and try again"
        ) from error


def _saved_view(api: Any, entity: str, project: str) -> str:
    """The id of the view that an earlier call saved, empty if there is none; ConfigError without the project."""
    from wandb_workspaces._graphql import execute_graphql

    wanted = {"viewType": "project-view", "viewName": view_name(entity, project)}
    answer = execute_graphql(api, FIND, {"entityName": entity, "name": project, **wanted})
    if answer["project"] is None:
        raise ConfigError(
            f"project={project}: {entity} has no such project, or this key may not see it; track a run there first "
            f"(tracking=wandb tracking.project={project}), or say whose it is with --entity"
        )
    edges = answer["project"]["allViews"]["edges"]
    return str(edges[0]["node"]["id"]) if edges else ""
