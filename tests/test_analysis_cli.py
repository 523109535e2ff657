"""`python -m analysis` as a user types it."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis import cli
from analysis.options import Options
from analysis.read.results import Results, from_documents, read_runs
from analysis.tables import tables
from compress.errors import ConfigError
from tests.conftest import ROOT
from tests.grids import SUBSETS, document, write_failure, write_run
from tests.simulated import ALONE

SCORES = {"tiny": 70.0, "mini": 78.0, "small": 83.0, "base": 88.0}


def score(model: str, methods: str, seed: int) -> float:
    gain = 6.0 * ("distill" in methods) * ALONE["distill"] - 0.4 * ("quantize" in methods) - 0.6 * ("prune" in methods)
    return SCORES[model] + gain + 0.05 * seed * (1 + len(methods) % 3)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two tasks, four sizes, eight subsets, three seeds, and one that failed."""
    folder = tmp_path / "runs"
    for task in ("sst2", "rte"):
        for model in SCORES:
            for methods in SUBSETS:
                for seed in (0, 1, 2):
                    write_run(folder, document(task, model, methods, score(model, methods, seed), seed=seed))
    write_failure(folder, document("rte", "large", "none", 1.0, seed=7), "CUDA out of memory")
    return folder


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


def test_help_comes_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom analysis.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'pandas', 'numpy', 'scipy', 'matplotlib', 'altair', 'wandb', 'torch', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30).stdout
    assert shown.splitlines()[-1] == "[]"
    for verb in ("report", "table", "interactions", "figure", "advise", "dashboard"):
        assert f"  {verb} " in shown


