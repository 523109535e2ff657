"""A file of results stands for the folder that it was written from."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.cli import main
from analysis.read import collection
from analysis.read.results import COLUMNS, read_runs
from compress.errors import ConfigError
from compress.runs import latency
from tests import crossings
from tests.grids import SUBSETS, document, write_failure, write_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Finished, failed and unfinished runs, a damaged and an odd one."""
    folder = tmp_path / "runs"
    for seed in (0, 1):
        for methods in SUBSETS:
            given = document("stsb", "mini", methods, 70.123456789012345 + seed, seed=seed)
            given["config"]["paths"] = {"runs": "/home/somebody/runs", "cache": "/home/somebody/.cache"}
            write_run(folder, given)
    write_run(folder, document("cola", "tiny", "none", None))
    write_run(folder, document("cola", "tiny", "prune", 60.0) | {"config": ["odd"]})
    write_run(folder, document("cola", "tiny", "quantize", 60.0) | {"schema": 7})
    write_failure(folder, document("rte", "mini", "distill", 60.0, seed=4), "CUDA out of memory")
    write_failure(folder, document("rte", "mini", "prune", 60.0), "").joinpath("error.json").write_text("[]")
    (folder / "rte/large/none/aaaaaaaaaaaa/checkpoint").mkdir(parents=True)
    broken = write_run(folder, document("rte", "tiny", "none", 60.0, seed=1))
    (broken / "result.json").write_text('{"schema": 1,')
    return folder


def test_a_file_of_results_gives_the_table_of_the_folder(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept" / "results.jsonl.gz"
    collection.write([runs], file)
    found, expected = read_runs(file), read_runs(runs)
    columns = [column for column in COLUMNS if column != "folder"]
    pd.testing.assert_frame_equal(found.runs[columns], expected.runs[columns])
    pd.testing.assert_frame_equal(found.failures, expected.failures)
    assert len(found.failures) == 2
    assert found.recipes == expected.recipes
    assert len(found.notes) == len(expected.notes) == 4, found.notes
    assert found.notes[:2] == expected.notes[:2]
    assert found.source == str(file)
    assert [path.name for path in file.parent.iterdir()] == ["results.jsonl.gz"]


def test_latencies_are_carried_along_and_damaged_ones_are_told(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl.gz"
    folders = sorted(runs.glob("stsb/mini/*/*"))
    for place, folder in enumerate(folders):
        crossings.write_latency(folder, json.loads((folder / "result.json").read_text()))
        text = (folder / latency.FILE).read_text()
        if place < len(DAMAGE):
            (folder / latency.FILE).write_text(DAMAGE[place](text))
    collection.write([runs], file)
    found, expected = read_runs(file), read_runs(runs)
    assert found.runs["latency"].to_list() == expected.runs["latency"].to_list()
    assert found.runs["latency"].notna().sum() == len(folders) - len(DAMAGE)
    told = [note for note in found.notes if f"{latency.FILE}: left out: " in note]
    assert len(told) == len(DAMAGE)
    assert all(
        any(part in note for note in told) for part in ("schema", "run_id is other", "quartiles_ms", "Invalid JSON")
    )
    lines = gzip.decompress(file.read_bytes()).decode()
    file.write_bytes(gzip.compress(lines.replace('"median_ms":', '"median":', 1).encode()))
    with pytest.raises(ConfigError, match=r"the latency of run [0-9a-f]{12}: it has no 'cells.0.median_ms'"):
        read_runs(file)


DAMAGE = (
    lambda text: text.replace('"schema": 1', '"schema": 2'),
    lambda text: re.sub(r'"run_id": "\w+"', '"run_id": "other"', text),
    lambda text: text.replace('"quartiles_ms": [', '"quartiles_ms": [1e9, '),
    lambda text: text[:-9],
)


def test_a_file_of_results_says_nothing_of_the_machine_and_is_the_same_each_time(runs: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.jsonl.gz", "b.jsonl.gz")]
    for file in files:
        collection.write([runs], file)
    assert files[0].read_bytes() == files[1].read_bytes()
    text = gzip.decompress(files[0].read_bytes()).decode()
    assert "/home/somebody" not in text
    assert str(tmp_path) not in text
    assert '"teacher":"large"' in text


def test_the_command_line_collects_and_reads_what_was_collected(runs: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "results.jsonl.gz"
    assert main(["collect", str(runs), "--out", str(file)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{file}: 19 results, 2 failures\n\nnotes:\n  rte/tiny/none/")
    for place in (runs, file):
        assert main(["table", str(place), "--bootstrap", "0", "--json"]) == 0
    folder, collected = (line.split('"runs": ')[1] for line in capsys.readouterr().out.splitlines())
    assert folder.partition('"notes"')[0] == collected.partition('"notes"')[0]
    assert folder.partition('"failures"')[2] == collected.partition('"failures"')[2]


def test_several_places_are_one_collection(tmp_path: Path, capsys) -> None:
    here, there, both = tmp_path / "here", tmp_path / "there", tmp_path / "both.jsonl.gz"
    write_run(here, document("rte", "tiny", "none", 60.0))
    write_run(here, document("rte", "mini", "none", 64.0))
    write_failure(here, document("rte", "tiny", "prune", 0.0), "repaired elsewhere")
    write_failure(here, document("rte", "tiny", "distill", 0.0), "failed for good")
    write_run(there, document("rte", "tiny", "none", 60.0) | {"score_glue": 61.0})
    write_run(there, document("rte", "tiny", "prune", 58.0))
    (there / "rte/tiny/quantize/aaaaaaaaaaaa/checkpoint").mkdir(parents=True)
    assert main(["collect", str(here), str(there), "--out", str(both)]) == 0
    assert capsys.readouterr().out.startswith(
        f"{both}: 3 results, 1 failures\n\nnotes:\n  1 run folders hold no result"
    )
    found = read_runs(both)
    assert list(found.runs["score_glue"]) == [60.0, 58.0, 64.0]
    assert list(found.failures["cause"]) == ["RuntimeError: failed for good"]
    again = tmp_path / "again.jsonl.gz"
    collection.write([both, there, here], again)
    assert read_runs(again).runs["score_glue"].tolist() == [60.0, 58.0, 64.0]
    assert read_runs(again).notes == found.notes
    write_run(here, document("rte", "tiny", "quantize", 59.0) | {"run_id": "aaaaaaaaaaaa"})
    collection.write([both, here], again)
    assert read_runs(again).runs["score_glue"].tolist() == [60.0, 59.0, 58.0, 64.0]
    assert read_runs(again).notes == [], "what was unfinished then is finished now"
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        collection.write([both, tmp_path / "nowhere"], again)


def test_what_cannot_be_read_is_one_clear_error(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl.gz"
    with pytest.raises(ConfigError, match=r"^--out .*/results.csv: must end in .jsonl.gz$"):
        collection.write([runs], tmp_path / "results.csv")
    with pytest.raises(ConfigError, match="no finished run below it"):
        collection.write([runs / "rte"], file)
    assert not file.exists()
    collection.write([runs], file)
    whole = file.read_bytes()
    flipped = whole[:200] + bytes(100) + whole[300:]
    for damaged in (
        whole[:-400],
        flipped,
        b"task,model\n",
        gzip.compress(b"[1]\n"),
        gzip.compress(b'{"schema"'),
        b"\x1f\x8b",
    ):
        file.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"results.jsonl.gz: cannot be read after line \d+ .*give a folder of"):
            read_runs(file)
    file.write_bytes(gzip.compress(b""))
    with pytest.raises(ConfigError, match="no usable result"):
        read_runs(file)
