"""Names on the model hub, and the local folders that may stand in for them."""

from __future__ import annotations

import hashlib
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from compress.errors import ConfigError


def local_folder(reference: str | None) -> Path | None:
    """The folder that a reference means here, or None for a name on the hub."""
    folder = Path(reference).expanduser() if reference else None
    return folder if folder and folder.is_dir() else None


def located(reference: str) -> str:
    """The reference as the hub clients take it: a folder's path, or the name."""
    return str(local_folder(reference) or reference)


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


WAYS_OUT = (
    "without a network give local folders (data.path=DIR model.pretrained=DIR), or use data=demo model=demo/tiny, "
    "which need nothing, or fill the hub's cache beforehand: what is in HF_HOME is found with HF_HUB_OFFLINE=1"
)


@contextmanager
def hub_errors(key: str, value: str | None, fix: str = WAYS_OUT) -> Iterator[None]:
    """Turn what a hub client raises when it can get nothing into one line that names the ways out.

    Raises:
        ConfigError: in place of an OSError (to which network and cache errors belong) or ValueError.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ConfigError(f"{key}={value}: not to be had from the hub or its cache ({cause}); {fix}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the loading bar and report of transformers: that a head is new is what we want."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def digest_files(files: list[Path]) -> str:
    """SHA-256 over the names and contents of files, whatever folder they are in."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        stat = file.stat()
        total.update(f"{file.name}:{_digest(file, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=1024)
def _digest(file: Path, size: int, modified: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
