"""Names on the model hub become folders: local ones, or whole, verified copies of what the hub has.

Nothing else here talks to the hub: a name becomes a folder first, and what is loaded is loaded from a folder.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from compress.errors import ConfigError, first_line
from compress.storage.hub_cache import HubRequest, cached, is_whole, last_fetched, remember
from compress.storage.repositories import COMMIT, Choose, Kind, Lacking, Repository, Snapshot, in_folder, local_folder

T = TypeVar("T")

SECONDS = 60.0  # a hub that sends nothing for so long is given up
WAYS_OUT = (
    "without a network give local folders (data.path=DIR model.pretrained=DIR), or use data=demo model=demo/tiny, "
    "which need nothing, or fill the hub's cache beforehand (python -m launch prepare …): it is found in HF_HOME"
)


def use_cache_without_network() -> None:
    """Where the hub's name cannot even be resolved, ask its clients for their caches only, not for minutes of retries.

    Proxies resolve names elsewhere: with one set, nothing is tried here.
    """
    from huggingface_hub import constants

    if "HF_HUB_OFFLINE" in os.environ or urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"  # for clients that are not imported yet
        constants.HF_HUB_OFFLINE = True  # for those that are


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the loading bar and report of transformers: what was loaded is checked, and told where it matters."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def snapshot(
    key: str, reference: str, revision: str | None, choose: Choose, kind: Kind = "model", seconds: float = SECONDS
) -> Snapshot:
    """The files that `choose` names: of a local folder, or of a revision of a repository on the hub.

    A revision that is a commit is that commit, from the cache if it is whole there, else from the hub. Another one
    (`main`) is asked of the hub; where it does not answer, the commit that it was last is taken, and the note says so.
    Cached and downloaded files are checked against the digests by which the hub names them. A hub that makes no
    progress for so many seconds is given up; messages call the reference by its key.
    """
    if folder := local_folder(reference):
        try:
            return Snapshot(folder, tuple(choose(in_folder(folder))))
        except Lacking as error:
            raise ConfigError(f"{key}={reference}: the folder lacks {error}; fetch it again, or add it") from error
        except OSError as error:
            cause = f"cannot be read ({error}); give a folder that this user may"
            raise ConfigError(f"{key}={reference}: {cause}") from error
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # not in its __all__

    try:
        validate_repo_id(reference)
    except HFValidationError as error:
        cause = "no folder here and no name on the hub; give a folder, or a name like owner/name"
        raise ConfigError(f"{key}={reference}: {cause}") from error
    return _of_hub(HubRequest(key, reference, revision or "main", choose, kind), seconds)


class Stalled(TimeoutError):  # noqa: N818 - nothing here is in error
    """The hub sends nothing."""


@lru_cache(maxsize=32)
def _of_hub(request: HubRequest, seconds: float) -> Snapshot:
    from huggingface_hub import constants, errors

    transport = errors.HfHubHTTPError.__bases__[0]  # the HTTP library is another from version to version
    xet = getattr(errors, "XetDownloadError", OSError)
    failures: tuple[type[Exception], ...] = (transport, xet, OSError, ValueError, RuntimeError)
    commit = request.revision if COMMIT.fullmatch(request.revision) else None
    if commit and (there := cached(request, commit)):
        return there
    if constants.HF_HUB_OFFLINE:
        return last_fetched(request, "HF_HUB_OFFLINE is set, or no network is there", WAYS_OUT, offline=True)
    try:
        return _bounded(lambda: _fetch(request), seconds, lambda: _received(request))
    except ConfigError:
        raise
    except Lacking as error:
        raise request.error(f"the repository on the hub lacks {error}; give another, or a local folder") from error
    except failures as error:
        why, fix, passing = _diagnosis(error, request.revision, seconds)
        if not passing:
            raise request.error(f"{why}; {fix}") from error
        return last_fetched(request, why, fix, offline=False)


def _fetch(request: HubRequest) -> Snapshot:
    from huggingface_hub import HfApi, constants, logging

    logging.set_verbosity_error()  # what goes wrong is told here, once
    about = HfApi().model_info if request.kind == "model" else HfApi().dataset_info
    info = about(request.name, revision=request.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    commit, names = str(info.sha), [sibling.rfilename for sibling in info.siblings or ()]
    get = partial(_downloaded, request, commit)
    files = request.choose(Repository(names, get))
    paths = [get(file) for file in files]
    remember(request, commit)
    return Snapshot(paths[0].parents[files[0].count("/")], tuple(files), commit)


def _downloaded(request: HubRequest, commit: str, file: str) -> Path:
    """A file of a commit, whole; refuses one that arrives damaged twice."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    kind = request.kind
    for again in (False, True):
        path = Path(hf_hub_download(request.name, file, revision=commit, repo_type=kind, force_download=again))
        if is_whole(path):
            return path
    path.resolve().unlink(missing_ok=True)
    fix = "a proxy or a mirror (HF_ENDPOINT) damages it, or the hub does: try again later, or give a local folder"
    raise request.error(f"{file} arrives twice with other bytes than the hub announces; {fix}")


def _bounded(work: Callable[[], T], seconds: float, progress: Callable[[], object]) -> T:
    """What `work` returns or raises, done in a thread that is left behind, with Stalled, once there is no progress."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    seen, since = progress(), time.monotonic()
    while not outcome.done():
        with suppress(TimeoutError):
            return outcome.result(timeout=min(1.0, seconds / 4))
        if (now := progress()) != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since >= seconds:
            raise Stalled
    return outcome.result()


def _received(request: HubRequest) -> tuple[int, int]:
    """Number and bytes of the files in the cache of a repository."""
    sizes = []
    with suppress(OSError):  # files come and go
        sizes = [entry.stat().st_size for entry in os.scandir(request.folder / "blobs")]
    return len(sizes), sum(sizes)


def _diagnosis(error: Exception, revision: str, seconds: float) -> tuple[str, str, bool]:
    """What an error of the hub's client means, what to do, and whether it may pass, so that the cache may stand in."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _diagnosis(error.__cause__, revision, seconds)
    status = getattr(getattr(error, "response", None), "status_code", None)  # as HTTP has it; None without an answer
    said = first_line(error)[:160]
    if isinstance(error, Stalled):
        fix = f"try again later, or with hub_seconds=…; {WAYS_OUT}"
        return f"the hub sends nothing for {seconds:g} s", fix, True
    if isinstance(error, errors.GatedRepoError):
        fix = "accept its conditions on its page, and log in (hf auth login, or HF_TOKEN)"
        return "gated on the hub", fix, False
    if isinstance(error, errors.RevisionNotFoundError):
        fix = "give a branch, a tag or a whole commit hash"
        return f"the hub has no revision {revision} of it", fix, False
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        fix = "check the name; for a private one log in (hf auth login, HF_TOKEN)"
        return f"no such repository on the hub, or none that you may see ({status})", fix, False
    if status == 429:
        fix = (
            "wait some minutes, log in for more of them (HF_TOKEN), or fill the cache once: python -m launch prepare …"
        )
        return "the hub limits your requests (429)", fix, True
    if status is not None and status >= 500:
        return f"the hub is out of order ({status})", f"try again later; {WAYS_OUT}", True
    if isinstance(error, errors.EntryNotFoundError) or status is not None:
        return f"the hub does not give it ({said})", WAYS_OUT, False
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        fix = "make room or another place for the hub's cache: HF_HOME=DIR"
        return f"cannot be stored ({said})", fix, False
    return f"the hub cannot be reached ({said})", WAYS_OUT, True
