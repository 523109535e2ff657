"""What verdicts hang on: each variation is what its name says, `sure` is only what none of them changes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import names
from analysis.options import Options
from analysis.read.results import Results, read_runs
from analysis.report import report, sections
from analysis.report.report import findings
from analysis.statistics import claims, equivalent_size, interactions, priorities, sensitivity
from analysis.statistics.claims import CLAIM, CLAIMS, Curves, Estimator
from analysis.statistics.interactions import INCONCLUSIVE, SUPER, UNDEFINED, ZONE
from analysis.statistics.sensitivity import ASKED
from analysis.statistics.uncertainty import t_interval
from analysis.tables import tables
from tests.conftest import ROOT
from tests.simulated import Grid, as_results

QUICK = Options(bootstrap=100)
SMALL = Grid(tasks=2, sizes=3)


def claim(estimate: float = 0.3, error: float = 0.05, freedom: float = 20.0, **changed: object) -> dict[str, object]:
    """A claim of the family of contrasts, with the verdict that its interval makes."""
    interval = t_interval(estimate, error, freedom)
    numbers = {"estimate": estimate, "low": interval.low, "high": interval.high, "error": error, "freedom": freedom}
    of = {"claim": "quantize+prune", "kind": "pair", "family": "contrast"}
    return {**of, **numbers, "verdict": interactions.verdict(interval), **changed}


def stub(holds: Callable[[Results, Options], bool]) -> Estimator:
    """One claim, which is super-multiplicative where `holds`, else inconclusive."""

    def estimate(results: Results, options: Options) -> pd.DataFrame:
        return pd.DataFrame([claim(0.3 if holds(results, options) else 0.0, 0.06)], columns=list(CLAIMS))

    return estimate


def certain(estimator: Estimator, results: Results, options: Options = QUICK) -> pd.Series:
    (row,) = sensitivity.certainty(sensitivity.varied_claims(estimator, results, options)).to_dict("records")
    return pd.Series(row | {"said": sensitivity.sentence(row)})


# --- the variations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", list(names.SCORES))
@pytest.mark.parametrize("size", list(names.SIZES))
def test_each_choice_is_varied_alone(score: str, size: str) -> None:
    results, options = SMALL.results(), Options(score, size, bootstrap=1000)
    seen = set()
    for varied in sensitivity.variations(results, options):
        runs, whole = varied.results.runs, results.runs
        gone = whole[~whole["run_id"].isin(runs["run_id"])]
        same = (varied.options.score, varied.options.bytes) == (score, size)
        if varied.group in ("task", "model"):
            assert set(gone[varied.group].map(names.task_label)) == {names.task_label(varied.name)}
            assert not set(gone[varied.group]) & set(runs[varied.group])
        elif varied.group == "strength":
            assert set(gone["methods"].str.contains("prune")) == {True}
            assert {v for v in runs["variant"] if v} == {varied.name}
        else:
            assert gone.empty
            assert (varied.options.score == score) != (varied.group == "score")
            assert (varied.options.bytes == size) != (varied.group == "bytes")
        assert same == (varied.group not in ("score", "bytes"))
        seen.add((varied.group, varied.name))
    other = next(measure.short for key, measure in names.SCORES.items() if key != score)
    assert seen == {
        *(("task", names.task_label(task)) for task in results.tasks), *(("model", model) for model in results.models),
        ("score", other), ("bytes", next(measure.short for key, measure in names.SIZES.items() if key != size)),
        ("strength", "prune 40 %"), ("strength", "prune 60 %"),
    }  # fmt: skip


def test_what_survives_everything_is_sure() -> None:
    row = certain(stub(lambda results, options: True), SMALL.results())
    assert row["sure"]
    assert row["said"] == "sure: the same in all 10 variations"
    assert (row["held"], row["of"]) == (10, 10)


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        (lambda results, options: "sst2" in results.tasks, "without SST-2"),
        (lambda results, options: "tiny" in results.models, "without tiny"),
        (lambda results, options: {"tiny", "mini"} <= set(results.models), "without tiny or mini"),
        (lambda results, options: options.score == "glue", "by accuracies"),
        (lambda results, options: options.bytes == "nominal", "by the file's bytes"),
        (lambda results, options: "prune 40 %" in set(results.runs["variant"]), "with prune 60 % alone"),
        (
            lambda results, options: "cola" in results.tasks and options == QUICK,
            "without CoLA, nor by accuracies or the file's bytes",
        ),
    ],
)
def test_what_does_not_says_what_it_hangs_on(holds: Callable[[Results, Options], bool], said: str) -> None:
    row = certain(stub(holds), SMALL.results())
    assert not row["sure"]
    assert row["said"] == f"does not hold {said}"


def test_a_single_task_or_model_is_what_everything_hangs_on() -> None:
    alone = certain(stub(lambda results, options: True), replace(SMALL, tasks=1).results())
    assert alone["said"] == "does not hold without CoLA"
    one_size = SMALL.results()
    one_size = as_results(one_size.runs[one_size.runs["model"] == "tiny"])
    assert certain(stub(lambda results, options: True), one_size)["said"] == "does not hold without tiny"


def test_what_is_inconclusive_claims_nothing() -> None:
    row = certain(stub(lambda results, options: False), SMALL.results())
    assert not row["sure"]
    assert row["said"] == ""
    assert row["held"] == 0


# --- several claims at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [2.0, 7.5, 40.0, math.inf])
@pytest.mark.parametrize("error", [0.01, 0.03, 0.1])
def test_a_p_value_is_below_5_percent_just_where_the_interval_makes_a_verdict(error: float, freedom: float) -> None:
    for step in range(-40, 41):
        row = claim(step * ZONE / 20, error, freedom)
        assert (sensitivity.p_value(row) < 0.05) == (row["verdict"] not in (INCONCLUSIVE, UNDEFINED))


def test_holms_correction() -> None:
    errors = {"a": 0.3 / 4.0, "b": 0.3 / 2.6, "c": 0.3 / 2.2, "d": 0.3 / 1.0}  # normal: p .00006, .0093, .0278, .317
    rows = [claim(0.3, error, math.inf, claim=name) for name, error in errors.items()]
    rows += [claim(0.3, errors["c"], math.inf, claim="other", family="effect")]
    rows += [claim(math.nan, math.nan, math.nan, claim="undefined", verdict=UNDEFINED)]
    corrected = sensitivity.holm(pd.DataFrame(rows, columns=list(CLAIMS))).set_index("claim")
    plain = {row["claim"]: sensitivity.p_value(row) for row in rows}
    expected = {"a": 4 * plain["a"], "b": 3 * plain["b"], "c": 2 * plain["c"], "d": plain["d"], "other": plain["c"]}
    assert corrected["p"].drop("undefined").to_dict() == pytest.approx(expected)
    verdicts = dict.fromkeys("ab", SUPER) | dict.fromkeys("cd", INCONCLUSIVE) | {"other": SUPER, "undefined": UNDEFINED}
    assert corrected["verdict"].to_dict() == verdicts


def test_corrected_p_values_are_in_the_order_of_the_plain_ones() -> None:
    rows = [claim(0.3, 0.3 / distance, math.inf, claim=str(distance)) for distance in (2.0, 2.01, 2.02, 9.0)]
    ps = sensitivity.holm(pd.DataFrame(rows))["p"].to_list()
    assert ps == sorted(ps, reverse=True)
    assert all(one >= sensitivity.p_value(row) for one, row in zip(ps, rows, strict=True))


def test_a_claim_that_only_the_correction_takes_away_says_so() -> None:
    def estimate(results: Results, options: Options) -> pd.DataFrame:
        return pd.DataFrame([claim(0.3, 0.3 / 2.2, math.inf), claim(0.0, 0.1, math.inf, claim="quantize+distill")])

    varied = sensitivity.varied_claims(estimate, SMALL.results(), QUICK)
    row = sensitivity.certainty(varied).iloc[0]
    assert sensitivity.sentence(row) == "does not hold after Holm's correction"


# --- score-size curves ------------------------------------------------------------------------------------------------


def test_their_claims_are_those_of_the_tables_and_nothing_is_carried_over() -> None:
    """A task's curves are made once; what is left out must not show."""
    results, fronts = replace(SMALL, missing=0.1).results(), Curves()
    for varied in [*sensitivity.variations(results, QUICK)]:
        fresh = claims.curve_claims(
            interactions.table(varied.results, varied.options), priorities.main_effects(varied.results, varied.options)
        )
        fronts(results, QUICK)
        pd.testing.assert_frame_equal(fronts(varied.results, varied.options), fresh)


