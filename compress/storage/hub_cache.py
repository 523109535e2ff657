"""The cache of the hub's clients: whole copies of what was fetched, which may stand in for the hub."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from compress.errors import ConfigError
from compress.storage.digests import digest
from compress.storage.repositories import COMMIT, Choose, Kind, Lacking, Snapshot, in_folder, local_folder


def cache_folder() -> Path:
    """Where the hub's clients keep what they fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


@dataclass(frozen=True)
class HubRequest:
    """Files of a revision of a repository on the hub."""

    key: str  # what messages call the repository, `model.pretrained`
    name: str
    revision: str  # a branch, a tag or a commit
    choose: Choose
    kind: Kind

    def error(self, cause: str) -> ConfigError:
        """One line of why these files cannot be had."""
        return ConfigError(f"{self.key}={self.name}: {cause}")

    @property
    def folder(self) -> Path:
        """Of the repository in the hub's cache."""
        return _folder(self.name, self.kind)


def _folder(name: str, kind: Kind) -> Path:
    from huggingface_hub.file_download import repo_folder_name

    return cache_folder() / repo_folder_name(repo_id=name, repo_type=kind)


def cached_commit(name: str | None, revision: str) -> str | None:
    """The commit that a branch of a checkpoint was when it was last fetched; None for a folder, or if it never was."""
    if name is not None and not local_folder(name):
        with suppress(OSError):
            return (_folder(name, "model") / "refs" / revision).read_text().strip()
    return None


def remember(request: HubRequest, commit: str) -> None:
    """Have the cache know which commit a branch was, once all of that commit is there: for when no hub answers."""
    file = request.folder / "refs" / request.revision
    if request.revision != commit and not (file.is_file() and file.read_text() == commit):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit)


def cached(request: HubRequest, commit: str) -> Snapshot | None:
    """The files of a commit in the cache; None where they are not all there, each as the hub has it."""
    folder = request.folder / "snapshots" / commit
    try:
        files = request.choose(in_folder(folder))
    except (FileNotFoundError, Lacking):
        return None
    return Snapshot(folder, tuple(files), commit) if all(is_whole(folder / file) for file in files) else None


def last_fetched(request: HubRequest, why: str, fix: str, *, offline: bool) -> Snapshot:
    """What the cache has whole of a revision, where the hub cannot be asked (why, the fix; not noted if on purpose)."""
    commit = request.revision
    if not COMMIT.fullmatch(commit):
        try:
            commit = (request.folder / "refs" / request.revision).read_text().strip()
        except OSError:
            raise request.error(f"could not be loaded from the hub or its cache: {why}; {fix}") from None
    folder = request.folder / "snapshots" / commit
    try:
        files = request.choose(in_folder(folder))
    except FileNotFoundError:
        cause = f"revision {commit} could not be loaded from the hub or its cache: {why}"
        raise request.error(f"{cause}; {fix}") from None
    except Lacking as error:
        raise request.error(f"its copy in the hub's cache lacks {error}, and {why}; {fix}") from error
    for file in files:
        if not is_whole(folder / file):
            damaged = f"{file} in the hub's cache is damaged ({(folder / file).resolve()}), and {why}"
            raise request.error(f"{damaged}; remove that file and run again with a network; {fix}")
    note = f"{request.key}={request.name}: {why}; its last known commit {commit} is used"
    return Snapshot(folder, tuple(files), commit, None if offline or commit == request.revision else note)


def is_whole(file: Path) -> bool:
    """Whether a file in the hub's cache has the content that its name there promises.

    It is a link to a blob named by the hub's digest: SHA-256 for large files, Git's SHA-1 for others. Where the file
    system has no links there is no such name, and nothing to compare with.
    """
    blob = file.resolve()
    if not file.is_symlink() or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name):
        return file.is_file()
    return blob.is_file() and digest(blob, git=len(blob.name) == 40) == blob.name
