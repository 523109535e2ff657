"""A small local model hub that the real clients download from: no network, no account, and faults on request.

In a test, with the fixtures of this module:

    def test_…(hub: HubServer, command: Command, tmp_path: Path) -> None:
        hub.publish(hub.repository(TINY).changed({"README.md": b"…"}))  # main moves on; the old commit stays
        with hub.failing(Fault("status", r"GET .*parquet", status=503, times=2)):
            command("model=tiny", "task=sst2", **hub.environment(tmp_path / "home"))
        assert hub.asked("parquet") and hub.unknown == []

It answers what `huggingface_hub` 1.x and 2.x, `transformers` and `datasets` ask when they load a model or a data set:
`/<repository>/resolve/<revision>/<path>`, and `/api/<models or datasets>/<repository>` with `/revision`, `/tree`,
`/paths-info` and `/refs`. As on the real hub, large files are redirected to a storage of another origin, which takes no
token; a wrong token is refused, even where none is needed; a repository that is absent is refused like a private one.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.hub_repositories import File, Kind, Repository, glue, sized
from tests.listener import Listener

TOKEN = "hf_" + "StandIn" * 5
TINY = "google/bert_uncased_L-2_H-128_A-2"
GLUE = "nyu-mll/glue"
TEXT = "text/plain; charset=utf-8"
MESSAGES = {  # of the errors that the clients tell apart, by X-Error-Code
    "RepoNotFound": "Repository not found",
    "RevisionNotFound": "Invalid rev id",
    "EntryNotFound": "Entry not found",
    "GatedRepo": "Access to this repository is restricted. You must have access to it and be authenticated.",
}


@dataclass(eq=False)
class Fault:
    """What goes wrong, and with which requests.

    Attributes:
        do: `status`: answered with `status`, `code`, `headers` and `body`; `hang`: accepted, never answered; `delay`:
            answered after `seconds`; `slow`: the body comes at `rate`; `cut`: the connection is closed after `after`
            bytes of the body; `stall`: the body stops there; `corrupt`: one bit in the middle of the body is another.
            What is done to a body is not done to the answer of a HEAD request, which has none.
        match: regular expression, searched in "METHOD /path?query"; LFS files have two, `/resolve/` and `/storage/`.
        times: how many requests are hit; None: all.
        status: 200 too, for a portal that answers in the hub's place.
        code: `X-Error-Code`, one of `MESSAGES`.
        rate: bytes per second.
        after: bytes; None: half of the body.
        struck: how many requests it has hit.
    """

    do: Literal["status", "hang", "delay", "slow", "cut", "stall", "corrupt"]
    match: str = ""
    times: int | None = None
    status: int = 503
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"error":"a fault"}'
    seconds: float = 0.0
    rate: float = 1000.0
    after: int | None = None
    struck: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.code is not None and self.code not in MESSAGES:
            raise ValueError(f"code={self.code!r}: one of {', '.join(MESSAGES)}")

    def hits(self, request: Request) -> bool:
        """Whether it is this request's turn."""
        spent = self.times is not None and self.struck >= self.times
        bodiless = request.method == "HEAD" and self.do in ("slow", "cut", "stall", "corrupt")
        return not spent and not bodiless and re.search(self.match, str(request)) is not None


@dataclass
class Request:
    """A request as it came.

    Attributes:
        target: path and query.
        headers: by their names in lower case.
        status: of the answer; None: there was none.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    status: int | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.target}"

    @property
    def segments(self) -> list[str]:
        """The path's parts; a revision with slashes is one of them."""
        return [unquote(part) for part in urlsplit(self.target).path.split("/")[1:]]

    @property
    def query(self) -> dict[str, str]:
        """The query's fields."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def paths(self) -> list[str]:
        """What a request for `paths-info` asks about, be it a form or JSON."""
        if "json" in self.headers.get("content-type", ""):
            return list(json.loads(self.body)["paths"])
        return parse_qs(self.body.decode()).get("paths", [])


@dataclass(frozen=True)
class Answer:
    """A reply."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A request whose answer is an error."""

    def __init__(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.answer = refused(status, code, headers or {})


def document(content: Any) -> Answer:
    """A reply in JSON."""
    return Answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})


