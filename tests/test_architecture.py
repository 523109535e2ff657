"""The folders are the architecture, and heavy libraries come late."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("compress", "launch", "analysis")
MODULES = sorted(path for path in (ROOT / "compress").rglob("*.py"))
# what the command line reads first: rooms, and modules of others
LIGHT_ROOMS = ("storage", "runs", "task", "tracking", "config")
LIGHT = (
    "cli",
    "corpus",
    "demo",
    "encoder",
    "errors",
    "experiment",
    "loop",
    "prune",
    "quantize",
    "registry",
    "reporting",
)


# a room's modules import from rooms before it only, and from errors and checked; what is on top of compress/ from all
ROOMS = ("storage", "runs", "task", "model", "artifact", "methods", "data", "training", "tracking", "config")
LEAVES = ("called", "extras", "errors", "checked", "wording")
ANALYSIS = ("read", "statistics")  # then the outputs, which do not know each other's rooms but for tables and figures


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """The modules that a file imports, late ones and those for annotations included."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            plain |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return plain


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def graph() -> dict[str, set[str]]:
    """Module -> the project's modules that it imports."""
    paths = {module(path): path for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    return {name: imports(path) & (paths.keys() - {name}) for name, path in paths.items()}


def circles(arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """Names from which an arrow, or several, lead back to them."""
    reached = {name: set(ends) for name, ends in arrows.items()}
    for middle in reached:
        for ends in reached.values():
            if middle in ends:
                ends |= reached[middle]
    return sorted(name for name, ends in reached.items() if name in ends)


def test_no_module_imports_itself_by_way_of_others() -> None:
    arrows = {name: {end for end in ends if end.count(".")} for name, ends in graph().items()}
    assert circles(arrows) == []


def room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or (parts[1:2] and parts[1] in (*ROOMS, *ANALYSIS)) else ""


def test_rooms_know_those_below_them_only() -> None:
    """But for the door to a command that is called by a room's name."""
    for name, ends in graph().items():
        if name.endswith(".__main__"):
            continue
        own = room(name)
        for end in (end for end in ends if name.startswith("compress.") and end.startswith("compress.") and own):
            leaf = end.removeprefix("compress.") in LEAVES
            assert leaf or ROOMS.index(room(end)) <= ROOMS.index(own), f"{name} imports {end}"


def test_results_are_read_then_counted_then_shown() -> None:
    order = {room: floor for floor, room in enumerate(ANALYSIS)}
    for name, ends in graph().items():
        own = room(name)
        for end in (end for end in ends if name.startswith("analysis.") and end.startswith("analysis.") and own):
            assert order.get(room(end), len(order) * bool(room(end))) <= order.get(own, len(order)), (
                f"{name} imports {end}"
            )


@pytest.mark.parametrize("path", MODULES, ids=module)
def test_one_experiment_knows_neither_the_launcher_nor_the_analysis(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] in ("launch", "analysis")}


@pytest.mark.parametrize("path", sorted((ROOT / "launch").rglob("*.py")), ids=module)
def test_the_launcher_knows_configurations_and_results_but_no_models_and_no_analysis(path: Path) -> None:
    known = {"checked", "errors", "extras", "wording"}
    known |= {"experiment", "config", "methods", "model", "runs", "storage", "tracking", "training"}
    used = {name for name in imports(path) if name.split(".")[0] in ("compress", "analysis", "torch", "transformers")}
    assert {name.split(".")[1] if "compress." in name else name for name in used - {"compress"}} <= known


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").rglob("*.py")), ids=module)
def test_the_analysis_reads_results_only(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(".")[0] in ("compress", "launch", "torch", "transformers")}
    known = (
        "errors",
        "checked",
        "wording",
        "runs.result",
        "runs.predictions",
        "runs.latency",
        "runs.folder",
        "task.config",
        "task.metrics",
        "storage.files",
        "tracking.wandb_client",
    )
    assert not [name for name in ours if name.count(".") > 1 and not name.removeprefix("compress.").startswith(known)]


def test_the_analysis_loads_no_torch() -> None:
    code = (
        "import sys, analysis.report.report, analysis.figures.figures, analysis.statistics.interactions;"
        "import analysis.read.offline, analysis.read.online;"
        "print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_no_module_is_named_for_nothing() -> None:
    assert not {path.stem for path in ROOT.glob("[cla]*/**/*.py")} & {"utils", "common", "helpers", "misc"}


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent.name in LIGHT_ROOMS or p.stem in LIGHT], ids=module)
def test_what_the_command_line_reads_first_imports_nothing_heavy_at_its_top(path: Path) -> None:
    heavy = {"torch", "transformers", "datasets", "wandb", "numpy", "tokenizers", "safetensors"}
    assert not {name for name in imports(path, top_level_only=True) if name.split(".")[0] in heavy}


def test_a_configuration_is_checked_without_loading_torch() -> None:
    code = (
        "import sys; from compress.config.conf_files import conf_folder;"
        "from compress.config.overrides import check_words;"
        "check_words(['task=rte', 'data=demo', 'model=tiny'], conf_folder());"
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
