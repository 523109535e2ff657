"""One table of whatever a collection holds; nothing is dropped silently."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from analysis.names import TASKS
from analysis.read import results
from analysis.read.results import COLUMNS, from_documents, read_runs
from compress.errors import ConfigError
from tests.crossings import crossing, subsets_of
from tests.grids import SUBSETS, document, write_failure, write_run
from tests.pace import quiet_seconds


def test_run_folders_become_rows_in_the_order_of_tasks_sizes_and_methods(tmp_path: Path) -> None:
    wanted = [
        (task, model, methods, variant, seed)
        for task in ("sst2", "rte")
        for model in ("tiny", "large")
        for methods in SUBSETS
        for variant in (("prune 40 %", "prune 60 %") if "prune" in methods else ("",))
        for seed in (0, 1)
    ]
    for task, model, methods, variant, seed in reversed(wanted):
        sparsity = 0.6 if "60" in variant else 0.4
        write_run(tmp_path, document(task, model, methods, 80.0, sparsity=sparsity, seed=seed))
    found = read_runs(tmp_path)
    keys = ["task", "model", "methods", "variant", "seed"]
    assert list(found.runs[keys].itertuples(index=False, name=None)) == wanted
    assert tuple(found.runs.columns) == COLUMNS
    assert found.notes == []
    assert found.failures.empty
    assert found.runs["recipe"].nunique() == 1
    assert found.tasks == ["sst2", "rte"]
    assert (found.runs["folder"].map(lambda folder: folder.name) == found.runs["run_id"]).all()


def test_a_row_holds_what_the_document_says() -> None:
    given = document("stsb", "mini", "quantize+prune", 81.25, sparsity=0.6, seed=3, accuracy=80.5)
    row = from_documents([given | {"url": "https://example.org/run"}], [], "a test").runs.iloc[0]
    expected = {
        "methods": "quantize+prune", "variant": "", "seed": 3,
        "score_glue": 81.25, "score_accuracy": 80.5, "parameters": 11_170_560,
        "nominal_bytes": given["size"]["nonzero"],
        "artifact_bytes": given["size"]["artifact_bytes"], "steps": 180, "teacher_run_id": None, "folder": None,
        "url": "https://example.org/run", "device": "cpu",
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert [(own.method, own.option, own.value) for own in row["compression"]] == [
        ("quantize", "int8", None), ("prune", "magnitude", 0.6),
    ]  # fmt: skip


def test_unknown_sizes_take_their_place_and_unknown_tasks_come_last() -> None:
    documents = [document(task, model, "none", 80.0) for task in ("wnli", "cola") for model in ("huge", "tiny", "nano")]
    found = from_documents(documents, [], "a test")
    assert found.models == ["nano", "tiny", "huge"]
    assert found.tasks == ["cola", "wnli"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.update(schema=4), "schema is 4"),
        (lambda d: d.pop("size"), "its size is None"),
        (lambda d: d["size"].update(nominal_bytes=0), "size.nominal_bytes is 0"),
        (lambda d: d["size"].update(artifact_bytes="many"), "size.artifact_bytes is 'many'"),
        (lambda d: d.update(score_glue="high"), "score_glue is 'high'"),
        (lambda d: d.update(score_glue=812.5), "score_glue is 812.5"),
        (lambda d: d.update(seed=None), "seed is None"),
        (lambda d: d.pop("compression"), "it has no 'compression'"),
        (lambda d: d["compression"][0].update(position="first"), "compression.0.position is 'first'"),
        (lambda d: d.pop("identity"), "it has no 'identity'"),
        (lambda d: d.update(identity=None), "left out"),
        (lambda d: d["identity"].pop("prune"), "identity.prune is None"),
        (lambda d: d.update(size=[]), "left out"),
        (lambda d: d["identity"].update(train=[1]), "left out"),
        (lambda d: d["identity"].update(data="demo"), "left out"),
    ],
)
def test_a_malformed_document_is_left_out_with_a_note(damage, told: str) -> None:
    bad = document("rte", "tiny", "prune", 60.0, seed=1)
    damage(bad)
    found = from_documents([document("rte", "tiny", "prune", 60.0), bad], [], "a test")
    assert len(found.runs) == 1
    assert len(found.notes) == 1
    assert told in found.notes[0]
    assert bad["run_id"] in found.notes[0]


@pytest.mark.parametrize("undefined", [None, "NaN", float("nan")])
def test_an_undefined_score_stays_undefined(undefined) -> None:
    given = document("cola", "tiny", "none", 60.0) | {"score_glue": undefined}
    found = from_documents([given], [], "a test")
    assert math.isnan(found.runs["score_glue"][0])
    assert found.runs["score_accuracy"][0] == 60.0


def test_folders_that_hold_no_result_are_counted_or_told_as_failures(tmp_path: Path) -> None:
    write_run(tmp_path, document("rte", "tiny", "none", 60.0))
    write_failure(tmp_path, document("rte", "tiny", "none", 60.0), "was repaired later")
    write_failure(tmp_path, document("rte", "mini", "distill", 60.0, seed=4), "CUDA out of memory\nsecond line")
    write_failure(tmp_path, document("rte", "mini", "prune", 60.0), "").joinpath("error.json").write_text("[]")
    (tmp_path / "rte/large/none/aaaaaaaaaaaa/checkpoint").mkdir(parents=True)
    (tmp_path / "rte/large/none/bbbbbbbbbbbb").mkdir()
    (tmp_path / ".sweeps/a/b/c").mkdir(parents=True)
    broken = write_run(tmp_path, document("rte", "tiny", "none", 60.0, seed=1))
    (broken / "result.json").write_text('{"schema": 1,')
    moved = write_run(tmp_path, document("rte", "tiny", "none", 60.0, seed=2))
    moved.rename(moved.with_name("cccccccccccc"))
    found = read_runs(tmp_path)
    assert len(found.runs) == 1
    causes = {row.methods: (row.model, row.seed, row.cause) for row in found.failures.itertuples()}
    assert causes["distill"] == ("mini", 4, "RuntimeError: CUDA out of memory")
    assert "error.json cannot be read" in causes["prune"][2]
    assert len(found.failures) == 2
    assert len(found.notes) == 3
    assert any(broken.name in note and "cannot be read" in note for note in found.notes)
    assert any("cccccccccccc" in note and "id that its folder is named by" in note for note in found.notes)
    assert any("2 run folders hold no result: 1 with a checkpoint" in note for note in found.notes)


def test_nothing_to_read_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        read_runs(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no finished run"):
        read_runs(tmp_path)
    with pytest.raises(ConfigError, match="no usable result"):
        from_documents([{"schema": 2}], [], "a test")


# --- recipes ----------------------------------------------------------------------------------------------------------


def taking(note: str) -> str:
    """The recipe that a note offers."""
    return note.partition("--recipe ")[2].partition(" ")[0]


def test_a_recipe_does_not_depend_on_what_a_grid_varies() -> None:
    documents = [
        document(task, model, methods, 80.0, seed=seed, changes={"train.learning_rate": rate})
        for task in TASKS
        for model, rate in (("tiny", 3e-4), ("large", 2e-5))
        for methods in SUBSETS
        for seed in (0, 1)
    ]
    found = from_documents(documents, [], "a test")
    assert found.runs["recipe"].nunique() == 1
    assert len(found.runs) == len(documents)


@pytest.mark.parametrize("change", [{"train.epochs": 6}, {"data.max_length": 64}])
def test_the_most_frequent_recipe_is_kept_and_the_rest_told(change) -> None:
    most = [document("rte", model, methods, 80.0) for model in ("tiny", "mini") for methods in SUBSETS]
    few = [document("rte", "tiny", methods, 95.0, changes=change) for methods in SUBSETS[:3]]
    found = from_documents(few + most, [], "a test")
    assert len(found.runs) == len(most)
    assert (found.runs["score_glue"] == 80.0).all()
    assert len(found.notes) == 1
    key, value = next(iter(change.items()))
    assert f"rte: 3 runs left out for another recipe: {key} {value} instead of" in found.notes[0]
    other = taking(found.notes[0])
    chosen = from_documents(few + most, [], "a test", recipe=other)
    assert sorted(chosen.runs["run_id"]) == sorted(given["run_id"] for given in few)
    assert set(chosen.runs["recipe"]) == {other}


def test_a_method_that_is_off_has_no_part_in_a_recipe() -> None:
    """Runs without pruning stand beside runs with any pruning, though only one kind of these is kept."""
    plain = [document("rte", "tiny", methods, 80.0) for methods in ("none", "quantize")]
    most = [document("rte", model, "prune", 70.0) for model in ("tiny", "mini")]
    late = [document("rte", "tiny", methods, 60.0, changes={"prune.start": 0.5}) for methods in ("prune",)]
    found = from_documents(plain + most + late, [], "a test")
    assert sorted(found.runs["methods"]) == ["none", "prune", "prune", "quantize"]
    assert late[0]["run_id"] not in set(found.runs["run_id"])
    chosen = from_documents(plain + most + late, [], "a test", recipe=taking(found.notes[0])[:4])
    assert sorted(chosen.runs["methods"]) == ["none", "prune", "quantize"]
    assert 60.0 in set(chosen.runs["score_glue"])
    assert "prune.start 0.1 instead of 0.5" in chosen.notes[0]


def test_every_task_has_its_own_most_frequent_recipe() -> None:
    """Small tasks are often trained for longer: they are compared within themselves, and stay."""
    documents = [document("sst2", "tiny", methods, 80.0) for methods in SUBSETS]
    documents += [document("rte", "tiny", methods, 60.0, changes={"train.epochs": 10}) for methods in SUBSETS[:6]]
    usual = document("rte", "tiny", "none", 50.0)  # as elsewhere, but not as the rest of its task
    found = from_documents([*documents, usual], [], "a test")
    assert len(found.runs) == len(documents)
    assert usual["run_id"] not in set(found.runs["run_id"])
    assert found.runs.groupby("task")["recipe"].nunique().to_dict() == {"rte": 1, "sst2": 1}
    assert found.runs["recipe"].nunique() == 2
    assert any("10" in note and "rte" in note for note in found.notes)


def test_another_teacher_is_another_recipe() -> None:
    usual = [document("rte", model, "distill", 80.0) for model in ("tiny", "mini")]
    other = document("rte", "tiny", "distill", 90.0)
    other["config"]["distill"]["teacher"] = "base"
    other["run_id"] = "1" * 12
    found = from_documents([*usual, other], [], "a test")
    assert len(found.runs) == 2
    assert "distill.teacher base instead of large" in found.notes[0]


def test_other_data_files_are_not_mixed_within_a_task() -> None:
    documents = [
        document(task, "tiny", methods, 80.0, changes={"data.path": digest})
        for task, digest in (("rte", "aa"), ("sst2", "bb"))
        for methods in SUBSETS
    ]
    other = document("rte", "tiny", "none", 10.0, changes={"data.path": "cc"})
    found = from_documents([*documents, other], [], "a test")
    assert len(found.runs) == 16
    assert found.runs["recipe"].nunique() == 1
    assert "data files" in found.notes[0]


def test_an_unknown_recipe_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(ConfigError, match=r"--recipe 123: no run has .* there are [0-9a-f]{8} \(1 runs\)"):
        from_documents([document("rte", "tiny", "none", 80.0)], [], "a test", recipe="123")


# --- repeats ----------------------------------------------------------------------------------------------------------


def test_of_a_cell_and_seed_one_run_is_kept_whatever_its_score() -> None:
    usual = [document("rte", "tiny", methods, 80.0) for methods in SUBSETS]
    for score in (10.0, 99.0):
        other = document("rte", "tiny", "none", score, changes={"train.learning_rate": 0.01})
        found = from_documents([other, *usual], [], "a test")
        assert len(found.runs) == len(usual)
        assert (found.runs["score_glue"] == 80.0).all()
        assert other["run_id"] not in set(found.runs["run_id"])
        assert any("1 run left out as repeats" in note and "learning rate" in note for note in found.notes)


def test_one_run_read_twice_counts_once() -> None:
    given = document("rte", "tiny", "none", 80.0)
    found = from_documents([given, given], [], "a test")
    assert len(found.runs) == 1
    assert "the same run, read more than once" in found.notes[0]


def test_learning_rates_that_differ_within_a_model_are_told() -> None:
    documents = [
        document("rte", "tiny", methods, 80.0, changes={"train.learning_rate": 0.01 if methods == "prune" else 0.001})
        for methods in SUBSETS
    ]
    found = from_documents(documents, [], "a test")
    assert len(found.runs) == 8
    assert found.notes == ["tiny: runs of rte differ in architecture, weights or learning rate, and are all kept"]


def test_thousands_of_runs_are_read_in_seconds(tmp_path: Path) -> None:
    for seed in range(2):
        for task in TASKS:
            for model in ("tiny", "mini", "small", "medium", "base", "large"):
                for methods in SUBSETS:
                    write_run(tmp_path, document(task, model, methods, 80.0, seed=seed))

    def read() -> None:
        assert len(results.read_runs(tmp_path).runs) == 768

    assert quiet_seconds(read, time.perf_counter) < 5


# --- variants ---------------------------------------------------------------------------------------------------------


def test_strengths_and_options_of_a_method_stand_side_by_side() -> None:
    """No run is left out for them, and each is a cell of its own; what is the same everywhere is not told."""
    both = {"prune": "movement"}
    changes = {"prune.start": 0.3, "prune.end": 0.9}
    documents = [
        *(document("rte", "tiny", methods, 80.0) for methods in SUBSETS),
        *(document("rte", "tiny", "prune", 70.0, sparsity=sparsity) for sparsity in (0.6, 0.85)),
        document("rte", "tiny", "quantize+prune", 75.0, sparsity=0.6, options=both, changes=changes),
    ]
    found = from_documents(documents, [], "a test")
    assert found.notes == []
    assert len(found.runs) == len(documents)
    cells = found.runs[found.runs["methods"].isin(["prune", "quantize+prune"])]
    assert list(zip(cells["methods"], cells["variant"], strict=True)) == [
        ("prune", "prune magnitude 40 %"), ("prune", "prune magnitude 60 %"), ("prune", "prune magnitude 85 %"),
        ("quantize+prune", "prune magnitude 40 %"), ("quantize+prune", "prune movement 60 %"),
    ]  # fmt: skip
    assert set(found.runs[~found.runs["methods"].str.contains("prune")]["variant"]) == {""}


def test_other_settings_count_within_an_option_only() -> None:
    """Another start of magnitude pruning is another recipe; that of movement pruning may be anything."""
    both = {"prune": "movement"}
    kept = [document("rte", model, "prune", 80.0) for model in ("tiny", "mini")]
    kept.append(document("rte", "tiny", "prune", 80.0, options=both, changes={"prune.start": 0.7}))
    late = document("rte", "small", "prune", 80.0, changes={"prune.start": 0.7})
    found = from_documents([*kept, late], [], "a test")
    assert sorted(found.runs["run_id"]) == sorted(given["run_id"] for given in kept)
    assert "prune.start 0.7 instead of 0.1" in found.notes[0]


def test_any_number_of_methods_is_read_in_the_order_of_their_positions() -> None:
    names = ("quantize", "distill", "prune", "shave", "coach")
    found = from_documents(crossing(("rte",), ("tiny",), subsets_of(*names)), [], "a test")
    assert found.notes == []
    assert found.methods.names == list(names)
    assert list(found.runs["methods"]) == found.methods.subsets
    assert len(found.methods.subsets) == 32
    sizes = [methods.count("+") for methods in found.methods.subsets[1:]]
    assert sizes == sorted(sizes)


# --- the document -----------------------------------------------------------------------------------------------------


def test_results_of_the_first_schema_stand_beside_those_of_the_second() -> None:
    """They wrote down methods that are off, and no `compression`."""
    new = [document("rte", "tiny", methods, 80.0) for methods in SUBSETS]
    old = []
    for methods in SUBSETS:
        given = document("rte", "tiny", methods, 81.0, seed=1)
        off = {name: {"name": "none"} for name in ("quantize", "distill", "prune")}
        del given["compression"]
        given |= {"schema": 1, "identity": {**off, **given["identity"], "schema": 1}}
        old.append(given)
    found = from_documents([*new, *old], [], "a test")
    assert found.notes == []
    assert len(found.runs) == 16
    assert found.runs.groupby("seed")["methods"].apply(list).map(tuple).to_dict() == dict.fromkeys(
        (0, 1), tuple(SUBSETS)
    )