def test_numbers_are_computed_without_torch() -> None:
    code = (
        "import sys\nfrom analysis.statistics import advice, interactions, priorities, table1\n"
        "from analysis.tables import tables\n"
        "print(sorted({'torch', 'transformers', 'launch', 'matplotlib', 'wandb'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert shown.stdout.strip() == "[]", shown.stderr


def test_table_shows_reductions_the_studys_numbers_and_what_is_left_out(runs: Path, capsys) -> None:
    assert run("table", runs) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == f"{runs}: 192 runs, 1 failed; GLUE score, nominal bytes"
    assert "COLING 2022" in lines[1]
    starts = ("base", "small", "mini", "tiny", "over the product  ", "(study)")
    assert [line.split()[0] for line in lines if line.startswith(starts)] == [
        "base", "(study)", "small", "(study)", "mini", "(study)", "tiny", "(study)", "over", "(study)",
    ]  # fmt: skip
    assert "rte large none failed: RuntimeError: CUDA out of memory" in shown
    assert "notes:" in shown


def test_table_as_one_document(runs: Path, capsys) -> None:
    assert run("table", runs, "--json", "--bytes", "artifact", "--tolerance", "1") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["options"] == {"score": "glue", "bytes": "artifact", "tolerance": 1.0, "bootstrap": 1000, "seed": 0}
    assert len(shown["table1"]) == 4 * 7 + 4
    assert len(shown["picks"]) == 2 * 4 * 7
    assert len(shown["products"]["runs"]) == 4 * 4
    assert len(shown["products"]["study"]) == 6 * 4
    assert shown["failures"][0]["seed"] == 7
    assert shown["runs"] == 192


def test_interactions_in_words_and_as_one_document(runs: Path, capsys) -> None:
    assert run("interactions", runs) == 0
    shown = capsys.readouterr().out
    assert "quantize+distill: " in shown
    assert "2 tasks, 3 seeds per cell" in shown
    assert (
        "The study, by the same estimate on its Figure 1 (mean accuracy, nominal bytes; one number per cell): " in shown
    )
    assert run("interactions", runs, "--json", "--bootstrap", "0") == 0
    answer = json.loads(capsys.readouterr().out)
    rows = answer["interactions"]
    assert [round(math.exp(row["interaction"]), 2) for row in answer["study"]] == [1.11, 0.96, 1.09, 1.22, 1.05]
    assert len(rows) == 5 * 3
    claims, varied = answer["sensitivity"]["claims"], answer["sensitivity"]["variations"]
    assert len(claims) == 2 * (5 + 3 * 4)  # by the model of all tasks, by score-size curves
    assert len(varied) == len(claims) * (1 + 2 + 4 + 1 + 1 + 1)  # tasks, models, score, bytes, Holm
    told = shown.split("after Holm's correction for several claims:\n")[1].split("\n\n")[0].splitlines()
    assert [line for line in told if line.startswith("  ") and line[2] != " "] == [
        "  One model of all tasks:", "  Score-size curves:",
    ]  # fmt: skip
    lines = [line for line in told if line.startswith("    ")]
    assert all(line.startswith(f"    {claim['claim']}") for line, claim in zip(lines, claims, strict=True))
    assert "    quantize, place by size: place 1; sure: the same in all 9 variations" in lines
    assert rows[0]["low"] is None
    assert rows[0]["unsure"].endswith("no replicates were asked for")
    assert list(answer).index("equivalent_size") < list(answer).index("interactions")
    assert len(answer["equivalent_size"]) == (3 + 5) * 3
    assert {row["kind"] for row in answer["equivalent_size"]} == {"main", "pair", "total", "pure"}


def test_the_one_model_is_printed_first_with_its_terms_and_what_it_lacks(runs: Path, capsys) -> None:
    assert run("interactions", runs, "--bootstrap", "0") == 0
    shown = capsys.readouterr().out
    heading, own = shown.index("One model of all tasks: "), shown.index("Each task's own score-size curves")
    assert heading < own
    rows = [line for line in shown[heading:own].splitlines() if "tasks like these" in line]
    assert len(rows) == 3 + 5
    assert rows[0].split()[:3] == ["quantize", "without", "it"]
    for form in ("csv", "markdown", "latex"):
        assert run("interactions", runs, "--format", form, "--bootstrap", "0") == 0
        first, second = capsys.readouterr().out.rstrip("\n").split("\n\n")
        assert "arithmetic" in first
        assert "arithmetic" not in second


@pytest.mark.parametrize("verb", ["table", "interactions"])
@pytest.mark.parametrize(("form", "start"), [("csv", ""), ("markdown", "| "), ("latex", r"\begin{tabular}")])
def test_other_formats_print_the_table_alone(runs: Path, capsys, verb: str, form: str, start: str) -> None:
    assert run(verb, runs, "--format", form, "--bootstrap", "0") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(start)
    assert str(runs) not in shown
    assert len(shown.splitlines()) > 8


def test_tables_for_latex_are_well_formed(runs: Path, tmp_path: Path) -> None:
    """Every table of a report, and one of odd texts: as many columns as are named, and nothing special is left."""
    assert run("report", runs, "--out", tmp_path / "out", "--bootstrap", "0") == 0
    made = [path.read_text() for path in (tmp_path / "out" / "tables").glob("*.tex")]
    odd = pd.DataFrame({"a_b": ["[1, 2]", "*", "x < y | 50 % & {#}~^\\"], "$ × −": ["± 1.5", "≥ 2 – 3…", "“quoted”\n"]})
    assert len(made) >= 6
    for text in [*made, tables.latex(odd)]:
        lines = text.splitlines()
        columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])
        assert columns
        assert [line for line in lines if line.endswith("rule")] == ["\\toprule", "\\midrule", "\\bottomrule"]
        rows = [line for line in lines[1:-1] if not line.endswith("rule")]
        for row in rows:
            assert row.endswith(r" \\")
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns[1]) - 1
            assert not row.startswith(("[", "*"))
            bare = re.sub(
                r"\\(text\w+|ldots)\{\}|\\[&%$#_{}]|\$(\\\w+|[-<>|]|\^2)\$|\{\}", "", row.removesuffix(r" \\")
            )
            assert not set(bare) & set("\\%$#_{}~^<>|"), row
        assert text.isascii()


