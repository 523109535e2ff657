"""Names on the model hub, the local folders that may stand in for them, and whole, verified copies of what it has.

Nothing else here talks to the hub: a name becomes a folder first, and what is loaded is loaded from a folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from compress.errors import ConfigError

T = TypeVar("T")
Kind = Literal["model", "dataset"]

SECONDS = 60.0  # a hub that sends nothing for so long is given up
COMMIT = re.compile(r"[0-9a-f]{40}")
LEVELS = 3  # of folders that are looked into
POINTER = b"version https://git-lfs"  # what Git LFS leaves in place of a file that was not fetched


def local_folder(reference: str | None) -> Path | None:
    """The folder that a reference means here, or None for a name on the hub."""
    try:
        folder = Path(reference).expanduser() if reference else None
        return folder if folder and folder.is_dir() else None
    except (OSError, RuntimeError):  # a name too long, a folder that may not be entered, nobody's home
        return None


def looks_like_path(reference: str) -> bool:
    """Whether a reference can only be meant as a path: hub names are `name` or `owner/name`."""
    return reference[:1] in (".", "/", "~") or reference.count("/") > 1


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


# --- a folder with all that is needed ---------------------------------------------------------------------------------


class Lacking(Exception):  # noqa: N818 - whoever asked decides whether it is an error
    """A repository, or the copy of it in the cache, has not all that is needed; says what is missing."""


@dataclass(frozen=True)
class Repository:
    """Files that can be had.

    Attributes:
        names: of all files, with `/` between folders.
        get: a file's path here, of one of these names.
    """

    names: Collection[str]
    get: Callable[[str], Path]


Choose = Callable[[Repository], list[str]]  # the names of the files that are needed; raises Lacking


@dataclass(frozen=True)
class Snapshot:
    """A folder that has all files that were asked for, each with the content that was promised.

    Attributes:
        commit: of the repository on the hub; None for a local folder.
        note: what a result should say of where it comes from.
    """

    folder: Path
    files: tuple[str, ...]
    commit: str | None = None
    note: str | None = None


def snapshot(
    key: str, reference: str, revision: str | None, choose: Choose, kind: Kind = "model", seconds: float = SECONDS
) -> Snapshot:
    """The files that `choose` names: of a local folder, or of a revision of a repository on the hub.

    A revision that is a commit is that commit, from the cache if it is whole there, else from the hub. Another one
    (`main`) is asked of the hub; where it does not answer, the commit that it was last is taken, and the note says so.
    Cached and downloaded files are checked against the digests by which the hub names them.

    Args:
        key: what messages call the reference, `model.pretrained`.
        seconds: without any progress, after which a hub is given up.

    Raises:
        ConfigError: something is missing, damaged or cannot be had; says which, why and what to do.
    """
    if folder := local_folder(reference):
        try:
            return Snapshot(folder, tuple(choose(in_folder(folder))))
        except Lacking as error:
            raise ConfigError(f"{key}={reference}: the folder lacks {error}; fetch it again, or add it") from error
        except OSError as error:
            raise ConfigError(
                f"{key}={reference}: cannot be read ({error}); give a folder that this user may"
            ) from error
    if not is_hub_name(reference):
        raise ConfigError(
            f"{key}={reference}: no folder here and no name on the hub; give a folder, or a name like owner/name"
        )
    return _of_hub(key, reference, revision or "main", choose, kind, seconds)


def is_hub_name(reference: str) -> bool:
    """Whether a repository on the hub may be called so."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined] # not in its __all__

    try:
        validate_repo_id(reference)
    except HFValidationError:
        return False
    return True


def in_folder(folder: Path) -> Repository:
    """The files of a folder, and of its subfolders that are not hidden; links among them are followed."""

    def names(below: Path, levels: int) -> Iterator[str]:
        for entry in sorted(below.iterdir()):
            if levels and entry.is_dir() and not entry.name.startswith("."):
                yield from names(entry, levels - 1)
            elif entry.is_file():
                yield entry.relative_to(folder).as_posix()

    return Repository(list(names(folder, LEVELS)), folder.joinpath)


