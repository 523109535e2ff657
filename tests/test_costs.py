"""What models cost besides bytes: training with the teacher's, latency on one machine; advice keeps to both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analysis.cli import main
from analysis.options import Options
from analysis.read.results import Results, from_documents
from analysis.statistics import costs
from analysis.statistics.advice import Advice, advise, sentences
from analysis.statistics.costs import Training
from compress.errors import ConfigError
from compress.runs.latency import Cell, Latency
from tests.grids import document, write_run

QUICK = Options(bootstrap=0)
MB = 1_000_000
SEEDS = (0, 1)
SECONDS = {("sst2", "large", "none"): 300.0, ("sst2", "tiny", "none"): 10.0, ("sst2", "tiny", "distill"): 20.0,
           ("rte", "large", "none"): 100.0, ("rte", "tiny", "none"): 2.0, ("rte", "tiny", "distill"): 4.0}  # fmt: skip
SCORES = {"large": 90.0, "tiny": 80.0}
MILLISECONDS = {("large", "none"): 40.0, ("tiny", "none"): 2.0, ("tiny", "distill"): 2.5}


def made(task: str, model: str, methods: str, seed: int) -> dict[str, Any]:
    """A run that took `SECONDS`, a second more with each seed, on a GPU for sst2; a student names its teacher's run."""
    size = {"large": 1000 * MB, "tiny": 18 * MB}[model]
    score = SCORES[model] + 2.0 * (methods == "distill")
    given = document(task, model, methods, score, seed=seed, bytes=size)
    given["timing"]["train_seconds"] = SECONDS[task, model, methods] + seed
    given["environment"] = {"device": "a GPU" if task == "sst2" else "cpu"}
    if methods == "distill":
        teacher = document(task, "large", "none", 90.0, seed=seed)["run_id"]
        given["teacher_run_id"] = given["identity"]["distill"]["teacher"] = teacher
    return given


def measured(run_id: str, ms: float, *, threads: int = 1, cpu: str = "A", quantized: bool = False) -> Latency:
    cells = [Cell("float32", batch, length, ms * batch, [0.9 * ms * batch, 1.1 * ms * batch], 9)
             for batch, length in ((1, 32), (1, 128), (32, 128))]  # fmt: skip
    cells += [Cell("int8", 1, 128, ms / 2, [ms / 2, ms / 2], 9)] if quantized else []
    return Latency(1, run_id, threads, [0], cells, {"cpu": cpu})


def collection(*, without: tuple[str, str, int] | None = None, latency: bool = True) -> Results:
    """Both tasks, two sizes, a student; `without` names a task, model and seed whose uncompressed run is not there."""
    runs = [made(*cell, seed) for cell in SECONDS for seed in SEEDS]
    kept = [own for own in runs if own["methods"] or (own["task"], own["model"], own["seed"]) != without]
    if latency:
        for own in kept:
            if own["task"] == "rte":
                ms = MILLISECONDS[own["model"], "+".join(own["methods"]) or "none"]
                own["latency"] = measured(own["run_id"], ms + 0.5 * own["seed"])
    return from_documents(kept, [], "a test")


def training(results: Results, model: str, methods: str, task: str | None = None) -> Training:
    runs = results.runs[(results.runs["model"] == model) & (results.runs["methods"] == methods)]
    return costs.training(runs if task is None else runs[runs["task"] == task], results)


def chosen(advice: Advice) -> str | None:
    return advice.chosen.name if advice.chosen else None


# --- training ---------------------------------------------------------------------------------------------------------


def test_seconds_are_means_over_seeds_then_tasks_with_the_devices_named() -> None:
    alone = training(collection(), "tiny", "none")
    assert alone == Training((10.5 + 2.5) / 2, False, None, ("a GPU", "cpu"))
    assert alone.whole == alone.seconds
    assert training(collection(), "tiny", "none", "rte") == Training(2.5, False, None, ("cpu",))


def test_a_students_teacher_is_found_by_its_run_id_and_counts_whole() -> None:
    student = training(collection(), "tiny", "distill", "sst2")
    assert (student.seconds, student.teacher_seconds, student.whole) == (20.5, 300.5, 321.0)
    both = training(collection(), "tiny", "distill")
    assert both.teacher_seconds == (300.5 + 100.5) / 2


def test_where_a_teacher_is_lacking_the_whole_is_not_known() -> None:
    lacking = training(collection(without=("rte", "large", 1)), "tiny", "distill")
    assert lacking.taught
    assert lacking.teacher_seconds is None
    assert lacking.whole is None
    assert lacking.seconds == 12.5


def test_a_run_that_does_not_tell_its_time_leaves_the_mean_unknown() -> None:
    results = collection()
    results.runs.loc[results.runs["run_id"] == results.runs["run_id"].iloc[0], "train_seconds"] = float("nan")
    first = results.runs.iloc[0]
    assert training(results, first["model"], first["methods"]).seconds is None


