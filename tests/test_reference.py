"""The stored results of the grid on real GLUE: they are what the documented command runs, and what its page tells."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev, variance
from typing import Any

import pandas as pd
import pytest

from analysis import reference
from analysis.cli import main
from analysis.names import TASKS
from analysis.options import Options
from analysis.read import collection
from analysis.read.results import CELL, read_runs
from analysis.report import verdicts
from analysis.report.report import findings
from analysis.statistics import equivalent_size, interactions, sensitivity, table1
from analysis.statistics.claims import Curves, by_model
from analysis.tables import tables
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import read_sweep
from compress.config.schema import teacher_experiment
from compress.runs.result import from_document
from tests.conftest import ROOT
from tests.grids import SUBSETS

GLUE = ROOT / "analysis" / "reference" / "glue"
RESULTS = GLUE / "results.jsonl.gz"
PAGE = (GLUE / "README.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "analysis" / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())  # however the lines are wrapped


def test_every_cell_is_there_with_every_seed() -> None:
    runs = read_runs(RESULTS).runs
    students = runs[runs["model"] != "minilm-l6"]
    counts = students.groupby(CELL)["seed"].nunique()
    assert (counts == 3).all()
    cells = sum(2 if "prune" in methods else 1 for methods in SUBSETS)
    assert len(counts) == len(TASKS) * students["model"].nunique() * cells
    assert f"There are {len(runs)} experiments, all finished, on all eight tasks, with three seeds" in WORDS
    assert not collection.read(RESULTS).failures


@pytest.mark.glue
def test_they_are_those_of_the_documented_command(glue: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = ["--config-dir", str(GLUE / "conf"), "+experiment=glue"]
    configs, _ = read_sweep(words, conf_folder())
    configs += [teacher_experiment(config) for config in configs if config.teacher is not None]
    stored = [from_document(document) for document in collection.read(RESULTS).documents]
    asked = {identity.run_id(config): identity.scientific(config) for config in configs}
    assert described({result.run_id: result.identity for result in stored}) == described(asked)


def described(identities: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Experiments by all that decides them but the schema, which was another then; teachers by what decides them."""
    known = {run_id: {key: part for key, part in own.items() if key != "schema"} for run_id, own in identities.items()}
    for own in known.values():
        if "distill" in own:
            own["distill"] = own["distill"] | {"teacher": known[own["distill"]["teacher"]]}
    return {json.dumps(own, sort_keys=True) for own in known.values()}


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main([*words, "--format", "markdown"]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_page_shows_their_table_1(capsys) -> None:
    lines = printed(capsys, "table", str(RESULTS))
    assert len(lines) == 2 + 4 + 2
    assert "\n".join(lines) in PAGE


def of_model() -> pd.DataFrame:
    """The one model's numbers of other tasks, by contrast and kind."""
    whole = equivalent_size.table(read_runs(RESULTS), Options())
    return whole[whole["scope"] == "mean"].set_index(["contrast", "kind"])


def test_the_page_shows_what_one_model_says() -> None:
    shown = tables.equivalent_size(of_model().reset_index())
    columns = ["methods", "against", "factor or ratio", "learned", "arithmetic", "points", "verdict"]
    lines = [" | ".join(str(row[column]).replace("-", "−") for column in columns) for row in shown.to_dict("records")]
    assert len(lines) == 3 + 5
    for line in lines:
        assert f"| {line} |".replace("|  |", "| |") in PAGE


def test_the_manual_tells_the_studys_numbers_by_its_rule_and_by_ours() -> None:
    by_rule = {row["methods"]: f"{row['factor']:.2f}" for row in table1.combined(table1.products_of_study())}
    ours = interactions.study(reference.methods()).query("kind != 'pure'")
    ratios = [f"{math.exp(value):.2f}" for value in ours["interaction"]]
    shown = zip(by_rule, by_rule.values(), ratios, strict=False)
    assert [f"| {methods} | {rule} | {ratio} |" in MANUAL for methods, rule, ratio in shown] == [True] * 4
    rule = table1.table(read_runs(RESULTS), Options(bootstrap=0)).query("model == @table1.OVER_PRODUCT")
    assert (rule["factor"] < 1).all()
    assert f"differ by a factor of {(rule['greatest'] / rule['least']).min():.1f} or more" in WORDS


def test_the_page_begins_with_three_numbers_of_the_model() -> None:
    model, opening = of_model(), " ".join(PAGE.split("```")[0].split())
    size, gain, pair = (
        model.loc[key] for key in (("quantize", "main"), ("distill", "main"), ("quantize+distill", "pair"))
    )
    assert f"Quantization makes models {math.exp(size['estimate']):.2f} times smaller at equal score." in opening
    interval = f"(95 % interval {gain['points_low']:.2f} to {gain['points_high']:.2f})"
    assert f"Distillation gains {gain['points']:.2f} points at equal architecture {interval}." in opening
    ratio, low, high = (f"{math.exp(pair[key]):.2f}" for key in ("estimate", "low", "high"))
    assert f"Quantization with distillation saves {ratio} of the product ({low} to {high})" in opening
    losses = [f"{model.loc[(method, 'main'), 'points']:.2f}".replace("-", "−") for method in ("quantize", "prune")]
    assert f"costs any points ({losses[0]}, interval" in WORDS
    assert f"changes the score by {losses[1]} points" in WORDS


def test_the_readme_has_these_numbers_too() -> None:
    model, words = of_model(), " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    gain, pair = model.loc[("distill", "main")], model.loc[("quantize+distill", "pair")]
    told = (
        f"gains {gain['points']:.2f} points at equal architecture [{gain['points_low']:.2f}, {gain['points_high']:.2f}]"
    )
    assert told in words
    size, prune = (math.exp(model.loc[(method, "main"), "estimate"]) for method in ("quantize", "prune"))
    larger = f"at equal score. With **pruning** a model of equal score is {1 / prune:.2f} times larger"
    assert f"**Quantization** makes models {size:.2f} times smaller {larger}" in words
    ratio, low, high = (f"{math.exp(pair[key]):.2f}" for key in ("estimate", "low", "high"))
    assert f"saves {ratio} times [{low}, {high}] the product of their savings" in words


def test_the_pages_words_have_the_models_numbers() -> None:
    model = of_model()
    size = model.loc[("quantize", "main")]
    assert f"quantization makes models {math.exp(size['estimate']):.2f} times smaller" in WORDS
    learned = {method: f"{math.exp(model.loc[(method, 'main'), 'learned']):.2f}" for method in ("distill", "prune")}
    assert f"Distilled models act {learned['distill']} times as large as they are" in WORDS
    assert f"Models with 40 or 60 % of the encoder pruned act {learned['prune']} times as large" in WORDS
    assert model.loc[[(method, "main") for method in ("quantize", "distill", "prune")], "low"].isna().all()
    (error,) = {re.search(r"error of (\d+ %)", why)[1] for why in model["unsure"] if why}  # type: ignore[index]
    assert f"the slope of this curve has a standard error of {error}" in WORDS
    farthest = max(abs(math.exp(model.loc[("quantize+distill", "pair"), key]) - 1) for key in ("low", "high"))
    assert f"within {math.ceil(100 * farthest - 0.5)} %" in WORDS
    not_told = [("quantize+prune", "pair"), ("distill+prune", "pair"), ("quantize+distill+prune", "total")]
    assert model.loc[not_told, "low"].isna().all()
    assert (
        "For the combinations with pruning, three architectures do not tell how far they are from the product." in WORDS
    )
    arithmetic = [
        model.loc[key, "arithmetic"] for key in (("distill+prune", "pair"), ("quantize+distill+prune", "total"))
    ]
    assert {f"{math.exp(value):.2f}" for value in arithmetic} == {"0.97"}
    curves = interactions.table(read_runs(RESULTS), Options(bootstrap=0)).query("scope == 'mean'")["interaction"]
    one, two, three, four, five = (f"{math.exp(value):.2f}" for value in curves)
    assert f"give ratios of {one}, {two}, {three}, {four} and {five}" in WORDS


def test_the_page_calls_sure_what_is() -> None:
    results = read_runs(RESULTS)
    claims = {name: sensitivity.certainty(sensitivity.varied_claims(estimator, results, Options()))
              for name, estimator in (("model", by_model), ("curves", Curves()))}  # fmt: skip
    sure = {name: set(map(tuple, of[of["sure"]][["claim", "kind"]].to_numpy())) for name, of in claims.items()}
    assert sure == {"model": {("distill", "score")}, "curves": {("distill", "score"), ("distill", "rank score")}}
    assert not claims["model"]["verdict"].str.startswith("place").any()
    count = claims["model"]["of"].max()
    assert f"None of {count} variations of the analysis changes this verdict" in WORDS
    assert (
        f"none of {claims['model']['of'].max()} variations of the collection and the options changes the verdict"
        in WORDS
    )
    combined = claims["model"][claims["model"]["kind"].isin(["pair", "total", "pure"])]
    assert not (combined["verdict"] == "super-multiplicative").any()
    assert not re.search(r"\b(for sure|surely)\b", PAGE)


def test_the_pages_words_tell_where_they_ran_and_what_difference_that_makes() -> None:
    stored = {document["run_id"]: document for document in collection.read(RESULTS).documents}
    ran = {(document["task"], document["environment"]["device"]) for document in stored.values()}
    assert ran == {(task, "NVIDIA H200" if task in ("qqp", "mnli", "qnli") else "cpu") for task in TASKS}
    again = {document["run_id"]: document for document in collection.read(GLUE / "rte-h200.jsonl.gz").documents}
    assert again.keys() == {run_id for run_id, document in stored.items() if document["task"] == "rte"}
    assert {document["environment"]["device"] for document in again.values()} == {"NVIDIA H200"}
    sizes = [[own[run_id]["size"]["artifact_bytes"] for run_id in again] for own in (stored, again)]
    assert sizes[0] == sizes[1]
    differences = [document["score_glue"] - stored[run_id]["score_glue"] for run_id, document in again.items()]
    spreads = [seeds_spread(own) for own in (stored, again)]
    assert (
        f"Its {len(again)} models take the same bytes on both machines. Their scores differ by {mean(differences):.2f} "
        f"points on average, with a standard deviation of {stdev(differences):.2f}. The standard deviation "
        f"between seeds of one model is as large: {spreads[0]:.2f} points on the cores and {spreads[1]:.2f} on the GPU."
    ) in WORDS


def test_the_pages_advice_is_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", str(RESULTS), "--max-mb", "20", "--task", "sst2"]) == 0
    assert "\n".join(capsys.readouterr().out.splitlines()[:6]) in PAGE


def test_the_manual_tells_what_one_seed_says() -> None:
    stored = read_runs(RESULTS)
    alone = replace(stored, runs=stored.runs[stored.runs["seed"] == 0])
    said = []
    for results in (alone, stored):
        row = equivalent_size.table(results, Options()).query("scope == 'mean' and contrast == 'distill'").iloc[0]
        said.append(f"{row['points']:.2f}{{}} [{row['points_low']:.2f}, {row['points_high']:.2f}]".replace("-", "−"))
    one, three = said[0].format(" points"), said[1].format("")
    told = f"seed 0 alone gives distillation a gain of {one}: inconclusive. With three seeds it is {three}."
    assert told in " ".join(MANUAL.split())


def test_the_manual_shows_what_would_be_run_next(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["next", str(RESULTS.relative_to(ROOT))]) == 0
    for line in filter(None, capsys.readouterr().out.splitlines()):
        assert line in MANUAL


def seeds_spread(documents: dict[str, dict[str, Any]]) -> float:
    """Standard deviation of RTE's scores among seeds, pooled over its cells."""
    cells = defaultdict(list)
    for document in documents.values():
        if document["task"] == "rte":
            cell = document["model"], *document["methods"], document["config"]["prune"]["sparsity"]
            cells[cell].append(document["score_glue"])
    return math.sqrt(mean(variance(scores) for scores in cells.values()))


def test_the_report_tells_where_sizes_and_points_are_of_different_tasks() -> None:
    stored = read_runs(RESULTS)
    sst2 = replace(stored, runs=stored.runs[stored.runs["task"] == "sst2"])
    for results, told in ((stored, "5 tasks, 3 seeds; points: 8 tasks, 3 seeds"), (sst2, "1 task, 3 seeds")):
        effects = findings(results, Options(bootstrap=0)).effects
        table = verdicts.priorities_of_curves(effects, {})
        assert table is not None
        assert told in {row[-1] for row in table.rows}