def test_advice(runs: Path, capsys) -> None:
    assert run("advise", runs, "--max-mb", "12", "--task", "sst2") == 0
    shown = capsys.readouterr().out
    assert "at most 12 MB (GLUE score, nominal bytes), sst2;" in shown
    assert "use        mini quantize+distill: score 8" in shown
    assert f"  {runs}/sst2/mini/quantize+distill/" in shown
    assert run("advise", runs, "--min-score", "85", "--json") == 0
    found = json.loads(capsys.readouterr().out)["advice"]
    assert found["chosen"]["score"] >= 85
    assert found["chosen"]["megabytes"] <= found["runner_up"]["megabytes"]
    assert found["chosen"]["seeds_min"] == 3
    assert len(found["chosen"]["runs"]) == 6


def test_if_nothing_fits_the_exit_code_says_so(runs: Path, capsys) -> None:
    assert run("advise", runs, "--max-mb", "0.5") == 1
    assert "no measured model fits; the nearest:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["table", "nowhere"], "nowhere: no such folder"),
        (["table", "{runs}", "--recipe", "ffff"], "--recipe ffff: no run has a recipe of this name"),
        (["table", "{runs}", "--tolerance", "-1"], "tolerance -1.0: must be 0 or more points"),
        (["table", "{runs}", "--bootstrap", "3"], "bootstrap 3: must be 0 (no intervals) or at least 100"),
        (["advise", "{runs}"], "--max-mb 10, --max-ms 20 or --max-train-hours 2, or a least score, --min-score 80"),
        (["advise", "{runs}", "--max-mb", "10", "--task", "sst"], "did you mean sst2?"),
    ],
)
def test_wrong_input_is_one_clear_line(runs: Path, capsys, words: list[str], told: str) -> None:
    assert run(*(word.format(runs=runs) for word in words)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert told in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["table"], ["report", "runs"], ["advise", "runs", "--max-mb", "0"], ["tabel", "runs"], ["dashboard"],
        ["table", "runs", "--score", "f1"],
    ],
)  # fmt: skip
def test_what_cannot_be_parsed_is_refused(words: list[str], capsys) -> None:
    assert run(*words) == 2
    told = capsys.readouterr().err
    assert re.fullmatch(r"error: .*; python -m analysis.* --help shows what it takes\n", told)


def test_a_collection_without_baselines_says_so(tmp_path: Path, capsys) -> None:
    write_run(tmp_path, document("rte", "tiny", "prune", 60.0))
    assert run("table", tmp_path) == 0
    assert "no architecture has an uncompressed score" in capsys.readouterr().out


def test_a_collection_without_scores_says_so(tmp_path: Path, capsys) -> None:
    for methods in SUBSETS:
        write_run(tmp_path, document("cola", "tiny", methods, None))
    for verb in ("table", "interactions"):
        assert run(verb, tmp_path) == 0
        assert json.dumps(str(tmp_path))[1:-1] in capsys.readouterr().out
    assert run("advise", tmp_path, "--min-score", "1") == 2
    assert "no model has a defined GLUE score on any task" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.filterwarnings("error")
def test_odd_collections_pass_through_every_verb(tmp_path: Path, capsys, seed: int) -> None:
    """Cells, seeds and subsets at random, undefined scores, other recipes, unknown sizes."""
    random = np.random.default_rng(seed)
    models = random.permutation(["nano", "tiny", "mini", "small", "huge"])[: random.integers(1, 5)]
    count = 0
    for task, model, methods in product(("rte", "sst2", "wnli"), models, random.permutation(SUBSETS)[: 1 + seed]):
        for sparsity, number in product((0.4, 0.6) if "prune" in methods else (0.0,), range(random.integers(0, 4))):
            found = None if random.random() < 0.05 else round(float(random.normal(70, 8)), 1)
            changes = {"train.epochs": 5} if random.random() < 0.1 else None
            given = document(task, str(model), str(methods), found, seed=number, sparsity=sparsity, changes=changes)
            write_run(tmp_path, given)
            count += 1
    write_failure(tmp_path, document("rte", "huge", "none", 1.0, seed=7), "no memory")
    for verb in ("table", "interactions"):
        assert run(verb, tmp_path, "--bootstrap", "100") == 0
        assert "no memory" in capsys.readouterr().out
        assert run(verb, tmp_path, "--bootstrap", "100", "--json") == 0
        shown = json.loads(capsys.readouterr().out)
    left_out = sum(int(words[0]) for note in shown["notes"] if (words := re.findall(r"(\d+) runs? left out", note)))
    assert shown["runs"] + left_out == count
    assert run("advise", tmp_path, "--max-mb", "10000", "--json") == 0
    assert json.loads(capsys.readouterr().out)["advice"]["chosen"]["seeds_min"] >= 1


