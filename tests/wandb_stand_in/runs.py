"""Operations about runs, their history and their files."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from tests.wandb_stand_in.graphql import USER, GraphQLError, Variables, connection, operation, project_node
from tests.wandb_stand_in.state import ENTITY, EVENTS, HISTORY, OUTPUT, Run, Store


def now() -> str:
    """The time in the server's form, to the microsecond so that runs sort by it."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"


@operation("UpsertBucket")
def upsert_run(store: Store, v: Variables) -> dict[str, Any]:
    if v.get("name") is None:  # the public API changes a run by its storage id
        run = next((run for run in store.runs.values() if run.storage_id == v.get("id")), None)
        if run is None:
            raise GraphQLError(f"run {v.get('id')} not found")
        inserted = False
    else:
        key = (v.get("entity") or ENTITY, v.get("project") or "uncategorized", v["name"])
        if key in store.deleted:
            raise GraphQLError(f"run {'/'.join(key)} was previously created and deleted; try a new run name")
        inserted = key not in store.runs
        run = store.runs.setdefault(key, Run(key[2], key[1], key[0], number=len(store.runs), created=now()))
        store.projects.add(key[:2])
        run.state, run.exit_code = v.get("state") or "running", None
    run.heartbeat = now()
    names = {"name": "displayName", "group": "groupName", "job_type": "jobType", "tags": "tags", "notes": "notes",
             "sweep": "sweep"}  # fmt: skip
    if v.get("display_name") is not None:
        names["name"] = "display_name"
    for ours, theirs in names.items():
        if v.get(theirs) is not None:
            setattr(run, ours, v[theirs])
    if v.get("config") is not None:
        run.merge_config(v["config"])
    if v.get("summaryMetrics") is not None:
        run.summary = json.loads(v["summaryMetrics"])
    bucket = {**run_node(run), "project": project_node(run.entity, run.project), "wandbConfig": None}
    return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}


@operation("RunResumeStatus")
def resume_status(store: Store, v: Variables) -> dict[str, Any]:
    entity, name = v.get("entity") or ENTITY, v.get("project") or "uncategorized"
    run = store.run(entity, name, v["name"])
    if (entity, name) not in store.projects:
        return {"model": None}
    if run is None:
        return {"model": {**project_node(entity, name), "bucket": None}}
    bucket = run_node(run) | {
        "logLineCount": run.next_offset(OUTPUT),
        "eventsLineCount": run.next_offset(EVENTS),
        "historyTail": json.dumps([json.dumps(row) for row in run.rows(HISTORY)[-1:]]),
        "eventsTail": json.dumps([json.dumps(row) for row in run.rows(EVENTS)[-1:]]),
        "wandbConfig": json.dumps({"t": run.config_wandb.get("t")}),
    }
    return {"model": {**project_node(entity, name), "bucket": bucket}}


def run_node(run: Run) -> dict[str, Any]:
    """A run's fields."""
    rows = run.history
    keys = {key: {"typeCounts": [{"type": "number"}]} for row in rows for key in row}
    return {
        "__typename": "Run",
        "id": run.storage_id,
        "projectId": "1",
        "name": run.run_id,
        "displayName": run.name or run.run_id,
        "description": "",
        "notes": run.notes,
        "tags": run.tags,
        "group": run.group,
        "jobType": run.job_type,
        "sweepName": None,
        "state": run.state,
        "stopped": False,
        "config": run.config_text(),
        "summaryMetrics": json.dumps(run.summary),
        "systemMetrics": "{}",
        "historyLineCount": run.next_offset(HISTORY),
        "historyKeys": {"lastStep": max((row.get("_step", -1) for row in rows), default=-1), "keys": keys},
        "createdAt": run.created,
        "heartbeatAt": run.heartbeat,
        "commit": None,
        "readOnly": False,
        "user": USER,
    }


@operation("Runs")
def runs(store: Store, v: Variables) -> dict[str, Any]:
    entity, name = v.get("entity") or ENTITY, v["project"]
    if (entity, name) not in store.projects:
        return {"project": None}
    wanted = json.loads(v.get("filters") or "{}")
    found = [run for run in store.runs.values() if (run.entity, run.project) == (entity, name)]
    found = sort_runs([run for run in found if matches(run, wanted)], v.get("order") or "+created_at")
    listed = connection([run_node(run) for run in found], v.get("perPage") or 50, v.get("cursor"))
    return {"project": {**project_node(entity, name), "runCount": len(found), "runs": listed}}


@operation("Run", "RunState", "RunHistoryKeys", "QueryRunInfo", "RunStoppedStatus")
def one_run(store: Store, v: Variables) -> dict[str, Any]:
    run = store.run(v.get("entity"), v.get("project"), v.get("name") or v.get("run") or v.get("runName") or "")
    return {"project": {"run": run_node(run) if run else None}}


@operation("RewindRun")
def rewind_run(store: Store, v: Variables) -> dict[str, Any]:
    """Cut the history behind a step; the summary follows from what is logged then, the configuration stays.

    Known from W&B's documentation, which calls it a preview: not every server has it. Assumed: that a step before the
    first one leaves nothing (the client takes it, and logs on from step 0).
    """
    run = store.run(v.get("entity"), v.get("project"), v["runName"])
    if not store.rewinds:
        raise GraphQLError("rewinding runs is not enabled for this entity")
    if run is None:
        return {"rewindRun": None}
    kept = [row for row in run.history if row.get("_step", 0) <= v["metricValue"]]
    run.lines = {HISTORY: dict(enumerate(map(json.dumps, kept)))}
    run.received = {HISTORY: list(run.lines[HISTORY].items())}
    run.summary = {}
    return {"rewindRun": {"rewoundRun": {**run_node(run), "project": project_node(run.entity, run.project)}}}


