"""Weights & Biases: an experiment is a run there, started again it is the same run, and none depends on the server.

What is sent is what metrics.jsonl and result.json hold, row by row in their order, so the number of rows that the
server has says which one comes next: nothing is missing or there twice, wherever an earlier process was killed. Without
a key or a server the client writes below the run folder, and `upload` sends the run folder's files later.
"""

from __future__ import annotations

import contextlib
import json
import netrc
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress import result, surroundings
from compress.errors import ConfigError
from compress.methods import GROUPS

if TYPE_CHECKING:
    from compress.config import Config

FOLDER = "wandb"  # in a run folder; the client's own files are there too
CARD, UPLOADED = "card.json", "uploaded.json"
PROBE_SECONDS = 5.0  # for the server's first answer
TEAR_DOWN_SECONDS = 2.0  # for the client to end by itself
UPLOAD_RATE = 10e6  # bytes per second that an upload of weights is given time for
HEAD = ("schema", "run_id", "model", "task", "methods", "seed", "config", "identity")  # of result.json; not its outcome

Mode = Literal["online", "offline", "disabled"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class TrackingConfig:
    """What is told to Weights & Biases; no part of an experiment's identity."""

    name: Literal["none", "wandb"] = Field(description="whether runs are tracked")
    project: str = Field(description="where runs appear", min_length=1, max_length=128)
    entity: str | None = Field(description="user or team; null: the key's own", min_length=1)
    group: str | None = Field(description="runs shown as one; null: the cell without its seed", min_length=1)
    mode: Literal["auto", "online", "offline"] = Field(description="auto: as WANDB_MODE says, else online")
    log_artifacts: Literal["all", "teachers", "none"] = Field(description="whose weights are uploaded")
    seconds: float = Field(description="the server may take to start a run, and again to finish it", gt=0)


@plain_dataclass(frozen=True)
class Card:
    """What a run is before it starts, in a form that can be sent later.

    Attributes:
        config: flat factors, to group and filter by; the whole configuration below `config` and `identity`.
        logs: name of the artifact that the weights become; None if they are not uploaded.
        uses: the teacher's artifact, `name:alias`.
    """

    run_id: str
    name: str
    project: str
    entity: str | None
    group: str
    job_type: str
    config: dict[str, Any]
    logs: str | None
    uses: str | None
    seconds: float

    @staticmethod
    def read(folder: Path) -> Card | None:
        """That of a run folder; None without one, of an experiment that was not tracked."""
        try:
            return Card(**json.loads((folder / FOLDER / CARD).read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, folder: Path) -> None:
        """Put it into a run folder."""
        result.write_json(folder / FOLDER / CARD, asdict(self))


def is_behind(folder: Path) -> bool:
    """Whether a run folder is of a tracked experiment that the server does not have all of."""
    return (folder / FOLDER / CARD).exists() and not (folder / FOLDER / UPLOADED).exists()


# --- what a run is called ---------------------------------------------------------------------------------------------


def factors(head: Mapping[str, Any]) -> dict[str, Any]:
    """What the experiments of a grid differ in, flat: the dashboard groups, filters and draws by these.

    Args:
        head: the fields `HEAD` of result.json.
    """
    settings = head["config"]
    options = {group: settings[group]["name"] for group in GROUPS}
    sparsity = settings["prune"]["sparsity"] if options["prune"] != "none" else 0.0
    plain = {key: head[key] for key in ("model", "task", "seed", "run_id", "schema")}
    return {**plain, **options, "methods": "+".join(head["methods"]) or "none", "sparsity": sparsity}


def cell_name(head: Mapping[str, Any]) -> str:
    """An experiment without its seed: `rte-mini-quantize+prune-0.6`, with the sparsity where something is pruned."""
    found = factors(head)
    pruned = f"-{found['sparsity']:g}" if found["sparsity"] else ""
    return f"{found['task']}-{found['model']}-{found['methods']}{pruned}"


def run_name(head: Mapping[str, Any]) -> str:
    """What the dashboard calls a run."""
    return f"{cell_name(head)}-s{head['seed']}"


def artifact_name(head: Mapping[str, Any]) -> str:
    """What the stored weights are called; W&B allows letters, digits, dots, dashes and underscores."""
    return "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in run_name(head))


def card(
    settings: TrackingConfig, head: Mapping[str, Any], *, teaches: bool, teacher: Mapping[str, Any] | None
) -> Card:
    """How an experiment appears in W&B.

    Args:
        teaches: whether a student of the same sweep learns from it.
        teacher: the result of its own teacher.
    """
    wanted = settings.log_artifacts == "all" or (settings.log_artifacts == "teachers" and teaches)
    uses = None if teacher is None or settings.log_artifacts == "none" else teacher
    return Card(
        run_id=head["run_id"],
        name=run_name(head),
        project=settings.project,
        entity=settings.entity,
        group=settings.group or cell_name(head),
        job_type="teacher" if teaches else "run",
        config={**factors(head), "config": head["config"], "identity": head["identity"]},
        logs=artifact_name(head) if wanted else None,
        uses=None if uses is None else f"{artifact_name(uses)}:{uses['run_id']}",
        seconds=settings.seconds,
    )


# --- whether there is a server ----------------------------------------------------------------------------------------


def mode_of(settings: TrackingConfig) -> Mode:
    """Whether and where to, before anybody has looked for a server.

    Raises:
        ConfigError: WANDB_MODE has a value that means nothing here.
    """
    if settings.name == "none":
        return "disabled"
    if settings.mode != "auto":
        return settings.mode
    asked = os.environ.get("WANDB_MODE") or "online"
    meant: dict[str, Mode] = {"online": "online", "shared": "online", "offline": "offline", "dryrun": "offline"}
    meant |= {"disabled": "disabled"}
    if asked not in meant:
        raise ConfigError(f"WANDB_MODE={asked}: must be of online, offline, disabled; unset it or correct it")
    return meant[asked]


def why_offline(seconds: float) -> str | None:
    """Why a run cannot be online, as far as a first look tells; None if it seems to be possible."""
    import requests

    try:
        settings = client().setup().settings
    except Exception as error:  # something in the environment or in a settings file that the client refuses
        return _first_line(error)
    url = str(settings.base_url)
    if not (settings.api_key or _has_key(url)):
        return f"no key for {url} (wandb login, or WANDB_API_KEY)"
    try:
        answer = requests.get(url, timeout=min(seconds, PROBE_SECONDS), stream=True)
    except requests.RequestException as error:
        return f"{url} cannot be reached ({type(error).__name__})"
    return f"{url} answers {answer.status_code}" if answer.status_code == 429 or answer.status_code >= 500 else None


def _has_key(url: str) -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(url).netloc) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def client() -> Any:
    """The package wandb, told to be quiet, and not to report its own errors: without a network it waits for that."""
    if not os.environ.get("WANDB_SILENT"):  # an empty one makes the client crash
        os.environ["WANDB_SILENT"] = "true"
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    import wandb

    return wandb


def warm_up() -> None:
    """Import what the client imports at its first run, for a process that forks: that takes longer than the run."""
    client()
    import psutil  # noqa: F401
    import requests  # noqa: F401
    import wandb.apis.public
    import wandb.sdk.launch  # noqa: F401


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
        self.run: Any = None
        self.online = False
        self.sent = 0
        self.waited = 0.0

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
            reason = "as asked for" if mode == "offline" else self.connect_online()
            if reason is not None:
                tear_down()  # what is left of a try
                self._forget_earlier()
                failed = self._start("offline")
                self.say(f"W&B: off, {failed}" if failed else f"W&B: offline, {reason}; python -m launch sync uploads")

    def connect_online(self) -> str | None:
        """Start the run or go on with it on the server, or say why that cannot be."""
        assert self.card is not None
        self._find_folders()
        reason = why_offline(self.card.seconds) or self._start("online")
        if reason is None:
            self._settle_offline_runs()
            self._use_teacher()
        return reason

    def update(self) -> None:
        """Send the rows that were logged since."""
        if self.run is None:
            return
        with self._timed(), self._surviving("sending"):
            for row in self.rows[self.sent :]:
                self.run.log({key: value for key, value in json.loads(row).items() if value is not None})
                self.sent += 1

    def finish(self, document: Mapping[str, Any]) -> None:
        """Send the outcome: all of result.json, as the run's summary, and the weights if they are wanted."""
        if self.run is None:
            return
        with self._timed():
            self.update()
            with self._surviving("sending the result"):
                self._summarize({key: value for key, value in document.items() if key not in HEAD})
                if self.card and self.card.logs and self.online:
                    allowed = self.card.seconds + document["size"]["artifact_bytes"] / UPLOAD_RATE
                    _within(allowed, lambda: self._log_weights(document))
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
        wandb, card = client(), self.card
        try:
            self.run = wandb.init(
                project=card.project,
                entity=card.entity,
                id=card.run_id,
                name=card.name,
                group=card.group,
                job_type=card.job_type,
                config=card.config,
                resume="allow" if mode == "online" else None,
                mode=mode,
                dir=self.folder,
                settings=self._settings(),
            )
            self.run.define_metric("*", step_metric="global_step")
        except Exception as error:  # of the network, the server, the key or the client's own process
            self.run = None
            return _first_line(error)
        self.online = mode == "online"
        self.sent = self.run.starting_step  # a row each: so many the server has
        return None

    def _find_folders(self) -> None:
        """Where this user has no home to write in, have the client keep its settings and logs with the run."""
        if not surroundings.has_home():
            for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
                os.environ.setdefault(name, str(self.folder.absolute() / FOLDER / "client"))

    def _settings(self) -> Any:
        assert self.card is not None
        return client().Settings(
            console="off",  # log.txt has it
            init_timeout=self.card.seconds,
            finish_timeout=self.card.seconds,
            finish_timeout_raises=True,
            x_stats_pid=os.getpid(),  # the default is the process that imported wandb
            x_transaction_log_flush_interval=2,  # what a killed run leaves behind
        )

    def _summarize(self, values: Mapping[str, Any]) -> None:
        cleared = {"failure": None} if self.run.resumed else {}  # of an earlier try
        self.run.summary.update({**cleared, **values})

    def _log_weights(self, document: Mapping[str, Any]) -> None:
        assert self.card is not None
        keys = ("run_id", "model", "task", "methods", "seed", "score_glue", "score_accuracy", "sparsity")
        known = {key: document[key] for key in keys}
        known |= {key: document["size"][key] for key in ("artifact_bytes", "nominal_bytes", "parameters", "nonzero")}
        artifact = client().Artifact(self.card.logs, type="model", metadata=known)
        artifact.add_dir(str(self.folder / "artifact"), policy="immutable")  # no second copy on disk
        self.run.log_artifact(artifact, aliases=["latest", document["run_id"]]).wait()

    def _use_teacher(self) -> None:
        """Have the lineage graph show the teacher; its own run has to be on the server for that."""
        assert self.card is not None
        if self.card.uses is None:
            return
        try:
            _within(self.card.seconds, lambda: self.run.use_artifact(self.card and self.card.uses))
        except Exception as error:  # it may be offline still, or not be uploaded
            self.say(f"W&B: no lineage, {self.card.uses}: {_first_line(error)}", to_terminal=False)

    def _end(self, exit_code: int) -> None:
        """Wait until all is sent, not longer than allowed, and note it if it was."""
        if self.run is None:
            return
        run, self.run = self.run, None
        try:
            run.finish(exit_code=exit_code)
            if self.online:
                note = {"url": run.url, "rows": self.sent, "exit_code": exit_code}
                result.write_json(self.folder / FOLDER / UPLOADED, note)
        except Exception as error:
            self._lost("finishing", error)

    @contextlib.contextmanager
    def _surviving(self, doing: str) -> Any:
        try:
            yield
        except Exception as error:
            self._lost(doing, error)
            self.run = None

    def _lost(self, doing: str, error: Exception) -> None:
        self.say(f"W&B: lost while {doing} ({_first_line(error)}); all is on disk, python -m launch sync uploads")

    @contextlib.contextmanager
    def _timed(self) -> Any:
        started, before = time.monotonic(), self.waited
        try:
            yield
        finally:
            self.waited = before + time.monotonic() - started

    # --- what earlier processes left ----------------------------------------------------------------------------------

    def _forget_earlier(self) -> None:
        """The client adds up the logs of a run that it finds, and the next one holds all rows again."""
        assert self.card is not None
        for folder in (self.folder / FOLDER).glob(f"*run-*-{self.card.run_id}"):
            shutil.rmtree(folder, ignore_errors=True)

    def _settle_offline_runs(self) -> None:
        """All rows are sent from here; have `wandb sync` leave alone what it would send a second time."""
        assert self.card is not None
        for folder in (self.folder / FOLDER).glob(f"offline-run-*-{self.card.run_id}"):
            (folder / f"run-{self.card.run_id}.wandb.synced").touch()


def tear_down() -> None:
    """End the client's own processes: `os._exit` would leave them behind, and they try for hours to reach a server."""
    import psutil

    ours = [child for child in psutil.Process().children() if child.name() == "wandb-core"]
    with contextlib.suppress(Exception):
        _within(TEAR_DOWN_SECONDS, client().teardown)
    for child in ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}".strip(": ")


def _within(seconds: float, call: Callable[[], Any]) -> None:
    """Call a function of the client that has no time limit of its own; raises what it raises, or TimeoutError."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    if failed:
        raise failed[0]


# --- for an experiment, and afterwards --------------------------------------------------------------------------------


def of_experiment(
    config: Config,
    head: Mapping[str, Any],
    folder: Path,
    rows: Sequence[str],
    say: Callable[..., None],
    *,
    teaches: bool,
    teacher: Mapping[str, Any] | None,
) -> Tracker:
    """The tracker of an experiment that is about to start, connected if it is tracked."""
    mode = mode_of(config.tracking)
    if mode == "disabled":
        return Tracker(None, folder, rows, say)
    tracker = Tracker(card(config.tracking, head, teaches=teaches, teacher=teacher), folder, rows, say)
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
    tracker = Tracker(card, folder, rows, lambda message, **_: said.append(message))
    if (reason := tracker.connect_online()) is not None:
        return reason
    document = result.read(folder, card.run_id)
    if document is not None:
        tracker.finish(document)
    elif (failure := result.failure(folder)) is not None:
        tracker.failed(failure)
    else:
        tracker.stopped()
    return None if (folder / FOLDER / UPLOADED).exists() else said[-1]
