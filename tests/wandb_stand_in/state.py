"""What the stand-in for the W&B server holds."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ENTITY = "tester"  # who the key belongs to
HISTORY, EVENTS, SUMMARY, OUTPUT = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"


@dataclass
class Run:
    """One run, as the client made it.

    Attributes:
        config: what `run.config` holds, without W&B's own `_wandb`, which is in `config_wandb`.
        lines: per streamed file, what stands at each offset now.
        received: per streamed file, every (offset, row) in the order of arrival, so that repeats and gaps show.
        state: `running`, `finished`, `failed` (an exit code other than 0), or what a test sets, `crashed` say: the real
            server says that of a run that has been silent for minutes.
        files: sizes in bytes of the files that were uploaded for the run.
        used_artifacts, logged_artifacts: as `name:v0`, once each, in order; those of other projects by their full name.
    """

    run_id: str
    project: str
    entity: str
    number: int
    name: str = ""
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
    sweep: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    config_wandb: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[int, Any]] = field(default_factory=dict)
    received: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    state: str = "running"
    exit_code: int | None = None
    files: dict[str, int] = field(default_factory=dict)
    used_artifacts: list[str] = field(default_factory=list)
    logged_artifacts: list[str] = field(default_factory=list)
    created: str = ""
    heartbeat: str = ""

    @property
    def storage_id(self) -> str:
        """What the client calls the run's storage id."""
        return base64.b64encode(f"Run:v1:{self.run_id}:{self.project}:{self.entity}".encode()).decode()

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows that the client logged, by offset; each has W&B's `_step` too."""
        return self.rows(HISTORY)

    @property
    def output(self) -> list[str]:
        """The lines of the console, if the client sent them."""
        return [line for _, line in sorted(self.lines.get(OUTPUT, {}).items())]

    def rows(self, file: str) -> list[dict[str, Any]]:
        """The rows of a streamed file of JSON lines."""
        return [json.loads(line) for _, line in sorted(self.lines.get(file, {}).items())]

    def next_offset(self, file: str) -> int:
        """Where a client that resumes goes on."""
        return max(self.lines.get(file, {}), default=-1) + 1

    def stream(self, file: str, offset: int, content: list[Any]) -> None:
        """Store rows at exactly the offsets that the client says."""
        self.received.setdefault(file, []).extend(enumerate(content, offset))
        if file == SUMMARY:
            self.summary = json.loads(content[-1])
        else:
            self.lines.setdefault(file, {}).update(enumerate(content, offset))

    def merge_config(self, text: str) -> None:
        """Take in a configuration in the client's form: JSON of `{key: {"value": …}}`."""
        for key, wrapped in json.loads(text).items():
            value = wrapped["value"] if isinstance(wrapped, dict) and "value" in wrapped else wrapped
            if key == "_wandb":
                self.config_wandb = value
            else:
                self.config[key] = value

    def config_text(self) -> str:
        """The configuration in the client's form."""
        wrapped = {key: {"value": value} for key, value in self.config.items()}
        return json.dumps({**wrapped, "_wandb": {"value": self.config_wandb}} if self.config_wandb else wrapped)


@dataclass
class Artifact:
    """One version of an artifact.

    Attributes:
        state: `PENDING` until the client commits it, then `COMMITTED`.
        version: counted from 0 within the collection, in the order of commits.
        files: sizes in bytes by path, from the manifest.
    """

    artifact_id: str
    project: str
    entity: str
    type: str
    collection: str
    digest: str
    run_id: str | None
    aliases: list[str]
    metadata: dict[str, Any] = field(default_factory=dict)
    description: str | None = None
    state: str = "PENDING"
    version: int | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    client_id: str | None = None
    created: str = ""

    @property
    def name(self) -> str:
        """`collection:v0`."""
        return f"{self.collection}:v{self.version}"

    @property
    def files(self) -> dict[str, int]:
        """Sizes in bytes by path."""
        return {path: entry.get("size", 0) for path, entry in self.manifest.get("contents", {}).items()}


@dataclass
class View:
    """A saved view of a project: a workspace made by code or by hand."""

    view_id: str
    project: str
    entity: str
    name: str
    display_name: str
    type: str
    spec: dict[str, Any]
    saves: int = 1


@dataclass
class Sweep:
    """A sweep of W&B's own.

    Attributes:
        config: as its file says.
        waiting: parameters of the runs that no agent was given yet.
        given: ids of the runs that agents were given.
    """

    name: str
    project: str
    entity: str
    config: dict[str, Any]
    waiting: list[dict[str, Any]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)


