"""Operations about sweeps: making one, and what its agents ask for. Every combination of its values is run once."""

from __future__ import annotations

import itertools
import json
from typing import Any

import yaml

from tests.wandb_stand_in.graphql import GraphQLError, Variables, operation, project_node
from tests.wandb_stand_in.state import ENTITY, Store, Sweep


@operation("UpsertSweep")
def upsert_sweep(store: Store, v: Variables) -> dict[str, Any]:
    entity, project = v.get("entityName") or ENTITY, v.get("projectName") or "uncategorized"
    sweep = Sweep(f"sweep{len(store.sweeps)}", project, entity, yaml.safe_load(v["config"]))
    names = list(sweep.config["parameters"])
    values = [_values(sweep.config["parameters"][name]) for name in names]
    sweep.waiting = [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values)]
    store.sweeps[sweep.name] = sweep
    store.projects.add((entity, project))
    node = {"name": sweep.name, "project": project_node(entity, project)}
    return {"upsertSweep": {"sweep": node, "configValidationWarnings": []}}


def _values(parameter: dict[str, Any]) -> list[Any]:
    return list(parameter["values"]) if "values" in parameter else [parameter["value"]]


@operation("CreateAgent")
def create_agent(store: Store, v: Variables) -> dict[str, Any]:
    if v["sweep"] not in store.sweeps:
        raise GraphQLError(f"sweep {v['sweep']} not found")
    return {"createAgent": {"agent": {"id": f"agent-of-{v['sweep']}"}}}


@operation("Heartbeat")
def heartbeat(store: Store, v: Variables) -> dict[str, Any]:
    """One command at a time: to run the next combination, or to end."""
    sweep = store.sweeps[v["id"].removeprefix("agent-of-")]
    commands: list[dict[str, Any]] = []
    if not json.loads(v.get("runState") or "{}"):
        if sweep.waiting:
            values = {name: {"value": value} for name, value in sweep.waiting.pop(0).items()}
            run_id = f"{sweep.name}-{len(sweep.given)}"
            sweep.given.append(run_id)
            program = sweep.config.get("program", "")
            commands.append({"type": "run", "run_id": run_id, "args": values, "program": program})
        else:
            commands.append({"type": "exit"})
    return {"agentHeartbeat": {"agent": {"id": v["id"]}, "commands": json.dumps(commands)}}


@operation("SweepWithRuns")
def one_sweep(store: Store, v: Variables) -> dict[str, Any]:
    sweep = store.sweeps.get(v["sweep"])
    unknown = ("description", "heartbeatAt", "updatedAt", "bestLoss", "controller", "scheduler")
    node: dict[str, Any] | None = None
    if sweep is not None:
        node = {"id": sweep.name, "name": sweep.name, "method": sweep.config.get("method"), "state": "RUNNING",
                "config": yaml.safe_dump(sweep.config), "createdAt": "2026-01-01T00:00:00",
                "earlyStopJobRunning": False, "runs": {"edges": []}, **dict.fromkeys(unknown)}  # fmt: skip
    return {"project": {"sweep": node}}
