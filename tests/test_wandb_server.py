"""The stand-in for the W&B server: the real client works against it, and it fails on request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.wandb_server import ENTITY, HISTORY, KEY, Fault, WandbServer

RUN: dict[str, Any] = {"project": "p", "entity": ENTITY}


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer() as standing:
        yield standing


@pytest.fixture
def client(server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The real W&B package, talking to the stand-in."""
    for name, value in server.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    import wandb

    yield wandb
    wandb.teardown()


def request(server: WandbServer, path: str, document: Any = None, timeout: float = 5.0) -> Any:
    """Ask the server over HTTP."""
    body = None if document is None else json.dumps(document).encode()
    asked = urllib.request.Request(server.url + path, body)
    asked.add_header("Authorization", "Basic " + b64encode(f"api:{KEY}".encode()).decode())
    with urllib.request.urlopen(asked, timeout=timeout) as answer:
        return json.load(answer)


def graphql(server: WandbServer, query: str, timeout: float = 5.0, **variables: Any) -> Any:
    return request(server, "/graphql", {"query": f"query {query} {{ x }}", "variables": variables}, timeout)


def stream(server: WandbServer, run_id: str, offset: int, *rows: dict[str, Any], **more: Any) -> Any:
    content = [json.dumps(row) for row in rows]
    files = {HISTORY: {"offset": offset, "content": content}}
    return request(server, f"/files/{ENTITY}/p/{run_id}/file_stream", {"files": files, **more})


def make_run(server: WandbServer, run_id: str, summary: dict[str, Any] | None = None, **config: Any) -> None:
    wrapped = json.dumps({key: {"value": value} for key, value in config.items()})
    graphql(server, "UpsertBucket", name=run_id, config=wrapped, summaryMetrics=json.dumps(summary or {}), **RUN)


# --- the real client


def start(client: Any, run_id: str, **more: Any) -> Any:
    return client.init(project="p", id=run_id, resume="allow", settings=client.Settings(console="off"), **more)


def log_artifact(client: Any, run: Any, folder: Path, content: str, name: str = "teacher-rte") -> Any:
    (folder / "model.bin").write_text(content)
    artifact = client.Artifact(name, type="model", metadata={"run_id": run.id})
    artifact.add_file(str(folder / "model.bin"))
    return run.log_artifact(artifact, aliases=[run.id]).wait(timeout=30)


def test_a_run_that_goes_on_is_one_run_without_gaps_or_repeats(
    client: Any, server: WandbServer, tmp_path: Path
) -> None:
    about = {"name": "rte-mini-s0", "group": "rte-mini", "job_type": "run", "tags": ["demo"]}
    for first in (0, 5):
        run = start(client, "a1b2", config={"task": "rte", "config": {"prune": {"sparsity": 0.4}}}, **about)
        for step in range(first, first + 5):
            run.log({"global_step": step, "loss": 1 / (step + 1)})
        run.summary["size"] = {"nominal_bytes": 10 + first}
        log_artifact(client, run, tmp_path, "weights")
        run.finish(exit_code=0 if first else 1)
        assert server.runs["a1b2"].state == ("finished" if first else "failed")
    there = server.runs["a1b2"]
    assert [row["global_step"] for row in there.history] == list(range(10))
    assert [row["_step"] for row in there.history] == list(range(10))
    assert [offset for offset, _ in there.received[HISTORY]] == list(range(10))
    assert there.summary["size"] == {"nominal_bytes": 15}
    assert there.config == {"task": "rte", "config": {"prune": {"sparsity": 0.4}}}
    assert there.config_wandb["cli_version"]
    assert (there.name, there.group, there.job_type, there.tags) == ("rte-mini-s0", "rte-mini", "run", ["demo"])
    assert (there.project, there.entity, there.exit_code) == ("p", ENTITY, 0)
    assert "config.yaml" in there.files
    assert there.logged_artifacts == ["teacher-rte:v0"]
    assert len(server.runs) == 1
    assert server.unknown == []


