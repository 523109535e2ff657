"""What a collection of results holds: a folder of runs, or one small file to be kept or given away without the models.

`<name>.jsonl.gz`: `{"dev": …}` for the labels of each dev set; a line of JSON for each result.json, whole but for the
paths of the machine it was made on, with its predictions and its latency; `{"failure": …}` for each experiment that
failed; `{"unfinished": …}` for those that had no result yet; and `{"note": …}` for what else a reader must know.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from compress.errors import ConfigError
from compress.runs import latency, predictions
from compress.runs.latency import Latency
from compress.runs.predictions import DevSet, Packed
from compress.runs.result import failure, run_folders
from compress.storage.files import write_bytes

SUFFIX = ".jsonl.gz"
BESIDE: dict[str, tuple[str, Callable[[Path, str], object]]] = {  # what else is read of a run folder, and how
    "predictions": (predictions.FILE, predictions.read),
    "latency": (latency.FILE, latency.read),
}
Document = dict[str, Any]  # JSON


@dataclass(frozen=True)
class Gathered:
    """What a collection holds.

    Attributes:
        documents: one for each result.json, which may also have `folder`, `predictions` (`Packed`, or None) and
            `latency` (`Latency`, or None).
        failures: one for each experiment that failed: `run_id`, `task`, `model`, `methods`, `seed`, `cause`.
        unfinished: run id -> how far its folder without a result is; one that another place finished is not among them.
        notes: what else was left out, one sentence each.
    """

    documents: list[Document] = field(default_factory=list)
    failures: list[Document] = field(default_factory=list)
    unfinished: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def remarks(self) -> list[str]:
        """`notes`, and how many are unfinished."""
        if not self.unfinished:
            return self.notes
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(self.unfinished.values()).items())
        return [*self.notes, f"{len(self.unfinished)} run folders hold no result: {kinds}"]


def gathered(place: Path) -> Gathered:
    """What a folder of runs or a file of results holds; ConfigError as `gather` and `read`.

    It is one, too, if results of one task and data were scored on different labels.
    """
    collection = read(place) if place.is_file() else gather(place)
    _check_labels(collection.documents)
    return collection


def gather(folder: Path) -> Gathered:
    """Every run folder `<task>/<model>/<methods>/<run_id>` below `folder`; ConfigError if nothing there is finished."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give the folder of runs, as in paths.runs")
    collection = Gathered()
    for path in run_folders(folder):
        document, problem = _read_result(path)
        if document is not None:
            beside: Document = {"folder": path}
            for name, (file, read_file) in BESIDE.items():
                try:
                    beside[name] = read_file(path, path.name)
                except ValueError as error:
                    collection.notes.append(f"{path.relative_to(folder)}/{file}: left out: {error}")
            collection.documents.append(document | beside)
        elif (cause := failure(path)) is not None:
            task, model, methods, run_id = path.parts[-4:]
            cell = {"run_id": run_id, "task": task, "model": model, "methods": methods, "seed": _seed(path)}
            collection.failures.append({**cell, "cause": cause})
        elif not problem:
            stopped = (path / "checkpoint").is_dir()
            kind = "with a checkpoint (running or stopped)" if stopped else "without one (starting, or interrupted)"
            collection.unfinished[path.name] = kind
        if problem:
            collection.notes.append(f"{path.relative_to(folder)}: left out: {problem}")
    if not collection.documents:
        raise ConfigError(
            f"{folder}: no finished run below it (looked for <task>/<model>/<methods>/<run_id>/result.json;"
            f" {len(collection.failures)} failed, {len(collection.unfinished)} unfinished)"
        )
    return collection