def test_a_large_interaction_is_sure_and_a_variation_is_what_it_would_be_alone() -> None:
    results = Grid(tasks=3, interaction=0.5, noise=(0.05, 0.05)).results()
    varied = sensitivity.varied_claims(Curves(), results, QUICK)
    certainty = sensitivity.certainty(varied).set_index(list(CLAIM))
    pairs = certainty[certainty.index.get_level_values("kind") == "pair"]
    assert pairs["sure"].all()
    assert set(pairs["verdict"]) == {SUPER}
    assert certainty.loc[("quantize", "rank bytes"), ["verdict", "sure"]].to_list() == ["place 1", True]
    alone = interactions.table(as_results(results.runs[results.runs["task"] != "sst2"]), QUICK)
    expected = alone[alone["scope"] == "mean"].set_index(["contrast", "kind"])["interaction"]
    found = varied[(varied["variation"] == "SST-2") & (varied["family"] == "contrast")].set_index(list(CLAIM))[
        "estimate"
    ]
    assert found.to_dict() == pytest.approx(expected.to_dict())


def test_the_models_claims_are_those_of_its_table() -> None:
    results = Grid(tasks=4, noise=(0.1, 0.2)).results()
    table = equivalent_size.table(results, QUICK)
    means = table[table["scope"] == "mean"].set_index(["contrast", "kind"])
    made = claims.by_model(results, QUICK).set_index(list(CLAIM))
    for claim, kind in made.index:
        row = made.loc[(claim, kind)]
        if row["family"] == "contrast":
            assert row["verdict"] == means.loc[(claim, kind), "verdict"]
            assert row["estimate"] == means.loc[(claim, kind), "estimate"]
        elif kind == "score":
            of_method = means.loc[(claim, "main")]
            assert (row["low"], row["high"], row["freedom"]) == (of_method["points_low"], of_method["points_high"], 3)
            assert t_interval(row["estimate"], row["error"], 3).low == pytest.approx(row["low"])
    assert made.loc[("quantize", "bytes"), "verdict"] == "smaller"
    assert made.loc[("distill", "score"), "verdict"] == "better"
    assert made.loc[("prune", "score"), "verdict"] == "worse"