def test_artifacts_are_told_apart_by_content_and_remember_who_used_them(
    client: Any, server: WandbServer, tmp_path: Path
) -> None:
    teacher = start(client, "teacher")
    for content, version in (("one", "v0"), ("one", "v0"), ("two", "v1")):
        assert log_artifact(client, teacher, tmp_path, content).version == version
    teacher.finish()
    student = start(client, "student")
    used = student.use_artifact("teacher-rte:latest")
    assert (used.version, used.metadata) == ("v1", {"run_id": "teacher"})
    assert Path(used.download(str(tmp_path / "got")), "model.bin").read_text() == "two"
    with pytest.raises(client.errors.CommError, match="teacher-cola"):
        student.use_artifact("teacher-cola:latest")
    student.finish()
    assert [(a.name, a.type, a.state, sorted(a.aliases), a.files) for a in server.artifacts] == [
        ("teacher-rte:v0", "model", "COMMITTED", [], {"model.bin": 3}),
        ("teacher-rte:v1", "model", "COMMITTED", ["latest", "teacher"], {"model.bin": 3}),
    ]
    assert server.runs["student"].used_artifacts == ["teacher-rte:v1"]
    api = client.Api()
    assert [a.name for a in api.run("p/student").used_artifacts()] == ["teacher-rte:v1"]
    assert [a.name for a in api.run("p/teacher").logged_artifacts()] == ["teacher-rte:v0", "teacher-rte:v1"]
    assert api.artifact("p/teacher-rte:v1").logged_by().id == "teacher"
    assert [run.id for run in api.artifact("p/teacher-rte:v1").used_by()] == ["student"]
    assert server.unknown == []


def test_runs_are_read_back_in_pages_filtered_and_ordered(client: Any, server: WandbServer) -> None:
    for i in range(5):
        make_run(server, f"run{i}", {"score": {"glue": 90.0 - i}}, task="rte" if i % 2 else "cola", seed=i)
    stream(server, "run1", 0, {"_step": 0, "loss": 2.0}, {"_step": 1, "loss": 1.0}, complete=True, exitcode=0)
    api = client.Api()

    def ids(**how: Any) -> list[str]:
        return [run.id for run in api.runs("p", lazy=False, **how)]

    assert ids(per_page=2) == [f"run{i}" for i in range(5)]
    assert server.counts["Runs"] == 3
    assert ids(filters={"config.task": "rte"}) == ["run1", "run3"]
    assert ids(filters={"$and": [{"config.seed.value": {"$gte": 2}}, {"state": "running"}]}) == ["run2", "run3", "run4"]
    assert ids(filters={"$or": [{"state": "finished"}, {"name": {"$in": ["run4"]}}]}) == ["run1", "run4"]
    assert ids(filters={"summary_metrics.score.glue": {"$lt": 88}}, order="-config.seed") == ["run4", "run3"]
    assert ids(order="+summary_metrics.score.glue")[0] == "run4"
    run = next(iter(api.runs("p", filters={"state": "finished"}, lazy=False)))
    assert (run.config, run.summary["score"]["glue"], run.state) == ({"task": "rte", "seed": 1}, 89.0, "finished")
    assert [row["loss"] for row in run.scan_history()] == [2.0, 1.0]
    assert run.history(keys=["loss"], pandas=False) == [{"_step": 0, "loss": 2.0}, {"_step": 1, "loss": 1.0}]
    with pytest.raises(ValueError, match="Could not find project"):
        list(api.runs("absent", lazy=False))
    assert server.unknown == []


def test_the_client_loses_nothing_when_replies_are_lost(client: Any, server: WandbServer) -> None:
    """The rows of a request whose reply was cut come again at the same offsets."""
    run = start(client, "a1b2")
    server.fault = Fault("file_stream", drop=True, times=1)
    run.log({"loss": 1.0})
    run.finish()
    there = server.runs["a1b2"]
    assert [offset for offset, _ in there.received[HISTORY]] == [0, 0]
    assert there.state == "finished"
    assert [row["loss"] for row in there.history] == [1.0]


