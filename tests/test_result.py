"""result.json: written whole or not at all, and believed only if it is the experiment's own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from compress.runs import result
from compress.storage.files import write_json
from tests import grids

KNOWN = replace(
    result.from_document(grids.document("rte", "tiny", "none", None)), run_id="0123456789ab", schema=result.SCHEMA
)
DOCUMENT = KNOWN.document()
NEEDED = ("schema", "run_id", "model", "task", "methods", "compression", "seed", "score_glue", "score_accuracy", "size",
          "config", "identity")  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", DOCUMENT)
    assert result.read(tmp_path, "0123456789ab") == KNOWN


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"run_id": "0123456789ab"', json.dumps(DOCUMENT | {"run_id": "ba9876543210"}),
     json.dumps(DOCUMENT | {"schema": 99}), json.dumps({"schema": 1, "run_id": "0123456789ab"}),
     *(json.dumps({name: value for name, value in DOCUMENT.items() if name != missing}) for missing in NEEDED),
     *(json.dumps(DOCUMENT | {name: "no"}) for name in ("methods", "seed", "metrics", "score_glue", "size", "timing"))],
)  # fmt: skip
@pytest.mark.fault(
    "one experiment",
    "`result.json` is damaged, lacks a field or is another experiment’s",
    "the experiment counts as not finished",
    "start it again",
)
def test_what_does_not_parse_is_not_whole_or_anothers_is_not_finished(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    assert result.read(tmp_path, "0123456789ab") is None


def test_what_comes_before_a_result_is_done_before_it_is_there_and_it_is_not_if_that_fails(tmp_path: Path) -> None:
    with result.written_last(tmp_path, KNOWN):
        assert result.read(tmp_path, "0123456789ab") is None
        (scratch,) = tmp_path.iterdir()
        assert json.loads(scratch.read_text()) == DOCUMENT, "it is on disk: a full one is known by now"
    assert result.read(tmp_path, "0123456789ab") == KNOWN
    with pytest.raises(OSError, match="full"), result.written_last(tmp_path, replace(KNOWN, seed=7)):
        raise OSError("full")
    assert result.read(tmp_path, "0123456789ab") == KNOWN
    assert [path.name for path in tmp_path.iterdir()] == [result.FILE]


def test_run_folders_of_another_collection_below_are_not_this_ones(tmp_path: Path) -> None:
    own = tmp_path / "rte/tiny/none/0123456789ab"
    for folder in (own, tmp_path / "demo/rte/tiny/none/0123456789ab", tmp_path / ".sweeps/a/b/0123456789ab"):
        folder.mkdir(parents=True)
    assert list(result.run_folders(tmp_path)) == [own]


def test_no_file_is_not_finished(tmp_path: Path) -> None:
    assert result.read(tmp_path / "nowhere", "0123456789ab") is None


def test_what_an_experiment_failed_of_is_told_even_where_the_file_is_damaged(tmp_path: Path) -> None:
    assert result.failure(tmp_path) is None
    for text, told in (
        ('{"type": "RuntimeError", "message": "out of memory\\nmore"}', "RuntimeError: out of memory"),
        ('{"type": "KeyError", "message": ""}', "KeyError: "),
        ("[]", "error.json cannot be read ("),
        ('{"type":', "error.json cannot be read ("),
        ('{"type": "KeyError"}', "error.json cannot be read ('message')"),
    ):
        (tmp_path / "error.json").write_text(text)
        assert (result.failure(tmp_path) or "").startswith(told)


def test_nan_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", DOCUMENT)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"score": math.nan})
    assert result.read(tmp_path, "0123456789ab") == KNOWN
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    code = f"""
import itertools
from pathlib import Path
from compress.storage.files import write_json
for number in itertools.count():
    write_json(Path({str(tmp_path)!r}) / "result.json", {{"number": number, "filling": "x" * 300_000}})
    print(number, flush=True)
"""
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.kill()
        writer.wait()
        assert len(json.loads((tmp_path / "result.json").read_text())["filling"]) == 300_000


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys; from compress.runs import result; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
