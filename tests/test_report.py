"""report.html without a browser: what it holds, what it says of odd collections, how big it is, how long it takes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import reference
from analysis.names import SIZES, Names
from analysis.options import Options
from analysis.read import results
from analysis.read.results import Results
from analysis.report import drawn, payload, report, sections, verdicts
from analysis.report.report import both_ways, findings
from analysis.report.sections import Table
from analysis.statistics.interactions import by_model
from tests import crossings, grids
from tests.pace import quiet_seconds

QUICK = Options(bootstrap=0)
SMALL = {"tasks": ("cola", "rte"), "models": ("tiny", "small", "base")}


class Page(HTMLParser):
    """What a browser makes of the markup: elements with their attributes, and the text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


def collection(*documents: dict, failures: Any = (), **crossed: Any) -> Results:
    return results.from_documents(documents or crossings.crossing(**crossed), failures, "the test")


def page_of(found: Results, options: Options = QUICK) -> Page:
    return Page(report.page(found, options, findings(found, options)))


@pytest.fixture(scope="module")
def whole() -> Results:
    return collection(**SMALL, seeds=(0, 1, 2), sparsities=(0.4, 0.6))


# --- one file ---------------------------------------------------------------------------------------------------------


def test_it_needs_no_other_file_and_its_policy_forbids_any(whole: Results) -> None:
    page = page_of(whole)
    for tag, attributes in page.elements:
        address = attributes.get("src") or attributes.get("href") or ""
        assert address == "" or address.startswith(("#", "data:")), (tag, address)
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
    policy = next(str(kept["content"]) for _, kept in page.elements if kept.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\(", page.scripts[1])


def test_the_data_are_those_of_the_runs(whole: Results) -> None:
    held = json.loads(page_of(whole).scripts[0])
    runs = held["runs"]
    assert runs["id"] == list(whole.runs["run_id"])
    assert [held["tasks"][place]["name"] for place in runs["task"]] == list(whole.runs["task"])
    assert [held["models"][place] for place in runs["model"]] == list(whole.runs["model"])
    compressions = [held["compressions"][place] for place in runs["compression"]]
    assert [held["methods"][own["methods"]]["name"] for own in compressions] == list(whole.runs["methods"])
    assert held["filters"] == [{"name": "prune", "variants": ["40 %", "60 %"]}]
    variants = ["" if own["variants"] == [None] else f"prune {40 + 20 * own['variants'][0]} %" for own in compressions]
    assert variants == list(whole.runs["variant"])
    assert runs["glue"] == pytest.approx(list(whole.runs["score_glue"]), abs=1e-4)
    assert runs["artifact"] == list(whole.runs["artifact_bytes"])


def test_the_most_memory_is_told_by_model_as_far_as_runs_tell() -> None:
    documents = list(crossings.crossing(tasks=("cola", "rte"), models=("tiny", "small", "base")))
    assert sections.memory(collection(*documents)) == ""
    for place, document in enumerate(documents):
        if document["model"] != "small":
            document["timing"]["memory_bytes"] = (1 + place % 2) * 2**30
        if document["model"] == "base":
            document["timing"]["gpu_memory_bytes"] = 3 * 2**29
    told = "Most memory at once: tiny 2.0 GB, base 2.0 GB and 1.5 GB on the GPU."
    assert sections.memory(collection(*documents)) == told
    assert told in page_of(collection(*documents)).text


def test_no_name_can_break_out_of_the_page() -> None:
    nasty = '</script><script>alert(1)</script><b onclick="x">'
    made = [grids.document("rte", "tiny", methods, 60.0) | {"task": nasty} for methods in ("none", "quantize")]
    failure = {"run_id": nasty, "task": nasty, "model": nasty, "methods": nasty, "seed": None, "cause": nasty}
    found = results.from_documents(made, [failure], nasty, notes=[nasty])
    page = page_of(found)
    assert len(page.scripts) == 2
    assert not any(tag == "b" for tag, _ in page.elements)
    assert page.text.count(nasty) >= 6
    assert json.loads(page.scripts[0])["tasks"][0]["name"] == nasty


def test_headings_contents_and_labels_fit(whole: Results) -> None:
    page = page_of(whole)
    names = [kept["id"] for _, kept in page.elements if kept.get("id")]
    assert len(names) == len(set(names))
    links = [str(kept["href"])[1:] for tag, kept in page.elements if tag == "a"]
    labels = [str(kept["aria-labelledby"]) for tag, kept in page.elements if tag == "section"]
    assert set(links + labels) <= set(names)
    assert ("html", {"lang": "en"}) in page.elements
    assert all(kept.get("tabindex") == "0" and kept.get("aria-label") for _, kept in page.elements
               if kept.get("class") == "scroll")  # fmt: skip


# --- what it says -----------------------------------------------------------------------------------------------------


GONE = float("nan")


def contrast(**changed: Any) -> dict[str, Any]:
    """A row of `interactions.table`."""
    row = {
        "contrast": "quantize+distill", "kind": "pair", "scope": "mean", "interaction": 0.2, "low": 0.1, "high": 0.3,
        "observed": 12.0, "expected": 9.82, "tasks": 8, "seeds_min": 1, "seeds_max": 3, "score_low": GONE,
        "score_high": GONE, "verdict": "super-multiplicative", "reason": "", "tasks_low": 0.0, "tasks_high": 0.4,
        "tasks_verdict": "inconclusive", "unsure": "",
    }  # fmt: skip
    return row | changed


def modelled(**changed: Any) -> dict[str, Any]:
    """A row of `equivalent_size.table`."""
    row = {
        "contrast": "quantize+distill", "kind": "pair", "scope": "mean", "estimate": 0.1, "low": 0.02, "high": 0.18,
        "observed": 11.0, "expected": 9.95, "tasks": 8, "seeds_min": 3, "seeds_max": 3, "points": 1.0,
        "points_low": 0.2, "points_high": 1.8, "points_error": 0.4, "error": 0.04, "freedom": 6.0, "weight": GONE,
        "verdict": "super-multiplicative", "reason": "", "unsure": "",
    }  # fmt: skip
    return row | changed


def headline(
    nominal: list[dict[str, Any]],
    file: list[dict[str, Any]] | None = None,
    model: Sequence[dict[str, Any]] = (),
    certainty: sections.Certainties | None = None,
) -> str:
    tables = {"nominal": pd.DataFrame(nominal), "artifact": pd.DataFrame(file or nominal)}
    nothing = [modelled(estimate=GONE, contrast=row["contrast"], kind=row["kind"]) for row in nominal]
    sizes = pd.DataFrame([row | {"bytes": size} for size in SIZES for row in (model or nothing)])
    lines = verdicts.headline(sizes, both_ways(tables), Names(reference.methods()), certainty or {})
    return "".join(" ".join(filter(None, line.values())) for line in lines)


def test_a_verdict_is_the_models_and_the_curves_stand_beside_it() -> None:
    claim = {"verdict": "super-multiplicative", "sure": False, "hangs_on": "without CoLA", "held": 16, "of": 17}
    own, other = ("model", "quantize+distill", "pair"), ("curves", "quantize+distill", "pair")
    certainty = {own: claim, other: claim | {"hangs_on": "without RTE"}}
    curves = contrast(verdict="undefined", tasks_verdict="undefined", low=GONE, high=GONE, tasks_low=GONE,
                      tasks_high=GONE, unsure="a run collapsed")  # fmt: skip
    said = headline([curves], model=[modelled(unsure="")], certainty=certainty)
    for words in ("▲ super-multiplicative", "does not hold without CoLA", "11.00× smaller at equal score; the methods' "
                  "product is 9.95×; ratio 1.11 [1.02, 1.20].", "8 tasks, 3 seeds. File on disk: 11.00×",
                  "By score–size curves: 1.22 (no interval);", "curves: a run collapsed"):  # fmt: skip
        assert words in said
    assert "RTE" not in said


def test_a_model_without_an_interval_leaves_the_verdict_undefined_whatever_the_curves_say() -> None:
    lacking = modelled(low=GONE, high=GONE, verdict="undefined", unsure="two sizes")
    said = headline([contrast()], model=[lacking])
    for words in ("– undefined", "ratio 1.11 (no interval)", "1.22 [1.11, 1.35], super-multiplicative", "two sizes"):
        assert words in said


def test_methods_come_in_the_order_of_the_models_effects_with_the_places_that_are_open(whole: Results) -> None:
    found = findings(whole, QUICK)
    made = verdicts.priorities(found.equivalent_size, sections.certainties(found.sensitivity))
    assert made is not None
    means = found.equivalent_size.query("scope == 'mean' and bytes == 'nominal' and kind == 'main'")
    ordered = means.sort_values("estimate", ascending=False).to_dict("records")
    assert [row[0] for row in made.rows] == [row["contrast"] for row in ordered]
    for place, (shown, row) in enumerate(zip(made.rows, ordered, strict=True)):
        others = [other for other in ordered if other is not row]
        first = 1 + sum(other["low"] > row["high"] for other in others)
        last = 1 + sum(other["high"] >= row["low"] for other in others)
        assert shown[1][0] == (f"{place + 1}" if first == last else f"{place + 1} ({first} to {last})")
        assert shown[2][0] == f"{math.exp(row['estimate']):.2f}×"
    assert "By score–size curves" in page_of(whole).text


def test_a_verdict_is_told_in_words_with_its_interval_and_counts() -> None:
    file = contrast(interaction=-0.1, low=-0.3, high=0.1, observed=8.0, verdict="inconclusive")
    said = headline([contrast()], [file])
    for words in ("quantize + distill", "▲ super-multiplicative", "12.00× smaller at equal score", "product is 9.82×",
                  "ratio 1.22 [1.11, 1.35]", "8 tasks, 1 to 3 seeds; from the differences between tasks [1.00, 1.49]",
                  "File on disk: 8.00×, product 9.82×; ratio 0.90 [0.74, 1.11]. Verdict: inconclusive."):  # fmt: skip
        assert words in said


def test_without_seeds_the_differences_between_tasks_tell_what_they_can() -> None:
    row = contrast(low=GONE, high=GONE, verdict="undefined", tasks_low=-0.1, tasks_high=0.5, unsure="one seed per cell")
    said = headline([row])
    for words in ("? inconclusive (by tasks)", "ratio 1.22 [0.90, 1.65]", "one seed per cell"):
        assert words in said


def test_what_is_undefined_is_called_so() -> None:
    undefined = dict.fromkeys(("interaction", "low", "high", "observed", "expected", "tasks_low", "tasks_high"), GONE)
    why = "the curves have no scores in common"
    nothing = contrast(**undefined, tasks=0, seeds_min=0, seeds_max=0, verdict="undefined", tasks_verdict="undefined",
                       reason=why)  # fmt: skip
    assert headline([nothing]) == ""
    said = headline([contrast(), nothing | {"contrast": "quantize+prune"}])
    assert "– undefined undefined." in said
    assert why in said
    assert "nan" not in said
    assert "(no interval)" in headline([contrast(low=GONE, high=GONE, tasks_low=GONE, tasks_high=GONE)])


def test_every_statistic_of_a_real_collection_is_told(whole: Results) -> None:
    options = Options(bootstrap=100)
    found = findings(whole, options)
    page = Page(report.page(whole, options, found))
    nominal = found.interactions.query("scope == 'mean' and bytes == 'nominal'")
    assert nominal["interaction"].notna().all()
    modelled = found.equivalent_size.query("scope == 'mean' and bytes == 'nominal' and kind != 'main'")
    for row, own in zip(nominal.to_dict("records"), modelled.to_dict("records"), strict=True):
        assert row["verdict"] in page.text
        assert f"By score–size curves: {math.exp(row['interaction']):.2f} [" in page.text
        assert f"; ratio {math.exp(own['estimate']):.2f} [" in page.text or own["kind"] == "pure"
    for row in found.table1.dropna(subset="factor").to_dict("records"):
        assert f"{row['factor']:.1f}" in page.text
    assert "Which method first" in page.text
    assert "nan" not in page.text.lower().split()
    held = json.loads(page.scripts[0])["interactions"]
    assert [row["estimate"] for row in held if row["size"] == "nominal"] == pytest.approx(
        list(modelled["estimate"]), abs=1e-4
    )
    crosses = [one["value"] for row in held if row["size"] == "nominal" for one in row["others"]
               if one["look"] == "curves"]  # fmt: skip
    assert crosses == pytest.approx(list(nominal["interaction"]), abs=1e-4)


def test_one_model_of_all_tasks_has_a_table_of_what_is_learned_and_what_is_arithmetic(whole: Results) -> None:
    found = findings(whole, QUICK)
    made = sections.equivalent_size(found.equivalent_size, Names(whole.methods))
    assert made is not None
    assert len(made.rows) == 3 + 5
    means = found.equivalent_size.query("scope == 'mean' and bytes == 'nominal'")
    assert len(sections.equivalent_size_of_tasks(found.equivalent_size).rows) == 2 * (3 + 5) * len(whole.tasks)
    text = page_of(whole).text
    assert "One model of all tasks" in text
    for row in means.dropna(subset="estimate").to_dict("records"):
        for key in ("estimate", "learned", "arithmetic"):
            assert f"{math.exp(row[key]):.2f}" in text


def test_failures_and_what_was_left_out_are_told_with_causes() -> None:
    failed = {
        "run_id": "0" * 12,
        "task": "rte",
        "model": "large",
        "methods": "prune",
        "seed": None,
        "cause": "CUDA out",
    }
    odd = grids.document("rte", "tiny", "none", 61.0, seed=1) | {"schema": 7}
    page = page_of(collection(crossings.run("rte", "tiny", "none"), odd, failures=[failed]))
    for words in ("CUDA out", "0" * 12, "its schema is 7", "1 failed"):
        assert words in page.text


def test_what_the_runs_ran_on_is_told() -> None:
    ran = [crossings.run("rte", "tiny", "none", seed=seed) for seed in range(4)]
    ran += [crossings.run("qqp", "tiny", "none")]
    for document, device in zip(ran, ("cpu", "cpu", "A GPU", None, "A GPU"), strict=True):
        document["environment"] = {"device": device}
    text = page_of(collection(*ran)).text
    assert "on A GPU (2 runs: QQP, RTE); cpu (2 runs: RTE); a device that is not known (1 run: RTE)." in text


@pytest.mark.parametrize(
    "documents",
    [
        [crossings.run("rte", "tiny", "none")],
        [crossings.run("rte", "tiny", "quantize+distill+prune")],
        [crossings.run("rte", model, "prune") for model in ("tiny", "mini")],
        [grids.document("own task", "huge", "none", 50.0)],
        [grids.document("rte", "tiny", "none", None)],
    ],
    ids=["one run", "one compressed run", "one method", "unknown task and size", "no score"],
)
def test_odd_collections_say_plainly_what_is_lacking(documents: list[dict]) -> None:
    text = page_of(collection(*documents)).text
    assert "No combination can be judged" in text
    assert "No interaction is defined" in text
    assert "Sizes cannot be compared at equal score" in text
    assert "Not measured" in text
    assert "No training curves" in text


def test_without_a_finished_run_there_are_only_the_failures() -> None:
    there = collection(crossings.run("rte", "tiny", "none"))
    failed = {"run_id": "0" * 12, "task": "rte", "model": "tiny", "methods": "none", "seed": 0, "cause": "no GPU"}
    nothing = Results(there.runs.iloc[:0], pd.DataFrame([failed]), ["3 folders hold no result"], "here")
    page = page_of(nothing)
    assert "No finished run." in page.text
    assert "no GPU" in page.text
    assert "3 folders hold no result" in page.text
    assert [kept["id"] for tag, kept in page.elements if tag == "section"] == ["failures-section"]


def test_a_table_sets_numbers_right_and_wraps_only_long_words() -> None:
    made = Table(
        ["name", "value", "why", "noted"], [["a", "−1.20", "w" * 50, ("1", "of 2")], ["b", "–", "", ("–",)]], ""
    )
    assert made.kinds == ["", "number", "words", "number"]


def test_any_number_of_methods_is_told_without_their_names_in_the_page(tmp_path: Path) -> None:
    """Five methods, two of them unknown to everybody: contents, legend, filters, columns of runs.csv."""
    five = ("quantize", "distill", "prune", "shave", "coach")
    made = crossings.crossing(("rte",), ("tiny", "small"), crossings.subsets_of(*five), shares=(0.25, 0.5))
    found = collection(*made)
    page = page_of(found)
    assert (
        "Hue and marker show quantization, pruning and shaving; a filled marker and the line's dashes show" in page.text
    )
    assert "four-way term of quantize + distill + prune + shave" in page.text
    assert "all three" not in page.text
    held = json.loads(page.scripts[0])
    assert held["filters"] == [{"name": "shave", "variants": ["25 %", "50 %"]}]
    assert len(held["methods"]) == 32
    assert not any(re.search(rf"\b{name}\b", page.scripts[1]) for name in (*five, "pruning", "distilled", "sparsity"))
    table = report.flat(found.runs)
    of = table[table["methods"] == "prune+shave"].iloc[0]
    assert (of["prune"], of["quantize"], of["shave"], of["coach"]) == ("magnitude", "none", "fold", "none")
    assert (of["prune.sparsity"], of["shave.share"]) == (0.4, 0.25)
    assert table[table["methods"] == "quantize"]["shave.share"].isna().all()


def test_what_is_drawn_is_the_models_with_the_curves_and_the_study_beside_it() -> None:
    of_task = {"scope": "rte", "weight": 0.5, "estimate": 0.3}
    flat_task = of_task | {"scope": "mrpc", "weight": 0.0001}
    sizes = pd.DataFrame([modelled(**changed) | {"bytes": "nominal"} for changed in ({}, of_task, flat_task)])
    tables = pd.DataFrame([contrast(), contrast(scope="study", interaction=0.1), contrast(scope="rte")])
    contrasts = both_ways({"nominal": tables})
    found = drawn.drawn(sizes, contrasts).set_index("scope")
    assert found["interaction"].drop("mrpc").to_dict() == {"mean": 0.1, "rte": 0.3, "curves": 0.2, "study": 0.1}
    assert math.isnan(found.loc["mrpc", "interaction"])
    assert tuple(found.loc["mean", ["shown_low", "shown_high", "shown_by"]]) == (0.02, 0.18, "model")
    nothing = sizes.assign(estimate=GONE)
    assert drawn.drawn(nothing, contrasts) is contrasts
    assert not by_model(contrasts)


# --- beside result.json -----------------------------------------------------------------------------------------------


def test_a_training_curve_is_thinned_by_means(tmp_path: Path) -> None:
    crossings.write_training(tmp_path, rows=100)
    steps, losses = payload.thinned(tmp_path, 20)
    assert steps == list(range(15, 301, 15))
    assert len(losses) == 20
    rows = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert losses[0] == pytest.approx(1000 * sum(rows[:5]) / 5, abs=0.5)


@pytest.mark.parametrize(
    "text", ["", "no json\n", '{"global_step": 1}\n', '{"global_step": 1, "loss": null}\n', "[1]\n"]
)
def test_an_unusable_training_curve_is_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(text)
    assert payload.thinned(tmp_path, 20) == ([], [])
    assert payload.thinned(tmp_path / "nowhere", 20) == ([], [])


def test_latencies_are_told_and_an_unreadable_file_is_noted(tmp_path: Path) -> None:
    good, bad = crossings.run("rte", "tiny", "quantize"), crossings.run("rte", "tiny", "none")
    crossings.write_latency(grids.write_run(tmp_path, good), good)
    (grids.write_run(tmp_path, bad) / "latency.json").write_text('{"cells": [{}]}')
    page = page_of(results.read_runs(tmp_path))
    held = json.loads(page.scripts[0])
    cells = held["latency"]
    assert [held["runs"]["id"][place] for place in cells["run"]] == [good["run_id"]] * 2
    assert cells["precision"] == ["int8"] * 2
    written = json.loads(next(tmp_path.rglob(f"{good['run_id']}/latency.json")).read_text())["cells"]
    assert cells["ms"] == pytest.approx([own["median_ms"] for own in written if own["precision"] == "int8"], rel=1e-3)
    assert f"rte/tiny/none/{bad['run_id']}/latency.json: left out: it has no 'schema'" in page.text


# --- size and time ----------------------------------------------------------------------------------------------------


def test_2880_runs_make_less_than_3_mb_in_less_than_20_seconds(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for made in crossings.crossing(seeds=range(5), sparsities=(0.4, 0.6)):
        folder = grids.write_run(runs, made)
        crossings.write_training(folder)
        crossings.write_latency(folder, made)
    written: list[report.Written] = []
    seconds = quiet_seconds(lambda: written.append(report.write(results.read_runs(runs), tmp_path / "out", QUICK)))
    assert seconds < 20
    assert (tmp_path / "out/report.html").stat().st_size < 3_000_000
    files = [*written[0].pages, *written[0].figures, *written[0].tables]
    assert all(path.is_file() for path in files)
    kinds = {path.suffix for path in files}
    assert kinds >= {".html", ".pdf", ".svg", ".png", ".csv", ".md", ".tex"}
