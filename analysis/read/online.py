"""Runs as Weights & Biases holds them: turned back into what result.json has, and read from a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from analysis.read.collection import Document
from analysis.read.results import Results, from_documents
from analysis.subsets import Compressions, split
from compress import extras
from compress.errors import ConfigError, first_line
from compress.runs.result import Compression, Head, from_document
from compress.tracking.wandb_client import AGENTS_RUN, session, tear_down, why_offline

PAGE = 500  # runs in a query
SECONDS = 60  # that the server may take to answer


@dataclass
class TrackedRun:
    """One run; a project may hold other people's too.

    Attributes:
        config: flat factors, and the whole configuration below `config` and `identity`.
        summary: the outcome, under the names of result.json.
        state: `finished`, `running`, `failed`, `crashed`, `preempted` …
    """

    run_id: str
    config: Document = field(default_factory=dict)
    summary: Document = field(default_factory=dict)
    state: str = "running"
    url: str | None = None
    name: str = ""

    @cached_property
    def compressions(self) -> Compressions | None:
        """Its methods; None if it is no experiment of this project."""
        try:
            if "compression" in self.config:
                return tuple(Compression(**entry) for entry in self.config["compression"])
            return tuple(from_document(self.document()).compression)  # of the first schema: only if it is finished
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def document(self) -> Document:
        undefined = {"score_glue": None, "score_accuracy": None}  # a summary does not keep nulls
        head = {item.name: self.config[item.name] for item in fields(Head) if item.name in self.config}
        if isinstance(methods := head.get("methods"), str):
            head["methods"] = split(methods)
        return {**undefined, **self.summary, **head, "url": self.url}


def as_results(runs: Iterable[TrackedRun], source: str, recipe: str | None) -> Results:
    """The table (ConfigError without any result); other runs are failures, or said to be unfinished."""
    documents, failures, unfinished, others = [], [], 0, 0
    for run in runs:
        cause = run.summary.get("failure")
        if not cause and run.state in ("failed", "crashed", "killed"):
            cause = f"the run is {run.state}; its log has more"
        if run.run_id not in (run.config.get("run_id"), run.config.get(AGENTS_RUN)):
            others += 1
        elif "size" in run.summary and run.state != "running":
            documents.append(run.document())
        elif cause:
            cell = {key: run.config.get(key) for key in ("task", "model", "methods", "seed")}
            failures.append({"run_id": run.run_id, **cell, "cause": str(cause)})
        else:
            unfinished += 1
    notes = [f"{unfinished} runs are not finished"] if unfinished else []
    notes += [f"{others} runs are none of this project's experiments"] if others else []
    return from_documents(documents, failures, source, notes=notes, recipe=recipe)


def read_wandb(where: str, recipe: str | None = None) -> Results:
    """The table of the runs of `[entity/]project`, the entity being the key's own if it is left out.

    Raises:
        ConfigError: no key, no server, no such project, or no run in it.
    """
    entity, _, project = where.rpartition("/")
    if not project or "/" in entity:
        raise ConfigError(f"{where}: must be PROJECT or ENTITY/PROJECT")
    if find_spec("wandb") is None:
        raise ConfigError(f"{where}: {extras.missing('wandb')}")
    if (reason := why_offline(SECONDS)) is not None:
        raise ConfigError(f"{where}: cannot be read from W&B: {reason}")
    try:
        wandb: Any = session()
        api = wandb.Api(timeout=SECONDS)
        path = f"{entity or api.default_entity}/{project}"
        runs = runs_of(api, path)
    except Exception as error:  # the client raises all kinds
        tear_down()  # it may wait for an answer that does not come when Python ends
        cause = first_line(error)
        raise ConfigError(f"{where}: cannot be read from W&B: {cause}; see WANDB_BASE_URL, WANDB_API_KEY") from error
    if not runs:
        raise ConfigError(f"{path}: there is no run; give ENTITY/PROJECT as in tracking.entity and tracking.project")
    return as_results(runs, f"W&B project {where}", recipe)


def runs_of(api: Any, path: str) -> list[TrackedRun]:
    """The runs of `entity/project`, hundreds in each query, as the client's public API gives them."""
    return [
        TrackedRun(run.id, dict(run.config), dict(run.summary_metrics), run.state, run.url, run.name)
        for run in api.runs(path, per_page=PAGE, lazy=False)
    ]