@operation("DeleteRun")
def delete_run(store: Store, v: Variables) -> dict[str, Any]:
    """The id of a deleted run is not free again (on W&B's own server for at least a week)."""
    store.deleted |= {key for key, run in store.runs.items() if run.storage_id == v["id"]}
    store.runs = {key: run for key, run in store.runs.items() if run.storage_id != v["id"]}
    return {"deleteRun": {"clientMutationId": None}}


def field_of(run: Run, path: str) -> Any:
    """What a filter or an order means by a path, such as `config.task`, `summary_metrics.score_glue` or `state`."""
    columns = {"name": "run_id", "display_name": "name", "displayName": "name", "jobType": "job_type"}
    columns |= {
        "created_at": "created",
        "createdAt": "created",
        "heartbeat_at": "heartbeat",
        "heartbeatAt": "heartbeat",
    }
    head, _, rest = path.partition(".")
    if head not in ("config", "summary_metrics", "summary"):
        try:
            return getattr(run, columns.get(path, path))
        except AttributeError:
            raise GraphQLError(f"unknown field {path!r} in filters or order") from None
    value: Any = run.config if head == "config" else run.summary
    parts = [part for part in rest.split(".") if part]
    for part in parts[:-1] if head == "config" and parts[-1:] == ["value"] else parts:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def sort_runs(found: list[Run], order: str) -> list[Run]:
    """By one field; runs that lack it come last, as do equals in the order of their creation."""
    path, descending = order.lstrip("+-"), order.startswith("-")
    having = [run for run in found if field_of(run, path) is not None]
    having.sort(key=lambda run: (field_of(run, path), run.number), reverse=descending)
    return having + [run for run in found if field_of(run, path) is None]


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, given: given in value if isinstance(value, list) else value == given,
    "$ne": lambda value, given: given not in value if isinstance(value, list) else value != given,
    "$gt": lambda value, given: value is not None and value > given,
    "$gte": lambda value, given: value is not None and value >= given,
    "$lt": lambda value, given: value is not None and value < given,
    "$lte": lambda value, given: value is not None and value <= given,
    "$in": lambda value, given: bool(set(value) & set(given)) if isinstance(value, list) else value in given,
    "$nin": lambda value, given: not set(value) & set(given) if isinstance(value, list) else value not in given,
    "$exists": lambda value, given: (value is not None) == given,
    "$regex": lambda value, given: value is not None and re.search(given, str(value)) is not None,
}


def matches(run: Run, wanted: Mapping[str, Any]) -> bool:
    """Whether a run passes filters in the MongoDB form that the client sends."""
    for key, condition in wanted.items():
        if key in ("$and", "$or", "$nor"):
            met = [matches(run, one) for one in condition]
            passed = {"$and": all(met), "$or": any(met), "$nor": not any(met)}[key]
        elif key == "$not":
            passed = not matches(run, condition)
        else:
            tests = condition if isinstance(condition, dict) else {"$eq": condition}
            if unknown := set(tests) - set(COMPARISONS):
                raise GraphQLError(f"unknown operator {sorted(unknown)} in filters")
            passed = all(COMPARISONS[name](field_of(run, key), given) for name, given in tests.items())
        if not passed:
            return False
    return True


# --- history


@operation("RunFullHistory", "HistoryPage")
def history_page(store: Store, v: Variables) -> dict[str, Any]:
    run = store.run(v.get("entity"), v.get("project"), v.get("name") or v["run"])
    if run is None:
        return {"project": {"run": None}}
    low, high = int(v.get("minStep") or 0), float(v.get("maxStep") or "inf")
    rows = [json.dumps(row) for row in run.history if low <= row.get("_step", 0) < high]
    events = [json.dumps(row) for row in run.rows(EVENTS)]
    return {"project": {"run": {"history": rows[: v.get("samples") or v.get("pageSize")], "events": events}}}


@operation("RunSampledHistory", "SampledHistoryPage")
def sampled_history(store: Store, v: Variables) -> dict[str, Any]:
    run = store.run(v.get("entity"), v.get("project"), v.get("name") or v["run"])
    if run is None:
        return {"project": {"run": None}}
    series = []
    for spec in map(json.loads, v.get("specs") or [v["spec"]]):
        having = [row for row in run.history if all(key in row for key in spec["keys"])]
        series.append([{key: row[key] for key in spec["keys"]} for row in having[: spec.get("samples")]])
    return {"project": {"run": {"sampledHistory": series}}}


@operation("RunParquetHistory")
def parquet_history(_: Store, __: Variables) -> dict[str, Any]:
    return {
        "project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": []}}}
    }  # then the client asks for pages


# --- files


@operation("CreateRunFiles")
def create_run_files(store: Store, v: Variables) -> dict[str, Any]:
    run = store.run(v.get("entity"), v.get("project"), v["run"])
    if run is None:
        raise GraphQLError(f"run {v['run']} not found")
    where = f"{store.url}/storage/runs/{quote(run.entity)}/{quote(run.project)}/{quote(run.run_id)}"
    files = [{"name": name, "uploadUrl": f"{where}/{quote(name)}"} for name in v["files"]]
    return {"createRunFiles": {"runID": run.storage_id, "uploadHeaders": [], "files": files}}


@operation("MarkRunFilesUploaded")
def mark_uploaded(_: Store, __: Variables) -> dict[str, Any]:
    return {"markRunFilesUploaded": {"success": True}}