class Store:
    """Everything that clients told the server; guarded by one lock; kept in a file where one is given."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.url = ""  # where clients find the server, for the addresses of files
        self.lock = threading.RLock()
        self.runs: dict[tuple[str, str, str], Run] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.views: dict[str, View] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.projects: set[tuple[str, str]] = set()
        self.deleted: set[tuple[str, str, str]] = set()
        self.rewinds = True  # whether runs can be rewound
        self.stored: dict[str, bytes] = {}
        if path is not None and path.is_file():
            self._load(json.loads(path.read_text()))

    def document(self) -> dict[str, Any]:
        """The state as JSON, without the contents of files."""
        return {
            "projects": sorted(map(list, self.projects)),
            "deleted": sorted(map(list, self.deleted)),
            "runs": [{**asdict(run), "history": run.history} for run in self.runs.values()],
            "artifacts": [asdict(artifact) for artifact in self.artifacts.values()],
            "views": [asdict(view) for view in self.views.values()],
            "stored": {path: len(content) for path, content in self.stored.items()},
        }

    def save(self) -> None:
        """Write the state by temp-and-rename, so that a killed server loses nothing that it acknowledged."""
        if self.path is None:
            return
        contents = {path: base64.b64encode(content).decode() for path, content in self.stored.items()}
        temporary = self.path.with_name(self.path.name + ".part")
        temporary.write_text(json.dumps({**self.document(), "stored": contents}))
        temporary.replace(self.path)

    def _load(self, document: Mapping[str, Any]) -> None:
        self.projects = {(entity, project) for entity, project in document["projects"]}
        self.deleted = {(entity, project, run_id) for entity, project, run_id in document.get("deleted", [])}
        for fields in document["runs"]:
            fields.pop("history")
            fields["lines"] = {file: {int(i): line for i, line in at.items()} for file, at in fields["lines"].items()}
            fields["received"] = {file: [(i, row) for i, row in rows] for file, rows in fields["received"].items()}
            run = Run(**fields)
            self.runs[run.entity, run.project, run.run_id] = run
        self.artifacts = {fields["artifact_id"]: Artifact(**fields) for fields in document["artifacts"]}
        self.views = {fields["view_id"]: View(**fields) for fields in document["views"]}
        self.stored = {path: base64.b64decode(content) for path, content in document["stored"].items()}

    def run(self, entity: str | None, project: str | None, run_id: str) -> Run | None:
        """The run of this name."""
        return self.runs.get((entity or ENTITY, project or "uncategorized", run_id))

    def versions(self, entity: str, project: str, collection: str) -> list[Artifact]:
        """The committed versions of a collection, oldest first."""
        found = [
            a for a in self.artifacts.values() if (a.entity, a.project, a.collection) == (entity, project, collection)
        ]
        return sorted((a for a in found if a.version is not None), key=lambda a: a.version or 0)

    def artifact_named(self, entity: str, project: str, name: str) -> Artifact | None:
        """The version that `collection:alias` or `collection:v0` means."""
        collection, _, alias = name.partition(":")
        for artifact in self.versions(entity, project, collection):
            if (alias or "latest") in (*artifact.aliases, f"v{artifact.version}"):
                return artifact
        return None

    def artifact_of(self, run: Run, name: str) -> Artifact | None:
        """The version that a run means by a name, which is a full one for those of other projects."""
        entity, project, short = [run.entity, run.project, name] if "/" not in name else name.split("/")
        return self.artifact_named(entity, project, short)

    def commit(self, artifact: Artifact) -> None:
        """Make the artifact the newest version of its collection."""
        versions = self.versions(artifact.entity, artifact.project, artifact.collection)
        artifact.version = len(versions)
        artifact.state = "COMMITTED"
        self.give_aliases(artifact, artifact.aliases)  # the client sends `latest` itself
        self.note_logged(artifact, artifact.run_id)

    def give_aliases(self, artifact: Artifact, aliases: list[str]) -> None:
        """Move aliases to this version: within a collection each belongs to one."""
        for other in self.versions(artifact.entity, artifact.project, artifact.collection):
            if other is not artifact:
                other.aliases = [alias for alias in other.aliases if alias not in aliases]
        artifact.aliases = list(dict.fromkeys([*artifact.aliases, *aliases]))

    def note_logged(self, artifact: Artifact, run_id: str | None) -> None:
        """Remember the artifact as an output of the run."""
        run = self.run(artifact.entity, artifact.project, run_id or "")
        if run is not None and artifact.name not in run.logged_artifacts:
            run.logged_artifacts.append(artifact.name)