def refused(status: int, code: str | None, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    """A reply that says what is wrong in the headers by which the clients know it."""
    told = {"X-Error-Code": code, "X-Error-Message": MESSAGES[code]} if code else {}
    error = json.dumps({"error": MESSAGES[code] if code else "refused"}).encode()
    return Answer(status, error if body is None else body, {"Content-Type": "application/json", **told, **headers})


# --- what the hub knows -----------------------------------------------------------------------------------------------


class Catalogue:
    """Repositories at their commits, and where their branches are.

    Attributes:
        gated: names of the repositories whose files are for bearers of `TOKEN` only.
    """

    def __init__(self) -> None:
        self.gated: set[str] = set()
        self._commits: dict[str, dict[str, Repository]] = {}  # `<kind>/<name>` -> commit -> repository
        self._branches: dict[str, dict[str, str]] = {}  # `<kind>/<name>` -> branch -> commit

    def publish(self, *repositories: Repository, branch: str = "main") -> None:
        """Make each commit one that can be had, and its repository's branch point to it."""
        for repository in repositories:
            place = f"{repository.kind}/{repository.name}"
            self._commits.setdefault(place, {})[repository.commit] = repository
            self._branches.setdefault(place, {})[branch] = repository.commit

    def repository(self, name: str, revision: str = "main", kind: Kind | None = None) -> Repository:
        """A repository at a branch or commit; a name that a model and a data set share needs the kind.

        Raises:
            RefusedError: there is none.
        """
        places = [f"{kind}/{name}" for kind in ([kind] if kind else ("models", "datasets"))]
        place = next((place for place in places if place in self._commits), None)
        if place is None:
            raise RefusedError(401, "RepoNotFound")
        commit = self._branches[place].get(revision, revision)
        if commit not in self._commits[place]:
            raise RefusedError(404, "RevisionNotFound")
        return self._commits[place][commit]

    def branches(self, repository: Repository) -> dict[str, str]:
        """Branch -> commit."""
        return self._branches[f"{repository.kind}/{repository.name}"]


def listed(path: str, file: File) -> dict[str, Any]:
    """A file in a list of a repository's files."""
    large = (
        {"lfs": {"oid": file.sha256, "size": len(file.content), "pointerSize": len(file.pointer)}} if file.lfs else {}
    )
    return {"type": "file", "path": path, "oid": file.blob_id, "size": len(file.content), **large}


def tree(repository: Repository, under: str, recursive: bool) -> list[dict[str, Any]]:
    """The files and folders below a folder.

    Raises:
        RefusedError: there is no such folder.
    """
    start = f"{under}/" if under else ""
    inside = {path: file for path, file in repository.files.items() if path.startswith(start)}
    if not inside:
        raise RefusedError(404, "EntryNotFound", {"X-Repo-Commit": repository.commit})
    parents = {str(parent) for path in inside for parent in Path(path).parents if str(parent).startswith(start)}
    folders = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(parents - {"."})]
    entries = [*folders, *(listed(path, file) for path, file in inside.items())]
    return [entry for entry in entries if recursive or "/" not in str(entry["path"]).removeprefix(start)]


def about(repository: Repository, blobs: bool) -> dict[str, Any]:
    """What the hub says of a repository; `blobs`: also its files' sizes and digests."""
    siblings = []
    for path, file in repository.files.items():
        entry = listed(path, file)
        large = {"lfs": {"sha256": file.sha256, **entry["lfs"]}} if file.lfs else {}
        details = {"size": entry["size"], "blobId": entry["oid"], **large} if blobs else {}
        siblings.append({"rfilename": path, **details})
    return {
        "_id": "0" * 24,
        "id": repository.name,
        "sha": repository.commit,
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "createdAt": "2022-03-02T23:29:05.000Z",
        "lastModified": "2024-01-30T07:41:18.000Z",
        "siblings": siblings,
    }