# --- over HTTP, without the client


def test_rows_stand_where_they_were_put(server: WandbServer) -> None:
    make_run(server, "a1b2")
    stream(server, "a1b2", 0, {"n": 0}, {"n": 1})
    stream(server, "a1b2", 1, {"n": 10})
    stream(server, "a1b2", 5, {"n": 5})
    run = server.runs["a1b2"]
    assert [row["n"] for row in run.history] == [0, 10, 5]
    assert [offset for offset, _ in run.received[HISTORY]] == [0, 1, 1, 5]
    status = graphql(server, "RunResumeStatus", name="a1b2", **RUN)["data"]["model"]["bucket"]
    assert status["historyLineCount"] == 6


def test_an_operation_that_it_does_not_know_is_an_error_and_is_recorded(server: WandbServer) -> None:
    answer = graphql(server, "Mystery")
    assert "does not know the operation Mystery" in answer["errors"][0]["message"]
    assert answer["data"] is None
    assert request(server, "/__dump")["unknown"] == ["Mystery"]


def test_a_wrong_key_is_refused(server: WandbServer) -> None:
    server.key = "another" * 6
    assert status_of(server) == 401


def test_two_views_of_one_name_are_two_unless_the_id_is_given(server: WandbServer) -> None:
    make_run(server, "a1b2")
    view: dict[str, Any] = {
        "entityName": ENTITY,
        "projectName": "p",
        "name": "nw-x-v",
        "displayName": "X",
        "type": "project-view",
    }
    first = graphql(server, "UpsertView2", spec='{"a": 1}', **view)["data"]["upsertView"]
    graphql(server, "UpsertView2", spec='{"a": 2}', **view)
    again = graphql(server, "UpsertView2", spec='{"a": 3}', id=first["view"]["id"], **view)["data"]["upsertView"]
    assert (first["inserted"], again["inserted"]) == (True, False)
    assert [(found.spec, found.saves) for found in server.views] == [({"a": 3}, 2), ({"a": 2}, 1)]
    absent = graphql(server, "UpsertView2", spec="{}", **view | {"projectName": "absent"})
    assert "not found" in absent["errors"][0]["message"]


def status_of(server: WandbServer, query: str = "Viewer") -> int:
    """The HTTP status of the reply."""
    try:
        graphql(server, query)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_http_status_for_some_requests_after_some(server: WandbServer, status: int) -> None:
    server.fault = Fault("graphql", status=status, after=1, times=2)
    assert [status_of(server) for _ in range(5)] == [200, status, status, 200, 200]
    assert server.counts["Viewer"] == 5
    assert server.struck["Viewer"] == 2


def test_too_many_requests_says_when_to_come_again(server: WandbServer) -> None:
    server.fault = Fault(status=429, retry_after=7)
    with pytest.raises(urllib.error.HTTPError) as error:
        graphql(server, "Viewer")
    assert error.value.headers["Retry-After"] == "7"


def test_a_fault_leaves_other_kinds_alone_and_does_none_of_the_work(server: WandbServer) -> None:
    make_run(server, "a1b2")
    server.fault = Fault("file_stream", status=503)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        stream(server, "a1b2", 0, {"n": 0})
    assert status_of(server) == 200
    assert server.runs["a1b2"].history == []


def test_a_dropped_reply_comes_after_the_work(server: WandbServer) -> None:
    make_run(server, "a1b2")
    server.fault = Fault("file_stream", drop=True, times=1)
    with pytest.raises(http.client.BadStatusLine):
        stream(server, "a1b2", 0, {"n": 0})
    assert server.runs["a1b2"].history == [{"n": 0}]
    stream(server, "a1b2", 1, {"n": 1})
    assert len(server.runs["a1b2"].history) == 2


def test_a_slow_server(server: WandbServer) -> None:
    server.fault = Fault(delay=0.3)
    began = time.monotonic()
    assert status_of(server) == 200
    assert time.monotonic() - began >= 0.3


