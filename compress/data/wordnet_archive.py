"""WordNet's database files in the folder of caches: copied from where they are installed, or fetched.

The archive is NLTK's, of WordNet 3.0; its size and digest are those that NLTK's own index of packages names
(nltk/nltk_data, index.xml, at the commit of the address). It is checked before anything of it is used.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from compress.data import wordnet
from compress.errors import ConfigError, first_line
from compress.storage import surroundings
from compress.storage.atomic import new_folder
from compress.storage.hub import SECONDS
from compress.storage.lock import Lock


@dataclass(frozen=True)
class Archive:
    """A zip file of the database files below one folder, and what it must be."""

    address: str
    size: int
    sha256: str


NLTK = Archive(wordnet.ADDRESS, 10_775_600, "cbda5ea6eef7f36a97a43d4a75f85e07fccbb4f23657d27b4ccbc93e2646ab59")
FOLDER = "wordnet"  # in the archive


def fetch(cache: str, archive: Archive = NLTK, seconds: float = SECONDS) -> Path:
    """Put the archive's database files into a folder of caches; ConfigError, and nothing stays, if there are none."""
    content = _received(archive, seconds)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            files = {name: opened.read(f"{FOLDER}/{name}") for name in wordnet.FILES}
    except (KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{archive.address}: cannot be unpacked ({first_line(error)}); {wordnet.WAYS}") from error
    return _stored(cache, files)


def keep(folder: Path, cache: str) -> Path:
    """Copy database files into a folder of caches, for machines that share that one alone."""
    return _stored(cache, {name: (folder / name).read_bytes() for name in wordnet.FILES})


def _received(archive: Archive, seconds: float) -> bytes:
    """The archive's bytes; refuses other ones than it must have."""
    try:
        with urllib.request.urlopen(archive.address, timeout=seconds) as answer:
            content: bytes = answer.read(archive.size + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError(f"WordNet could not be fetched: {first_line(error)}; {wordnet.WAYS}") from error
    if hashlib.sha256(content).hexdigest() != archive.sha256:
        raise ConfigError(f"{archive.address}: other bytes than expected arrived, nothing was kept; {wordnet.WAYS}")
    return content


def _stored(cache: str, files: dict[str, bytes]) -> Path:
    place = surroundings.cache(cache)
    target = place.folder / wordnet.IN_CACHE
    with place.config_errors(), Lock(target.with_name(f".{target.name}.lock")).held():
        if wordnet.lacking(target):
            with new_folder(target) as scratch:
                for name, content in files.items():
                    (scratch / name).write_bytes(content)
    return target
