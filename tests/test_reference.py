"""The stored results of the grid on real GLUE: they are what the documented command runs, and what the README tells."""

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
from analysis.report import sections
from analysis.report.report import findings
from analysis.statistics import interactions, priorities, sensitivity, table1
from analysis.statistics.claims import Curves, by_model
from compress.config import identity
from compress.config.conf_files import conf_folder
from compress.config.overrides import read_sweep
from compress.config.schema import teacher_experiment
from compress.runs.result import from_document
from tests.conftest import ROOT
from tests.grids import SUBSETS

GLUE = ROOT / "analysis" / "reference" / "glue"
RESULTS = GLUE / "results.jsonl.gz"
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(README.split())  # however the lines are wrapped


def test_every_cell_is_there_with_every_seed() -> None:
    runs = read_runs(RESULTS).runs
    students = runs[runs["model"] != "minilm-l6"]
    counts = students.groupby(CELL)["seed"].nunique()
    assert (counts == 3).all()
    cells = sum(2 if "prune" in methods else 1 for methods in SUBSETS)
    assert len(counts) == len(TASKS) * students["model"].nunique() * cells
    assert f"{len(runs)} experiments, all finished, on all eight tasks, with three seeds" in README
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


def test_the_readme_shows_their_table_1(capsys) -> None:
    lines = printed(capsys, "table", str(RESULTS))
    assert len(lines) == 2 + 4 + 2
    assert "\n".join(lines) in README


def test_the_readme_shows_their_interactions(capsys) -> None:
    lines = printed(capsys, "interactions", str(RESULTS))
    whole = [line for line in lines[2:] if "| all tasks |" in line]
    assert len(whole) == 5
    assert "\n".join([*lines[:2], *whole]) in README


def test_the_readme_tells_the_studys_numbers_by_its_rule_and_by_ours() -> None:
    by_rule = {row["methods"]: f"{row['factor']:.2f}" for row in table1.combined(table1.products_of_study())}
    ours = interactions.study(reference.methods()).query("kind != 'pure'")
    ratios = [f"{math.exp(value):.2f}" for value in ours["interaction"]]
    one, two, three, whole = by_rule.values()
    assert f"gives {one} for quantize+distill, {two} for quantize+prune, {three} for distill+prune and {whole}" in WORDS
    assert f"(mean accuracies) gives {ratios[0]}, {ratios[1]}, {ratios[2]} and {ratios[3]}" in WORDS
    rule = table1.table(read_runs(RESULTS), Options(bootstrap=0)).query("model == @table1.OVER_PRODUCT")
    assert (rule["factor"] < 1).all()
    assert f"differ by a factor of {(rule['greatest'] / rule['least']).min():.1f} or more" in WORDS


def main_effects(options: Options) -> pd.DataFrame:
    """By measure, method and scope."""
    return priorities.main_effects(read_runs(RESULTS), options).set_index(["measure", "method", "scope"])


def factors(row: pd.Series) -> list[float]:
    """An effect on sizes, with its interval: how many times smaller."""
    return [math.exp(float(row[key])) for key in ("effect", "low", "high")]


def test_the_readmes_words_have_their_effects() -> None:
    effects = main_effects(Options())
    sizes = [("quantize", "mean"), ("distill", "mean"), ("prune", "mean")]
    sizes += [("distill", "qnli"), ("distill", "qqp"), ("prune", "sst2"), ("prune", "qnli")]
    for method, scope in sizes:
        effect, low, high = factors(effects.loc[("bytes", method, scope)])
        between = " times smaller" if method == "quantize" else ""
        assert f"{effect:.2f}{between} [{low:.2f}, {high:.2f}]" in WORDS
    for method, verb, sign in (("quantize", "costs", -1), ("distill", "gains", 1), ("prune", "costs", -1)):
        row = effects.loc[("score", method, "mean")]
        low, high = sorted(sign * float(row[key]) for key in ("low", "high"))
        assert f"{verb} {sign * float(row['effect']):.2f} points [{low:.2f}, {high:.2f}]" in WORDS


def test_the_readme_calls_sure_what_is_and_tells_what_the_rest_hangs_on() -> None:
    varied = sensitivity.varied_claims(Curves(), read_runs(RESULTS), Options())
    claims = sensitivity.certainty(varied).set_index(["claim", "kind"])
    assert set(claims.index[claims["sure"]]) == {("distill", "score"), ("distill", "rank score")}
    of_model = sensitivity.certainty(sensitivity.varied_claims(by_model, read_runs(RESULTS), Options()))
    assert set(map(tuple, of_model[of_model["sure"]][["claim", "kind"]].to_numpy())) == {("distill", "score")}
    assert not of_model["verdict"].str.startswith("place").any()
    assert f"what that hangs on ({claims['of'].max()} variations)" in WORDS
    for claim, kind in (("distill", "bytes"), ("prune", "bytes"), ("prune", "score"), ("distill", "rank bytes"),
                        ("prune", "rank bytes"), ("quantize", "rank score"), ("prune", "rank score")):  # fmt: skip
        assert str(claims.loc[(claim, kind), "hangs_on"]) in WORDS, (claim, kind)
    assert claims.loc[("quantize", "rank bytes"), "hangs_on"] == "without minilm-l3"
    contrasts = claims[claims.index.get_level_values("kind").isin(["pair", "total", "pure"])]
    assert contrasts["hangs_on"].str.contains("standin-mini or minilm-l3").all()
    assert claims.loc[("distill+prune", "pair"), "hangs_on"].endswith("nor with prune 40 % alone")
    assert not re.search(r"\b(for sure|surely)\b", README.split("### A grid on real GLUE")[1].split("\n## ")[0])


def test_the_readmes_words_have_the_bytes_on_disk_too(capsys: pytest.CaptureFixture[str]) -> None:
    effect, low, high = factors(main_effects(Options(bytes="artifact")).loc[("bytes", "prune", "mean")])
    assert f"(on disk × {effect:.2f} [{low:.2f}, {high:.2f}])" in WORDS
    lines = printed(capsys, "interactions", str(RESULTS), "--bytes", "artifact")
    cells = next(line for line in lines if line.startswith("| quantize+prune | the product | all tasks |")).split(" | ")
    assert f"on disk, where masks count, {cells[5]} {cells[6]}" in WORDS


def test_the_readmes_words_tell_where_they_ran_and_what_difference_that_makes() -> None:
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
        f"its {len(again)} models take the same bytes, and their scores differ by {mean(differences):.2f} points on "
        f"average, with a standard deviation of {stdev(differences):.2f}; so do those of one model's seeds, by "
        f"{spreads[0]:.2f} on the cores and {spreads[1]:.2f} on the GPU."
    ) in WORDS


def test_the_readmes_advice_is_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", str(RESULTS), "--max-mb", "20", "--task", "sst2"]) == 0
    assert "\n".join(capsys.readouterr().out.splitlines()[:6]) in README


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
        table = sections.priorities(effects, {})
        assert table is not None
        assert told in {row[-1] for row in table.rows}
