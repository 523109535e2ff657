"""The W&B server: whether it can be asked, the view that is saved there, and errors of the client as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from compress.errors import ConfigError

FIND = """
query View($entityName: String, $name: String, $viewType: String, $viewName: String) {
  project(name: $name, entityName: $entityName) {
    allViews(viewType: $viewType, viewName: $viewName) { edges { node { id name } } }
  }
}
"""


def connect(seconds: float) -> Any:
    """W&B's public API, after a first look at whether there is a key and a server.

    Args:
        seconds: that the server may take for an answer.

    Raises:
        ConfigError: there is no package, key or server.
    """
    from compress.tracking.wandb_client import session, why_offline

    try:
        wandb: Any = session()
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"the dashboard needs the package {error.name}: pip install wandb wandb-workspaces") from None
    if reason := why_offline(seconds):
        raise ConfigError(f"the dashboard is on the W&B server, and {reason}; WANDB_BASE_URL says which server")
    with in_one_line("asking who the key belongs to"):
        return wandb.Api(timeout=seconds)


@contextmanager
def in_one_line(doing: str) -> Iterator[None]:
    """Make a ConfigError of whatever the client says about the server."""
    from wandb.errors import Error
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    from compress.tracking.wandb_client import tear_down

    try:
        yield
    except (Error, WandbApiFailedError) as error:
        tear_down()  # after an answer that did not come the client would keep Python from ending
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ConfigError(
            f"W&B, {doing}: {said}; check WANDB_API_KEY (or wandb login), --entity and --project, and try again"
        ) from error


def saved_view(api: Any, entity: str, project: str, name: str) -> str:
    """The id of the view that an earlier call saved; empty if there is none.

    Raises:
        ConfigError: there is no such project.
    """
    from wandb_workspaces._graphql import execute_graphql

    wanted = {"viewType": "project-view", "viewName": name}
    answer = execute_graphql(api, FIND, {"entityName": entity, "name": project, **wanted})
    if answer["project"] is None:
        raise ConfigError(
            f"project={project}: {entity} has no such project, or this key may not see it; track a run there first "
            f"(tracking=wandb tracking.project={project}), or say whose it is with --entity"
        )
    edges = answer["project"]["allViews"]["edges"]
    return str(edges[0]["node"]["id"]) if edges else ""