def _read_result(path: Path) -> tuple[Document | None, str | None]:
    """The document, or what is wrong with it; neither where there is none."""
    try:
        document = json.loads((path / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError) as error:
        return None, f"result.json cannot be read ({error})"
    if not isinstance(document, dict) or document.get("run_id") != path.name:
        return None, "result.json does not hold the id that its folder is named by"
    return document, None


def _check_labels(documents: Iterable[Document]) -> None:
    """Refuse results of one task and data that were scored on different labels: they cannot be compared."""
    firsts: dict[str, Document] = {}
    for document in documents:
        packed, identity = document.get("predictions"), document.get("identity")
        if packed is None or not isinstance(identity, dict):
            continue
        first = firsts.setdefault(json.dumps([identity.get("task"), identity.get("data")], sort_keys=True), document)
        if first["predictions"].dev != packed.dev:
            raise ConfigError(
                f"runs {first['run_id']} and {packed.run_id} are of one task ({document.get('task')}) and data, but "
                "the labels beside their predictions differ; run one of them again (force=true), or leave it out"
            )


def _seed(path: Path) -> int | None:
    """From config.yaml; parsing YAML would take longer than all the rest."""
    try:
        seed = re.search(r"^seed: (\d+)$", (path / "config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(seed[1]) if seed else None


def read(file: Path) -> Gathered:
    """What `write` has written; ConfigError if it is something else, or damaged."""
    collection, whole, devs = Gathered(), 0, dict[str, DevSet]()
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                if not isinstance(line, dict):
                    raise ValueError(f"{line!r} is not a result")
                if "failure" in line:
                    collection.failures.append(line["failure"])
                elif "unfinished" in line:
                    collection.unfinished.update(line["unfinished"])
                elif "note" in line:
                    collection.notes.append(line["note"])
                elif "dev" in line:
                    devs[line["dev"]] = _dev_set(line)
                else:
                    collection.documents.append(_with_latency(_with_predictions(line, devs)))
                whole += 1
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigError(
            f"{file}: cannot be read after line {whole} ({error}); give a folder of runs, or what "
            "`python -m analysis collect` has written"
        ) from error
    return collection


def _with_latency(line: Document) -> Document:
    """A result with what was measured of it, if that is there; ValueError if it is damaged."""
    if "latency" not in line:
        return line
    try:
        return line | {"latency": latency.from_document(line["latency"], str(line.get("run_id")))}
    except ValueError as error:
        raise ValueError(f"the latency of run {line.get('run_id')}: {error}") from error


def _dev_set(line: Document) -> DevSet:
    """Of its line; ValueError if its labels are not those that its name is the digest of."""
    dev = predictions.built(DevSet, {key: value for key, value in line.items() if key != "dev"})
    if dev.digest() != line["dev"]:
        raise ValueError(f"the labels of dev set {line['dev']} are damaged")
    return dev


def _with_predictions(line: Document, devs: Mapping[str, DevSet]) -> Document:
    """A result with its predictions, if it has any, put together; ValueError if they are damaged."""
    if "predictions" not in line:
        return line
    run_id, kept = line.get("run_id"), line["predictions"]
    dev = devs.get(str(kept.get("dev"))) if isinstance(kept, dict) else None
    if dev is None:
        raise ValueError(f"the predictions of run {run_id} refer to a dev set that is not there")
    try:
        together = predictions.built(Packed, {**kept, "run_id": run_id, "dev": dev})
        together.splits()
    except ValueError as error:
        raise ValueError(f"the predictions of run {run_id}: {error}") from error
    return line | {"predictions": together}


def _line(document: Document) -> Document:
    """A result's line: its predictions refer to the dev set that they are of."""
    packed: Packed | None = document.get("predictions")
    measured: Latency | None = document.get("latency")
    line = {key: value for key, value in document.items() if key not in BESIDE}
    if packed is not None:
        kept = {key: value for key, value in packed.document().items() if key != "run_id"}
        line["predictions"] = kept | {"dev": packed.dev.digest()}
    if measured is not None:
        line["latency"] = asdict(measured)
    return line


def write(places: Iterable[Path], file: Path) -> Gathered:
    """Write what folders of runs, and files like this one, hold together; the same runs give the same bytes.

    Of an experiment that several places have, the first counts, a result more than a failure, and that more than no
    result. ConfigError as `gathered`, or for a file of another name.
    """
    if not file.name.endswith(SUFFIX):
        raise ConfigError(f"--out {file}: must end in {SUFFIX}")
    documents: dict[object, Document] = {}
    failures: dict[object, Document] = {}
    unfinished: dict[str, str] = {}
    notes: dict[str, None] = {}
    for collection in map(gathered, places):
        for document in collection.documents:
            held = {key: value for key, value in document.items() if key != "folder"}
            if isinstance(config := held.get("config"), dict):
                held["config"] = {key: value for key, value in config.items() if key != "paths"}
            documents.setdefault(document.get("run_id"), held)
        for failed in collection.failures:
            failures.setdefault(failed.get("run_id"), failed)
        unfinished = collection.unfinished | unfinished
        notes |= dict.fromkeys(collection.notes)
    _check_labels(documents.values())
    remaining = [failed for run_id, failed in failures.items() if run_id not in documents]
    ended = documents.keys() | failures.keys()
    unfinished = {run_id: kind for run_id, kind in unfinished.items() if run_id not in ended}
    whole = Gathered([*documents.values()], remaining, unfinished, [*notes])
    packed = [document["predictions"] for document in whole.documents if document.get("predictions")]
    devs = {each.dev.digest(): each.dev for each in packed}
    lines = [*({"dev": digest, **asdict(dev)} for digest, dev in devs.items()), *map(_line, whole.documents)]
    lines += [{"failure": failed} for failed in remaining]
    lines += [{"unfinished": unfinished}] if unfinished else []
    lines += [{"note": note} for note in notes]
    text = "".join(f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n" for line in lines)
    write_bytes(file, gzip.compress(text.encode(), mtime=0))
    return whole