@lru_cache(maxsize=32)
def _of_hub(key: str, name: str, revision: str, choose: Choose, kind: Kind, seconds: float) -> Snapshot:
    from huggingface_hub import constants

    commit = revision if COMMIT.fullmatch(revision) else None
    if commit and (cached := _cached(name, commit, choose, kind)):
        return cached
    if constants.HF_HUB_OFFLINE:
        return _offline(key, name, revision, choose, kind, "HF_HUB_OFFLINE is set, or no network is there")
    try:
        return _bounded(lambda: _fetch(key, name, revision, choose, kind), seconds, lambda: _received(name, kind))
    except ConfigError:
        raise
    except Lacking as error:
        raise ConfigError(
            f"{key}={name}: the repository on the hub lacks {error}; give another, or a local folder"
        ) from error
    except _client_errors() as error:
        why, fix, passing = diagnosis(error, revision, seconds)
        if not passing:
            raise ConfigError(f"{key}={name}: {why}; {fix}") from error
        return _offline(key, name, revision, choose, kind, why, fix)


# --- from the hub -----------------------------------------------------------------------------------------------------


def _client_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises: errors of its own, of its transport, of files and of what it cannot parse."""
    from huggingface_hub import errors

    transport = errors.HfHubHTTPError.__bases__[0]  # the HTTP library is another from version to version
    xet = getattr(errors, "XetDownloadError", OSError)
    return (transport, xet, OSError, ValueError, RuntimeError)


def _fetch(key: str, name: str, revision: str, choose: Choose, kind: Kind) -> Snapshot:
    from huggingface_hub import HfApi, constants, hf_hub_download, logging

    logging.set_verbosity_error()  # what goes wrong is told here, once
    about = HfApi().model_info if kind == "model" else HfApi().dataset_info
    info = about(name, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    commit, names = str(info.sha), [sibling.rfilename for sibling in info.siblings or ()]

    def get(file: str) -> Path:
        shown: Any = None if sys.stderr.isatty() else _NoBar
        for again in (False, True):
            path = Path(
                hf_hub_download(name, file, revision=commit, repo_type=kind, force_download=again, tqdm_class=shown)
            )
            if is_whole(path):
                return path
        path.resolve().unlink(missing_ok=True)
        raise ConfigError(
            f"{key}={name}: {file} arrives twice with other bytes than the hub announces; a proxy or a mirror "
            "(HF_ENDPOINT) damages it, or the hub does: try again later, or give a local folder"
        )

    files = choose(Repository(names, get))
    paths = [get(file) for file in files]
    _remember(name, revision, commit, kind)
    return Snapshot(paths[0].parents[files[0].count("/")], tuple(files), commit)


def _remember(name: str, revision: str, commit: str, kind: Kind) -> None:
    """Have the cache know which commit a branch was, once all of that commit is there: for when no hub answers."""
    file = _home(name, kind) / "refs" / revision
    if revision != commit and not (file.is_file() and file.read_text() == commit):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit)


def _bounded(work: Callable[[], T], seconds: float, progress: Callable[[], object]) -> T:
    """What `work` returns or raises, done in a thread that is left behind once there is no progress for so long.

    Raises:
        Stalled: no progress.
    """
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


class Stalled(TimeoutError):  # noqa: N818 - nothing here is in error
    """The hub sends nothing."""


def _received(name: str, kind: Kind) -> tuple[int, int]:
    """Number and bytes of the files in the cache of a repository."""
    sizes = []
    with suppress(OSError):  # files come and go
        sizes = [entry.stat().st_size for entry in os.scandir(_home(name, kind) / "blobs")]
    return len(sizes), sum(sizes)


def diagnosis(error: Exception, revision: str, seconds: float) -> tuple[str, str, bool]:
    """What went wrong with the hub, what to do about it, and whether it may pass, so that the cache may stand in."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return diagnosis(error.__cause__, revision, seconds)
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    if isinstance(error, Stalled):
        return f"the hub sends nothing for {seconds:g} s", f"try again later, or with hub_seconds=…; {WAYS_OUT}", True
    if isinstance(error, errors.GatedRepoError):
        return (
            "gated on the hub",
            "accept its conditions on its page, and log in (hf auth login, or HF_TOKEN)",
            False,
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the hub has no revision {revision} of it", "give a branch, a tag or a whole commit hash", False
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return f"no such repository on the hub, or none that you may see ({status})", (
            "check the name; for a private one log in (hf auth login, HF_TOKEN)"
        ), False  # fmt: skip
    if status == 429:
        return "the hub limits your requests (429)", (
            "wait some minutes, log in for more of them (HF_TOKEN), or fill the cache once: python -m launch prepare …"
        ), True  # fmt: skip
    if status is not None and status >= 500:
        return f"the hub is out of order ({status})", f"try again later; {WAYS_OUT}", True
    if isinstance(error, errors.EntryNotFoundError) or status is not None:
        return f"the hub does not give it ({said})", WAYS_OUT, False
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return f"cannot be stored ({said})", "make room or another place for the hub's cache: HF_HOME=DIR", False
    return f"the hub cannot be reached ({said})", WAYS_OUT, True


WAYS_OUT = (
    "without a network give local folders (data.path=DIR model.pretrained=DIR), or use data=demo model=demo/tiny, "
    "which need nothing, or fill the hub's cache beforehand (python -m launch prepare …): it is found in HF_HOME"
)


def _NoBar(*args: Any, **kwargs: Any) -> Any:  # noqa: N802 - stands for tqdm's class
    from tqdm import tqdm

    return tqdm(*args, **kwargs | {"disable": True})


# --- from its cache ---------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where the hub's clients keep what they fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _home(name: str, kind: Kind) -> Path:
    """The folder of a repository in the hub's cache."""
    from huggingface_hub.file_download import repo_folder_name

    return cache_folder() / repo_folder_name(repo_id=name, repo_type=kind)


def known_commit(name: str | None, revision: str) -> str | None:
    """The commit that a branch of a checkpoint was when it was last fetched; None for a folder, or if it never was."""
    if name is None or local_folder(name):
        return None
    with suppress(OSError):
        return (_home(name, "model") / "refs" / revision).read_text().strip()
    return None


def _cached(name: str, commit: str, choose: Choose, kind: Kind) -> Snapshot | None:
    """The files of a commit in the cache; None where they are not all there, each as the hub has it."""
    folder = _home(name, kind) / "snapshots" / commit
    try:
        files = choose(in_folder(folder))
    except (FileNotFoundError, Lacking):
        return None
    return Snapshot(folder, tuple(files), commit) if all(is_whole(folder / file) for file in files) else None


def _offline(
    key: str, name: str, revision: str, choose: Choose, kind: Kind, why: str, fix: str | None = None
) -> Snapshot:
    """What the cache has of a revision, where the hub cannot be asked.

    Raises:
        ConfigError: not all that is needed.
    """
    fix = fix or WAYS_OUT
    commit = revision
    if not COMMIT.fullmatch(revision):
        try:
            commit = (_home(name, kind) / "refs" / revision).read_text().strip()
        except OSError:
            raise ConfigError(f"{key}={name}: not in the hub's cache, and {why}; {fix}") from None
    folder = _home(name, kind) / "snapshots" / commit
    try:
        files = choose(in_folder(folder))
    except FileNotFoundError:
        raise ConfigError(f"{key}={name}: revision {commit} is not in the hub's cache, and {why}; {fix}") from None
    except Lacking as error:
        raise ConfigError(f"{key}={name}: its copy in the hub's cache lacks {error}, and {why}; {fix}") from error
    for file in files:
        if not is_whole(folder / file):
            raise ConfigError(
                f"{key}={name}: {file} in the hub's cache is damaged ({(folder / file).resolve()}), and {why}; remove "
                f"that file and run again with a network; {fix}"
            )
    asked_for = "HF_HUB_OFFLINE" in why or commit == revision
    note = None if asked_for else f"{key}={name}: {why}; its last known commit {commit} is used"
    return Snapshot(folder, tuple(files), commit, note)


def is_whole(file: Path) -> bool:
    """Whether a file in the hub's cache has the content that its name there promises.

    It is a link to a blob named by the hub's digest: SHA-256 for large files, Git's SHA-1 for others. Where the file
    system has no links there is no such name, and nothing to compare with.
    """
    blob = file.resolve()
    if not file.is_symlink() or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name):
        return file.is_file()
    return blob.is_file() and digest(blob, git=len(blob.name) == 40) == blob.name


# --- digests ----------------------------------------------------------------------------------------------------------


def digest_files(files: list[Path]) -> str:
    """SHA-256 over the names and contents of files, whatever folder they are in.

    Raises:
        ConfigError: one cannot be read.
    """
    total = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        try:
            total.update(f"{file.name}:{digest(file)}\n".encode(errors="surrogateescape"))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror}); let this user read it") from error
    return total.hexdigest()


def digest(file: Path, *, git: bool = False) -> str:
    """SHA-256 of a file's content, or the SHA-1 by which Git names it; read again only if the file may have changed.

    A file that is put in another's place has another inode or change time, whatever its other times say.
    """
    found = file.stat()
    return _digest(str(file), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, git)


@lru_cache(maxsize=1024)
def _digest(file: str, device: int, inode: int, size: int, modified: int, changed: int, git: bool) -> str:
    with open(file, "rb") as stream:
        if not git:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        total = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while block := stream.read(1 << 20):
            total.update(block)
        return total.hexdigest()
