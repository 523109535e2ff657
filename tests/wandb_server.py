"""A small local server that the real W&B client works against: no network, no account, and faults on request.

In a test:

    with WandbServer() as server:
        monkeypatch.setenv(...)  # every pair of server.environment()
        ...                      # wandb.init(), wandb.Api() and so on
        assert server.runs["a1b2c3d4e5f6"].summary["score_glue"] == 71.0
        assert server.unknown == []

Alone, so that it can be killed and started again on the same port:

    python tests/wandb_server.py --port 8765 --state state.json --fault '{"status": 503, "kind": "file_stream"}'

What it does was learned from the client 0.31.0, from the queries it sends; where the real server's behaviour is not
known, the stand-in does what would make a careless client fail. Answers may hold more fields than a query asks for.
`GET /__dump` gives all state as JSON, `POST /__fault` sets a fault (see `Fault`; `null` ends it).
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.listener import Listener
from tests.wandb_stand_in import artifacts, runs, sweeps  # noqa: F401  (they register their operations)
from tests.wandb_stand_in.graphql import OPERATIONS, GraphQLError
from tests.wandb_stand_in.runs import now
from tests.wandb_stand_in.state import ENTITY, HISTORY, Artifact, Run, Store, View

__all__ = ["ENTITY", "HISTORY", "KEY", "Fault", "Run", "WandbServer"]

KEY = "standin0" * 5  # the client wants 40 characters
KINDS = ("graphql", "file_stream", "upload", "download", "all")


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and for which requests.

    Attributes:
        kind: which requests: `graphql`, `file_stream`, `upload`, `download` or `all`.
        after: this many such requests are served first.
        times: how many are hit then; None: all.
        status: answer with this HTTP status and do nothing; 429 says `Retry-After`.
        retry_after: seconds, with status 429.
        delay: seconds before the request is seen to; alone it is only slow.
        hang: never answer.
        drop: do what is asked, then close the connection in the middle of the reply, so early in it that the client
            cannot know.
        refuse: close the listening socket and all connections, until the fault is ended.
        seconds: how long the fault lasts; None: until it is ended.
    """

    kind: str = "all"
    after: int = 0
    times: int | None = None
    status: int | None = None
    retry_after: int = 1
    delay: float = 0.0
    hang: bool = False
    drop: bool = False
    refuse: bool = False
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r}: one of {', '.join(KINDS)}")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wandb: WandbServer  # set on a subclass for each server

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self.path == "/__dump":
            self.answer(self.wandb.dump())
        else:
            self.serve("download", "download", self.download)

    def do_PUT(self) -> None:
        body = self.body()
        self.serve("upload", "upload", lambda: self.upload(body))

    def do_POST(self) -> None:
        body = self.body()
        if self.path == "/__fault":
            fields = json.loads(body)
            fault = None if fields is None else Fault(**fields)
            self.close_connection = True
            if fault is not None and fault.refuse:  # it closes this connection too, so the answer goes first
                self.answer({"fault": fields})
                self.wandb.fault = fault
            else:
                self.wandb.fault = fault
                self.answer({"fault": fields})
        elif self.path == "/graphql":
            request = json.loads(body)
            named = re.search(r"\b(?:query|mutation)\s+(\w+)", request["query"])
            name = named.group(1) if named else "anonymous"
            self.serve("graphql", name, lambda: self.graphql(name, request))
        elif self.path.endswith("/file_stream"):
            self.serve("file_stream", "file_stream", lambda: self.file_stream(json.loads(body)))
        else:
            self.wandb.unknown.append(f"POST {self.path}")
            self.answer({"error": "not found"}, 404)

    def serve(self, kind: str, name: str, work: Callable[[], tuple[Any, int]]) -> None:
        """Count the request, and answer it or let the fault have it."""
        fault = self.wandb.strike(kind, name)
        if fault is not None:
            time.sleep(fault.delay)
            if fault.refuse or fault.hang:
                self.wandb.wait_out(fault)
                self.close_connection = True
                return
            if fault.status is not None:
                headers = {"Retry-After": str(fault.retry_after)} if fault.status == 429 else {}
                self.answer({"errors": [{"message": f"fault {fault.status}"}]}, fault.status, headers)
                return
        with self.wandb.store.lock:
            if kind in ("graphql", "file_stream") and not self.authorized():
                reply, status = {"errors": [{"message": "user is not logged in"}]}, 401
            else:
                reply, status = work()
            if kind != "download":
                self.wandb.store.save()
        if fault is not None and fault.drop:
            self.drop()
        else:
            self.answer(reply, status)

    def authorized(self) -> bool:
        """The client sends its key as the password of HTTP basic authentication."""
        expected = base64.b64encode(f"api:{self.wandb.key}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {expected}"

    def body(self) -> bytes:
        """The request's body, unpacked."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def answer(self, reply: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send a reply."""
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        with suppress(OSError):  # the client went away
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def drop(self) -> None:
        """Begin a reply, and close the connection before its status is complete."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(b"HTTP/1.1 2")

    def graphql(self, name: str, request: dict[str, Any]) -> tuple[Any, int]:
        """One operation."""
        if name not in OPERATIONS:
            self.wandb.unknown.append(name)
            return {"data": None, "errors": [{"message": f"the stand-in does not know the operation {name}"}]}, 200
        try:
            return {"data": OPERATIONS[name](self.wandb.store, request.get("variables") or {})}, 200
        except GraphQLError as error:
            return {"data": None, "errors": [{"message": str(error)}]}, 200

    def file_stream(self, document: dict[str, Any]) -> tuple[Any, int]:
        """Rows of a run, and the news that it ended."""
        entity, name, run_id = map(unquote, self.path.split("/")[2:5])
        run = self.wandb.store.run(entity, name, run_id)
        if run is None:
            return {"error": f"run {run_id} not found"}, 404
        run.heartbeat = now()
        for file, chunk in (document.get("files") or {}).items():
            run.stream(file, chunk["offset"], chunk["content"])
        if document.get("complete"):
            run.exit_code = document.get("exitcode") or 0
            run.state = "finished" if run.exit_code == 0 else "failed"
        else:
            run.state, run.exit_code = "running", None
        return {"exitcode": None, "limits": {}}, 200

    def upload(self, body: bytes) -> tuple[Any, int]:
        """A file into storage."""
        path = unquote(urlsplit(self.path).path)
        self.wandb.store.stored[path] = body
        if path.startswith("/storage/runs/"):
            entity, name, run_id, file = path.removeprefix("/storage/runs/").split("/", 3)
            run = self.wandb.store.run(entity, name, run_id)
            if run is not None:
                run.files[file] = len(body)
        return b"", 200

    def download(self) -> tuple[Any, int]:
        """A file out of storage."""
        path = unquote(urlsplit(self.path).path)
        content = self.wandb.store.stored.get(path)
        return (content, 200) if content is not None else ({"error": f"{path} not found"}, 404)


class WandbServer:
    """The server; a context manager, or `start` and `close`.

    Attributes:
        counts: requests that arrived, by operation: GraphQL's names, `file_stream`, `upload`, `download`.
        struck: of those, how many the fault had, by operation.
        unknown: operations that came and that the stand-in has no answer to.

    Args:
        port: 0 takes a free one.
        state: a file that keeps the state; read if it is there.
    """

    def __init__(self, port: int = 0, state: Path | None = None, key: str = KEY) -> None:
        self.key = key
        self.store = Store(state)
        self.counts: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.port = port
        self._listener: Listener | None = None
        self._fault: Fault | None = None
        self._seen = 0  # requests of the fault's kind since it was set
        self._ends = float("inf")
        self._switch = threading.RLock()

    def __enter__(self) -> WandbServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen."""
        with self._switch:
            if self._listener is None:
                self._listener = Listener(self.port, type("BoundHandler", (Handler,), {"wandb": self}))
                self.port = self._listener.server_address[1]
                self.store.url = self.url
                threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and close all connections; `start` listens again, on the same port."""
        with self._switch:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    @property
    def url(self) -> str:
        """Where clients find the server."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, folder: Path | None = None) -> dict[str, str]:
        """The environment variables that make a client talk to this server.

        Args:
            folder: also keep the client quiet, and all that it writes here.
        """
        where = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": self.key, "WANDB_MODE": "online"}
        if folder is None:
            return where
        folders = {f"WANDB_{name}_DIR": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT")}
        quiet = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "NETRC": str(folder / "netrc")}
        return where | folders | quiet | {"WANDB_DIR": str(folder)}

    # --- state

    @property
    def runs(self) -> dict[str, Run]:
        """Runs by id, in the order of their creation; ids must not repeat between projects."""
        with self.store.lock:
            found = {run.run_id: run for run in self.store.runs.values()}
            assert len(found) == len(self.store.runs), "the same run id in two projects: look into store.runs"
            return found

    @property
    def artifacts(self) -> list[Artifact]:
        """Every version, in the order of creation."""
        return list(self.store.artifacts.values())

    @property
    def views(self) -> list[View]:
        """Saved views, in the order of creation."""
        return list(self.store.views.values())

    def dump(self) -> dict[str, Any]:
        """Everything, as JSON."""
        with self.store.lock:
            counts = {"counts": dict(self.counts), "struck": dict(self.struck), "unknown": self.unknown}
            return {**self.store.document(), **counts, "fault": self.fault and asdict(self.fault)}

    # --- faults

    @property
    def fault(self) -> Fault | None:
        """What goes wrong now; set it, or set None to end it."""
        return self._fault if time.monotonic() < self._ends else None

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        with self._switch:
            self._fault, self._seen = fault, 0
            seconds = fault.seconds if fault else None
            self._ends = float("inf") if seconds is None else time.monotonic() + seconds
        if fault is not None and fault.refuse and fault.after == 0:
            self._refuse(fault)
        else:
            self.start()

    def strike(self, kind: str, name: str) -> Fault | None:
        """Count a request, and say what goes wrong with it."""
        with self._switch:
            self.counts[name] += 1
            fault = self.fault
            if fault is None or fault.kind not in (kind, "all"):
                return None
            self._seen += 1
            nth = self._seen - fault.after
            if nth <= 0 or (fault.times is not None and nth > fault.times):
                return None
            self.struck[name] += 1
        if fault.refuse:
            self._refuse(fault)
        return fault

    def wait_out(self, fault: Fault) -> None:
        """Return when the fault has ended or the server is closed."""
        while self.fault is fault and self._listener is not None:
            time.sleep(0.05)

    def _refuse(self, fault: Fault) -> None:
        self.close()
        if fault.seconds is not None:
            timer = threading.Timer(fault.seconds, lambda: self.start() if self._fault is fault else None)
            timer.daemon = True
            timer.start()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A stand-in for the W&B server.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--state", type=Path, help="a JSON file that keeps the state; read if it is there")
    parser.add_argument("--fault", type=json.loads, help="JSON of the fields of Fault, such as '{\"status\": 503}'")
    arguments = parser.parse_args()
    server = WandbServer(arguments.port, arguments.state)
    server.start()
    print(f"{server.url} (process {os.getpid()})", flush=True)
    if arguments.fault:
        server.fault = Fault(**arguments.fault)
    threading.Event().wait()


if __name__ == "__main__":
    main()
