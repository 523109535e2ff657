"""Runs as Weights & Biases holds them, turned back into the documents that result.json has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property

from analysis.read.folders import Document
from analysis.read.results import Results, from_documents
from analysis.subsets import Compressions, split
from compress.runs.result import Compression, Head, from_document

FAILED_CELL = ("task", "model", "methods", "seed")


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
            return tuple(from_document(as_document(self)).compression)  # of the first schema: only if it is finished
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def as_document(run: TrackedRun) -> Document:
    """The run's result.json."""
    undefined = {"score_glue": None, "score_accuracy": None}  # a summary does not keep nulls
    return {**undefined, **run.summary, **_head(run.config), "url": run.url}


def _head(config: Document) -> Document:
    """What of result.json a run's configuration has."""
    head = {item.name: config[item.name] for item in fields(Head) if item.name in config}
    if isinstance(methods := head.get("methods"), str):
        head["methods"] = split(methods)
    return head


def as_results(runs: Iterable[TrackedRun], source: str, recipe: str | None) -> Results:
    """The table; runs that have no result are failures, or said to be unfinished.

    Raises:
        ConfigError: there is nothing to tell.
    """
    documents, failures, unfinished, others = [], [], 0, 0
    for run in runs:
        if run.config.get("run_id") != run.run_id:
            others += 1
        elif "size" in run.summary and run.state != "running":
            documents.append(as_document(run))
        elif cause := run.summary.get("failure"):
            failures.append(_failure(run, str(cause)))
        elif run.state in ("failed", "crashed", "killed"):
            failures.append(_failure(run, f"the run is {run.state}; its log has more"))
        else:
            unfinished += 1
    notes = [f"{unfinished} runs are not finished"] if unfinished else []
    notes += [f"{others} runs are none of this project's experiments"] if others else []
    return from_documents(documents, failures, source, notes=notes, recipe=recipe)


def _failure(run: TrackedRun, cause: str) -> Document:
    return {"run_id": run.run_id, **{key: run.config.get(key) for key in FAILED_CELL}, "cause": cause}
