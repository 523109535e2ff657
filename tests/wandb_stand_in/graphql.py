"""The table of GraphQL operations, and those about users, projects and saved views."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.wandb_stand_in.state import ENTITY, Store, View

Variables = dict[str, Any]
Operation = Callable[[Store, Variables], dict[str, Any]]
OPERATIONS: dict[str, Operation] = {}  # by the names that the client 0.31.0 gives them


class GraphQLError(Exception):
    """What the server answers in `errors`."""


def operation(*names: str) -> Callable[[Operation], Operation]:
    """Register a function as the answer to operations of these names."""

    def register(answer: Operation) -> Operation:
        OPERATIONS.update(dict.fromkeys(names, answer))
        return answer

    return register


def connection(nodes: list[dict[str, Any]], first: int, after: str | None) -> dict[str, Any]:
    """One page of a list in GraphQL's form; the cursor is the number of nodes before it."""
    start = int(after or 0)
    page = nodes[start : start + first]
    edges = [{"node": node, "cursor": str(i)} for i, node in enumerate(page, start + 1)]
    end = start + len(page)
    info = {"endCursor": str(end), "hasNextPage": end < len(nodes)}
    return {"totalCount": len(nodes), "edges": edges, "pageInfo": info}


USER = {
    "id": "user-1",
    "name": ENTITY,
    "username": ENTITY,
    "entity": ENTITY,
    "email": f"{ENTITY}@example.com",
    "admin": False,
    "flags": "{}",
    "deletedAt": None,
    "teams": {"edges": []},
    "apiKeys": {"edges": []},
}


@operation("Viewer", "GetViewer", "GetDefaultEntity")
def viewer(_: Store, __: Variables) -> dict[str, Any]:
    return {"viewer": USER}


@operation("ServerFeaturesQuery")
def server_features(_: Store, __: Variables) -> dict[str, Any]:
    return {"serverInfo": {"features": []}}


@operation("OrgFeatureFlags")
def organization(_: Store, __: Variables) -> dict[str, Any]:
    return {"organization": {"featureFlags": []}}


@operation("FetchOrgEntityFromEntity", "FetchOrgInfoFromEntity", "OrganizationCoreWeaveOrganizationID")
def organization_of(_: Store, __: Variables) -> dict[str, Any]:
    return {"entity": {"organization": None, "user": None}}


@operation("GetProject", "IsProjectReadOnly")
def project(store: Store, v: Variables) -> dict[str, Any]:
    entity, name = v.get("entity") or ENTITY, v.get("name") or v.get("project")
    if (entity, name) not in store.projects:
        return {"project": None}
    return {"project": project_node(entity, str(name))}


@operation("GetProjects")
def projects(store: Store, v: Variables) -> dict[str, Any]:
    nodes = [project_node(*key) for key in sorted(store.projects) if key[0] == v["entity"]]
    return {"models": connection(nodes, v.get("perPage") or 50, v.get("cursor"))}


def project_node(entity: str, name: str) -> dict[str, Any]:
    """A project's fields."""
    return {
        "__typename": "Project",
        "id": f"project-{entity}-{name}",
        "internalId": "1",
        "name": name,
        "entityName": entity,
        "entity": {"id": f"entity-{entity}", "name": entity},
        "createdAt": "2026-01-01T00:00:00",
        "isBenchmark": False,
        "readOnly": False,
        "user": USER,
    }


# --- saved views (wandb-workspaces)


@operation("View")
def find_views(store: Store, v: Variables) -> dict[str, Any]:
    entity, name = v.get("entityName") or ENTITY, v["name"]
    if (entity, name) not in store.projects:
        return {"project": None}
    found = [view for view in store.views.values() if (view.entity, view.project) == (entity, name)]
    found = [view for view in found if view.type == v.get("viewType", "runs")]
    found = [view for view in found if v.get("viewName") in (None, view.name)]
    return {"project": {"allViews": connection([view_node(view) for view in found], 1000, None)}}


@operation("UpsertView2")
def upsert_view(store: Store, v: Variables) -> dict[str, Any]:
    """An id says which view is meant; without one a view is added, even where another has the same name."""
    entity, name = v.get("entityName") or ENTITY, v["projectName"]
    if (entity, name) not in store.projects:
        raise GraphQLError(f"project {entity}/{name} not found")
    inserted = not v.get("id")
    if inserted:
        view_id = f"view-{len(store.views) + 1}"
        view = View(view_id, name, entity, v["name"], v["displayName"], v["type"], json.loads(v["spec"]))
        store.views[view_id] = view
    elif v["id"] in store.views:
        view = store.views[v["id"]]
        view.name, view.display_name, view.spec = v["name"], v["displayName"], json.loads(v["spec"])
        view.saves += 1
    else:
        raise GraphQLError(f"view {v['id']} not found")
    return {"upsertView": {"view": view_node(view), "inserted": inserted}}


def view_node(view: View) -> dict[str, Any]:
    """A view's fields."""
    fields = {"id": view.view_id, "name": view.name, "displayName": view.display_name, "type": view.type}
    return {**fields, "spec": json.dumps(view.spec)}
