"""Runs as Weights & Biases holds them, turned back into the documents that result.json has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.read.results import Results, from_documents

HEAD = (
    "schema",
    "run_id",
    "model",
    "task",
    "seed",
    "config",
    "identity",
)  # in the run's config; the rest is its summary


@dataclass
class TrackedRun:
    """One run.

    Attributes:
        config: flat factors, and the whole configuration below `config` and `identity`.
        summary: the outcome, under the names of result.json.
        state: `finished`, `running`, `failed`, `crashed`, `preempted` …
    """

    run_id: str
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    url: str | None = None


def as_document(run: TrackedRun) -> dict[str, Any]:
    """The run's result.json."""
    head = {key: run.config[key] for key in HEAD if key in run.config}
    methods = run.config.get("methods")
    if isinstance(methods, str):
        head["methods"] = [] if methods == "none" else methods.split("+")
    undefined = {"score_glue": None, "score_accuracy": None}  # a summary does not keep nulls
    return {**undefined, **run.summary, **head, "url": run.url}


def as_results(runs: Iterable[TrackedRun], source: str, settings: str | None) -> Results:
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
    return from_documents(documents, failures, source, notes=notes, settings=settings)


def _failure(run: TrackedRun, cause: str) -> Mapping[str, Any]:
    known = {key: run.config.get(key) for key in ("task", "model", "methods", "seed")}
    return {"run_id": run.run_id, **known, "cause": cause}