# --- what others write ------------------------------------------------------------------------------------------------


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **functions: object) -> None:
    module = ModuleType(f"analysis.{name}")
    for key, function in functions.items():
        setattr(module, key, function)
    monkeypatch.setitem(sys.modules, f"analysis.{name}", module)
    monkeypatch.setattr(f"analysis.{name}", module, raising=False)


def test_report_and_figure_get_the_results_and_print_what_was_written(
    runs: Path, capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []

    def write_report(results: Results, out: Path, options: Options, *, as_pdf: bool) -> SimpleNamespace:
        assert not as_pdf
        asked.append((len(results.runs), out, options))
        return SimpleNamespace(pages=[out / "report.html"], figures=[], tables=[], opening=["Prune first."])

    def write_figures(results: Results, out: Path, score: str) -> list[Path]:
        asked.append((len(results.runs), out, score))
        return [out / "figure1.pdf"]

    stand_in(monkeypatch, "report.report", write=write_report)
    stand_in(monkeypatch, "figures.figures", write=write_figures)
    assert run("report", runs, "--out", tmp_path / "r", "--score", "accuracy", "--bootstrap", "100", "--seed", "3") == 0
    assert run("figure", runs, "--out", tmp_path / "f", "--score", "accuracy") == 0
    assert asked == [
        (192, tmp_path / "r", Options("accuracy", bootstrap=100, seed=3)),
        (192, tmp_path / "f", "accuracy"),
    ]
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "r/report.html"),
        "",
        "Prune first.",
        "These are generated texts and toy models, with 3 seeds: the numbers show the tool, not a finding.",
        "",
        f"The report: {(tmp_path / 'r/report.html').as_uri()}",
        "Next:",
        f"  python -m launch status {runs}   how many runs have finished, and why others failed",
        f"  python -m analysis next {runs}   the cheapest further seeds that would settle what is open",
        str(tmp_path / "f/figure1.pdf"),
    ]


def test_other_sources_are_asked_and_their_errors_told(runs: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(folder: Path, recipe: str | None) -> Results:
        assert (folder, recipe) == (Path("logs"), "ab")
        return read_runs(runs)

    def online(where: str, recipe: str | None) -> Results:
        raise ConfigError(f"{where}: no such project")

    stand_in(monkeypatch, "read.offline", read_offline=offline)
    stand_in(monkeypatch, "read.online", read_wandb=online)
    assert run("table", "logs", "--source", "offline", "--recipe", "ab", "--bootstrap", "0") == 0
    assert "192 runs" in capsys.readouterr().out
    assert run("table", "team/grid", "--source", "wandb") == 2
    assert capsys.readouterr().err == "error: team/grid: no such project\n"


def test_dashboard_prints_its_address(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(
        monkeypatch, "dashboard.dashboard", create=lambda project, entity: f"https://example.org/{entity}/{project}"
    )
    assert run("dashboard", "--project", "grid", "--entity", "team") == 0
    assert capsys.readouterr().out == "https://example.org/team/grid\n"


def test_runs_that_were_read_elsewhere_have_addresses_for_folders(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [document("rte", "tiny", "none", 60.0) | {"url": "https://example.org/a"}]
    stand_in(monkeypatch, "read.online", read_wandb=lambda where, recipe: from_documents(documents, [], where))
    assert run("advise", "grid", "--source", "wandb", "--min-score", "50") == 0
    assert "  https://example.org/a" in capsys.readouterr().out