def test_places_are_claimed_where_intervals_are_apart() -> None:
    def effect(name: str, low: float, high: float) -> dict[str, object]:
        return {"claim": name, "kind": "bytes", "estimate": (low + high) / 2, "low": low, "high": high}

    def places(*effects: dict[str, object]) -> list[object]:
        return [row["verdict"] for row in claims._places(effects)]

    apart = effect("a", 0.0, 0.1), effect("b", 0.2, 0.3), effect("c", 0.4, 0.5)
    assert places(*apart) == ["place 3", "place 2", "place 1"]
    assert places(*apart[:2], effect("c", 0.25, 0.5)) == ["place 3", INCONCLUSIVE, INCONCLUSIVE]
    assert places(*apart[:2], effect("c", math.nan, math.nan)) == [UNDEFINED] * 3


def test_with_one_seed_claims_are_from_the_differences_between_tasks() -> None:
    made = Curves()(Grid(seeds=1, interaction=0.5, noise=(0.05, 0.05)).results(), QUICK)
    contrasts = made[made["family"] == "contrast"]
    assert (contrasts["freedom"] == 7).all()
    assert (contrasts["verdict"] != UNDEFINED).all()
    for row in contrasts.to_dict("records"):
        assert (sensitivity.p_value(row) < 0.05) == (row["verdict"] != INCONCLUSIVE)


