"""The W&B dashboard: one saved view of a project, made by code and brought up to date by another call."""

from __future__ import annotations

import hashlib
import time

from analysis.dashboard import server

SECONDS = 30.0  # that the server may take for an answer


def create(project: str, entity: str | None = None) -> str:
    """Save the view, or bring the saved one up to date; what people changed in it by hand is replaced.

    Args:
        entity: user or team; None: the key's own.

    Returns:
        where it is.

    Raises:
        ConfigError: no package, key, server or project; one line that says what to do.
    """
    api = server.connect(SECONDS)
    from analysis.dashboard import panels
    from analysis.read.online import PAGE, as_tracked

    with server.in_one_line("reading the project"):
        owner = entity or api.default_entity
        view_id = server.saved_view(api, owner, project, view_name(owner, project))
        runs = [as_tracked(run) for run in api.runs(f"{owner}/{project}", per_page=PAGE, lazy=False)]
    made = panels.workspace(owner, project, runs, time.time())
    made._internal_name, made._internal_id = view_name(owner, project), view_id
    with server.in_one_line("saving the view"):
        return str(made.save().url)


def view_name(entity: str, project: str) -> str:
    """What W&B calls the view itself, the same at every call: `nw-`, 11 letters and digits that end its URL, `-v`."""
    return f"nw-{hashlib.sha256(f'{entity}/{project}'.encode()).hexdigest()[:11]}-v"
