"""How far a grid is, read from its folder alone; the launcher's own word for it is the same."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.read.grid import Follower
from compress.runs.folder import PROGRESS
from launch import status
from tests import crossings, grids
from tests.going import GoingGrid


@pytest.fixture
def going(tmp_path: Path) -> Iterator[GoingGrid]:
    """Eight experiments: three finished, two failed of one cause, one running, two to go."""
    made = list(crossings.crossing(("rte",), ("tiny",)))
    there = GoingGrid(tmp_path, made)
    names = list(there.documents)
    for run_id in names[:3]:
        there.finish(run_id)
    for run_id in names[3:5]:
        there.fail(run_id, "no room")
    there.run(names[5], 50)
    yield there
    there.close()


def test_it_says_what_launch_status_says(going: GoingGrid) -> None:
    now = Follower(going.runs).look()
    told = {one.run_id: one.state for one in status.survey(going.runs).experiments}
    mine = {done.cell.run_id: "finished" for done in now.finished} | {cell.run_id: "running" for cell, _ in now.running}
    mine |= {cell.run_id: "failed" for cell, _ in now.failed} | {cell.run_id: "pending" for cell in now.others}
    assert mine == told
    assert now.total == 8
    ((cell, at),) = now.running
    assert at is not None
    assert (at.done, at.total, at.rate) == (50, 200, 2.5)
    assert cell.name == "rte tiny quantize+prune seed 0"
    assert {cause for _, cause in now.failed} == {"RuntimeError: no room"}
    assert now.seconds_left == pytest.approx(30 + 2 * 20, abs=2), "they take twice as long as planned, one at once"
    assert not now.ended


def test_what_has_not_changed_is_not_read_again(going: GoingGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(going.runs)
    before = follower.look()
    with monkeypatch.context() as patch:
        patch.setattr("analysis.read.grid.json.loads", lambda text: pytest.fail("it was read again"))
        patch.setattr("analysis.read.grid._result", lambda folder: pytest.fail("it was read again"))
        patch.setattr("analysis.read.grid.result.failure", lambda folder: "RuntimeError: no room")
        assert follower.look().stamp == before.stamp, "nothing that a report would show has changed"
    going.run(list(going.documents)[5], 60)
    assert follower.look().stamp == before.stamp, "progress is nothing that it shows"
    going.finish(list(going.documents)[5])
    after = follower.look()
    assert after.stamp != before.stamp
    assert len(after.finished) == 4


def test_who_is_run_again_has_not_failed(going: GoingGrid) -> None:
    failed = list(going.documents)[3]
    again = GoingGrid(going.runs, [going.documents[failed]], "second")
    try:
        assert failed in {cell.run_id for cell in Follower(going.runs).look().others}
        again.fail(failed, "no room, either")
        assert ("RuntimeError: no room, either") in {cause for _, cause in Follower(going.runs).look().failed}
    finally:
        again.close()


def test_runs_without_a_sweep_and_damaged_plans_are_looked_at_too(tmp_path: Path) -> None:
    made = list(crossings.crossing(("rte",), ("tiny",)))
    grids.write_run(tmp_path, made[0])
    grids.write_failure(tmp_path, made[1], "no room")
    (grids.run_folder(tmp_path, made[2])).mkdir(parents=True)
    (tmp_path / ".sweeps/odd").mkdir(parents=True)
    for text in ("", "[]", '{"experiments": [{}], "to_run": []}', '{"experiments": 3}'):
        (tmp_path / ".sweeps/odd/plan.json").write_text(text)
        now = Follower(tmp_path).look()
        assert [len(part) for part in (now.finished, now.running, now.failed, now.others)] == [1, 0, 1, 1]
        assert now.seconds_left is None


def test_one_whose_lock_is_not_seen_runs_while_it_tells_of_progress(going: GoingGrid) -> None:
    running = list(going.documents)[5]
    going.locks[running].release()
    assert [cell.run_id for cell, _ in Follower(going.runs).look().running] == [running]
    file = grids.run_folder(going.runs, going.documents[running]) / PROGRESS
    file.write_text(json.dumps(json.loads(file.read_text()) | {"time": time.time() - 1000}))
    assert Follower(going.runs).look().running == []


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    now = Follower(tmp_path).look()
    assert (now.total, now.seconds_left) == (0, None)
