"""One experiment in Weights & Biases: a run there, the same one when it is started again; none depends on the server.

What is sent is what metrics.jsonl and result.json hold, row by row in their order, so the number of rows that the
server has says which one comes next: nothing is missing or there twice, wherever an earlier process was killed. Without
a key or a server the client writes below the run folder, and `upload` sends the run folder's files later.

A training that starts anew, with `force=true` say, has the run rewound and sends all rows. It cannot be another run:
W&B does not take the id of a deleted one a second time. The client puts the rows of a run that is there already after
those that it has, resumed or not, so where a server does not rewind, the old curve stays before the new one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from compress.runs.result import Head, Result
from compress.tracking import client_runs, wandb_client, wandb_settings
from compress.tracking.client_runs import ClientFolders
from compress.tracking.run_record import Names, RunRecord, Upload, run_record, starts_anew, teachers_artifact
from compress.tracking.tracking_options import Mode, TrackingConfig
from compress.tracking.wandb_client import kind_and_cause, tear_down, within

if TYPE_CHECKING:
    from wandb import Artifact, Run

HEAD = {field.name for field in fields(Head)}  # of a result: what is told when a run starts
UPLOAD_RATE = 10e6  # bytes per second that an upload of weights is given time for


class Untracked:
    """A context in which an experiment is told to nobody."""

    waited = 0.0  # seconds that the experiment has spent on W&B

    def __enter__(self) -> Untracked:
        return self

    def __exit__(self, *error: object) -> None: ...
    def update(self) -> None: ...
    def finish(self, finished: Result) -> None: ...
    def failed(self, cause: str) -> None: ...
    def stopped(self) -> None: ...


class Tracker(Untracked):
    """A context in which one experiment is told to W&B; whatever goes wrong there is said once and changes nothing."""

    def __init__(self, record: RunRecord, folder: Path, rows: Sequence[str], say: Callable[..., None]) -> None:
        self.record, self.folder = record, folder
        self.rows = rows  # what was logged so far, as JSON; it grows, and a checkpoint may replace it
        self.say = say  # gets a line for people
        self.folders = ClientFolders(record.wandb_id, folder, say)
        self.run: Run | None = None
        self.online = False
        self.done = False  # whether all is on the server
        self.sent = 0
        self.before = Upload.read(folder)  # what is there already
        self.artifact: str | None = None  # the weights' full name
        self.lineage: str | None = None  # the full name of the teacher's weights
        self.missing: str | None = None  # why it is not said to use them

    def __exit__(self, *error: object) -> None:
        self._end(exit_code=1)  # unless that was done
        tear_down()

    def connect(self, mode: Mode) -> None:
        """Start the run or go on with it: online if that is asked for and can be, else offline."""
        with self._timed():
            self.record.write(self.folder)
            Upload.forget(self.folder)
            self._say_what_does_not_count()
            reason = self.connect_online() if mode == "online" else "as asked for"
            if reason is not None:
                tear_down()  # what is left of a try
                self.folders.remove_earlier()
                failure = self._start("offline")
                how = f"off, {failure}" if failure else f"offline, {reason}; python -m launch sync uploads"
                self.say(f"W&B: {how}")

    def connect_online(self) -> str | None:
        """Start the run or go on with it on the server, or say why that cannot be."""
        self.folders.stand_in_for_home()
        reason = wandb_client.why_offline(self.record.seconds) or self._start("online")
        if reason is None:
            assert self.run is not None
            self.say(f"W&B: {self.run.url}")
            self.folders.mark_offline_as_synced()
            self._use_teacher()
        return reason

    def _say_what_does_not_count(self) -> None:
        for problem in wandb_settings.problems():
            self.say(f"W&B: {problem}")
        if refused := wandb_client.refused_settings():
            self.say(f"W&B: {refused}")
        if names := wandb_settings.foreign(of_agent=self.record.sweep is not None):
            self.say(f"W&B: {' and '.join(names)} do not count: every experiment is the run of its own id")

    def _start(self, mode: Mode) -> str | None:
        """Start the client's run; what went wrong, if it did."""
        try:
            self.run = client_runs.start(self.record, mode, self.folders)
        except client_runs.NotStarted as failure:
            return str(failure)
        self.online = mode == "online"
        self.sent = self.run.starting_step  # a row each: so many the server has
        return None

    def update(self) -> None:
        """Send the rows that were logged since."""
        if self.run is None:
            return
        with self._timed(), self._surviving("sending"):
            for row in self.rows[self.sent :]:
                self.run.log({key: value for key, value in json.loads(row).items() if value is not None})
                self.sent += 1

    def finish(self, finished: Result) -> None:
        """Send the outcome: all of result.json, as the run's summary, and the weights if they are wanted."""
        with self._ending(exit_code=0):
            if self.missing and self.online:  # the teacher may have been uploaded since
                self._use_teacher()
            with self._surviving("sending the result"):
                self._summarize({key: value for key, value in finished.document().items() if key not in HEAD})
                if self.record.logs and self.online:
                    allowed = self.record.seconds + finished.size.artifact_bytes / UPLOAD_RATE
                    within(allowed, lambda: self._log_weights(finished))

    def failed(self, cause: str) -> None:
        """The experiment has failed: `failure` in the summary says why."""
        with self._ending(exit_code=1), self._surviving("sending the failure"):
            self._summarize({"failure": cause})

    def stopped(self) -> None:
        """The experiment was asked to stop and will go on later."""
        with self._ending(exit_code=1), self._surviving("stopping"):
            if self.run is not None:
                self.run.mark_preempting()

    def _summarize(self, values: Mapping[str, object]) -> None:
        if self.run is not None:
            cleared = {"failure": None} if self.run.resumed or self.record.anew else {}  # of an earlier try
            self.run.summary.update({**cleared, **values})

    def _log_weights(self, finished: Result) -> None:
        if self.run is None:
            return
        document, size = finished.document(), finished.size
        keys = ("run_id", "model", "task", "methods", "seed", "score_glue", "score_accuracy", "sparsity")
        about = {key: document[key] for key in keys}
        about |= {key: getattr(size, key) for key in ("artifact_bytes", "nominal_bytes", "parameters", "nonzero")}
        artifact: Artifact = wandb_client.client().Artifact(self.record.logs, type="model", metadata=about)
        artifact.add_dir(str(self.folder / "artifact"), policy="immutable")  # no second copy on disk
        logged = self.run.log_artifact(artifact, aliases=["latest", finished.run_id]).wait()
        self.artifact = logged.qualified_name

    def _use_teacher(self) -> None:
        """Have the lineage graph show the teacher; its own run has to be on the server for that.

        What is missing is noted with what was uploaded, and made up for when the run is uploaded again.
        """
        if self.record.uses is None:
            return
        artifact, why = teachers_artifact(self.folder, self.record)
        wanted = artifact or self.record.uses

        def use() -> None:
            if self.run is not None:
                self.lineage = self.run.use_artifact(wanted).qualified_name
                self.missing = None

        try:
            within(self.record.seconds, use)
        except Exception as error:  # it may be offline still, or not be uploaded
            if self.missing is None:
                self.say(f"W&B: no lineage, {self.record.uses}: {why or kind_and_cause(error)}", to_terminal=False)
            self.missing = why or kind_and_cause(error)

    @contextlib.contextmanager
    def _ending(self, exit_code: int) -> Iterator[None]:
        """A context for what is sent last, if the run goes on; then it is ended."""
        if self.run is None:
            return (yield)
        with self._timed():
            self.update()
            yield
            self._end(exit_code)

    def _end(self, exit_code: int) -> None:
        """Wait until all is sent, not longer than allowed, and note it if it was."""
        if self.run is None:
            return
        run, self.run = self.run, None
        try:
            run.finish(exit_code=exit_code)
            if self.online:
                self._note(run, exit_code)
        except Exception as error:
            self._say_lost("finishing", error)

    def _note(self, run: Run, exit_code: int) -> None:
        """Remember what the server has, and what it lacks of the lineage."""
        artifact, before = self.artifact, self.before
        if before is not None and (run.entity, run.project) == (before.entity, before.project):
            artifact = artifact or before.artifact
        upload = Upload(run.url, run.entity, run.project, self.sent, exit_code, artifact, self.lineage, self.missing)
        upload.write(self.folder)
        self.done = True

    @contextlib.contextmanager
    def _surviving(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._say_lost(doing, error)
            self.run = None

    def _say_lost(self, doing: str, error: Exception) -> None:
        self.say(f"W&B: lost while {doing} ({kind_and_cause(error)}); all is on disk, python -m launch sync uploads")

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        started, before = time.monotonic(), self.waited
        try:
            yield
        finally:
            self.waited = before + time.monotonic() - started


def of_experiment(
    tracking: TrackingConfig,
    mode: Mode,
    head: Head,
    names: Names,
    folder: Path,
    rows: Sequence[str],
    say: Callable[..., None],
    *,
    teaches: bool,
    uses: str | None,
    single: bool = False,
    force: bool = False,
    command: Sequence[str] | None = None,
) -> Tracker:
    """The tracker, connected, of an experiment that starts, by `force` or not; other arguments as of `run_record`."""
    anew = starts_anew(folder, force)
    record = run_record(tracking, head, names, teaches=teaches, uses=uses, single=single, anew=anew, command=command)
    tracker = Tracker(record, folder, rows, say)
    tracker.connect(mode)
    return tracker
