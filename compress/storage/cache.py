"""Entries of the cache: a folder of arrays each, made once for all who want it, and believed only if it is whole."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from compress.storage import atomic, surroundings
from compress.storage.lock import Lock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]

T = TypeVar("T")

FORMAT = 1  # of an entry's folder
MANIFEST = "about.json"
HEADER = 4096  # bytes of a file that hold the type and shape of its array


class Damaged(Exception):  # noqa: N818 - nothing is lost: the entry is made again
    """An entry that is not what was once written, or not of what is asked for; says how."""


@dataclass(frozen=True)
class Entry:
    """`<cache>/<kind>/<name>-<digest of what it is of>/`: an array in each `*.npy`, and about.json.

    about.json holds what the entry is of, the SHA-256 of every other file, and one of its own.
    """

    cache: Path  # `paths.cache`
    kind: str  # what it holds: tokens or logits
    name: str  # of the task
    of: Mapping[str, object]  # plain values that decide its content; changed in any, it is another entry

    @cached_property
    def folder(self) -> Path:
        """Where it is, or will be."""
        return self.cache / self.kind / f"{self.name}-{_digest({'format': FORMAT, 'of': self.of})[:16]}"

    @property
    def place(self) -> surroundings.Place:
        """The cache, as messages call it."""
        return surroundings.cache(self.cache)

    def get(self, accept: Callable[[Arrays], T], make: Callable[[], Arrays]) -> T:
        """What the entry holds, made first where it is not there whole; one of many processes makes it.

        A cache that cannot be written is read all the same, and refused where the entry must be made. `accept` makes
        what is wanted of the memory-mapped arrays; it raises Damaged if they cannot be what `make` makes.
        """
        lock = Lock(self.folder.with_name(f"{self.folder.name}.lock"))
        with suppress(Damaged):  # somebody may be making it again
            if (arrays := self.read()) is not None:
                accepted = accept(arrays)
                with suppress(OSError):  # a process that was killed just after it had put the entry in place left files
                    if lock.file.exists() and lock.take():
                        atomic.clear(self.folder)
                        lock.release()
                return accepted
        try:
            lock.take(wait=True)
        except OSError as error:
            with suppress(Damaged):  # it may have been made meanwhile, by who can
                if (arrays := self.read()) is not None:
                    return accept(arrays)
            raise self.place.refusal(error, f"the {self.kind} of {self.name} have to be made, and ") from error
        try:
            return self._get_locked(accept, make)
        finally:
            lock.release()
            with suppress(OSError):
                self.folder.parent.rmdir()  # if nothing could be made

    def _get_locked(self, accept: Callable[[Arrays], T], make: Callable[[], Arrays]) -> T:
        try:
            if (arrays := self.read()) is not None:  # by who had the lock
                return accept(arrays)
        except Damaged as damage:
            print(f"in the cache, {self.folder} is not used: {damage}; it is made again", flush=True)
        self.place.require_writable(self.folder.parent)
        arrays = make()
        with self.place.config_errors(), atomic.new_folder(self.folder) as scratch:
            files = {f"{name}.npy": _save(scratch / f"{name}.npy", array) for name, array in arrays.items()}
            about = {"format": FORMAT, "of": self.of, "files": files}
            (scratch / MANIFEST).write_text(json.dumps({**about, "sha256": _digest(about)}))
        try:
            return accept(self.read() or {})
        except Damaged as damage:
            raise self.place.error(f"{self.folder} is not what was just written there: {damage}") from damage

    def read(self) -> Arrays | None:
        """The arrays, each of them read and found to be what was written (else Damaged); None if there are none."""
        if not os.path.lexists(self.folder):
            return None
        try:
            about = json.loads((self.folder / MANIFEST).read_bytes())
            if not isinstance(about, dict) or about.pop("sha256", None) != _digest(about):
                raise Damaged(f"{MANIFEST} is not what was written")
            files: dict[str, str] = about.pop("files")
            if _digest(about) != _digest({"format": FORMAT, "of": self.of}):
                raise Damaged("it is of something else, or of another version")
            if strange := {file.name for file in self.folder.glob("*.npy")} - set(files):
                raise Damaged(f"{min(strange)} does not belong to it")
            return {name.removesuffix(".npy"): _load(self.folder / name, digest) for name, digest in files.items()}
        except OSError as error:
            raise Damaged(f"{Path(os.fsdecode(error.filename or '')).name}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # of JSON, or of a file that is empty
            raise Damaged(" ".join(str(error).split())) from error


def _digest(document: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _save(file: Path, array: NDArray[np.generic]) -> str:
    """Write an array; the SHA-256 of what was written."""
    import numpy as np

    with file.open("xb") as stream:
        digested = atomic.HashingStream(stream)
        np.lib.format.write_array(digested, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return digested.hexdigest()


def _load(file: Path, sha256: str) -> NDArray[np.generic]:
    """The array in a file, from the very bytes that were found to be those written."""
    import numpy as np

    content = np.memmap(file, np.uint8, mode="r")
    if hashlib.sha256(content.data).hexdigest() != sha256:
        raise Damaged(f"{file.name} is not what was written")
    header = io.BytesIO(content[:HEADER].tobytes())
    np.lib.format.read_magic(header)
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    array: NDArray[np.generic] = content[header.tell() :].view(dtype).reshape(shape)
    return array