# --- HTTP -------------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: HubServer  # set on a subclass for each server

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.serve()

    def do_HEAD(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def serve(self) -> None:
        """Read the request, and answer it or let a fault have it."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, self.path, headers, body)
        fault = self.hub.strike(request)
        with suppress(OSError):  # the client went away
            if fault is not None and fault.do == "hang":
                self.hold(fault)
            else:
                self.reply(request, fault)

    def reply(self, request: Request, fault: Fault | None) -> None:
        """Answer a request, as well as the fault lets."""
        if fault is not None and fault.do == "delay":
            time.sleep(fault.seconds)
        if fault is not None and fault.do == "status":
            answer = refused(fault.status, fault.code, fault.headers, fault.body)
        else:
            answer = self.hub.answer(request)
        request.status = answer.status
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if request.method != "HEAD":
            self.send_body(answer.body, fault)

    def send_body(self, body: bytes, fault: Fault | None) -> None:
        """Send the body; cut, stalled, slow or corrupt, if the fault says so."""
        do = fault.do if fault else None
        if fault is None or do in ("status", "delay"):
            self.wfile.write(body)
        elif do == "corrupt":
            self.wfile.write(corrupted(body))
        elif do == "slow":
            self.trickle(body, fault)
        else:
            self.wfile.write(body[: len(body) // 2 if fault.after is None else fault.after])
            if do == "stall":
                self.hold(fault)
            self.close_connection = True

    def trickle(self, body: bytes, fault: Fault) -> None:
        """Send the body at the fault's rate, twenty times a second."""
        step = max(1, int(fault.rate / 20))
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            time.sleep(step / fault.rate)

    def hold(self, fault: Fault) -> None:
        """Say nothing until the fault or the server ends, then close the connection."""
        self.close_connection = True
        while self.hub.up and fault in self.hub.faults:
            time.sleep(0.02)


def corrupted(body: bytes) -> bytes:
    """The body with one bit of its middle byte turned over."""
    middle = len(body) // 2
    return body[:middle] + bytes(byte ^ 1 for byte in body[middle : middle + 1]) + body[middle + 1 :]


class HubServer(Catalogue):
    """The server; a context manager, or `start` and `close`.

    Attributes:
        requests: all that came, in their order.
        faults: what goes wrong now; of several that hit a request, the first.
        unknown: requests that the stand-in has no answer to.
        port: a free one, taken at the first start.
    """

    def __init__(self, *repositories: Repository) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.unknown: list[Request] = []
        self.port = 0
        self._listener: Listener | None = None
        self._lock = threading.Lock()
        self.publish(*repositories)

    def __enter__(self) -> HubServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def up(self) -> bool:
        """Whether it listens."""
        return self._listener is not None

    def start(self) -> None:
        """Listen."""
        self._listener = Listener(self.port, type("BoundHandler", (Handler,), {"hub": self}))
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and close all connections; `start` listens again, on the same port."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nothing listens for a while: connections are refused."""
        self.close()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """These go wrong for a while."""
        self.faults += faults
        try:
            yield
        finally:
            self.faults = [fault for fault in self.faults if fault not in faults]

    @property
    def url(self) -> str:
        """Where clients find the hub: HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, home: Path) -> dict[str, str]:
        """The variables that make a client load from this hub, with everything that it keeps below `home`.

        They undo what the surroundings may say: no offline mode, no token, no other cache, no proxy.
        """
        here = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        off = dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"), "0")
        unset = dict.fromkeys(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), "")
        folders = {"HF_HOME": home, "HF_HUB_CACHE": home / "hub", "HF_DATASETS_CACHE": home / "datasets"}
        kept = {name: str(folder) for name, folder in folders.items()} | {"HF_TOKEN_PATH": str(home / "token")}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        return {"HF_ENDPOINT": self.url, **kept, **off, **unset, **here, **quiet}

    def asked(self, match: str = "") -> list[Request]:
        """The requests that came whose "METHOD /path?query" has a match of the regular expression."""
        return [request for request in self.requests if re.search(match, str(request))]

    def strike(self, request: Request) -> Fault | None:
        """Note a request, and which fault hits it."""
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.hits(request)), None)
            if fault is not None:
                fault.struck += 1
            return fault

    # --- answers

    def answer(self, request: Request) -> Answer:
        """What a request is answered with."""
        try:
            return self._routed(request)
        except RefusedError as refusal:
            return refusal.answer

    def _routed(self, request: Request) -> Answer:
        match request.segments:
            case ["storage", "models" | "datasets" as kind, owner, name, commit, *path]:
                return self._stored(request, self.repository(f"{owner}/{name}", commit, kind).files["/".join(path)])
            case _ if request.headers.get("authorization", f"Bearer {TOKEN}") != f"Bearer {TOKEN}":
                return Answer(401, b'{"error":"Invalid credentials in Authorization header"}')
            case ["api", "models" | "datasets" as kind, owner, name, *rest]:
                return self._described(request, kind, f"{owner}/{name}", rest)
            case ["datasets", owner, name, "resolve", revision, *path]:
                return self._resolved(request, self.repository(f"{owner}/{name}", revision, "datasets"), path)
            case [owner, name, "resolve", revision, *path]:
                return self._resolved(request, self.repository(f"{owner}/{name}", revision, "models"), path)
        return self._unknown(request)

    def _unknown(self, request: Request) -> Answer:
        self.unknown.append(request)
        return Answer(404, b'{"error":"the stand-in does not know this"}')

    def _described(self, request: Request, kind: Kind, name: str, rest: list[str]) -> Answer:
        """What the hub says of a repository, its files and its branches."""
        match rest:
            case [] | ["revision", _]:
                repository = self.repository(name, (rest or ["", "main"])[1], kind)
                return document(about(repository, request.query.get("blobs", "").lower() == "true"))
            case ["tree", revision, *under]:
                recursive = request.query.get("recursive", "").lower() in ("true", "1")
                return document(tree(self.repository(name, revision, kind), "/".join(under), recursive))
            case ["paths-info", revision]:
                entries = tree(self.repository(name, revision, kind), "", recursive=True)
                return document([entry for entry in entries if entry["path"] in request.paths])
            case ["refs"]:
                branches = self.branches(self.repository(name, kind=kind)).items()
                heads = [{"name": at, "ref": f"refs/heads/{at}", "targetCommit": commit} for at, commit in branches]
                return document({"branches": heads, "tags": [], "converts": []})
        return self._unknown(request)

    def _resolved(self, request: Request, repository: Repository, path: list[str]) -> Answer:
        """A file, or where in the storage it is."""
        told, place = {"X-Repo-Commit": repository.commit}, "/".join(path)
        if repository.name in self.gated and "authorization" not in request.headers:
            raise RefusedError(401, "GatedRepo", told)
        if place not in repository.files:
            raise RefusedError(404, "EntryNotFound", told)
        file = repository.files[place]
        if not file.lfs:
            return self._content(request, file, told)
        linked = {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))}
        storage = (
            f"http://localhost:{self.port}/storage/{repository.kind}/{repository.name}/{repository.commit}/{place}"
        )
        return Answer(302, b"Found", {**told, **linked, "Location": storage})

    def _stored(self, request: Request, file: File) -> Answer:
        """A file out of the storage, whose addresses are signed and which takes no token."""
        if "authorization" in request.headers:
            return Answer(400, b"only one way to authenticate is allowed")
        return self._content(request, file, {})

    def _content(self, request: Request, file: File, headers: Mapping[str, str]) -> Answer:
        """A file's content, or the range of it that was asked for."""
        told = {
            "ETag": f'"{file.etag}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            **headers,
        }
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if asked is None:
            return Answer(200, file.content, told)
        size, first = len(file.content), int(asked[1])
        last = min(int(asked[2] or size), size - 1)
        if first > last:
            return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
        return Answer(206, file.content[first : last + 1], {**told, "Content-Range": f"bytes {first}-{last}/{size}"})


@cache
def replicas() -> tuple[Repository, ...]:
    """BERT TINY at its real shape, and GLUE; made once."""
    return sized("tiny"), glue()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A running hub with TINY and GLUE."""
    with HubServer(*replicas()) as server:
        yield server