@pytest.mark.parametrize("kept", ["none", "quantize", "quantize+prune"])
def test_collections_that_claim_nothing_have_nothing_to_vary(kept: str) -> None:
    runs = SMALL.results().runs
    varied = sensitivity.varied_claims(Curves(), as_results(runs[runs["methods"] == kept]), QUICK)
    assert varied.empty or set(varied["verdict"]) == {UNDEFINED}
    assert not sensitivity.certainty(varied)["sure"].any()


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def glue() -> tuple[Results, pd.DataFrame]:
    results = read_runs(ROOT / "analysis" / "reference" / "glue" / "results.jsonl.gz")
    return results, sensitivity.table(results, Options(), {})


def test_the_stored_grid_hangs_on_its_tasks_and_its_middle_size(glue: tuple[Results, pd.DataFrame]) -> None:
    varied = glue[1][glue[1]["by"] == "curves"]
    lost = varied[~varied["holds"]].groupby(list(CLAIM))["says"].agg(set)
    places = lost["prune", "rank bytes"]
    assert {"without SST-2", "without QQP", "without MNLI", "by accuracies"} <= places
    for combination in ("distill+prune", "quantize+distill+prune"):
        kind = "pair" if combination.count("+") == 1 else "total"
        assert "without standin-mini" in lost[combination, kind]


def test_a_page_calls_nothing_sure_that_is_not(glue: tuple[Results, pd.DataFrame], tmp_path: Path) -> None:
    results = glue[0]
    options = Options(bootstrap=100)
    statistics = findings(results, options)
    html = re.sub(r"<(script|style).*?</\1>", "", report.page(results, options, statistics), flags=re.DOTALL)
    certainty = sensitivity.certainty(statistics.sensitivity)
    sure = certainty[certainty["sure"]]
    assert 0 < len(sure) < len(certainty)
    assert len(re.findall(r"\bsure: the same", html)) == len(sure)
    opening = re.search(r"(?:is|are) sure, that is, the same in every variation below: (.*?)\.</p>", html)
    assert opening
    assert opening[1].count(";") == (sure["by"] == "model").sum() - 1
    assert len(re.findall(r"\b[Ss]ure\b", html)) == len(sure) + 2  # and the sentence that says what is called so
    assert not re.search(r"\b(clear|clearly|certain|certainly|proves?)\b", html)


def test_marks_differ_where_the_verdict_does(glue: tuple[Results, pd.DataFrame]) -> None:
    results, varied = glue
    marks = sections.sensitivity(varied, names.Names(results.methods))
    assert marks is not None
    assert list(marks.rows) == list(names.ESTIMATORS.values())
    rows = [row for of_estimator in marks.rows.values() for row in of_estimator]
    columns = sum(len(names_of) for _, names_of in marks.groups)
    certainty = sensitivity.certainty(varied)
    for (_, sign, word, said, of_claim), row in zip(rows, certainty.to_dict("records"), strict=True):
        assert len(of_claim) == columns == row["of"]
        if said:
            assert sum(not differs for _, _, differs in of_claim) == row["held"]
        assert all((own == sign) or differs for own, _, differs in of_claim)
        assert word == row["verdict"]
    words = [word for word in names.SIGNS if (varied["verdict"] == word).any()]
    assert all(word in marks.legend for word in words)


def test_the_table_has_a_row_for_each_claim(glue: tuple[Results, pd.DataFrame], tmp_path: Path) -> None:
    varied = glue[1]
    written = {path.suffix: path for path in tables.write(tmp_path, sensitivity=varied)}
    assert len(pd.read_csv(written[".csv"])) == len(varied)
    lines = written[".md"].read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + len(varied[varied["variation"] == ASKED])
    assert "| Score-size curves | distill, points | better | 17 of 17 | sure: the same in all 17 variations |" in lines
    assert INCONCLUSIVE in written[".tex"].read_text(encoding="utf-8")