def test_a_server_that_never_answers(server: WandbServer) -> None:
    server.fault = Fault("graphql", hang=True)
    with pytest.raises(TimeoutError):
        graphql(server, "Viewer", timeout=0.3)
    server.fault = None
    assert status_of(server) == 200


def test_a_server_that_refuses_and_returns_on_the_same_port(server: WandbServer) -> None:
    server.fault = Fault(refuse=True)
    with pytest.raises(urllib.error.URLError, match="refused"):
        graphql(server, "Viewer")
    server.fault = None
    assert status_of(server) == 200


def test_a_server_that_goes_away_in_the_middle(server: WandbServer) -> None:
    port = server.port
    server.fault = Fault("graphql", refuse=True, after=1, seconds=0.5)
    assert status_of(server) == 200
    with pytest.raises((urllib.error.URLError, ConnectionError, http.client.RemoteDisconnected)):
        graphql(server, "Viewer")
    with pytest.raises(urllib.error.URLError, match="refused"):
        graphql(server, "Viewer")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert status_of(server) == 200
            break
        except urllib.error.URLError:
            time.sleep(0.05)
    assert status_of(server) == 200
    assert server.port == port


def test_a_fault_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind='graph'"):
        Fault("graph", status=503)


def test_closing_it_closes_connections_too(server: WandbServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/__dump")
    connection.getresponse().read()
    server.close()
    assert connection.sock.recv(1) == b""
    connection.close()


def test_alone_it_survives_sigkill(tmp_path: Path) -> None:
    state, ours = tmp_path / "state.json", WandbServer()

    def serve(*more: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "tests" / "wandb_server.py"), "--state", str(state), *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        ours.port = int(process.stdout.readline().split()[0].rsplit(":", 1)[1])
        return process

    process = serve()
    try:
        port = ours.port
        make_run(ours, "a1b2", {"score_glue": 70.5}, task="rte")
        stream(ours, "a1b2", 0, {"n": 0}, {"n": 1})
        request(ours, "/__fault", {"kind": "graphql", "status": 503})
        assert status_of(ours) == 503
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        with pytest.raises(urllib.error.URLError):
            request(ours, "/__dump")
        process = serve("--port", str(port), "--fault", '{"kind": "upload", "status": 500}')
        assert ours.port == port
        assert status_of(ours) == 200
        dump = request(ours, "/__dump")
        assert dump["fault"]["status"] == 500
        assert [run["history"] for run in dump["runs"]] == [[{"n": 0}, {"n": 1}]]
        assert [(run["config"], run["summary"]) for run in dump["runs"]] == [({"task": "rte"}, {"score_glue": 70.5})]
        stream(ours, "a1b2", 2, {"n": 2}, complete=True, exitcode=0)
        assert request(ours, "/__dump")["runs"][0]["state"] == "finished"
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()  # type: ignore[union-attr]


def test_a_run_is_rewound_and_a_deleted_ones_id_is_taken(server: WandbServer, client: Any) -> None:
    run = start(client, "a1b2")
    for step in range(5):
        run.log({"global_step": step})
    run.finish()
    settings = {"console": "off"}
    run = client.init(project="p", id="a1b2", resume_from="a1b2?_step=2", settings=settings)
    assert run.starting_step == 3
    run.log({"global_step": 30})
    run.finish()
    assert [row["global_step"] for row in server.runs["a1b2"].history] == [0, 1, 2, 30]
    run = client.init(project="p", id="a1b2", settings=settings)
    run.log({"global_step": 99})
    run.finish()
    assert [row["global_step"] for row in server.runs["a1b2"].history] == [0, 1, 2, 30, 99], "the client appends"
    client.Api().run("p/a1b2").delete()
    client.teardown()
    with pytest.raises(client.errors.Error, match="previously created and deleted"):
        client.init(project="p", id="a1b2", settings=settings)
