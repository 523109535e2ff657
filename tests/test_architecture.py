"""The folders are the architecture, and heavy libraries come late."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODULES = sorted(path for path in (ROOT / "compress").rglob("*.py"))
LIGHT = [
    "cli", "completion", "config", "corpus", "demo", "encoder", "errors", "experiment", "help", "hub", "identity",
    "loop", "methods", "metrics", "overrides", "prune", "quantize", "records", "reporting", "result", "run_names",
    "schema", "surroundings", "tracking_options", "wandb_client", "wandb_run", "wandb_settings",
]  # fmt: skip


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_one_experiment_knows_neither_the_launcher_nor_the_analysis(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] in ("launch", "analysis")}


@pytest.mark.parametrize("path", sorted((ROOT / "launch").rglob("*.py")), ids=lambda path: path.stem)
def test_the_launcher_knows_configurations_and_results_but_no_models_and_no_analysis(path: Path) -> None:
    known = {"errors", "experiment", "config", "model", "runs", "storage", "tracking", "training"}
    used = {name for name in imports(path) if name.split(".")[0] in ("compress", "analysis", "torch", "transformers")}
    assert {name.split(".")[1] if "compress." in name else name for name in used - {"compress"}} <= known


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").rglob("*.py")), ids=lambda path: path.stem)
def test_the_analysis_reads_results_only(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(".")[0] in ("compress", "launch", "torch", "transformers")}
    known = {"compress.errors", "compress.runs", "compress.runs.result", "compress.tracking.wandb_client"}
    assert ours <= {"compress", *known}


def test_the_analysis_loads_no_torch() -> None:
    code = (
        "import sys, analysis.report.report, analysis.figures.figures, analysis.statistics.interactions;"
        "import analysis.read.offline, analysis.read.online;"
        "print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_no_module_is_named_for_nothing() -> None:
    assert not {path.stem for path in ROOT.glob("[cla]*/**/*.py")} & {"utils", "common", "helpers", "misc"}


@pytest.mark.parametrize("path", [p for p in MODULES if p.stem in LIGHT], ids=lambda path: path.stem)
def test_what_the_command_line_reads_first_imports_nothing_heavy_at_its_top(path: Path) -> None:
    heavy = {"torch", "transformers", "datasets", "wandb", "numpy", "tokenizers", "safetensors"}
    assert not {name for name in imports(path, top_level_only=True) if name.split(".")[0] in heavy}


def test_a_configuration_is_checked_without_loading_torch() -> None:
    code = (
        "import sys; from compress.config.schema import conf_folder; from compress.config.overrides import check_words;"
        "check_words(['task=rte', 'data=demo', 'model=tiny'], conf_folder());"
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