@pytest.mark.parametrize(("seconds", "said"), [(4.25, "4.25 s"), (119.0, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations(seconds: float, said: str) -> None:
    assert costs.duration(seconds) == said


# --- latency ----------------------------------------------------------------------------------------------------------


def test_latencies_are_means_of_one_shape_over_the_runs_measured_in_any_task() -> None:
    found = costs.latencies(collection().runs, (1, 128))
    assert found.milliseconds == {
        ("large", "none", ""): 40.25,
        ("tiny", "none", ""): 2.25,
        ("tiny", "distill", ""): 2.75,
    }
    assert found.conditions == "1 × 128 tokens, 1 thread of A"
    assert costs.latencies(collection().runs, (32, 128)).milliseconds["tiny", "none", ""] == pytest.approx(72.0)
    assert costs.latencies(collection().runs, (7, 7)).milliseconds == {}
    assert costs.latencies(collection(latency=False).runs, (1, 128)) == costs.Latencies({}, "", ())


def test_a_quantized_model_counts_in_int8() -> None:
    results = collection(latency=False)
    results.runs.at[0, "latency"] = measured(results.runs["run_id"][0], 8.0, quantized=True)
    assert list(costs.latencies(results.runs, (1, 128)).milliseconds.values()) == [4.0]


def test_other_machines_and_threads_are_left_out_and_told() -> None:
    results = collection()
    places = results.runs.index[(results.runs["task"] == "sst2") & (results.runs["model"] == "tiny")]
    for place, (cpu, threads) in zip(places, (("B", 1), ("A", 4)), strict=False):
        results.runs.at[place, "latency"] = measured(results.runs["run_id"][place], 900.0, cpu=cpu, threads=threads)
    found = costs.latencies(results.runs, (1, 128))
    assert max(found.milliseconds.values()) == 40.25
    assert found.notes == ("latencies of other machines left out: 1 thread of B (1 run), 4 threads of A (1 run)",)


# --- advice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"max_ms": 50.0}, "large none"),
        ({"max_ms": 10.0}, "tiny distill"),
        ({"max_ms": 2.5}, "tiny none"),
        ({"max_ms": 1.0}, None),
        ({"max_ms": 100.0, "shape": (32, 128)}, "tiny distill"),
        ({"max_train_hours": 1.0}, "large none"),
        (
            {"max_train_hours": 0.01},
            "tiny none",
        ),  # 36 s: enough for the student's steps, not for its teacher's
        ({"max_train_hours": 1.0, "max_bytes": 20 * MB}, "tiny distill"),
        ({"max_ms": 2.5, "min_score": 81.0}, None),
    ],
)
def test_limits_of_time_are_kept(asked: dict[str, Any], name: str | None) -> None:
    assert chosen(advise(collection(), QUICK, **asked)) == name


def test_what_is_not_known_does_not_fit_and_is_told() -> None:
    unknown = advise(collection(without=("rte", "large", 1)), QUICK, max_train_hours=1.0, max_bytes=20 * MB)
    assert chosen(unknown) == "tiny none"
    assert "1 of 3 models left out: the time of their training, or of their teachers', is not known" in unknown.notes
    results = collection()
    tiny = results.runs["methods"].eq("distill")
    results.runs["latency"] = results.runs["latency"].where(~tiny, None)
    without = advise(results, QUICK, max_ms=10.0)
    assert chosen(without) == "tiny none"
    assert "1 of 3 models left out: latency not measured (python -m compress.latency RUN…)" in without.notes
    with pytest.raises(ConfigError, match=r"^--max-ms 5: no model's latency at 1 × 128 tokens is in a test; python -m"):
        advise(collection(latency=False), QUICK, max_ms=5.0)


def test_each_choice_is_priced() -> None:
    lines = sentences(advise(collection(), QUICK, task="rte", max_bytes=20 * MB))
    assert lines[2] == (
        "           trained in 4.5 s, its teacher in 100 s, on cpu; 2.75 ms (1 × 128 tokens, 1 thread of A)"
    )
    assert lines[4] == "           trained in 2.5 s, on cpu; 2.25 ms (1 × 128 tokens, 1 thread of A)"
    lacking = collection(without=("rte", "large", 1), latency=False)
    lines = sentences(advise(lacking, QUICK, task="rte", max_bytes=20 * MB))
    assert lines[2] == (
        "           trained in 4.5 s, its teacher's training is not in the collection, on cpu;"
        " latency not measured (python -m compress.latency RUN…)"
    )


def test_the_command_line_prices_and_its_document_is_complete(tmp_path, capsys) -> None:
    for cell in SECONDS:
        for seed in SEEDS:
            folder = write_run(tmp_path, made(*cell, seed))
            text = measured(folder.name, MILLISECONDS[cell[1:]])
            (folder / "latency.json").write_text(json.dumps(vars(text) | {"cells": [vars(own) for own in text.cells]}))
    words = ["advise", str(tmp_path), "--max-ms", "100", "--max-train-hours", "0.5", "--shape", "32x128"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("at most 100 ms and at most 0.5 hours of training (GLUE score, nominal bytes), mean over 2")
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["advice"]
    assert answer["latency"] == "32 × 128 tokens, 1 thread of A"
    own = answer["chosen"]
    assert (own["model"], own["milliseconds"]) == ("tiny", 80.0)
    assert own["training"] == {
        "seconds": 12.5, "taught": True, "teacher_seconds": 200.5, "devices": ["a GPU", "cpu"],
        "started": False, "start_seconds": None,
    }  # fmt: skip
    for wrong in ("0x128", "128", "1x", "1xa"):
        assert main([*words[:-1], wrong]) == 2
        assert "must be a batch and its tokens, 1x128" in capsys.readouterr().err
