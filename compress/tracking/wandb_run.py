"""Weights & Biases: an experiment is a run there, started again it is the same run, and none depends on the server.

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
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import ConfigError
from compress.runs import result
from compress.runs.result import Head, Result
from compress.storage import surroundings
from compress.storage.files import write_json
from compress.tracking import records, wandb_client, wandb_settings
from compress.tracking.records import FOLDER, UPLOADED, Card, Names, card
from compress.tracking.tracking_options import Mode, mode_of
from compress.tracking.wandb_client import first_line, tear_down, within

if TYPE_CHECKING:
    from compress.tracking.tracking_options import TrackingConfig

HEAD = {field.name for field in fields(Head)}  # of a result: what is told when a run starts
UPLOAD_RATE = 10e6  # bytes per second that an upload of weights is given time for
OWNER = "run-folder.txt"  # in a folder of the client's that is not in the run folder: whose it is


# --- one run ----------------------------------------------------------------------------------------------------------


class Tracker:
    """A context in which one experiment is told to W&B; whatever goes wrong there is said once and changes nothing.

    Args:
        card: None of an experiment that is not tracked: all calls do nothing.
        rows: what the experiment has logged so far, as JSON; it grows, and a checkpoint may replace it.
        say: gets a line for people.

    Attributes:
        waited: seconds that the experiment has spent on W&B.
    """

    def __init__(self, card: Card | None, folder: Path, rows: Sequence[str], say: Callable[..., None]) -> None:
        self.card, self.folder, self.rows, self.say = card, folder, rows, say
        self.run: object = None
        self.online = False
        self.done = False  # all is on the server
        self.sent = 0
        self.waited = 0.0
        self.before = records.note(folder) or {}  # of what is there already
        self.artifact: str | None = None  # the weights' full name
        self.lineage: str | None = None  # the full name of the teacher's weights
        self.missing: str | None = None  # why it is not said to use them

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *error: object) -> None:
        self._end(exit_code=1)  # unless that was done
        if self.card is not None:
            tear_down()

    def connect(self, mode: Mode) -> None:
        """Start the run or go on with it: online if that is asked for and can be, else offline."""
        assert self.card is not None
        with self._timed():
            self.card.write(self.folder)
            (self.folder / FOLDER / UPLOADED).unlink(missing_ok=True)
            self._tell_what_does_not_count()
            reason = self.connect_online() if mode == "online" else "as asked for"
            if reason is not None:
                tear_down()  # what is left of a try
                self._forget_earlier()
                failed = self._start("offline")
                self.say(f"W&B: off, {failed}" if failed else f"W&B: offline, {reason}; python -m launch sync uploads")

    def connect_online(self) -> str | None:
        """Start the run or go on with it on the server, or say why that cannot be."""
        assert self.card is not None
        self._find_folders()
        reason = wandb_client.why_offline(self.card.seconds) or self._start("online")
        if reason is None:
            self._settle_offline_runs()
            self._use_teacher()
        return reason

    def _tell_what_does_not_count(self) -> None:
        for problem in wandb_settings.problems():
            self.say(f"W&B: {problem}")
        if refused := wandb_client.refused_settings():
            self.say(f"W&B: {refused}")
        if names := wandb_settings.foreign():
            self.say(f"W&B: {' and '.join(names)} do not count: every experiment is the run of its own id")

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
        if self.run is None:
            return
        with self._timed():
            self.update()
            if self.missing and self.online:  # the teacher may have been uploaded since
                self._use_teacher()
            with self._surviving("sending the result"):
                self._summarize({key: value for key, value in finished.document().items() if key not in HEAD})
                if self.card and self.card.logs and self.online:
                    allowed = self.card.seconds + finished.size.artifact_bytes / UPLOAD_RATE
                    within(allowed, lambda: self._log_weights(finished))
            self._end(exit_code=0)

    def failed(self, cause: str) -> None:
        """The experiment has failed: `failure` in the summary says why."""
        if self.run is None:
            return
        with self._timed():
            self.update()
            with self._surviving("sending the failure"):
                self._summarize({"failure": cause})
            self._end(exit_code=1)

    def stopped(self) -> None:
        """The experiment was asked to stop and will go on later."""
        if self.run is None:
            return
        with self._timed():
            self.update()
            with self._surviving("stopping"):
                self.run.mark_preempting()
            self._end(exit_code=1)

    # --- the client, which may fail at any time -----------------------------------------------------------------------

    def _start(self, mode: Mode) -> str | None:
        """Start the client's run; what went wrong, if it did."""
        assert self.card is not None
        self._find_folders()
        if mode == "offline":
            failed = self._init(mode)
        elif self.card.anew:
            failed = self._start_anew()
        else:
            failed = self._init(mode, resume="allow")
        if failed is None:
            self._sign()
            self.online = mode == "online"
            self.sent = self.run.starting_step  # a row each: so many the server has
        return failed

    def _start_anew(self) -> str | None:
        """Start the run on the server without the rows that it may have; what went wrong, if it did.

        Rewinding to step 0 leaves a row there. Servers may lack it: it is a preview on W&B's own.
        """
        assert self.card is not None
        moment = f"{self.card.run_id}?_step="
        ways: tuple[dict[str, str], ...] = (
            {"resume": "never"},
            {"resume_from": f"{moment}-1"},
            {"resume_from": f"{moment}0"},
            {},
        )
        failed: str | None = None
        for way in ways:
            before, failed = failed, self._init("online", **way)
            if failed is None and not way:
                self.say(f"W&B: the earlier training's curve stays, before the new one ({before})")
            if failed is None or wandb_client.why_offline(self.card.seconds) is not None:
                return failed
            tear_down()  # else the id is in use
        return failed

    def _init(self, mode: Mode, **way: str) -> str | None:
        """Start the client's run; what went wrong, if it did."""
        assert self.card is not None
        card = self.card
        try:
            self.run = wandb_client.session().init(
                project=card.project,
                entity=card.entity,
                id=card.run_id,
                name=card.name,
                group=card.group,
                job_type=card.job_type,
                config=card.config,
                mode=mode,
                dir=self._client_folder(),
                settings=self._settings(),
                **way,
            )
            self.run.define_metric("*", step_metric="global_step")
        except Exception as error:  # of the network, the server, the key or the client's own process
            self.run = None
            return first_line(error)
        other = self._other_run(mode)
        if other is not None:
            self.run = None
        return other

    def _other_run(self, mode: Mode) -> str | None:
        """What is wrong if the client has started another run than it was asked for."""
        assert self.card is not None
        wanted = {"id": self.card.run_id, "project": self.card.project}
        wanted |= {"entity": self.card.entity} if mode == "online" and self.card.entity else {}
        for key, value in wanted.items():
            if (got := getattr(self.run, key)) != value:
                return f"the client started a run with {key} {got} instead of {value}"
        return None

    def _client_folder(self) -> Path:
        """Where the client keeps its files: the run folder, or what WANDB_DIR names."""
        wanted = wandb_settings.client_folder()
        if wanted is None:
            return self.folder
        try:
            wanted.mkdir(parents=True, exist_ok=True)
            surroundings.Place("WANDB_DIR", str(wanted)).require_writable()
        except (OSError, ConfigError) as error:
            self.say(f"W&B: WANDB_DIR={wanted} cannot be used ({error}); its files are in {self.folder / FOLDER}")
            return self.folder
        return wanted

    def _sign(self) -> None:
        """Where the client's folder is not in the run folder, note whose it is."""
        made = Path(self.run.settings.sync_dir)
        if self.folder.absolute() not in made.absolute().parents:
            with contextlib.suppress(OSError):
                (made / OWNER).write_text(str(self.folder.absolute()))

    def _find_folders(self) -> None:
        """Where this user has no home to write in, have the client keep its settings and logs with the run."""
        if not surroundings.has_home():
            for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
                os.environ.setdefault(name, str(self.folder.absolute() / FOLDER / "client"))

    def _settings(self) -> object:
        assert self.card is not None
        return wandb_client.client().Settings(
            console="off",  # log.txt has it
            init_timeout=self.card.seconds,
            finish_timeout=self.card.seconds,
            finish_timeout_raises=True,
            x_stats_pid=os.getpid(),  # the default is the process that imported wandb
            x_transaction_log_flush_interval=2,  # what a killed run leaves behind
        )

    def _summarize(self, values: Mapping[str, object]) -> None:
        assert self.card is not None
        cleared = {"failure": None} if self.run.resumed or self.card.anew else {}  # of an earlier try
        self.run.summary.update({**cleared, **values})

    def _log_weights(self, finished: Result) -> None:
        assert self.card is not None
        keys = ("run_id", "model", "task", "methods", "seed", "score_glue", "score_accuracy", "sparsity")
        document = finished.document()
        known = {key: document[key] for key in keys}
        known |= {key: document["size"][key] for key in ("artifact_bytes", "nominal_bytes", "parameters", "nonzero")}
        artifact = wandb_client.client().Artifact(self.card.logs, type="model", metadata=known)
        artifact.add_dir(str(self.folder / "artifact"), policy="immutable")  # no second copy on disk
        logged = self.run.log_artifact(artifact, aliases=["latest", finished.run_id]).wait()
        self.artifact = logged.qualified_name

    def _use_teacher(self) -> None:
        """Have the lineage graph show the teacher; its own run has to be on the server for that.

        What is missing is noted with what was uploaded, and made up for when the run is uploaded again.
        """
        assert self.card is not None
        if self.card.uses is None:
            return
        recorded, why = records.teachers_artifact(self.folder, self.card)
        try:
            within(self.card.seconds, lambda: self._use(recorded or str(self.card and self.card.uses)))
        except Exception as error:  # it may be offline still, or not be uploaded
            if self.missing is None:
                self.say(f"W&B: no lineage, {self.card.uses}: {why or first_line(error)}", to_terminal=False)
            self.missing = why or first_line(error)

    def _use(self, artifact: str) -> None:
        self.lineage = self.run.use_artifact(artifact).qualified_name
        self.missing = None

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
            self._lost("finishing", error)

    def _note(self, run: object, exit_code: int) -> None:
        """Remember what the server has, and what it lacks of the lineage."""
        there = {"url": run.url, "entity": run.entity, "project": run.project, "rows": self.sent}
        same = (run.entity, run.project) == (self.before.get("entity"), self.before.get("project"))
        there |= {"exit_code": exit_code, "artifact": self.artifact or (self.before.get("artifact") if same else None)}
        there |= {"lineage": self.lineage, "missing": self.missing}
        write_json(self.folder / FOLDER / UPLOADED, there)
        self.done = True

    @contextlib.contextmanager
    def _surviving(self, doing: str) -> object:
        try:
            yield
        except Exception as error:
            self._lost(doing, error)
            self.run = None

    def _lost(self, doing: str, error: Exception) -> None:
        self.say(f"W&B: lost while {doing} ({first_line(error)}); all is on disk, python -m launch sync uploads")

    @contextlib.contextmanager
    def _timed(self) -> object:
        started, before = time.monotonic(), self.waited
        try:
            yield
        finally:
            self.waited = before + time.monotonic() - started

    # --- what earlier processes left ----------------------------------------------------------------------------------

    def _forget_earlier(self) -> None:
        """The client adds up the logs of a run that it finds, and the next one holds all rows again."""
        for folder in self._earlier("*run-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _settle_offline_runs(self) -> None:
        """All rows are sent from here; have `wandb sync` leave alone what it would send a second time."""
        assert self.card is not None
        for folder in self._earlier("offline-run-*"):
            (folder / f"run-{self.card.run_id}.wandb.synced").touch()

    def _earlier(self, kind: str) -> Iterator[Path]:
        """The client's folders of this run; elsewhere than in the run folder there may be another one's of its id."""
        assert self.card is not None
        yield from (self.folder / FOLDER).glob(f"{kind}-{self.card.run_id}")
        if (elsewhere := wandb_settings.client_folder()) is not None:
            for folder in elsewhere.glob(f"*wandb/{kind}-{self.card.run_id}"):
                with contextlib.suppress(OSError):
                    if (folder / OWNER).read_text() == str(self.folder.absolute()):
                        yield folder


# --- for an experiment, and afterwards --------------------------------------------------------------------------------


def of_experiment(
    settings: TrackingConfig,
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
) -> Tracker:
    """The tracker of an experiment that is about to start, connected if it is tracked.

    Args:
        uses: `name:run_id` of its teacher's weights; None without a teacher.
        single: it was asked for alone, not in a sweep.
        force: it is run again although it may be finished.
    """
    mode = mode_of(settings)
    if mode == "disabled":
        return Tracker(None, folder, rows, say)
    anew = records.starts_anew(folder, force)
    made = card(settings, head, names, teaches=teaches, uses=uses, single=single, anew=anew)
    tracker = Tracker(made, folder, rows, say)
    tracker.connect(mode)
    return tracker


def upload(folder: Path, card: Card) -> str | None:
    """Send what a run folder holds and the server does not have yet; what went wrong, if it did.

    Args:
        card: that of the folder, or one that names another project.
    """
    said: list[str] = []
    log = folder / "metrics.jsonl"
    rows = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    whole = (records.note(folder) or {}).get("exit_code") == 0  # only the lineage is missing, or the weights
    card = replace(card, anew=card.anew and not whole)
    tracker = Tracker(card, folder, rows, lambda message, **_: said.append(message))
    if (reason := tracker.connect_online()) is not None:
        return reason
    finished = result.read(folder, card.run_id)
    if finished is not None:
        tracker.finish(finished)
    elif (failure := result.failure(folder)) is not None:
        tracker.failed(failure)
    else:
        tracker.stopped()
    return None if tracker.done else said[-1]
